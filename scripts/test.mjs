#!/usr/bin/env node
/**
 * `npm test`: everything that must hold, in order of cost: types, lint, unit tests and proofs (Vitest), then the
 * end-to-end journeys (Playwright, where e2e/ has them). Ends with one line, "N passed, N failed, N skipped".
 *
 *   node scripts/test.mjs [--only check|unit|e2e] [vitest arguments...]
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ensureBrowser } from './browser.mjs'

const root = join(import.meta.dirname, '..')
const bin = (name) => join(root, 'node_modules/.bin', name)
const args = process.argv.slice(2)
const onlyAt = args.indexOf('--only')
const only = onlyAt >= 0 ? args.splice(onlyAt, 2)[1] : undefined
const total = { passed: 0, failed: 0, skipped: 0 }

function run(command, commandArgs, env = {}) {
  const result = spawnSync(command, commandArgs, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } })
  return result.status ?? 1
}

/** A step that is one test: it passes when the command exits with 0. */
function step(name, command, commandArgs) {
  console.log(`\n== ${name}`)
  if (run(command, commandArgs) === 0) total.passed++
  else {
    total.failed++
    console.error(`FAILED: ${name}`)
  }
}

function report(file, read) {
  if (!existsSync(file)) {
    total.failed++
    console.error(`FAILED: the test runner wrote no ${file}`)
    return
  }
  const counts = read(JSON.parse(readFileSync(file, 'utf8')))
  total.passed += counts.passed
  total.failed += counts.failed
  total.skipped += counts.skipped
}

const results = join(root, 'test-results')
mkdirSync(results, { recursive: true })

if (!only || only === 'check') {
  step('types of the emulator', bin('tsc'), ['-p', 'tsconfig.emu.json', '--noEmit'])
  step('types of the programs', bin('tsc'), ['-p', 'tsconfig.node.json', '--noEmit'])
  step('types of the renderer', bin('vue-tsc'), ['-p', 'tsconfig.web.json', '--noEmit'])
  step('types of its specs', bin('vue-tsc'), ['-p', 'tsconfig.web-specs.json', '--noEmit'])
  step('lint', bin('eslint'), ['.', '--max-warnings', '0'])
  step('format', bin('prettier'), ['--check', '--log-level', 'warn', '.'])
  step('the application builds', bin('electron-vite'), ['build', '--logLevel', 'warn'])
}

if (!only || only === 'unit') {
  console.log('\n== unit tests and proofs')
  const file = join(results, 'vitest.json')
  rmSync(file, { force: true })
  const status = run(bin('vitest'), [
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${file}`,
    ...args,
  ])
  report(file, (r) => ({ passed: r.numPassedTests, failed: r.numFailedTests, skipped: r.numPendingTests }))
  if (status !== 0 && total.failed === 0) total.failed++
}

if (!only || only === 'unit') step('a million random hypercalls', process.execPath, [join(root, 'scripts', 'fuzz.mjs')])

if ((!only || only === 'e2e') && existsSync(join(root, 'e2e/playwright.config.ts'))) {
  console.log('\n== end-to-end journeys')
  const browser = await ensureBrowser()
  if (!browser) {
    total.skipped++
    console.log('SKIPPED: the end-to-end journeys, for want of a browser')
  } else endToEnd(browser)
}

function endToEnd(browser) {
  const file = join(results, 'playwright.json')
  rmSync(file, { force: true })
  const status = run(bin('playwright'), ['test', '-c', 'e2e/playwright.config.ts', '--reporter=list,json'], {
    PLAYWRIGHT_JSON_OUTPUT_NAME: file,
    KENNEL_CHROMIUM: browser,
  })
  report(file, (r) => ({
    passed: r.stats.expected + r.stats.flaky,
    failed: r.stats.unexpected,
    skipped: r.stats.skipped,
  }))
  if (status !== 0 && total.failed === 0) total.failed++
}

console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)
process.exitCode = total.failed === 0 ? 0 : 1

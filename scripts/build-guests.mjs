#!/usr/bin/env node
/**
 * Builds the guests' images from their sources where a 32-bit C compiler is present, and says whether the committed
 * images are what the sources give. The images are in the repository, so nobody needs the compiler to run them.
 *
 *   node scripts/build-guests.mjs             builds in place and renews images.json
 *   node scripts/build-guests.mjs --check     builds in a temporary directory and compares; changes nothing
 *
 * Exit status: 0 built, or equal; 1 different or broken; 77 no usable compiler. The same compiler gives the same bytes;
 * another one may not, so --check only fails for the compiler that images.json names.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const SKIPPED = 77
const GUESTS = { pup: ['pup.elf', 'pup.sym', 'initrd.img'] }
const root = join(import.meta.dirname, '..')
const check = process.argv.includes('--check')

/** The compiler's name and version, or undefined if it cannot build 32-bit programs here. */
function compiler() {
  const trial = spawnSync('gcc', ['-m32', '-ffreestanding', '-x', 'c', '-c', '-o', '/dev/null', '-'], { input: '' })
  if (trial.status !== 0 || spawnSync('make', ['--version']).status !== 0) return undefined
  const gcc = spawnSync('gcc', ['--version'], { encoding: 'utf8' }).stdout.split('\n')[0]
  const ld = spawnSync('ld', ['--version'], { encoding: 'utf8' }).stdout.split('\n')[0]
  return `${gcc}; ${ld}`
}

function hashes(directory, files) {
  return Object.fromEntries(
    files.map((name) => [
      name,
      createHash('sha256')
        .update(readFileSync(join(directory, name)))
        .digest('hex'),
    ]),
  )
}

/** Runs make; true if it succeeded. Its output is shown only if it did not. */
function make(directory) {
  const result = spawnSync('make', ['-C', directory, 'all'], { encoding: 'utf8' })
  if (result.status === 0) return true
  console.error(result.stdout + result.stderr)
  return false
}

function build(name, files, tool) {
  const directory = join(root, 'guests', name)
  if (!make(directory)) return false
  const record = { compiler: tool, sha256: hashes(directory, files) }
  writeFileSync(join(directory, 'images.json'), `${JSON.stringify(record, null, 2)}\n`)
  console.log(`${name}: built`)
  return true
}

function compare(name, files, tool) {
  const source = join(root, 'guests', name)
  const recorded = JSON.parse(readFileSync(join(source, 'images.json'), 'utf8'))
  const committed = hashes(source, files)
  const stale = files.filter((file) => committed[file] !== recorded.sha256[file])
  if (stale.length > 0) {
    console.error(`${name}: not what images.json records: ${stale.join(', ')}`)
    return false
  }
  const work = mkdtempSync(join(tmpdir(), 'kennel-guest-'))
  try {
    cpSync(source, work, { recursive: true, filter: (path) => path !== join(source, 'build') })
    for (const file of files) rmSync(join(work, file))
    if (!make(work)) return false
    const built = hashes(work, files)
    const different = files.filter((file) => built[file] !== recorded.sha256[file])
    if (different.length === 0) console.log(`${name}: the committed images are what the sources give`)
    else if (tool !== recorded.compiler)
      console.log(`${name}: built with ${tool}; the images are ${recorded.compiler}'s`)
    else console.error(`${name}: the sources give other bytes: ${different.join(', ')}`)
    return different.length === 0 || tool !== recorded.compiler
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

const tool = compiler()
if (tool === undefined) {
  console.log('no compiler for 32-bit x86 here (gcc -m32, make): the committed images stay')
  process.exit(SKIPPED)
}
const results = Object.entries(GUESTS).map(([name, files]) => (check ? compare : build)(name, files, tool))
process.exit(results.every(Boolean) ? 0 : 1)

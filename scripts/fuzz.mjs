#!/usr/bin/env node
/**
 * Random hypercalls against the hypervisor (src/emu/testing/fuzz-hypercalls.ts), a million unless told otherwise, with the
 * invariant walker looking on. In batches of STEPS steps, one seed each; between the hypercalls of a batch there are also faults,
 * traps, interrupts and stray writes. A batch that fails is done again by naming its seed.
 *
 *   node scripts/fuzz.mjs [--calls N] [--seed N]
 *
 * Exit status: 0 nothing was hurt but Guests; 1 an invariant broke or a page was lost.
 */
import { build } from 'esbuild'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const STEPS = 50_000
const root = join(import.meta.dirname, '..')

function usage(message) {
  console.error(`fuzz.mjs: ${message}\nusage: node scripts/fuzz.mjs [--calls N] [--seed N]`)
  process.exit(1)
}

function options() {
  const text = { calls: '1000000', seed: '20070308' }
  try {
    Object.assign(text, parseArgs({ options: { calls: { type: 'string' }, seed: { type: 'string' } } }).values)
  } catch (error) {
    usage(error.message)
  }
  const [calls, seed] = [Number(text.calls), Number(text.seed)]
  if (!Number.isSafeInteger(calls) || calls < 1) usage(`--calls ${text.calls}: not a number of hypercalls`)
  if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff) usage(`--seed ${text.seed}: not a 32-bit number`)
  return { calls, seed }
}

/** The fuzzer and the two Guest interfaces it speaks, as one module. */
async function load() {
  const directory = mkdtempSync(join(tmpdir(), 'kennel-fuzz-'))
  try {
    const outfile = join(directory, 'fuzz.mjs')
    const contents = ['testing/fuzz-hypercalls', 'lguest/abi/era-a', 'lguest/abi/era-c']
      .map((module) => `export * from './src/emu/${module}.ts'`)
      .join('\n')
    await build({
      stdin: { contents, resolveDir: root },
      outfile,
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'error',
    })
    return await import(pathToFileURL(outfile).href)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Counts the hypercalls that are served. Those that set a new Guest up, which end with its first SET_STACK, are not random and do
 *  not count. */
function countServed(eras) {
  const count = { served: 0 }
  const ready = new WeakSet()
  for (const call of new Set(eras.flatMap((era) => era.hypercalls.filter(Boolean)))) {
    const { name, run } = call
    call.run = (lg, args) => {
      if (ready.has(lg)) count.served++
      else if (name === 'SET_STACK') ready.add(lg)
      return run(lg, args)
    }
  }
  return count
}

const number = (value) => value.toLocaleString('en')

const { calls, seed: firstSeed } = options()
const { fuzzHypercalls, eraA, eraC } = await load()
const count = countServed([eraA, eraC])
const start = performance.now()
const reasons = new Map()
let guests = 0
let status = 0
for (let seed = firstSeed; count.served < calls && status === 0; seed = (seed + 1) % 2 ** 32) {
  try {
    const result = fuzzHypercalls(seed, STEPS)
    guests += result.guests
    for (const [reason, times] of Object.entries(result.reasons))
      reasons.set(reason, (reasons.get(reason) ?? 0) + times)
    console.log(`seed ${seed}: ${number(result.guests)} guests, ${number(count.served)} hypercalls so far`)
  } catch (error) {
    status = 1
    console.error(`FAILED: ${error.message}\n${error.cause?.stack ?? error.stack}`)
    console.error(`again: node scripts/fuzz.mjs --calls 1 --seed ${seed}`)
  }
}

console.log('\n    times  reason')
for (const [reason, times] of [...reasons].sort((a, b) => b[1] - a[1])) {
  console.log(`${number(times).padStart(9)}  ${reason}`)
}
const seconds = ((performance.now() - start) / 1000).toFixed(1)
console.log(`\n${number(count.served)} hypercalls, ${number(guests)} guests, ${reasons.size} reasons, ${seconds} s`)
process.exitCode = status

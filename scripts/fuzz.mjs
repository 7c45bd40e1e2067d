#!/usr/bin/env node
/**
 * Random hypercalls against the hypervisor (src/emu/testing/fuzz-hypercalls.ts), a million unless told otherwise, with the
 * invariant walker looking on. In batches of STEPS steps, one seed each; between the hypercalls of a batch there are also faults,
 * traps, interrupts and stray writes. Then Guests of random code on the whole machine (fuzz-guests.ts), in batches of GUESTS, one seed
 * each too. A batch that fails is done again by naming its seed.
 *
 *   node scripts/fuzz.mjs [--calls N] [--guests N] [--seed N]
 *
 * Exit status: 0 nothing was hurt but Guests; 1 an invariant broke, a page was lost, or somebody else was hurt.
 */
import { build } from 'esbuild'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const STEPS = 50_000
const GUESTS = 20
const root = join(import.meta.dirname, '..')

function usage(message) {
  console.error(`fuzz.mjs: ${message}\nusage: node scripts/fuzz.mjs [--calls N] [--guests N] [--seed N]`)
  process.exit(1)
}

function options() {
  const text = { calls: '1000000', guests: '400', seed: '20070308' }
  const options = Object.fromEntries(Object.keys(text).map((name) => [name, { type: 'string' }]))
  try {
    Object.assign(text, parseArgs({ options }).values)
  } catch (error) {
    usage(error.message)
  }
  const [calls, guests, seed] = [Number(text.calls), Number(text.guests), Number(text.seed)]
  if (!Number.isSafeInteger(calls) || calls < 0) usage(`--calls ${text.calls}: not a number of hypercalls`)
  if (!Number.isSafeInteger(guests) || guests < 0) usage(`--guests ${text.guests}: not a number of guests`)
  if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff) usage(`--seed ${text.seed}: not a 32-bit number`)
  return { calls, guests, seed }
}

/** The fuzzers and the two Guest interfaces they speak, as one module. */
async function load() {
  const directory = mkdtempSync(join(tmpdir(), 'kennel-fuzz-'))
  try {
    const outfile = join(directory, 'fuzz.mjs')
    const contents = ['testing/fuzz-hypercalls', 'testing/fuzz-guests', 'lguest/abi/era-a', 'lguest/abi/era-c']
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

const { calls, guests: codeGuests, seed: firstSeed } = options()
const { fuzzHypercalls, fuzzGuests, eraA, eraC } = await load()
const count = countServed([eraA, eraC])
const start = performance.now()
const reasons = new Map()
let guests = 0
let status = 0

/** Runs batches from the first seed on while `more()`; `again` are the options that repeat one. */
function batches(more, batch, again) {
  for (let seed = firstSeed; more() && status === 0; seed = (seed + 1) % 2 ** 32) {
    try {
      const result = batch(seed)
      guests += result.guests
      for (const [reason, times] of Object.entries(result.reasons))
        reasons.set(reason, (reasons.get(reason) ?? 0) + times)
    } catch (error) {
      status = 1
      console.error(`FAILED: ${error.message}\n${error.cause?.stack ?? error.stack}`)
      console.error(`again: node scripts/fuzz.mjs ${again} --seed ${seed}`)
    }
  }
}

batches(
  () => count.served < calls,
  (seed) => {
    const result = fuzzHypercalls(seed, STEPS)
    console.log(`seed ${seed}: ${number(result.guests)} guests, ${number(count.served)} hypercalls so far`)
    return result
  },
  '--calls 1 --guests 0',
)
const served = count.served
let left = codeGuests
batches(
  () => left > 0,
  (seed) => {
    const result = fuzzGuests(seed, GUESTS)
    left -= GUESTS
    console.log(
      `seed ${seed}: ${number(result.guests)} guests of random code, ${number(result.switches)} world switches`,
    )
    return result
  },
  '--calls 0 --guests 1',
)

console.log('\n    times  reason')
for (const [reason, times] of [...reasons].sort((a, b) => b[1] - a[1])) {
  console.log(`${number(times).padStart(9)}  ${reason}`)
}
const seconds = ((performance.now() - start) / 1000).toFixed(1)
console.log(`\n${number(served)} hypercalls, ${number(guests)} guests, ${reasons.size} reasons, ${seconds} s`)
process.exitCode = status

/**
 * Records what the processor of this machine makes of the generated test cases, for the tests that always run
 * (src/emu/testing/silicon/recorded). Wants x86 Linux and gcc -m32.
 *
 *     node scripts/record-silicon.mjs
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { brotliCompressSync, constants } from 'node:zlib'
import { startOracle } from '../src/emu/testing/silicon/native.ts'
import { decodeRecording, encodeRecording, recordedCases } from '../src/emu/testing/silicon/recording.ts'

const SEED = 2007
const CASES_PER_GROUP = 30
const TARGET = new URL('../src/emu/testing/silicon/recorded/', import.meta.url)

const oracle = startOracle()
if (typeof oracle === 'string') {
  console.error(`record-silicon: cannot record on this machine: ${oracle}`)
  process.exit(1)
}
const { selectors } = oracle
const info = { selectors, seed: SEED, casesPerGroup: CASES_PER_GROUP, processor: processorName() }
const groups = recordedCases(info).map((cases) => ({ cases, results: oracle.run(cases.map(({ test }) => test)) }))
oracle.close()
const bytes = encodeRecording({ ...info, groups })
decodeRecording(bytes)
const compressed = brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_LGWIN]: 24 } })
mkdirSync(TARGET, { recursive: true })
writeFileSync(new URL('i686.bin.br', TARGET), compressed)
console.log(`${groups.length} groups of ${CASES_PER_GROUP} cases on ${info.processor}: ${compressed.length} bytes`)

/** Vendor, family, model: the name in words says little on a virtual machine. */
function processorName() {
  const text = readFileSync('/proc/cpuinfo', 'utf8')
  const field = (name) => new RegExp(`^${name}\\s*: (.*)$`, 'm').exec(text)?.[1] ?? 'unknown'
  return `${field('vendor_id')} family ${field('cpu family')} model ${field('model')}`
}

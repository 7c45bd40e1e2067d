/**
 * The x87 against real silicon. recorded/fpu.bin has what a processor answered to the cases of one seed: it is compared on every machine.
 * Where 32-bit programs can be built and run, cases of another seed are put to the processor at hand.
 *
 * To record anew (after a change of the generator):  KENNEL_RECORD_FPU=1 npx vitest run src/emu/cpu/fpu/silicon.spec.ts
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import {
  CASE_SIZE,
  formName,
  formOf,
  fpuCase,
  fpuForms,
  FpuInterpreter,
  Numbers,
} from '../../testing/silicon/fpu-cases.ts'
import { fpuDifferences } from '../../testing/silicon/fpu-differences.ts'
import { settle, type Settled } from '../../testing/silicon/settle.ts'

const RECORDING = join(import.meta.dirname, '../../testing/silicon/recorded/fpu.bin')
const ORACLE = join(import.meta.dirname, '../../../../guests/silicon/fpu-oracle.c')
const RECORDED_SEED = 20070308
const RECORDED_PER_FORM = 10
/** KENNEL_SILICON_SEED and KENNEL_SILICON_CASES as in testing/silicon/live.spec.ts. */
const wanted = process.env['KENNEL_SILICON_SEED'] ?? '1980'
const LIVE_SEED = wanted === 'new' ? Date.now() % 1_000_000 : Number(wanted)
const LIVE_PER_FORM = Number(process.env['KENNEL_SILICON_CASES'] ?? 25)

function casesOf(seed: number, perForm: number): Uint8Array[] {
  const numbers = new Numbers(seed)
  return fpuForms().flatMap((form) => Array.from({ length: perForm }, () => fpuCase(form, numbers)))
}

type Ask = (cases: readonly Uint8Array[]) => Uint8Array[]

/** Builds the oracle and hands over a function that runs cases on the processor; undefined where that cannot be done. */
function withSilicon<T>(use: (ask: Ask) => T): T | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'kennel-fpu-'))
  try {
    const program = join(folder, 'fpu-oracle')
    const flags = '-m32 -O1 -nostdlib -ffreestanding -static -fno-pie -no-pie -fno-stack-protector'.split(' ')
    if (spawnSync('gcc', [...flags, '-o', program, ORACLE]).status !== 0) return undefined
    if (spawnSync(program, { input: new Uint8Array(0) }).status !== 0) return undefined
    return use((cases) => {
      const { stdout, status } = spawnSync(program, { input: Buffer.concat(cases), maxBuffer: 1 << 30 })
      if (status !== 0 || stdout.length !== cases.length * CASE_SIZE) throw new Error('the FPU oracle died')
      return split(new Uint8Array(stdout))
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function split(records: Uint8Array): Uint8Array[] {
  return Array.from({ length: records.length / CASE_SIZE }, (_, i) => records.slice(i * CASE_SIZE, (i + 1) * CASE_SIZE))
}

/** Answers differ little from their cases: exclusive or makes them mostly zeros. */
function mix(cases: readonly Uint8Array[], others: readonly Uint8Array[]): Uint8Array[] {
  return cases.map((input, i) => input.map((byte, j) => byte ^ others[i][j]))
}

const interpreter = new FpuInterpreter()

function compare(input: Uint8Array, silicon: Uint8Array): string[] {
  return fpuDifferences(input, interpreter.run(input), silicon)
}

function inWords(cases: readonly Uint8Array[], differences: Settled<Uint8Array>['differences']): string[] {
  return differences.flatMap(({ index, lines }) =>
    lines.map((text) => `${formName(formOf(cases[index]))}, case ${index}: ${text}`),
  )
}

describe('x87', () => {
  it('does what silicon did', () => {
    const cases = casesOf(RECORDED_SEED, RECORDED_PER_FORM)
    if (process.env['KENNEL_RECORD_FPU'] !== undefined) {
      const settled = withSilicon((ask) => settle(cases, ask, compare))
      if (settled === undefined) throw new Error('no 32-bit program can be built or run here')
      writeFileSync(RECORDING, deflateRawSync(Buffer.concat(mix(cases, settled.answers)), { level: 9 }))
    }
    expect(existsSync(RECORDING)).toBe(true)
    const recorded = split(new Uint8Array(inflateRawSync(readFileSync(RECORDING))))
    expect(recorded).toHaveLength(cases.length)
    const answers = mix(cases, recorded)
    const differences = cases.map((input, index) => ({ index, lines: compare(input, answers[index]) }))
    expect(inWords(cases, differences)).toEqual([])
  })

  it('does what the silicon at hand does', (context) => {
    const cases = casesOf(LIVE_SEED, LIVE_PER_FORM)
    const settled = withSilicon((ask) => settle(cases, ask, compare))
    if (settled === undefined) return context.skip('no 32-bit program can be built or run here')
    expect(inWords(cases, settled.differences)).toEqual([])
  })
})

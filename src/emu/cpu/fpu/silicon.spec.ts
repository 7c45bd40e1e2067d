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

const RECORDING = join(import.meta.dirname, '../../testing/silicon/recorded/fpu.bin')
const ORACLE = join(import.meta.dirname, '../../../../guests/silicon/fpu-oracle.c')
const RECORDED_SEED = 20070308
const RECORDED_PER_FORM = 10
/** KENNEL_SILICON_SEED=new: cases nobody has seen before. */
const LIVE_SEED = process.env['KENNEL_SILICON_SEED'] === 'new' ? Date.now() % 1_000_000 : 1980
const LIVE_PER_FORM = 25

function casesOf(seed: number, perForm: number): Uint8Array[] {
  const numbers = new Numbers(seed)
  return fpuForms().flatMap((form) => Array.from({ length: perForm }, () => fpuCase(form, numbers)))
}

/** Runs cases on the processor; undefined where that cannot be done. */
function askSilicon(cases: readonly Uint8Array[]): Uint8Array[] | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'kennel-fpu-'))
  try {
    const program = join(folder, 'fpu-oracle')
    const flags = '-m32 -O1 -nostdlib -ffreestanding -static -fno-pie -no-pie -fno-stack-protector'.split(' ')
    if (spawnSync('gcc', [...flags, '-o', program, ORACLE]).status !== 0) return undefined
    const result = spawnSync(program, { input: Buffer.concat(cases), maxBuffer: 1 << 30 })
    if (result.stdout === null || result.stdout.length !== cases.length * CASE_SIZE) return undefined
    return split(new Uint8Array(result.stdout))
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

function compareAll(cases: readonly Uint8Array[], silicon: readonly Uint8Array[]): string[] {
  const interpreter = new FpuInterpreter()
  return cases.flatMap((input, i) => {
    const form = formName(formOf(input))
    return fpuDifferences(input, interpreter.run(input), silicon[i]).map((text) => `${form}, case ${i}: ${text}`)
  })
}

describe('x87', () => {
  it('does what silicon did', () => {
    const cases = casesOf(RECORDED_SEED, RECORDED_PER_FORM)
    if (process.env['KENNEL_RECORD_FPU'] !== undefined) {
      const answers = askSilicon(cases)
      if (answers === undefined) throw new Error('no 32-bit program can be built or run here')
      writeFileSync(RECORDING, deflateRawSync(Buffer.concat(mix(cases, answers)), { level: 9 }))
    }
    expect(existsSync(RECORDING)).toBe(true)
    const recorded = split(new Uint8Array(inflateRawSync(readFileSync(RECORDING))))
    expect(recorded).toHaveLength(cases.length)
    expect(compareAll(cases, mix(cases, recorded))).toEqual([])
  })

  it('does what the silicon at hand does', (context) => {
    const cases = casesOf(LIVE_SEED, LIVE_PER_FORM)
    const answers = askSilicon(cases)
    if (answers === undefined) return context.skip('no 32-bit program can be built or run here')
    expect(compareAll(cases, answers)).toEqual([])
  })
})

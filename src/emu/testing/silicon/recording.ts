/**
 * Recorded silicon: what a real processor made of generated cases, kept small. The cases themselves are not kept: the generator
 * makes the same ones again from the seed, and a fingerprint of each group of cases tells when it does not any more (then
 * scripts/record-silicon.mjs must record anew). Of each result only what the instruction changed is kept.
 *
 *     'KREC' | cs | ss | based selector | seed | cases a group | length, name of the processor
 *     a group for each variant of each form, in order:  fingerprint | its results
 *     a result:  u16 what follows (CHANGED_*) | registers | eflags | eip | vector, error code, cr2 | selectors | u64 map, bytes
 *
 * Numbers are little-endian u32 where nothing else is said. Flags that are undefined are recorded as they were before.
 */
import { forms } from './forms.ts'
import { type GeneratedCase, generateCases, variantsOf } from './generate.ts'
import {
  CASE_SIZE,
  CODE_START,
  encodeCase,
  MEMORY_SIZE,
  NO_FAULT,
  type Selectors,
  type TestCase,
  type TestResult,
} from './protocol.ts'
import { ignoredFlags } from './undefined.ts'

const MAGIC = 0x4345524b // "KREC"
/** Bits 0-7: the general registers. */
const CHANGED_EFLAGS = 1 << 8
/** EIP is not just behind the instruction. */
const CHANGED_EIP = 1 << 9
const FAULTED = 1 << 10
const CHANGED_SELECTORS = 1 << 11
const CHANGED_MEMORY = 1 << 12

export interface RecordingInfo {
  readonly selectors: Selectors
  readonly seed: number
  readonly casesPerGroup: number
  readonly processor: string
}

/** The cases of one variant of a form, and what silicon made of them. */
export interface RecordedGroup {
  readonly cases: readonly GeneratedCase[]
  readonly results: readonly TestResult[]
}

export interface Recording extends RecordingInfo {
  readonly groups: readonly RecordedGroup[]
}

/** Thrown when the generator no longer makes the cases that were recorded. */
export class StaleRecording extends Error {
  constructor(group: string) {
    super(
      `the generator makes other cases for ${group} than when silicon was recorded; ` +
        'on an x86 Linux machine run: node scripts/record-silicon.mjs',
    )
  }
}

/** All groups' cases, as a recording of this kind has them. */
export function recordedCases(info: Omit<RecordingInfo, 'processor'>): GeneratedCase[][] {
  return forms.flatMap((form) =>
    variantsOf(form).map((variant) => generateCases(form, variant, info.selectors, info.casesPerGroup, info.seed)),
  )
}

/** The recording as bytes; to be compressed. */
export function encodeRecording({ selectors, seed, casesPerGroup, processor, groups }: Recording): Uint8Array {
  const out = new Writer()
  for (const word of [MAGIC, selectors.cs, selectors.ss, selectors.based, seed, casesPerGroup]) out.u32(word)
  const name = new TextEncoder().encode(processor)
  out.u32(name.length)
  for (const byte of name) out.u8(byte)
  for (const { cases, results } of groups) {
    out.u32(fingerprint(cases))
    cases.forEach((made, i) => writeResult(out, made, selectors, results[i] as TestResult))
  }
  return out.bytes()
}

/** Throws StaleRecording. */
export function decodeRecording(bytes: Uint8Array): Recording {
  const from = new Reader(bytes)
  if (from.u32() !== MAGIC) throw new Error('not a recording of silicon')
  const selectors = { cs: from.u32(), ss: from.u32(), based: from.u32() }
  const seed = from.u32()
  const casesPerGroup = from.u32()
  const name = Uint8Array.from({ length: from.u32() }, () => from.u8())
  const groups = recordedCases({ selectors, seed, casesPerGroup }).map((cases) => {
    if (from.u32() !== fingerprint(cases)) throw new StaleRecording(groupName(cases[0] as GeneratedCase))
    return { cases, results: cases.map(({ test }) => readResult(from, test, selectors)) }
  })
  return { selectors, seed, casesPerGroup, processor: new TextDecoder().decode(name), groups }
}

/** "f7/3 neg, 16-bit, memory": for messages. */
export function groupName({ form, variant }: GeneratedCase): string {
  const digit = form.digit >= 0 ? `/${form.digit}` : ''
  const lock = variant.lock ? ', lock' : ''
  return `${form.opcode.toString(16)}${digit} ${form.name}, ${variant.operandSize}-bit, ${variant.operand}${lock}`
}

/** FNV-1a over the cases as the oracle reads them. */
function fingerprint(cases: readonly GeneratedCase[]): number {
  const bytes = new Uint8Array(CASE_SIZE)
  const view = new DataView(bytes.buffer)
  let hash = 0x811c9dc5
  for (const { test } of cases) {
    encodeCase(test, view, 0)
    for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193)
  }
  return hash >>> 0
}

/** es, ds, fs, gs before the case. */
function initialSelectors(test: TestCase, { ss, based }: Selectors): number[] {
  const data = test.options !== 0 ? based : ss
  return [data, data, based, 0]
}

function writeResult(out: Writer, made: GeneratedCase, selectors: Selectors, result: TestResult): void {
  const { test } = made
  const undefinedBits = ignoredFlags(made, result)
  const eflags = ((result.eflags & ~undefinedBits) | (test.eflags & undefinedBits)) >>> 0
  const before = initialSelectors(test, selectors)
  let changed = 0
  for (let i = 0; i < 8; i++) if (result.gpr[i] !== test.gpr[i]) changed |= 1 << i
  if (eflags !== test.eflags) changed |= CHANGED_EFLAGS
  if (result.eip !== CODE_START + test.code.length) changed |= CHANGED_EIP
  if (result.vector !== NO_FAULT) changed |= FAULTED
  if (before.some((selector, i) => selector !== result.selectors[i])) changed |= CHANGED_SELECTORS
  if (result.memory.some((byte, i) => byte !== test.memory[i])) changed |= CHANGED_MEMORY
  out.u16(changed)
  for (let i = 0; i < 8; i++) if (changed & (1 << i)) out.u32(result.gpr[i] as number)
  if (changed & CHANGED_EFLAGS) out.u32(eflags)
  if (changed & CHANGED_EIP) out.u32(result.eip)
  if (changed & FAULTED) {
    out.u8(result.vector)
    out.u32(result.errorCode)
    out.u32(result.cr2)
  }
  if (changed & CHANGED_SELECTORS) for (const selector of result.selectors) out.u16(selector)
  if (changed & CHANGED_MEMORY) writeMemory(out, test.memory, result.memory)
}

function writeMemory(out: Writer, before: Uint8Array, after: Uint8Array): void {
  for (let at = 0; at < MEMORY_SIZE; at += 8) {
    let map = 0
    for (let i = 0; i < 8; i++) if (after[at + i] !== before[at + i]) map |= 1 << i
    out.u8(map)
  }
  after.forEach((byte, i) => {
    if (byte !== before[i]) out.u8(byte)
  })
}

function readResult(from: Reader, test: TestCase, selectors: Selectors): TestResult {
  const changed = from.u16()
  const gpr = test.gpr.slice()
  for (let i = 0; i < 8; i++) if (changed & (1 << i)) gpr[i] = from.u32()
  const eflags = changed & CHANGED_EFLAGS ? from.u32() : test.eflags
  const eip = changed & CHANGED_EIP ? from.u32() : CODE_START + test.code.length
  const faulted = (changed & FAULTED) !== 0
  const vector = faulted ? from.u8() : NO_FAULT
  const errorCode = faulted ? from.u32() : 0
  const cr2 = faulted ? from.u32() : 0
  const after = initialSelectors(test, selectors)
  if (changed & CHANGED_SELECTORS) for (let i = 0; i < 4; i++) after[i] = from.u16()
  const memory = test.memory.slice()
  if (changed & CHANGED_MEMORY) readMemory(from, memory)
  return { gpr, eflags, eip, vector, errorCode, cr2, selectors: Uint32Array.from(after), memory }
}

function readMemory(from: Reader, memory: Uint8Array): void {
  const maps = Array.from({ length: MEMORY_SIZE / 8 }, () => from.u8())
  maps.forEach((map, group) => {
    for (let i = 0; i < 8; i++) if (map & (1 << i)) memory[group * 8 + i] = from.u8()
  })
}

class Writer {
  private readonly out: number[] = []
  u8(value: number): void {
    this.out.push(value & 0xff)
  }
  u16(value: number): void {
    this.u8(value)
    this.u8(value >>> 8)
  }
  u32(value: number): void {
    this.u16(value)
    this.u16(value >>> 16)
  }
  bytes(): Uint8Array {
    return Uint8Array.from(this.out)
  }
}

class Reader {
  private at = 0
  private readonly view: DataView
  constructor(bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }
  u8(): number {
    return this.view.getUint8(this.at++)
  }
  u16(): number {
    this.at += 2
    return this.view.getUint16(this.at - 2, true)
  }
  u32(): number {
    this.at += 4
    return this.view.getUint32(this.at - 4, true)
  }
}

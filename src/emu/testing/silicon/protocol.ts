/**
 * What a test of one instruction is, and how it travels to and from the silicon oracle (guests/silicon/oracle.c, which draws
 * the memory map and explains the mechanism). Subjects - silicon, interpreter, later the translator - take a TestCase and
 * give a TestResult.
 *
 * All numbers are unsigned 32-bit. Results are normalised: a case that ran to its end has vector NO_FAULT and the EIP it
 * reached; one that raised an exception has its vector, and EIP as the exception frame has it.
 */

import { trapHasErrorCode } from '../../layout/x86.ts'

/** The instruction is at CODE_START; the rest of its page is INT3. */
export const CODE_PAGE = 0x200000
export const CODE_START = 0x200800
/** One page, with nothing mapped before or behind it. */
export const DATA_PAGE = 0x300000
/** A case's memory: the last bytes of the data page. */
export const MEMORY_SIZE = 64
export const MEMORY = DATA_PAGE + 0x1000 - MEMORY_SIZE
export const MAX_INSTRUCTION = 15
/** Options: DS and ES hold the based segment (base DATA_PAGE, limit 0xFFF) instead of the flat one. FS always does. */
export const OPTION_BASED = 1
/** SS is a 16-bit stack segment of the same base and limit; CS is a flat 16-bit code segment. */
export const OPTION_STACK16 = 2
export const OPTION_CODE16 = 4

export const NO_FAULT = 0xff

export const EAX = 0
export const ECX = 1
export const EDX = 2
export const EBX = 3
export const ESP = 4
export const EBP = 5
export const ESI = 6
export const EDI = 7

export interface TestCase {
  /** eax ecx edx ebx esp ebp esi edi */
  readonly gpr: Uint32Array
  /** IF and bit 1 are always set; TF, AC and the bits user mode cannot change are clear. */
  readonly eflags: number
  readonly options: number
  readonly code: Uint8Array
  /** MEMORY_SIZE bytes. */
  readonly memory: Uint8Array
}

export interface TestResult {
  readonly gpr: Uint32Array
  readonly eflags: number
  readonly eip: number
  readonly vector: number
  /** 0 when the exception has none. */
  readonly errorCode: number
  /** Only meaningful for vector 14; 0 otherwise. */
  readonly cr2: number
  /** es, ds, fs, gs */
  readonly selectors: Uint32Array
  readonly memory: Uint8Array
}

/** The selectors the operating system gave the oracle: the subject's descriptor table has the same ones. */
export interface Selectors {
  readonly cs: number
  readonly ss: number
  readonly based: number
}

/** What the oracle says of itself. */
export interface Greeting {
  readonly selectors: Selectors
  /** OPTION_STACK16 and OPTION_CODE16 can be had. */
  readonly has16Bit: boolean
}

/** The 16-bit segments' selectors: the first entries of an LDT. */
export const CODE16 = 0x07
export const STACK16 = 0x0f

export const CASE_SIZE = 8 * 4 + 2 * 4 + 1 + MAX_INSTRUCTION + MEMORY_SIZE
export const RESULT_SIZE = 8 * 4 + 5 * 4 + 4 * 4 + MEMORY_SIZE
export const HEADER_SIZE = 24
const MAGIC = 0x4c49534b // "KSIL"

const FLAG_RF = 0x10000

/** One case as the oracle reads it. */
export function encodeCase(test: TestCase, into: DataView, at: number): void {
  test.gpr.forEach((value, i) => into.setUint32(at + i * 4, value, true))
  into.setUint32(at + 32, test.eflags, true)
  into.setUint32(at + 36, test.options, true)
  into.setUint8(at + 40, test.code.length)
  const bytes = new Uint8Array(into.buffer, into.byteOffset, into.byteLength)
  bytes.fill(0, at + 41, at + 41 + MAX_INSTRUCTION)
  bytes.set(test.code, at + 41)
  bytes.set(test.memory, at + 41 + MAX_INSTRUCTION)
}

export function decodeCase(from: DataView, at: number): TestCase {
  const bytes = new Uint8Array(from.buffer, from.byteOffset, from.byteLength)
  return {
    gpr: Uint32Array.from({ length: 8 }, (_, i) => from.getUint32(at + i * 4, true)),
    eflags: from.getUint32(at + 32, true),
    options: from.getUint32(at + 36, true),
    code: bytes.slice(at + 41, at + 41 + from.getUint8(at + 40)),
    memory: bytes.slice(at + 41 + MAX_INSTRUCTION, at + CASE_SIZE),
  }
}

/** The oracle's greeting. Throws when it is something else. */
export function decodeHeader(from: DataView): Greeting {
  if (from.byteLength < HEADER_SIZE || from.getUint32(0, true) !== MAGIC)
    throw new Error('not the output of the oracle')
  const word = (i: number): number => from.getUint32(i * 4, true)
  const selectors = { cs: word(1), ss: word(2), based: word(3) }
  return { selectors, has16Bit: word(4) === CODE16 && word(5) === STACK16 }
}

/** EIP just behind the instruction. */
export function endOf(test: TestCase): number {
  return CODE_START + test.code.length
}

/**
 * A raw result, normalised. The INT3 behind the instruction shows as vector 3 one byte further than where the instruction
 * ended; a branch to an address that is not mapped shows as a page fault of the fetch there.
 */
export function normalise(test: TestCase, raw: TestResult): TestResult {
  let { eflags, eip, vector } = raw
  if (vector === 3 && eip !== endOf(test)) {
    vector = NO_FAULT
    eip -= 1
  } else if (vector === 14 && raw.cr2 === eip) {
    vector = NO_FAULT
    eflags &= ~FLAG_RF
  }
  return {
    ...raw,
    eflags,
    eip,
    vector,
    errorCode: vector !== NO_FAULT && trapHasErrorCode(vector) ? raw.errorCode : 0,
    cr2: vector === 14 ? raw.cr2 : 0,
  }
}

/** One raw result of the oracle, normalised. */
export function decodeResult(from: DataView, at: number, test: TestCase): TestResult {
  const word = (i: number): number => from.getUint32(at + i * 4, true)
  return normalise(test, {
    gpr: Uint32Array.from({ length: 8 }, (_, i) => word(i)),
    eflags: word(8),
    eip: word(9),
    vector: word(10),
    errorCode: word(11),
    cr2: word(12),
    selectors: Uint32Array.from({ length: 4 }, (_, i) => word(13 + i)),
    memory: new Uint8Array(from.buffer, from.byteOffset + at + 17 * 4, MEMORY_SIZE).slice(),
  })
}

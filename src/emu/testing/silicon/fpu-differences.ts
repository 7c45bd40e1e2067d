/**
 * What differs between the interpreter's and a processor's record of one x87 case (fpu-cases.ts). Where processors differ among
 * themselves, or the manual promises nothing, the place is left out; every such place has a name here.
 */
import {
  CASE_EAX,
  CASE_EFLAGS,
  CASE_MEMORY,
  CASE_STATE,
  formName,
  formOf,
  FXRSTOR_FXSAVE,
  FXSAVE,
  MEMORY_SIZE,
  STATE_DP,
  STATE_IP,
  STATE_OPCODE,
  STATE_REGISTERS,
  STATE_STATUS,
  STATE_TAG,
  STATUS_FLAGS,
} from './fpu-cases.ts'

const C1 = 0x200
const PE = 0x20
const ES_AND_B = 0x8080
const EXPONENT_BIAS = 0x3fff
const F2XM1 = 'd9 f0'
const FYL2XP1 = 'd9 f9'

/**
 * F2XM1, FYL2X, FPTAN, FPATAN, FYL2XP1, FSINCOS, FSIN, FCOS: the manual promises the result within one unit of the last place (volume 1,
 * 8.3.10), so it may be rounded the other way too, or be taken for inexact.
 */
const TRANSCENDENTAL = new Set([F2XM1, 'd9 f1', 'd9 f2', 'd9 f3', FYL2XP1, 'd9 fb', 'd9 fe', 'd9 ff'])

/** Operands for which the manual promises no result: finite ones outside -1 to 1 for F2XM1, outside +-(1 - sqrt 1/2) for FYL2XP1. */
function isUnpromised(name: string, input: DataView): boolean {
  if (name !== F2XM1 && name !== FYL2XP1) return false
  const exponent = input.getUint16(STATE_REGISTERS + 8, true) & 0x7fff
  const significand = input.getBigUint64(STATE_REGISTERS, true)
  if (exponent === 0x7fff || (exponent !== 0 && significand < 1n << 63n)) return false
  if (name === F2XM1) return exponent > EXPONENT_BIAS || (exponent === EXPONENT_BIAS && significand > 1n << 63n)
  return exponent >= EXPONENT_BIAS - 2 && (exponent > EXPONENT_BIAS - 2 || significand > 0x95f619980c4336f7n)
}

/** Memory bytes that are not compared. FCS and FDS are zero on newer processors (CPUID.7.EBX bit 13). */
function isLeftOut(name: string, byte: number): boolean {
  switch (name) {
    case 'd9 31':
    case 'dd 31':
      return (byte >= 16 && byte < 18) || (byte >= 24 && byte < 26)
    case '66 d9 31':
    case '66 dd 31':
      return (byte >= 8 && byte < 10) || (byte >= 12 && byte < 14)
    case formName(FXSAVE):
    case formName(FXRSTOR_FXSAVE):
      if ((byte >= 12 && byte < 14) || (byte >= 20 && byte < 22)) return true
      // MXCSR_MASK is the model's. MXCSR and XMM registers are whatever they were, unless FXRSTOR has just loaded them.
      if (byte >= 28 && byte < 32) return true
      return name === formName(FXSAVE) && ((byte >= 24 && byte < 28) || (byte >= 160 && byte < 288))
    default:
      return false
  }
}

/** FOP, FIP, FCS, FDP, FDS in the FXSAVE image. */
const FXSAVE_POINTERS = 6
const FXSAVE_POINTERS_END = 24

/** AMD's FXSAVE stores the pointers only while an unmasked exception is pending (AMD manual, volume 5, FXSAVE), else zeros. */
function notesNoPointers(name: string, silicon: Uint8Array): boolean {
  if (name !== formName(FXSAVE) && name !== formName(FXRSTOR_FXSAVE)) return false
  return silicon.subarray(CASE_MEMORY + FXSAVE_POINTERS, CASE_MEMORY + FXSAVE_POINTERS_END).every((byte) => byte === 0)
}

/** What differs between two records of one case, in words; empty when nothing does. */
export function fpuDifferences(input: Uint8Array, ours: Uint8Array, silicon: Uint8Array): string[] {
  const differences: string[] = []
  const name = formName(formOf(input))
  const before = new DataView(input.buffer, input.byteOffset)
  if (isUnpromised(name, before)) return differences
  const a = new DataView(ours.buffer, ours.byteOffset)
  const b = new DataView(silicon.buffer, silicon.byteOffset)
  const approximate = TRANSCENDENTAL.has(name)
  const word = (what: string, at: number, mask: number): void => {
    const [x, y] = [a.getUint32(at, true) & mask, b.getUint32(at, true) & mask]
    if (x !== y) differences.push(`${what} ${(x >>> 0).toString(16)}, silicon ${(y >>> 0).toString(16)}`)
  }
  word('eflags', CASE_EFLAGS, STATUS_FLAGS)
  word('eax', CASE_EAX, -1)
  word('control', CASE_STATE, 0xffff)
  word('status', STATE_STATUS, 0xffff & ~(approximate ? roundingBits(before) : 0))
  word('tag', STATE_TAG, 0xffff)
  word('ip', STATE_IP, -1)
  // Newer processors note FOP and FDP for unmasked exceptions only (CPUID.7.EBX bit 6): compared where they did.
  const noted = (at: number, mask: number): boolean =>
    ((before.getUint32(at, true) ^ b.getUint32(at, true)) & mask) !== 0
  if (noted(STATE_OPCODE, 0x7ff)) word('opcode', STATE_OPCODE, 0x7ff)
  if (noted(STATE_DP, -1)) word('dp', STATE_DP, -1)
  for (let i = 0; i < 8; i++) {
    const at = STATE_REGISTERS + i * 10
    if (!sameFloat(a, b, at, approximate)) differences.push(`st${i} ${float80(a, at)}, silicon ${float80(b, at)}`)
  }
  const unnoted = notesNoPointers(name, silicon)
  for (let i = 0; i < MEMORY_SIZE; i++) {
    if (ours[CASE_MEMORY + i] === silicon[CASE_MEMORY + i] || isLeftOut(name, i)) continue
    if (unnoted && i >= FXSAVE_POINTERS && i < FXSAVE_POINTERS_END) continue
    differences.push(`memory at ${i}: ${hexBytes(ours, i)}, silicon ${hexBytes(silicon, i)}`)
    break
  }
  return differences
}

/** Status bits that say how a result was rounded: C1, PE, and ES and B when PE is unmasked. */
function roundingBits(before: DataView): number {
  const unmasked = (before.getUint16(CASE_STATE, true) & PE) === 0
  return C1 | PE | (unmasked ? ES_AND_B : 0)
}

function hexBytes(record: Uint8Array, at: number): string {
  const bytes = record.subarray(CASE_MEMORY + at, CASE_MEMORY + at + 10)
  return [...bytes].map((x) => x.toString(16).padStart(2, '0')).join(' ')
}

function significand(view: DataView, at: number): bigint {
  return view.getBigUint64(at, true)
}

/** The same number; when `approximate`, one unit of the last place more or less is the same too, of a finite number. */
function sameFloat(a: DataView, b: DataView, at: number, approximate: boolean): boolean {
  const [x, y] = [a.getUint16(at + 8, true), b.getUint16(at + 8, true)]
  const difference = significand(a, at) - significand(b, at)
  if (x === y && difference === 0n) return true
  if (!approximate || (x & 0x7fff) === 0x7fff || (y & 0x7fff) === 0x7fff) return false
  if (x === y) return difference === 1n || difference === -1n
  // One unit across a power of two.
  const [low, high] = x < y ? [significand(a, at), significand(b, at)] : [significand(b, at), significand(a, at)]
  return Math.abs(x - y) === 1 && low === 0xffff_ffff_ffff_ffffn && high === 1n << 63n
}

function float80(view: DataView, at: number): string {
  return `${view.getUint16(at + 8, true).toString(16)}:${significand(view, at).toString(16).padStart(16, '0')}`
}

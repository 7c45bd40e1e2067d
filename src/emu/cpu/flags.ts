/**
 * Lazy flags. An arithmetic instruction stores what it did (kind, result, both operands) and nothing else; the six status
 * flags are computed from that record when somebody asks. The record is in the CPU's state block, so any engine can go
 * on from it.
 *
 *   flag_op      0: eflags is complete.  Otherwise kind | shift << 8
 *   flag_result, flag_src, flag_aux
 *                operands and result shifted left by `shift`, so that an 8- or 16-bit operand's sign is in bit 31 and one
 *                formula serves all sizes. flag_src is the second operand, flag_aux the first.
 *                FLAGS_INC and FLAGS_DEC keep CF: flag_src holds it.
 */
import { type CpuState, S_EFLAGS, S_FLAG_AUX, S_FLAG_OP, S_FLAG_RESULT, S_FLAG_SRC } from '../layout/cpu-state.ts'
import { FLAG_AF, FLAG_CF, FLAG_OF, FLAG_PF, FLAG_SF, FLAG_ZF, FLAGS_STATUS } from '../layout/x86.ts'

export const FLAGS_COMPLETE = 0
/** ADD, ADC. */
export const FLAGS_ADD = 1
/** SUB, SBB, CMP, NEG. */
export const FLAGS_SUB = 2
/** AND, OR, XOR, TEST: CF, OF, AF are 0. */
export const FLAGS_LOGIC = 3
export const FLAGS_INC = 4
export const FLAGS_DEC = 5
/** Shifts and multiplications: flag_src is CF | OF << 1, AF is 0. */
export const FLAGS_SHIFT = 6

/** flag_op values by operand size; the shift is 0, 16 or 24. */
export const ADD32 = FLAGS_ADD
export const ADD16 = FLAGS_ADD | (16 << 8)
export const ADD8 = FLAGS_ADD | (24 << 8)
export const SUB32 = FLAGS_SUB
export const SUB16 = FLAGS_SUB | (16 << 8)
export const SUB8 = FLAGS_SUB | (24 << 8)
export const LOGIC32 = FLAGS_LOGIC
export const LOGIC16 = FLAGS_LOGIC | (16 << 8)
export const LOGIC8 = FLAGS_LOGIC | (24 << 8)
export const INC32 = FLAGS_INC
export const INC16 = FLAGS_INC | (16 << 8)
export const INC8 = FLAGS_INC | (24 << 8)
export const DEC32 = FLAGS_DEC
export const DEC16 = FLAGS_DEC | (16 << 8)
export const DEC8 = FLAGS_DEC | (24 << 8)

/** Records a result; operands and result already shifted into the high bits. */
export function recordFlags(cpu: CpuState, op: number, result: number, src: number, aux: number): void {
  const st = cpu.st
  st[S_FLAG_OP] = op
  st[S_FLAG_RESULT] = result
  st[S_FLAG_SRC] = src
  st[S_FLAG_AUX] = aux
}

/** Records the result of a shift or multiplication of `bits` bits, with CF and OF as 0 or 1. */
export function recordShift(cpu: CpuState, result: number, bits: number, cf: number, of: number): void {
  const st = cpu.st
  st[S_FLAG_OP] = FLAGS_SHIFT | ((32 - bits) << 8)
  st[S_FLAG_RESULT] = result << (32 - bits)
  st[S_FLAG_SRC] = cf | (of << 1)
}

/** CF as 0 or 1. */
export function getCF(cpu: CpuState): number {
  const st = cpu.st
  const op = st[S_FLAG_OP] & 0xff
  if (op === FLAGS_COMPLETE) return st[S_EFLAGS] & FLAG_CF
  const b = st[S_FLAG_SRC]
  switch (op) {
    case FLAGS_ADD: {
      const a = st[S_FLAG_AUX]
      return ((a & b) | ((a | b) & ~st[S_FLAG_RESULT])) >>> 31
    }
    case FLAGS_SUB: {
      const a = st[S_FLAG_AUX]
      return ((~a & b) | ((~a | b) & st[S_FLAG_RESULT])) >>> 31
    }
    case FLAGS_LOGIC:
      return 0
    default: // INC, DEC, SHIFT
      return b & 1
  }
}

export function getZF(cpu: CpuState): boolean {
  const st = cpu.st
  return st[S_FLAG_OP] !== 0 ? st[S_FLAG_RESULT] === 0 : (st[S_EFLAGS] & FLAG_ZF) !== 0
}

export function getSF(cpu: CpuState): boolean {
  const st = cpu.st
  return st[S_FLAG_OP] !== 0 ? st[S_FLAG_RESULT] < 0 : (st[S_EFLAGS] & FLAG_SF) !== 0
}

export function getOF(cpu: CpuState): boolean {
  const st = cpu.st
  const record = st[S_FLAG_OP]
  const result = st[S_FLAG_RESULT]
  switch (record & 0xff) {
    case FLAGS_COMPLETE:
      return (st[S_EFLAGS] & FLAG_OF) !== 0
    case FLAGS_ADD:
      return ((st[S_FLAG_AUX] ^ result) & (st[S_FLAG_SRC] ^ result)) < 0
    case FLAGS_SUB:
      return ((st[S_FLAG_AUX] ^ st[S_FLAG_SRC]) & (st[S_FLAG_AUX] ^ result)) < 0
    case FLAGS_LOGIC:
      return false
    case FLAGS_INC:
      return result === (0x80000000 | 0)
    case FLAGS_SHIFT:
      return (st[S_FLAG_SRC] & 2) !== 0
    default: // DEC: 0x80... minus one step
      return result === ((0x80000000 - (1 << (record >> 8))) | 0)
  }
}

export function getPF(cpu: CpuState): boolean {
  const st = cpu.st
  const record = st[S_FLAG_OP]
  if (record === 0) return (st[S_EFLAGS] & FLAG_PF) !== 0
  return parity(st[S_FLAG_RESULT] >>> (record >> 8))
}

export function getAF(cpu: CpuState): boolean {
  const st = cpu.st
  const record = st[S_FLAG_OP]
  const shift = record >> 8
  switch (record & 0xff) {
    case FLAGS_COMPLETE:
      return (st[S_EFLAGS] & FLAG_AF) !== 0
    case FLAGS_ADD:
    case FLAGS_SUB:
      return (((st[S_FLAG_AUX] ^ st[S_FLAG_SRC] ^ st[S_FLAG_RESULT]) >>> shift) & 0x10) !== 0
    case FLAGS_LOGIC:
    case FLAGS_SHIFT:
      return false
    case FLAGS_INC:
      return ((st[S_FLAG_RESULT] >>> shift) & 0xf) === 0
    default:
      return ((st[S_FLAG_RESULT] >>> shift) & 0xf) === 0xf
  }
}

/** True when the low byte has an even number of ones. */
export function parity(value: number): boolean {
  const byte = value & 0xff
  return ((0x9669 >>> ((byte ^ (byte >>> 4)) & 0xf)) & 1) !== 0
}

/** The six status flags as they stand in EFLAGS. */
export function statusFlags(cpu: CpuState): number {
  return (
    getCF(cpu) |
    (getPF(cpu) ? FLAG_PF : 0) |
    (getAF(cpu) ? FLAG_AF : 0) |
    (getZF(cpu) ? FLAG_ZF : 0) |
    (getSF(cpu) ? FLAG_SF : 0) |
    (getOF(cpu) ? FLAG_OF : 0)
  )
}

/** EFLAGS, complete. */
export function getEflags(cpu: CpuState): number {
  const st = cpu.st
  if (st[S_FLAG_OP] !== 0) {
    st[S_EFLAGS] = (st[S_EFLAGS] & ~FLAGS_STATUS) | statusFlags(cpu)
    st[S_FLAG_OP] = 0
  }
  return st[S_EFLAGS]
}

/** Sets all of EFLAGS as given; which bits an instruction may change is the instruction's business. */
export function setEflags(cpu: CpuState, value: number): void {
  cpu.st[S_EFLAGS] = value
  cpu.st[S_FLAG_OP] = 0
}

/** Sets the status flags named by `mask` to the bits of `value`; the others keep what they are. */
export function setStatusFlags(cpu: CpuState, mask: number, value: number): void {
  const flags = getEflags(cpu)
  cpu.st[S_EFLAGS] = (flags & ~mask) | (value & mask)
}

/** ZF, SF and PF of a result whose sign is in bit 31 after shifting left by `shift`. */
export function resultFlags(result: number, shift: number): number {
  const shifted = result << shift
  return (shifted === 0 ? FLAG_ZF : 0) | (shifted < 0 ? FLAG_SF : 0) | (parity(result) ? FLAG_PF : 0)
}

/** Condition code 0-15 of Jcc, SETcc, CMOVcc (manual 2A, table B-1). */
export function condition(cpu: CpuState, cc: number): boolean {
  switch (cc) {
    case 0:
      return getOF(cpu)
    case 1:
      return !getOF(cpu)
    case 2:
      return getCF(cpu) !== 0
    case 3:
      return getCF(cpu) === 0
    case 4:
      return getZF(cpu)
    case 5:
      return !getZF(cpu)
    case 6:
      return getZF(cpu) || getCF(cpu) !== 0
    case 7:
      return !getZF(cpu) && getCF(cpu) === 0
    case 8:
      return getSF(cpu)
    case 9:
      return !getSF(cpu)
    case 10:
      return getPF(cpu)
    case 11:
      return !getPF(cpu)
    case 12:
      return getSF(cpu) !== getOF(cpu)
    case 13:
      return getSF(cpu) === getOF(cpu)
    case 14:
      return getZF(cpu) || getSF(cpu) !== getOF(cpu)
    default:
      return !getZF(cpu) && getSF(cpu) === getOF(cpu)
  }
}

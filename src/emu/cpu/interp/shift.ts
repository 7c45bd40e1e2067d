/**
 * Shifts and rotates: ROL ROR RCL RCR SHL SHR SAL SAR, SHLD SHRD (manual 2B, "SAL/SAR/SHL/SHR", "RCL/RCR/ROL/ROR"). The
 * count is masked to five bits; a count of 0 changes nothing at all. Undefined flags are given as CPUs since the P6 give
 * them: OF is computed as for a count of 1, AF is 0.
 */
import { ECX, FLAG_CF, FLAG_OF } from '../../layout/x86.ts'
import { writeMem8, writeMem16, writeMem32 } from '../../mmu/access.ts'
import type { Cpu } from '../cpu.ts'
import { getCF, recordShift, setStatusFlags } from '../flags.ts'
import type { Handler, Insn } from '../insn.ts'
import { getReg8, operandForWrite, setReg16, setReg8 } from '../operands.ts'
import { readForWrite16, readForWrite32, readForWrite8 } from './arith.ts'

/** value: the operand, zero-extended (32-bit: unsigned). count: 1-31. Returns the result; flags are set. */
type Shift = (cpu: Cpu, value: number, count: number, bits: number) => number

const CF_OF = FLAG_CF | FLAG_OF
const bit = (value: number, n: number): number => (value >>> n) & 1

/** Flags of a rotate: only CF and OF. */
function rotated(cpu: Cpu, cf: number, of: number): void {
  setStatusFlags(cpu, CF_OF, (cf ? FLAG_CF : 0) | (of ? FLAG_OF : 0))
}
/** Flags of a shift: all six. */
const shifted = recordShift

function maskTo(value: number, bits: number): number {
  return bits === 32 ? value >>> 0 : value & ((1 << bits) - 1)
}

const rol: Shift = (cpu, value, count, bits) => {
  const n = count % bits
  const result = n === 0 ? value : maskTo((value << n) | (value >>> (bits - n)), bits)
  const cf = result & 1
  rotated(cpu, cf, bit(result, bits - 1) ^ cf)
  return result
}
const ror: Shift = (cpu, value, count, bits) => {
  const n = count % bits
  const result = n === 0 ? value : maskTo((value >>> n) | (value << (bits - n)), bits)
  const top = bit(result, bits - 1)
  rotated(cpu, top, top ^ bit(result, bits - 2))
  return result
}
const rcl: Shift = (cpu, value, count, bits) => {
  let cf = getCF(cpu)
  let result = value
  for (let n = count % (bits + 1); n > 0; n--) {
    const out = bit(result, bits - 1)
    result = maskTo((result << 1) | cf, bits)
    cf = out
  }
  rotated(cpu, cf, bit(result, bits - 1) ^ cf)
  return result
}
const rcr: Shift = (cpu, value, count, bits) => {
  let cf = getCF(cpu)
  let result = value
  for (let n = count % (bits + 1); n > 0; n--) {
    const out = result & 1
    result = (result >>> 1) | (cf ? 1 << (bits - 1) : 0)
    result = maskTo(result, bits)
    cf = out
  }
  rotated(cpu, cf, bit(result, bits - 1) ^ bit(result, bits - 2))
  return result
}
const shl: Shift = (cpu, value, count, bits) => {
  const result = maskTo(value << count, bits)
  const cf = count <= bits ? bit(value, bits - count) : 0
  shifted(cpu, result, bits, cf, bit(result, bits - 1) ^ cf)
  return result
}
const shr: Shift = (cpu, value, count, bits) => {
  const result = value >>> count
  const cf = bit(value, count - 1)
  shifted(cpu, result, bits, cf, bit(result, bits - 1) ^ bit(result, bits - 2))
  return result
}
const sar: Shift = (cpu, value, count, bits) => {
  const signed = (value << (32 - bits)) >> (32 - bits)
  const result = maskTo(signed >> count, bits)
  const cf = (signed >> (count - 1)) & 1
  shifted(cpu, result, bits, cf, 0)
  return result
}

/** By the ModRM's reg field; /6 is an alias of SHL. */
const SHIFTS: readonly Shift[] = [rol, ror, rcl, rcr, shl, shr, shl, sar]

type Count = (cpu: Cpu, insn: Insn) => number
const byOne: Count = () => 1
const byImmediate: Count = (_cpu, insn) => insn.imm & 31
const byCl: Count = (cpu) => cpu.r[ECX] & 31

function shift8(f: Shift, countOf: Count): Handler {
  return (cpu, insn) => {
    const count = countOf(cpu, insn)
    if (insn.mod === 3) {
      if (count !== 0) setReg8(cpu, insn.rm, f(cpu, getReg8(cpu, insn.rm), count, 8))
      return
    }
    const at = operandForWrite(cpu, insn, 1)
    const value = readForWrite8(cpu, at)
    if (count !== 0) writeMem8(cpu, at, f(cpu, value, count, 8))
  }
}
function shift16(f: Shift, countOf: Count): Handler {
  return (cpu, insn) => {
    const count = countOf(cpu, insn)
    if (insn.mod === 3) {
      if (count !== 0) setReg16(cpu, insn.rm, f(cpu, cpu.r[insn.rm] & 0xffff, count, 16))
      return
    }
    const at = operandForWrite(cpu, insn, 2)
    const value = readForWrite16(cpu, at)
    if (count !== 0) writeMem16(cpu, at, f(cpu, value, count, 16))
  }
}
function shift32(f: Shift, countOf: Count): Handler {
  return (cpu, insn) => {
    const count = countOf(cpu, insn)
    if (insn.mod === 3) {
      if (count !== 0) cpu.r[insn.rm] = f(cpu, cpu.r[insn.rm] >>> 0, count, 32)
      return
    }
    const at = operandForWrite(cpu, insn, 4)
    const value = readForWrite32(cpu, at)
    if (count !== 0) writeMem32(cpu, at, f(cpu, value >>> 0, count, 32))
  }
}

export interface ShiftForms {
  Eb: Handler
  Ev16: Handler
  Ev32: Handler
}
const formsBy = (countOf: Count): ShiftForms[] =>
  SHIFTS.map((f) => ({ Eb: shift8(f, countOf), Ev16: shift16(f, countOf), Ev32: shift32(f, countOf) }))

/** Indexed by the reg field. */
export const SHIFT_BY_1 = formsBy(byOne)
export const SHIFT_BY_IMM = formsBy(byImmediate)
export const SHIFT_BY_CL = formsBy(byCl)

// --- double shifts ------------------------------------------------------------------------------------------------------------

/** 16-bit counts beyond 15 are undefined; as on the P6 the operands then stand as one 48-bit ring a:b:a. */
function shld16(cpu: Cpu, a: number, b: number, count: number): number {
  const wide = ((a << 16) | b) >>> 0
  const result = count <= 16 ? (count === 16 ? b : (wide << count) >>> 16) : (((b << 16) | a) << (count - 16)) >>> 16
  const cf = count <= 16 ? bit(a, 16 - count) : bit(b, 32 - count)
  shifted(
    cpu,
    result & 0xffff,
    16,
    cf,
    bit(result, 15) ^ bit(count <= 16 ? wide : (b << 16) | a, count <= 16 ? 32 - count : 48 - count),
  )
  return result & 0xffff
}
function shrd16(cpu: Cpu, a: number, b: number, count: number): number {
  const wide = ((b << 16) | a) >>> 0
  const result = count < 16 ? wide >>> count : (((a << 16) | b) >>> 0) >>> (count - 16)
  const cf = count <= 16 ? bit(a, count - 1) : bit(b, count - 17)
  shifted(cpu, result & 0xffff, 16, cf, bit(result, 15) ^ bit(result, 14))
  return result & 0xffff
}
function shld32(cpu: Cpu, a: number, b: number, count: number): number {
  const result = (a << count) | (b >>> (32 - count))
  const cf = bit(a, 32 - count)
  shifted(cpu, result, 32, cf, bit(result, 31) ^ cf)
  return result
}
function shrd32(cpu: Cpu, a: number, b: number, count: number): number {
  const result = (a >>> count) | (b << (32 - count))
  shifted(cpu, result, 32, bit(a, count - 1), bit(result, 31) ^ bit(result, 30))
  return result
}

type Double = (cpu: Cpu, a: number, b: number, count: number) => number

function double16(f: Double, countOf: Count): Handler {
  return (cpu, insn) => {
    const count = countOf(cpu, insn)
    const source = cpu.r[insn.reg] & 0xffff
    if (insn.mod === 3) {
      if (count !== 0) setReg16(cpu, insn.rm, f(cpu, cpu.r[insn.rm] & 0xffff, source, count))
      return
    }
    const at = operandForWrite(cpu, insn, 2)
    const value = readForWrite16(cpu, at)
    if (count !== 0) writeMem16(cpu, at, f(cpu, value, source, count))
  }
}
function double32(f: Double, countOf: Count): Handler {
  return (cpu, insn) => {
    const count = countOf(cpu, insn)
    const source = cpu.r[insn.reg]
    if (insn.mod === 3) {
      if (count !== 0) cpu.r[insn.rm] = f(cpu, cpu.r[insn.rm], source, count)
      return
    }
    const at = operandForWrite(cpu, insn, 4)
    const value = readForWrite32(cpu, at)
    if (count !== 0) writeMem32(cpu, at, f(cpu, value, source, count))
  }
}
export const SHLD = {
  imm: { Ev16: double16(shld16, byImmediate), Ev32: double32(shld32, byImmediate) },
  cl: { Ev16: double16(shld16, byCl), Ev32: double32(shld32, byCl) },
}
export const SHRD = {
  imm: { Ev16: double16(shrd16, byImmediate), Ev32: double32(shrd32, byImmediate) },
  cl: { Ev16: double16(shrd16, byCl), Ev32: double32(shrd32, byCl) },
}

// --- written out: the frequent 32-bit register forms -------------------------------------------------------------------------

export const shl32RegImm: Handler = (cpu, insn) => {
  const count = insn.imm & 31
  if (count === 0) return
  const value = cpu.r[insn.rm]
  const result = value << count
  const cf = (value >>> (32 - count)) & 1
  cpu.r[insn.rm] = result
  shifted(cpu, result, 32, cf, (result >>> 31) ^ cf)
}
export const shr32RegImm: Handler = (cpu, insn) => {
  const count = insn.imm & 31
  if (count === 0) return
  const value = cpu.r[insn.rm]
  const result = value >>> count
  cpu.r[insn.rm] = result
  shifted(cpu, result, 32, (value >>> (count - 1)) & 1, ((result >>> 31) ^ (result >>> 30)) & 1)
}

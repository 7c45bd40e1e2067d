/**
 * MUL, IMUL, DIV, IDIV (manual 2A). 64-bit products are made of 16-bit pieces, 64-bit quotients by BigInt only where
 * a double cannot hold the dividend. #DE leaves everything as it was.
 *
 * Undefined flags: after a multiplication SF, ZF, AF, PF as CPUs since the P6 give them (SF, ZF and PF of the low half, AF 0); after a division nothing changes.
 */
import { EAX, EDX, TRAP_DE } from '../../layout/x86.ts'
import { raiseFault } from '../../mmu/fault.ts'
import type { Cpu } from '../cpu.ts'
import { recordShift } from '../flags.ts'
import type { Handler } from '../insn.ts'
import { getReg16, readRm16, readRm32, readRm8, setReg16 } from '../operands.ts'

function multiplyFlags(cpu: Cpu, low: number, bits: number, overflow: boolean): void {
  const of = overflow ? 1 : 0
  recordShift(cpu, low, bits, of, of)
}

/** High 32 bits of the unsigned product. */
export function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff
  const aHigh = a >>> 16
  const bLow = b & 0xffff
  const bHigh = b >>> 16
  const low = aLow * bLow
  const middle = aHigh * bLow + (low >>> 16)
  const middle2 = aLow * bHigh + (middle % 0x10000)
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(middle2 / 0x10000)) | 0
}

/** High 32 bits of the signed product. */
export function multiplyHighSigned(a: number, b: number): number {
  let high = multiplyHigh(a, b)
  if (a < 0) high = (high - b) | 0
  if (b < 0) high = (high - a) | 0
  return high
}

export const mul8: Handler = (cpu, insn) => {
  const product = (cpu.r[EAX] & 0xff) * readRm8(cpu, insn)
  setReg16(cpu, EAX, product)
  multiplyFlags(cpu, product & 0xff, 8, product > 0xff)
}
export const mul16: Handler = (cpu, insn) => {
  const product = (cpu.r[EAX] & 0xffff) * readRm16(cpu, insn)
  setReg16(cpu, EAX, product)
  setReg16(cpu, EDX, product >>> 16)
  multiplyFlags(cpu, product & 0xffff, 16, product > 0xffff)
}
export const mul32: Handler = (cpu, insn) => {
  const b = readRm32(cpu, insn)
  const a = cpu.r[EAX]
  const high = multiplyHigh(a, b)
  cpu.r[EAX] = Math.imul(a, b)
  cpu.r[EDX] = high
  multiplyFlags(cpu, cpu.r[EAX], 32, high !== 0)
}
const signed8 = (v: number): number => (v << 24) >> 24
const signed16 = (v: number): number => (v << 16) >> 16

export const imul8: Handler = (cpu, insn) => {
  const product = signed8(cpu.r[EAX]) * signed8(readRm8(cpu, insn))
  setReg16(cpu, EAX, product)
  multiplyFlags(cpu, product & 0xff, 8, signed8(product) !== product)
}
export const imul16: Handler = (cpu, insn) => {
  const product = signed16(cpu.r[EAX]) * signed16(readRm16(cpu, insn))
  setReg16(cpu, EAX, product)
  setReg16(cpu, EDX, product >> 16)
  multiplyFlags(cpu, product & 0xffff, 16, signed16(product) !== product)
}
export const imul32: Handler = (cpu, insn) => {
  const b = readRm32(cpu, insn)
  const a = cpu.r[EAX]
  const low = Math.imul(a, b)
  const high = multiplyHighSigned(a, b)
  cpu.r[EAX] = low
  cpu.r[EDX] = high
  multiplyFlags(cpu, low, 32, high !== low >> 31)
}

function imulTo16(cpu: Cpu, reg: number, a: number, b: number): void {
  const product = signed16(a) * signed16(b)
  setReg16(cpu, reg, product)
  multiplyFlags(cpu, product & 0xffff, 16, signed16(product) !== product)
}
function imulTo32(cpu: Cpu, reg: number, a: number, b: number): void {
  const low = Math.imul(a, b)
  const overflow = a * b !== low && multiplyHighSigned(a, b) !== low >> 31
  cpu.r[reg] = low
  multiplyFlags(cpu, low, 32, overflow)
}
/** IMUL Gv, Ev. */
export const imulGv16: Handler = (cpu, insn) => {
  imulTo16(cpu, insn.reg, getReg16(cpu, insn.reg), readRm16(cpu, insn))
}
export const imulGv32: Handler = (cpu, insn) => imulTo32(cpu, insn.reg, cpu.r[insn.reg], readRm32(cpu, insn))
/** IMUL Gv, Ev, imm. */
export const imulGv16Imm: Handler = (cpu, insn) => imulTo16(cpu, insn.reg, readRm16(cpu, insn), insn.imm)
export const imulGv32Imm: Handler = (cpu, insn) => imulTo32(cpu, insn.reg, readRm32(cpu, insn), insn.imm)

const divideError = (cpu: Cpu): never => raiseFault(cpu, TRAP_DE)

export const div8: Handler = (cpu, insn) => {
  const divisor = readRm8(cpu, insn)
  const dividend = cpu.r[EAX] & 0xffff
  if (divisor === 0) divideError(cpu)
  const quotient = Math.floor(dividend / divisor)
  if (quotient > 0xff) divideError(cpu)
  setReg16(cpu, EAX, quotient | ((dividend % divisor) << 8))
}
export const div16: Handler = (cpu, insn) => {
  const divisor = readRm16(cpu, insn)
  const dividend = (cpu.r[EDX] & 0xffff) * 0x10000 + (cpu.r[EAX] & 0xffff)
  if (divisor === 0) divideError(cpu)
  const quotient = Math.floor(dividend / divisor)
  if (quotient > 0xffff) divideError(cpu)
  setReg16(cpu, EAX, quotient)
  setReg16(cpu, EDX, dividend % divisor)
}
export const div32: Handler = (cpu, insn) => {
  const divisor = readRm32(cpu, insn) >>> 0
  if (divisor === 0) divideError(cpu)
  const high = cpu.r[EDX] >>> 0
  const low = cpu.r[EAX] >>> 0
  if (high >= divisor) divideError(cpu)
  if (high < 0x20_0000) {
    // Below 2^53: doubles are exact.
    const dividend = high * 0x1_0000_0000 + low
    const remainder = dividend % divisor
    cpu.r[EAX] = (dividend - remainder) / divisor
    cpu.r[EDX] = remainder
    return
  }
  const dividend = (BigInt(high) << 32n) | BigInt(low)
  const d = BigInt(divisor)
  cpu.r[EAX] = Number(dividend / d)
  cpu.r[EDX] = Number(dividend % d)
}
export const idiv8: Handler = (cpu, insn) => {
  const divisor = signed8(readRm8(cpu, insn))
  const dividend = signed16(cpu.r[EAX])
  if (divisor === 0) divideError(cpu)
  const quotient = Math.trunc(dividend / divisor)
  if (quotient > 127 || quotient < -128) divideError(cpu)
  setReg16(cpu, EAX, (quotient & 0xff) | ((dividend % divisor) << 8))
}
export const idiv16: Handler = (cpu, insn) => {
  const divisor = signed16(readRm16(cpu, insn))
  const dividend = ((cpu.r[EDX] & 0xffff) << 16) | (cpu.r[EAX] & 0xffff)
  if (divisor === 0) divideError(cpu)
  const quotient = Math.trunc(dividend / divisor)
  if (quotient > 32767 || quotient < -32768) divideError(cpu)
  setReg16(cpu, EAX, quotient)
  setReg16(cpu, EDX, dividend % divisor)
}
export const idiv32: Handler = (cpu, insn) => {
  const divisor = readRm32(cpu, insn)
  if (divisor === 0) divideError(cpu)
  const high = cpu.r[EDX]
  const low = cpu.r[EAX] >>> 0
  if (high >= -0x20_0000 && high < 0x20_0000) {
    const dividend = high * 0x1_0000_0000 + low
    const remainder = dividend % divisor
    const quotient = (dividend - remainder) / divisor
    if (quotient > 0x7fffffff || quotient < -0x80000000) divideError(cpu)
    cpu.r[EAX] = quotient
    cpu.r[EDX] = remainder
    return
  }
  const dividend = (BigInt(high) << 32n) | BigInt(low)
  const d = BigInt(divisor)
  const quotient = dividend / d
  if (quotient > 0x7fffffffn || quotient < -0x80000000n) divideError(cpu)
  cpu.r[EAX] = Number(quotient)
  cpu.r[EDX] = Number(dividend % d)
}

/**
 * Operands: the effective address, the r/m operand, immediates' registers and the stack, each in the widths
 * instructions use. Registers are read unsigned for 8 and 16 bits, signed for 32. Nothing here decides flags.
 */
import type { CpuState } from '../layout/cpu-state.ts'
import { ESP, SS } from '../layout/x86.ts'
import { readMem8, readMem16, readMem32, writeMem8, writeMem16, writeMem32 } from '../mmu/access.ts'
import type { Insn } from './insn.ts'
import { segLinear } from './segmentation.ts'

/** Offset part of a memory operand, wrapped to the address size. */
export function effectiveAddress(cpu: CpuState, insn: Insn): number {
  const r = cpu.r
  let offset = insn.disp
  if (insn.base >= 0) offset = (offset + r[insn.base]) | 0
  if (insn.index >= 0) offset = (offset + (r[insn.index] << insn.scale)) | 0
  return insn.addressSize === 2 ? offset & 0xffff : offset
}

/** Linear address of the memory operand for reading / writing `size` bytes; limits and types checked. */
export function operandForRead(cpu: CpuState, insn: Insn, size: number): number {
  return segLinear(cpu, insn.seg, effectiveAddress(cpu, insn), size, false)
}
export function operandForWrite(cpu: CpuState, insn: Insn, size: number): number {
  return segLinear(cpu, insn.seg, effectiveAddress(cpu, insn), size, true)
}

/** 8-bit registers: al cl dl bl ah ch dh bh. */
export function getReg8(cpu: CpuState, reg: number): number {
  return reg < 4 ? cpu.r[reg] & 0xff : (cpu.r[reg - 4] >>> 8) & 0xff
}
export function setReg8(cpu: CpuState, reg: number, value: number): void {
  const r = cpu.r
  if (reg < 4) r[reg] = (r[reg] & ~0xff) | (value & 0xff)
  else r[reg - 4] = (r[reg - 4] & ~0xff00) | ((value & 0xff) << 8)
}
export function getReg16(cpu: CpuState, reg: number): number {
  return cpu.r[reg] & 0xffff
}
export function setReg16(cpu: CpuState, reg: number, value: number): void {
  cpu.r[reg] = (cpu.r[reg] & ~0xffff) | (value & 0xffff)
}

export function readRm8(cpu: CpuState, insn: Insn): number {
  return insn.mod === 3 ? getReg8(cpu, insn.rm) : readMem8(cpu, operandForRead(cpu, insn, 1))
}
export function readRm16(cpu: CpuState, insn: Insn): number {
  return insn.mod === 3 ? cpu.r[insn.rm] & 0xffff : readMem16(cpu, operandForRead(cpu, insn, 2))
}
export function readRm32(cpu: CpuState, insn: Insn): number {
  return insn.mod === 3 ? cpu.r[insn.rm] : readMem32(cpu, operandForRead(cpu, insn, 4))
}
export function writeRm8(cpu: CpuState, insn: Insn, value: number): void {
  if (insn.mod === 3) setReg8(cpu, insn.rm, value)
  else writeMem8(cpu, operandForWrite(cpu, insn, 1), value)
}
export function writeRm16(cpu: CpuState, insn: Insn, value: number): void {
  if (insn.mod === 3) setReg16(cpu, insn.rm, value)
  else writeMem16(cpu, operandForWrite(cpu, insn, 2), value)
}
export function writeRm32(cpu: CpuState, insn: Insn, value: number): void {
  if (insn.mod === 3) cpu.r[insn.rm] = value
  else writeMem32(cpu, operandForWrite(cpu, insn, 4), value)
}

/** The stack pointer moved by `delta`, in the width SS.B says, without storing it. */
export function stackOffset(cpu: CpuState, delta: number): number {
  const esp = cpu.r[ESP]
  return cpu.stack32 ? (esp + delta) | 0 : (esp + delta) & 0xffff
}

/** Stores a stack offset into ESP or SP. */
export function setStackOffset(cpu: CpuState, offset: number): void {
  cpu.r[ESP] = cpu.stack32 ? offset : (cpu.r[ESP] & ~0xffff) | (offset & 0xffff)
}

export function push32(cpu: CpuState, value: number): void {
  const offset = stackOffset(cpu, -4)
  writeMem32(cpu, segLinear(cpu, SS, offset, 4, true), value)
  setStackOffset(cpu, offset)
}
export function push16(cpu: CpuState, value: number): void {
  const offset = stackOffset(cpu, -2)
  writeMem16(cpu, segLinear(cpu, SS, offset, 2, true), value)
  setStackOffset(cpu, offset)
}
export function push(cpu: CpuState, size: number, value: number): void {
  if (size === 4) push32(cpu, value)
  else push16(cpu, value)
}

/** Reads the stack at `delta` bytes above its top without popping. */
export function peekStack32(cpu: CpuState, delta: number): number {
  return readMem32(cpu, segLinear(cpu, SS, stackOffset(cpu, delta), 4, false))
}
export function peekStack16(cpu: CpuState, delta: number): number {
  return readMem16(cpu, segLinear(cpu, SS, stackOffset(cpu, delta), 2, false))
}
export function peekStack(cpu: CpuState, size: number, delta: number): number {
  return size === 4 ? peekStack32(cpu, delta) : peekStack16(cpu, delta)
}

export function pop32(cpu: CpuState): number {
  const value = peekStack32(cpu, 0)
  setStackOffset(cpu, stackOffset(cpu, 4))
  return value
}
export function pop16(cpu: CpuState): number {
  const value = peekStack16(cpu, 0)
  setStackOffset(cpu, stackOffset(cpu, 2))
  return value
}
export function pop(cpu: CpuState, size: number): number {
  return size === 4 ? pop32(cpu) : pop16(cpu)
}

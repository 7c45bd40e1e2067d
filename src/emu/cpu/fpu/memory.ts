/** Memory operands of the x87, and the data pointers (FDP, FDS) that remember them. What is read is in `words`. */
import { type CpuState, S_FPU_DP, S_FPU_DS, S_SEG_SELECTOR } from '../../layout/cpu-state.ts'
import { probeWrite, readMem16, readMem32, requireAlignment8, writeMem16, writeMem32 } from '../../mmu/access.ts'
import type { Insn } from '../insn.ts'
import { effectiveAddress } from '../operands.ts'
import { segLinear } from '../segmentation.ts'

/** Words of the last operand read, least significant first; the third counts its lower half. */
export const words = new Int32Array(3)

/** Linear address of the operand; the data pointers name it. */
function operand(cpu: CpuState, insn: Insn, size: number, write: boolean): number {
  const offset = effectiveAddress(cpu, insn)
  const linear = segLinear(cpu, insn.seg, offset, size, write)
  if (size >= 8) requireAlignment8(cpu, linear)
  if (write) probeWrite(cpu, linear, size)
  notePointer(cpu, insn, offset)
  return linear
}

function notePointer(cpu: CpuState, insn: Insn, offset: number): void {
  cpu.st[S_FPU_DP] = offset
  cpu.st[S_FPU_DS] = cpu.st[S_SEG_SELECTOR + insn.seg]
}

export function readMemory16(cpu: CpuState, insn: Insn): void {
  const offset = effectiveAddress(cpu, insn)
  words[0] = readMem16(cpu, segLinear(cpu, insn.seg, offset, 2, false))
  notePointer(cpu, insn, offset)
}

export function readMemory32(cpu: CpuState, insn: Insn): void {
  const offset = effectiveAddress(cpu, insn)
  words[0] = readMem32(cpu, segLinear(cpu, insn.seg, offset, 4, false))
  notePointer(cpu, insn, offset)
}

export function readMemory64(cpu: CpuState, insn: Insn): void {
  const offset = effectiveAddress(cpu, insn)
  const linear = segLinear(cpu, insn.seg, offset, 8, false)
  requireAlignment8(cpu, linear)
  words[0] = readMem32(cpu, linear)
  words[1] = readMem32(cpu, (linear + 4) | 0)
  notePointer(cpu, insn, offset)
}

export function readMemory80(cpu: CpuState, insn: Insn): void {
  const offset = effectiveAddress(cpu, insn)
  const linear = segLinear(cpu, insn.seg, offset, 10, false)
  requireAlignment8(cpu, linear)
  words[0] = readMem32(cpu, linear)
  words[1] = readMem32(cpu, (linear + 4) | 0)
  words[2] = readMem16(cpu, (linear + 8) | 0)
  notePointer(cpu, insn, offset)
}

/** Checks that `size` bytes can be written to the operand, before anything else happens; returns where. */
export function prepareWrite(cpu: CpuState, insn: Insn, size: number): number {
  return operand(cpu, insn, size, true)
}

/** Writes 2, 4, 8 or 10 bytes of `value` to a prepared place. */
export function writeWords(cpu: CpuState, linear: number, size: number, value: Int32Array): void {
  if (size === 2) return writeMem16(cpu, linear, value[0] & 0xffff)
  writeMem32(cpu, linear, value[0])
  if (size >= 8) writeMem32(cpu, (linear + 4) | 0, value[1])
  if (size === 10) writeMem16(cpu, (linear + 8) | 0, value[2] & 0xffff)
}

/**
 * Bits: BT BTS BTR BTC, BSF BSR (manual 2A). With a register offset a memory operand is a bit string: the offset, signed,
 * chooses the word. Undefined flags: BT and its kin leave all but CF; BSF and BSR keep CF, OF, AF, SF, PF and leave the
 * destination for a zero source, as Intel's CPUs do.
 */
import { FLAG_CF, FLAG_ZF } from '../../layout/x86.ts'
import { readMem16, readMem32, writeMem16, writeMem32 } from '../../mmu/access.ts'
import type { Cpu } from '../cpu.ts'
import { setStatusFlags } from '../flags.ts'
import type { Handler, Insn } from '../insn.ts'
import { effectiveAddress, readRm16, readRm32, setReg16 } from '../operands.ts'
import { segLinear } from '../segmentation.ts'
import { readForWrite16, readForWrite32 } from './arith.ts'

type Change = ((value: number, mask: number) => number) | null

const set: Change = (value, mask) => value | mask
const reset: Change = (value, mask) => value & ~mask
const complement: Change = (value, mask) => value ^ mask

function takeBit(cpu: Cpu, value: number, mask: number): void {
  setStatusFlags(cpu, FLAG_CF, (value & mask) !== 0 ? FLAG_CF : 0)
}

/** Linear address of the word that holds bit `offset` of the string at the operand. */
function bitString(cpu: Cpu, insn: Insn, offset: number, size: 2 | 4, write: boolean): number {
  let at = (effectiveAddress(cpu, insn) + (size === 4 ? (offset >> 5) * 4 : (offset >> 4) * 2)) | 0
  if (insn.addressSize === 2) at &= 0xffff
  return segLinear(cpu, insn.seg, at, size, write)
}

function bit16(change: Change, fromRegister: boolean): Handler {
  return (cpu, insn) => {
    const offset = fromRegister ? (cpu.r[insn.reg] << 16) >> 16 : insn.imm & 15
    const mask = 1 << (offset & 15)
    if (insn.mod === 3) {
      const value = cpu.r[insn.rm] & 0xffff
      takeBit(cpu, value, mask)
      if (change) setReg16(cpu, insn.rm, change(value, mask))
      return
    }
    const at = bitString(cpu, insn, fromRegister ? offset : 0, 2, change !== null)
    const value = change ? readForWrite16(cpu, at) : readMem16(cpu, at)
    takeBit(cpu, value, mask)
    if (change) writeMem16(cpu, at, change(value, mask))
  }
}
function bit32(change: Change, fromRegister: boolean): Handler {
  return (cpu, insn) => {
    const offset = fromRegister ? cpu.r[insn.reg] : insn.imm & 31
    const mask = 1 << (offset & 31)
    if (insn.mod === 3) {
      const value = cpu.r[insn.rm]
      takeBit(cpu, value, mask)
      if (change) cpu.r[insn.rm] = change(value, mask)
      return
    }
    const at = bitString(cpu, insn, fromRegister ? offset : 0, 4, change !== null)
    const value = change ? readForWrite32(cpu, at) : readMem32(cpu, at)
    takeBit(cpu, value, mask)
    if (change) writeMem32(cpu, at, change(value, mask))
  }
}

export interface BitForms {
  Ev16Gv: Handler
  Ev32Gv: Handler
  Ev16Ib: Handler
  Ev32Ib: Handler
}
const forms = (change: Change): BitForms => ({
  Ev16Gv: bit16(change, true),
  Ev32Gv: bit32(change, true),
  Ev16Ib: bit16(change, false),
  Ev32Ib: bit32(change, false),
})
export const BT = forms(null)
export const BTS = forms(set)
export const BTR = forms(reset)
export const BTC = forms(complement)

function scanFlags(cpu: Cpu, value: number): void {
  setStatusFlags(cpu, FLAG_ZF, value === 0 ? FLAG_ZF : 0)
}
export const bsf16: Handler = (cpu, insn) => {
  const value = readRm16(cpu, insn)
  if (value !== 0) setReg16(cpu, insn.reg, 31 - Math.clz32(value & -value))
  scanFlags(cpu, value)
}
export const bsf32: Handler = (cpu, insn) => {
  const value = readRm32(cpu, insn)
  if (value !== 0) cpu.r[insn.reg] = 31 - Math.clz32(value & -value)
  scanFlags(cpu, value)
}
export const bsr16: Handler = (cpu, insn) => {
  const value = readRm16(cpu, insn)
  if (value !== 0) setReg16(cpu, insn.reg, 31 - Math.clz32(value))
  scanFlags(cpu, value)
}
export const bsr32: Handler = (cpu, insn) => {
  const value = readRm32(cpu, insn)
  if (value !== 0) cpu.r[insn.reg] = 31 - Math.clz32(value)
  scanFlags(cpu, value)
}

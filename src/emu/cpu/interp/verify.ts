/** Selector checks that change only ZF (and a register): LAR, LSL, VERR, VERW, ARPL (manual 2A-2C). */
import { S_CPL } from '../../layout/cpu-state.ts'
import {
  DESC_CALL_GATE16,
  DESC_CALL_GATE32,
  DESC_LDT,
  DESC_TASK_GATE,
  DESC_TSS16_AVAIL,
  DESC_TSS16_BUSY,
  DESC_TSS32_AVAIL,
  DESC_TSS32_BUSY,
  FLAG_ZF,
} from '../../layout/x86.ts'
import { readMem16, writeMem16 } from '../../mmu/access.ts'
import type { Cpu } from '../cpu.ts'
import { setStatusFlags } from '../flags.ts'
import type { Handler, Insn } from '../insn.ts'
import { getReg16, operandForRead, operandForWrite, readRm16, setReg16 } from '../operands.ts'
import {
  descriptorDpl,
  descriptorLimit,
  isCode,
  isConforming,
  isNull,
  isSystem,
  newDescriptor,
  systemType,
  tryReadDescriptor,
} from '../segmentation.ts'

const d = newDescriptor()
const setZF = (cpu: Cpu, on: boolean): void => setStatusFlags(cpu, FLAG_ZF, on ? FLAG_ZF : 0)

const LSL_TYPES = [DESC_TSS16_AVAIL, DESC_LDT, DESC_TSS16_BUSY, DESC_TSS32_AVAIL, DESC_TSS32_BUSY]
const LAR_TYPES = [...LSL_TYPES, DESC_CALL_GATE16, DESC_TASK_GATE, DESC_CALL_GATE32]

/** True when the current ring may know of the segment; its descriptor is then in `d`. */
function visible(cpu: Cpu, selector: number, systemTypes: readonly number[]): boolean {
  if (isNull(selector) || !tryReadDescriptor(cpu, selector, d)) return false
  if (isSystem(d.high) && !systemTypes.includes(systemType(d.high))) return false
  if (isCode(d.high) && isConforming(d.high)) return true
  const dpl = descriptorDpl(d.high)
  return dpl >= cpu.st[S_CPL] && dpl >= (selector & 3)
}

function store(cpu: Cpu, insn: Insn, value: number): void {
  if (insn.size === 4) cpu.r[insn.reg] = value
  else setReg16(cpu, insn.reg, value)
}

export const lar: Handler = (cpu, insn) => {
  const ok = visible(cpu, readRm16(cpu, insn), LAR_TYPES)
  if (ok) store(cpu, insn, d.high & 0x00ffff00)
  setZF(cpu, ok)
}

export const lsl: Handler = (cpu, insn) => {
  const ok = visible(cpu, readRm16(cpu, insn), LSL_TYPES)
  if (ok) store(cpu, insn, descriptorLimit(d))
  setZF(cpu, ok)
}

export const verr: Handler = (cpu, insn) => {
  const ok = visible(cpu, readRm16(cpu, insn), [])
  setZF(cpu, ok && (!isCode(d.high) || (d.high & 0x200) !== 0))
}

export const verw: Handler = (cpu, insn) => {
  const ok = visible(cpu, readRm16(cpu, insn), [])
  setZF(cpu, ok && !isCode(d.high) && (d.high & 0x200) !== 0)
}

/** Reads, and writes back only when the RPL rises: only then must a memory operand be writable. */
export const arpl: Handler = (cpu, insn) => {
  const rpl = getReg16(cpu, insn.reg) & 3
  if (insn.mod === 3) {
    const selector = getReg16(cpu, insn.rm)
    if ((selector & 3) < rpl) setReg16(cpu, insn.rm, (selector & ~3) | rpl)
    setZF(cpu, (selector & 3) < rpl)
    return
  }
  const selector = readMem16(cpu, operandForRead(cpu, insn, 2))
  if ((selector & 3) < rpl) writeMem16(cpu, operandForWrite(cpu, insn, 2), (selector & ~3) | rpl)
  setZF(cpu, (selector & 3) < rpl)
}

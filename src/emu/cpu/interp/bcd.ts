/** Decimal adjustment: DAA DAS AAA AAS AAM AAD (manual 2A), and the flags they really leave. */
import { EAX, FLAG_AF, FLAG_CF, FLAGS_STATUS, TRAP_DE } from '../../layout/x86.ts'
import { raiseFault } from '../../mmu/fault.ts'
import type { Cpu } from '../cpu.ts'
import { getAF, getCF, resultFlags, setStatusFlags } from '../flags.ts'
import type { Handler } from '../insn.ts'
import { setReg16, setReg8 } from '../operands.ts'

function adjusted(cpu: Cpu, al: number, af: boolean, cf: boolean): void {
  setReg8(cpu, EAX, al)
  const flags = resultFlags(al & 0xff, 24) | (af ? FLAG_AF : 0) | (cf ? FLAG_CF : 0)
  setStatusFlags(cpu, FLAGS_STATUS, flags)
}

export const daa: Handler = (cpu) => {
  const old = cpu.r[EAX] & 0xff
  const oldCf = getCF(cpu) !== 0
  const af = (old & 0xf) > 9 || getAF(cpu)
  const cf = old > 0x99 || oldCf
  adjusted(cpu, old + (af ? 6 : 0) + (cf ? 0x60 : 0), af, cf)
}
export const das: Handler = (cpu) => {
  const old = cpu.r[EAX] & 0xff
  const oldCf = getCF(cpu) !== 0
  const af = (old & 0xf) > 9 || getAF(cpu)
  const high = old > 0x99 || oldCf
  const cf = high || (af && old < 6)
  adjusted(cpu, old - (af ? 6 : 0) - (high ? 0x60 : 0), af, cf)
}

function ascii(cpu: Cpu, sign: 1 | -1): void {
  const ax = cpu.r[EAX] & 0xffff
  const adjust = (ax & 0xf) > 9 || getAF(cpu)
  const result = adjust ? ax + sign * 0x106 : ax
  // PF, ZF and SF come of AL before its high half is cleared.
  const flags = resultFlags(result & 0xff, 24) | (adjust ? FLAG_AF | FLAG_CF : 0)
  setReg16(cpu, EAX, result & 0xff0f)
  setStatusFlags(cpu, FLAGS_STATUS, flags)
}
export const aaa: Handler = (cpu) => ascii(cpu, 1)
export const aas: Handler = (cpu) => ascii(cpu, -1)

export const aam: Handler = (cpu, insn) => {
  const base = insn.imm & 0xff
  if (base === 0) raiseFault(cpu, TRAP_DE)
  const al = cpu.r[EAX] & 0xff
  const low = al % base
  setReg16(cpu, EAX, (Math.floor(al / base) << 8) | low)
  setStatusFlags(cpu, FLAGS_STATUS, resultFlags(low, 24))
}
export const aad: Handler = (cpu, insn) => {
  const ax = cpu.r[EAX]
  const al = ((ax & 0xff) + ((ax >>> 8) & 0xff) * (insn.imm & 0xff)) & 0xff
  setReg16(cpu, EAX, al)
  setStatusFlags(cpu, FLAGS_STATUS, resultFlags(al, 24))
}

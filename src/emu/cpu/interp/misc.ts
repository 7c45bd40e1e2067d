/** What is left: NOP, sign extensions, LAHF/SAHF, SALC, the flag instructions, BOUND. */
import { S_EFLAGS } from '../../layout/cpu-state.ts'
import { EAX, EDX, FLAG_AF, FLAG_CF, FLAG_DF, FLAG_PF, FLAG_SF, FLAG_ZF, TRAP_BR, TRAP_UD } from '../../layout/x86.ts'
import { readMem16, readMem32 } from '../../mmu/access.ts'
import { raiseFault } from '../../mmu/fault.ts'
import type { Cpu } from '../cpu.ts'
import { getCF, getEflags, setStatusFlags } from '../flags.ts'
import type { Handler, Insn } from '../insn.ts'
import { effectiveAddress, getReg16, setReg16, setReg8 } from '../operands.ts'
import { segLinear } from '../segmentation.ts'

export const nop: Handler = () => {}

export const cbw: Handler = (cpu) => setReg16(cpu, EAX, (cpu.r[EAX] << 24) >> 24)
export const cwde: Handler = (cpu) => {
  cpu.r[EAX] = (cpu.r[EAX] << 16) >> 16
}
export const cwd: Handler = (cpu) => setReg16(cpu, EDX, (cpu.r[EAX] << 16) >> 31)
export const cdq: Handler = (cpu) => {
  cpu.r[EDX] = cpu.r[EAX] >> 31
}

const SAHF_FLAGS = FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF | FLAG_CF
export const lahf: Handler = (cpu) => setReg8(cpu, 4, (getEflags(cpu) & SAHF_FLAGS) | 2)
export const sahf: Handler = (cpu) => setStatusFlags(cpu, SAHF_FLAGS, cpu.r[EAX] >>> 8)

export const clc: Handler = (cpu) => setStatusFlags(cpu, FLAG_CF, 0)
export const stc: Handler = (cpu) => setStatusFlags(cpu, FLAG_CF, FLAG_CF)
export const cmc: Handler = (cpu) => setStatusFlags(cpu, FLAG_CF, getCF(cpu) ? 0 : FLAG_CF)
export const cld: Handler = (cpu) => {
  cpu.st[S_EFLAGS] &= ~FLAG_DF
}
export const std: Handler = (cpu) => {
  cpu.st[S_EFLAGS] |= FLAG_DF
}
/** SALC (D6): AL = CF ? FF : 0. */
export const salc: Handler = (cpu) => setReg8(cpu, EAX, getCF(cpu) ? 0xff : 0)

/** Linear address of one of BOUND's two limits, a number of `size` bytes. */
const boundAt = (cpu: Cpu, insn: Insn, size: number, which: 0 | 1): number =>
  segLinear(cpu, insn.seg, (effectiveAddress(cpu, insn) + which * size) | 0, size, false)

/** The upper limit is not read when the index is below the lower: silicon raises #BR there, though the next page be missing. */
export const bound16: Handler = (cpu, insn) => {
  if (insn.mod === 3) raiseFault(cpu, TRAP_UD)
  const index = (getReg16(cpu, insn.reg) << 16) >> 16
  if (index < (readMem16(cpu, boundAt(cpu, insn, 2, 0)) << 16) >> 16) raiseFault(cpu, TRAP_BR)
  if (index > (readMem16(cpu, boundAt(cpu, insn, 2, 1)) << 16) >> 16) raiseFault(cpu, TRAP_BR)
}
export const bound32: Handler = (cpu, insn) => {
  if (insn.mod === 3) raiseFault(cpu, TRAP_UD)
  const index = cpu.r[insn.reg]
  if (index < readMem32(cpu, boundAt(cpu, insn, 4, 0))) raiseFault(cpu, TRAP_BR)
  if (index > readMem32(cpu, boundAt(cpu, insn, 4, 1))) raiseFault(cpu, TRAP_BR)
}

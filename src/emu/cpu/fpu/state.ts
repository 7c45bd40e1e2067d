/**
 * The x87's register file and status in the CPU's state block: the stack, tags, exceptions pending, the pointers to the
 * last instruction. Everything an instruction handler does to the FPU goes through here. Follows the Intel manual
 * volume 1, 8.1. Registers are kept in physical order; TOP is bits 11-13 of fpu_status.
 *
 *   fpu_status   15  14  13-11  10  9   8   7   6   5..0
 *               | B | C3 | TOP | C2 | C1 | C0 | ES | SF | PE UE OE ZE DE IE |        B always equals ES
 *
 * A handler's order is: begin() (the #NM and #MF checks), memory accesses that can fault, record() (the pointers),
 * computing into Float80 scratch registers, then commit() and the stack. So a fault leaves nothing half done.
 */
import {
  type CpuState,
  S_CR0,
  S_EIP,
  S_FPU_CONTROL,
  S_FPU_CS,
  S_FPU_IP,
  S_FPU_OPCODE,
  S_FPU_REG,
  S_FPU_STATUS,
  S_FPU_TAG,
  S_SEG_SELECTOR,
} from '../../layout/cpu-state.ts'
import { CR0_EM, CR0_TS, CS, TRAP_MF, TRAP_NM } from '../../layout/x86.ts'
import { raiseFault } from '../../mmu/fault.ts'
import type { Insn } from '../insn.ts'
import { FP_BEFORE, FP_EXCEPTIONS, FP_INVALID, FP_STACK_FAULT, fp } from './round.ts'
import { Float80, tagOf } from './softfloat80.ts'

export const STATUS_ES = 0x80
export const STATUS_C0 = 0x100
export const STATUS_C1 = 0x200
export const STATUS_C2 = 0x400
export const STATUS_C3 = 0x4000
export const STATUS_BUSY = 0x8000
export const STATUS_CONDITIONS = STATUS_C0 | STATUS_C1 | STATUS_C2 | STATUS_C3
export const TAG_EMPTY = 3

/** What an instruction that does not wait checks: #NM when CR0.EM or CR0.TS is set. */
export function beginNoWait(cpu: CpuState): void {
  if (cpu.st[S_CR0] & (CR0_EM | CR0_TS)) raiseFault(cpu, TRAP_NM)
}

/**
 * What every other FPU instruction checks first: #NM, then #MF for an unmasked exception left by an earlier one. CR0.NE = 0
 * (the exception through the PC's interrupt controller) does not exist here: it is treated like NE = 1.
 */
export function begin(cpu: CpuState): void {
  if (cpu.st[S_CR0] & (CR0_EM | CR0_TS)) raiseFault(cpu, TRAP_NM)
  if (cpu.st[S_FPU_STATUS] & STATUS_ES) raiseFault(cpu, TRAP_MF)
}

/**
 * Notes the instruction in FIP, FCS and FOP and readies `fp`. Called after the last memory access that can fault.
 * Control instructions (FLDCW, FNSTENV ...) do not come here: they leave the pointers alone.
 */
export function record(cpu: CpuState, insn: Insn): void {
  const st = cpu.st
  st[S_FPU_IP] = st[S_EIP] - insn.back
  st[S_FPU_CS] = st[S_SEG_SELECTOR + CS]
  st[S_FPU_OPCODE] = ((insn.opcode & 7) << 8) | (insn.mod << 6) | (insn.reg << 3) | insn.rm
  fp.start(st[S_FPU_CONTROL])
}

export function getTop(cpu: CpuState): number {
  return (cpu.st[S_FPU_STATUS] >> 11) & 7
}

/** Physical number of ST(i). i may be -1: the register a push would take. */
function physical(cpu: CpuState, i: number): number {
  return ((cpu.st[S_FPU_STATUS] >> 11) + i) & 7
}

export function isEmpty(cpu: CpuState, i: number): boolean {
  return ((cpu.st[S_FPU_TAG] >> (physical(cpu, i) << 1)) & 3) === TAG_EMPTY
}

/** x = ST(i), whatever its tag. */
export function readSt(cpu: CpuState, i: number, x: Float80): void {
  const at = S_FPU_REG + (physical(cpu, i) << 2)
  x.lo = cpu.st[at]
  x.hi = cpu.st[at + 1]
  x.se = cpu.st[at + 2] & 0xffff
}

/** ST(i) = x, tagged by its value. */
export function writeSt(cpu: CpuState, i: number, x: Float80): void {
  const st = cpu.st
  const reg = physical(cpu, i)
  const at = S_FPU_REG + (reg << 2)
  st[at] = x.lo
  st[at + 1] = x.hi
  st[at + 2] = x.se
  st[S_FPU_TAG] = (st[S_FPU_TAG] & ~(3 << (reg << 1))) | (tagOf(x) << (reg << 1))
}

export function setEmpty(cpu: CpuState, i: number): void {
  cpu.st[S_FPU_TAG] |= TAG_EMPTY << (physical(cpu, i) << 1)
}

/** Adds n, positive or negative, to TOP. */
export function moveTop(cpu: CpuState, n: number): void {
  const status = cpu.st[S_FPU_STATUS]
  cpu.st[S_FPU_STATUS] = (status & ~0x3800) | ((status + (n << 11)) & 0x3800)
}

/** Marks ST(0) empty and increments TOP. */
export function pop(cpu: CpuState): void {
  setEmpty(cpu, 0)
  moveTop(cpu, 1)
}

/** Decrements TOP and stores x in the new ST(0). The caller has checked that it is empty. */
export function push(cpu: CpuState, x: Float80): void {
  moveTop(cpu, -1)
  writeSt(cpu, 0, x)
}

/** Sets C0, C2 and C3 (STATUS_* bits); C1 is commit's. */
export function setConditions(cpu: CpuState, conditions: number): void {
  cpu.st[S_FPU_STATUS] = (cpu.st[S_FPU_STATUS] & ~(STATUS_C0 | STATUS_C2 | STATUS_C3)) | conditions
}

/** Sets or clears ES and B by what is raised and what is masked. Called whenever either changes. */
export function updateSummary(cpu: CpuState): void {
  const st = cpu.st
  if (st[S_FPU_STATUS] & ~st[S_FPU_CONTROL] & FP_EXCEPTIONS) st[S_FPU_STATUS] |= STATUS_ES | STATUS_BUSY
  else st[S_FPU_STATUS] &= ~(STATUS_ES | STATUS_BUSY)
}

/**
 * Moves the exceptions of `fp` into the status word and sets C1. False when an unmasked invalid, denormal or zero-divide
 * exception forbids the operation: the caller then changes no register, flag, memory or TOP.
 */
export function commit(cpu: CpuState): boolean {
  const st = cpu.st
  const flags = fp.flags
  if (flags === 0) {
    st[S_FPU_STATUS] &= ~STATUS_C1
    return true
  }
  const stop = (flags & ~st[S_FPU_CONTROL] & FP_BEFORE) !== 0
  const raised = stop ? flags & (FP_BEFORE | FP_STACK_FAULT) : flags
  st[S_FPU_STATUS] = (st[S_FPU_STATUS] & ~STATUS_C1) | raised | (fp.roundedUp && !stop ? STATUS_C1 : 0)
  if (flags & ~st[S_FPU_CONTROL] & FP_EXCEPTIONS) st[S_FPU_STATUS] |= STATUS_ES | STATUS_BUSY
  return !stop
}

const INDEFINITE = new Float80(0, 0xc0000000, 0xffff)

/** Raises a stack underflow (an operand is empty): C1 = 0. True when masked, the caller then stores the indefinite. */
export function stackUnderflow(cpu: CpuState): boolean {
  fp.flags = FP_INVALID | FP_STACK_FAULT
  fp.roundedUp = false
  return commit(cpu)
}

/** Raises a stack overflow (a push onto a register in use): C1 = 1. When masked, pushes the indefinite. */
export function stackOverflow(cpu: CpuState): boolean {
  fp.flags = FP_INVALID | FP_STACK_FAULT
  fp.roundedUp = false
  const masked = commit(cpu)
  cpu.st[S_FPU_STATUS] |= STATUS_C1
  if (masked) push(cpu, INDEFINITE)
  return masked
}

/** ST(i) = the indefinite QNaN. */
export function writeIndefinite(cpu: CpuState, i: number): void {
  writeSt(cpu, i, INDEFINITE)
}

/** Pushes x, or raises a stack overflow; the exceptions of making x come with it. True when x was pushed. */
export function commitPush(cpu: CpuState, x: Float80): boolean {
  if (!isEmpty(cpu, -1)) {
    stackOverflow(cpu)
    return false
  }
  if (!commit(cpu)) return false
  push(cpu, x)
  return true
}

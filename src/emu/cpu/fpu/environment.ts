/**
 * Control, environment and state of the x87: FLDCW, FNSTSW, FNINIT, FNSTENV, FNSAVE, FXSAVE and their counterparts (manual volume 1, 8.1.10
 * and 10.5; figures 8-9 and 8-11 for protected mode).
 *
 *   FNSTENV, 32 bits:  control, status, tag, ip, opcode:cs, dp, ds     seven words; FNSAVE adds ST(0)-ST(7), 10 bytes each
 *   FXSAVE:            512 bytes, one tag bit a register, registers of 16 bytes from 32 on, XMM from 160 on
 *
 * Tags: software sees two bits a register; what the CPU believes of a tag it is given is only whether it says empty.
 */
import {
  type CpuState,
  S_CR0,
  S_FPU_CONTROL,
  S_FPU_CS,
  S_FPU_DP,
  S_FPU_DS,
  S_FPU_IP,
  S_FPU_OPCODE,
  S_FPU_REG,
  S_FPU_STATUS,
  S_FPU_TAG,
  S_MXCSR,
  S_XMM,
} from '../../layout/cpu-state.ts'
import { CR0_MP, CR0_TS, EAX, TRAP_GP, TRAP_MF, TRAP_NM, TRAP_UD } from '../../layout/x86.ts'
import { probeWrite, readMem16, readMem32, readMem8, writeMem16, writeMem32 } from '../../mmu/access.ts'
import { raiseFault, raiseFaultWithCode } from '../../mmu/fault.ts'
import type { Handler, Insn } from '../insn.ts'
import { effectiveAddress, operandForRead, operandForWrite, setReg16 } from '../operands.ts'
import { segLinear } from '../segmentation.ts'
import { Float80, tagOf } from './softfloat80.ts'
import { begin, beginNoWait, getTop, record, STATUS_ES, TAG_EMPTY, updateSummary } from './state.ts'

const CONTROL_MASK = 0x1f3f
const CONTROL_ALWAYS = 0x40
const CONTROL_INITIAL = 0x37f
const EXCEPTION_MASKS = 0x3f
const FXSAVE_SIZE = 512
const MXCSR_MASK = 0xffff
const x = new Float80()

/** WAIT: #NM when CR0.MP and TS are both set, else the pending #MF. */
export const waitHandler: Handler = (cpu) => {
  if ((cpu.st[S_CR0] & (CR0_MP | CR0_TS)) === (CR0_MP | CR0_TS)) raiseFault(cpu, TRAP_NM)
  if ((cpu.st[S_FPU_STATUS] & STATUS_ES) !== 0) raiseFault(cpu, TRAP_MF)
}

/** FNOP: nothing, but it counts as the last instruction. */
export const fnop: Handler = (cpu, insn) => {
  begin(cpu)
  record(cpu, insn)
}

/** The 8087's and 287's leftovers (FENI, FDISI, FSETPM): not even that. */
export const leftover: Handler = (cpu) => begin(cpu)

export const fninit: Handler = (cpu) => {
  beginNoWait(cpu)
  initialise(cpu)
}

function initialise(cpu: CpuState): void {
  const { st } = cpu
  st[S_FPU_CONTROL] = CONTROL_INITIAL
  st[S_FPU_STATUS] = 0
  st[S_FPU_TAG] = 0xffff
  st[S_FPU_IP] = st[S_FPU_CS] = st[S_FPU_DP] = st[S_FPU_DS] = st[S_FPU_OPCODE] = 0
}

export const fnclex: Handler = (cpu) => {
  beginNoWait(cpu)
  cpu.st[S_FPU_STATUS] &= 0x7f00
}

function setControl(cpu: CpuState, value: number): void {
  cpu.st[S_FPU_CONTROL] = (value & CONTROL_MASK) | CONTROL_ALWAYS
  updateSummary(cpu)
}

export const fldcw: Handler = (cpu, insn) => {
  begin(cpu)
  setControl(cpu, readMem16(cpu, operandForRead(cpu, insn, 2)))
}

export const fnstcw: Handler = (cpu, insn) => {
  beginNoWait(cpu)
  writeMem16(cpu, operandForWrite(cpu, insn, 2), cpu.st[S_FPU_CONTROL])
}

export const fnstsw: Handler = (cpu, insn) => {
  beginNoWait(cpu)
  writeMem16(cpu, operandForWrite(cpu, insn, 2), cpu.st[S_FPU_STATUS])
}

export const fnstswAx: Handler = (cpu) => {
  beginNoWait(cpu)
  setReg16(cpu, EAX, cpu.st[S_FPU_STATUS])
}

// --- environment -----------------------------------------------------------------------------------------------------------

const environmentSize = (insn: Insn): number => (insn.size === 4 ? 28 : 14)

function writeEnvironment(cpu: CpuState, insn: Insn, linear: number): void {
  const { st } = cpu
  if (insn.size === 2) {
    const values = [S_FPU_CONTROL, S_FPU_STATUS, S_FPU_TAG, S_FPU_IP, S_FPU_CS, S_FPU_DP, S_FPU_DS]
    values.forEach((word, i) => writeMem16(cpu, (linear + i * 2) | 0, st[word] & 0xffff))
    return
  }
  // The halves nothing is in read as ones.
  const values = [
    st[S_FPU_CONTROL] | 0xffff0000,
    st[S_FPU_STATUS] | 0xffff0000,
    st[S_FPU_TAG] | 0xffff0000,
    st[S_FPU_IP],
    (st[S_FPU_CS] & 0xffff) | ((st[S_FPU_OPCODE] & 0x7ff) << 16),
    st[S_FPU_DP],
    st[S_FPU_DS] | 0xffff0000,
  ]
  values.forEach((value, i) => writeMem32(cpu, (linear + i * 4) | 0, value))
}

/** Reads seven words before anything is changed; the caller then has them all. */
function readEnvironment(cpu: CpuState, insn: Insn, linear: number): number[] {
  return Array.from({ length: 7 }, (_, i) =>
    insn.size === 4 ? readMem32(cpu, (linear + i * 4) | 0) : readMem16(cpu, (linear + i * 2) | 0),
  )
}

function setEnvironment(cpu: CpuState, insn: Insn, words: readonly number[]): void {
  const { st } = cpu
  const [control, status, tag, ip, cs, dp, ds] = words
  st[S_FPU_STATUS] = status & 0xffff
  st[S_FPU_IP] = ip
  st[S_FPU_CS] = cs & 0xffff
  // The short form has no opcode, and none stays (seen on silicon).
  st[S_FPU_OPCODE] = insn.size === 4 ? (cs >>> 16) & 0x7ff : 0
  st[S_FPU_DP] = dp
  st[S_FPU_DS] = ds & 0xffff
  setControl(cpu, control)
  setTags(cpu, (register) => ((tag >>> (register * 2)) & 3) === TAG_EMPTY)
}

/** Tags from what the registers hold, but for those that are empty. */
function setTags(cpu: CpuState, empty: (register: number) => boolean): void {
  let tags = 0
  for (let register = 0; register < 8; register++) {
    const at = S_FPU_REG + register * 4
    x.set(cpu.st[at], cpu.st[at + 1], cpu.st[at + 2] & 0xffff)
    tags |= (empty(register) ? TAG_EMPTY : tagOf(x)) << (register * 2)
  }
  cpu.st[S_FPU_TAG] = tags
}

export const fnstenv: Handler = (cpu, insn) => {
  beginNoWait(cpu)
  const size = environmentSize(insn)
  const linear = operandForWrite(cpu, insn, size)
  probeWrite(cpu, linear, size)
  writeEnvironment(cpu, insn, linear)
  setControl(cpu, cpu.st[S_FPU_CONTROL] | EXCEPTION_MASKS)
}

export const fldenv: Handler = (cpu, insn) => {
  begin(cpu)
  const linear = operandForRead(cpu, insn, environmentSize(insn))
  setEnvironment(cpu, insn, readEnvironment(cpu, insn, linear))
}

export const fnsave: Handler = (cpu, insn) => {
  beginNoWait(cpu)
  const size = environmentSize(insn)
  const linear = operandForWrite(cpu, insn, size + 80)
  probeWrite(cpu, linear, size + 80)
  writeEnvironment(cpu, insn, linear)
  const top = getTop(cpu)
  for (let i = 0; i < 8; i++) writeRegister(cpu, (top + i) & 7, (linear + size + i * 10) | 0)
  initialise(cpu)
}

function writeRegister(cpu: CpuState, register: number, linear: number): void {
  const at = S_FPU_REG + register * 4
  writeMem32(cpu, linear, cpu.st[at])
  writeMem32(cpu, (linear + 4) | 0, cpu.st[at + 1])
  writeMem16(cpu, (linear + 8) | 0, cpu.st[at + 2] & 0xffff)
}

/** Three words of a register image at `linear`. */
function readRegister(cpu: CpuState, linear: number): readonly [number, number, number] {
  return [readMem32(cpu, linear), readMem32(cpu, (linear + 4) | 0), readMem16(cpu, (linear + 8) | 0)]
}

function setRegister(cpu: CpuState, register: number, image: readonly [number, number, number]): void {
  image.forEach((word, i) => (cpu.st[S_FPU_REG + register * 4 + i] = word))
}

export const frstor: Handler = (cpu, insn) => {
  begin(cpu)
  const size = environmentSize(insn)
  const linear = operandForRead(cpu, insn, size + 80)
  const words = readEnvironment(cpu, insn, linear)
  const images = Array.from({ length: 8 }, (_, i) => readRegister(cpu, (linear + size + i * 10) | 0))
  const top = (words[1] >>> 11) & 7
  images.forEach((image, i) => setRegister(cpu, (top + i) & 7, image))
  setEnvironment(cpu, insn, words)
}

// --- FXSAVE, FXRSTOR ---------------------------------------------------------------------------------------------------------

function fxOperand(cpu: CpuState, insn: Insn, write: boolean): number {
  if (insn.mod === 3) raiseFault(cpu, TRAP_UD)
  beginNoWait(cpu)
  const linear = segLinear(cpu, insn.seg, effectiveAddress(cpu, insn), FXSAVE_SIZE, write)
  if ((linear & 15) !== 0) raiseFaultWithCode(cpu, TRAP_GP, 0)
  if (write) probeWrite(cpu, linear, FXSAVE_SIZE)
  return linear
}

export const fxsave: Handler = (cpu, insn) => {
  const { st } = cpu
  const linear = fxOperand(cpu, insn, true)
  let tags = 0
  for (let register = 0; register < 8; register++) {
    if (((st[S_FPU_TAG] >>> (register * 2)) & 3) !== TAG_EMPTY) tags |= 1 << register
  }
  const words = [
    (st[S_FPU_CONTROL] & 0xffff) | (st[S_FPU_STATUS] << 16),
    tags | (st[S_FPU_OPCODE] << 16),
    st[S_FPU_IP],
    st[S_FPU_CS] & 0xffff,
    st[S_FPU_DP],
    st[S_FPU_DS] & 0xffff,
    st[S_MXCSR],
    MXCSR_MASK,
  ]
  words.forEach((word, i) => writeMem32(cpu, (linear + i * 4) | 0, word))
  const top = getTop(cpu)
  for (let i = 0; i < 8; i++) {
    const at = (linear + 32 + i * 16) | 0
    writeRegister(cpu, (top + i) & 7, at)
    writeMem16(cpu, (at + 10) | 0, 0)
    writeMem32(cpu, (at + 12) | 0, 0)
  }
  for (let i = 0; i < 32; i++) writeMem32(cpu, (linear + 160 + i * 4) | 0, st[S_XMM + i])
}

export const fxrstor: Handler = (cpu, insn) => {
  const { st } = cpu
  const linear = fxOperand(cpu, insn, false)
  const word = (i: number): number => readMem32(cpu, (linear + i * 4) | 0)
  const mxcsr = word(6)
  if ((mxcsr & ~MXCSR_MASK) !== 0) raiseFaultWithCode(cpu, TRAP_GP, 0)
  // The last byte first: what faults, faults before anything has changed.
  readMem8(cpu, (linear + FXSAVE_SIZE - 1) | 0)
  const first = word(0)
  const second = word(1)
  st[S_FPU_STATUS] = (first >>> 16) & 0xffff
  st[S_FPU_OPCODE] = (second >>> 16) & 0x7ff
  st[S_FPU_IP] = word(2)
  st[S_FPU_CS] = word(3) & 0xffff
  st[S_FPU_DP] = word(4)
  st[S_FPU_DS] = word(5) & 0xffff
  st[S_MXCSR] = mxcsr
  const top = getTop(cpu)
  for (let i = 0; i < 8; i++) setRegister(cpu, (top + i) & 7, readRegister(cpu, (linear + 32 + i * 16) | 0))
  for (let i = 0; i < 32; i++) st[S_XMM + i] = readMem32(cpu, (linear + 160 + i * 4) | 0)
  setControl(cpu, first & 0xffff)
  setTags(cpu, (register) => (second & (1 << register)) === 0)
}

/**
 * Near control transfers: JMP, Jcc, CALL, RET, LOOPcc, JECXZ (manual 2A-2C). Relative displacements are in insn.imm; the new
 * EIP is checked against CS's limit before anything changes, and wrapped to 16 bits for 16-bit operands.
 */
import { S_EIP, S_SEG_LIMIT } from '../../layout/cpu-state.ts'
import { CS, ECX, TRAP_GP } from '../../layout/x86.ts'
import { raiseFaultWithCode } from '../../mmu/fault.ts'
import type { Cpu } from '../cpu.ts'
import { condition, getCF, getSF, getOF, getZF } from '../flags.ts'
import type { Handler } from '../insn.ts'
import {
  peekStack16,
  peekStack32,
  push16,
  push32,
  readRm16,
  readRm32,
  setReg16,
  setStackOffset,
  stackOffset,
} from '../operands.ts'

function checkEip(cpu: Cpu, eip: number): void {
  const limit = cpu.st[S_SEG_LIMIT + CS]
  if (limit !== -1 && eip >>> 0 > limit >>> 0) raiseFaultWithCode(cpu, TRAP_GP, 0)
}
function jump(cpu: Cpu, eip: number): void {
  checkEip(cpu, eip)
  cpu.st[S_EIP] = eip
}

export const jmpRel16: Handler = (cpu, insn) => jump(cpu, (cpu.st[S_EIP] + insn.imm) & 0xffff)
export const jmpRel32: Handler = (cpu, insn) => jump(cpu, (cpu.st[S_EIP] + insn.imm) | 0)
export const jcc16: Handler = (cpu, insn) => {
  if (condition(cpu, insn.opcode & 15)) jump(cpu, (cpu.st[S_EIP] + insn.imm) & 0xffff)
}
export const jcc32: Handler = (cpu, insn) => {
  if (condition(cpu, insn.opcode & 15)) jump(cpu, (cpu.st[S_EIP] + insn.imm) | 0)
}
/** The frequent conditions, without the switch. */
const jz: Handler = (cpu, insn) => {
  if (getZF(cpu)) jump(cpu, (cpu.st[S_EIP] + insn.imm) | 0)
}
const jnz: Handler = (cpu, insn) => {
  if (!getZF(cpu)) jump(cpu, (cpu.st[S_EIP] + insn.imm) | 0)
}
const jb: Handler = (cpu, insn) => {
  if (getCF(cpu) !== 0) jump(cpu, (cpu.st[S_EIP] + insn.imm) | 0)
}
const jae: Handler = (cpu, insn) => {
  if (getCF(cpu) === 0) jump(cpu, (cpu.st[S_EIP] + insn.imm) | 0)
}
const jl: Handler = (cpu, insn) => {
  if (getSF(cpu) !== getOF(cpu)) jump(cpu, (cpu.st[S_EIP] + insn.imm) | 0)
}
const jge: Handler = (cpu, insn) => {
  if (getSF(cpu) === getOF(cpu)) jump(cpu, (cpu.st[S_EIP] + insn.imm) | 0)
}
/** By condition code; undefined = jcc32. */
export const JCC_32: Readonly<Record<number, Handler | undefined>> = { 2: jb, 3: jae, 4: jz, 5: jnz, 12: jl, 13: jge }

export const callRel16: Handler = (cpu, insn) => {
  const to = (cpu.st[S_EIP] + insn.imm) & 0xffff
  checkEip(cpu, to)
  push16(cpu, cpu.st[S_EIP])
  cpu.st[S_EIP] = to
}
export const callRel32: Handler = (cpu, insn) => {
  const to = (cpu.st[S_EIP] + insn.imm) | 0
  checkEip(cpu, to)
  push32(cpu, cpu.st[S_EIP])
  cpu.st[S_EIP] = to
}
export const callEv16: Handler = (cpu, insn) => {
  const to = readRm16(cpu, insn)
  checkEip(cpu, to)
  push16(cpu, cpu.st[S_EIP])
  cpu.st[S_EIP] = to
}
export const callEv32: Handler = (cpu, insn) => {
  const to = readRm32(cpu, insn)
  checkEip(cpu, to)
  push32(cpu, cpu.st[S_EIP])
  cpu.st[S_EIP] = to
}
export const jmpEv16: Handler = (cpu, insn) => jump(cpu, readRm16(cpu, insn))
export const jmpEv32: Handler = (cpu, insn) => jump(cpu, readRm32(cpu, insn))

function ret(cpu: Cpu, size: 2 | 4, release: number): void {
  const to = size === 4 ? peekStack32(cpu, 0) : peekStack16(cpu, 0)
  checkEip(cpu, to)
  setStackOffset(cpu, stackOffset(cpu, size + release))
  cpu.st[S_EIP] = to
}
export const ret16: Handler = (cpu) => ret(cpu, 2, 0)
export const ret32: Handler = (cpu) => ret(cpu, 4, 0)
export const ret16Imm: Handler = (cpu, insn) => ret(cpu, 2, insn.imm & 0xffff)
export const ret32Imm: Handler = (cpu, insn) => ret(cpu, 4, insn.imm & 0xffff)

/** The counter of LOOP and JECXZ has the address size; the jump has the operand size. */
function loopWhile(test: (cpu: Cpu) => boolean): Handler {
  return (cpu, insn) => {
    const wide = insn.addressSize === 4
    const count = wide ? (cpu.r[ECX] - 1) | 0 : (cpu.r[ECX] - 1) & 0xffff
    if (count !== 0 && test(cpu)) {
      const to = cpu.st[S_EIP] + insn.imm
      jump(cpu, insn.size === 4 ? to | 0 : to & 0xffff)
    }
    if (wide) cpu.r[ECX] = count
    else setReg16(cpu, ECX, count)
  }
}
export const loop = loopWhile(() => true)
export const loopz = loopWhile((cpu) => getZF(cpu))
export const loopnz = loopWhile((cpu) => !getZF(cpu))
export const jecxz: Handler = (cpu, insn) => {
  const count = insn.addressSize === 4 ? cpu.r[ECX] : cpu.r[ECX] & 0xffff
  if (count !== 0) return
  const to = cpu.st[S_EIP] + insn.imm
  jump(cpu, insn.size === 4 ? to | 0 : to & 0xffff)
}

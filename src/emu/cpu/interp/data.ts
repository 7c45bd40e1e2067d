/** Moving data: MOV, MOVZX, MOVSX, XCHG, LEA, XLAT, BSWAP, CMOVcc, SETcc, XADD, CMPXCHG, CMPXCHG8B (manual 2A-2C). */
import { EAX, EBX, ECX, EDX, FLAG_ZF, TRAP_UD } from '../../layout/x86.ts'
import {
  probeWrite,
  readMem8,
  readMem16,
  readMem32,
  requireAlignment8,
  writeMem8,
  writeMem16,
  writeMem32,
} from '../../mmu/access.ts'
import { raiseFault } from '../../mmu/fault.ts'
import { condition, setStatusFlags } from '../flags.ts'
import type { Handler } from '../insn.ts'
import {
  effectiveAddress,
  getReg16,
  getReg8,
  operandForRead,
  operandForWrite,
  readRm16,
  readRm32,
  readRm8,
  setReg16,
  setReg8,
  writeRm8,
  writeRm16,
  writeRm32,
} from '../operands.ts'
import { segLinear } from '../segmentation.ts'
import { ALU, ALU_CMP, readForWrite16, readForWrite32, readForWrite8 } from './arith.ts'

const [ADD8, ADD16, ADD32] = ALU[0]
const [CMP8, CMP16, CMP32] = ALU[ALU_CMP]

export const movEbGb: Handler = (cpu, insn) => writeRm8(cpu, insn, getReg8(cpu, insn.reg))
export const movEv16Gv: Handler = (cpu, insn) => writeRm16(cpu, insn, cpu.r[insn.reg])
export const movEv32Gv: Handler = (cpu, insn) => writeRm32(cpu, insn, cpu.r[insn.reg])
export const movGbEb: Handler = (cpu, insn) => setReg8(cpu, insn.reg, readRm8(cpu, insn))
export const movGv16Ev: Handler = (cpu, insn) => setReg16(cpu, insn.reg, readRm16(cpu, insn))
export const movGv32Ev: Handler = (cpu, insn) => {
  cpu.r[insn.reg] = readRm32(cpu, insn)
}
export const mov32RegReg: Handler = (cpu, insn) => {
  cpu.r[insn.rm] = cpu.r[insn.reg]
}
export const mov32RegRegReverse: Handler = (cpu, insn) => {
  cpu.r[insn.reg] = cpu.r[insn.rm]
}
/** Memory forms, known at decode. */
export const mov32FromMem: Handler = (cpu, insn) => {
  cpu.r[insn.reg] = readMem32(cpu, segLinear(cpu, insn.seg, effectiveAddress(cpu, insn), 4, false))
}
export const mov32ToMem: Handler = (cpu, insn) => {
  writeMem32(cpu, segLinear(cpu, insn.seg, effectiveAddress(cpu, insn), 4, true), cpu.r[insn.reg])
}
export const movEbIb: Handler = (cpu, insn) => writeRm8(cpu, insn, insn.imm)
export const movEv16Iz: Handler = (cpu, insn) => writeRm16(cpu, insn, insn.imm)
export const movEv32Iz: Handler = (cpu, insn) => writeRm32(cpu, insn, insn.imm)
/** B0-BF: the register is in insn.rm. */
export const movR8Ib: Handler = (cpu, insn) => setReg8(cpu, insn.rm, insn.imm)
export const movR16Iz: Handler = (cpu, insn) => setReg16(cpu, insn.rm, insn.imm)
export const movR32Iz: Handler = (cpu, insn) => {
  cpu.r[insn.rm] = insn.imm
}
/** A0-A3: the offset is in insn.disp, as for a memory operand without registers. */
export const movAlOb: Handler = (cpu, insn) => setReg8(cpu, EAX, readMem8(cpu, operandForRead(cpu, insn, 1)))
export const movAxOv: Handler = (cpu, insn) => setReg16(cpu, EAX, readMem16(cpu, operandForRead(cpu, insn, 2)))
export const movEaxOv: Handler = (cpu, insn) => {
  cpu.r[EAX] = readMem32(cpu, operandForRead(cpu, insn, 4))
}
export const movObAl: Handler = (cpu, insn) => writeMem8(cpu, operandForWrite(cpu, insn, 1), cpu.r[EAX])
export const movOvAx: Handler = (cpu, insn) => writeMem16(cpu, operandForWrite(cpu, insn, 2), cpu.r[EAX])
export const movOvEax: Handler = (cpu, insn) => writeMem32(cpu, operandForWrite(cpu, insn, 4), cpu.r[EAX])

export const movzxGv16Eb: Handler = (cpu, insn) => setReg16(cpu, insn.reg, readRm8(cpu, insn))
export const movzxGv32Eb: Handler = (cpu, insn) => {
  cpu.r[insn.reg] = readRm8(cpu, insn)
}
export const movzxGv16Ew: Handler = (cpu, insn) => setReg16(cpu, insn.reg, readRm16(cpu, insn))
export const movzxGv32Ew: Handler = (cpu, insn) => {
  cpu.r[insn.reg] = readRm16(cpu, insn)
}
export const movsxGv16Eb: Handler = (cpu, insn) => setReg16(cpu, insn.reg, (readRm8(cpu, insn) << 24) >> 24)
export const movsxGv32Eb: Handler = (cpu, insn) => {
  cpu.r[insn.reg] = (readRm8(cpu, insn) << 24) >> 24
}
export const movsxGv16Ew: Handler = (cpu, insn) => setReg16(cpu, insn.reg, readRm16(cpu, insn))
export const movsxGv32Ew: Handler = (cpu, insn) => {
  cpu.r[insn.reg] = (readRm16(cpu, insn) << 16) >> 16
}

export const xchgEbGb: Handler = (cpu, insn) => {
  const register = getReg8(cpu, insn.reg)
  if (insn.mod === 3) {
    const other = getReg8(cpu, insn.rm)
    setReg8(cpu, insn.rm, register)
    setReg8(cpu, insn.reg, other)
    return
  }
  const at = operandForWrite(cpu, insn, 1)
  const other = readForWrite8(cpu, at)
  writeMem8(cpu, at, register)
  setReg8(cpu, insn.reg, other)
}
export const xchgEv16Gv: Handler = (cpu, insn) => {
  const register = getReg16(cpu, insn.reg)
  if (insn.mod === 3) {
    const other = getReg16(cpu, insn.rm)
    setReg16(cpu, insn.rm, register)
    setReg16(cpu, insn.reg, other)
    return
  }
  const at = operandForWrite(cpu, insn, 2)
  const other = readForWrite16(cpu, at)
  writeMem16(cpu, at, register)
  setReg16(cpu, insn.reg, other)
}
export const xchgEv32Gv: Handler = (cpu, insn) => {
  const register = cpu.r[insn.reg]
  if (insn.mod === 3) {
    cpu.r[insn.reg] = cpu.r[insn.rm]
    cpu.r[insn.rm] = register
    return
  }
  const at = operandForWrite(cpu, insn, 4)
  const other = readForWrite32(cpu, at)
  writeMem32(cpu, at, register)
  cpu.r[insn.reg] = other
}
/** 91-97: the register is in insn.rm. */
export const xchgAxR16: Handler = (cpu, insn) => {
  const ax = getReg16(cpu, EAX)
  setReg16(cpu, EAX, getReg16(cpu, insn.rm))
  setReg16(cpu, insn.rm, ax)
}
export const xchgEaxR32: Handler = (cpu, insn) => {
  const eax = cpu.r[EAX]
  cpu.r[EAX] = cpu.r[insn.rm]
  cpu.r[insn.rm] = eax
}

export const lea16: Handler = (cpu, insn) => {
  if (insn.mod === 3) raiseFault(cpu, TRAP_UD)
  setReg16(cpu, insn.reg, effectiveAddress(cpu, insn))
}
export const lea32: Handler = (cpu, insn) => {
  if (insn.mod === 3) raiseFault(cpu, TRAP_UD)
  cpu.r[insn.reg] = effectiveAddress(cpu, insn)
}

export const xlat: Handler = (cpu, insn) => {
  let offset = (cpu.r[EBX] + (cpu.r[EAX] & 0xff)) | 0
  if (insn.addressSize === 2) offset &= 0xffff
  setReg8(cpu, EAX, readMem8(cpu, segLinear(cpu, insn.seg, offset, 1, false)))
}

export const bswap32: Handler = (cpu, insn) => {
  const v = cpu.r[insn.rm]
  cpu.r[insn.rm] = (v << 24) | ((v & 0xff00) << 8) | ((v >>> 8) & 0xff00) | (v >>> 24)
}
/** BSWAP r16 is undefined; CPUs clear the register's low half. */
export const bswap16: Handler = (cpu, insn) => setReg16(cpu, insn.rm, 0)

/** The condition is the opcode's low four bits. The operand is read whatever the condition. */
export const cmov16: Handler = (cpu, insn) => {
  const value = readRm16(cpu, insn)
  if (condition(cpu, insn.opcode & 15)) setReg16(cpu, insn.reg, value)
}
export const cmov32: Handler = (cpu, insn) => {
  const value = readRm32(cpu, insn)
  if (condition(cpu, insn.opcode & 15)) cpu.r[insn.reg] = value
}
export const setcc: Handler = (cpu, insn) => writeRm8(cpu, insn, condition(cpu, insn.opcode & 15) ? 1 : 0)

export const xaddEbGb: Handler = (cpu, insn) => {
  const source = getReg8(cpu, insn.reg)
  if (insn.mod === 3) {
    const old = getReg8(cpu, insn.rm)
    const sum = ADD8(cpu, old, source)
    setReg8(cpu, insn.reg, old)
    setReg8(cpu, insn.rm, sum)
    return
  }
  const at = operandForWrite(cpu, insn, 1)
  const old = readForWrite8(cpu, at)
  writeMem8(cpu, at, ADD8(cpu, old, source))
  setReg8(cpu, insn.reg, old)
}
export const xaddEv16Gv: Handler = (cpu, insn) => {
  const source = getReg16(cpu, insn.reg)
  if (insn.mod === 3) {
    const old = getReg16(cpu, insn.rm)
    const sum = ADD16(cpu, old, source)
    setReg16(cpu, insn.reg, old)
    setReg16(cpu, insn.rm, sum)
    return
  }
  const at = operandForWrite(cpu, insn, 2)
  const old = readForWrite16(cpu, at)
  writeMem16(cpu, at, ADD16(cpu, old, source))
  setReg16(cpu, insn.reg, old)
}
export const xaddEv32Gv: Handler = (cpu, insn) => {
  const source = cpu.r[insn.reg]
  if (insn.mod === 3) {
    const old = cpu.r[insn.rm]
    const sum = ADD32(cpu, old, source)
    cpu.r[insn.reg] = old
    cpu.r[insn.rm] = sum
    return
  }
  const at = operandForWrite(cpu, insn, 4)
  const old = readForWrite32(cpu, at)
  writeMem32(cpu, at, ADD32(cpu, old, source))
  cpu.r[insn.reg] = old
}

/** CMPXCHG writes its destination in any case: with the old value when the comparison fails. */
export const cmpxchgEbGb: Handler = (cpu, insn) => {
  const source = getReg8(cpu, insn.reg)
  const inMemory = insn.mod !== 3
  const at = inMemory ? operandForWrite(cpu, insn, 1) : 0
  const old = inMemory ? readForWrite8(cpu, at) : getReg8(cpu, insn.rm)
  const equal = old === (cpu.r[EAX] & 0xff)
  CMP8(cpu, cpu.r[EAX], old)
  if (inMemory) writeMem8(cpu, at, equal ? source : old)
  else if (equal) setReg8(cpu, insn.rm, source)
  if (!equal) setReg8(cpu, EAX, old)
}
export const cmpxchgEv16Gv: Handler = (cpu, insn) => {
  const source = getReg16(cpu, insn.reg)
  const inMemory = insn.mod !== 3
  const at = inMemory ? operandForWrite(cpu, insn, 2) : 0
  const old = inMemory ? readForWrite16(cpu, at) : getReg16(cpu, insn.rm)
  const equal = old === (cpu.r[EAX] & 0xffff)
  CMP16(cpu, cpu.r[EAX], old)
  if (inMemory) writeMem16(cpu, at, equal ? source : old)
  else if (equal) setReg16(cpu, insn.rm, source)
  if (!equal) setReg16(cpu, EAX, old)
}
export const cmpxchgEv32Gv: Handler = (cpu, insn) => {
  const source = cpu.r[insn.reg]
  const inMemory = insn.mod !== 3
  const at = inMemory ? operandForWrite(cpu, insn, 4) : 0
  const old = inMemory ? readForWrite32(cpu, at) : cpu.r[insn.rm]
  const equal = old === cpu.r[EAX]
  CMP32(cpu, cpu.r[EAX], old)
  if (inMemory) writeMem32(cpu, at, equal ? source : old)
  else if (equal) cpu.r[insn.rm] = source
  if (!equal) cpu.r[EAX] = old
}
export const cmpxchg8b: Handler = (cpu, insn) => {
  if (insn.mod === 3) raiseFault(cpu, TRAP_UD)
  const at = operandForWrite(cpu, insn, 8)
  requireAlignment8(cpu, at)
  probeWrite(cpu, at, 4)
  probeWrite(cpu, (at + 4) | 0, 4)
  const low = readMem32(cpu, at)
  const high = readMem32(cpu, (at + 4) | 0)
  const equal = low === cpu.r[EAX] && high === cpu.r[EDX]
  writeMem32(cpu, at, equal ? cpu.r[EBX] : low)
  writeMem32(cpu, (at + 4) | 0, equal ? cpu.r[ECX] : high)
  if (!equal) {
    cpu.r[EAX] = low
    cpu.r[EDX] = high
  }
  setStatusFlags(cpu, FLAG_ZF, equal ? FLAG_ZF : 0)
}

/**
 * The eight ALU operations (ADD OR ADC SBB AND SUB XOR CMP), TEST, INC, DEC, NOT, NEG. Each operation exists once for
 * each width as `(cpu, a, b) => result` with its flags recorded; the forms (register or memory, immediate, accumulator)
 * are made from it. The 32-bit register forms of the most frequent operations are written out, because there a call
 * less is a fifth of the time.
 */
import { S_FLAG_AUX, S_FLAG_OP, S_FLAG_RESULT, S_FLAG_SRC } from '../../layout/cpu-state.ts'
import { probeWrite, readMem8, readMem16, readMem32, writeMem8, writeMem16, writeMem32 } from '../../mmu/access.ts'
import type { Cpu } from '../cpu.ts'
import {
  ADD16,
  ADD32,
  ADD8,
  DEC16,
  DEC32,
  DEC8,
  getCF,
  INC16,
  INC32,
  INC8,
  LOGIC16,
  LOGIC32,
  LOGIC8,
  recordFlags,
  SUB16,
  SUB32,
  SUB8,
} from '../flags.ts'
import type { Handler } from '../insn.ts'
import {
  getReg16,
  getReg8,
  operandForRead,
  operandForWrite,
  readRm16,
  readRm32,
  readRm8,
  setReg16,
  setReg8,
} from '../operands.ts'

/** A binary operation of one width; returns the result (not masked beyond what writing masks). */
export type Operation = (cpu: Cpu, a: number, b: number) => number

type Arithmetic = (a: number, b: number, carry: number) => number

/** An operation of one width from its arithmetic, made on values shifted to the top of the word. */
function operation(op: number, shift: number, useCarry: boolean, f: Arithmetic): Operation {
  return (cpu, a, b) => {
    const carry = useCarry ? getCF(cpu) << shift : 0
    const x = a << shift
    const y = b << shift
    const result = f(x, y, carry) | 0
    recordFlags(cpu, op, result, y, x)
    return result >>> shift
  }
}

const add: Arithmetic = (a, b) => a + b
const adc: Arithmetic = (a, b, c) => a + b + c
const sub: Arithmetic = (a, b) => a - b
const sbb: Arithmetic = (a, b, c) => a - b - c
const and: Arithmetic = (a, b) => a & b
const or: Arithmetic = (a, b) => a | b
const xor: Arithmetic = (a, b) => a ^ b

const widths = (ops: [number, number, number], useCarry: boolean, f: Arithmetic): [Operation, Operation, Operation] => [
  operation(ops[0], 24, useCarry, f),
  operation(ops[1], 16, useCarry, f),
  operation(ops[2], 0, useCarry, f),
]
const ADD: [number, number, number] = [ADD8, ADD16, ADD32]
const SUB: [number, number, number] = [SUB8, SUB16, SUB32]
const LOGIC: [number, number, number] = [LOGIC8, LOGIC16, LOGIC32]

/** By number as in the opcode's bits 3-5: ADD OR ADC SBB AND SUB XOR CMP; each for 8, 16 and 32 bits. */
export const ALU: readonly (readonly [Operation, Operation, Operation])[] = [
  widths(ADD, false, add),
  widths(LOGIC, false, or),
  widths(ADD, true, adc),
  widths(SUB, true, sbb),
  widths(LOGIC, false, and),
  widths(SUB, false, sub),
  widths(LOGIC, false, xor),
  widths(SUB, false, sub),
]
export const ALU_CMP = 7
export const TEST: readonly [Operation, Operation, Operation] = widths(LOGIC, false, and)

/** Forms of one operation; `writes` is false for CMP and TEST. */
export interface BinaryForms {
  EbGb: Handler
  Ev16Gv: Handler
  Ev32Gv: Handler
  GbEb: Handler
  Gv16Ev: Handler
  Gv32Ev: Handler
  AlIb: Handler
  AxIz: Handler
  EaxIz: Handler
  EbIb: Handler
  Ev16Iz: Handler
  Ev32Iz: Handler
}

export function binaryForms(
  [op8, op16, op32]: readonly [Operation, Operation, Operation],
  writes: boolean,
): BinaryForms {
  const store8 = (source: (cpu: Cpu, insn: Parameters<Handler>[1]) => number): Handler => {
    return (cpu, insn) => {
      if (insn.mod === 3) {
        const result = op8(cpu, getReg8(cpu, insn.rm), source(cpu, insn))
        if (writes) setReg8(cpu, insn.rm, result)
      } else if (writes) {
        const at = operandForWrite(cpu, insn, 1)
        const value = readForWrite8(cpu, at)
        const result = op8(cpu, value, source(cpu, insn))
        writeMem8(cpu, at, result)
      } else op8(cpu, readMem8(cpu, operandForRead(cpu, insn, 1)), source(cpu, insn))
    }
  }
  const store16 = (source: (cpu: Cpu, insn: Parameters<Handler>[1]) => number): Handler => {
    return (cpu, insn) => {
      if (insn.mod === 3) {
        const result = op16(cpu, cpu.r[insn.rm], source(cpu, insn))
        if (writes) setReg16(cpu, insn.rm, result)
      } else if (writes) {
        const at = operandForWrite(cpu, insn, 2)
        const value = readForWrite16(cpu, at)
        const result = op16(cpu, value, source(cpu, insn))
        writeMem16(cpu, at, result)
      } else op16(cpu, readMem16(cpu, operandForRead(cpu, insn, 2)), source(cpu, insn))
    }
  }
  const store32 = (source: (cpu: Cpu, insn: Parameters<Handler>[1]) => number): Handler => {
    return (cpu, insn) => {
      if (insn.mod === 3) {
        const result = op32(cpu, cpu.r[insn.rm], source(cpu, insn))
        if (writes) cpu.r[insn.rm] = result
      } else if (writes) {
        const at = operandForWrite(cpu, insn, 4)
        const value = readForWrite32(cpu, at)
        const result = op32(cpu, value, source(cpu, insn))
        writeMem32(cpu, at, result)
      } else op32(cpu, readMem32(cpu, operandForRead(cpu, insn, 4)), source(cpu, insn))
    }
  }
  return {
    EbGb: store8((cpu, insn) => getReg8(cpu, insn.reg)),
    Ev16Gv: store16((cpu, insn) => cpu.r[insn.reg]),
    Ev32Gv: store32((cpu, insn) => cpu.r[insn.reg]),
    GbEb: (cpu, insn) => {
      const result = op8(cpu, getReg8(cpu, insn.reg), readRm8(cpu, insn))
      if (writes) setReg8(cpu, insn.reg, result)
    },
    Gv16Ev: (cpu, insn) => {
      const result = op16(cpu, getReg16(cpu, insn.reg), readRm16(cpu, insn))
      if (writes) setReg16(cpu, insn.reg, result)
    },
    Gv32Ev: (cpu, insn) => {
      const b = readRm32(cpu, insn)
      const result = op32(cpu, cpu.r[insn.reg], b)
      if (writes) cpu.r[insn.reg] = result
    },
    AlIb: (cpu, insn) => {
      const result = op8(cpu, cpu.r[0], insn.imm)
      if (writes) setReg8(cpu, 0, result)
    },
    AxIz: (cpu, insn) => {
      const result = op16(cpu, cpu.r[0], insn.imm)
      if (writes) setReg16(cpu, 0, result)
    },
    EaxIz: (cpu, insn) => {
      const result = op32(cpu, cpu.r[0], insn.imm)
      if (writes) cpu.r[0] = result
    },
    EbIb: store8((_cpu, insn) => insn.imm),
    Ev16Iz: store16((_cpu, insn) => insn.imm),
    Ev32Iz: store32((_cpu, insn) => insn.imm),
  }
}

// Read-modify-write: the write's fault must come before anything is read from a device or any flag changes. The direct
// write entry is proof enough; otherwise the slow probe decides.
export function readForWrite8(cpu: Cpu, at: number): number {
  probeWrite(cpu, at, 1)
  return readMem8(cpu, at)
}
export function readForWrite16(cpu: Cpu, at: number): number {
  probeWrite(cpu, at, 2)
  return readMem16(cpu, at)
}
export function readForWrite32(cpu: Cpu, at: number): number {
  probeWrite(cpu, at, 4)
  return readMem32(cpu, at)
}

// --- written out: 32-bit, register destination ------------------------------------------------------------------------------

function flags32(cpu: Cpu, op: number, result: number, b: number, a: number): void {
  const st = cpu.st
  st[S_FLAG_OP] = op
  st[S_FLAG_RESULT] = result
  st[S_FLAG_SRC] = b
  st[S_FLAG_AUX] = a
}

export const add32RegReg: Handler = (cpu, insn) => {
  const r = cpu.r
  const a = r[insn.rm]
  const b = r[insn.reg]
  flags32(cpu, ADD32, (r[insn.rm] = (a + b) | 0), b, a)
}
export const sub32RegReg: Handler = (cpu, insn) => {
  const r = cpu.r
  const a = r[insn.rm]
  const b = r[insn.reg]
  flags32(cpu, SUB32, (r[insn.rm] = (a - b) | 0), b, a)
}
export const cmp32RegReg: Handler = (cpu, insn) => {
  const a = cpu.r[insn.rm]
  const b = cpu.r[insn.reg]
  flags32(cpu, SUB32, (a - b) | 0, b, a)
}
export const xor32RegReg: Handler = (cpu, insn) => {
  const r = cpu.r
  flags32(cpu, LOGIC32, (r[insn.rm] = r[insn.rm] ^ r[insn.reg]), 0, 0)
}
export const and32RegReg: Handler = (cpu, insn) => {
  const r = cpu.r
  flags32(cpu, LOGIC32, (r[insn.rm] = r[insn.rm] & r[insn.reg]), 0, 0)
}
export const or32RegReg: Handler = (cpu, insn) => {
  const r = cpu.r
  flags32(cpu, LOGIC32, (r[insn.rm] = r[insn.rm] | r[insn.reg]), 0, 0)
}
export const test32RegReg: Handler = (cpu, insn) => {
  flags32(cpu, LOGIC32, cpu.r[insn.rm] & cpu.r[insn.reg], 0, 0)
}
export const add32RegImm: Handler = (cpu, insn) => {
  const r = cpu.r
  const a = r[insn.rm]
  flags32(cpu, ADD32, (r[insn.rm] = (a + insn.imm) | 0), insn.imm, a)
}
export const sub32RegImm: Handler = (cpu, insn) => {
  const r = cpu.r
  const a = r[insn.rm]
  flags32(cpu, SUB32, (r[insn.rm] = (a - insn.imm) | 0), insn.imm, a)
}
export const cmp32RegImm: Handler = (cpu, insn) => {
  const a = cpu.r[insn.rm]
  flags32(cpu, SUB32, (a - insn.imm) | 0, insn.imm, a)
}
export const and32RegImm: Handler = (cpu, insn) => {
  const r = cpu.r
  flags32(cpu, LOGIC32, (r[insn.rm] = r[insn.rm] & insn.imm), 0, 0)
}

/** Fast variants for a register operand, by ALU number; undefined = the general form. */
export const REG_REG_32: readonly (Handler | undefined)[] = [
  add32RegReg,
  or32RegReg,
  undefined,
  undefined,
  and32RegReg,
  sub32RegReg,
  xor32RegReg,
  cmp32RegReg,
]
export const REG_IMM_32: readonly (Handler | undefined)[] = [
  add32RegImm,
  undefined,
  undefined,
  undefined,
  and32RegImm,
  sub32RegImm,
  undefined,
  cmp32RegImm,
]

// --- INC, DEC, NOT, NEG -------------------------------------------------------------------------------------------------------

type Unary = (cpu: Cpu, a: number) => number

/** INC and DEC keep CF: it is read before the record is replaced. */
function step(op: number, shift: number, by: 1 | -1): Unary {
  return (cpu, a) => {
    const cf = getCF(cpu)
    const result = ((a << shift) + (by << shift)) | 0
    recordFlags(cpu, op, result, cf, 0)
    return result >>> shift
  }
}
const not: Unary = (_cpu, a) => ~a
function negate(op: number, shift: number): Unary {
  return (cpu, a) => {
    const x = a << shift
    const result = -x | 0
    recordFlags(cpu, op, result, x, 0)
    return result >>> shift
  }
}

export interface UnaryForms {
  Eb: Handler
  Ev16: Handler
  Ev32: Handler
}

function unaryForms(op8: Unary, op16: Unary, op32: Unary): UnaryForms {
  return {
    Eb: (cpu, insn) => {
      if (insn.mod === 3) setReg8(cpu, insn.rm, op8(cpu, getReg8(cpu, insn.rm)))
      else {
        const at = operandForWrite(cpu, insn, 1)
        writeMem8(cpu, at, op8(cpu, readForWrite8(cpu, at)))
      }
    },
    Ev16: (cpu, insn) => {
      if (insn.mod === 3) setReg16(cpu, insn.rm, op16(cpu, cpu.r[insn.rm]))
      else {
        const at = operandForWrite(cpu, insn, 2)
        writeMem16(cpu, at, op16(cpu, readForWrite16(cpu, at)))
      }
    },
    Ev32: (cpu, insn) => {
      if (insn.mod === 3) cpu.r[insn.rm] = op32(cpu, cpu.r[insn.rm])
      else {
        const at = operandForWrite(cpu, insn, 4)
        writeMem32(cpu, at, op32(cpu, readForWrite32(cpu, at)))
      }
    },
  }
}

export const INC = unaryForms(step(INC8, 24, 1), step(INC16, 16, 1), step(INC32, 0, 1))
export const DEC = unaryForms(step(DEC8, 24, -1), step(DEC16, 16, -1), step(DEC32, 0, -1))
export const NOT = unaryForms(not, not, not)
export const NEG = unaryForms(negate(SUB8, 24), negate(SUB16, 16), negate(SUB32, 0))

/** INC/DEC r32 and r16 (40-4F): the register is in insn.rm. */
export const inc32Reg: Handler = (cpu, insn) => {
  const cf = getCF(cpu)
  flags32(cpu, INC32, (cpu.r[insn.rm] = (cpu.r[insn.rm] + 1) | 0), cf, 0)
}
export const dec32Reg: Handler = (cpu, insn) => {
  const cf = getCF(cpu)
  flags32(cpu, DEC32, (cpu.r[insn.rm] = (cpu.r[insn.rm] - 1) | 0), cf, 0)
}

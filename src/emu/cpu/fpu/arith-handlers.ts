/**
 * Arithmetic and comparison instructions of the x87 as handlers: operands from the stack or memory, the function of arith.ts, compare.ts
 * or the others, then the masked or unmasked response. An empty register is a stack underflow: masked, the result is the indefinite.
 */
import type { CpuState } from '../../layout/cpu-state.ts'
import { FLAG_AF, FLAG_CF, FLAG_OF, FLAG_PF, FLAG_SF, FLAG_ZF } from '../../layout/x86.ts'
import { condition, setStatusFlags } from '../flags.ts'
import type { Handler, Insn } from '../insn.ts'
import { add, div, mul } from './arith.ts'
import { compare, EQUAL, examine, UNORDERED } from './compare.ts'
import { fromFloat32, fromFloat64, fromInt32 } from './convert.ts'
import { readMemory16, readMemory32, readMemory64, words } from './memory.ts'
import { FP_DENORMAL, FP_INVALID, FP_ZERO_DIVIDE, fp } from './round.ts'
import { classify, Float80, QNAN } from './softfloat80.ts'
import {
  begin,
  commit,
  isEmpty,
  pop,
  readSt,
  record,
  setConditions,
  stackUnderflow,
  STATUS_C0,
  STATUS_C1,
  STATUS_C2,
  STATUS_C3,
  writeIndefinite,
  writeSt,
} from './state.ts'
import { S_FPU_STATUS } from '../../layout/cpu-state.ts'

const a = new Float80()
const b = new Float80()
const r = new Float80()
const ZERO = new Float80()

/** The ModRM reg field of D8-DF names the operation. r = ST(0) op other, or other op ST(0) for the reversed ones. */
function operate(op: number, st0: Float80, other: Float80): void {
  if (op === 0) add(st0, other, r, false)
  else if (op === 1) mul(st0, other, r)
  else if (op === 4) add(st0, other, r, true)
  else if (op === 5) add(other, st0, r, true)
  else if (op === 6) div(st0, other, r)
  else div(other, st0, r)
}

/** Source operands in memory. True when it was a denormal, which its 80-bit form no longer is. */
type Source = (cpu: CpuState, insn: Insn) => void
type Convert = (x: Float80) => boolean

const SOURCES: Record<'float32' | 'float64' | 'int16' | 'int32', { read: Source; convert: Convert }> = {
  float32: { read: readMemory32, convert: (x) => fromFloat32(words[0], x) },
  float64: { read: readMemory64, convert: (x) => fromFloat64(words[0], words[1], x) },
  int16: { read: readMemory16, convert: (x) => (fromInt32((words[0] << 16) >> 16, x), false) },
  int32: { read: readMemory32, convert: (x) => (fromInt32(words[0], x), false) },
}
export type SourceFormat = keyof typeof SOURCES

/** FADD, FMUL, FSUB, FSUBR, FDIV, FDIVR with a memory operand; FCOM and FCOMP too. */
export function memoryOperation(op: number, format: SourceFormat): Handler {
  const { read, convert } = SOURCES[format]
  if (op === 2 || op === 3) return memoryCompare(read, convert, op === 3)
  return (cpu, insn) => {
    begin(cpu)
    read(cpu, insn)
    record(cpu, insn)
    if (isEmpty(cpu, 0)) {
      if (stackUnderflow(cpu)) writeIndefinite(cpu, 0)
      return
    }
    readSt(cpu, 0, a)
    const denormal = convert(b)
    operate(op, a, b)
    noteDenormal(denormal)
    if (commit(cpu)) writeSt(cpu, 0, r)
  }
}

/** A denormal memory operand, unless something of higher priority happened (manual volume 1, 8.5). */
function noteDenormal(denormal: boolean): void {
  if (!denormal || (fp.flags & (FP_INVALID | FP_ZERO_DIVIDE)) !== 0) return
  if (classify(a) < QNAN) fp.flags |= FP_DENORMAL
}

function memoryCompare(read: Source, convert: Convert, pops: boolean): Handler {
  return (cpu, insn) => {
    begin(cpu)
    read(cpu, insn)
    record(cpu, insn)
    if (isEmpty(cpu, 0)) return unorderedByUnderflow(cpu, pops ? 1 : 0)
    readSt(cpu, 0, a)
    const denormal = convert(b)
    const relation = compare(a, b, false)
    noteDenormal(denormal)
    const done = commit(cpu)
    setConditions(cpu, relation)
    if (done && pops) pop(cpu)
  }
}

/** Conditions are set even where an unmasked exception keeps the stack as it was (seen on silicon). */
function unorderedByUnderflow(cpu: CpuState, pops: number): void {
  const masked = stackUnderflow(cpu)
  setConditions(cpu, UNORDERED)
  if (!masked) return
  for (let i = 0; i < pops; i++) pop(cpu)
}

/** Arithmetic between ST(0) and ST(i). `toI`: the result goes to ST(i); `pops`: and ST(0) is popped. */
export function stackOperation(op: number, toI: boolean, pops: boolean): Handler {
  return (cpu, insn) => {
    begin(cpu)
    record(cpu, insn)
    const i = insn.rm
    const target = toI ? i : 0
    if (isEmpty(cpu, 0) || isEmpty(cpu, i)) {
      if (!stackUnderflow(cpu)) return
      writeIndefinite(cpu, target)
    } else {
      readSt(cpu, 0, a)
      readSt(cpu, i, b)
      operate(op, a, b)
      if (!commit(cpu)) return
      writeSt(cpu, target, r)
    }
    if (pops) pop(cpu)
  }
}

/** FCOM, FCOMP, FCOMPP, FUCOM...: condition codes by comparing ST(0) with ST(i). */
export function stackCompare(quiet: boolean, pops: 0 | 1 | 2): Handler {
  return (cpu, insn) => {
    begin(cpu)
    record(cpu, insn)
    const i = insn.rm
    if (isEmpty(cpu, 0) || isEmpty(cpu, i)) return unorderedByUnderflow(cpu, pops)
    readSt(cpu, 0, a)
    readSt(cpu, i, b)
    const relation = compare(a, b, quiet)
    const done = commit(cpu)
    setConditions(cpu, relation)
    if (!done) return
    for (let n = 0; n < pops; n++) pop(cpu)
  }
}

/** FCOMI, FCOMIP, FUCOMI, FUCOMIP: the same into ZF, PF, CF; OF, SF and AF are cleared. C1 stays, but for an underflow. */
export function compareToFlags(quiet: boolean, pops: boolean): Handler {
  return (cpu, insn) => {
    begin(cpu)
    record(cpu, insn)
    const i = insn.rm
    let relation = UNORDERED
    let done: boolean
    if (isEmpty(cpu, 0) || isEmpty(cpu, i)) done = stackUnderflow(cpu)
    else {
      readSt(cpu, 0, a)
      readSt(cpu, i, b)
      relation = compare(a, b, quiet)
      const c1 = cpu.st[S_FPU_STATUS] & STATUS_C1
      done = commit(cpu)
      cpu.st[S_FPU_STATUS] |= c1
    }
    const flags =
      ((relation & STATUS_C3) !== 0 ? FLAG_ZF : 0) |
      ((relation & STATUS_C2) !== 0 ? FLAG_PF : 0) |
      ((relation & STATUS_C0) !== 0 ? FLAG_CF : 0)
    setStatusFlags(cpu, FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF, flags)
    if (done && pops) pop(cpu)
  }
}

export const ftst: Handler = (cpu, insn) => {
  begin(cpu)
  record(cpu, insn)
  if (isEmpty(cpu, 0)) return unorderedByUnderflow(cpu, 0)
  readSt(cpu, 0, a)
  const relation = compare(a, ZERO, false)
  commit(cpu)
  setConditions(cpu, relation)
}

/** Never an exception: an empty register has a class of its own, and C1 is the sign whatever is in it. */
export const fxam: Handler = (cpu, insn) => {
  begin(cpu)
  record(cpu, insn)
  const empty = isEmpty(cpu, 0)
  readSt(cpu, 0, a)
  setConditions(cpu, empty ? EQUAL | STATUS_C0 : examine(a))
  if ((a.se & 0x8000) !== 0) cpu.st[S_FPU_STATUS] |= STATUS_C1
  else cpu.st[S_FPU_STATUS] &= ~STATUS_C1
}

/** FCMOVcc: `cc` is the condition code of the CMOVcc it resembles. */
export function conditionalMove(cc: number): Handler {
  return (cpu, insn) => {
    begin(cpu)
    record(cpu, insn)
    if (isEmpty(cpu, 0) || isEmpty(cpu, insn.rm)) {
      if (stackUnderflow(cpu)) writeIndefinite(cpu, 0)
      return
    }
    // C1 stays as it is.
    if (!condition(cpu, cc)) return
    readSt(cpu, insn.rm, a)
    writeSt(cpu, 0, a)
  }
}

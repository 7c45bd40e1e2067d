/** Loads, stores, exchanges and constants of the x87. A store that cannot be (an unmasked exception) leaves memory and stack as they were. */
import { type CpuState, S_FPU_CONTROL, S_FPU_STATUS } from '../../layout/cpu-state.ts'
import type { Handler, Insn } from '../insn.ts'
import {
  fromBcd,
  fromFloat32,
  fromFloat64,
  fromInt32,
  fromInt64,
  out,
  toBcd,
  toFloat32,
  toFloat64,
  toInteger,
} from './convert.ts'
import { prepareWrite, readMemory16, readMemory32, readMemory64, readMemory80, words, writeWords } from './memory.ts'
import { FP_DENORMAL, FP_INVALID, FP_OVERFLOW, FP_PRECISION, FP_UNDERFLOW, fp } from './round.ts'
import { classify, Float80, SNAN } from './softfloat80.ts'
import {
  begin,
  commit,
  commitPush,
  isEmpty,
  moveTop,
  pop,
  readSt,
  record,
  setEmpty,
  stackUnderflow,
  updateSummary,
  writeIndefinite,
  writeSt,
} from './state.ts'
import { loadConstant } from './transcendental.ts'

const x = new Float80()
const y = new Float80()

/** A float becomes wider: an SNaN is quieted with invalid, a denormal is told. */
function loaded(denormal: boolean): void {
  if (denormal) fp.flags |= FP_DENORMAL
  if (classify(x) !== SNAN) return
  fp.flags |= FP_INVALID
  x.hi |= 0x40000000
}

function load(read: (cpu: CpuState, insn: Insn) => void, convert: () => void): Handler {
  return (cpu, insn) => {
    begin(cpu)
    read(cpu, insn)
    record(cpu, insn)
    convert()
    // An unmasked denormal exception comes with the number loaded (seen on silicon); SNaN and overflow are not loaded.
    const denormal = (fp.flags & FP_DENORMAL) !== 0 && isEmpty(cpu, -1)
    if (denormal) fp.flags &= ~FP_DENORMAL
    const pushed = commitPush(cpu, x)
    if (!denormal || !pushed) return
    cpu.st[S_FPU_STATUS] |= FP_DENORMAL
    updateSummary(cpu)
  }
}

export const fldFloat32 = load(readMemory32, () => loaded(fromFloat32(words[0], x)))
export const fldFloat64 = load(readMemory64, () => loaded(fromFloat64(words[0], words[1], x)))
/** The 80-bit load takes any bits as they are. */
export const fldFloat80 = load(readMemory80, () => x.set(words[0], words[1], words[2] & 0xffff))
export const fildInt16 = load(readMemory16, () => fromInt32((words[0] << 16) >> 16, x))
export const fildInt32 = load(readMemory32, () => fromInt32(words[0], x))
export const fildInt64 = load(readMemory64, () => fromInt64(words[0], words[1], x))
export const fbld = load(readMemory80, () => fromBcd(words[0], words[1], words[2], x))

/** Stores ST(0) by `convert`, which leaves its words in `out`. An empty register is stored as `indefinite`. */
function store(size: number, convert: (x: Float80) => void, indefinite: readonly number[], pops: boolean): Handler {
  return (cpu, insn) => {
    begin(cpu)
    const linear = prepareWrite(cpu, insn, size)
    record(cpu, insn)
    if (isEmpty(cpu, 0)) {
      if (!stackUnderflow(cpu)) return
      out.set(indefinite)
    } else {
      readSt(cpu, 0, x)
      convert(x)
      // Unlike a register, memory gets nothing when overflow or underflow is to be handled; so nothing was inexact.
      const handled = (fp.flags & ~cpu.st[S_FPU_CONTROL] & (FP_OVERFLOW | FP_UNDERFLOW)) !== 0
      if (handled) {
        fp.flags &= ~FP_PRECISION
        fp.roundedUp = false
      }
      if (!commit(cpu) || handled) return
    }
    writeWords(cpu, linear, size, out)
    if (pops) pop(cpu)
  }
}

export const storeFloat32 = (pops: boolean): Handler => store(4, toFloat32, [0xffc00000 | 0], pops)
export const storeFloat64 = (pops: boolean): Handler => store(8, toFloat64, [0, 0xfff80000 | 0], pops)
export const storeFloat80 = store(
  10,
  (value) => {
    out[0] = value.lo
    out[1] = value.hi
    out[2] = value.se
  },
  [0, 0xc0000000 | 0, 0xffff],
  true,
)
export const storeInt16 = (pops: boolean): Handler => store(2, (value) => toInteger(value, 16), [-0x8000], pops)
export const storeInt32 = (pops: boolean): Handler => store(4, (value) => toInteger(value, 32), [0x80000000 | 0], pops)
export const storeInt64 = store(8, (value) => toInteger(value, 64), [0, 0x80000000 | 0], true)
export const storeBcd = store(10, toBcd, [0, 0xc0000000 | 0, 0xffff], true)

/** FLD ST(i). */
export const fldSt: Handler = (cpu, insn) => {
  begin(cpu)
  record(cpu, insn)
  if (isEmpty(cpu, insn.rm)) {
    // The push happens all the same, of the indefinite.
    if (!stackUnderflow(cpu)) return
    moveTop(cpu, -1)
    writeIndefinite(cpu, 0)
    return
  }
  readSt(cpu, insn.rm, x)
  commitPush(cpu, x)
}

/** FST ST(i), FSTP ST(i). */
export function storeSt(pops: boolean): Handler {
  return (cpu, insn) => {
    begin(cpu)
    record(cpu, insn)
    if (isEmpty(cpu, 0)) {
      if (!stackUnderflow(cpu)) return
      writeIndefinite(cpu, insn.rm)
    } else {
      commit(cpu)
      readSt(cpu, 0, x)
      writeSt(cpu, insn.rm, x)
    }
    if (pops) pop(cpu)
  }
}

/** D9 D8+i, undocumented: FSTP ST(i) that raises nothing; an empty ST(0) is popped and stored nowhere. */
export const fstpNoException: Handler = (cpu, insn) => {
  begin(cpu)
  record(cpu, insn)
  commit(cpu)
  if (!isEmpty(cpu, 0)) {
    readSt(cpu, 0, x)
    writeSt(cpu, insn.rm, x)
  }
  pop(cpu)
}

/** FXCH: an empty register counts as the indefinite. */
export const fxch: Handler = (cpu, insn) => {
  begin(cpu)
  record(cpu, insn)
  const i = insn.rm
  if (isEmpty(cpu, 0) || isEmpty(cpu, i)) {
    if (!stackUnderflow(cpu)) return
    if (isEmpty(cpu, 0)) writeIndefinite(cpu, 0)
    if (isEmpty(cpu, i)) writeIndefinite(cpu, i)
  } else commit(cpu)
  readSt(cpu, 0, x)
  readSt(cpu, i, y)
  writeSt(cpu, 0, y)
  writeSt(cpu, i, x)
}

/** FFREE, and FFREEP, which also pops. */
export function free(pops: boolean): Handler {
  return (cpu, insn) => {
    begin(cpu)
    record(cpu, insn)
    commit(cpu)
    setEmpty(cpu, insn.rm)
    if (pops) pop(cpu)
  }
}

/** FINCSTP, FDECSTP: the tags stay. */
export function rotate(by: 1 | -1): Handler {
  return (cpu, insn) => {
    begin(cpu)
    record(cpu, insn)
    commit(cpu)
    moveTop(cpu, by)
  }
}

/** FLD1 (0), FLDL2T, FLDL2E, FLDPI, FLDLG2, FLDLN2 (1-5), FLDZ (6). */
export function constant(which: number): Handler {
  return (cpu, insn) => {
    begin(cpu)
    record(cpu, insn)
    if (which === 0) x.set(0, 0x80000000, 0x3fff)
    else if (which === 6) x.set(0, 0, 0)
    else loadConstant(which - 1, x)
    commitPush(cpu, x)
  }
}

/** Functions of one or two registers: sign, root, rounding, exponents, remainders, transcendental functions. */
import { type CpuState, S_FPU_STATUS } from '../../layout/cpu-state.ts'
import type { Handler } from '../insn.ts'
import { sqrt } from './arith.ts'
import { roundToInteger } from './convert.ts'
import { extract, remainder, scale } from './exponent.ts'
import { FP_DENORMAL, fp, propagateOne } from './round.ts'
import { classify, DENORMAL, Float80, INFINITE, QNAN, ZERO } from './softfloat80.ts'
import {
  begin,
  commit,
  isEmpty,
  pop,
  push,
  readSt,
  record,
  stackOverflow,
  stackUnderflow,
  STATUS_C1,
  STATUS_C2,
  STATUS_CONDITIONS,
  writeIndefinite,
  writeSt,
} from './state.ts'
import { arctangent, exp2Minus1, OUT_OF_RANGE, sineCosine, tangent, yLog2, yLog2Plus1 } from './transcendental.ts'

const a = new Float80()
const b = new Float80()
const r = new Float80()
const s = new Float80()
const ONE = new Float80(0, 0x80000000, 0x3fff)

/** ST(0) = f(ST(0)). */
function unary(f: (a: Float80, r: Float80) => void): Handler {
  return (cpu, insn) => {
    begin(cpu)
    record(cpu, insn)
    if (isEmpty(cpu, 0)) {
      if (stackUnderflow(cpu)) writeIndefinite(cpu, 0)
      return
    }
    readSt(cpu, 0, a)
    f(a, r)
    if (commit(cpu)) writeSt(cpu, 0, r)
  }
}

export const fchs = unary((x, result) => {
  result.copy(x)
  result.se ^= 0x8000
})
export const fabs = unary((x, result) => {
  result.copy(x)
  result.se &= 0x7fff
})
export const fsqrt = unary(sqrt)
export const f2xm1 = unary(exp2Minus1)
export const frndint = unary((x, result) => {
  const kind = classify(x)
  if (kind >= QNAN) return propagateOne(x, result)
  if (kind === INFINITE || kind === ZERO) return result.copy(x)
  if (kind === DENORMAL) fp.flags |= FP_DENORMAL
  roundToInteger(x, result)
})

/** ST(0) and ST(1) together; `pops`: the result replaces both, otherwise ST(0). */
function binary(f: (st0: Float80, st1: Float80, r: Float80) => void, pops: boolean): Handler {
  return (cpu, insn) => {
    begin(cpu)
    record(cpu, insn)
    if (isEmpty(cpu, 0) || isEmpty(cpu, 1)) {
      if (!stackUnderflow(cpu)) return
      writeIndefinite(cpu, pops ? 1 : 0)
    } else {
      readSt(cpu, 0, a)
      readSt(cpu, 1, b)
      f(a, b, r)
      if (!commit(cpu)) return
      writeSt(cpu, pops ? 1 : 0, r)
    }
    if (pops) pop(cpu)
  }
}

export const fscale = binary((st0, st1, result) => scale(st0, st1, result), false)
export const fyl2x = binary((st0, st1, result) => yLog2(st1, st0, result), true)
export const fyl2xp1 = binary((st0, st1, result) => yLog2Plus1(st1, st0, result), true)
export const fpatan = binary((st0, st1, result) => arctangent(st1, st0, result), true)

function setC2(cpu: CpuState, on: boolean): void {
  if (on) cpu.st[S_FPU_STATUS] |= STATUS_C2
  else cpu.st[S_FPU_STATUS] &= ~STATUS_C2
}

/** FPREM, FPREM1: C2 while the reduction is partial, else the quotient's low bits in C0, C3, C1. */
function partialRemainder(nearest: boolean): Handler {
  return (cpu, insn) => {
    begin(cpu)
    record(cpu, insn)
    if (isEmpty(cpu, 0) || isEmpty(cpu, 1)) {
      if (stackUnderflow(cpu)) writeIndefinite(cpu, 0)
      setC2(cpu, false)
      return
    }
    readSt(cpu, 0, a)
    readSt(cpu, 1, b)
    const conditions = remainder(a, b, r, nearest)
    setC2(cpu, false)
    if (!commit(cpu)) return
    writeSt(cpu, 0, r)
    // Not where there is no quotient: NaNs and invalid operands.
    if (conditions >= 0) cpu.st[S_FPU_STATUS] = (cpu.st[S_FPU_STATUS] & ~STATUS_CONDITIONS) | conditions
  }
}
export const fprem = partialRemainder(false)
export const fprem1 = partialRemainder(true)

/** FSIN, FCOS: C2 and nothing done when the operand is too large. */
function trigonometric(f: (a: Float80, r: Float80) => number): Handler {
  return (cpu, insn) => {
    begin(cpu)
    record(cpu, insn)
    if (isEmpty(cpu, 0)) {
      if (stackUnderflow(cpu)) writeIndefinite(cpu, 0)
      setC2(cpu, false)
      return
    }
    readSt(cpu, 0, a)
    if (f(a, r) === OUT_OF_RANGE) {
      setC2(cpu, true)
      cpu.st[S_FPU_STATUS] &= ~STATUS_C1
      return
    }
    setC2(cpu, false)
    if (!commit(cpu)) return
    writeSt(cpu, 0, r)
  }
}
export const fsin = trigonometric((x, result) => sineCosine(x, result, undefined))
export const fcos = trigonometric((x, result) => sineCosine(x, undefined, result))

/** Instructions that replace ST(0) and push a second result. `f` leaves them in r and s. */
function pushing(f: (a: Float80) => number): Handler {
  return (cpu, insn) => {
    begin(cpu)
    record(cpu, insn)
    if (isEmpty(cpu, 0) || !isEmpty(cpu, -1)) {
      const masked = isEmpty(cpu, 0) ? underflowPush(cpu) : stackOverflow(cpu)
      if (masked) writeIndefinite(cpu, 1)
      setC2(cpu, false)
      return
    }
    readSt(cpu, 0, a)
    if (f(a) === OUT_OF_RANGE) {
      setC2(cpu, true)
      cpu.st[S_FPU_STATUS] &= ~STATUS_C1
      return
    }
    setC2(cpu, false)
    if (!commit(cpu)) return
    writeSt(cpu, 0, r)
    push(cpu, s)
  }
}

function underflowPush(cpu: CpuState): boolean {
  if (!stackUnderflow(cpu)) return false
  push(cpu, ONE)
  writeIndefinite(cpu, 0)
  return true
}

export const fsincos = pushing((x) => sineCosine(x, r, s))
export const fptan = pushing((x) => {
  const state = tangent(x, r)
  // A NaN is pushed again, anything else is followed by 1.0.
  if (classify(r) >= QNAN) s.copy(r)
  else s.copy(ONE)
  return state
})
const extractPush = pushing((x) => {
  extract(x, r, s)
  return 0
})
/** C2 is not FXTRACT's. */
export const fxtract: Handler = (cpu, insn) => {
  const before = cpu.st[S_FPU_STATUS] & STATUS_C2
  extractPush(cpu, insn)
  cpu.st[S_FPU_STATUS] |= before
}

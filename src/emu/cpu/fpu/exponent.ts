/**
 * Operations that take numbers apart by exponent: FSCALE, FXTRACT, FPREM and FPREM1 (Intel manual volume 2 under those
 * names). All are exact but for overflow and underflow, and ignore the precision control.
 */
import {
  FP_DENORMAL,
  FP_INVALID,
  FP_ZERO_DIVIDE,
  PRECISION_64,
  fp,
  invalid,
  propagateNan,
  propagateOne,
  roundPack,
} from './round.ts'
import { fromInt32 } from './convert.ts'
import {
  BIAS,
  DENORMAL,
  type Float80,
  INFINITE,
  QNAN,
  Unpacked,
  Wide,
  ZERO,
  classify,
  setInfinity,
  setZero,
} from './softfloat80.ts'
import { STATUS_C0, STATUS_C1, STATUS_C2, STATUS_C3 } from './state.ts'

const ua = new Unpacked()
const ub = new Unpacked()
const w = new Wide()

/** Beyond this, scaling overflows or underflows whatever the operand. */
const SCALE_LIMIT = 0x10000

/** Truncates a finite number to an integer within +-SCALE_LIMIT. */
function truncateToScale(x: Float80): number {
  ub.from(x)
  const shift = BIAS + 31 - ub.exp
  if (shift > 31) return 0
  const n = shift < 15 ? SCALE_LIMIT : Math.min(ub.hi >>> shift, SCALE_LIMIT)
  return ub.sign ? -n : n
}

/** r = a * 2^(b rounded towards zero). */
export function scale(a: Float80, b: Float80, r: Float80): void {
  const ca = classify(a)
  const cb = classify(b)
  if (ca >= QNAN || cb >= QNAN) return propagateNan(a, b, r)
  const sign = a.se >> 15
  if (cb === INFINITE) {
    const up = (b.se & 0x8000) === 0
    if (ca === (up ? ZERO : INFINITE)) return invalid(r)
    if (ca === DENORMAL) fp.flags |= FP_DENORMAL
    if (up) setInfinity(r, sign)
    else setZero(r, sign)
    return
  }
  if (ca === DENORMAL || cb === DENORMAL) fp.flags |= FP_DENORMAL
  if (ca === ZERO || ca === INFINITE) return r.copy(a)
  const n = cb === ZERO ? 0 : truncateToScale(b)
  ua.from(a)
  w.set(ua.hi, ua.lo, 0)
  roundPack(r, sign, ua.exp + n, w, PRECISION_64)
}

/** Splits a into exponent (as a number) and significand (with a's sign, 1 <= |significand| < 2). */
export function extract(a: Float80, exponent: Float80, significand: Float80): void {
  const kind = classify(a)
  const sign = a.se >> 15
  if (kind >= QNAN) {
    propagateOne(a, significand)
    exponent.copy(significand)
  } else if (kind === INFINITE) {
    significand.copy(a)
    setInfinity(exponent, 0)
  } else if (kind === ZERO) {
    fp.flags |= FP_ZERO_DIVIDE
    significand.copy(a)
    setInfinity(exponent, 1)
  } else {
    if (kind === DENORMAL) fp.flags |= FP_DENORMAL
    ua.from(a)
    fromInt32(ua.exp - BIAS, exponent)
    significand.set(ua.lo, ua.hi, (sign << 15) | BIAS)
  }
}

/**
 * r = the remainder of a / b; returns the condition codes: C2 when the reduction is only partial (the exponents differ by
 * 64 or more), otherwise the quotient's low three bits in C0 (bit 2), C3 (bit 1) and C1 (bit 0).
 * -1 when there is no quotient. `nearest`: FPREM1, the quotient rounded to nearest even; otherwise FPREM, truncated.
 */
export function remainder(a: Float80, b: Float80, r: Float80, nearest: boolean): number {
  const ca = classify(a)
  const cb = classify(b)
  if (ca >= QNAN || cb >= QNAN) {
    propagateNan(a, b, r)
    return -1
  }
  if (ca === INFINITE || cb === ZERO) {
    invalid(r)
    return -1
  }
  if (ca === DENORMAL || cb === DENORMAL) fp.flags |= FP_DENORMAL
  if (ca === ZERO) {
    r.copy(a)
    return 0
  }
  ua.from(a)
  if (cb === INFINITE) {
    w.set(ua.hi, ua.lo, 0)
    roundPack(r, ua.sign, ua.exp, w, PRECISION_64)
    return 0
  }
  ub.from(b)
  const difference = ua.exp - ub.exp
  if (difference < (nearest ? -1 : 0)) {
    w.set(ua.hi, ua.lo, 0)
    roundPack(r, ua.sign, ua.exp, w, PRECISION_64)
    return 0
  }
  const ma = (BigInt(ua.hi >>> 0) << 32n) | BigInt(ua.lo >>> 0)
  let mb = (BigInt(ub.hi >>> 0) << 32n) | BigInt(ub.lo >>> 0)
  const partial = difference >= 64
  // A partial step takes between 32 and 63 bits off the exponent, so that the rest is a multiple of 32.
  const steps = partial ? (difference & 31) + 32 : difference
  let exp = partial ? ua.exp - steps : ub.exp
  let dividend: bigint
  if (steps < 0) {
    dividend = ma
    mb <<= 1n
    exp--
  } else dividend = ma << BigInt(steps)
  let quotient = dividend / mb
  let rest = dividend - quotient * mb
  let sign = ua.sign
  if (nearest && !partial && (rest * 2n > mb || (rest * 2n === mb && (quotient & 1n) === 1n))) {
    quotient++
    rest = mb - rest
    sign ^= 1
  }
  let conditions = STATUS_C2
  if (!partial) {
    const q = Number(quotient & 7n)
    conditions = (q & 4 ? STATUS_C0 : 0) | (q & 2 ? STATUS_C3 : 0) | (q & 1 ? STATUS_C1 : 0)
  }
  if (rest === 0n) setZero(r, ua.sign)
  else {
    w.set(Number(rest >> 32n), Number(rest & 0xffffffffn), 0)
    exp -= w.normalize()
    roundPack(r, sign, exp, w, PRECISION_64)
  }
  if (fp.flags & FP_INVALID) return 0
  return conditions
}

/**
 * The exact operations: addition, subtraction, multiplication, division, square root, each correctly rounded to the
 * precision of the control word. Operands are Float80 registers; results go to r, exceptions to `fp` (round.ts).
 *
 * Each function first deals with what is not an ordinary number (tables of the Intel manual volume 2 under FADD, FMUL,
 * FDIV, FSQRT), then works on unsigned 64-bit significands in two int32 words. Denormals raise the denormal exception,
 * unless a NaN or an invalid operation came first.
 */
import { FP_DENORMAL, FP_ZERO_DIVIDE, ROUND_DOWN, fp, invalid, propagateNan, propagateOne, roundPack } from './round.ts'
import {
  BIAS,
  DENORMAL,
  type Float80,
  INFINITE,
  NORMAL,
  QNAN,
  Unpacked,
  Wide,
  ZERO,
  classify,
  compareMantissa,
  mulHigh,
  setInfinity,
  setZero,
} from './softfloat80.ts'

const ua = new Unpacked()
const ub = new Unpacked()
const w = new Wide()

/** Rounds x, a finite number that is not zero, to the precision: what adding zero to it does. */
function roundSame(x: Float80, sign: number, r: Float80): void {
  ua.from(x)
  w.set(ua.hi, ua.lo, 0)
  roundPack(r, sign, ua.exp, w, fp.precision)
}

/** r = a + b, or a - b. */
export function add(a: Float80, b: Float80, r: Float80, subtract: boolean): void {
  const ca = classify(a)
  const cb = classify(b)
  const signB = (b.se >> 15) ^ (subtract ? 1 : 0)
  if (ca !== NORMAL || cb !== NORMAL) {
    if (ca >= QNAN || cb >= QNAN) return propagateNan(a, b, r)
    const signA = a.se >> 15
    if (ca === INFINITE && cb === INFINITE && signA !== signB) return invalid(r)
    if (ca === DENORMAL || cb === DENORMAL) fp.flags |= FP_DENORMAL
    if (ca === INFINITE) return setInfinity(r, signA)
    if (cb === INFINITE) return setInfinity(r, signB)
    if (ca === ZERO) {
      if (cb !== ZERO) return roundSame(b, signB, r)
      return setZero(r, signA === signB ? signA : fp.rounding === ROUND_DOWN ? 1 : 0)
    }
    if (cb === ZERO) return roundSame(a, signA, r)
  }
  ua.from(a)
  ub.from(b)
  ub.sign = signB
  let big = ua
  let small = ub
  if (ua.exp < ub.exp || (ua.exp === ub.exp && compareMantissa(ua.hi, ua.lo, ub.hi, ub.lo) < 0)) {
    big = ub
    small = ua
  }
  let exp = big.exp
  w.set(small.hi, small.lo, 0)
  w.shiftRightSticky(exp - small.exp)
  if (big.sign === small.sign) {
    const lo = (big.lo >>> 0) + (w.lo >>> 0)
    const hi = (big.hi >>> 0) + (w.hi >>> 0) + (lo > 0xffffffff ? 1 : 0)
    w.lo = lo | 0
    w.hi = hi | 0
    if (hi > 0xffffffff) {
      w.shiftRightSticky(1)
      w.hi |= 0x80000000
      exp++
    }
  } else {
    const ext = -w.ext
    const lo = (big.lo >>> 0) - (w.lo >>> 0) - (w.ext !== 0 ? 1 : 0)
    w.hi = (big.hi - w.hi - (lo < 0 ? 1 : 0)) | 0
    w.lo = lo | 0
    w.ext = ext | 0
    if ((w.hi | w.lo | w.ext) === 0) return setZero(r, fp.rounding === ROUND_DOWN ? 1 : 0)
    if (w.hi >= 0) exp -= w.normalize()
  }
  roundPack(r, big.sign, exp, w, fp.precision)
}

/** r = a * b. */
export function mul(a: Float80, b: Float80, r: Float80): void {
  const ca = classify(a)
  const cb = classify(b)
  const sign = (a.se ^ b.se) >> 15
  if (ca !== NORMAL || cb !== NORMAL) {
    if (ca >= QNAN || cb >= QNAN) return propagateNan(a, b, r)
    if ((ca === INFINITE && cb === ZERO) || (ca === ZERO && cb === INFINITE)) return invalid(r)
    if (ca === DENORMAL || cb === DENORMAL) fp.flags |= FP_DENORMAL
    if (ca === INFINITE || cb === INFINITE) return setInfinity(r, sign)
    if (ca === ZERO || cb === ZERO) return setZero(r, sign)
  }
  ua.from(a)
  ub.from(b)
  // Four partial products of 32 x 32 bits:  hh << 64, hl + lh << 32, ll.
  const p0 = Math.imul(ua.lo, ub.lo)
  let middle = (mulHigh(ua.lo, ub.lo) >>> 0) + (Math.imul(ua.hi, ub.lo) >>> 0) + (Math.imul(ua.lo, ub.hi) >>> 0)
  const p1 = middle | 0
  middle =
    Math.floor(middle / 0x1_0000_0000) +
    (mulHigh(ua.hi, ub.lo) >>> 0) +
    (mulHigh(ua.lo, ub.hi) >>> 0) +
    (Math.imul(ua.hi, ub.hi) >>> 0)
  const p3 = mulHigh(ua.hi, ub.hi) + Math.floor(middle / 0x1_0000_0000)
  let exp = ua.exp + ub.exp - BIAS + 1
  w.set(p3, middle | 0, p1)
  if (w.hi >= 0) {
    w.hi = (w.hi << 1) | (w.lo >>> 31)
    w.lo = (w.lo << 1) | (w.ext >>> 31)
    w.ext = (w.ext << 1) | (p0 >>> 31)
    if (p0 << 1 !== 0) w.ext |= 1
    exp--
  } else if (p0 !== 0) w.ext |= 1
  roundPack(r, sign, exp, w, fp.precision)
}

/** The running remainder of divideStep, hi:lo, always less than the divisor. */
let remHi = 0
let remLo = 0

/** One 32-bit digit of a quotient: (rem * 2^32 + next) / d, leaving the new remainder. d's top bit is set. */
function divideStep(next: number, dHi: number, dLo: number): number {
  // The estimate is off by one at most: both quotients of doubles are good to 2^-51.
  const rem = (remHi >>> 0) * 0x1_0000_0000 + (remLo >>> 0)
  const divisor = (dHi >>> 0) * 0x1_0000_0000 + (dLo >>> 0)
  let q = Math.min(Math.floor((rem / divisor) * 0x1_0000_0000), 0xffffffff) | 0
  // rem:next - q * d, in 96 bits; `top` is the sign.
  let lo = (next >>> 0) - (Math.imul(q, dLo) >>> 0)
  const borrow = lo < 0 ? 1 : 0
  let mid = (remLo >>> 0) - (mulHigh(q, dLo) >>> 0) - (Math.imul(q, dHi) >>> 0) - borrow
  let top = (remHi >>> 0) - (mulHigh(q, dHi) >>> 0) + Math.floor(mid / 0x1_0000_0000)
  mid = mid >>> 0
  lo = lo >>> 0
  while (top < 0) {
    q = (q - 1) | 0
    lo += dLo >>> 0
    mid += (dHi >>> 0) + (lo > 0xffffffff ? 1 : 0)
    if (mid > 0xffffffff) top++
    lo = lo >>> 0
    mid = mid >>> 0
  }
  while (top > 0 || compareMantissa(mid, lo, dHi >>> 0, dLo >>> 0) >= 0) {
    q = (q + 1) | 0
    lo -= dLo >>> 0
    mid -= (dHi >>> 0) + (lo < 0 ? 1 : 0)
    if (mid < 0) top--
    lo = lo >>> 0
    mid = mid >>> 0
  }
  remHi = mid | 0
  remLo = lo | 0
  return q
}

/** r = a / b. */
export function div(a: Float80, b: Float80, r: Float80): void {
  const ca = classify(a)
  const cb = classify(b)
  const sign = (a.se ^ b.se) >> 15
  if (ca !== NORMAL || cb !== NORMAL) {
    if (ca >= QNAN || cb >= QNAN) return propagateNan(a, b, r)
    if (ca === cb && (ca === INFINITE || ca === ZERO)) return invalid(r)
    if (cb === ZERO && ca !== INFINITE) {
      fp.flags |= FP_ZERO_DIVIDE
      return setInfinity(r, sign)
    }
    if (ca === DENORMAL || cb === DENORMAL) fp.flags |= FP_DENORMAL
    if (ca === INFINITE) return setInfinity(r, sign)
    if (ca === ZERO || cb === INFINITE) return setZero(r, sign)
  }
  ua.from(a)
  ub.from(b)
  let exp = ua.exp - ub.exp + BIAS
  // The first digit needs a dividend below the divisor: halve it when it is not. Either way the quotient's top bit is set.
  let next = 0
  if (compareMantissa(ua.hi, ua.lo, ub.hi, ub.lo) >= 0) {
    remHi = ua.hi >>> 1
    remLo = (ua.lo >>> 1) | (ua.hi << 31)
    next = ua.lo << 31
  } else {
    remHi = ua.hi
    remLo = ua.lo
    exp--
  }
  const hi = divideStep(next, ub.hi, ub.lo)
  const lo = divideStep(0, ub.hi, ub.lo)
  const ext = divideStep(0, ub.hi, ub.lo)
  w.set(hi, lo, ext | ((remHi | remLo) !== 0 ? 1 : 0))
  roundPack(r, sign, exp, w, fp.precision)
}

/** Floor of the square root of an unsigned number below 2^128. */
export function integerSqrt(n: bigint): bigint {
  if (n === 0n) return 0n
  // A double's root is good to 52 bits, one Newton step makes it more than 64; the last place is put right below.
  let s = BigInt(Math.floor(Math.sqrt(Number(n))))
  s = (s + n / s) >> 1n
  while (s * s > n) s--
  while ((s + 1n) * (s + 1n) <= n) s++
  return s
}

/** r = square root of a. */
export function sqrt(a: Float80, r: Float80): void {
  const ca = classify(a)
  if (ca >= QNAN) return propagateOne(a, r)
  if (ca === ZERO) return r.copy(a)
  if (a.se & 0x8000) return invalid(r)
  if (ca === INFINITE) return r.copy(a)
  if (ca === DENORMAL) fp.flags |= FP_DENORMAL
  ua.from(a)
  const e = ua.exp - BIAS
  // value = m * 2^(e-63); n = m * 2^(63 or 64) makes the exponent even and the root 64 bits long.
  const m = (BigInt(ua.hi >>> 0) << 32n) | BigInt(ua.lo >>> 0)
  const n = m << (e & 1 ? 64n : 63n)
  const s = integerSqrt(n)
  const rest = n - s * s
  // The root of an integer is never half-way between two integers; rest > s means it is above the middle.
  const ext = rest === 0n ? 0 : rest > s ? 0xc0000000 : 0x40000000
  w.set(Number(s >> 32n), Number(s & 0xffffffffn), ext)
  roundPack(r, 0, (e >> 1) + BIAS, w, fp.precision)
}

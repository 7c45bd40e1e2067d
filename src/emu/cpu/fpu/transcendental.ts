/**
 * FSIN, FCOS, FSINCOS, FPTAN, FPATAN, F2XM1, FYL2X and FYL2XP1 (Intel manual volume 1, 8.3.7-8.3.11, and volume 2 for the
 * tables of special operands). Results are rounded once, by the rounding control, to 64 bits; the precision control does
 * not count. The processor's own are within one unit in the last place of that (volume 1, 8.3.10), and so are ours of its.
 *
 * The one deliberate error is the processor's: trigonometric arguments are reduced by a pi of 66 fraction bits
 * (0xC90FDAA22168C234C * 2^-66), so the sine near a multiple of pi differs from mathematics exactly as it does on silicon.
 */
import { atanFixed, bitLength, cosFixed, expm1Fixed, ln2, logRatioFixed, pi, shift, sinFixed } from './fixed-point.ts'
import {
  FP_DENORMAL,
  FP_PRECISION,
  FP_UNDERFLOW,
  FP_ZERO_DIVIDE,
  PRECISION_64,
  fp,
  invalid,
  propagateNan,
  propagateOne,
  roundPack,
} from './round.ts'
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

const ua = new Unpacked()
const ub = new Unpacked()
const w = new Wide()

/** The processor's pi, 66 fraction bits. */
const PI_66 = 0xc90fdaa22168c234cn
/** Fraction bits computed behind the leading one. */
const WORK = 160

function mantissa(u: Unpacked): bigint {
  return (BigInt(u.hi >>> 0) << 32n) | BigInt(u.lo >>> 0)
}

/** r = (-1)^sign * n * 2^-scale, rounded; `inexact` says that n > 0 is not all of it. */
function pack(r: Float80, sign: number, n: bigint, scale: number, inexact: boolean): void {
  const length = bitLength(n)
  const top = shift(n, 96 - length)
  const sticky = inexact || shift(top, length - 96) !== n ? 1 : 0
  w.set(Number(top >> 64n), Number((top >> 32n) & 0xffffffffn), Number(top & 0xffffffffn) | sticky)
  roundPack(r, sign, length - 1 - scale + BIAS, w, PRECISION_64)
}

/** r = a number just below |x| in magnitude (`below`) or just above, rounded: functions that are x for tiny x. */
function packNear(r: Float80, sign: number, n: bigint, scale: number, below: boolean): void {
  pack(r, sign, (n << 130n) + (below ? -1n : 1n), scale + 130, true)
}

/** r = n * 2^-scale itself, though the true value is a hair off: inexact, but rounded nowhere (seen on silicon). */
function packAsIs(r: Float80, sign: number, n: bigint, scale: number): void {
  pack(r, sign, n, scale, false)
  fp.flags |= FP_PRECISION
  if ((r.se & 0x7fff) === 0) fp.flags |= FP_UNDERFLOW
}

/** Below this exponent the processor takes sin x and tan x for x, and cos x for 1. */
const TINY_ANGLE = BIAS - 68

function isTiny(): boolean {
  return ua.exp < TINY_ANGLE
}

/** What reduceAngle leaves: |x| = quadrant * pi/2 + angle * 2^-angleScale. */
let quadrant = 0
let angle = 0n
let angleScale = 0

/** Reduces |x|, in ua, below 2^63, to an angle of at most pi/4 either side of 0. */
function reduceAngle(): void {
  const e = ua.exp - BIAS
  angle = mantissa(ua)
  angleScale = 63 - e
  quadrant = 0
  if (e < -1) return
  const common = Math.max(angleScale, 67)
  const x = shift(angle, common - angleScale)
  const halfPi = shift(PI_66, common - 67)
  const k = (2n * x + halfPi) / (2n * halfPi)
  quadrant = Number(k & 3n)
  angle = x - k * halfPi
  angleScale = common
}

/** Scales `angle`, not 0, so that WORK significant bits follow its leading one. */
function prepareAngle(): void {
  const magnitude = angle < 0n ? -angle : angle
  const leading = angleScale - bitLength(magnitude)
  angle = shift(angle, WORK + leading - angleScale)
  angleScale = WORK + leading
}

function packSine(r: Float80, sign: number): void {
  if (angle === 0n) return setZero(r, sign)
  const negative = angle < 0n
  const value = sinFixed(angle, angleScale)
  pack(r, negative ? sign ^ 1 : sign, negative ? -value : value, angleScale, true)
}

function packCosine(r: Float80, sign: number): void {
  pack(r, sign, cosFixed(angle, angleScale), angleScale, true)
}

/** What the trigonometric instructions did. */
export const DONE = 0
/** The operand was special: NaN, infinity, zero; the result is complete. */
export const SPECIAL = 1
/** |x| >= 2^63: nothing done, C2. */
export const OUT_OF_RANGE = 2

/** The checks all four share. Fills ua when it returns DONE. */
function beginAngle(a: Float80, r: Float80): number {
  const kind = classify(a)
  if (kind >= QNAN) {
    propagateOne(a, r)
    return SPECIAL
  }
  if (kind === INFINITE) {
    invalid(r)
    return SPECIAL
  }
  ua.from(a)
  if (kind !== ZERO && ua.exp >= BIAS + 63) return OUT_OF_RANGE
  if (kind === DENORMAL) fp.flags |= FP_DENORMAL
  return DONE
}

function isZero(a: Float80): boolean {
  return classify(a) === ZERO
}

/** sine = sin a, cosine = cos a; either may be undefined. OUT_OF_RANGE when |a| >= 2^63. */
export function sineCosine(a: Float80, sine: Float80 | undefined, cosine: Float80 | undefined): number {
  const state = beginAngle(a, (sine ?? cosine) as Float80)
  if (state === OUT_OF_RANGE) return state
  if (state === SPECIAL) {
    if (sine && cosine) cosine.copy(sine)
    return state
  }
  if (isZero(a)) {
    sine?.copy(a)
    cosine?.set(0, 0x80000000, BIAS)
    return SPECIAL
  }
  const sign = ua.sign
  if (isTiny()) {
    if (sine) packAsIs(sine, sign, mantissa(ua), BIAS + 63 - ua.exp)
    if (cosine) packAsIs(cosine, 0, 1n, 0)
    return DONE
  }
  reduceAngle()
  if (angle !== 0n) prepareAngle()
  const q = quadrant
  // sin(q pi/2 + t) = sin t, cos t, -sin t, -cos t; the cosine is the sine one quadrant on.
  if (sine) (q & 1 ? packCosine : packSine)(sine, sign ^ (q >> 1))
  if (cosine) (q & 1 ? packSine : packCosine)(cosine, q === 1 || q === 2 ? 1 : 0)
  return DONE
}

/** r = tan a. OUT_OF_RANGE when |a| >= 2^63. */
export function tangent(a: Float80, r: Float80): number {
  const state = beginAngle(a, r)
  if (state !== DONE) return state
  if (isZero(a)) {
    r.copy(a)
    return DONE
  }
  const sign = ua.sign
  if (isTiny()) {
    packAsIs(r, sign, mantissa(ua), BIAS + 63 - ua.exp)
    return DONE
  }
  reduceAngle()
  if (angle === 0n) {
    setZero(r, sign)
    return DONE
  }
  const negative = angle < 0n
  const odd = (quadrant & 1) === 1
  prepareAngle()
  let s = sinFixed(angle, angleScale)
  if (negative) s = -s
  const c = cosFixed(angle, angleScale)
  const quotient = odd ? shift(c, angleScale) / s : shift(s, angleScale) / c
  pack(r, sign ^ (negative !== odd ? 1 : 0), quotient, angleScale, true)
  return DONE
}

/** r = angle of the point (x, y): atan(y / x), in the quadrant the signs say. */
export function arctangent(y: Float80, x: Float80, r: Float80): void {
  const cy = classify(y)
  const cx = classify(x)
  if (cy >= QNAN || cx >= QNAN) return propagateNan(y, x, r)
  const sign = y.se >> 15
  const left = x.se >> 15 === 1
  if (cy === DENORMAL || cx === DENORMAL) fp.flags |= FP_DENORMAL
  if (cy === INFINITE) {
    if (cx !== INFINITE) return packPi(r, sign, 1, 1)
    return left ? packPi(r, sign, 3, 2) : packPi(r, sign, 1, 2)
  }
  if (cy === ZERO || cx === INFINITE) return left ? packPi(r, sign, 1, 0) : setZero(r, sign)
  if (cx === ZERO) return packPi(r, sign, 1, 1)
  ua.from(y)
  ub.from(x)
  const e = ua.exp - ub.exp
  const my = mantissa(ua)
  const mx = mantissa(ub)
  if (!left && e < -66) {
    // y/x, less a relative 2^-132, which counts for nothing.
    const q = (my << 200n) / mx
    return q * mx === my << 200n ? packAsIs(r, sign, q, 200 - e) : pack(r, sign, q, 200 - e, true)
  }
  if (left && e < -200) return packNear(r, sign, pi(300), 300, true)
  if (e > 200) return packNear(r, sign, pi(300) >> 1n, 300, !left)
  const scale = WORK + 70
  // t = the smaller over the larger.
  const inverse = e > 0 || (e === 0 && my > mx)
  const t = inverse ? shift(mx, scale - e) / my : shift(my, scale + e) / mx
  let value = atanFixed(t, scale)
  if (inverse) value = pi(scale - 1) + (left ? value : -value)
  else if (left) value = pi(scale) - value
  pack(r, sign, value, scale, true)
}

/** r = pi * numerator / 2^halvings, rounded. */
function packPi(r: Float80, sign: number, numerator: 1 | 3, halvings: number): void {
  pack(r, sign, pi(300) * BigInt(numerator), 300 + halvings, true)
}

/** r = 2^a - 1 for -1 <= a <= 1; outside that range the manual leaves the result undefined and we return a. */
export function exp2Minus1(a: Float80, r: Float80): void {
  const kind = classify(a)
  if (kind >= QNAN) return propagateOne(a, r)
  const sign = a.se >> 15
  if (kind === INFINITE) return sign ? r.set(0, 0x80000000, 0x8000 | BIAS) : r.copy(a)
  if (kind === ZERO) return r.copy(a)
  if (kind === DENORMAL) fp.flags |= FP_DENORMAL
  ua.from(a)
  const e = ua.exp - BIAS
  const m = mantissa(ua)
  if (e >= 0) {
    if (e > 0 || m !== 1n << 63n) return r.copy(a)
    return sign ? r.set(0, 0x80000000, 0x8000 | (BIAS - 1)) : r.copy(a)
  }
  // 2^a - 1 = a ln 2 (1 + a ln 2 / 2 + ...): for tiny a the first factor, and a hair more or less.
  if (e < -200) return pack(r, sign, m * ln2(300) + (sign ? -1n : 1n), 363 - e, true)
  const scale = WORK - e
  const t = shift(m * ln2(scale), e - 63)
  const value = expm1Fixed(sign ? -t : t, scale)
  pack(r, sign, sign ? -value : value, scale, true)
}

/** A logarithm to base 2: logarithm * 2^-logScale. */
let logarithm = 0n
let logScale = 0

/** log2 of the number whose significand (of any length, its leading one the unit) is m and whose exponent is e. */
function log2(m: bigint, e: number): void {
  const length = bitLength(m)
  let unit = 1n << BigInt(length - 1)
  // Into 0.75 <= m < 1.5, so that nothing cancels between exponent and logarithm.
  if (2n * m >= 3n * unit) {
    unit <<= 1n
    e++
  }
  if (m === unit) {
    logarithm = BigInt(e)
    logScale = 0
    return
  }
  const difference = m - unit
  const leading = length - bitLength(difference < 0n ? -difference : difference)
  logScale = WORK + (e === 0 ? leading : 0)
  const z = (difference << BigInt(logScale)) / (m + unit)
  logarithm = (logRatioFixed(z, logScale) << BigInt(logScale)) / ln2(logScale) + (BigInt(e) << BigInt(logScale))
}

/** r = y * the logarithm just computed. */
function packProduct(y: Float80, r: Float80): void {
  ub.from(y)
  const negative = logarithm < 0n
  const exact = logScale === 0
  pack(
    r,
    ub.sign ^ (negative ? 1 : 0),
    (negative ? -logarithm : logarithm) * mantissa(ub),
    logScale + 63 - (ub.exp - BIAS),
    !exact,
  )
}

/** r = y * log2 x. */
export function yLog2(y: Float80, x: Float80, r: Float80): void {
  const cy = classify(y)
  const cx = classify(x)
  if (cy >= QNAN || cx >= QNAN) return propagateNan(y, x, r)
  const sign = y.se >> 15
  if (cx !== ZERO && x.se & 0x8000) return invalid(r)
  if (cx === ZERO) {
    if (cy === ZERO) return invalid(r)
    if (cy !== INFINITE) fp.flags |= FP_ZERO_DIVIDE
    return setInfinity(r, sign ^ 1)
  }
  if (cx === INFINITE) {
    if (cy === ZERO) return invalid(r)
    if (cy === DENORMAL) fp.flags |= FP_DENORMAL
    return setInfinity(r, sign)
  }
  ua.from(x)
  const m = mantissa(ua)
  const e = ua.exp - BIAS
  const one = e === 0 && m === 1n << 63n
  if (cy === INFINITE && one) return invalid(r)
  if (cy === DENORMAL || cx === DENORMAL) fp.flags |= FP_DENORMAL
  if (cy === INFINITE) return setInfinity(r, e < 0 ? sign ^ 1 : sign)
  if (one) return setZero(r, sign)
  if (cy === ZERO) return setZero(r, e < 0 ? sign ^ 1 : sign)
  log2(m, e)
  packProduct(y, r)
}

/** r = y * log2(x + 1), exact for small x. The manual's range is |x| < 1 - sqrt(2)/2; beyond it we go on down to -1. */
export function yLog2Plus1(y: Float80, x: Float80, r: Float80): void {
  const cy = classify(y)
  const cx = classify(x)
  if (cy >= QNAN || cx >= QNAN) return propagateNan(y, x, r)
  const sign = (y.se ^ x.se) >> 15
  if (cx === ZERO && cy === INFINITE) return invalid(r)
  if (cx === INFINITE) {
    if (x.se & 0x8000 || cy === ZERO) return invalid(r)
    if (cy === DENORMAL) fp.flags |= FP_DENORMAL
    return setInfinity(r, sign)
  }
  if (cx !== ZERO) ua.from(x)
  if (cx !== ZERO && ua.sign && ua.exp >= BIAS) return invalid(r)
  if (cy === DENORMAL || cx === DENORMAL) fp.flags |= FP_DENORMAL
  if (cy === INFINITE) return setInfinity(r, sign)
  if (cx === ZERO || cy === ZERO) return setZero(r, sign)
  const e = ua.exp - BIAS
  const m = mantissa(ua)
  if (e < -200) {
    // log2(1 + x) = x / ln 2, and a hair less (more, for negative x).
    logScale = 300 + 63 - e
    logarithm = (m << 600n) / ln2(300) + (ua.sign ? 1n : -1n)
    if (ua.sign) logarithm = -logarithm
  } else {
    // 1 + x exactly; its logarithm has as many significant bits as x needs.
    const scale = 63 - e
    const v = (1n << BigInt(scale)) + (ua.sign ? -m : m)
    log2(v, bitLength(v) - 1 - scale)
  }
  packProduct(y, r)
}

/** FLDL2T, FLDL2E, FLDPI, FLDLG2, FLDLN2 and how they round: significand towards zero, and whether nearest is one more. */
const CONSTANTS: readonly { lo: number; hi: number; exp: number; nearestUp: boolean }[] = [
  { hi: 0xd49a784b, lo: 0xcd1b8afe, exp: 0x4000, nearestUp: false }, // log2 10
  { hi: 0xb8aa3b29, lo: 0x5c17f0bb, exp: 0x3fff, nearestUp: true }, // log2 e
  { hi: 0xc90fdaa2, lo: 0x2168c234, exp: 0x4000, nearestUp: true }, // pi
  { hi: 0x9a209a84, lo: 0xfbcff798, exp: 0x3ffd, nearestUp: true }, // log10 2
  { hi: 0xb17217f7, lo: 0xd1cf79ab, exp: 0x3ffe, nearestUp: true }, // ln 2
]

/** r = constant `which` (the order of opcodes D9 E9-ED), rounded by the rounding control. No exception is raised. */
export function loadConstant(which: number, r: Float80): void {
  const c = CONSTANTS[which]
  const rounding = fp.rounding
  const up = rounding === 2 || (rounding === 0 && c.nearestUp)
  r.set(c.lo + (up ? 1 : 0), c.hi, c.exp)
}

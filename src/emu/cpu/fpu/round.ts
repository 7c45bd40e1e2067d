/**
 * Rounding: from a 96-bit significand with an exponent of any size to a number a register or memory operand can hold, and
 * the exceptions met on the way (Intel manual volume 1, 4.8.4 rounding and 8.5.4-8.5.6 overflow, underflow, inexact).
 *
 * `fp` is the instruction in progress: the control word it runs under, the exceptions it has raised so far and whether its
 * result was rounded up (C1). Functions here and in arith.ts, convert.ts ... write it; state.ts starts it before an
 * instruction and turns it into status-word bits after. One CPU executes at a time in a JavaScript thread, so one is enough.
 */
import {
  BIAS,
  EXP_MAX,
  type Float80,
  SNAN,
  UNSUPPORTED,
  Wide,
  classify,
  setIndefinite,
  setInfinity,
  setZero,
} from './softfloat80.ts'

/** Exception bits of the status word, and mask bits of the control word (manual volume 1, 8.1.3). */
export const FP_INVALID = 0x01
export const FP_DENORMAL = 0x02
export const FP_ZERO_DIVIDE = 0x04
export const FP_OVERFLOW = 0x08
export const FP_UNDERFLOW = 0x10
export const FP_PRECISION = 0x20
export const FP_STACK_FAULT = 0x40
export const FP_EXCEPTIONS = 0x3f
/** The exceptions detected before anything is computed: unmasked, they leave the destination as it was. */
export const FP_BEFORE = FP_INVALID | FP_DENORMAL | FP_ZERO_DIVIDE

/** Rounding control, bits 10-11 of the control word. */
export const ROUND_NEAREST = 0
export const ROUND_DOWN = 1
export const ROUND_UP = 2
export const ROUND_CHOP = 3

/** Precision control, bits 8-9 of the control word: significands of 24, 53 or 64 bits. 1 is reserved. */
export const PRECISION_24 = 0
export const PRECISION_53 = 2
export const PRECISION_64 = 3

/** What an unmasked overflow or underflow adds to the exponent, so that a handler can see the result: 3 * 2^13. */
export const EXPONENT_WRAP = 24576

class Progress {
  control = 0x37f
  /** FP_* raised so far. */
  flags = 0
  /** The last rounding increased the magnitude: C1. */
  roundedUp = false

  start(control: number): void {
    this.control = control
    this.flags = 0
    this.roundedUp = false
  }

  /** True when one of the exceptions `which` is not masked. */
  unmasked(which: number): boolean {
    return (~this.control & which) !== 0
  }

  get rounding(): number {
    return (this.control >>> 10) & 3
  }

  get precision(): number {
    return (this.control >>> 8) & 3
  }
}

export const fp = new Progress()

/** roundMantissa's result bits. */
export const INEXACT = 1
export const ROUNDED_UP = 2
/** The significand overflowed: it is 1.000... again and the exponent one more. */
export const CARRIED = 4

/** Rounds w to the precision, in place; ext becomes 0. Touches nothing of `fp`. */
export function roundMantissa(w: Wide, sign: number, precision: number): number {
  let rest: number // 0 nothing, 1 less than half, 2 half, 3 more than half of the last kept place
  let odd: boolean
  if (precision === PRECISION_53) {
    const tail = w.lo & 0x7ff
    rest = tail < 0x400 ? ((tail | w.ext) === 0 ? 0 : 1) : tail === 0x400 && w.ext === 0 ? 2 : 3
    odd = (w.lo & 0x800) !== 0
  } else if (precision === PRECISION_24) {
    const tail = w.hi & 0xff
    const below = w.lo | w.ext
    rest = tail < 0x80 ? ((tail | below) === 0 ? 0 : 1) : tail === 0x80 && below === 0 ? 2 : 3
    odd = (w.hi & 0x100) !== 0
  } else {
    rest = w.ext === 0 ? 0 : w.ext > 0 ? 1 : w.ext === (0x80000000 | 0) ? 2 : 3
    odd = (w.lo & 1) !== 0
  }
  if (rest === 0) return 0
  w.ext = 0
  const rounding = fp.rounding
  const up =
    rounding === ROUND_NEAREST
      ? rest === 3 || (rest === 2 && odd)
      : rounding === ROUND_CHOP
        ? false
        : (rounding === ROUND_DOWN) === (sign === 1)
  if (precision === PRECISION_53) w.lo &= ~0x7ff
  else if (precision === PRECISION_24) {
    w.hi &= ~0xff
    w.lo = 0
  }
  if (!up) return INEXACT
  let carry: boolean
  if (precision === PRECISION_24) {
    w.hi = (w.hi + 0x100) | 0
    carry = w.hi === 0
  } else {
    w.lo = (w.lo + (precision === PRECISION_53 ? 0x800 : 1)) | 0
    carry = false
    if (w.lo === 0) {
      w.hi = (w.hi + 1) | 0
      carry = w.hi === 0
    }
  }
  if (!carry) return INEXACT | ROUNDED_UP
  w.hi = 0x80000000 | 0
  return INEXACT | ROUNDED_UP | CARRIED
}

const trial = new Wide()

/**
 * Rounds w * 2^(exp - bias) into a format whose largest exponent (that of infinity) is maxExp, raising overflow, underflow
 * and precision. w must be normalized and not zero. Returns the biased exponent: 0 for a denormal result (w is then
 * shifted to it), maxExp for infinity. `wrap` is what an unmasked overflow or underflow changes the exponent by;
 * 0 for memory formats, whose result is then not stored at all.
 */
function roundToRange(w: Wide, sign: number, exp: number, precision: number, maxExp: number, wrap: number): number {
  if (exp <= 0) {
    // Tiny after rounding, as x87 and SSE detect it: as if the exponent had no lower bound.
    let tiny = true
    if (exp === 0) {
      trial.set(w.hi, w.lo, w.ext)
      tiny = (roundMantissa(trial, sign, precision) & CARRIED) === 0
    }
    if (tiny && fp.unmasked(FP_UNDERFLOW)) {
      fp.flags |= FP_UNDERFLOW
      exp += wrap
      if (wrap === 0) {
        const result = roundMantissa(w, sign, precision)
        if (result & INEXACT) fp.flags |= FP_PRECISION
        fp.roundedUp = (result & ROUNDED_UP) !== 0
        return 1
      }
    } else {
      w.shiftRightSticky(1 - exp)
      const result = roundMantissa(w, sign, precision)
      if (result & INEXACT) fp.flags |= tiny ? FP_UNDERFLOW | FP_PRECISION : FP_PRECISION
      fp.roundedUp = (result & ROUNDED_UP) !== 0
      return w.hi < 0 ? 1 : 0
    }
  }
  const result = roundMantissa(w, sign, precision)
  fp.roundedUp = (result & ROUNDED_UP) !== 0
  if (result & CARRIED) exp++
  if (exp >= maxExp) {
    fp.flags |= FP_OVERFLOW
    if (fp.unmasked(FP_OVERFLOW)) {
      if (result & INEXACT) fp.flags |= FP_PRECISION
      return exp - wrap
    }
    fp.flags |= FP_PRECISION
    const rounding = fp.rounding
    const toInfinity =
      rounding === ROUND_NEAREST || (rounding !== ROUND_CHOP && (rounding === ROUND_DOWN) === (sign === 1))
    fp.roundedUp = toInfinity
    if (toInfinity) {
      w.set(0x80000000, 0, 0)
      return maxExp
    }
    w.set(
      precision === PRECISION_24 ? ~0xff : -1,
      precision === PRECISION_24 ? 0 : precision === PRECISION_53 ? ~0x7ff : -1,
      0,
    )
    return maxExp - 1
  }
  if (result & INEXACT) fp.flags |= FP_PRECISION
  return exp
}

/** Rounds (-1)^sign * w * 2^(exp - BIAS) to a register value. w: normalized, not zero; destroyed. exp may be out of range. */
export function roundPack(r: Float80, sign: number, exp: number, w: Wide, precision: number): void {
  const biased = roundToRange(w, sign, exp, precision, EXP_MAX, EXPONENT_WRAP)
  // Only FSCALE gets so far that even the wrapped exponent does not fit. It then has infinity or zero, as if rounded to it.
  if (exp >= EXP_MAX && fp.unmasked(FP_OVERFLOW) && biased >= EXP_MAX) {
    fp.flags |= FP_PRECISION
    fp.roundedUp = true
    setInfinity(r, sign)
  } else if (exp <= 0 && fp.unmasked(FP_UNDERFLOW) && (fp.flags & FP_UNDERFLOW) !== 0 && biased <= 0) {
    fp.flags |= FP_PRECISION
    fp.roundedUp = false
    setZero(r, sign)
  } else r.set(w.lo, w.hi, (sign << 15) | biased)
}

/**
 * Rounds a finite number to a memory format of 24 or 53 bits. w: normalized significand, exp: biased by BIAS. Returns the
 * exponent field of the format; w holds the significand, its top bit the (implied) integer bit.
 */
export function roundToFormat(w: Wide, sign: number, exp: number, precision: number): number {
  return precision === PRECISION_24
    ? roundToRange(w, sign, exp - BIAS + 127, precision, 255, 0)
    : roundToRange(w, sign, exp - BIAS + 1023, precision, 2047, 0)
}

/** Raises invalid operation and makes the result the indefinite QNaN. */
export function invalid(r: Float80): void {
  fp.flags |= FP_INVALID
  setIndefinite(r)
}

/** The result of an operation with a NaN or an unsupported operand (manual volume 1, table 4-7). */
export function propagateNan(a: Float80, b: Float80, r: Float80): void {
  const ca = classify(a)
  const cb = classify(b)
  if (ca === UNSUPPORTED || cb === UNSUPPORTED) return invalid(r)
  if (ca === SNAN || cb === SNAN) fp.flags |= FP_INVALID
  r.copy(chooseNan(a, ca, b, cb))
  r.hi |= 0x40000000
}

function chooseNan(a: Float80, ca: number, b: Float80, cb: number): Float80 {
  if (cb < 4) return a
  if (ca < 4) return b
  // One signaling, one quiet: the quiet one. Two of a kind: the larger significand, and of equal ones the positive.
  if (ca !== cb) return ca === SNAN ? b : a
  if (a.hi !== b.hi) return a.hi >>> 0 > b.hi >>> 0 ? a : b
  if (a.lo !== b.lo) return a.lo >>> 0 > b.lo >>> 0 ? a : b
  return a.se < b.se ? a : b
}

/** The same with one operand: a QNaN passes, an SNaN is quieted, an unsupported number gives the indefinite. */
export function propagateOne(a: Float80, r: Float80): void {
  propagateNan(a, a, r)
}

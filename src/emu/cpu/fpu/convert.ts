/**
 * Conversions between registers and memory formats: single, double, integers of 16, 32 and 64 bits, packed decimal (Intel
 * manual volume 1, 4.2 and 8.2). Loads of numbers are exact; stores round by the rounding control, never by the precision
 * control. Nothing here accesses memory: operands are words, results are in `out`.
 */
import { FP_INVALID, FP_PRECISION, INEXACT, PRECISION_24, PRECISION_53, PRECISION_64, ROUNDED_UP } from './round.ts'
import { fp, roundMantissa, roundToFormat } from './round.ts'
import {
  BIAS,
  EXP_MAX,
  type Float80,
  INFINITE,
  QNAN,
  SNAN,
  UNSUPPORTED,
  Unpacked,
  Wide,
  ZERO,
  classify,
} from './softfloat80.ts'

/** Words of the result of a store conversion, least significant first. */
export const out = new Int32Array(3)

const u = new Unpacked()
const w = new Wide()

/** x = the single-precision number in `bits`, exactly: SNaNs stay signaling. Returns true for a denormal. */
export function fromFloat32(bits: number, x: Float80): boolean {
  const sign = (bits >>> 16) & 0x8000
  const exp = (bits >>> 23) & 0xff
  const fraction = bits << 9
  if (exp === 0) {
    if (fraction === 0) {
      x.set(0, 0, sign)
      return false
    }
    const n = Math.clz32(fraction)
    x.set(0, fraction << n, sign | (BIAS - 127 - n))
    return true
  }
  x.set(0, 0x80000000 | (fraction >>> 1), sign | (exp === 0xff ? EXP_MAX : exp + BIAS - 127))
  return false
}

/** x = the double-precision number in hi:lo, exactly: SNaNs stay signaling. Returns true for a denormal. */
export function fromFloat64(lo: number, hi: number, x: Float80): boolean {
  const sign = (hi >>> 16) & 0x8000
  const exp = (hi >>> 20) & 0x7ff
  let high = ((hi & 0xfffff) << 11) | (lo >>> 21)
  let low = lo << 11
  if (exp === 0) {
    if ((high | low) === 0) {
      x.set(0, 0, sign)
      return false
    }
    // As if the integer bit were at 31 with exponent 1 - 1023; it is 0, so shift the first one bit there.
    let shift = 0
    if (high === 0) {
      high = low
      low = 0
      shift = 32
    }
    const n = Math.clz32(high)
    if (n > 0) {
      high = (high << n) | (low >>> (32 - n))
      low <<= n
    }
    x.set(low, high, sign | (BIAS - 1022 - shift - n))
    return true
  }
  x.set(low, 0x80000000 | high, sign | (exp === 0x7ff ? EXP_MAX : exp + BIAS - 1023))
  return false
}

/** x = a signed 32-bit integer. */
export function fromInt32(value: number, x: Float80): void {
  if (value === 0) return x.set(0, 0, 0)
  const magnitude = value < 0 ? -value | 0 : value
  const n = Math.clz32(magnitude)
  x.set(0, magnitude << n, (value < 0 ? 0x8000 : 0) | (BIAS + 31 - n))
}

/** x = (-1)^sign * the unsigned integer hi:lo. */
function fromMagnitude(lo: number, hi: number, sign: number, x: Float80): void {
  let exp = BIAS + 63
  if (hi === 0) {
    if (lo === 0) return x.set(0, 0, sign << 15)
    hi = lo
    lo = 0
    exp -= 32
  }
  const n = Math.clz32(hi)
  if (n > 0) {
    hi = (hi << n) | (lo >>> (32 - n))
    lo <<= n
  }
  x.set(lo, hi, (sign << 15) | (exp - n))
}

/** x = the signed 64-bit integer hi:lo. */
export function fromInt64(lo: number, hi: number, x: Float80): void {
  if (hi < 0) {
    lo = -lo | 0
    hi = (~hi + (lo === 0 ? 1 : 0)) | 0
    fromMagnitude(lo, hi, 1, x)
  } else fromMagnitude(lo, hi, 0, x)
}

/** x = packed decimal: 18 digits, two a byte, in lo, hi and the low byte of top; the sign is bit 15 of top. */
export function fromBcd(lo: number, hi: number, top: number, x: Float80): void {
  // Digits above 9 are undefined; like the processor we take each as its value times its power of ten.
  let low = 0 // the lower nine digits
  let high = 0 // the upper nine
  for (let i = 17; i >= 0; i--) {
    const word = i >= 16 ? top : i >= 8 ? hi : lo
    const digit = (word >>> ((i & 7) << 2)) & 0xf
    if (i >= 9) high = high * 10 + digit
    else low = low * 10 + digit
  }
  const value = BigInt(high) * 1_000_000_000n + BigInt(low)
  fromMagnitude(Number(value & 0xffffffffn) | 0, Number(value >> 32n) | 0, (top >>> 15) & 1, x)
}

/** out[0] = x as a single. Raises what the store raises. */
export function toFloat32(x: Float80): void {
  const sign = (x.se & 0x8000) << 16
  switch (classify(x)) {
    case ZERO:
      out[0] = sign
      return
    case INFINITE:
      out[0] = sign | 0x7f800000
      return
    case UNSUPPORTED:
      fp.flags |= FP_INVALID
      out[0] = 0xffc00000
      return
    case SNAN:
      fp.flags |= FP_INVALID
      out[0] = sign | 0x7fc00000 | ((x.hi >>> 8) & 0x7fffff)
      return
    case QNAN:
      out[0] = sign | 0x7f800000 | ((x.hi >>> 8) & 0x7fffff)
      return
  }
  u.from(x)
  w.set(u.hi, u.lo, 0)
  const exp = roundToFormat(w, u.sign, u.exp, PRECISION_24)
  out[0] = sign | (exp << 23) | ((w.hi >>> 8) & 0x7fffff)
}

/** out[0], out[1] = x as a double. Raises what the store raises. */
export function toFloat64(x: Float80): void {
  const sign = (x.se & 0x8000) << 16
  switch (classify(x)) {
    case ZERO:
      out[0] = 0
      out[1] = sign
      return
    case INFINITE:
      out[0] = 0
      out[1] = sign | 0x7ff00000
      return
    case UNSUPPORTED:
      fp.flags |= FP_INVALID
      out[0] = 0
      out[1] = 0xfff80000
      return
    case SNAN:
      fp.flags |= FP_INVALID
      out[0] = (x.lo >>> 11) | (x.hi << 21)
      out[1] = sign | 0x7ff80000 | ((x.hi >>> 11) & 0xfffff)
      return
    case QNAN:
      out[0] = (x.lo >>> 11) | (x.hi << 21)
      out[1] = sign | 0x7ff00000 | ((x.hi >>> 11) & 0xfffff)
      return
  }
  u.from(x)
  w.set(u.hi, u.lo, 0)
  const exp = roundToFormat(w, u.sign, u.exp, PRECISION_53)
  out[0] = (w.lo >>> 11) | (w.hi << 21)
  out[1] = sign | (exp << 20) | ((w.hi >>> 11) & 0xfffff)
}

/** Rounds a finite x to an integer below 2^64: w.hi:w.lo its magnitude. False when it is larger. Raises precision. */
function roundToMagnitude(x: Float80, kind: number): boolean {
  if (kind === ZERO) {
    w.set(0, 0, 0)
    return true
  }
  u.from(x)
  const shift = BIAS + 63 - u.exp
  if (shift < 0) return false
  w.set(u.hi, u.lo, 0)
  w.shiftRightSticky(shift)
  const result = roundMantissa(w, u.sign, PRECISION_64)
  if (result & INEXACT) fp.flags |= FP_PRECISION
  fp.roundedUp = (result & ROUNDED_UP) !== 0
  return true
}

/** An integer store that cannot be: the integer indefinite, -2^(bits-1), and invalid instead of precision. */
function integerIndefinite(bits: number): void {
  fp.flags = FP_INVALID
  fp.roundedUp = false
  out[0] = bits === 64 ? 0 : -1 << (bits - 1)
  out[1] = 0x80000000
}

/** out = x rounded to a signed integer of 16, 32 or 64 bits. */
export function toInteger(x: Float80, bits: 16 | 32 | 64): void {
  const kind = classify(x)
  if (kind >= INFINITE || !roundToMagnitude(x, kind)) return integerIndefinite(bits)
  const negative = x.se & 0x8000
  const hi = w.hi >>> 0
  const lo = w.lo >>> 0
  if (bits === 64) {
    if (hi >= 0x80000000 && !(negative && hi === 0x80000000 && lo === 0)) return integerIndefinite(bits)
    out[0] = negative ? -lo : lo
    out[1] = negative ? ~hi + (lo === 0 ? 1 : 0) : hi
    return
  }
  const limit = bits === 16 ? 0x8000 : 0x80000000
  if (hi !== 0 || lo > limit || (lo === limit && !negative)) return integerIndefinite(bits)
  out[0] = negative ? -lo : lo
}

/** out = x rounded to packed decimal, ten bytes (the lower half of out[2] counts). */
export function toBcd(x: Float80): void {
  const kind = classify(x)
  const ok = kind < INFINITE && roundToMagnitude(x, kind)
  let value = ok ? (BigInt(w.hi >>> 0) << 32n) | BigInt(w.lo >>> 0) : 0n
  if (!ok || value > 999_999_999_999_999_999n) {
    fp.flags = FP_INVALID
    fp.roundedUp = false
    out[0] = 0
    out[1] = 0xc0000000
    out[2] = 0xffff
    return
  }
  out[0] = out[1] = 0
  out[2] = x.se & 0x8000
  for (let i = 0; i < 18; i++) {
    out[i >> 3] |= Number(value % 10n) << ((i & 7) << 2)
    value /= 10n
  }
}

/** r = x rounded to an integer, FRNDINT, for a finite x: |x| >= 2^63 is one already. Raises precision. */
export function roundToInteger(x: Float80, r: Float80): void {
  u.from(x)
  if (u.exp >= BIAS + 63) return r.copy(x)
  roundToMagnitude(x, -1)
  fromMagnitude(w.lo, w.hi, u.sign, r)
}

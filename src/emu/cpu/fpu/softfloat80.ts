/**
 * Float80: the x87's double extended-precision number as the registers hold it, and what kind of number it is.
 *
 *    79  78         64  63  62                                    0
 *   +---+-------------+---+----------------------------------------+
 *   | s | exponent    | J | fraction                               |     se = bits 64-79, hi = 32-63, lo = 0-31
 *   +---+-------------+---+----------------------------------------+
 *
 * The integer bit J is explicit, so there are encodings no instruction produces any more (Intel manual volume 1, 8.2.2):
 * pseudo-denormals count as denormals; unnormals, pseudo-infinities and pseudo-NaNs are UNSUPPORTED, an invalid operand.
 *
 * hi and lo are signed int32 throughout, se is 0 to 0xffff. Rounding is round.ts, arithmetic arith.ts. The objects the
 * instructions work on are allocated once; nothing here allocates while it runs.
 */

export const ZERO = 0
export const NORMAL = 1
export const DENORMAL = 2
export const INFINITE = 3
export const QNAN = 4
export const SNAN = 5
export const UNSUPPORTED = 6

/** Exponent bias of the 80-bit format. */
export const BIAS = 16383
export const EXP_MAX = 0x7fff

export class Float80 {
  lo: number
  hi: number
  se: number

  constructor(lo = 0, hi = 0, se = 0) {
    this.lo = lo | 0
    this.hi = hi | 0
    this.se = se & 0xffff
  }

  set(lo: number, hi: number, se: number): void {
    this.lo = lo | 0
    this.hi = hi | 0
    this.se = se
  }

  copy(from: Float80): void {
    this.lo = from.lo
    this.hi = from.hi
    this.se = from.se
  }
}

/** Which of the seven kinds a number is (ZERO ... UNSUPPORTED); all from NORMAL's upwards need some care. */
export function classify(x: Float80): number {
  const exp = x.se & 0x7fff
  if (exp === 0) return (x.hi | x.lo) === 0 ? ZERO : DENORMAL
  if (x.hi >= 0) return UNSUPPORTED
  if (exp !== EXP_MAX) return NORMAL
  if (((x.hi & 0x7fffffff) | x.lo) === 0) return INFINITE
  return x.hi & 0x40000000 ? QNAN : SNAN
}

/** The tag FNSTENV reports for a register that is not empty: 0 valid, 1 zero, 2 special. */
export function tagOf(x: Float80): number {
  const exp = x.se & 0x7fff
  if (exp === 0) return (x.hi | x.lo) === 0 ? 1 : 2
  return exp === EXP_MAX || x.hi >= 0 ? 2 : 0
}

export function setZero(x: Float80, sign: number): void {
  x.set(0, 0, sign << 15)
}

export function setInfinity(x: Float80, sign: number): void {
  x.set(0, 0x80000000, (sign << 15) | EXP_MAX)
}

/** The QNaN "real indefinite", the masked response to an invalid operation. */
export function setIndefinite(x: Float80): void {
  x.set(0, 0xc0000000, 0xffff)
}

/** Significands compared as unsigned 64-bit numbers: negative, 0 or positive. */
export function compareMantissa(aHi: number, aLo: number, bHi: number, bLo: number): number {
  if (aHi !== bHi) return aHi >>> 0 < bHi >>> 0 ? -1 : 1
  if (aLo !== bLo) return aLo >>> 0 < bLo >>> 0 ? -1 : 1
  return 0
}

/** High word of the unsigned product of two 32-bit words, as int32 (the low one is Math.imul). */
export function mulHigh(a: number, b: number): number {
  const a0 = a & 0xffff
  const a1 = a >>> 16
  const b0 = b & 0xffff
  const b1 = b >>> 16
  // Each sum is at most 2^32 - 1: (2^16-1)^2 + (2^16-1) < 2^32.
  const m = (Math.imul(a1, b0) >>> 0) + (Math.imul(a0, b0) >>> 16)
  const n = (Math.imul(a0, b1) >>> 0) + (m & 0xffff)
  return (Math.imul(a1, b1) + (m >>> 16) + (n >>> 16)) | 0
}

/**
 * A significand on its way to being rounded: 96 bits, hi:lo the 64 that are kept and ext what follows. The lowest bit of
 * ext is sticky (it says whether anything that is not zero follows), which is all rounding needs to know.
 */
export class Wide {
  hi = 0
  lo = 0
  ext = 0

  set(hi: number, lo: number, ext: number): void {
    this.hi = hi | 0
    this.lo = lo | 0
    this.ext = ext | 0
  }

  /** Shifts right by n bits (n >= 0), keeping the sticky bit. */
  shiftRightSticky(n: number): void {
    if (n >= 96) {
      this.ext = (this.hi | this.lo | this.ext) !== 0 ? 1 : 0
      this.hi = this.lo = 0
      return
    }
    for (; n >= 32; n -= 32) {
      this.ext = this.lo | (this.ext !== 0 ? 1 : 0)
      this.lo = this.hi
      this.hi = 0
    }
    if (n > 0) {
      const lost = this.ext << (32 - n)
      this.ext = (this.ext >>> n) | (this.lo << (32 - n)) | (lost !== 0 ? 1 : 0)
      this.lo = (this.lo >>> n) | (this.hi << (32 - n))
      this.hi = (this.hi >>> n) | 0
    }
  }

  /** Shifts left until the top bit of hi is set and returns by how many bits; 0 for zero. */
  normalize(): number {
    let shift = 0
    while (this.hi === 0) {
      if ((this.lo | this.ext) === 0) return 0
      this.hi = this.lo
      this.lo = this.ext
      this.ext = 0
      shift += 32
    }
    const n = Math.clz32(this.hi)
    if (n > 0) {
      this.hi = (this.hi << n) | (this.lo >>> (32 - n))
      this.lo = (this.lo << n) | (this.ext >>> (32 - n))
      this.ext <<= n
    }
    return shift + n
  }
}

/** A finite number taken apart, its top bit set: (-1)^sign * hi.lo * 2^(exp - BIAS). Denormals get an exponent below 1. */
export class Unpacked {
  sign = 0
  exp = 0
  hi = 0
  lo = 0

  /** From a NORMAL or DENORMAL (or pseudo-denormal) number. */
  from(x: Float80): void {
    this.sign = x.se >> 15
    this.exp = x.se & 0x7fff
    this.hi = x.hi
    this.lo = x.lo
    if (this.exp === 0) {
      this.exp = 1
      if (this.hi === 0) {
        this.hi = this.lo
        this.lo = 0
        this.exp -= 32
      }
      const n = Math.clz32(this.hi)
      if (n > 0) {
        this.hi = (this.hi << n) | (this.lo >>> (32 - n))
        this.lo <<= n
        this.exp -= n
      }
    }
  }
}

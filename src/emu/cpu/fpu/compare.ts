/**
 * Comparison of two Float80, and FXAM's classification (Intel manual volume 2, FCOM, FUCOM, FCOMI, FTST, FXAM). The
 * result is one of four relations; compare-handlers.ts turns it into condition codes or EFLAGS.
 */
import { FP_DENORMAL, FP_INVALID, fp } from './round.ts'
import {
  DENORMAL,
  type Float80,
  INFINITE,
  NORMAL,
  QNAN,
  SNAN,
  UNSUPPORTED,
  ZERO,
  classify,
  compareMantissa,
} from './softfloat80.ts'
import { STATUS_C0, STATUS_C2, STATUS_C3 } from './state.ts'

/** Relations, as the condition codes FCOM sets: C0 less, C3 equal, all three unordered. */
export const GREATER = 0
export const LESS = STATUS_C0
export const EQUAL = STATUS_C3
export const UNORDERED = STATUS_C0 | STATUS_C2 | STATUS_C3

/** How a relates to b. `quiet`: QNaNs are unordered without raising invalid (FUCOM). */
export function compare(a: Float80, b: Float80, quiet: boolean): number {
  const ca = classify(a)
  const cb = classify(b)
  if (ca >= QNAN || cb >= QNAN) {
    if (!quiet || ca >= SNAN || cb >= SNAN) fp.flags |= FP_INVALID
    return UNORDERED
  }
  if (ca === DENORMAL || cb === DENORMAL) fp.flags |= FP_DENORMAL
  if (ca === ZERO && cb === ZERO) return EQUAL
  const negative = a.se >> 15
  if (negative !== b.se >> 15) return ca === ZERO ? (b.se & 0x8000 ? GREATER : LESS) : negative ? LESS : GREATER
  // A pseudo-denormal has the value of the number with exponent 1.
  const ea = a.se & 0x7fff || 1
  const eb = b.se & 0x7fff || 1
  const order = ea !== eb ? ea - eb : compareMantissa(a.hi, a.lo, b.hi, b.lo)
  if (order === 0) return EQUAL
  return order < 0 === (negative === 0) ? LESS : GREATER
}

/** FXAM's C3, C2 and C0 for a register that is not empty. */
export function examine(x: Float80): number {
  switch (classify(x)) {
    case ZERO:
      return STATUS_C3
    case NORMAL:
      return STATUS_C2
    case DENORMAL:
      return STATUS_C3 | STATUS_C2
    case INFINITE:
      return STATUS_C2 | STATUS_C0
    case UNSUPPORTED:
      return 0
    default:
      return STATUS_C0
  }
}

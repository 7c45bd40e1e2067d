/**
 * Reproducible random numbers for generated tests, biased to the operands where instructions go wrong: the ends and middles of
 * the 8, 16 and 32-bit ranges.
 */

const EDGES = [
  0, 1, 2, 3, 0x7f, 0x80, 0x81, 0xfe, 0xff, 0x100, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff, 0x10000, 0x7ffffffe,
  0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff, 0x7f7f, 0x8080, 0x55555555, 0xaaaaaaaa, 0x0f0f0f0f,
  0x12345678,
]

export class Random {
  private state: number

  constructor(seed: number) {
    this.state = seed >>> 0
  }

  /** Unsigned 32 random bits (mulberry32, a public-domain generator). */
  bits(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0
    let t = this.state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }

  /** A whole number from 0 to limit - 1. */
  below(limit: number): number {
    return Math.floor((this.bits() / 0x1_0000_0000) * limit)
  }

  /** From low to high, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  /** True once in `times`. */
  oneIn(times: number): boolean {
    return this.below(times) === 0
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T
  }

  /** An operand: often an edge value, else random, sometimes of few bits. */
  operand(): number {
    const kind = this.below(8)
    if (kind < 4) return this.pick(EDGES)
    if (kind === 4) return this.below(256)
    if (kind === 5) return (0 - this.below(256)) >>> 0
    return this.bits()
  }
}

/** A seed from a text (FNV-1a), so that one form's cases do not change when others come or go. */
export function seedOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0
  return hash
}

/** Random numbers for the fuzzers: the same for the same seed. */

/** xorshift32. */
export class Random {
  private state: number

  /** `seed`: 32 bits. */
  constructor(seed: number) {
    this.state = Math.imul(seed + 1, 0x9e3779b1) >>> 0 || 1
  }

  /** 32 bits, unsigned, never 0. */
  next(): number {
    let x = this.state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.state = x >>> 0
    return this.state
  }

  /** 0 to n - 1. */
  below(n: number): number {
    return this.next() % n
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T
  }

  /** True in so many percent of all calls. */
  chance(percent: number): boolean {
    return this.below(100) < percent
  }
}

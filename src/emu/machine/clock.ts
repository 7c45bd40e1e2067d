/**
 * The machine's time, in nanoseconds since power on. All CPUs see one time, and their time stamp counters count it at TSC_KHZ.
 *
 *   VirtualClock   10 ns an instruction of one CPU: the same inputs give the same times, whatever the computer outside does
 *   WallClock      real time, from a source the front brings along
 */
import { assert } from '../bits/assert.ts'

/** Ticks of the time stamp counter in a millisecond: 100 MHz. */
export const TSC_KHZ = 100_000
/** What one instruction takes in virtual time. */
export const NANOSECONDS_PER_INSTRUCTION = 10
const NANOSECONDS_PER_TICK = 1_000_000 / TSC_KHZ

export interface Clock {
  /** Nanoseconds since power on, for the CPU that runs now. It never goes back on one CPU; two CPUs may differ by a quantum. */
  now(): number
  /** All CPUs have run up to `instructions` more, side by side. */
  ran(instructions: number): void
  /** Nothing happens before `deadline`: true when that time has been skipped to, false when somebody has to wait for it. */
  skipTo(deadline: number): boolean
}

/** Ticks of the time stamp counter at a time of the clock. */
export function tscAt(nanoseconds: number): number {
  return Math.floor(nanoseconds / NANOSECONDS_PER_TICK)
}

export class VirtualClock implements Clock {
  /** Instructions the CPU that runs now has done since the last ran(). */
  instructionsSince: () => number
  private base: number

  constructor() {
    this.base = 0
    this.instructionsSince = () => 0
  }

  now(): number {
    return this.base + this.instructionsSince() * NANOSECONDS_PER_INSTRUCTION
  }

  ran(instructions: number): void {
    this.base += instructions * NANOSECONDS_PER_INSTRUCTION
  }

  skipTo(deadline: number): boolean {
    assert(Number.isFinite(deadline), 'no time to skip to')
    if (deadline > this.base) this.base = deadline
    return true
  }
}

export class WallClock implements Clock {
  private readonly source: () => number
  private readonly start: number

  /** `source` gives nanoseconds that never go back. */
  constructor(source: () => number) {
    this.source = source
    this.start = source()
  }

  now(): number {
    return this.source() - this.start
  }

  ran(): void {
    // Real time passes by itself.
  }

  skipTo(deadline: number): boolean {
    return this.now() >= deadline
  }
}

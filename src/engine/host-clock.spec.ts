import { describe, expect, it } from 'vitest'
import { HostClock } from './host-clock.ts'

function clockAt(start: number): { clock: HostClock; real: { ms: number } } {
  const real = { ms: start }
  return { clock: new HostClock(() => real.ms), real }
}

describe('the host’s clock', () => {
  it('counts nanoseconds', () => {
    const { clock, real } = clockAt(0.5)
    expect(clock.now()).toBe(500_000)
    real.ms = 2.000001
    expect(clock.now()).toBe(2_000_001)
  })

  it('stands still while it is frozen, and goes on where it stood', () => {
    const { clock, real } = clockAt(100)
    real.ms = 110
    clock.freeze()
    real.ms = 5000
    expect(clock.now()).toBe(110_000_000)
    clock.thaw()
    expect(clock.now()).toBe(110_000_000)
    real.ms = 5007
    expect(clock.now()).toBe(117_000_000)
  })

  it('adds up all the times it stood still', () => {
    const { clock, real } = clockAt(0)
    for (let n = 1; n <= 3; n++) {
      real.ms += 10
      clock.freeze()
      real.ms += 1000
      clock.thaw()
      expect(clock.now()).toBe(n * 10_000_000)
    }
  })

  it('frozen twice is frozen since the first time, and thawed once goes on', () => {
    const { clock, real } = clockAt(1)
    clock.freeze()
    real.ms = 2
    clock.freeze()
    real.ms = 3
    expect(clock.now()).toBe(1_000_000)
    clock.thaw()
    real.ms = 4
    clock.thaw()
    expect(clock.now()).toBe(2_000_000)
  })

  it('has whole nanoseconds and never goes back', () => {
    const clock = new HostClock()
    let before = clock.now()
    for (let n = 0; n < 1000; n++) {
      if (n % 10 === 0) clock.freeze()
      if (n % 10 === 5) clock.thaw()
      const now = clock.now()
      expect(Number.isInteger(now)).toBe(true)
      expect(now).toBeGreaterThanOrEqual(before)
      before = now
    }
  })
})

import { describe, expect, it } from 'vitest'
import { deviceBench, type QueueDriver } from '../../testing/virtio-driver.ts'
import { SERVICE_BUDGET } from '../device.ts'
import { GuestError } from '../errors.ts'
import { RngDevice, seededRandom } from './rng.ts'

/** A source that counts: 1, 2, 3 ..., and what was asked of it. */
function bench() {
  const asked: number[] = []
  let next = 1
  const device = new RngDevice((length) => {
    asked.push(length)
    return Uint8Array.from({ length }, () => next++ & 0xff)
  })
  const { drivers, ...rest } = deviceBench(device)
  return { ...rest, device, driver: drivers[0], asked }
}

describe('the device', () => {
  it('fills a buffer completely, and nothing beyond', () => {
    const { ram, device, driver, interrupts } = bench()
    driver.add([{ gpa: 0x1000, length: 5, write: true }])
    expect(device.service()).toBe(false)
    expect(driver.takeUsed()).toEqual([{ id: 0, len: 5 }])
    expect(ram.readBytes(0xfff, 7)).toEqual(Uint8Array.of(0, 1, 2, 3, 4, 5, 0))
    expect(interrupts).toEqual([1])
  })

  it('fills the pieces of a chain, and one chain after the other', () => {
    const { ram, device, driver, interrupts, asked } = bench()
    driver.add([
      { gpa: 0x1000, length: 2, write: true },
      { gpa: 0x2000, length: 3, write: true },
    ])
    driver.add([{ gpa: 0x3000, length: 1, write: true }])
    device.service()
    expect(driver.takeUsed()).toEqual([
      { id: 0, len: 5 },
      { id: 2, len: 1 },
    ])
    expect([...ram.readBytes(0x1000, 2), ...ram.readBytes(0x2000, 3), ram.read8(0x3000)]).toEqual([1, 2, 3, 4, 5, 6])
    expect(asked).toEqual([5, 1])
    expect(interrupts).toEqual([1])
  })

  it('waits for kicks when there is nothing to fill', () => {
    const { device, driver, asked, interrupts } = bench()
    expect(device.service()).toBe(false)
    expect(driver.noNotify).toBe(false)
    expect([asked, interrupts]).toEqual([[], []])
  })

  it('fills part of a huge buffer, says how much, and gives others their turn', () => {
    const { ram, device, driver, asked } = bench()
    driver.add([{ gpa: 0x1000, length: SERVICE_BUDGET + 100, write: true }])
    driver.add([{ gpa: 0x30000, length: 4, write: true }])
    expect(device.service()).toBe(true)
    expect(driver.takeUsed()).toEqual([{ id: 0, len: SERVICE_BUDGET }])
    expect(ram.read8(0x1000 + SERVICE_BUDGET)).toBe(0)
    expect(device.service()).toBe(false)
    expect(driver.takeUsed()).toEqual([{ id: 1, len: 4 }])
    expect(asked).toEqual([SERVICE_BUDGET, 4])
  })

  it('hands a buffer of no bytes back', () => {
    const { device, driver } = bench()
    driver.add([{ gpa: 0x1000, length: 0, write: true }])
    device.service()
    expect(driver.takeUsed()).toEqual([{ id: 0, len: 0 }])
  })

  const cases: [string, string, (driver: QueueDriver) => void][] = [
    [
      'a readable buffer',
      'a readable descriptor in a queue of random bytes',
      (d) => d.add([{ gpa: 0x1000, length: 16 }]),
    ],
    [
      'a readable and a writable one',
      'a readable descriptor in a queue of random bytes',
      (d) =>
        d.add([
          { gpa: 0x1000, length: 16 },
          { gpa: 0x2000, length: 16, write: true },
        ]),
    ],
    [
      'a buffer outside memory',
      "descriptor 0 points at 0xffffffff, length 1, outside the guest's memory",
      (d) => d.add([{ gpa: 0xffff_ffff, length: 1, write: true }]),
    ],
    [
      'a loop',
      'chain 1 has more than 8 descriptors: a loop',
      (d) => {
        d.desc(1, { addr: 0x1000, len: 1, flags: 3, next: 2 })
        d.desc(2, { addr: 0x1000, len: 1, flags: 3, next: 1 })
        d.offer(1)
      },
    ],
  ]
  it.each(cases)('ends a guest that breaks the rules: %s', (_, problem, make) => {
    const { device, driver, interrupts, asked } = bench()
    make(driver)
    expect(() => device.service()).toThrow(new GuestError(`virtqueue "rng requests": ${problem}`))
    expect([driver.takeUsed(), interrupts, asked]).toEqual([[], [], []])
  })
})

describe('the seeded source', () => {
  /** xorshift64 (Marsaglia 2003: 13, 7, 17) in one piece of 64 bits; the top byte of each state. */
  function reference(seed: number, length: number): number[] {
    let x = (BigInt((seed ^ 0x9e37_79b9) >>> 0) << 32n) | BigInt((seed | 1) >>> 0)
    return Array.from({ length }, () => {
      x ^= (x << 13n) & 0xffff_ffff_ffff_ffffn
      x ^= x >> 7n
      x ^= (x << 17n) & 0xffff_ffff_ffff_ffffn
      return Number(x >> 56n)
    })
  }

  it.each([0, 1, 2, 12345, -1, 0x9e37_79b9, 0xffff_ffff])('is xorshift64 from seed %i', (seed) => {
    expect([...seededRandom(seed)(500)]).toEqual(reference(seed, 500))
  })

  it('goes on where it was, and begins alike for the same seed', () => {
    const once = seededRandom(7)(20)
    const source = seededRandom(7)
    expect([...source(3), ...source(0), ...source(17)]).toEqual([...once])
    expect(seededRandom(8)(20)).not.toEqual(once)
    expect(seededRandom(6)(20)).not.toEqual(once)
  })

  it('uses all bytes about equally often', () => {
    const counts = new Array<number>(256).fill(0)
    for (const byte of seededRandom(1)(256 * 400)) counts[byte]++
    expect(Math.min(...counts)).toBeGreaterThan(300)
    expect(Math.max(...counts)).toBeLessThan(500)
  })
})

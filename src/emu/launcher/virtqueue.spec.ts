import { describe, expect, it } from 'vitest'
import { Bytes } from '../bits/bytes.ts'
import { VirtqueueState } from '../layout/launcher-state.ts'
import { ArrayRam, QueueDriver, string, text } from '../testing/virtio-driver.ts'
import { GuestError } from './errors.ts'
import { Virtqueue, vringLayout } from './virtqueue.ts'

const RING = 0x8000
const NEXT = 1
const WRITE = 2
const INDIRECT = 4

function bench(num = 8) {
  const ram = new ArrayRam(new Uint8Array(RING + vringLayout(num).size))
  const state = VirtqueueState.at(new Bytes(new Uint8Array(VirtqueueState.size)), 0)
  state.num = num
  state.gpa = RING
  state.irq = 5
  const interrupts: number[] = []
  const queue = new Virtqueue('test', ram, state, (irq) => interrupts.push(irq))
  return { ram, state, queue, interrupts, driver: new QueueDriver(ram, RING, num) }
}

describe('ring layout', () => {
  it('is that of the reference for 128 and 256 entries', () => {
    expect(vringLayout(128)).toMatchObject({ avail: 0x800, used: 0x1000 })
    expect(vringLayout(256)).toMatchObject({ avail: 0x1000, used: 0x2000 })
    expect(Math.ceil(vringLayout(128).size / 4096)).toBe(2)
    expect(Math.ceil(vringLayout(256).size / 4096)).toBe(3)
  })
})

describe('well-formed chains', () => {
  it('come in order, readable parts before writable ones, with their sums', () => {
    const { queue, driver } = bench()
    const first = driver.add([
      { gpa: 0x100, length: 4 },
      { gpa: 0x200, length: 8 },
      { gpa: 0x300, length: 16, write: true },
    ])
    const second = driver.add([{ gpa: 0x400, length: 1, write: true }])
    expect(queue.pop()).toEqual({
      head: first,
      readable: [
        { gpa: 0x100, length: 4 },
        { gpa: 0x200, length: 8 },
      ],
      writable: [{ gpa: 0x300, length: 16 }],
      readLength: 12,
      writeLength: 16,
    })
    expect(queue.pop()?.head).toBe(second)
    expect(queue.pop()).toBeUndefined()
  })

  it('stays the next one until it is taken', () => {
    const { queue, driver } = bench()
    driver.add([{ gpa: 0, length: 1 }])
    expect(queue.peek()).toEqual(queue.peek())
    queue.take()
    expect(queue.peek()).toBeUndefined()
  })

  it('may have as many descriptors as the ring, and no bytes at all', () => {
    const { queue, driver } = bench(4)
    driver.add([0, 1, 2, 3].map((i) => ({ gpa: i * 16, length: 0 })))
    expect(queue.pop()).toMatchObject({ readLength: 0, writeLength: 0 })
  })

  it('may be in an indirect table, longer than what is left of the ring', () => {
    const { queue, driver } = bench(4)
    const head = driver.addIndirect(0x1000, [
      { gpa: 0x10, length: 1 },
      { gpa: 0x20, length: 2 },
      { gpa: 0x30, length: 3, write: true },
    ])
    expect(queue.pop()).toMatchObject({ head, readLength: 3, writeLength: 3 })
  })

  it('go round the 16-bit index', () => {
    const { queue, driver, state, ram } = bench(4)
    state.last_avail_idx = 0xffff
    driver.setAvailIdx(0xffff)
    ram.write16(driver.used + 2, 0xffff)
    driver.desc(2, { addr: 0x40, len: 4 })
    driver.offer(2)
    const chain = queue.pop()!
    expect(chain.head).toBe(2)
    queue.push(chain, 9)
    expect(state.last_avail_idx).toBe(0)
    expect(ram.read16(driver.used + 2)).toBe(0)
    expect(ram.read32(driver.used + 4 + 8 * 3)).toBe(2)
    expect(ram.read32(driver.used + 4 + 8 * 3 + 4)).toBe(9)
  })

  it('are read and written across their pieces', () => {
    const { queue, driver, ram } = bench()
    ram.writeBytes(0x100, text('abcd'))
    ram.writeBytes(0x200, text('efgh'))
    driver.add([
      { gpa: 0x100, length: 4 },
      { gpa: 0x200, length: 4 },
      { gpa: 0x300, length: 2, write: true },
      { gpa: 0x400, length: 2, write: true },
    ])
    const chain = queue.pop()!
    expect(string(queue.read(chain))).toBe('abcdefgh')
    expect(string(queue.read(chain, 3, 2))).toBe('de')
    expect(string(queue.read(chain, 6, 10))).toBe('gh')
    queue.write(chain, text('xyz'), 1)
    expect(string(ram.readBytes(0x301, 1)) + string(ram.readBytes(0x400, 2))).toBe('xyz')
  })
})

describe('malformed chains end the guest', () => {
  type Driver = QueueDriver
  const cases: [string, RegExp, (driver: Driver) => void][] = [
    ['an index that jumps', /avail index jumped from 0 to 9 in a ring of 8/, (d) => d.setAvailIdx(9)],
    ['a head outside the table', /avail ring names descriptor 8 of 8/, (d) => d.offer(8)],
    [
      'a loop of one',
      /chain 0 has more than 8 descriptors: a loop/,
      (d) => {
        d.desc(0, { len: 1, flags: NEXT, next: 0 })
        d.offer(0)
      },
    ],
    [
      'a loop of two',
      /chain 3 has more than 8 descriptors: a loop/,
      (d) => {
        d.desc(3, { len: 1, flags: NEXT, next: 4 })
        d.desc(4, { len: 1, flags: NEXT, next: 3 })
        d.offer(3)
      },
    ],
    [
      'a next descriptor outside the table',
      /descriptor 8 follows, but there are 8/,
      (d) => {
        d.desc(0, { len: 1, flags: NEXT, next: 8 })
        d.offer(0)
      },
    ],
    [
      'a readable descriptor after a writable one',
      /chain 0 has a readable descriptor after a writable one/,
      (d) => {
        d.desc(0, { len: 1, flags: NEXT | WRITE, next: 1 })
        d.desc(1, { len: 1 })
        d.offer(0)
      },
    ],
    [
      'an address outside memory',
      /descriptor 0 points at 0x10000000, length 1, outside/,
      (d) => {
        d.desc(0, { addr: 0x1000_0000, len: 1 })
        d.offer(0)
      },
    ],
    [
      'an end outside memory',
      /outside the guest's memory/,
      (d) => {
        d.desc(0, { addr: 0x100, len: 0xffff_ffff })
        d.offer(0)
      },
    ],
    [
      'an address above 4 GiB',
      /points at 0x100000100/,
      (d) => {
        d.desc(0, { addr: 0x1_0000_0100, len: 1 })
        d.offer(0)
      },
    ],
    [
      'an address near 2 to the 64',
      /outside the guest's memory/,
      (d) => {
        d.ram.write32(d.gpa, -1)
        d.ram.write32(d.gpa + 4, -1)
        d.ram.write32(d.gpa + 8, 2)
        d.offer(0)
      },
    ],
    [
      'an indirect table of an odd size',
      /indirect table of 20 bytes, not a multiple of 16/,
      (d) => {
        d.desc(0, { addr: 0x100, len: 20, flags: INDIRECT })
        d.offer(0)
      },
    ],
    [
      'an empty indirect table',
      /indirect table of 0 bytes/,
      (d) => {
        d.desc(0, { addr: 0x100, len: 0, flags: INDIRECT })
        d.offer(0)
      },
    ],
    [
      'an indirect table outside memory',
      /outside the guest's memory/,
      (d) => {
        d.desc(0, { addr: 0xfff_0000, len: 16, flags: INDIRECT })
        d.offer(0)
      },
    ],
    [
      'an indirect table in an indirect table',
      /indirect table inside an indirect table/,
      (d) => {
        d.desc(0, { addr: 0x200, len: 16, flags: INDIRECT }, 0x100)
        d.desc(0, { addr: 0x100, len: 16, flags: INDIRECT })
        d.offer(0)
      },
    ],
    [
      'an indirect descriptor that goes on',
      /descriptor 0 is indirect and has a next one/,
      (d) => {
        d.desc(0, { addr: 0x100, len: 16, flags: INDIRECT | NEXT, next: 1 })
        d.offer(0)
      },
    ],
    [
      'an indirect descriptor later in the chain',
      /descriptor 1 is indirect but not the first/,
      (d) => {
        d.desc(0, { len: 1, flags: NEXT, next: 1 })
        d.desc(1, { addr: 0x100, len: 16, flags: INDIRECT })
        d.offer(0)
      },
    ],
    [
      'a loop in an indirect table',
      /more than 8 descriptors: a loop/,
      (d) => {
        d.desc(0, { len: 1, flags: NEXT, next: 1 }, 0x100)
        d.desc(1, { len: 1, flags: NEXT, next: 0 }, 0x100)
        d.desc(0, { addr: 0x100, len: 32, flags: INDIRECT })
        d.offer(0)
      },
    ],
    [
      'an indirect chain that leaves its table',
      /descriptor 2 follows, but there are 2/,
      (d) => {
        d.desc(0, { len: 1, flags: NEXT, next: 2 }, 0x100)
        d.desc(0, { addr: 0x100, len: 32, flags: INDIRECT })
        d.offer(0)
      },
    ],
  ]
  it.each(cases)('%s', (_, reason, make) => {
    const { queue, driver, interrupts } = bench()
    make(driver)
    expect(() => queue.pop()).toThrow(GuestError)
    expect(() => queue.peek()).toThrow(reason)
    expect(() => queue.peek()).toThrow(/virtqueue "test"/)
    expect(interrupts).toEqual([])
    expect(driver.takeUsed()).toEqual([])
  })
})

describe('interrupts and kicks', () => {
  it('interrupts once for all that was used, and not for nothing', () => {
    const { queue, driver, interrupts } = bench()
    driver.add([{ gpa: 0, length: 1 }])
    driver.add([{ gpa: 0, length: 1 }])
    queue.push(queue.pop()!, 0)
    queue.push(queue.pop()!, 3)
    queue.interrupt()
    queue.interrupt()
    expect(interrupts).toEqual([5])
    expect(driver.takeUsed()).toEqual([
      { id: 0, len: 0 },
      { id: 1, len: 3 },
    ])
  })

  it('stays silent when the guest asked for silence', () => {
    const { queue, driver, interrupts } = bench()
    driver.setNoInterrupt(true)
    driver.add([{ gpa: 0, length: 1 }])
    queue.push(queue.pop()!, 0)
    queue.interrupt()
    driver.setNoInterrupt(false)
    queue.interrupt()
    expect(interrupts).toEqual([])
  })

  it('sees a request that came without a kick', () => {
    const { queue, driver } = bench()
    queue.wantKicks(false)
    expect(driver.noNotify).toBe(true)
    driver.add([{ gpa: 0, length: 1 }])
    expect(queue.wantKicks(true)).toBe(true)
    queue.pop()
    expect(queue.wantKicks(true)).toBe(false)
    expect(driver.noNotify).toBe(false)
  })

  it('begins anew after a reset', () => {
    const { queue, driver, state, ram } = bench()
    driver.add([{ gpa: 0, length: 1 }])
    queue.push(queue.pop()!, 0)
    queue.reset()
    expect(state.last_avail_idx).toBe(0)
    expect(ram.read16(driver.used + 2)).toBe(0)
    expect(queue.peek()).toBeUndefined()
  })
})

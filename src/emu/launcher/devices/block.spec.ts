import { describe, expect, it } from 'vitest'
import { Bytes } from '../../bits/bytes.ts'
import { VIRTIO_BLK_T, VirtioBlkOuthdr } from '../../layout/virtio.ts'
import { type Buffer, deviceBench, type QueueDriver } from '../../testing/virtio-driver.ts'
import { type BlockBackend, MemoryDisk } from '../block-backend.ts'
import { SERVICE_BUDGET } from '../device.ts'
import { GuestError } from '../errors.ts'
import { BlockDevice } from './block.ts'
import { seededRandom } from './rng.ts'

const { IN, OUT, FLUSH, FLUSH_OUT } = VIRTIO_BLK_T
const OK = 0
const IOERR = 1
const UNSUPP = 2
/** What the status byte holds before the device writes it. */
const UNTOUCHED = 0xee

const HEADER = 0x1000
const STATUS = 0x1100
const DATA = 0x2000
const NEXT = 1

/** Each sector is filled with its number + 1. */
function numbered(sectors: number, readOnly = false): MemoryDisk {
  return new MemoryDisk(
    Uint8Array.from({ length: sectors * 512 }, (_, i) => ((i >> 9) + 1) & 0xff),
    readOnly,
  )
}

function bench(backend: BlockBackend = numbered(16)) {
  const device = new BlockDevice('vda', backend)
  const { drivers, ...rest } = deviceBench(device)
  const { ram } = rest
  const [driver] = drivers

  /** A request as Linux sends it; `buffers` are between header and status. */
  function add(type: number, sector: number, buffers: readonly Buffer[], at = HEADER, status = STATUS): number {
    const header = VirtioBlkOuthdr.at(ram, at)
    Object.assign(header, { type, ioprio: 0, sector })
    ram.write8(status, UNTOUCHED)
    return driver.add([{ gpa: at, length: 16 }, ...buffers, { gpa: status, length: 1, write: true }])
  }

  /** The status and the length reported for one request, carried out at once. */
  function request(type: number, sector: number, buffers: readonly Buffer[] = []): { status: number; len: number } {
    const head = add(type, sector, buffers)
    expect(device.service()).toBe(false)
    const used = driver.takeUsed()
    expect(used.map(({ id }) => id)).toEqual([head])
    return { status: ram.read8(STATUS), len: used[0].len }
  }
  return { ...rest, device, driver, add, request }
}

describe('read', () => {
  it('brings the sectors into the buffers, one behind the other, and nothing beyond', () => {
    const { ram, request, interrupts } = bench()
    const result = request(IN, 3, [
      { gpa: DATA, length: 512, write: true },
      { gpa: 0x5000, length: 1024, write: true },
    ])
    expect(result).toEqual({ status: OK, len: 1537 })
    expect(ram.readBytes(DATA, 512)).toEqual(new Uint8Array(512).fill(4))
    expect(ram.readBytes(0x5000, 512)).toEqual(new Uint8Array(512).fill(5))
    expect(ram.readBytes(0x5200, 512)).toEqual(new Uint8Array(512).fill(6))
    expect([ram.read8(DATA + 512), ram.read8(0x5400)]).toEqual([0, 0])
    expect(interrupts).toEqual([1])
  })

  it('may cut sectors where it likes, status byte and all', () => {
    const { ram, driver, device } = bench()
    VirtioBlkOuthdr.at(ram, HEADER).sector = 1
    driver.add([
      { gpa: HEADER, length: 7 },
      { gpa: HEADER + 7, length: 9 },
      { gpa: DATA, length: 100, write: true },
      { gpa: 0x5000, length: 413, write: true },
    ])
    device.service()
    expect(ram.readBytes(DATA, 100)).toEqual(new Uint8Array(100).fill(2))
    expect(ram.readBytes(0x5000, 413)).toEqual(Uint8Array.of(...new Uint8Array(412).fill(2), OK))
  })

  it('of the last sector succeeds, of one beyond is an I/O error that leaves the buffer alone', () => {
    const { ram, request } = bench()
    const buffer = [{ gpa: DATA, length: 512, write: true }]
    expect(request(IN, 16, buffer)).toEqual({ status: IOERR, len: 1 })
    expect(ram.readBytes(DATA, 512)).toEqual(new Uint8Array(512))
    expect(request(IN, 15, buffer)).toEqual({ status: OK, len: 513 })
    expect(ram.read8(DATA)).toBe(16)
  })

  it.each([
    ['reaches out of the disk', 15, 1024],
    ['begins far outside', 0x1_0000_0000, 512],
    ['begins where no disk ends', 2 ** 64 - 2048, 512],
    ['is no whole sector', 0, 511],
    ['is a sector and a bit', 0, 513],
  ])('that %s is an I/O error', (_, sector, length) => {
    const { request } = bench()
    expect(request(IN, sector, [{ gpa: DATA, length, write: true }])).toEqual({ status: IOERR, len: 1 })
  })

  it('of no sectors succeeds', () => {
    expect(bench().request(IN, 0)).toEqual({ status: OK, len: 1 })
  })

  it('does not see the part of a sector at the end of a file', () => {
    const { request } = bench(new MemoryDisk(new Uint8Array(1023)))
    expect(request(IN, 1, [{ gpa: DATA, length: 512, write: true }]).status).toBe(IOERR)
  })
})

describe('write', () => {
  it('puts the buffers on the disk, and nothing else changes', () => {
    const disk = numbered(16)
    const { ram, request } = bench(disk)
    ram.writeBytes(DATA, new Uint8Array(512).fill(0xaa))
    ram.writeBytes(0x5000, new Uint8Array(512).fill(0xbb))
    const result = request(OUT, 7, [
      { gpa: DATA, length: 512 },
      { gpa: 0x5000, length: 512 },
    ])
    expect(result).toEqual({ status: OK, len: 1 })
    const expected = numbered(16).bytes
    expected.fill(0xaa, 7 * 512, 8 * 512).fill(0xbb, 8 * 512, 9 * 512)
    expect(disk.bytes).toEqual(expected)
  })

  it('outside the disk is an I/O error, and nothing is written', () => {
    const disk = numbered(16)
    const { request } = bench(disk)
    for (const [sector, length] of [
      [16, 512],
      [15, 1024],
      [0, 100],
    ]) {
      expect(request(OUT, sector, [{ gpa: DATA, length }])).toEqual({ status: IOERR, len: 1 })
    }
    expect(disk.bytes).toEqual(numbered(16).bytes)
  })

  it('to a read-only disk is an I/O error; the guest was told by a feature', () => {
    const disk = numbered(16, true)
    const { device, request } = bench(disk)
    expect(device.features & (1 << 5)).not.toBe(0)
    expect(new BlockDevice('vda', numbered(1)).features & (1 << 5)).toBe(0)
    expect(request(OUT, 0, [{ gpa: DATA, length: 512 }])).toEqual({ status: IOERR, len: 1 })
    expect(disk.bytes).toEqual(numbered(16).bytes)
    expect(request(IN, 0, [{ gpa: DATA, length: 512, write: true }]).status).toBe(OK)
  })
})

describe('other requests', () => {
  it.each([FLUSH, FLUSH_OUT])('flush (%i) reaches the backend, once each', (type) => {
    const disk = numbered(1)
    const { request } = bench(disk)
    expect(request(type, 0)).toEqual({ status: OK, len: 1 })
    expect(disk.flushes).toBe(1)
  })

  it.each([2, 3, 8, 0x80000001, 0xffff_ffff])('of type %i are unsupported, and touch nothing', (type) => {
    const disk = numbered(4)
    const { ram, request } = bench(disk)
    expect(request(type, 0, [{ gpa: DATA, length: 512, write: true }])).toEqual({ status: UNSUPP, len: 1 })
    expect(ram.readBytes(DATA, 512)).toEqual(new Uint8Array(512))
    expect([disk.flushes, disk.bytes]).toEqual([0, numbered(4).bytes])
  })
})

describe('several requests', () => {
  it('are carried out in order, with one interrupt', () => {
    const { ram, device, driver, add, interrupts } = bench()
    ram.writeBytes(DATA, new Uint8Array(512).fill(0x77))
    const write = add(OUT, 2, [{ gpa: DATA, length: 512 }])
    const read = add(IN, 2, [{ gpa: 0x5000, length: 512, write: true }], 0x1200, 0x1300)
    device.service()
    expect(driver.takeUsed()).toEqual([
      { id: write, len: 1 },
      { id: read, len: 513 },
    ])
    expect(ram.readBytes(0x5000, 512)).toEqual(new Uint8Array(512).fill(0x77))
    expect([ram.read8(STATUS), ram.read8(0x1300)]).toEqual([OK, OK])
    expect(interrupts).toEqual([1])
    expect(driver.noNotify).toBe(false)
  })

  it('leave others their turn when they are large', () => {
    const { device, driver, add, interrupts } = bench(numbered(256))
    const large = { gpa: DATA, length: SERVICE_BUDGET, write: true }
    add(IN, 0, [large])
    add(IN, 0, [large], 0x1200, 0x1300)
    expect(device.service()).toBe(true)
    expect(driver.takeUsed()).toHaveLength(1)
    expect(device.service()).toBe(false)
    expect(driver.takeUsed()).toHaveLength(1)
    expect(interrupts).toEqual([1, 1])
  })

  it('may each be larger than a turn, and then take several', () => {
    const disk = numbered(256)
    const { ram, device, driver, add, state } = bench(disk)
    const length = SERVICE_BUDGET + 1536
    const carryOut = (type: number, sector: number, write: boolean): void => {
      add(type, sector, [{ gpa: DATA, length, write }])
      expect(device.service()).toBe(true)
      expect([driver.takeUsed(), ram.read8(STATUS), state.chain_done]).toEqual([[], UNTOUCHED, SERVICE_BUDGET])
      expect(device.service()).toBe(false)
      expect(driver.takeUsed().map(({ len }) => len)).toEqual([write ? length + 1 : 1])
      expect([ram.read8(STATUS), state.chain_done]).toEqual([OK, 0])
    }
    carryOut(IN, 5, true)
    expect(ram.readBytes(DATA, length)).toEqual(disk.bytes.slice(5 * 512, 5 * 512 + length))
    ram.writeBytes(DATA, new Uint8Array(length).fill(0x55))
    carryOut(OUT, 9, false)
    expect(disk.bytes.indexOf(0x55, 9 * 512)).toBe(9 * 512)
    expect(disk.bytes.subarray(9 * 512, 9 * 512 + length)).toEqual(new Uint8Array(length).fill(0x55))
    expect(disk.bytes[9 * 512 + length]).toBe(((9 * 512 + length) / 512 + 1) & 0xff)
  })

  it('are forgotten by a reset in the middle', () => {
    const { device, add, state, queues } = bench(numbered(256))
    add(IN, 0, [{ gpa: DATA, length: 2 * SERVICE_BUDGET, write: true }])
    expect(device.service()).toBe(true)
    queues[0].reset()
    device.reset()
    expect(state.chain_done).toBe(0)
    expect(device.service()).toBe(false)
  })

  it('may shrink in the middle, by a guest that plays with its ring', () => {
    const { device, driver, add, ram } = bench(numbered(512))
    const head = add(IN, 0, [{ gpa: DATA, length: 2 * SERVICE_BUDGET, write: true }])
    expect(device.service()).toBe(true)
    driver.desc(head + 1, { addr: DATA, len: 512, flags: NEXT | 2, next: head + 2 })
    expect(device.service()).toBe(false)
    expect(driver.takeUsed()).toEqual([{ id: head, len: 513 }])
    expect(ram.read8(STATUS)).toBe(OK)
  })
})

describe('a backend that fails', () => {
  const broken: BlockBackend = {
    size: 8192,
    readOnly: false,
    read() {
      throw new Error('EIO')
    },
    write() {
      throw new Error('ENOSPC')
    },
    flush() {
      throw 'disk gone'
    },
  }

  it.each([
    ['read', IN, [{ gpa: DATA, length: 512, write: true }]],
    ['write', OUT, [{ gpa: DATA, length: 512 }]],
    ['flush', FLUSH, []],
  ])('at a %s is an I/O error, and the next request is served', (_, type, buffers) => {
    const { request } = bench(broken)
    expect(request(type, 0, buffers)).toEqual({ status: IOERR, len: 1 })
    expect(request(2, 0)).toEqual({ status: UNSUPP, len: 1 })
  })
})

describe('a guest that breaks the rules ends with a reason', () => {
  const cases: [string, string, (driver: QueueDriver) => void][] = [
    [
      'no header',
      'a request of 15 bytes has no header',
      (d) =>
        d.add([
          { gpa: HEADER, length: 15 },
          { gpa: STATUS, length: 1, write: true },
        ]),
    ],
    [
      'only writable buffers',
      'a request of 0 bytes has no header',
      (d) => d.add([{ gpa: DATA, length: 1024, write: true }]),
    ],
    ['no status byte', 'a request has no byte for its status', (d) => d.add([{ gpa: HEADER, length: 528 }])],
    [
      'a status of no bytes',
      'a request has no byte for its status',
      (d) =>
        d.add([
          { gpa: HEADER, length: 16 },
          { gpa: STATUS, length: 0, write: true },
        ]),
    ],
    [
      'the status before the data',
      'chain 0 has a readable descriptor after a writable one',
      (d) =>
        d.add([
          { gpa: HEADER, length: 16 },
          { gpa: STATUS, length: 1, write: true },
          { gpa: DATA, length: 512 },
        ]),
    ],
    [
      'data outside memory',
      "descriptor 1 points at 0x80000000, length 512, outside the guest's memory",
      (d) =>
        d.add([
          { gpa: HEADER, length: 16 },
          { gpa: 0x8000_0000, length: 512, write: true },
          { gpa: STATUS, length: 1, write: true },
        ]),
    ],
    [
      'a loop',
      'chain 0 has more than 8 descriptors: a loop',
      (d) => {
        d.desc(0, { addr: HEADER, len: 16, flags: NEXT, next: 1 })
        d.desc(1, { addr: DATA, len: 512, flags: NEXT, next: 0 })
        d.offer(0)
      },
    ],
    ['a head that is none', 'avail ring names descriptor 65535 of 8', (d) => d.offer(0xffff)],
  ]
  it.each(cases)('%s', (_, problem, make) => {
    const disk = numbered(16)
    const { device, driver, interrupts } = bench(disk)
    make(driver)
    expect(() => device.service()).toThrow(new GuestError(`virtqueue "disk vda requests": ${problem}`))
    expect([driver.takeUsed(), interrupts]).toEqual([[], []])
    expect(disk.bytes).toEqual(numbered(16).bytes)
  })
})

it('survives rings of nonsense: each is served or ends its guest with a reason, and nothing else is thrown', () => {
  const random = seededRandom(2007)
  const word = (): number => new Bytes(random(4)).read32(0) >>> 0
  const pick = (values: readonly number[]): number => values[word() % values.length]
  const outcomes = { served: 0, ended: 0 }
  for (let run = 0; run < 2000; run++) {
    const { ram, device, driver } = bench()
    ram.writeBytes(0, random(0x200))
    for (let i = 0; i < 8; i++) {
      driver.desc(i, {
        addr: pick([0, 16, 0x100, HEADER, DATA, driver.gpa, driver.avail, driver.used, word()]),
        len: pick([0, 1, 16, 16, 32, 512, 513, 0xffff, 0xffff_ffff]),
        flags: pick([0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 5, word() & 0xffff]),
        next: pick([0, 1, 2, 3, 4, 5, 6, 7, 8]),
      })
    }
    for (let offers = word() % 5; offers > 0; offers--) driver.offer(word() % 9)
    try {
      device.service()
      outcomes.served++
    } catch (error) {
      if (!(error instanceof GuestError)) throw error
      expect(error.message).toMatch(/^virtqueue "disk vda requests": [a-z]/)
      outcomes.ended++
    }
  }
  expect(outcomes.served).toBeGreaterThan(100)
  expect(outcomes.ended).toBeGreaterThan(1000)
})

it('tells the guest its size and how many pieces a request may have', () => {
  const { config, name, queueNames } = new BlockDevice('vdb', new MemoryDisk(new Uint8Array(5 * 512 + 3)))
  const words = new Bytes(config)
  expect([0, 4, 8, 12].map((at) => words.read32(at))).toEqual([5, 0, 0, 254])
  expect([name, queueNames]).toEqual(['disk vdb', ['disk vdb requests']])
})

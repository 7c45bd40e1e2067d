import { describe, expect, it } from 'vitest'
import { Bytes } from '../bits/bytes.ts'
import { MAX_DEVICES } from '../layout/launcher-state.ts'
import { ArrayRam } from '../testing/virtio-driver.ts'
import { MemoryDisk } from './block-backend.ts'
import { ConsolePort } from './console-port.ts'
import type { Device } from './device.ts'
import { acceptedFeatures, clearAcceptedFeatures, layOutDevices } from './device-page.ts'
import { BlockDevice } from './devices/block.ts'
import { ConsoleDevice } from './devices/console.ts'
import { NetDevice } from './devices/net.ts'
import { RngDevice, seededRandom } from './devices/rng.ts'
import { UnusableImageError } from './errors.ts'
import { EthernetSwitch, guestMac } from './switch.ts'

const MEM = 0x100_0000
const PAGE = 4096
/** Three pages: a ring of 256 entries. */
const RING = 3 * PAGE

const consoleDevice = (): Device => new ConsoleDevice(new ConsolePort({ write() {} }))
const disk = (sectors = 2048, readOnly = false): Device =>
  new BlockDevice('vda', new MemoryDisk(new Uint8Array(sectors * 512), readOnly))
const rng = (): Device => new RngDevice(seededRandom(1))
const net = (): Device =>
  new NetDevice(
    guestMac(0x102),
    new EthernetSwitch().attach(() => {}),
  )

/** A device that is nothing but its descriptor. */
function plain(options: { queues?: number; config?: number; features?: number }): Device {
  return {
    type: 9,
    name: 'plain',
    queueNames: Array.from({ length: options.queues ?? 1 }, (_, i) => `queue ${i}`),
    features: options.features ?? 0,
    config: new Uint8Array(options.config ?? 0).fill(0xcc),
    attach() {},
    reset() {},
    start() {},
    service: () => false,
  }
}

/** The page taken apart like a guest does, by reference 10.2: offsets and lengths only. */
function parse(bytes: Uint8Array) {
  const page = new Bytes(bytes)
  const devices = []
  let at = 0
  while (page.read8(at) !== 0) {
    const [type, queueCount, featureLength, configLength, status] = bytes.subarray(at, at + 5)
    const queues = Array.from({ length: queueCount }, (_, i) => {
      const vq = at + 5 + 8 * i
      return { num: page.read16(vq), irq: page.read16(vq + 2), pfn: page.read32(vq + 4) }
    })
    const features = at + 5 + 8 * queueCount
    const config = features + 2 * featureLength
    devices.push({
      at,
      type,
      queues,
      status,
      offered: [...bytes.subarray(features, features + featureLength)],
      accepted: [...bytes.subarray(features + featureLength, config)],
      config: [...bytes.subarray(config, config + configLength)],
    })
    at = config + configLength
  }
  return { devices, end: at }
}

describe("each device's descriptor", () => {
  it('console: type 3, input and output queue, no features, no configuration', () => {
    expect(parse(layOutDevices(MEM, [consoleDevice()]).bytes).devices).toEqual([
      {
        at: 0,
        type: 3,
        status: 0,
        queues: [
          { num: 256, irq: 1, pfn: (MEM + PAGE) / PAGE },
          { num: 256, irq: 2, pfn: (MEM + PAGE + RING) / PAGE },
        ],
        offered: [],
        accepted: [],
        config: [],
      },
    ])
  })

  it.each([
    ['a disk', false, [0x04, 0x02]],
    ['a read-only disk', true, [0x24, 0x02]],
  ])('%s: type 2, one queue, SEG_MAX and FLUSH (and RO), capacity and 254 segments', (_, readOnly, offered) => {
    expect(parse(layOutDevices(MEM, [disk(0x12345, readOnly)]).bytes).devices).toEqual([
      {
        at: 0,
        type: 2,
        status: 0,
        queues: [{ num: 256, irq: 1, pfn: (MEM + PAGE) / PAGE }],
        offered,
        accepted: [0, 0],
        config: [0x45, 0x23, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 254, 0, 0, 0],
      },
    ])
  })

  it('net: type 1, receive and transmit queue, MAC and INDIRECT_DESC, the address', () => {
    const [device] = parse(layOutDevices(MEM, [net()]).bytes).devices
    expect(device).toMatchObject({ type: 1, status: 0, offered: [0x20, 0, 0, 0x10], accepted: [0, 0, 0, 0] })
    expect(device.queues).toHaveLength(2)
    expect(device.config).toEqual([0x02, 0x6b, 0x65, 0x6e, 0x01, 0x02, 0, 0, 0, 0])
  })

  it('rng: type 4, one queue, nothing else', () => {
    const [device] = parse(layOutDevices(MEM, [rng()]).bytes).devices
    expect(device).toMatchObject({ type: 4, status: 0, offered: [], accepted: [], config: [] })
    expect(device.queues).toHaveLength(1)
  })

  it('counts a part of a sector as none', () => {
    const odd = new BlockDevice('vda', new MemoryDisk(new Uint8Array(3 * 512 + 511)))
    expect(parse(layOutDevices(MEM, [odd]).bytes).devices[0].config.slice(0, 8)).toEqual([3, 0, 0, 0, 0, 0, 0, 0])
  })
})

describe('the page', () => {
  it('lists devices one behind the other, ends with type 0, and shares out rings and interrupts', () => {
    const devices = [consoleDevice(), disk(), rng(), net()]
    const page = layOutDevices(MEM, devices)
    const parsed = parse(page.bytes)
    expect(parsed.devices.map(({ at, type }) => [at, type])).toEqual([
      [0, 3],
      [21, 2],
      [21 + 33, 4],
      [21 + 33 + 13, 1],
    ])
    const queues = parsed.devices.flatMap((device) => device.queues)
    expect(queues.map(({ irq }) => irq)).toEqual([1, 2, 3, 4, 5, 6])
    expect(queues.map(({ pfn }) => pfn * PAGE)).toEqual([0, 1, 2, 3, 4, 5].map((i) => MEM + PAGE + i * RING))
    expect(page.bytes).toHaveLength(PAGE)
    expect(page.bytes.subarray(parsed.end)).toEqual(new Uint8Array(PAGE - parsed.end))
    expect(page.end).toBe(MEM + PAGE + 6 * RING)
    // The same, as the launcher is told.
    expect(page.places.map(({ device }) => device)).toEqual(devices)
    expect(page.places.map(({ desc }) => desc - MEM)).toEqual(parsed.devices.map(({ at }) => at))
    expect(page.places.flatMap((place) => place.queues)).toEqual(
      queues.map(({ pfn, irq }) => ({ gpa: pfn * PAGE, irq })),
    )
  })

  it('is empty without devices', () => {
    expect(layOutDevices(MEM, [])).toEqual({ places: [], bytes: new Uint8Array(PAGE), end: MEM + PAGE })
  })
})

describe('too many devices', () => {
  function refused(devices: readonly Device[]): boolean {
    try {
      layOutDevices(MEM, devices)
      return false
    } catch (error) {
      if (!(error instanceof UnusableImageError)) throw error
      expect([error.code, error.message]).toEqual([
        'too-many-devices',
        `${devices.length} devices are more than a guest can have; leave some out.`,
      ])
      return true
    }
  }

  /** Descriptors of 256 bytes each (5 + 8 + 243), but the last one. */
  const filled = (last: number): Device[] => [
    ...Array.from({ length: 15 }, () => plain({ config: 243 })),
    plain({ config: last - 5 - 8 }),
  ]

  it('fill the page: all of it but the byte that ends the list can be used', () => {
    const most = PAGE - 15 * 256 - 1
    const { bytes } = layOutDevices(MEM, filled(most))
    expect(parse(bytes)).toMatchObject({ end: PAGE - 1 })
    expect(parse(bytes).devices).toHaveLength(16)
    expect(refused(filled(most + 1))).toBe(true)
    expect(refused(filled(most + 2))).toBe(true)
  })

  it('want more interrupts than there are: 31, the timer has the first', () => {
    const pairs = Array.from({ length: 15 }, () => plain({ queues: 2 }))
    expect(layOutDevices(MEM, [...pairs, plain({})]).places.at(-1)?.queues[0].irq).toBe(31)
    expect(refused([...pairs, plain({ queues: 2 })])).toBe(true)
  })

  it('have no room in the launcher', () => {
    const disks = Array.from({ length: MAX_DEVICES }, () => disk(1))
    expect(layOutDevices(MEM, disks).places).toHaveLength(MAX_DEVICES)
    expect(refused([...disks, disk(1)])).toBe(true)
  })
})

describe('features', () => {
  function inMemory(device: Device) {
    const page = layOutDevices(0, [plain({ config: 3 }), device])
    return { ram: new ArrayRam(page.bytes), place: page.places[1] }
  }

  it('accepted are those the guest wrote behind the offered ones', () => {
    const { ram, place } = inMemory(disk())
    expect(acceptedFeatures(ram, place)).toBe(0)
    ram.writeBytes(place.desc + 5 + 8 + 2, Uint8Array.of(0x04, 0x00))
    expect(acceptedFeatures(ram, place)).toBe(0x4)
    ram.writeBytes(place.desc + 5 + 8 + 2, Uint8Array.of(0x04, 0x02))
    expect(acceptedFeatures(ram, place)).toBe(0x204)
  })

  it('never offered are never accepted', () => {
    const { ram, place } = inMemory(net())
    ram.writeBytes(place.desc + 5 + 16 + 4, Uint8Array.of(0xff, 0xff, 0xff, 0xff))
    expect(acceptedFeatures(ram, place)).toBe(0x1000_0020)
  })

  it('go up to bit 31', () => {
    const device = plain({ features: 0x8000_0001 })
    const { ram, place } = inMemory(device)
    expect(parse(ram.bytes).devices[1].offered).toEqual([1, 0, 0, 0x80])
    ram.writeBytes(place.desc + 5 + 8 + 4, Uint8Array.of(1, 0, 0, 0x80))
    expect(acceptedFeatures(ram, place)).toBe(0x8000_0001)
  })

  it('are forgotten at a reset, and nothing else is', () => {
    const { ram, place } = inMemory(disk())
    const before = ram.bytes.slice()
    ram.writeBytes(place.desc + 5 + 8 + 2, Uint8Array.of(0x04, 0x02))
    clearAcceptedFeatures(ram, place)
    expect(acceptedFeatures(ram, place)).toBe(0)
    expect(ram.bytes).toEqual(before)
  })
})

import { describe, expect, it } from 'vitest'
import { deviceBench, type QueueDriver, string, text } from '../../testing/virtio-driver.ts'
import { SERVICE_BUDGET } from '../device.ts'
import { GuestError } from '../errors.ts'
import { EthernetSwitch, FRAME_MAX, FRAME_MIN, guestMac, PORT_QUEUE } from '../switch.ts'
import { NetDevice } from './net.ts'

const HEADER = 10
const BROADCAST = new Uint8Array(6).fill(0xff)
const MULTICAST = Uint8Array.of(0x33, 0x33, 0, 0, 0, 1)
const NEXT = 1

/** Guests `1` to `count` on one switch, each with its card and its driver. */
function guests(count: number, num = 8) {
  const network = new EthernetSwitch()
  return Array.from({ length: count }, (_, i) => guest(network, i + 1, num))
}

function guest(network: EthernetSwitch, number: number, num: number) {
  const mac = guestMac(number)
  const woken = { times: 0 }
  const port = network.attach(() => woken.times++)
  const device = new NetDevice(mac, port)
  const { drivers, ...rest } = deviceBench(device, num)
  const { ram } = rest
  const [rx, tx] = drivers

  /** Sends a frame of header, addresses, type and payload. */
  const send = (to: Uint8Array, payload: string, gpa = 0x1000): number => {
    const bytes = Uint8Array.of(...new Uint8Array(HEADER), ...to, ...mac, 0x08, 0x00, ...text(payload))
    ram.writeBytes(gpa, bytes)
    return tx.add([{ gpa, length: bytes.length }])
  }
  /** Offers buffer `i` for reception. */
  const listen = (i = 0, length = HEADER + FRAME_MAX): number =>
    rx.add([{ gpa: 0x8000 + i * 0x800, length, write: true }])
  /** Payloads of the frames received since the last call, in buffers offered in order. */
  const received = (): string[] =>
    rx.takeUsed().map(({ id, len }) => {
      const at = 0x8000 + id * 0x800
      return string(ram.readBytes(at + HEADER + FRAME_MIN, len - HEADER - FRAME_MIN))
    })
  return { ...rest, mac, port, device, rx, tx, send, listen, received, woken }
}

describe('a frame from guest to guest', () => {
  it('arrives whole, behind a header of zeros', () => {
    const [a, b] = guests(2)
    b.listen()
    b.ram.writeBytes(0x8000, new Uint8Array(HEADER + 60).fill(0xee))
    const head = a.send(b.mac, 'ping')
    expect(a.device.service()).toBe(false)
    expect(a.tx.takeUsed()).toEqual([{ id: head, len: 0 }])
    expect(b.woken.times).toBe(1)
    b.device.service()
    const length = HEADER + FRAME_MIN + 4
    expect(b.rx.takeUsed()).toEqual([{ id: 0, len: length }])
    expect(b.ram.readBytes(0x8000, length)).toEqual(
      Uint8Array.of(...new Uint8Array(HEADER), ...b.mac, ...a.mac, 0x08, 0x00, ...text('ping')),
    )
    expect(b.ram.read8(0x8000 + length)).toBe(0xee)
    expect([a.interrupts, b.interrupts]).toEqual([[2], [1]])
  })

  it('may come in pieces and go into pieces, with header and frame cut anywhere', () => {
    const [a, b] = guests(2)
    a.ram.writeBytes(0x1000, Uint8Array.of(...new Uint8Array(HEADER), ...b.mac))
    a.ram.writeBytes(0x2000, Uint8Array.of(...a.mac, 0x08, 0x00, ...text('in pieces')))
    a.tx.add([
      { gpa: 0x1000, length: 4 },
      { gpa: 0x1004, length: 12 },
      { gpa: 0x2000, length: 17 },
    ])
    b.rx.add([
      { gpa: 0x8000, length: HEADER, write: true },
      { gpa: 0x9000, length: 20, write: true },
      { gpa: 0xa000, length: 100, write: true },
    ])
    a.device.service()
    b.device.service()
    expect(b.rx.takeUsed()).toEqual([{ id: 0, len: HEADER + FRAME_MIN + 9 }])
    expect(string(b.ram.readBytes(0x900e, 6)) + string(b.ram.readBytes(0xa000, 3))).toBe('in pieces')
  })

  it('may be described by an indirect table', () => {
    const [a, b] = guests(2)
    b.listen()
    a.send(b.mac, 'indirect')
    a.tx.setAvailIdx(0)
    a.tx.addIndirect(0x3000, [
      { gpa: 0x1000, length: HEADER },
      { gpa: 0x1000 + HEADER, length: FRAME_MIN + 8 },
    ])
    a.device.service()
    b.device.service()
    expect(b.received()).toEqual(['indirect'])
  })

  it('keeps its order among others, and one interrupt tells of all', () => {
    const [a, b] = guests(2)
    for (let i = 0; i < 3; i++) b.listen(i)
    for (let i = 0; i < 3; i++) a.send(b.mac, `frame ${i}`, 0x1000 + i * 0x100)
    a.device.service()
    b.device.service()
    expect(b.received()).toEqual(['frame 0', 'frame 1', 'frame 2'])
    expect(b.interrupts).toEqual([1])
  })
})

describe('the switch between', () => {
  it('floods until it has heard of an address, then sends to it alone', () => {
    const [a, b, c] = guests(3)
    for (const each of [a, b, c]) each.listen()
    a.send(b.mac, 'who is B?')
    a.device.service()
    expect([a.woken.times, b.woken.times, c.woken.times]).toEqual([0, 1, 1])
    for (const each of [b, c]) each.device.service()
    expect(b.received()).toEqual(['who is B?'])
    // C's card heard it, and it was not for C.
    expect(c.received()).toEqual([])
    expect(c.port.first()).toBeUndefined()
    b.send(a.mac, 'I am')
    b.device.service()
    a.device.service()
    expect(a.received()).toEqual(['I am'])
    expect(c.woken.times).toBe(1)
    b.listen(1)
    a.send(b.mac, 'found', 0x1100)
    a.device.service()
    b.device.service()
    expect(b.received()).toEqual(['found'])
    expect(c.woken.times).toBe(1)
  })

  it.each([
    ['a broadcast', BROADCAST],
    ['a multicast', MULTICAST],
  ])('brings %s to all others, and not back', (_, to) => {
    const all = guests(3)
    const [a, b, c] = all
    for (const each of all) each.listen()
    b.send(to, 'all hands')
    for (const each of [b, a, b, c]) each.device.service()
    expect(all.map((each) => each.received())).toEqual([['all hands'], [], ['all hands']])
  })

  it('forgets a guest that is gone: the others go on, and its port gets nothing', () => {
    const [a, b, c] = guests(3)
    b.send(a.mac, 'here I am')
    b.device.service()
    b.port.detach()
    for (const each of [a, c]) each.listen()
    a.send(b.mac, 'too late')
    a.send(c.mac, 'and you?', 0x1100)
    a.device.service()
    c.device.service()
    b.listen()
    b.device.service()
    expect(b.received()).toEqual([])
    expect(c.received()).toEqual(['and you?'])
    expect(a.tx.takeUsed()).toHaveLength(2)
  })

  it('holds back nobody because of a guest that does not listen', () => {
    const [a, b] = guests(2)
    for (let i = 0; i < PORT_QUEUE + 5; i++) {
      a.send(b.mac, `${i}`)
      a.device.service()
    }
    expect(a.tx.takeUsed()).toHaveLength(PORT_QUEUE + 5)
    expect(b.port.stats).toMatchObject({ received: PORT_QUEUE, dropped: 5 })
    b.listen()
    b.device.service()
    expect(b.received()).toEqual(['0'])
  })
})

describe('reception', () => {
  it('waits for a buffer, and asks to be told of one', () => {
    const [a, b] = guests(2)
    b.device.service()
    expect(b.rx.noNotify).toBe(true)
    a.send(b.mac, 'patience')
    a.device.service()
    b.device.service()
    expect([b.received(), b.interrupts]).toEqual([[], []])
    expect(b.rx.noNotify).toBe(false)
    b.listen()
    b.device.service()
    expect(b.received()).toEqual(['patience'])
    expect(b.interrupts).toEqual([1])
    expect(b.rx.noNotify).toBe(true)
  })

  it('drops a frame that the buffer cannot hold, keeps the buffer, and counts', () => {
    const [a, b] = guests(2)
    b.listen(0, HEADER + FRAME_MIN + 5)
    a.send(b.mac, 'longer')
    a.send(b.mac, 'short', 0x1100)
    a.device.service()
    b.device.service()
    expect(b.received()).toEqual(['short'])
    expect(b.state.dropped).toBe(1)
  })

  it('throws away what waits when the device is reset', () => {
    const [a, b] = guests(2)
    a.send(b.mac, 'old')
    a.device.service()
    b.device.reset()
    b.listen()
    b.device.service()
    expect(b.received()).toEqual([])
  })
})

describe('transmission', () => {
  it.each([
    ['the longest', FRAME_MAX, 1],
    ['too long a', FRAME_MAX + 1, 0],
    ['the shortest', FRAME_MIN, 1],
    ['too short a', FRAME_MIN - 1, 0],
    ['an empty', 0, 0],
  ])('%s frame: handed back, and sent if it is one', (_, length, frames) => {
    const [a, b] = guests(2)
    a.ram.writeBytes(0x1000 + HEADER, Uint8Array.of(...BROADCAST, ...a.mac))
    a.tx.add([{ gpa: 0x1000, length: HEADER + length }])
    a.device.service()
    expect(a.tx.takeUsed()).toEqual([{ id: 0, len: 0 }])
    expect([a.port.stats.sent, b.port.stats.received]).toEqual([frames, frames])
    expect(b.port.first()?.length).toBe(frames === 1 ? length : undefined)
  })

  it('gives others their turn after its share', () => {
    const [a, b] = guests(2, 64)
    const frames = Math.ceil(SERVICE_BUDGET / FRAME_MAX)
    a.ram.writeBytes(0x1000 + HEADER, Uint8Array.of(...b.mac, ...a.mac))
    for (let i = 0; i < frames + 2; i++) a.tx.add([{ gpa: 0x1000, length: HEADER + FRAME_MAX }])
    expect(a.device.service()).toBe(true)
    expect(b.port.stats.received).toBe(frames)
    expect(a.device.service()).toBe(false)
    expect(b.port.stats.received).toBe(frames + 2)
    expect(a.tx.noNotify).toBe(false)
  })
})

describe('a guest that breaks the rules ends with a reason', () => {
  const sending: [string, string, (driver: QueueDriver) => void][] = [
    ['too short for a header', 'a frame of 9 bytes has no header', (d) => d.add([{ gpa: 0, length: 9 }])],
    [
      'a writable piece',
      'a writable descriptor in a transmit queue',
      (d) =>
        d.add([
          { gpa: 0, length: 10 },
          { gpa: 0x100, length: 60, write: true },
        ]),
    ],
    [
      'an address outside memory',
      "descriptor 1 points at 0xc0000000, length 60, outside the guest's memory",
      (d) =>
        d.add([
          { gpa: 0, length: 10 },
          { gpa: 0xc000_0000, length: 60 },
        ]),
    ],
    [
      'a loop',
      'chain 2 has more than 8 descriptors: a loop',
      (d) => {
        d.desc(2, { len: 10, flags: NEXT, next: 2 })
        d.offer(2)
      },
    ],
    [
      'an indirect table of half an entry',
      'indirect table of 8 bytes, not a multiple of 16',
      (d) => {
        d.desc(0, { addr: 0x100, len: 8, flags: 4 })
        d.offer(0)
      },
    ],
  ]
  it.each(sending)('sending: %s', (_, problem, make) => {
    const [a, b] = guests(2)
    make(a.tx)
    expect(() => a.device.service()).toThrow(new GuestError(`virtqueue "net transmit": ${problem}`))
    expect([a.tx.takeUsed(), a.interrupts]).toEqual([[], []])
    expect(b.port.first()).toBeUndefined()
  })

  const receiving: [string, string, (driver: QueueDriver) => void][] = [
    ['a readable buffer', 'a readable descriptor in a receive queue', (d) => d.add([{ gpa: 0x8000, length: 1600 }])],
    [
      'a buffer outside memory',
      "descriptor 0 points at 0x10000000, length 1528, outside the guest's memory",
      (d) => d.add([{ gpa: 0x1000_0000, length: 1528, write: true }]),
    ],
    [
      'a loop',
      'chain 0 has more than 8 descriptors: a loop',
      (d) => {
        d.desc(0, { addr: 0x8000, len: 100, flags: NEXT | 2, next: 0 })
        d.offer(0)
      },
    ],
  ]
  it.each(receiving)('receiving: %s; the sender lives on', (_, problem, make) => {
    const [a, b] = guests(2)
    make(b.rx)
    a.send(b.mac, 'hello')
    expect(a.device.service()).toBe(false)
    expect(() => b.device.service()).toThrow(new GuestError(`virtqueue "net receive": ${problem}`))
    expect([b.rx.takeUsed(), b.interrupts]).toEqual([[], []])
    expect(a.tx.takeUsed()).toHaveLength(1)
  })
})

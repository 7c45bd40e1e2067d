import { describe, expect, it } from 'vitest'
import { string, text } from '../testing/virtio-driver.ts'
import { ADDRESS_TABLE, EthernetSwitch, FRAME_MIN, guestMac, PORT_QUEUE, type SwitchPort } from './switch.ts'

const BROADCAST = new Uint8Array(6).fill(0xff)
const MULTICAST = Uint8Array.of(0x01, 0x00, 0x5e, 0, 0, 1)
const [A, B, C] = [guestMac(1), guestMac(2), guestMac(3)]

/** Destination, source, type, payload. */
function frame(to: Uint8Array, from: Uint8Array, payload = ''): Uint8Array {
  return Uint8Array.of(...to, ...from, 0x08, 0x00, ...text(payload))
}

/** A switch with `count` ports, what arrived at each, and how often each was told. */
function bench(count: number) {
  const network = new EthernetSwitch()
  const calls: number[] = []
  const ports = Array.from({ length: count }, (_, i) => network.attach(() => calls.push(i)))
  return { network, ports, calls, arrived: () => ports.map(takeAll) }
}

/** Payloads of all frames that wait at a port. */
function takeAll(port: SwitchPort): string[] {
  const payloads: string[] = []
  for (let next = port.first(); next !== undefined; next = port.first()) {
    payloads.push(string(next.subarray(FRAME_MIN)))
    port.drop()
  }
  return payloads
}

describe('learning', () => {
  it('sends a frame for an unknown address everywhere but back', () => {
    const { ports, arrived, calls } = bench(3)
    ports[0].send(frame(B, A, 'who?'))
    expect(arrived()).toEqual([[], ['who?'], ['who?']])
    expect(calls).toEqual([1, 2])
  })

  it('sends a frame for a known address there alone', () => {
    const { ports, arrived, calls } = bench(3)
    ports[1].send(frame(C, B, 'first'))
    arrived()
    calls.length = 0
    ports[0].send(frame(B, A, 'one'))
    expect(arrived()).toEqual([[], ['one'], []])
    ports[1].send(frame(A, B, 'two'))
    expect(arrived()).toEqual([['two'], [], []])
    expect(calls).toEqual([1, 0])
  })

  it('sends nothing back where it came from, even when the address is there', () => {
    const { ports, arrived } = bench(2)
    ports[0].send(frame(C, A))
    arrived()
    ports[0].send(frame(A, B, 'behind the same port'))
    expect(arrived()).toEqual([[], []])
  })

  it('follows an address that moves', () => {
    const { ports, arrived } = bench(3)
    ports[1].send(frame(C, B))
    ports[2].send(frame(C, B))
    arrived()
    ports[0].send(frame(B, A, 'moved'))
    expect(arrived()).toEqual([[], [], ['moved']])
  })

  it('takes addresses apart by every byte', () => {
    const { ports, arrived } = bench(3)
    for (let i = 0; i < 6; i++) {
      const near = B.slice()
      near[i] ^= 2
      ports[1].send(frame(C, B))
      ports[2].send(frame(C, near))
      arrived()
      ports[0].send(frame(near, A, `byte ${i}`))
      expect(arrived()).toEqual([[], [], [`byte ${i}`]])
    }
  })

  it('forgets the address it has not heard of for longest when the table is full', () => {
    const { ports, arrived } = bench(3)
    // With A's own the table is full.
    ports[0].send(frame(C, A))
    for (let i = 0; i < ADDRESS_TABLE - 1; i++) ports[1].send(frame(A, guestMac(100 + i)))
    ports[1].send(frame(A, guestMac(100)))
    ports[0].send(frame(C, A))
    ports[1].send(frame(A, guestMac(100 + ADDRESS_TABLE)))
    arrived()
    ports[0].send(frame(guestMac(101), A, 'forgotten'))
    expect(arrived()).toEqual([[], ['forgotten'], ['forgotten']])
    ports[0].send(frame(guestMac(102), A, 'oldest left'))
    expect(arrived()).toEqual([[], ['oldest left'], []])
    ports[0].send(frame(guestMac(100), A, 'renewed'))
    ports[0].send(frame(guestMac(100 + ADDRESS_TABLE), A, 'newest'))
    expect(arrived()).toEqual([[], ['renewed', 'newest'], []])
  })
})

describe('groups', () => {
  it.each([
    ['broadcast', BROADCAST],
    ['multicast', MULTICAST],
  ])('%s goes to everybody else', (_, group) => {
    const { ports, arrived } = bench(3)
    ports[1].send(frame(group, B, 'hello'))
    expect(arrived()).toEqual([['hello'], [], ['hello']])
  })

  it('are nobody: a frame from a group teaches nothing', () => {
    const { ports, arrived } = bench(3)
    ports[1].send(frame(A, BROADCAST))
    ports[1].send(frame(A, MULTICAST))
    arrived()
    ports[0].send(frame(MULTICAST, A, 'to all'))
    expect(arrived()).toEqual([[], ['to all'], ['to all']])
  })

  it('take no place in the table from those who are somebody', () => {
    const { ports, arrived } = bench(3)
    ports[1].send(frame(A, B))
    for (let i = 0; i < ADDRESS_TABLE; i++) ports[2].send(frame(A, Uint8Array.of(0x01, 0, 0, 0, i >> 8, i & 0xff)))
    arrived()
    ports[0].send(frame(B, A, 'still known'))
    expect(arrived()).toEqual([[], ['still known'], []])
  })
})

describe('a port', () => {
  it('keeps frames in order until they are dropped', () => {
    const { ports } = bench(2)
    for (const payload of ['one', 'two']) ports[0].send(frame(B, A, payload))
    expect(string(ports[1].first()?.subarray(FRAME_MIN) ?? new Uint8Array(0))).toBe('one')
    expect(ports[1].first()).toBe(ports[1].first())
    expect(takeAll(ports[1])).toEqual(['one', 'two'])
    ports[1].drop()
    expect(ports[1].first()).toBeUndefined()
  })

  it('that nobody empties drops what comes last, and nobody else suffers', () => {
    const { ports, calls } = bench(3)
    for (let i = 0; i < PORT_QUEUE + 3; i++) {
      ports[0].send(frame(BROADCAST, A, `${i}`))
      if (i < PORT_QUEUE) ports[2].drop()
    }
    expect(ports[1].stats).toMatchObject({ sent: 0, received: PORT_QUEUE, dropped: 3 })
    expect(ports[2].stats).toMatchObject({ sent: 0, received: PORT_QUEUE + 3, dropped: 0 })
    expect(ports[0].stats).toMatchObject({ sent: PORT_QUEUE + 3, received: 0, dropped: 0 })
    expect(calls.filter((port) => port === 1)).toHaveLength(PORT_QUEUE)
    const kept = takeAll(ports[1])
    expect([kept.length, kept[0], kept.at(-1)]).toEqual([PORT_QUEUE, '0', `${PORT_QUEUE - 1}`])
    ports[0].send(frame(BROADCAST, A, 'room again'))
    expect(takeAll(ports[1])).toEqual(['room again'])
  })

  it('can be emptied at once', () => {
    const { ports } = bench(2)
    ports[0].send(frame(B, A))
    ports[0].send(frame(B, A))
    ports[1].clear()
    expect(ports[1].first()).toBeUndefined()
  })

  it('passes on nothing shorter than a header', () => {
    const { ports, arrived } = bench(2)
    ports[0].send(frame(B, A).subarray(0, FRAME_MIN - 1))
    expect(arrived()).toEqual([[], []])
    ports[0].send(frame(B, A))
    expect(arrived()).toEqual([[], ['']])
  })
})

describe('a dead port', () => {
  it('gets nothing more, and is forgotten with its addresses', () => {
    const { ports, arrived, calls } = bench(3)
    ports[1].send(frame(A, B))
    ports[1].send(frame(A, C))
    arrived()
    calls.length = 0
    ports[1].detach()
    ports[0].send(frame(B, A, 'to B'))
    ports[0].send(frame(C, A, 'to C'))
    ports[0].send(frame(BROADCAST, A, 'to all'))
    // Unknown again, so everywhere; only not into the void.
    expect(arrived()).toEqual([[], [], ['to B', 'to C', 'to all']])
    expect(calls).toEqual([2, 2, 2])
  })

  it('leaves what others have taught', () => {
    const { ports, arrived } = bench(4)
    ports[2].send(frame(A, C))
    ports[1].detach()
    arrived()
    ports[0].send(frame(C, A, 'still known'))
    expect(arrived()).toEqual([[], [], ['still known'], []])
  })

  it('loses what waited at it, sends nothing and teaches nothing', () => {
    const { ports, arrived } = bench(3)
    ports[0].send(frame(B, A))
    ports[1].detach()
    expect(ports[1].first()).toBeUndefined()
    arrived()
    ports[1].send(frame(BROADCAST, B, 'from the dead'))
    expect(arrived()).toEqual([[], [], []])
    ports[0].send(frame(B, A, 'unknown'))
    expect(arrived()).toEqual([[], [], ['unknown']])
    ports[1].detach()
  })

  it('makes room for a new one', () => {
    const { network, ports, arrived } = bench(2)
    ports[1].detach()
    const late = network.attach(() => {})
    ports[0].send(frame(BROADCAST, A, 'welcome'))
    expect(takeAll(late)).toEqual(['welcome'])
    expect(arrived()).toEqual([[], []])
  })
})

describe('addresses of guests', () => {
  it('are local, no groups, and different for each number', () => {
    expect([...guestMac(0x1234)]).toEqual([0x02, 0x6b, 0x65, 0x6e, 0x12, 0x34])
    expect(new Set(Array.from({ length: 0x10000 }, (_, i) => guestMac(i).join())).size).toBe(0x10000)
  })
})

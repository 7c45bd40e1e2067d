import { describe, expect, it } from 'vitest'
import { type Buffer, deviceBench, type QueueDriver, string, text } from '../../testing/virtio-driver.ts'
import { ConsolePort } from '../console-port.ts'
import { SERVICE_BUDGET } from '../device.ts'
import { GuestError } from '../errors.ts'
import { ConsoleDevice } from './console.ts'

const NEXT = 1
const WRITE = 2

/** A console on a terminal with room for `room` bytes, or for everything. */
function bench(room?: number) {
  const out: string[] = []
  const terminal = { room, written: '' }
  const sink = {
    write(bytes: Uint8Array) {
      out.push(string(bytes))
      terminal.written += string(bytes)
      if (terminal.room !== undefined) terminal.room -= bytes.length
    },
    room: () => terminal.room ?? Infinity,
  }
  const port = new ConsolePort(sink)
  const device = new ConsoleDevice(port)
  const { drivers, ...rest } = deviceBench(device)
  const [input, output] = drivers
  const print = (gpa: number, line: string): number => {
    rest.ram.writeBytes(gpa, text(line))
    return output.add([{ gpa, length: line.length }])
  }
  const buffer = (gpa: number, length: number): number => input.add([{ gpa, length, write: true }])
  return { ...rest, device, port, input, output, out, terminal, print, buffer }
}

describe('output', () => {
  it('leaves in the order of the ring, each chain in the order of its pieces', () => {
    const { device, ram, output, terminal, print, interrupts } = bench()
    print(0x1000, 'first ')
    ram.writeBytes(0x3000, text('sec'))
    ram.writeBytes(0x2000, text('ond '))
    output.add([
      { gpa: 0x3000, length: 3 },
      { gpa: 0x2000, length: 4 },
    ])
    print(0x500, 'third')
    expect(device.service()).toBe(false)
    expect(terminal.written).toBe('first second third')
    expect(output.takeUsed()).toEqual([
      { id: 0, len: 0 },
      { id: 1, len: 0 },
      { id: 3, len: 0 },
    ])
    expect(interrupts).toEqual([2])
  })

  it('carries every byte', () => {
    const { device, ram, output, terminal } = bench()
    const all = Uint8Array.from({ length: 256 }, (_, i) => i)
    ram.writeBytes(0x1000, all)
    output.add([{ gpa: 0x1000, length: 256 }])
    device.service()
    expect(terminal.written).toBe(string(all))
  })

  it('waits for room, keeps its place inside a chain, and is handed back when all of it is out', () => {
    const { device, output, terminal, print, interrupts, state } = bench(4)
    print(0x1000, 'abcdefgh')
    print(0x2000, 'ij')
    expect(device.service()).toBe(false)
    expect(terminal.written).toBe('abcd')
    expect(state.chain_done).toBe(4)
    expect([output.takeUsed(), interrupts]).toEqual([[], []])
    expect(device.service()).toBe(false)
    expect(terminal.written).toBe('abcd')
    terminal.room = 5
    device.service()
    expect(terminal.written).toBe('abcdefghi')
    expect(output.takeUsed()).toEqual([{ id: 0, len: 0 }])
    expect(interrupts).toEqual([2])
    terminal.room = 100
    device.service()
    expect(terminal.written).toBe('abcdefghij')
    expect(output.takeUsed()).toEqual([{ id: 1, len: 0 }])
    expect(state.chain_done).toBe(0)
  })

  it('asks for no kicks while it waits for room, and for them when the ring is empty', () => {
    const { device, output, print, terminal } = bench(1)
    print(0x1000, 'ab')
    device.service()
    expect(output.noNotify).toBe(true)
    terminal.room = 9
    device.service()
    expect(output.noNotify).toBe(false)
  })

  it('gives others their turn after its share, and goes on where it was', () => {
    const { device, ram, output, terminal } = bench()
    const long = SERVICE_BUDGET + 1000
    for (let i = 0; i < long; i++) ram.write8(0x1000 + i, 97 + (i % 26))
    output.add([{ gpa: 0x1000, length: long }])
    output.add([{ gpa: 0x1000, length: 3 }])
    expect(device.service()).toBe(true)
    expect(terminal.written).toHaveLength(SERVICE_BUDGET)
    expect(device.service()).toBe(false)
    expect(terminal.written).toBe(`${string(ram.readBytes(0x1000, long))}abc`)
    expect(output.takeUsed()).toHaveLength(2)
  })

  it('of no bytes is handed back too', () => {
    const { device, output, out } = bench(0)
    output.add([{ gpa: 0x1000, length: 0 }])
    device.service()
    expect(output.takeUsed()).toEqual([{ id: 0, len: 0 }])
    expect(out).toEqual([])
  })

  it('begins anew after a reset in the middle of a chain', () => {
    const { device, state, print, terminal } = bench(2)
    print(0x1000, 'abcd')
    device.service()
    expect(state.chain_done).toBe(2)
    device.reset()
    terminal.room = 10
    device.service()
    expect(terminal.written).toBe('ababcd')
  })
})

describe('input', () => {
  it('waits for a buffer, and comes as soon as there is one', () => {
    const { device, port, ram, input, buffer, interrupts } = bench()
    port.type(text('ls\n'))
    expect(device.service()).toBe(false)
    expect(port.waiting).toBe(3)
    expect([input.takeUsed(), interrupts]).toEqual([[], []])
    const head = buffer(0x1000, 64)
    device.service()
    expect(input.takeUsed()).toEqual([{ id: head, len: 3 }])
    expect(string(ram.readBytes(0x1000, 4))).toBe('ls\n\0')
    expect(port.waiting).toBe(0)
    expect(interrupts).toEqual([1])
  })

  it('leaves buffers alone until somebody types', () => {
    const { device, port, input, buffer, interrupts } = bench()
    buffer(0x1000, 16)
    device.service()
    expect([input.takeUsed(), interrupts]).toEqual([[], []])
    port.type(text('x'))
    device.service()
    expect(input.takeUsed()).toEqual([{ id: 0, len: 1 }])
  })

  it('fills one buffer after the other, and keeps what is too much', () => {
    const { device, port, ram, input, buffer, interrupts } = bench()
    buffer(0x1000, 4)
    buffer(0x2000, 3)
    port.type(text('abc'))
    port.type(text('defgh'))
    port.type(text('i'))
    device.service()
    expect(input.takeUsed()).toEqual([
      { id: 0, len: 4 },
      { id: 1, len: 3 },
    ])
    expect(string(ram.readBytes(0x1000, 4)) + string(ram.readBytes(0x2000, 3))).toBe('abcdefg')
    expect(port.waiting).toBe(2)
    expect(interrupts).toEqual([1])
    buffer(0x3000, 8)
    device.service()
    expect(string(ram.readBytes(0x3000, 3))).toBe('hi\0')
  })

  it('goes into a chain of several pieces', () => {
    const { device, port, ram, input } = bench()
    const pieces: Buffer[] = [
      { gpa: 0x1000, length: 2, write: true },
      { gpa: 0x2000, length: 8, write: true },
    ]
    input.add(pieces)
    port.type(text('abcde'))
    device.service()
    expect(input.takeUsed()).toEqual([{ id: 0, len: 5 }])
    expect(string(ram.readBytes(0x1000, 3)) + string(ram.readBytes(0x2000, 3))).toBe('ab\0cde')
  })

  it('wants to hear of buffers only when there is something to put in', () => {
    const { device, port, input } = bench()
    device.service()
    expect(input.noNotify).toBe(true)
    port.type(text('x'))
    device.service()
    expect(input.noNotify).toBe(false)
  })

  it('calls when something is typed or there is room, not for nothing', () => {
    const port = new ConsolePort({ write() {} })
    let calls = 0
    port.onNews = () => calls++
    port.type(new Uint8Array(0))
    expect(calls).toBe(0)
    port.type(text('x'))
    port.drained()
    expect(calls).toBe(2)
  })

  it('is not held up by output without room', () => {
    const { device, port, input, print, buffer } = bench(0)
    print(0x1000, 'stuck')
    buffer(0x2000, 4)
    port.type(text('^C'))
    device.service()
    expect(input.takeUsed()).toEqual([{ id: 0, len: 2 }])
  })
})

describe('a guest that breaks the rules ends with a reason', () => {
  const outputs: [string, string, (driver: QueueDriver) => void][] = [
    [
      'a writable buffer',
      'a writable descriptor in an output queue',
      (d) => d.add([{ gpa: 0, length: 1, write: true }]),
    ],
    [
      'a loop',
      'chain 0 has more than 8 descriptors: a loop',
      (d) => {
        d.desc(0, { addr: 0x100, len: 1, flags: NEXT, next: 0 })
        d.offer(0)
      },
    ],
    [
      'an address outside memory',
      "descriptor 0 points at 0xfffff000, length 16, outside the guest's memory",
      (d) => d.add([{ gpa: 0xffff_f000, length: 16 }]),
    ],
    [
      'a buffer that reaches out of memory',
      "descriptor 1 points at 0x0, length 4294967295, outside the guest's memory",
      (d) =>
        d.add([
          { gpa: 0, length: 1 },
          { gpa: 0, length: 0xffff_ffff },
        ]),
    ],
  ]
  it.each(outputs)('output: %s', (_, problem, make) => {
    const { device, output, out, interrupts } = bench()
    make(output)
    expect(() => device.service()).toThrow(new GuestError(`virtqueue "console output": ${problem}`))
    expect([output.takeUsed(), out, interrupts]).toEqual([[], [], []])
  })

  const inputs: [string, string, (driver: QueueDriver) => void][] = [
    ['a readable buffer', 'a readable descriptor in an input queue', (d) => d.add([{ gpa: 0, length: 1 }])],
    [
      'readable after writable',
      'chain 0 has a readable descriptor after a writable one',
      (d) => {
        d.desc(0, { len: 1, flags: NEXT | WRITE, next: 1 })
        d.desc(1, { len: 1 })
        d.offer(0)
      },
    ],
    ['an index that jumps', 'avail index jumped from 0 to 9 in a ring of 8', (d) => d.setAvailIdx(9)],
  ]
  it.each(inputs)('input: %s', (_, problem, make) => {
    const { device, port, input, interrupts } = bench()
    make(input)
    port.type(text('x'))
    expect(() => device.service()).toThrow(new GuestError(`virtqueue "console input": ${problem}`))
    expect([input.takeUsed(), interrupts]).toEqual([[], []])
  })

  it('what came before it in the ring is printed', () => {
    const { device, output, print, terminal } = bench()
    print(0x1000, 'last words')
    output.add([{ gpa: 0, length: 1, write: true }])
    expect(() => device.service()).toThrow(GuestError)
    expect(terminal.written).toBe('last words')
  })
})

/** Frames over a byte stream, cut and joined by whatever carries it. */
import { Duplex as NodeDuplex } from 'node:stream'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Duplex, Frame } from '../shared/duplex.ts'
import { streamDuplex } from './stream-duplex.ts'

/** One end of a connection: what comes in is pushed by the test, what goes out is kept. */
class Wire extends NodeDuplex {
  readonly written: Buffer[] = []

  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written.push(chunk)
    done()
  }
  get bytes(): Buffer {
    return Buffer.concat(this.written)
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function head(length: number, kind: number): Buffer {
  const bytes = Buffer.alloc(5)
  bytes.writeUInt32LE(length, 0)
  bytes[4] = kind
  return bytes
}

let wire: Wire
let duplex: Duplex
let frames: Frame[]
let closed: number

beforeEach(() => {
  wire = new Wire()
  duplex = streamDuplex(wire)
  frames = []
  closed = 0
  duplex.onMessage((frame) => frames.push(frame))
  duplex.onClose(() => closed++)
})

/** What another end would have written for these frames. */
function encoded(sent: readonly Frame[]): Buffer {
  const other = new Wire()
  const sender = streamDuplex(other)
  for (const frame of sent) sender.send(frame)
  return other.bytes
}

const SENT: Frame[] = [
  '',
  'one',
  'grüße “ganz” \u{1f415}',
  new Uint8Array(),
  Uint8Array.of(0, 1, 255),
  'x'.repeat(70_000),
]

describe('frames over a stream', () => {
  it('have a head of length and kind', () => {
    expect([...encoded(['ü', Uint8Array.of(7)])]).toEqual([2, 0, 0, 0, 0, 0xc3, 0xbc, 1, 0, 0, 0, 1, 7])
  })

  it('arrive whole when they come in one piece', async () => {
    wire.push(encoded(SENT))
    await settled()
    expect(frames).toEqual(SENT)
  })

  it.each([1, 2, 3, 4, 5, 6, 7, 4096])('arrive whole when they come in pieces of %i bytes', async (size) => {
    const sent = SENT.slice(0, 5)
    const bytes = encoded(sent)
    for (let at = 0; at < bytes.length; at += size) {
      wire.push(bytes.subarray(at, at + size))
      await settled()
    }
    expect(frames).toEqual(sent)
  })

  it('are delivered as soon as they are complete, and not before', async () => {
    const bytes = encoded(['first', 'second'])
    wire.push(bytes.subarray(0, 9))
    await settled()
    expect(frames).toEqual([])
    wire.push(bytes.subarray(9, 12))
    await settled()
    expect(frames).toEqual(['first'])
    wire.push(bytes.subarray(12))
    await settled()
    expect(frames).toEqual(['first', 'second'])
  })

  it('of 64 MiB come in 16384 chunks', async () => {
    const length = 64 * 1024 * 1024
    wire.push(head(length, 1))
    const chunk = Buffer.alloc(4096, 9)
    for (let done = 0; done < length; done += chunk.length) {
      wire.push(chunk)
      if (done % (1024 * 1024) === 0) await settled()
    }
    await settled()
    expect(frames).toHaveLength(1)
    const got = frames[0] as Uint8Array
    expect(got).toHaveLength(length)
    expect(Buffer.from(got.buffer).every((byte) => byte === 9)).toBe(true)
  })

  it('are copies: what arrives later does not change them', async () => {
    const bytes = encoded([Uint8Array.of(1, 2, 3)])
    wire.push(bytes)
    await settled()
    bytes.fill(0)
    expect(frames).toEqual([Uint8Array.of(1, 2, 3)])
  })
})

describe('a head that is none of ours', () => {
  it.each([
    ['an unknown kind', head(1, 2)],
    ['a frame that is too long', head(0xffff_ffff, 0)],
    ['one byte more than the longest', head(512 * 1024 * 1024 + 1, 1)],
    ['a request by HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  ])('%s closes the stream', async (_, bytes) => {
    wire.push(encoded(['good']))
    wire.push(bytes)
    wire.push(encoded(['after']))
    await settled()
    expect(frames).toEqual(['good'])
    expect(wire.destroyed).toBe(true)
    expect(closed).toBe(1)
  })

  it('is looked at before its frame has come: nothing is kept for it', async () => {
    wire.push(head(0xffff_ffff, 1).subarray(0, 4))
    await settled()
    expect(wire.destroyed).toBe(false)
    wire.push(Buffer.of(1))
    await settled()
    expect(wire.destroyed).toBe(true)
  })
})

describe('the end', () => {
  it('is told once, and a frame that is half there is dropped', async () => {
    wire.push(encoded(['whole', 'half']).subarray(0, 12))
    await settled()
    wire.destroy()
    await settled()
    expect(frames).toEqual(['whole'])
    expect(closed).toBe(1)
  })

  it('by an error of the stream is an end like any other', async () => {
    wire.destroy(new Error('ECONNRESET'))
    await settled()
    expect(closed).toBe(1)
  })

  it('makes sending do nothing', async () => {
    wire.destroy()
    await settled()
    duplex.send('too late')
    await settled()
    expect(wire.written).toEqual([])
  })

  it('by close() comes after what was sent', async () => {
    duplex.send('last words')
    duplex.close()
    duplex.send('and more')
    await settled()
    expect(wire.bytes.subarray(5).toString()).toBe('last words')
    expect(wire.writableFinished).toBe(true)
  })
})

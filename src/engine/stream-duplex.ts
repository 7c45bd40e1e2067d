/**
 * A Duplex over a byte stream (the local socket): each frame has a head of five bytes, its length and whether it is text or bytes.
 *
 *     u32 length, little-endian | u8 kind: 0 text, 1 bytes | the frame
 */
import type { Duplex as ByteStream } from 'node:stream'
import type { Duplex, Frame } from '../shared/duplex.ts'

const HEAD = 5
const TEXT = 0
const BYTES = 1
/** Nothing longer is a frame of ours. */
const MAX_FRAME = 512 * 1024 * 1024

/** Bytes that may wait for the other side to read them. */
const MAX_WAITING = 64 * 1024 * 1024

/** `longest`: bytes of a frame that is still taken from the other side; one who sends more is cut off. */
export function streamDuplex(stream: ByteStream, longest = MAX_FRAME): Duplex {
  const messageListeners: ((frame: Frame) => void)[] = []
  const closeListeners: (() => void)[] = []
  /** What has come and was not delivered: joined only when there is enough of it, for a large frame comes in very many chunks. */
  let chunks: Buffer[] = []
  let waiting = 0
  let needed = HEAD
  stream.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    waiting += chunk.length
    if (waiting < needed) return
    let pending = Buffer.concat(chunks)
    needed = HEAD
    while (pending.length >= HEAD) {
      const length = pending.readUInt32LE(0)
      const kind = pending[4]
      if (length > longest || (kind !== TEXT && kind !== BYTES)) return void stream.destroy()
      needed = HEAD + length
      if (pending.length < needed) break
      const body = pending.subarray(HEAD, needed)
      pending = pending.subarray(needed)
      needed = HEAD
      const frame = kind === TEXT ? body.toString('utf8') : new Uint8Array(body)
      for (const listener of messageListeners) listener(frame)
    }
    chunks = [pending]
    waiting = pending.length
  })
  stream.on('error', () => stream.destroy())
  stream.on('close', () => {
    for (const listener of closeListeners) listener()
  })
  return {
    send: (frame) => {
      if (stream.destroyed || stream.writableEnded) return
      // It reads nothing, and must not fill our memory.
      if (stream.writableLength > MAX_WAITING) return void stream.destroy()
      const body = typeof frame === 'string' ? Buffer.from(frame, 'utf8') : frame
      const head = Buffer.alloc(HEAD)
      head.writeUInt32LE(body.length, 0)
      head[4] = typeof frame === 'string' ? TEXT : BYTES
      stream.write(head)
      stream.write(body)
    },
    onMessage: (listener) => messageListeners.push(listener),
    onClose: (listener) => closeListeners.push(listener),
    close: () => stream.end(),
  }
}

/**
 * Binary frames: console bytes and their credit.
 *
 *   byte 0      type: 1 output (engine to front), 2 input (front to engine), 3 credit (front to engine)
 *   bytes 1-2   channel, little-endian (from console.attach)
 *   then        the bytes; for credit a u32: bytes the front has finished writing to its screen
 *
 * Flow control: the engine sends at most CONSOLE_WINDOW unacknowledged bytes to a channel. While the slowest attached
 * view has no credit (or, with none attached, while the headless terminal is behind), the guest's console device stops
 * taking output from its virtqueue: a flooding guest is slowed down and no byte is lost.
 */
export const FRAME_OUTPUT = 1
export const FRAME_INPUT = 2
export const FRAME_CREDIT = 3

/** Unacknowledged bytes in flight to one view. */
export const CONSOLE_WINDOW = 1024 * 1024

export interface BinaryFrame {
  type: number
  channel: number
  data: Uint8Array
}

export function encodeFrame(type: number, channel: number, data: Uint8Array): Uint8Array {
  const frame = new Uint8Array(3 + data.length)
  frame[0] = type
  frame[1] = channel & 0xff
  frame[2] = channel >>> 8
  frame.set(data, 3)
  return frame
}

export function encodeCredit(channel: number, bytes: number): Uint8Array {
  const data = new Uint8Array(4)
  new DataView(data.buffer).setUint32(0, bytes, true)
  return encodeFrame(FRAME_CREDIT, channel, data)
}

/** Null for anything that is not a well-formed frame: frames come from outside. */
export function decodeFrame(frame: Uint8Array): BinaryFrame | null {
  if (frame.length < 3) return null
  const type = frame[0]
  if (type !== FRAME_OUTPUT && type !== FRAME_INPUT && type !== FRAME_CREDIT) return null
  const data = frame.subarray(3)
  if (type === FRAME_CREDIT && data.length !== 4) return null
  return { type, channel: frame[1] | (frame[2] << 8), data }
}

export function creditOf(frame: BinaryFrame): number {
  return new DataView(frame.data.buffer, frame.data.byteOffset, 4).getUint32(0, true)
}

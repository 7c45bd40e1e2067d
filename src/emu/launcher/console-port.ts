/**
 * Where a guest's console meets the outside world: bytes the front has typed and the guest has not read yet, and the way out, with credit.
 * The front says how much room it has; a device takes from its ring no more than that, so a guest that prints faster than anybody reads
 * is slowed down instead of filling memory. Everything here is on the front's side of the wall: it is no state of the machine.
 */

export interface ConsoleSink {
  write(bytes: Uint8Array): void
  /** Bytes that may be written now. Without it there is always room. When room comes back the front calls ConsolePort.drained(). */
  room?(): number
}

export class ConsolePort {
  /** Called when there is input or room where there was none. */
  onNews: () => void
  private readonly sink: ConsoleSink
  private readonly chunks: Uint8Array[]
  private pending: number

  constructor(sink: ConsoleSink) {
    this.sink = sink
    this.onNews = () => {}
    this.chunks = []
    this.pending = 0
  }

  // --- the front's side ------------------------------------------------------------------------------------------------

  /** Keys pressed, or a file on standard input. Kept until the guest reads them, however long that takes. */
  type(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.chunks.push(bytes)
    this.pending += bytes.length
    this.onNews()
  }

  /** There is room again for output. */
  drained(): void {
    this.onNews()
  }

  /** Bytes typed that the guest has not read. */
  get waiting(): number {
    return this.pending
  }

  // --- the device's side -----------------------------------------------------------------------------------------------

  /** At most `most` bytes of what was typed. */
  takeInput(most: number): Uint8Array {
    const length = Math.min(most, this.pending)
    const bytes = new Uint8Array(length)
    for (let done = 0; done < length;) {
      const chunk = this.chunks[0]
      const part = Math.min(chunk.length, length - done)
      bytes.set(chunk.subarray(0, part), done)
      if (part === chunk.length) this.chunks.shift()
      else this.chunks[0] = chunk.subarray(part)
      done += part
    }
    this.pending -= length
    return bytes
  }

  room(): number {
    return Math.max(0, this.sink.room?.() ?? Infinity)
  }

  /** Writes at most room() bytes. */
  write(bytes: Uint8Array): void {
    if (bytes.length > 0) this.sink.write(bytes)
  }
}

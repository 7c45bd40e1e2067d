/**
 * A guest's console on standard output. Plain bytes for one guest; with several, whole lines, each with its guest's name before it. When
 * whoever reads standard output is slow, the guest waits: room() is what may be unwritten. In a repeatable run the guest must not notice
 * who reads: there is always room, and the whole computer waits instead (full, drained).
 */
import type { ConsoleSink } from '../emu/index.ts'

const PENDING_LIMIT = 1024 * 1024
/** A line longer than this is printed in parts. */
const LINE_LIMIT = 4096

/** Standard output, or what stands for it in tests. */
export interface Output {
  write(bytes: Uint8Array, done: () => void): unknown
}

export class ConsoleOutput {
  private pending: number
  private starved: boolean
  private readonly output: Output
  private readonly repeatable: boolean
  /** Called when there is room again after there was none. */
  onRoom: () => void

  constructor(output: Output, repeatable = false) {
    this.output = output
    this.repeatable = repeatable
    this.pending = 0
    this.starved = false
    this.onRoom = () => {}
  }

  private send(bytes: Uint8Array): void {
    this.pending += bytes.length
    if (this.room() === 0) this.starved = true
    this.output.write(bytes, () => {
      this.pending -= bytes.length
      if (!this.starved || this.room() === 0) return
      this.starved = false
      this.onRoom()
    })
  }

  private room(): number {
    return this.repeatable ? Infinity : Math.max(0, PENDING_LIMIT - this.pending)
  }

  /** The computer should wait before it runs on. */
  get full(): boolean {
    return this.pending >= PENDING_LIMIT
  }

  /** Everything written has been taken. */
  get empty(): boolean {
    return this.pending === 0
  }

  /** Bytes as they come. */
  plain(): ConsoleSink {
    return { write: (bytes) => this.send(bytes), room: () => this.room() }
  }

  /** Lines as they are complete, with `name: ` before each. What is left of a line is printed by the returned `end`. */
  prefixed(name: string): ConsoleSink & { end(): void } {
    const prefix = new TextEncoder().encode(`${name}: `)
    let line: number[] = []
    const flush = (): void => {
      this.send(Uint8Array.from([...prefix, ...line, 10]))
      line = []
    }
    return {
      write: (bytes) => {
        for (const byte of bytes) {
          if (byte === 10) flush()
          else if (byte !== 13) line.push(byte)
          if (line.length >= LINE_LIMIT) flush()
        }
      },
      room: () => this.room(),
      end: () => {
        if (line.length > 0) flush()
      },
    }
  }

  /** Resolves when everything has been written. */
  drained(): Promise<void> {
    return new Promise((resolve) => this.output.write(new Uint8Array(0), resolve))
  }
}

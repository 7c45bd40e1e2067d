/** Standard input as the guest's keyboard: raw on a terminal, where Ctrl-] leaves; a file or a pipe otherwise. */
import { UsageError } from './messages.ts'

/** Ctrl-]. */
const LEAVE = 0x1d

/** Standard input, or what stands for it in tests. */
type Keys = NodeJS.ReadableStream & Partial<Pick<NodeJS.ReadStream, 'isTTY' | 'setRawMode' | 'unref'>>

export class Terminal {
  readonly interactive: boolean
  /** Nothing more will come. */
  ended: boolean
  private readonly input: Keys

  constructor(input: Keys = process.stdin) {
    this.input = input
    this.interactive = input.isTTY === true
    this.ended = false
  }

  /** Everything there will ever be on a standard input that is no terminal. Throws UsageError for more than `most` bytes. */
  async readAll(most: number): Promise<Uint8Array> {
    const chunks: Uint8Array[] = []
    let length = 0
    for await (const chunk of this.input) {
      chunks.push(chunk as Uint8Array)
      length += (chunk as Uint8Array).length
      if (length > most) {
        const limit = `at most ${most >> 20} MiB of standard input, all of it before it begins`
        throw new UsageError(`A run with --executor lockstep takes ${limit}; this is more, or without an end.`)
      }
    }
    this.ended = true
    return Buffer.concat(chunks)
  }

  /** Begins to listen. The end of a file or pipe is not the end of the guest. */
  open(onInput: (bytes: Uint8Array) => void, onLeave: () => void): void {
    const { input } = this
    if (this.interactive) input.setRawMode?.(true)
    input.on('data', (bytes: Buffer) => {
      const leave = this.interactive ? bytes.indexOf(LEAVE) : -1
      onInput(leave < 0 ? bytes : bytes.subarray(0, leave))
      if (leave >= 0) onLeave()
    })
    const onEnd = (): void => {
      this.ended = true
      // A terminal that goes away takes its guest with it.
      if (this.interactive) onLeave()
    }
    input.on('error', onEnd)
    input.on('end', onEnd)
  }

  /** Takes no more for now, or again. A terminal is always listened to: its Ctrl-] must come through. */
  hold(hold: boolean): void {
    if (this.interactive || hold === this.input.isPaused()) return
    if (hold) this.input.pause()
    else this.input.resume()
  }

  /** Gives the terminal back as it was. */
  close(): void {
    if (this.interactive) this.input.setRawMode?.(false)
    this.input.pause()
    // A pipe that nobody writes to would keep the process alive.
    this.input.unref?.()
  }
}

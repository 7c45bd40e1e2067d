/** Standard input as the guest's keyboard: raw on a terminal, where Ctrl-] leaves; a file or a pipe otherwise. */

/** Ctrl-]. */
const LEAVE = 0x1d

export class Terminal {
  readonly interactive: boolean
  private readonly input: NodeJS.ReadStream

  constructor(input: NodeJS.ReadStream = process.stdin) {
    this.input = input
    this.interactive = input.isTTY === true
  }

  /** Everything there will ever be on a standard input that is no terminal. */
  async readAll(): Promise<Uint8Array> {
    const chunks: Uint8Array[] = []
    for await (const chunk of this.input) chunks.push(chunk as Uint8Array)
    return Buffer.concat(chunks)
  }

  /** Begins to listen. The end of a file or pipe is not the end of the guest. */
  open(onInput: (bytes: Uint8Array) => void, onLeave: () => void): void {
    const { input } = this
    if (this.interactive) input.setRawMode(true)
    input.on('data', (bytes: Buffer) => {
      const leave = this.interactive ? bytes.indexOf(LEAVE) : -1
      onInput(leave < 0 ? bytes : bytes.subarray(0, leave))
      if (leave >= 0) onLeave()
    })
    // A terminal that goes away takes its guest with it.
    input.on('error', onLeave)
    if (this.interactive) input.on('end', onLeave)
  }

  /** Gives the terminal back as it was. */
  close(): void {
    if (this.interactive) this.input.setRawMode(false)
    this.input.pause()
    // A pipe that nobody writes to would keep the process alive.
    this.input.unref?.()
  }
}

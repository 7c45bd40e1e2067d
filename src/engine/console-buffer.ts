/**
 * A guest's console as the engine keeps it: a headless terminal with scrollback, so that a view can come and go and
 * every front sees the same text; any number of views, each with byte credit; and an optional log file.
 *
 *   guest's virtio console ──room()?──▶ write() ──▶ headless terminal (screen and scrollback)
 *                                          ├─────▶ view 1, at most CONSOLE_WINDOW bytes unacknowledged
 *                                          └─────▶ log file
 *
 * room() is what the guest's console device may write now: the smallest of what the views, the terminal and the log can
 * take. When it is 0 the device leaves the rest in the virtqueue, the guest waits, and nothing is lost.
 */
import { createWriteStream, type WriteStream } from 'node:fs'
import { SerializeAddon } from '@xterm/addon-serialize'
import xtermHeadless from '@xterm/headless'
import { CONSOLE_WINDOW } from '../shared/frames.ts'

/** What the terminal and the log may have unfinished before the guest waits, bytes. */
const PENDING_LIMIT = 1024 * 1024

const MARKER = (text: string): string => `\r\n\x1b[0;3m── ${text} ──\x1b[0m\r\n`

export interface ConsoleView {
  readonly channel: number
  send(bytes: Uint8Array): void
}

interface AttachedView {
  view: ConsoleView
  inFlight: number
}

export class ConsoleBuffer {
  private readonly terminal: InstanceType<typeof xtermHeadless.Terminal>
  private readonly serializer: SerializeAddon
  private readonly views = new Map<number, AttachedView>()
  private pending = 0
  /** Views being attached: meanwhile the guest waits, so that the screen they get is exactly what came before. */
  private attaching = 0
  private log: { stream: WriteStream; path: string; pending: number } | null = null
  /** room() was 0 the last time it was asked, or when the last bytes came. */
  private starved = false
  /** Called when room() has grown from 0. */
  onRoom: () => void = () => {}
  onBell: () => void = () => {}

  constructor(options: { cols?: number; rows?: number; scrollback: number }) {
    this.terminal = new xtermHeadless.Terminal({
      cols: options.cols ?? 80,
      rows: options.rows ?? 24,
      scrollback: options.scrollback,
      allowProposedApi: true,
    })
    this.serializer = new SerializeAddon()
    // The add-on is typed for the browser's terminal; it uses only what the headless one has too.
    this.terminal.loadAddon(this.serializer as unknown as Parameters<typeof this.terminal.loadAddon>[0])
    this.terminal.onBell(() => this.onBell())
  }

  get cols(): number {
    return this.terminal.cols
  }
  get rows(): number {
    return this.terminal.rows
  }

  /** Bytes the guest may write now. */
  room(): number {
    const room = this.roomNow()
    if (room === 0) this.starved = true
    return room
  }

  /** Something was finished: a guest that waits may go on. */
  private finished(): void {
    if (!this.starved || this.roomNow() === 0) return
    this.starved = false
    this.onRoom()
  }

  private roomNow(): number {
    if (this.attaching > 0) return 0
    let room = PENDING_LIMIT - this.pending
    if (this.log) room = Math.min(room, PENDING_LIMIT - this.log.pending)
    for (const { inFlight } of this.views.values()) room = Math.min(room, CONSOLE_WINDOW - inFlight)
    return Math.max(0, room)
  }

  /** Console output of the guest. Callers ask room() first; what comes is never dropped. */
  write(bytes: Uint8Array): void {
    this.pending += bytes.length
    this.terminal.write(bytes, () => {
      this.pending -= bytes.length
      this.finished()
    })
    for (const attached of this.views.values()) {
      attached.inFlight += bytes.length
      attached.view.send(bytes)
    }
    const log = this.log
    if (log) {
      log.pending += bytes.length
      log.stream.write(bytes, () => {
        log.pending -= bytes.length
        this.finished()
      })
    }
    this.room()
  }

  /** A line of Kennel's own in the console: the guest started, crashed and why. */
  mark(text: string): void {
    this.write(new TextEncoder().encode(MARKER(text)))
  }

  /** Adds a view. Resolves with what restores its screen; everything written later is sent to it. */
  async attach(view: ConsoleView): Promise<string> {
    this.attaching++
    try {
      while (this.pending > 0) await this.flushed()
      const screen = this.serializer.serialize()
      this.views.set(view.channel, { view, inFlight: 0 })
      return screen
    } finally {
      this.attaching--
      this.finished()
    }
  }

  detach(channel: number): void {
    this.views.delete(channel)
    this.finished()
  }

  /** The view has put `bytes` more on its screen. */
  credit(channel: number, bytes: number): void {
    const attached = this.views.get(channel)
    if (!attached) return
    attached.inFlight = Math.max(0, attached.inFlight - bytes)
    this.finished()
  }

  /** All text, scrollback first, without colours. */
  async text(): Promise<string> {
    await this.flushed()
    const buffer = this.terminal.buffer.normal
    const lines: string[] = []
    for (let y = 0; y < buffer.length; y++) {
      const line = buffer.getLine(y)
      if (!line) continue
      const text = line.translateToString(true)
      if (line.isWrapped && lines.length > 0) lines[lines.length - 1] += text
      else lines.push(text)
    }
    while (lines.length > 0 && lines[lines.length - 1] === '') lines.pop()
    return lines.join('\n')
  }

  clear(): void {
    this.terminal.clear()
  }

  setScrollback(lines: number): void {
    this.terminal.options.scrollback = lines
  }

  /** Starts or stops copying the console to a file (appended). Returns its path or null. */
  async logTo(path: string | null): Promise<string | null> {
    const old = this.log
    this.log = null
    if (old) await new Promise<void>((resolve) => old.stream.end(resolve))
    if (path !== null) {
      const stream = createWriteStream(path, { flags: 'a', mode: 0o600 })
      await new Promise<void>((resolve, reject) => stream.once('open', () => resolve()).once('error', reject))
      this.log = { stream, path, pending: 0 }
    }
    return path
  }

  get logFile(): string | null {
    return this.log?.path ?? null
  }

  async dispose(): Promise<void> {
    await this.logTo(null)
    this.views.clear()
    this.terminal.dispose()
  }

  private flushed(): Promise<void> {
    return new Promise((resolve) => this.terminal.write('', resolve))
  }
}

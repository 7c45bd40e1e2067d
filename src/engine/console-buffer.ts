/**
 * A guest's console as the engine keeps it: a headless terminal with scrollback, so that a view can come and go and
 * every front sees the same text; any number of views, each with byte credit; and an optional log file.
 *
 *   guest's virtio console ──room()?──▶ write() ──▶ headless terminal (screen and scrollback)
 *                                          ├─────▶ view 1, at most CONSOLE_WINDOW bytes unacknowledged
 *                                          └─────▶ log file
 *
 * room() is what the guest's console device may write now: the smallest of what the views, the terminal and the log can
 * take. When it is 0 the device leaves the rest in the virtqueue, the guest waits, and nothing is lost. A view that has
 * acknowledged nothing for half a minute is asleep: it no longer counts, and when it wakes it gets the screen anew.
 */
import { createWriteStream, type WriteStream } from 'node:fs'
import { SerializeAddon } from '@xterm/addon-serialize'
import xtermHeadless from '@xterm/headless'
import { CONSOLE_WINDOW } from '../shared/frames.ts'

/** What the terminal and the log may have unfinished before the guest waits, bytes. */
const PENDING_LIMIT = 1024 * 1024

/**
 * How long a view may hold the guest without acknowledging anything, ms. A page that a laptop's lid or a browser put to sleep
 * acknowledges nothing for hours, and must not stop the guest for everybody else.
 */
const VIEW_PATIENCE_MS = 30_000
/** Empties a terminal, its scrollback too (RIS). */
const RESET = '\x1bc'

const MARKER = (text: string): string => `\r\n\x1b[0;3m── ${text} ──\x1b[0m\r\n`

export interface ConsoleView {
  readonly channel: number
  send(bytes: Uint8Array): void
}

interface ConsoleLog {
  readonly stream: WriteStream
  readonly path: string
  pending: number
}

interface AttachedView {
  readonly view: ConsoleView
  inFlight: number
  /** Runs while this view has no credit left. */
  patience: NodeJS.Timeout | null
  /** It lost our patience: it gets nothing and holds nobody until it has acknowledged what it has; then the whole screen anew. */
  asleep: boolean
}

export class ConsoleBuffer {
  private readonly terminal: InstanceType<typeof xtermHeadless.Terminal>
  private readonly serializer: SerializeAddon
  private readonly views = new Map<number, AttachedView>()
  private readonly patienceMs: number
  private pending = 0
  /** Views being attached: meanwhile the guest waits, so that the screen they get is exactly what came before. */
  private attaching = 0
  private log: ConsoleLog | null = null
  /** room() was 0 the last time it was asked, or when the last bytes came. */
  private starved = false
  /** Called when room() has grown from 0. */
  onRoom: () => void = () => {}
  onBell: () => void = () => {}
  /** The log file cannot be written any more: it was closed, and the console goes on without it. */
  onLogFailed: (path: string, error: Error) => void = () => {}

  constructor(options: { cols?: number; rows?: number; scrollback: number; patienceMs?: number }) {
    this.patienceMs = options.patienceMs ?? VIEW_PATIENCE_MS
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
    for (const { inFlight, asleep } of this.views.values())
      if (!asleep) room = Math.min(room, CONSOLE_WINDOW - inFlight)
    return Math.max(0, room)
  }

  /** Console output of the guest. Callers ask room() first; what comes is never dropped. */
  write(bytes: Uint8Array): void {
    this.pending += bytes.length
    this.terminal.write(bytes, () => {
      this.pending -= bytes.length
      this.finished()
    })
    for (const attached of this.views.values()) if (!attached.asleep) this.show(attached, bytes)
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

  private show(attached: AttachedView, bytes: Uint8Array): void {
    attached.inFlight += bytes.length
    if (attached.inFlight >= CONSOLE_WINDOW) {
      attached.patience ??= setTimeout(() => {
        attached.asleep = true
        this.finished()
      }, this.patienceMs)
    }
    attached.view.send(bytes)
  }

  /** A line of Kennel's own in the console: the guest started, crashed and why. */
  mark(text: string): void {
    this.write(new TextEncoder().encode(MARKER(text)))
  }

  /** Adds a view. Resolves with what restores its screen; everything written later is sent to it. */
  async attach(view: ConsoleView): Promise<string> {
    return this.still(() => {
      this.views.set(view.channel, { view, inFlight: 0, patience: null, asleep: false })
      return this.serializer.serialize()
    })
  }

  /** Does something while the guest waits and the terminal has taken everything that was written. */
  private async still<T>(work: () => T): Promise<T> {
    this.attaching++
    try {
      while (this.pending > 0) await this.flushed()
      return work()
    } finally {
      this.attaching--
      this.finished()
    }
  }

  detach(channel: number): void {
    const attached = this.views.get(channel)
    if (attached?.patience) clearTimeout(attached.patience)
    this.views.delete(channel)
    this.finished()
  }

  /** The view has put `bytes` more on its screen. */
  credit(channel: number, bytes: number): void {
    const attached = this.views.get(channel)
    if (!attached) return
    attached.inFlight = Math.max(0, attached.inFlight - bytes)
    if (attached.patience && bytes > 0) {
      clearTimeout(attached.patience)
      attached.patience = null
    }
    if (attached.asleep && attached.inFlight === 0) void this.wake(attached)
    this.finished()
  }

  /** A view that slept has missed output: it gets the screen and scrollback as they are now. */
  private async wake(attached: AttachedView): Promise<void> {
    await this.still(() => {
      if (this.views.get(attached.view.channel) !== attached || !attached.asleep) return
      attached.asleep = false
      this.show(attached, new TextEncoder().encode(RESET + this.serializer.serialize()))
    })
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
      const log: ConsoleLog = { stream, path, pending: 0 }
      stream.on('error', (error) => this.logFailed(log, error))
      this.log = log
    }
    return path
  }

  /** Only the log is lost: what it still had to write must not hold the guest. */
  private logFailed(log: ConsoleLog, error: Error): void {
    if (this.log !== log) return
    this.log = null
    this.finished()
    this.onLogFailed(log.path, error)
  }

  get logFile(): string | null {
    return this.log?.path ?? null
  }

  async dispose(): Promise<void> {
    await this.logTo(null)
    for (const channel of [...this.views.keys()]) this.detach(channel)
    this.terminal.dispose()
  }

  private flushed(): Promise<void> {
    return new Promise((resolve) => this.terminal.write('', resolve))
  }
}

/** The engine's log: a ring of recent lines for the app's log view, and listeners (a file, the fronts). */
import type { LogLine } from '../shared/protocol.ts'

export type LogLevel = LogLine['level']

export class Log {
  private readonly lines: LogLine[] = []
  private readonly listeners: ((line: LogLine) => void)[] = []
  private readonly capacity: number
  private readonly now: () => Date

  constructor(options: { capacity?: number; now?: () => Date } = {}) {
    this.capacity = options.capacity ?? 10_000
    this.now = options.now ?? (() => new Date())
  }

  write(level: LogLevel, topic: string, text: string): void {
    const line: LogLine = { time: this.now().toISOString(), level, topic, text }
    this.lines.push(line)
    if (this.lines.length > this.capacity) this.lines.splice(0, this.lines.length - this.capacity)
    for (const listener of this.listeners) listener(line)
  }

  info(topic: string, text: string): void {
    this.write('info', topic, text)
  }
  warn(topic: string, text: string): void {
    this.write('warn', topic, text)
  }
  error(topic: string, text: string): void {
    this.write('error', topic, text)
  }

  /** The newest `max` lines, oldest first. */
  recent(max: number): LogLine[] {
    return this.lines.slice(-max)
  }

  onLine(listener: (line: LogLine) => void): void {
    this.listeners.push(listener)
  }
}

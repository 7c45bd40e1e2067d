/** Main's own log: one line an entry, in a file that is kept below a megabyte by setting the older half aside. */
import { appendFileSync, mkdirSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'

const LIMIT_BYTES = 512 * 1024

export type MainLogLevel = 'info' | 'warn' | 'error'

export interface MainLog {
  write(level: MainLogLevel, text: string): void
}

/** Control characters could forge lines or drive the terminal that shows them. */
function oneLine(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ').trim()
}

export class FileLog implements MainLog {
  private readonly file: string
  private readonly older: string
  private readonly now: () => Date

  constructor(folder: string, now: () => Date = () => new Date()) {
    this.file = join(folder, 'main.log')
    this.older = join(folder, 'main.older.log')
    this.now = now
    try {
      mkdirSync(folder, { recursive: true })
    } catch (error) {
      console.error(`There is no log: ${String(error)}`)
    }
  }

  /** Never throws: a full disk must not stop the app. */
  write(level: MainLogLevel, text: string): void {
    const line = `${this.now().toISOString()} ${level} ${oneLine(text)}`
    if (level !== 'info') console.error(line)
    try {
      if ((statSync(this.file, { throwIfNoEntry: false })?.size ?? 0) > LIMIT_BYTES) renameSync(this.file, this.older)
      appendFileSync(this.file, `${line}\n`, { mode: 0o600 })
    } catch {
      // The line was shown above when it mattered.
    }
  }
}

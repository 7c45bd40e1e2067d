/** A JSON file that a command writes at its end (`--stats`, `--json`), opened at its beginning: nobody waits for what goes nowhere. */
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { say, UsageError } from './messages.ts'

export class ReportFile {
  private readonly what: string
  private readonly file: string
  private readonly fd: number

  /** Empties the file, or makes it. `what` is "statistics". Throws UsageError. */
  constructor(what: string, file: string) {
    this.what = what
    this.file = file
    try {
      this.fd = openSync(file, 'w')
    } catch (error) {
      throw new UsageError(`The ${what} cannot be written to ${file}: ${why(error)}.`)
    }
  }

  /** Once, at the end. False, and said, when it is impossible. */
  write(report: unknown): boolean {
    try {
      writeFileSync(this.fd, `${JSON.stringify(report, null, 2)}\n`)
      return true
    } catch (error) {
      say(`the ${this.what} could not be written to ${this.file}: ${why(error)}`)
      return false
    } finally {
      closeSync(this.fd)
    }
  }
}

function why(error: unknown): string {
  const code = (error as { code?: string }).code
  if (code === 'ENOENT') return 'its folder does not exist'
  if (code === 'EISDIR') return 'it is a folder'
  if (code === 'EACCES' || code === 'EROFS') return 'you may not write there'
  return error instanceof Error ? error.message : String(error)
}

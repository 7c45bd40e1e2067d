/** A disk that is a file: the backend of `--disk` and of the library's guests. Reads and writes are synchronous, so a guest's flush means what it says. */
import { closeSync, fstatSync, fsyncSync, openSync, readSync, statSync, writeSync } from 'node:fs'
import type { BlockBackend } from '../emu/index.ts'
import { EngineError } from './errors.ts'

const SECTOR = 512

export class FileDisk implements BlockBackend {
  readonly size: number
  readonly readOnly: boolean
  readonly path: string
  /** The same for two names of one file. */
  readonly identity: string
  private readonly fd: number

  /** Throws EngineError when the file cannot be a disk. */
  constructor(file: string, readOnly: boolean) {
    this.path = file
    this.readOnly = readOnly
    try {
      // A FIFO would hold the opening for ever.
      if (statSync(file).isFIFO()) throw new EngineError('unusable', `The disk ${file} is not a file.`)
      this.fd = openSync(file, readOnly ? 'r' : 'r+')
    } catch (error) {
      if (error instanceof EngineError) throw error
      throw new EngineError('unusable', whyNot(file, readOnly, error))
    }
    const stat = fstatSync(this.fd)
    if (!stat.isFile() || stat.size < SECTOR) {
      closeSync(this.fd)
      throw new EngineError(
        'unusable',
        stat.isFile()
          ? `The disk ${file} is smaller than one sector of 512 bytes. Make it larger, for example with “truncate -s 8M ${file}”.`
          : `The disk ${file} is not a file.`,
      )
    }
    this.size = stat.size
    this.identity = `${stat.dev}:${stat.ino}`
  }

  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    let done = 0
    while (done < length) {
      const got = readSync(this.fd, bytes, done, length - done, offset + done)
      if (got === 0) break // the file has become shorter: zeros
      done += got
    }
    return bytes
  }

  write(offset: number, bytes: Uint8Array): void {
    let done = 0
    while (done < bytes.length) done += writeSync(this.fd, bytes, done, bytes.length - done, offset + done)
  }

  flush(): void {
    if (!this.readOnly) fsyncSync(this.fd)
  }

  /** Throws when the last bytes cannot be written; it is closed anyway. */
  close(): void {
    try {
      this.flush()
    } finally {
      closeSync(this.fd)
    }
  }
}

function whyNot(file: string, readOnly: boolean, error: unknown): string {
  const code = (error as { code?: string }).code
  if (code === 'ENOENT') return `The disk ${file} does not exist. Make one, for example with “truncate -s 8M ${file}”.`
  if (code === 'EISDIR') return `The disk ${file} is a folder, not a file.`
  if (code === 'EACCES' || code === 'EROFS') {
    return readOnly
      ? `You may not read the disk ${file}.`
      : `You may not write to the disk ${file}. Use it read-only (“--disk ${file},ro”), or choose another.`
  }
  return `The disk ${file} cannot be opened: ${error instanceof Error ? error.message : String(error)}.`
}

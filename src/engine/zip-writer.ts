/**
 * Writes a zip file entry by entry with yazl, each compressed by zlib's own threads in pieces: the engine goes on meanwhile, and no file is
 * ever whole in memory. What has more than 4 GiB becomes Zip64.
 */
import { open, type FileHandle } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { ZipFile } from 'yazl'
import { EngineError } from './errors.ts'
import type { CopyOptions } from './file-copy.ts'

/** When a guest was packed is nobody's business, and equal guests give equal archives. (The format's time is a local one.) */
const ENTRY = { mtime: new Date(1980, 0, 1), forceDosTimestamp: true }

export class ZipWriter {
  private readonly file: FileHandle
  private readonly zip = new ZipFile()
  private readonly stop = new AbortController()
  /** Everything yazl makes is in the file; rejects as soon as it cannot be written. */
  private readonly written: Promise<void>

  private constructor(file: FileHandle) {
    this.file = file
    const write = async (pieces: AsyncIterable<string | Uint8Array>): Promise<void> => {
      for await (const piece of pieces) await file.writeFile(piece)
    }
    this.written = pipeline(this.zip.outputStream, write, { signal: this.stop.signal })
    // Whoever waits for it is told; nobody may be waiting.
    this.written.catch(() => undefined)
  }

  /** Makes the file; it must not be there yet. */
  static async create(path: string): Promise<ZipWriter> {
    return new ZipWriter(await open(path, 'wx', 0o600))
  }

  /**
   * Adds an entry; `contents` has been read when it resolves. Throws EngineError 'cancelled' when the signal fires; the file is then of no
   * use.
   */
  async add(name: string, contents: FileHandle | Uint8Array, { signal, copied }: CopyOptions = {}): Promise<void> {
    const pieces =
      contents instanceof Uint8Array ? [contents] : contents.createReadStream({ autoClose: false, start: 0 })
    const measured = async function* (): AsyncGenerator<Uint8Array> {
      for await (const piece of pieces as AsyncIterable<Uint8Array>) {
        copied?.(piece.length)
        yield piece
      }
    }
    const source = Readable.from(measured(), { objectMode: false })
    this.zip.addReadStream(source, name, ENTRY)
    try {
      // yazl passes on no error of what it reads or writes: both are watched here.
      await Promise.race([finished(source, signal === undefined ? {} : { signal }), this.written])
    } catch (error) {
      source.destroy()
      if (signal?.aborted === true) throw new EngineError('cancelled', 'It was cancelled.')
      throw error
    }
  }

  /** Writes the directory and closes the file. */
  async finish(): Promise<void> {
    this.zip.end()
    await this.written
    await this.file.sync()
    await this.file.close()
  }

  /** Gives up: closes the file, which is of no use. */
  async abandon(): Promise<void> {
    this.stop.abort()
    await this.written.catch(() => undefined)
    await this.file.close().catch(() => undefined)
  }
}

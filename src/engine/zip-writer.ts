/**
 * Writes a zip file entry by entry (PKWARE's APPNOTE.TXT 6.3, sections 4.3 and 4.4), each compressed by zlib's own threads in pieces: the
 * engine goes on meanwhile, and no file is ever whole in memory. Sizes are written into an entry's head afterwards, which every reader
 * understands. No Zip64: what has more than 4 GiB is refused.
 *
 *     head, name, contents  ...  | directory: one record an entry | end record
 */
import { open, type FileHandle } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { crc32, createDeflateRaw } from 'node:zlib'
import { EngineError } from './errors.ts'
import type { CopyOptions } from './file-copy.ts'
import { DIRECTORY_RECORD, END_RECORD, HEAD, LARGEST, METHOD_DEFLATE, UTF8_NAMES, VERSION } from './zip-format.ts'

interface Written {
  readonly name: Buffer
  readonly crc: number
  readonly compressed: number
  readonly size: number
  readonly offset: number
}

export class ZipWriter {
  private readonly file: FileHandle
  private readonly entries: Written[] = []
  private position = 0

  private constructor(file: FileHandle) {
    this.file = file
  }

  /** Makes the file; it must not be there yet. */
  static async create(path: string): Promise<ZipWriter> {
    return new ZipWriter(await open(path, 'wx', 0o600))
  }

  /** Adds an entry. Throws EngineError 'cancelled' when the signal fires; the file is then of no use. */
  async add(name: string, contents: FileHandle | Uint8Array, { signal, copied }: CopyOptions = {}): Promise<void> {
    const nameBytes = Buffer.from(name, 'utf8')
    const offset = this.position
    this.position += HEAD.size + nameBytes.length
    const start = this.position
    let crc = 0
    let size = 0
    const source =
      contents instanceof Uint8Array ? [contents] : contents.createReadStream({ autoClose: false, start: 0 })
    const measured = async function* (): AsyncGenerator<Uint8Array> {
      for await (const piece of source as AsyncIterable<Uint8Array>) {
        crc = crc32(piece, crc)
        size += piece.length
        copied?.(piece.length)
        yield piece
      }
    }
    const write = async (compressed: AsyncIterable<Uint8Array>): Promise<void> => {
      for await (const piece of compressed) await this.write(piece)
    }
    try {
      await pipeline(measured, createDeflateRaw({ level: 6 }), write, signal === undefined ? {} : { signal })
    } catch (error) {
      if (signal?.aborted === true) throw new EngineError('cancelled', 'It was cancelled.')
      throw error
    }
    const written: Written = { name: nameBytes, crc, compressed: this.position - start, size, offset }
    if (Math.max(this.position, size) > LARGEST) {
      throw new EngineError('unusable', 'The guest has more than 4 GiB of files: an archive cannot hold it.')
    }
    const head = Buffer.alloc(HEAD.size)
    head.writeUInt32LE(HEAD.signature, 0)
    describe(head, 4, written)
    await this.file.write(Buffer.concat([head, nameBytes]), 0, HEAD.size + nameBytes.length, offset)
    this.entries.push(written)
  }

  /** Writes the directory and closes the file. */
  async finish(): Promise<void> {
    const start = this.position
    for (const entry of this.entries) {
      const record = Buffer.alloc(DIRECTORY_RECORD.size)
      record.writeUInt32LE(DIRECTORY_RECORD.signature, 0)
      record.writeUInt16LE(VERSION, 4)
      describe(record, 6, entry)
      record.writeUInt32LE(entry.offset, 42)
      await this.write(Buffer.concat([record, entry.name]))
    }
    const end = Buffer.alloc(END_RECORD.size)
    end.writeUInt32LE(END_RECORD.signature, 0)
    end.writeUInt16LE(this.entries.length, 8)
    end.writeUInt16LE(this.entries.length, 10)
    end.writeUInt32LE(this.position - start, 12)
    end.writeUInt32LE(start, 16)
    await this.write(end)
    await this.file.sync()
    await this.file.close()
  }

  /** Gives up: closes the file, which is of no use. */
  async abandon(): Promise<void> {
    await this.file.close().catch(() => undefined)
  }

  private async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      done += (await this.file.write(bytes, done, bytes.length - done, this.position + done)).bytesWritten
    }
    this.position += bytes.length
  }
}

/** The fields a head and a directory record have in common, in the same order. */
function describe(into: Buffer, at: number, { name, crc, compressed, size }: Written): void {
  into.writeUInt16LE(VERSION, at)
  into.writeUInt16LE(UTF8_NAMES, at + 2)
  into.writeUInt16LE(METHOD_DEFLATE, at + 4)
  // Time 0, 1 January 1980: when a guest was packed is nobody's business, and equal guests give equal archives.
  into.writeUInt16LE(0, at + 6)
  into.writeUInt16LE(0x21, at + 8)
  into.writeUInt32LE(crc, at + 10)
  into.writeUInt32LE(compressed, at + 14)
  into.writeUInt32LE(size, at + 18)
  into.writeUInt16LE(name.length, at + 22)
}

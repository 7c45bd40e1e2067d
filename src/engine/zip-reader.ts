/**
 * Reads a zip file by its directory, entry by entry and in pieces: yauzl, and what it leaves to its user. The file comes from anywhere, so
 * nothing in it is believed: entries may not share bytes (that is how small files unpack to endless ones), and what is unpacked must have
 * exactly the length and the checksum that were promised.
 */
import type { FileHandle } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { crc32 } from 'node:zlib'
import { fromRandomAccessReaderPromise, RandomAccessReader, type Entry, type ZipFile } from 'yauzl'
import { EngineError } from './errors.ts'
import { openRegular } from './file-copy.ts'

export interface ZipEntry {
  readonly name: string
  /** Bytes when unpacked. */
  readonly size: number
  readonly record: Entry
}

/** The fixed parts of an entry's head, a directory's record and the end record (APPNOTE.TXT 6.3, 4.3.7, 4.3.12, 4.3.16). */
const HEAD_SIZE = 30
const RECORD_SIZE = 46
const END_SIZE = 22
/** Longer directories are not ours: 64 entries with long names have a tenth of it. */
const LONGEST_DIRECTORY = 1024 * 1024
const PIECE = 64 * 1024

/** It is no zip file, or not a whole one. */
export class DamagedZip extends Error {}

/**
 * What yauzl reads from. Not its own reader of descriptors: a Zip64 place beyond 2^53 makes that one throw where nobody can catch it, and
 * the file stays its handle's to close.
 */
class HandleReader extends RandomAccessReader {
  private readonly file: FileHandle

  constructor(file: FileHandle) {
    super()
    this.file = file
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    if (!Number.isSafeInteger(position)) return void setImmediate(callback, new DamagedZip('a place is outside it'))
    this.file.read(buffer, offset, length, position).then(
      ({ bytesRead }) => callback(bytesRead === length ? null : new DamagedZip('it ends too early')),
      (error: unknown) => callback(error as Error),
    )
  }

  override _readStreamForRange(start: number, end: number): Readable {
    return Readable.from(piecesOf(this.file, start, end), { objectMode: false })
  }
}

export class ZipReader {
  readonly entries: readonly ZipEntry[]
  private readonly file: FileHandle
  private readonly zip: ZipFile

  private constructor(file: FileHandle, zip: ZipFile, entries: readonly ZipEntry[]) {
    this.file = file
    this.zip = zip
    this.entries = entries
  }

  /** Throws DamagedZip, and EngineError 'unusable' for what is well made but not read here. */
  static async open(path: string): Promise<ZipReader> {
    const file = await openRegular(path)
    try {
      const { size } = await file.stat()
      // Names are decoded here: yauzl would refuse some with sentences of its own, or make others of them.
      const options = { decodeStrings: false, autoClose: false }
      const zip = await fromRandomAccessReaderPromise(new HandleReader(file), size, options)
      return new ZipReader(file, zip, await readDirectory(zip))
    } catch (error) {
      await file.close()
      throw asDamage(error)
    }
  }

  async close(): Promise<void> {
    await this.file.close()
  }

  /** Unpacks an entry, piece by piece. Throws DamagedZip when it is not what the directory says. */
  async extract(entry: ZipEntry, write: (piece: Uint8Array) => Promise<void>, signal?: AbortSignal): Promise<void> {
    let size = 0
    let crc = 0
    let writing = false
    const take = async (pieces: AsyncIterable<Uint8Array>): Promise<void> => {
      for await (const piece of pieces) {
        size += piece.length
        crc = crc32(piece, crc)
        writing = true
        await write(piece)
        writing = false
      }
    }
    try {
      const unpacked = await this.zip.openReadStreamPromise(entry.record)
      await pipeline(unpacked, take, signal === undefined ? {} : { signal })
    } catch (error) {
      if (signal?.aborted === true) throw new EngineError('cancelled', 'It was cancelled.')
      throw writing ? error : asDamage(error)
    }
    if (size !== entry.size || crc !== entry.record.crc32) throw new DamagedZip('an entry is not what it was')
  }
}

async function* piecesOf(file: FileHandle, start: number, end: number): AsyncGenerator<Uint8Array> {
  for (let at = start; at < end;) {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(Math.min(PIECE, end - at)), { position: at })
    if (bytesRead === 0) throw new DamagedZip('it ends too early')
    yield buffer.subarray(0, bytesRead)
    at += bytesRead
  }
}

async function readDirectory(zip: ZipFile): Promise<ZipEntry[]> {
  const entries: ZipEntry[] = []
  let length = 0
  for await (const record of zip.eachEntry()) {
    length += RECORD_SIZE + record.fileNameLength + record.extraFieldLength + record.fileCommentLength
    if (length > LONGEST_DIRECTORY) throw new DamagedZip('its directory is too long')
    const name = record.fileNameRaw.toString('utf8')
    if (record.isEncrypted()) throw new EngineError('unusable', 'The archive is encrypted.')
    if (!record.canDecodeFileData()) {
      throw new EngineError('unusable', `“${name}” is packed in a way Kennel does not know.`)
    }
    entries.push({ name, size: record.uncompressedSize, record })
  }
  assertApart(entries, zip.fileSize - zip.comment.length - END_SIZE - length)
  return entries
}

/** Each entry has bytes of its own, before the directory. */
function assertApart(entries: readonly ZipEntry[], directory: number): void {
  const heads = entries.map(({ record }) => ({ at: record.relativeOffsetOfLocalHeader, packed: record.compressedSize }))
  let end = directory
  for (const { at, packed } of heads.sort((a, b) => b.at - a.at)) {
    if (at + HEAD_SIZE + packed > end) throw new DamagedZip('its entries are not side by side')
    end = at
  }
}

/** What yauzl and zlib find wrong with a file has no code of the system's or of ours. */
function asDamage(error: unknown): unknown {
  const { code, message } = error as { code?: unknown; message: string }
  if (message === 'strong encryption is not supported') return new EngineError('unusable', 'The archive is encrypted.')
  if (error instanceof DamagedZip || (typeof code === 'string' && !code.startsWith('Z_'))) return error
  return new DamagedZip(message)
}

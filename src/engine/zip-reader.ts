/**
 * Reads a zip file by its directory, entry by entry and in pieces. The file comes from anywhere, so nothing in it is believed: places and
 * lengths must lie inside it, entries may not share bytes (that is how small files unpack to endless ones), and what is unpacked must
 * have exactly the length and the checksum that were promised.
 */
import type { FileHandle } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { crc32, createInflateRaw } from 'node:zlib'
import { EngineError } from './errors.ts'
import { openRegular } from './file-copy.ts'
import { DIRECTORY_RECORD, ENCRYPTED, END_RECORD, HEAD, LARGEST, METHOD_DEFLATE, METHOD_STORE } from './zip-format.ts'

export interface ZipEntry {
  readonly name: string
  /** Bytes when unpacked. */
  readonly size: number
  readonly compressed: number
  readonly crc: number
  readonly method: number
  /** Where its head is. */
  readonly offset: number
}

/** A comment may follow the end record. */
const LONGEST_COMMENT = 0xffff
/** Longer directories are not ours: 64 entries with long names have a tenth of it. */
const LONGEST_DIRECTORY = 1024 * 1024

/** It is no zip file, or not a whole one. */
export class DamagedZip extends Error {}

export class ZipReader {
  readonly entries: readonly ZipEntry[]
  private readonly file: FileHandle

  private constructor(file: FileHandle, entries: readonly ZipEntry[]) {
    this.file = file
    this.entries = entries
  }

  /** Throws DamagedZip, and EngineError 'unusable' for what is well made but not read here. */
  static async open(path: string): Promise<ZipReader> {
    const file = await openRegular(path)
    try {
      return new ZipReader(file, await readDirectory(file))
    } catch (error) {
      await file.close()
      throw error
    }
  }

  async close(): Promise<void> {
    await this.file.close()
  }

  /** Unpacks an entry, piece by piece. Throws DamagedZip when it is not what the directory says. */
  async extract(entry: ZipEntry, write: (piece: Uint8Array) => Promise<void>, signal?: AbortSignal): Promise<void> {
    const head = await readAt(this.file, entry.offset, HEAD.size)
    if (head.readUInt32LE(0) !== HEAD.signature) throw new DamagedZip('an entry does not begin where it should')
    const start = entry.offset + HEAD.size + head.readUInt16LE(26) + head.readUInt16LE(28)
    let size = 0
    let crc = 0
    const take = async (pieces: AsyncIterable<Uint8Array>): Promise<void> => {
      for await (const piece of pieces) {
        size += piece.length
        if (size > entry.size) throw new DamagedZip('an entry is longer than it says')
        crc = crc32(piece, crc)
        await write(piece)
      }
    }
    const packed =
      entry.compressed === 0
        ? []
        : this.file.createReadStream({ autoClose: false, start, end: start + entry.compressed - 1 })
    const options = signal === undefined ? {} : { signal }
    try {
      if (entry.method === METHOD_STORE) await pipeline(packed, take, options)
      else await pipeline(packed, createInflateRaw(), take, options)
    } catch (error) {
      if (signal?.aborted === true) throw new EngineError('cancelled', 'It was cancelled.')
      const { code } = error as { code?: unknown }
      if (typeof code === 'string' && code.startsWith('Z_')) throw new DamagedZip('an entry cannot be unpacked')
      throw error
    }
    if (size !== entry.size || crc !== entry.crc) throw new DamagedZip('an entry is not what it was')
  }
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  const { bytesRead } = await file.read(bytes, 0, length, position)
  if (bytesRead !== length) throw new DamagedZip('it ends too early')
  return bytes
}

async function readDirectory(file: FileHandle): Promise<ZipEntry[]> {
  const { size } = await file.stat()
  if (size < END_RECORD.size) throw new DamagedZip('it is too short')
  const tailLength = Math.min(size, END_RECORD.size + LONGEST_COMMENT)
  const tail = await readAt(file, size - tailLength, tailLength)
  let at = tail.length - END_RECORD.size
  while (at >= 0 && tail.readUInt32LE(at) !== END_RECORD.signature) at--
  if (at < 0) throw new DamagedZip('it has no directory')
  const count = tail.readUInt16LE(at + 10)
  const length = tail.readUInt32LE(at + 12)
  const start = tail.readUInt32LE(at + 16)
  if (start > LARGEST) throw new EngineError('unusable', 'The archive is too large.')
  if (length > LONGEST_DIRECTORY || start + length > size) throw new DamagedZip('its directory is not inside it')
  const directory = await readAt(file, start, length)
  const entries: ZipEntry[] = []
  for (let n = 0, p = 0; n < count; n++) {
    if (p + DIRECTORY_RECORD.size > length || directory.readUInt32LE(p) !== DIRECTORY_RECORD.signature) {
      throw new DamagedZip('its directory is damaged')
    }
    const nameLength = directory.readUInt16LE(p + 28)
    const next =
      p + DIRECTORY_RECORD.size + nameLength + directory.readUInt16LE(p + 30) + directory.readUInt16LE(p + 32)
    if (next > length) throw new DamagedZip('its directory is damaged')
    if ((directory.readUInt16LE(p + 8) & ENCRYPTED) !== 0)
      throw new EngineError('unusable', 'The archive is encrypted.')
    const name = directory.toString('utf8', p + DIRECTORY_RECORD.size, p + DIRECTORY_RECORD.size + nameLength)
    const entry: ZipEntry = {
      name,
      method: directory.readUInt16LE(p + 10),
      crc: directory.readUInt32LE(p + 16),
      compressed: directory.readUInt32LE(p + 20),
      size: directory.readUInt32LE(p + 24),
      offset: directory.readUInt32LE(p + 42),
    }
    if (Math.max(entry.compressed, entry.size, entry.offset) > LARGEST) {
      throw new EngineError('unusable', 'The archive is too large.')
    }
    if (entry.method !== METHOD_STORE && entry.method !== METHOD_DEFLATE) {
      throw new EngineError('unusable', `“${name}” is packed in a way Kennel does not know.`)
    }
    entries.push(entry)
    p = next
  }
  assertApart(entries, start)
  return entries
}

/** Each entry has bytes of its own, before the directory. */
function assertApart(entries: readonly ZipEntry[], directory: number): void {
  let end = directory
  for (const { offset, compressed } of [...entries].sort((a, b) => b.offset - a.offset)) {
    if (offset + HEAD.size + compressed > end) throw new DamagedZip('its entries are not side by side')
    end = offset
  }
}

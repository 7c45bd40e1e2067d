/**
 * Copies of large files: in pieces, so that the engine goes on with everything else; with progress; given up when asked to; and with
 * holes where a disk is empty, so that 2 GiB of nothing take no room in the copy either.
 */
import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { EngineError } from './errors.ts'

export interface CopyOptions {
  readonly signal?: AbortSignal | undefined
  /** Told after each piece, with its length. */
  readonly copied?: ((bytes: number) => void) | undefined
}

const PIECE = 1024 * 1024
const HOLE = Buffer.alloc(64 * 1024)

export function assertNotAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new EngineError('cancelled', 'It was cancelled.')
}

/** Opens a file for reading. A FIFO does not hold it up, and only a regular file is a file here: a device may have no end. */
export async function openRegular(path: string): Promise<FileHandle> {
  const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
  const stat = await handle.stat()
  if (stat.isFile()) return handle
  await handle.close()
  throw new EngineError('unusable', `${path} is not a file.`)
}

/** Writes to a file from its beginning; pieces of zeros become holes. `finish` gives it its full length. */
export class SparseWriter {
  private readonly handle: FileHandle
  /** Bytes written so far, holes included. */
  length = 0

  constructor(handle: FileHandle) {
    this.handle = handle
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += HOLE.length) {
      const part = bytes.subarray(at, at + HOLE.length)
      if (Buffer.compare(part, HOLE.subarray(0, part.length)) !== 0) {
        for (let done = 0; done < part.length;) {
          done += (await this.handle.write(part, done, part.length - done, this.length + done)).bytesWritten
        }
      }
      this.length += part.length
    }
  }

  /** Everything is on the disk when it resolves. */
  async finish(): Promise<void> {
    await this.handle.truncate(this.length)
    await this.handle.sync()
  }
}

/** Copies the file `from` over the contents of `to`, which must exist. */
export async function copyInto(from: string, to: string, { signal, copied }: CopyOptions = {}): Promise<void> {
  const source = await openRegular(from)
  try {
    const target = await open(to, 'r+')
    try {
      await target.truncate(0)
      const writer = new SparseWriter(target)
      const piece = Buffer.alloc(PIECE)
      for (;;) {
        assertNotAborted(signal)
        const { bytesRead } = await source.read(piece, 0, PIECE, writer.length)
        if (bytesRead === 0) break
        await writer.write(piece.subarray(0, bytesRead))
        copied?.(bytesRead)
      }
      await writer.finish()
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
}

/**
 * What a disk is made of, as the block device sees it; and the simplest one, in memory. The file behind `--disk` is a backend of the
 * command line's and the engine's, because src/emu knows no files.
 */

export interface BlockBackend {
  /** Bytes; only whole sectors of it can be used. */
  readonly size: number
  readonly readOnly: boolean
  /** All three may throw: the guest sees an I/O error. Offsets and lengths are inside `size`. */
  read(offset: number, length: number): Uint8Array
  write(offset: number, bytes: Uint8Array): void
  /** Returns when everything written is safe. */
  flush(): void
}

/** A disk in memory, gone with the process. */
export class MemoryDisk implements BlockBackend {
  readonly bytes: Uint8Array
  readonly readOnly: boolean
  flushes: number

  constructor(bytes: Uint8Array, readOnly = false) {
    this.bytes = bytes
    this.readOnly = readOnly
    this.flushes = 0
  }

  get size(): number {
    return this.bytes.length
  }

  read(offset: number, length: number): Uint8Array {
    return this.bytes.slice(offset, offset + length)
  }

  write(offset: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, offset)
  }

  flush(): void {
    this.flushes++
  }
}

/** Bytes of emulated memory as a dump shows them. */
import type { MemoryChunk } from '@shared/inspect'
import { fromBase64 } from './files'

const PAGE_SIZE = 4096

/** The bytes of a chunk; null for each byte of a page that is not there. */
export function readChunk(chunk: MemoryChunk): (number | null)[] {
  const bytes = fromBase64(chunk.bytes)
  const first = Math.floor(chunk.address / PAGE_SIZE)
  return Array.from(bytes, (byte, i) => {
    const page = Math.floor((chunk.address + i) / PAGE_SIZE) - first
    return chunk.mapped[page] ? byte : null
  })
}

/** The little-endian word at an offset, or null when a byte of it is not there. */
export function wordAt(bytes: readonly (number | null)[], offset: number): number | null {
  let word = 0
  for (let i = 3; i >= 0; i--) {
    const byte = bytes[offset + i]
    if (byte === null || byte === undefined) return null
    word = word * 256 + byte
  }
  return word
}

/** A byte as the right-hand column of a dump shows it. */
export function asText(byte: number | null): string {
  if (byte === null) return ' '
  return byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.'
}

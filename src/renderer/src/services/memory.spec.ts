import { describe, expect, it } from 'vitest'
import { toBase64 } from './files'
import { asText, readChunk, wordAt } from './memory'

describe('a chunk of memory', () => {
  it('has no bytes where a page is not there, by the page and not by the chunk', () => {
    const bytes = toBase64(Uint8Array.of(1, 2, 3, 4, 5, 6))
    expect(readChunk({ address: 0x1ffd, bytes, mapped: [true, false] })).toEqual([1, 2, 3, null, null, null])
    expect(readChunk({ address: 0x1ffd, bytes, mapped: [false, true] })).toEqual([null, null, null, 4, 5, 6])
  })
  it('has unsigned little-endian words', () => {
    expect(wordAt([0x78, 0x56, 0x34, 0xf2], 0)).toBe(0xf2345678)
    expect(wordAt([0x78, 0x56, null, 0xf2], 0)).toBeNull()
    expect(wordAt([1, 2, 3], 0)).toBeNull()
  })
  it('shows what can be printed', () => {
    expect([0x41, 0x0a, 0x7f, null].map(asText)).toEqual(['A', '.', '.', ' '])
  })
})

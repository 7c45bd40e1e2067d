import { describe, expect, it } from 'vitest'
import { readSymbols } from './symbols.ts'

const text = (s: string): Uint8Array => new TextEncoder().encode(s)

describe('readSymbols', () => {
  it('reads a System.map and names addresses between symbols', () => {
    const table = readSymbols(text('c0100000 T startup_32\nc0100200 t helper\n00000010 A absolute\nnot a line\n'))
    expect(table?.size).toBe(2)
    expect(table?.describe(0xc0100000)).toBe('startup_32')
    expect(table?.describe(0xc01001ff)).toBe('startup_32+0x1ff')
    expect(table?.describe(0xc0100210)).toBe('helper+0x10')
    expect(table?.describe(0xc00fffff)).toBeNull()
    expect(table?.describe(0xd0000000)).toBeNull()
    expect(table?.addressOf('helper')).toBe(0xc0100200)
  })

  it('reads an ELF symbol table', () => {
    const file = new Uint8Array(52 + 3 * 40 + 32 + 16)
    const view = new DataView(file.buffer)
    file.set([0x7f, 0x45, 0x4c, 0x46, 1, 1])
    view.setUint32(32, 52, true)
    view.setUint16(46, 40, true)
    view.setUint16(48, 3, true)
    const symtab = 52 + 3 * 40
    const section = (index: number, type: number, offset: number, size: number, link: number): void => {
      const at = 52 + index * 40
      view.setUint32(at + 4, type, true)
      view.setUint32(at + 16, offset, true)
      view.setUint32(at + 20, size, true)
      view.setUint32(at + 24, link, true)
    }
    section(1, 2, symtab, 32, 2)
    section(2, 3, symtab + 32, 16, 0)
    view.setUint32(symtab + 16, 1, true)
    view.setUint32(symtab + 20, 0xc0101000, true)
    file[symtab + 28] = 2
    view.setUint16(symtab + 30, 1, true)
    file.set(text('\0schedule\0'), symtab + 32)
    expect(readSymbols(file)?.describe(0xc0101004)).toBe('schedule+0x4')
  })

  it.each([
    ['nothing', new Uint8Array(0)],
    ['noise', Uint8Array.from({ length: 300 }, (_, i) => (i * 37) & 0xff)],
    ['an ELF header and no more', Uint8Array.from([0x7f, 0x45, 0x4c, 0x46, 1, 1, ...new Array<number>(60).fill(0xff)])],
  ])('finds no symbols in %s', (_what, bytes) => {
    expect(readSymbols(bytes)).toBeNull()
  })
})

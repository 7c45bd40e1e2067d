import { describe, expect, it } from 'vitest'
import { LGUEST_PAGES_state, LguestRoState } from '../../layout/lguest-pages.ts'
import { lguestPages, lguestPagesPte, SWITCHER_ADDR, switcherTexts } from './switcher.ts'

describe('the Switcher text', () => {
  it.each([0, 1])('variant %i fits its page, begins at the entry and has 256 stubs', (variant) => {
    const text = switcherTexts()[variant]
    expect(text.bytes.length).toBeLessThanOrEqual(4096)
    expect(text.entry).toBe(SWITCHER_ADDR + variant * 4096)
    expect(new Set(text.stubs).size).toBe(256)
    expect(Math.max(...text.stubs)).toBeLessThan(SWITCHER_ADDR + variant * 4096 + text.bytes.length)
  })

  it('pushes an error code for every vector but those that have one', () => {
    const { bytes, stubs } = switcherTexts()[0]
    const withoutZero = stubs.flatMap((stub, vector) => {
      const at = stub - SWITCHER_ADDR
      return bytes[at] === 0x6a && bytes[at + 1] === 0 && (vector !== 0 || bytes[at + 2] === 0x6a) ? [] : [vector]
    })
    expect(withoutZero).toEqual([8, 10, 11, 12, 13, 14, 17])
  })

  it('the two register orders differ only in their pops and pushes', () => {
    const [c, a] = switcherTexts()
    const size = (text: typeof c): number => text.labels['default_idt_stubs'] - text.entry
    expect(size(c)).toBe(size(a))
  })

  it('uses the offsets the layout gives', () => {
    expect(LGUEST_PAGES_state + LguestRoState.offset.host_cr3).toBe(0x1000)
    expect(LGUEST_PAGES_state + LguestRoState.offset.guest_gdt + 16 * 8 + 5).toBe(0x1000 + 0x90d)
  })

  it('pairs follow the text, two pages a CPU', () => {
    expect(lguestPages(0)).toBe(SWITCHER_ADDR + 0x2000)
    expect(lguestPages(3)).toBe(SWITCHER_ADDR + 0x8000)
    expect(lguestPagesPte(3)).toBe(8)
  })
})

import { describe, expect, it } from 'vitest'
import { LHCALL } from '../layout/lguest-data.ts'
import { GUEST_KERNEL_DS, LguestRoState } from '../layout/lguest-pages.ts'
import { fakeHypervisor, hcall, hcallA, newGuestA, newGuestC, trap } from '../testing/fake-host.ts'
import { buildPageTables, initGuest, initGuestA } from '../testing/guest-memory.ts'
import { CHANGED_GDT, CHANGED_GDT_TLS, deadReason, type Guest, lgwrite32 } from './guest.ts'
import { copyGdt, copyGdtTls, ignoredGdt } from './segments.ts'

const FLAT_DATA = 0x00cf9200
const FLAT_CODE = 0x00cf9a00
const { hv } = fakeHypervisor(1)

function guestC(): Guest {
  const lg = newGuestC(hv)
  trap(lg, 32)
  initGuest(lg)
  return lg
}

/** A Guest of era A whose table at 0x5000 has flat kernel segments; `set` changes it before LOAD_GDT. */
function loadGdtA(
  entries: Record<number, readonly [number, number]>,
  count = 32,
  regs: Record<string, number> = {},
): Guest {
  const lg = newGuestA(hv)
  buildPageTables(lg, 0x3000)
  trap(lg, 32)
  initGuestA(lg)
  for (let i = 0; i < 32; i++) {
    const [a, b] = entries[i] ?? (i === 12 ? [0xffff, FLAT_CODE] : i === 13 ? [0xffff, FLAT_DATA] : [0, 0])
    lgwrite32(lg, 0x5000 + i * 8, a)
    lgwrite32(lg, 0x5000 + i * 8 + 4, b)
  }
  trap(lg, 32, regs)
  hcallA(lg, LHCALL.LOAD_GDT, 0x5000, count)
  return lg
}

describe('a new Guest', () => {
  it('has flat kernel segments of ring 1 and nothing else', () => {
    const lg = newGuestC(hv)
    expect(lg.gdtEntry(12)).toEqual({ a: 0xffff, b: 0x00cfbb00 })
    expect(lg.gdtEntry(13)).toEqual({ a: 0xffff, b: 0x00cfb300 })
    expect(lg.gdtEntry(14)).toEqual({ a: 0, b: 0 })
  })
})

describe('LOAD_GDT_ENTRY', () => {
  it('makes ring 0 ring 1, sets the accessed bit, keeps ring 3', () => {
    const lg = guestC()
    lg.s.changed = 0
    hcall(lg, LHCALL.LOAD_GDT_ENTRY, 20, 0x1234ffff, FLAT_DATA)
    expect(lg.gdtEntry(20)).toEqual({ a: 0x1234ffff, b: 0x00cfb300 })
    hcall(lg, LHCALL.LOAD_GDT_ENTRY, 15, 0xffff, 0x00cff200)
    expect(lg.gdtEntry(15).b).toBe(0x00cff300)
  })

  it('lets no system descriptor be used', () => {
    const lg = guestC()
    // A call gate of DPL 1 to LGUEST_CS would be a door to ring 0.
    hcall(lg, LHCALL.LOAD_GDT_ENTRY, 21, 0x00500000, 0x0000ac00)
    expect(lg.gdtEntry(21).b & 0x8000).toBe(0)
    expect(lg.dead).toBe(false)
  })

  it('kills for an index outside the table', () => {
    const lg = guestC()
    hcall(lg, LHCALL.LOAD_GDT_ENTRY, 32, 0, 0)
    expect(deadReason(lg)).toBe('too many gdt entries 32')
  })

  it('keeps but never copies the Host entries', () => {
    expect([...Array(32).keys()].filter(ignoredGdt)).toEqual([10, 11, 16, 31])
    const lg = guestC()
    hcall(lg, LHCALL.LOAD_GDT_ENTRY, 10, 1, 2)
    expect(lg.gdtEntry(10)).toEqual({ a: 1, b: 2 })
    const gdt = hv.cpu(0).page1 + LguestRoState.offset.guest_gdt
    const before = hv.mem.readBytes(gdt + 10 * 8, 8)
    expect(copyGdt(lg, gdt)).toBe(28 * 8)
    expect(hv.mem.readBytes(gdt + 10 * 8, 8)).toEqual(before)
    expect(hv.mem.read32(gdt + 12 * 8 + 4)).toBe(0x00cfbb00)
  })

  it('clears es, fs and gs that hold a removed entry', () => {
    const lg = guestC()
    for (const entry of [20, 21, 22]) hcall(lg, LHCALL.LOAD_GDT_ENTRY, entry, 0xffff, FLAT_DATA)
    trap(lg, 32, { es: 20 * 8 + 1, fs: 21 * 8 + 1, gs: 22 * 8 + 1 })
    for (const entry of [20, 21, 22]) hcall(lg, LHCALL.LOAD_GDT_ENTRY, entry, 0, 0)
    expect([lg.regs.es, lg.regs.fs, lg.regs.gs]).toEqual([0, 0, 0])
    expect(lg.dead).toBe(false)
  })

  it.each([
    ['cs', 12],
    ['ds', 13],
  ])('ends the Guest when %s is removed', (_, entry) => {
    const lg = guestC()
    hcall(lg, LHCALL.LOAD_GDT_ENTRY, entry, 0, 0)
    expect(deadReason(lg)).toBe(`Removed live GDT entry ${entry}`)
  })

  it('looks at the 16 bits of a saved selector only: PUSH leaves the rest as it was', () => {
    const lg = guestC()
    hcall(lg, LHCALL.LOAD_GDT_ENTRY, 20, 0xffff, FLAT_DATA)
    trap(lg, 32, { es: 0xc0de_0000 + 20 * 8 + 1, ds: 0x1234_0000 + GUEST_KERNEL_DS })
    hcall(lg, LHCALL.LOAD_GDT_ENTRY, 20, 0, 0)
    expect(lg.regs.es).toBe(0)
    hcall(lg, LHCALL.LOAD_GDT_ENTRY, 13, 0, 0)
    expect(deadReason(lg)).toBe('Removed live GDT entry 13')
  })

  it('ends the Guest when ss is removed', () => {
    const lg = guestC()
    hcall(lg, LHCALL.LOAD_GDT_ENTRY, 15, 0xffff, 0x00cff200)
    trap(lg, 32, { ss: 0x7b })
    hcall(lg, LHCALL.LOAD_GDT_ENTRY, 15, 0, 0)
    expect(deadReason(lg)).toBe('Removed live GDT entry 15')
  })
})

describe('LOAD_TLS', () => {
  it('replaces entries 6 to 8 and flags only them', () => {
    const lg = guestC()
    for (let i = 0; i < 3; i++) {
      lgwrite32(lg, 0x6000 + i * 8, 0x1000 + i)
      lgwrite32(lg, 0x6004 + i * 8, 0x00cff200)
    }
    trap(lg, 32)
    lg.s.changed = 0
    lg.abi.hypercalls[LHCALL.LOAD_TLS]!.run(lg, { number: 16, arg1: 0x6000, arg2: 0, arg3: 0, arg4: 0 })
    expect(lg.s.changed).toBe(CHANGED_GDT_TLS)
    expect(lg.gdtEntry(7)).toEqual({ a: 0x1001, b: 0x00cff300 })
    const gdt = hv.cpu(0).page1 + LguestRoState.offset.guest_gdt
    expect(copyGdtTls(lg, gdt)).toBe(24)
    expect(hv.mem.read32(gdt + 8 * 8)).toBe(0x1002)
  })

  it('kills when the table is not in memory', () => {
    const lg = guestC()
    hcall(lg, LHCALL.LOAD_TLS, 64 * 4096 - 8)
    expect(deadReason(lg)).toBe('bad read address 0x3fff8 len 24')
  })
})

describe('era A', () => {
  it('loads a whole table and flags the GDT, for TLS too', () => {
    const lg = loadGdtA({ 14: [0xffff, 0x00cffa00], 6: [7, 0x00cff200] })
    expect(lg.dead).toBe(false)
    expect(lg.gdtEntry(14).b).toBe(0x00cffb00)
    expect(lg.gdtEntry(12).b).toBe(0x00cfbb00)
    expect(lg.abi.changedByTls).toBe(CHANGED_GDT)
  })

  it.each([
    ['a gate', 0x0000ac00],
    ['a reserved bit', 0x00ef9200],
  ])('kills for %s in the table', (_, b) => {
    expect(deadReason(loadGdtA({ 20: [0, b] }))).toBe('Bad GDT descriptor 20')
  })

  it('kills for a table that is too long', () => {
    expect(deadReason(loadGdtA({}, 33))).toBe('too many gdt entries 33')
  })

  it('checks registers against entries that vanish', () => {
    const lg = loadGdtA({}, 32, { gs: 6 * 8 + 3 })
    expect(lg.regs.gs).toBe(0)
    expect(deadReason(loadGdtA({ 13: [0, 0] }))).toBe('Removed live GDT entry 13')
  })
})

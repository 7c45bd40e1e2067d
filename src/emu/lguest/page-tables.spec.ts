import { beforeEach, describe, expect, it } from 'vitest'
import { LHCALL } from '../layout/lguest-data.ts'
import { PAGE_ACCESSED, PAGE_DIRTY, PAGE_PRESENT, PAGE_RW } from '../layout/x86.ts'
import { fakeHypervisor, hcall, newGuestA, newGuestC, trap } from '../testing/fake-host.ts'
import { buildPageTables, initGuest, KERNEL_ADDRESS } from '../testing/guest-memory.ts'
import { deadReason, type Guest, lgread32, lgwrite32, NR_PGDIRS } from './guest.ts'
import { findBrokenInvariants } from './invariants.ts'
import { demandPage, mapSwitcherInGuest, maxShadowTables, PAGE_KERNEL } from './page-tables.ts'
import { lguestPagesPte } from './switcher/switcher.ts'

const { host, hv } = fakeHypervisor(2)
const PGD = 0x10000
const K = KERNEL_ADDRESS

/** The shadow entry of gva in the current table; 0 when there is no table. */
function spte(lg: Guest, gva: number, slot = lg.s.pgdidx): number {
  const { pgdir } = lg.s.pgdirs.at(slot)
  const spgd = hv.mem.read32(pgdir + (gva >>> 22) * 4)
  return spgd & 1 ? hv.mem.read32((spgd & 0xfffff000) + ((gva >>> 12) & 1023) * 4) >>> 0 : 0
}

const frame = (lg: Guest, pfn: number): number => host.peekUserPage(lg.s.mm, lg.s.mem_base + pfn * 4096)
const gpteAt = (pfn: number): number => PGD + 0x1000 + pfn * 4

/** Tables at PGD: memory at K with P and RW, and user-readable at 0. In use. */
function guest(): Guest {
  const lg = newGuestC(hv)
  trap(lg, 32, { esp: 0x9000 })
  initGuest(lg)
  buildPageTables(lg, PGD, 0x003, true)
  hcall(lg, LHCALL.NEW_PGTABLE, PGD)
  return lg
}

beforeEach(() => {
  host.limit = Infinity
  expect(findBrokenInvariants(hv)).toEqual([])
})

describe('linear mode', () => {
  it('maps memory at its own address until the first NEW_PGTABLE', () => {
    const lg = newGuestC(hv)
    expect(demandPage(lg, 0x5000, 0)).toBe(true)
    expect(spte(lg, 0x5000)).toBe(frame(lg, 5) | PAGE_PRESENT | PAGE_ACCESSED)
    expect(demandPage(lg, 0x5000, 3)).toBe(true)
    expect(spte(lg, 0x5000)).toBe(frame(lg, 5) | PAGE_PRESENT | PAGE_RW | PAGE_ACCESSED | PAGE_DIRTY)
    buildPageTables(lg, PGD)
    trap(lg, 32)
    initGuest(lg)
    hcall(lg, LHCALL.NEW_PGTABLE, PGD)
    expect(lg.s.linear_pages).toBe(0)
    expect(spte(lg, 0x5000)).toBe(0)
  })

  it('ends at the end of memory and leaves the region alone', () => {
    const lg = newGuestC(hv)
    expect(demandPage(lg, 0xffc00000, 2)).toBe(false)
    expect(lg.dead).toBe(false)
    expect(demandPage(lg, 64 * 4096, 0)).toBe(false)
    expect(deadReason(lg)).toBe('bad page table entry')
  })
})

describe('demandPage', () => {
  it('copies what the Guest allows and sets its accessed and dirty bits', () => {
    const lg = guest()
    expect(demandPage(lg, K + 0x5000, 0)).toBe(true)
    expect(lgread32(lg, gpteAt(5))).toBe(0x5000 | PAGE_PRESENT | PAGE_RW | PAGE_ACCESSED)
    // Not dirty yet: read-only in the shadow, so that the first write comes to us.
    expect(spte(lg, K + 0x5000)).toBe(frame(lg, 5) | PAGE_PRESENT | PAGE_ACCESSED)
    expect(demandPage(lg, K + 0x5123, 3)).toBe(true)
    expect(lgread32(lg, gpteAt(5)) & PAGE_DIRTY).toBe(PAGE_DIRTY)
    expect(spte(lg, K + 0x5000)).toBe(frame(lg, 5) | PAGE_PRESENT | PAGE_RW | PAGE_ACCESSED | PAGE_DIRTY)
    expect(host.references(frame(lg, 5))).toBe(2) // the launcher's, and the shadow's
  })

  it('leaves to the Guest what is the Guest its own', () => {
    const lg = guest()
    lgwrite32(lg, gpteAt(6), 0x6001)
    expect(demandPage(lg, K + 0x6000, 3)).toBe(false) // write to read-only
    expect(demandPage(lg, K + 0x6000, 0)).toBe(true)
    expect(demandPage(lg, K + 0x7000, 4)).toBe(false) // user to kernel page
    expect(demandPage(lg, 0x7000, 4)).toBe(true)
    lgwrite32(lg, gpteAt(8), 0)
    expect(demandPage(lg, K + 0x8000, 0)).toBe(false)
    expect(demandPage(lg, 0x80000000, 0)).toBe(false) // no directory entry
    expect(lg.dead).toBe(false)
  })

  it('strips Global, and follows the directory when it is raised later', () => {
    const lg = guest()
    lgwrite32(lg, gpteAt(9), 0x9103)
    lgwrite32(lg, PGD + (K >>> 22) * 4, (PGD + 0x1000) | 0x61)
    expect(demandPage(lg, K + 0x9000, 2)).toBe(false)
    expect(demandPage(lg, K + 0x9000, 0)).toBe(true)
    expect(spte(lg, K + 0x9000) & 0x100).toBe(0)
    lgwrite32(lg, PGD + (K >>> 22) * 4, (PGD + 0x1000) | 0x63)
    expect(demandPage(lg, K + 0x9000, 2)).toBe(true)
    expect(hv.mem.read32(lg.s.pgdirs.at(lg.s.pgdidx).pgdir + (K >>> 22) * 4) & 2).toBe(2)
  })

  it.each([
    ['bad page directory entry', (lg: Guest) => lgwrite32(lg, PGD + 0x300 * 4, 0x11000 | 0x80 | 3), K],
    ['bad page directory entry', (lg: Guest) => lgwrite32(lg, PGD + 0x300 * 4, 0x40000 | 3), K],
    ['bad page table entry', (lg: Guest) => lgwrite32(lg, gpteAt(5), 0x5083), K + 0x5000],
    ['bad page table entry', (lg: Guest) => lgwrite32(lg, gpteAt(5), 0x40003), K + 0x5000],
  ] as const)('kills: %s', (reason, spoil, gva) => {
    const lg = guest()
    spoil(lg)
    expect(demandPage(lg, gva, 0)).toBe(false)
    expect(deadReason(lg)).toBe(reason)
  })

  it('era C tells the Guest of a fault in the region, whatever its directory says; era A kills', () => {
    const lg = guest()
    lgwrite32(lg, PGD + 1023 * 4, 0x11007)
    expect(demandPage(lg, 0xffc01000, 5)).toBe(false)
    expect(deadReason(lg)).toBe('')
    const old = newGuestA(hv, 64, PGD)
    lgwrite32(old, PGD + 1023 * 4, 0x11007)
    expect(demandPage(old, 0xffc01000, 5)).toBe(false)
    expect(deadReason(old)).toBe('attempt to access switcher pages')
  })

  it('kills when the Host has no page left', () => {
    const lg = guest()
    host.limit = 0
    expect(demandPage(lg, K + 0x5000, 0)).toBe(false)
    expect(deadReason(lg)).toBe('out of memory allocating pte page')
    host.limit = Infinity
    const other = newGuestC(hv)
    demandPage(other, 0x5000, 0)
    host.limit = 0
    demandPage(other, 0x6000, 0)
    expect(deadReason(other)).toBe('failed to get page 6')
  })

  it('era A does not take PWT', () => {
    const lg = newGuestA(hv, 64, PGD)
    buildPageTables(lg, PGD)
    expect(demandPage(lg, K + 0x5000, 0)).toBe(true)
    lgwrite32(lg, gpteAt(6), 0x600b)
    expect(demandPage(lg, K + 0x6000, 0)).toBe(false)
    expect(deadReason(lg)).toBe('bad page table entry')
  })
})

describe('SET_PTE', () => {
  it('empties an entry that was not used, installs one that was', () => {
    const lg = guest()
    demandPage(lg, K + 0x5000, 2)
    hcall(lg, LHCALL.SET_PTE, PGD, K + 0x5000, 0)
    expect(spte(lg, K + 0x5000)).toBe(0)
    expect(host.references(frame(lg, 5))).toBe(1)
    hcall(lg, LHCALL.SET_PTE, PGD, K + 0x5000, 0x6063)
    expect(spte(lg, K + 0x5000)).toBe((frame(lg, 6) | 0x63) >>> 0)
    hcall(lg, LHCALL.SET_PTE, PGD, K + 0x5000, 0x6023) // accessed, not dirty
    expect(spte(lg, K + 0x5000)).toBe((frame(lg, 6) | 0x21) >>> 0)
    hcall(lg, LHCALL.SET_PTE, PGD, K + 0x5000, 0x6060) // swapped out: flags without P
    expect(spte(lg, K + 0x5000)).toBe(0)
    expect(host.references(frame(lg, 6))).toBe(1)
  })

  it('touches every table for kernel addresses, one for user addresses', () => {
    const lg = guest()
    const second = 0x18000
    buildPageTables(lg, second, 0x003, true)
    demandPage(lg, K + 0x5000, 2)
    demandPage(lg, 0x5000, 4)
    const first = lg.s.pgdidx
    hcall(lg, LHCALL.NEW_PGTABLE, second)
    expect(lg.s.pgdidx).not.toBe(first)
    demandPage(lg, K + 0x5000, 2)
    demandPage(lg, 0x5000, 4)
    hcall(lg, LHCALL.SET_PTE, PGD, 0x5000, 0)
    expect([spte(lg, 0x5000, first), spte(lg, 0x5000) !== 0]).toEqual([0, true])
    hcall(lg, LHCALL.SET_PTE, PGD, K + 0x5000, 0)
    expect([spte(lg, K + 0x5000, first), spte(lg, K + 0x5000)]).toEqual([0, 0])
    hcall(lg, LHCALL.SET_PTE, 0x77000, 0x5000, 0x5067) // a table we do not know
    expect(lg.dead).toBe(false)
  })

  it.each([
    [0xffc00000, 0x5063, 'attempt to set pte into Switcher pages'],
    [K + 0x5000, 0x40063, 'bad page table entry'],
    [K + 0x5000, 0x50e3, 'bad page table entry'],
  ])('kills for %s := %s', (gva, pte, reason) => {
    const lg = guest()
    demandPage(lg, K + 0x5000, 0)
    hcall(lg, LHCALL.SET_PTE, PGD, gva, pte)
    expect(deadReason(lg)).toBe(reason)
  })
})

describe('SET_PGD', () => {
  it('forgets a directory entry, ignores the region, kills beyond the table', () => {
    const lg = guest()
    demandPage(lg, K + 0x5000, 2)
    const pages = host.ownerPages(lg.s.owner)
    hcall(lg, LHCALL.SET_PGD, PGD, K >>> 22)
    expect(spte(lg, K + 0x5000)).toBe(0)
    expect(host.ownerPages(lg.s.owner)).toBe(pages - 1)
    hcall(lg, LHCALL.SET_PGD, PGD, 1023)
    expect(lg.dead).toBe(false)
    hcall(lg, LHCALL.SET_PGD, PGD, 1024)
    expect(deadReason(lg)).toBe('Attempt to set pgd 1024/1024')
  })
})

describe('FLUSH_TLB', () => {
  it('0 drops the user part of the current table, 1 everything', () => {
    const lg = guest()
    demandPage(lg, K + 0x5000, 2)
    demandPage(lg, 0x5000, 4)
    hcall(lg, LHCALL.FLUSH_TLB, 0)
    expect([spte(lg, 0x5000), spte(lg, K + 0x5000) !== 0]).toEqual([0, true])
    hcall(lg, LHCALL.FLUSH_TLB, 1)
    expect(spte(lg, K + 0x5000)).toBe(0)
    expect(host.references(frame(lg, 5))).toBe(1)
  })

  it('1 pins the stack again', () => {
    const lg = guest()
    hcall(lg, LHCALL.SET_STACK, 0x69, K + 0xa000, 2)
    for (const gva of [K + 0x9000, K + 0x8000]) expect(spte(lg, gva) & 3).toBe(3)
    hcall(lg, LHCALL.FLUSH_TLB, 1)
    for (const gva of [K + 0x9000, K + 0x8000]) expect(spte(lg, gva) & 3).toBe(3)
  })
})

describe('four shadow tables', () => {
  it('find a known table, take an empty place, then replace, never the one in use', () => {
    const lg = guest()
    hcall(lg, LHCALL.SET_STACK, 0x69, K + 0xa000, 1)
    const tables = Array.from({ length: 7 }, (_, i) => 0x18000 + i * 0x3000)
    tables.forEach((table) => buildPageTables(lg, table, 0x003, true))
    const before = lg.s.pgdidx
    for (const table of tables) {
      const current = lg.s.pgdidx
      hcall(lg, LHCALL.NEW_PGTABLE, table)
      expect(lg.s.pgdidx).not.toBe(current)
      expect(lg.s.pgdirs.at(lg.s.pgdidx).gpgdir).toBe(table)
      expect(lg.s.pgdirs.at(current).pgdir).not.toBe(0)
      expect(spte(lg, K + 0x9000) & 3).toBe(3) // the stack is there in each
      demandPage(lg, 0x5000, 4)
    }
    const slots = [...Array(NR_PGDIRS).keys()]
    expect(new Set(slots.map((slot) => lg.s.pgdirs.at(slot).gpgdir)).size).toBe(NR_PGDIRS)
    hcall(lg, LHCALL.NEW_PGTABLE, tables[5])
    expect(lg.s.pgdirs.at(lg.s.pgdidx).gpgdir).toBe(tables[5])
    expect(spte(lg, 0x5000)).not.toBe(0) // still what we left there
    expect(before).toBeLessThan(NR_PGDIRS)
  })

  it('a replaced table loses its user mappings and keeps the kernel ones', () => {
    const lg = guest()
    const tables = Array.from({ length: 4 }, (_, i) => 0x18000 + i * 0x3000)
    tables.forEach((table) => buildPageTables(lg, table, 0x003, true))
    demandPage(lg, 0x5000, 4)
    demandPage(lg, K + 0x5000, 2)
    const slot = lg.s.pgdidx
    for (const table of tables) hcall(lg, LHCALL.NEW_PGTABLE, table)
    expect(lg.s.pgdidx).toBe(slot)
    expect([spte(lg, 0x5000), spte(lg, K + 0x5000) !== 0]).toEqual([0, true])
  })

  it('without memory for a new one reuses the current', () => {
    const lg = guest()
    demandPage(lg, 0x5000, 4)
    host.limit = 0
    const slot = lg.s.pgdidx
    hcall(lg, LHCALL.NEW_PGTABLE, 0x18000)
    expect(lg.dead).toBe(false)
    expect(lg.s.pgdidx).toBe(slot)
    expect(spte(lg, 0x5000)).toBe(0)
  })
})

describe('shadow page tables', () => {
  /** Directory entries 0 to `n` - 1 of the table at PGD all lead to the same page of entries. */
  function scatter(lg: Guest, n: number): void {
    for (let i = 0; i < n; i++) lgwrite32(lg, PGD + i * 4, (PGD + 0x1000) | 0x067)
  }

  it('are emptied when a Guest has more than its share, and it goes on', () => {
    const lg = guest()
    scatter(lg, 700)
    const before = host.ownerPages(lg.s.owner) - lg.s.shadow_tables
    const most = maxShadowTables(lg)
    expect(most).toBe(4 + 512)
    for (let i = 0; i < 700; i++) {
      expect(demandPage(lg, ((i << 22) | 0x5000) >>> 0, 2)).toBe(true)
      expect(host.ownerPages(lg.s.owner) - before).toBe(i < most ? i + 1 : i - most + 1)
    }
    expect(spte(lg, 0x5000)).toBe(0)
    expect(demandPage(lg, 0x5000, 2)).toBe(true)
    expect(findBrokenInvariants(hv)).toEqual([])
  })

  it('make room for themselves when the Host has none left', () => {
    const lg = guest()
    scatter(lg, 40)
    for (let i = 0; i < 16; i++) demandPage(lg, (i << 22) | 0x5000, 2)
    host.limit = host.pages.size
    expect(demandPage(lg, (20 << 22) | 0x5000, 2)).toBe(true)
    expect(lg.s.shadow_tables).toBe(1)
    // Now there is room, but somebody else takes it: a few tables are not worth emptying.
    host.limit = host.pages.size
    expect(demandPage(lg, (21 << 22) | 0x5000, 2)).toBe(false)
    expect(deadReason(lg)).toBe('out of memory allocating pte page')
    host.limit = Infinity
  })
})

describe('mapSwitcherInGuest', () => {
  it('leads the last directory entry to the CPU PTE page, the regs page over the stack page', () => {
    const lg = guest()
    const pte = (cpu: number): number => hv.mem.read32(hv.cpu(cpu).hypervisor_pte_page + lguestPagesPte(cpu) * 4) >>> 0
    const { pgdir } = lg.s.pgdirs.at(lg.s.pgdidx)
    for (const cpu of [1, 0]) {
      mapSwitcherInGuest(lg, cpu, false)
      expect(hv.mem.read32(pgdir + 1023 * 4) >>> 0).toBe(hv.cpu(cpu).hypervisor_pte_page | PAGE_KERNEL)
      expect(pte(cpu)).toBe(lg.s.regs_page | PAGE_KERNEL)
    }
    mapSwitcherInGuest(lg, 0, true)
    expect(pte(0)).toBe(hv.cpu(0).page0 | PAGE_KERNEL)
  })
})

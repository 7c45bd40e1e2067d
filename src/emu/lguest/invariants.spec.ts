import { beforeEach, describe, expect, it } from 'vitest'
import { LguestRoState } from '../layout/lguest-pages.ts'
import { fakeHypervisor, type FakeHost, newGuestC, trap } from '../testing/fake-host.ts'
import { buildPageTables, initGuest } from '../testing/guest-memory.ts'
import { LHCALL } from '../layout/lguest-data.ts'
import { hcall } from '../testing/fake-host.ts'
import type { Guest } from './guest.ts'
import type { Hypervisor } from './hypervisor.ts'
import { findBrokenInvariants } from './invariants.ts'
import { demandPage } from './page-tables.ts'
import { lguestPagesPte } from './switcher/switcher.ts'

describe('the invariant walker', () => {
  let host: FakeHost
  let hv: Hypervisor
  let lg: Guest
  let other: Guest
  beforeEach(() => {
    ;({ host, hv } = fakeHypervisor(2))
    other = newGuestC(hv)
    demandPage(other, 0x5000, 2)
    lg = newGuestC(hv)
    trap(lg, 32, { esp: 0x9000 })
    initGuest(lg)
    buildPageTables(lg, 0x10000)
    hcall(lg, LHCALL.NEW_PGTABLE, 0x10000)
    demandPage(lg, 0xc0005000, 2)
    lg.s.running = 0
    expect(findBrokenInvariants(hv)).toEqual([])
  })

  const pteAt = (): number => {
    const { pgdir } = lg.s.pgdirs.at(lg.s.pgdidx)
    return (hv.mem.read32(pgdir + 0x300 * 4) & 0xfffff000) + 5 * 4
  }
  const hisPage = (): number => host.peekUserPage(other.s.mm, other.s.mem_base + 0x5000)

  it.each([
    ["another Guest's page", () => hv.mem.write32(pteAt(), hisPage() | 0x63), /not this Guest's page/],
    ['its own struct', () => hv.mem.write32(pteAt(), lg.address | 0x63), /not this Guest's page/],
    ['a 4 MiB page', () => hv.mem.write32(pteAt(), hv.mem.read32(pteAt()) | 0x80), /flags/],
    ['a shared page table', () => hv.mem.write32(lg.s.pgdirs.at(lg.s.pgdidx).pgdir, hv.cpu(0).page1 | 1), /and also/],
    [
      'the region',
      () => hv.mem.write32(lg.s.pgdirs.at(lg.s.pgdidx).pgdir + 4092, other.address | 0x63),
      /region entry/,
    ],
    ['a writable state page', () => write(lguestPagesPte(0) + 1, hv.cpu(0).page1 | 0x63), /region PTE/],
    ['user access to the Switcher', () => write(0, hv.state.text_page.get(0) | 0x25), /region PTE 0/],
    ["another CPU's pages", () => write(lguestPagesPte(1), hv.cpu(1).page0 | 0x63), /region PTE/],
    ['last_guest', () => (hv.cpu(0).last_guest = 0x123000), /is no Guest/],
    ['last_pages', () => (lg.s.last_pages = 0xffc00000), /last_pages/],
    ['ring 0', () => (lg.regs.cs = 0x60), /ring 0/],
    ['an interrupt flag that is off', () => (lg.regs.eflags = 2), /eflags/],
    ['a gate to the Host', () => lg.setIdtEntry(3, 0x00501234, 0x8f00), /stored gate 3/],
    ['a call gate', () => lg.setGdtEntry(20, 0x00500000, 0xec00), /stored descriptor 20/],
    ['a stale GDT', () => lg.setGdtEntry(20, 1, 0x00cfb300), /GDT entry 20 is stale/],
    ['a live ring 0 segment', () => live(20, 0x00cf9300), /live descriptor 20/],
    ['an FPU owner', () => (hv.cpu(1).fpu_owner = lg.address), /fpu_owner/],
  ])('finds %s', (_, spoil, problem) => {
    spoil()
    expect(findBrokenInvariants(hv).join('\n')).toMatch(problem)
  })

  const write = (index: number, pte: number): void => hv.mem.write32(hv.cpu(0).hypervisor_pte_page + index * 4, pte)
  const live = (index: number, b: number): void =>
    hv.mem.write32(hv.cpu(0).page1 + LguestRoState.offset.guest_gdt + index * 8 + 4, b)
})

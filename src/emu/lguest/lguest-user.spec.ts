import { describe, expect, it } from 'vitest'
import { LHCALL, LHREQ } from '../layout/lguest-data.ts'
import { LguestDma } from '../layout/lguest-dma.ts'
import { FAKE_BASE, fakeHypervisor, hcall, hcallA, newGuestA, newGuestC, trap } from '../testing/fake-host.ts'
import { buildPageTables, initGuest, initGuestA } from '../testing/guest-memory.ts'
import { killGuest, type Guest } from './guest.ts'
import { findBrokenInvariants } from './invariants.ts'
import { demandPage } from './page-tables.ts'
import { initialize, lguestClose, lguestRead, lguestRequest } from './lguest-user.ts'
import { collectStats } from './stats.ts'

describe('INITIALIZE', () => {
  it('sets up the registers of reference 9.2', () => {
    const { hv } = fakeHypervisor(1)
    const { regs, s } = newGuestC(hv, 64, 0x100000)
    expect([regs.cs, regs.ds, regs.es, regs.ss, regs.fs, regs.gs]).toEqual([0x61, 0x69, 0x69, 0x69, 0, 0])
    expect([regs.eip, regs.eflags, regs.esp, regs.esi]).toEqual([0x100000, 0x202, 0, 0])
    expect(s.regs).toBe(s.regs_page + 4096 - 72)
    expect(s.linear_pages).toBe(1)
  })

  it('knows era A by its four words', () => {
    const { hv } = fakeHypervisor(1)
    const lg = newGuestA(hv, 64, 0x3000)
    expect(lg.abi.era).toBe('A')
    expect(lg.s.pgdirs.at(0).gpgdir).toBe(0x3000)
    expect(lg.s.linear_pages).toBe(0)
    expect(lg.s.kernel_address).toBe(0xc0000000)
    lg.regs.ebx = 0x77
    expect(hv.mem.read32(lg.s.regs)).toBe(0x77) // ebx comes first
  })

  it.each([
    [[FAKE_BASE, 64], -22],
    [[FAKE_BASE + 4, 64, 0], -22],
    [[FAKE_BASE, 0, 0], -22],
    [[FAKE_BASE, 0xfffff, 0], -14],
    [[64, 0x3000, 0, 0xffc00000], -22],
  ])('refuses %j', (words, error) => {
    const { host, hv } = fakeHypervisor(1)
    const before = host.pages.size
    expect(initialize(hv, 1, words)).toBe(error)
    expect(host.pages.size).toBe(before)
  })

  it('gives everything back whichever page it cannot get', () => {
    const { host, hv } = fakeHypervisor(1)
    const before = host.pages.size
    for (let room = 0; room < 5; room++) {
      host.limit = before + room
      expect(initialize(hv, 1, [FAKE_BASE, 64, 0])).toBe(-12)
      expect(host.pages.size).toBe(before)
    }
    host.limit = Infinity
    expect(hv.allGuests()).toEqual([])
    expect(typeof initialize(hv, 1, [FAKE_BASE, 64, 0])).toBe('object')
  })

  it('has no memory for one more than the Host can keep account of', () => {
    const { host, hv } = fakeHypervisor(1)
    host.newOwner = () => 0
    expect(initialize(hv, 1, [FAKE_BASE, 64, 0])).toBe(-12)
  })

  it('has no limit of sixteen', () => {
    const { hv } = fakeHypervisor(1)
    const guests = Array.from({ length: 40 }, () => newGuestC(hv))
    expect(new Set(guests.map((lg) => lg.address)).size).toBe(40)
    expect(hv.allGuests().length).toBe(40)
    expect(findBrokenInvariants(hv)).toEqual([])
  })
})

describe('requests', () => {
  it('check their numbers', () => {
    const { hv } = fakeHypervisor(1)
    const lg = newGuestC(hv)
    const request = (number: number, ...words: number[]): number => lguestRequest(lg, lg.s.tsk, number, words)
    expect(request(LHREQ.IRQ, 31)).toBe(0)
    expect(request(LHREQ.IRQ, 32)).toBe(-22)
    expect(request(LHREQ.IRQ)).toBe(-22)
    expect(request(LHREQ.EVENTFD, 0, 5)).toBe(-22)
    expect(request(LHREQ.EVENTFD, 0x5000, 1)).toBe(-9)
    expect(request(LHREQ.GETDMA, 0)).toBe(-22)
    expect(request(99, 0)).toBe(-22)
    killGuest(lg, 'over')
    expect(request(LHREQ.IRQ, 1)).toBe(-2)
  })

  it('only the owner may read', () => {
    const { host, hv } = fakeHypervisor(1)
    const lg = newGuestC(hv)
    expect(lguestRead(lg, lg.s.tsk + 1, host.cpus[0], FAKE_BASE, 4)).toEqual({ kind: 'done', value: -1 })
  })

  it('and, in era A, write anything but BREAK', () => {
    const { hv } = fakeHypervisor(1)
    const lg = newGuestA(hv)
    const stranger = lg.s.tsk + 1
    expect(lguestRequest(lg, stranger, LHREQ.IRQ, [1])).toBe(-1)
    expect(lguestRequest(lg, stranger, LHREQ.BREAK, [0])).toBe(0)
    expect(lguestRequest(newGuestC(hv), stranger, LHREQ.IRQ, [1])).toBe(0)
  })

  it('truncates the reason to the buffer', () => {
    const { host, hv } = fakeHypervisor(1)
    const lg = newGuestC(hv)
    killGuest(lg, 'first reason')
    killGuest(lg, 'second')
    expect(lguestRead(lg, lg.s.tsk, host.cpus[0], FAKE_BASE, 4)).toEqual({ kind: 'done', value: 4 })
    expect(host.readUser32(lg.s.mm, FAKE_BASE)).toBe(0x73726966) // "firs"
  })

  it('BREAK stops an era A Guest until it is taken back', () => {
    const { host, hv } = fakeHypervisor(1)
    const lg = newGuestA(hv)
    expect(lguestRequest(lg, lg.s.tsk, LHREQ.BREAK, [1])).toBe(0)
    expect(lguestRead(lg, lg.s.tsk, host.cpus[0], FAKE_BASE, 8)).toEqual({ kind: 'done', value: -11 })
    lguestRequest(lg, lg.s.tsk, LHREQ.BREAK, [0])
    expect(lguestRead(lg, lg.s.tsk, host.cpus[0], FAKE_BASE, 8).kind).toBe('run')
  })
})

describe('close', () => {
  /** Uses everything a Guest can have. */
  function busy(lg: Guest): void {
    trap(lg, 32, { esp: 0x9000 })
    initGuest(lg)
    lguestRequest(lg, lg.s.tsk, LHREQ.EVENTFD, [0x5000, 7])
    for (const table of [0x10000, 0x14000, 0x18000, 0x1c000]) {
      buildPageTables(lg, table, 0x003, true)
      hcall(lg, LHCALL.NEW_PGTABLE, table)
      for (let i = 0; i < 20; i++) demandPage(lg, 0xc0000000 + i * 4096, 2)
      demandPage(lg, 0x5000, 4)
    }
    trap(lg, 7)
    hcall(lg, LHCALL.SET_CLOCKEVENT, 1000)
  }

  it.each(['alive', 'killed'])('frees every page of a Guest, %s', (how) => {
    const { host, hv } = fakeHypervisor(1)
    const other = newGuestC(hv)
    const before = host.pages.size
    const lg = newGuestC(hv)
    const { owner, tsk } = lg.s
    busy(lg)
    expect(host.ownerPages(owner)).toBeGreaterThan(12)
    expect(findBrokenInvariants(hv)).toEqual([])
    if (how === 'killed') hcall(lg, 77)
    lg.s.running = 0
    lguestClose(lg)
    expect(host.mmReferences.get(tsk)).toBe(0)
    host.exitTask(tsk)
    expect(host.pages.size).toBe(before)
    expect(host.owners.has(owner)).toBe(false)
    expect(host.timers.size).toBe(0)
    expect(hv.cpu(0).last_guest).toBe(0)
    expect(hv.cpu(0).fpu_owner).toBe(0)
    expect(hv.allGuests()).toEqual([other])
    expect(findBrokenInvariants(hv)).toEqual([])
    expect(collectStats(hv).hypercalls['NEW_PGTABLE']).toBe(4) // counted still
  })

  it('takes Guests out of the list wherever they are', () => {
    const { hv } = fakeHypervisor(1)
    const guests = [newGuestC(hv), newGuestC(hv), newGuestC(hv)]
    lguestClose(guests[1])
    expect(hv.allGuests()).toEqual([guests[2], guests[0]])
    lguestClose(guests[0])
    lguestClose(guests[2])
    expect(hv.allGuests()).toEqual([])
  })
})

describe('the lguest bus of era A', () => {
  function guestA(): Guest {
    const lg = newGuestA(hv)
    buildPageTables(lg, 0x3000)
    lguestRead(lg, lg.s.tsk, host.cpus[0], FAKE_BASE + 0x8000, 8)
    initGuestA(lg)
    return lg
  }
  function dma(lg: Guest, gpa: number, sections: [number, number][]): number {
    const view = LguestDma.at(lg.memory, gpa)
    view.used_len = 0
    for (let i = 0; i < 16; i++) {
      view.addr.set(i, sections[i]?.[0] ?? 0)
      view.len.set(i, sections[i]?.[1] ?? 0)
    }
    return gpa
  }
  const { host, hv } = fakeHypervisor(1)

  it('SEND_DMA ends read() with the buffer and the key', () => {
    const lg = guestA()
    expect(hcallA(lg, 13, 0, dma(lg, 0x5000, [[0x6000, 20]]))).toEqual({ kind: 'done', value: 8 })
    expect(host.readUser32(lg.s.mm, FAKE_BASE + 0x8000)).toBe(0x5000)
    expect(host.readUser32(lg.s.mm, FAKE_BASE + 0x8004)).toBe(0)
    expect(lguestRead(lg, lg.s.tsk, host.cpus[0], FAKE_BASE + 0x8000, 8).kind).toBe('run')
  })

  it('BIND_DMA and GETDMA hand out free buffers with their interrupt', () => {
    const lg = guestA()
    dma(lg, 0x5000, [[0x6000, 256]])
    dma(lg, 0x5000 + LguestDma.size, [[0x6100, 256]])
    hcallA(lg, LHCALL.BIND_DMA, 0, 0x5000, (2 << 8) | 5)
    expect(lg.regs.eax).toBe(1)
    const getDma = (key: number): number => lguestRequest(lg, lg.s.tsk, LHREQ.GETDMA, [key])
    expect(getDma(0)).toBe(0x5000)
    expect(LguestDma.at(lg.memory, 0x5000).used_len).toBe(5)
    expect(getDma(0)).toBe(0x5000 + LguestDma.size)
    expect(getDma(0)).toBe(-2)
    expect(getDma(4)).toBe(-2)
    hcallA(lg, LHCALL.BIND_DMA, 0, 0, 0) // unbind
    expect(lg.regs.eax).toBe(1)
    expect(getDma(0)).toBe(-2)
  })

  it.each([
    ['bad dma key 0x2', (lg: Guest) => hcallA(lg, LHCALL.BIND_DMA, 2, 0x5000, 0x101)],
    ['bad sending DMA key 0x40000', (lg: Guest) => hcallA(lg, 13, 0x40000, 0x5000)],
    ['bad DMA entry: 20@0x5ff0', (lg: Guest) => hcallA(lg, 13, 0, dma(lg, 0x5000, [[0x5ff0, 20]]))],
    ['bad DMA entry: 1@0x40000', (lg: Guest) => hcallA(lg, 13, 0, dma(lg, 0x5000, [[0x40000, 1]]))],
    ['bad address in sending DMA 0x3fff0', (lg: Guest) => hcallA(lg, 13, 0, 0x3fff0)],
  ])('kills: %s', (reason, act) => {
    const lg = guestA()
    act(lg)
    expect(String.fromCharCode(...Array.from({ length: reason.length }, (_, i) => lg.s.dead_text.get(i)))).toBe(reason)
  })

  it('GETDMA that kills brings the Guest out, or its launcher would never hear of it', () => {
    const lg = guestA()
    hcallA(lg, LHCALL.BIND_DMA, 0, 0x3fff0, (1 << 8) | 5)
    expect(lg.s.running).toBe(1)
    host.woken = []
    expect(lguestRequest(lg, lg.s.tsk, LHREQ.GETDMA, [0])).toBe(-2)
    expect(lg.dead).toBe(true)
    expect(host.woken).toEqual([lg.s.tsk])
  })

  it('binds 32 keys, not more', () => {
    const lg = guestA()
    for (let i = 0; i <= 32; i++) {
      hcallA(lg, LHCALL.BIND_DMA, i * 4, 0x5000, 0x101)
      expect(lg.regs.eax).toBe(i < 32 ? 1 : 0)
    }
  })

  it('binds 1024 buffers to a key, not the sixteen million there is room for in the register', () => {
    const lg = guestA()
    for (const [count, result] of [
      [1024, 1],
      [1025, 0],
      [0xffffff, 0],
    ]) {
      hcallA(lg, LHCALL.BIND_DMA, 0, 0x5000, (count << 8) | 5)
      expect(lg.regs.eax).toBe(result)
    }
  })
})

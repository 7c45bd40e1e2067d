import { beforeEach, describe, expect, it } from 'vitest'
import { CpuStateLayout, S_CR0, S_FPU_CONTROL, S_FPU_REG, S_SYSENTER_CS } from '../layout/cpu-state.ts'
import { LHCALL } from '../layout/lguest-data.ts'
import { LGUEST_PAGES_regs, LguestRoState, Tss } from '../layout/lguest-pages.ts'
import { EBX, ECX } from '../layout/x86.ts'
import { fakeHypervisor, type FakeHost, newGuestA, newGuestC, trap } from '../testing/fake-host.ts'
import { buildPageTables, initGuest } from '../testing/guest-memory.ts'
import { runGuest } from './core.ts'
import { CHANGED_GDT, CHANGED_GDT_TLS, CHANGED_IDT, deadReason, type Guest, lgread32 } from './guest.ts'
import { COPIED_GDT, COPIED_IDT, COPIED_REGS, COPIED_TLS, type Hypervisor } from './hypervisor.ts'
import { findBrokenInvariants } from './invariants.ts'
import { cpuStatistics } from './stats.ts'
import { lguestPages } from './switcher/switcher.ts'
import { copyInGuestInfo, fullCopyBytes, guestReturned, runGuestOnce } from './x86.ts'

let host: FakeHost
let hv: Hypervisor
beforeEach(() => {
  ;({ host, hv } = fakeHypervisor(2))
})

const IDT = 29 * 8
const GDT = 28 * 8
const TLS = 3 * 8

describe('copyInGuestInfo', () => {
  it('copies exactly what changed, by the table of the seed', () => {
    const one = newGuestC(hv)
    const two = newGuestC(hv)
    const steps: [string, Guest, number, number, number, number, boolean][] = [
      // what                     guest cpu changed          copied                bytes      all
      ['first run', one, 0, 0, COPIED_IDT | COPIED_GDT, IDT + GDT, true],
      ['same guest, same CPU', one, 0, 0, 0, 0, false],
      ['IDT changed', one, 0, CHANGED_IDT, COPIED_IDT, IDT, false],
      ['GDT changed', one, 0, CHANGED_GDT, COPIED_GDT, GDT, false],
      ['TLS changed', one, 0, CHANGED_GDT_TLS, COPIED_TLS, TLS, false],
      ['TLS and GDT changed', one, 0, CHANGED_GDT | CHANGED_GDT_TLS, COPIED_GDT, GDT, false],
      ['nothing again', one, 0, 0, 0, 0, false],
      ['other guest', two, 0, 0, COPIED_IDT | COPIED_GDT, IDT + GDT, true],
      ['back to the first', one, 0, 0, COPIED_IDT | COPIED_GDT, IDT + GDT, true],
      ['other CPU', one, 1, 0, COPIED_IDT | COPIED_GDT, IDT + GDT, true],
      ['stays there', one, 1, 0, 0, 0, false],
      // CPU 0 still remembers guest one, but the Guest has been elsewhere.
      ['returns to CPU 0', one, 0, 0, COPIED_IDT | COPIED_GDT, IDT + GDT, true],
      ['the second, on its own CPU', two, 1, 0, COPIED_IDT | COPIED_GDT, IDT + GDT, true],
    ]
    for (const [what, lg, cpu, changed, copied, bytes, all] of steps) {
      if (changed !== 0) lg.s.changed = changed
      expect([what, copyInGuestInfo(lg, cpu)]).toEqual([what, { copied, bytes, all }])
      expect(lg.s.changed).toBe(0)
      expect(hv.cpu(cpu).last_guest).toBe(lg.address)
      expect(lg.s.last_pages).toBe(lguestPages(cpu))
    }
    expect(findBrokenInvariants(hv)).toEqual([])
  })

  it('always writes host_cr3 and the stack of direct traps', () => {
    const lg = newGuestC(hv)
    copyInGuestInfo(lg, 0)
    lg.s.esp1 = 0xc0009000
    lg.s.ss1 = 0x69
    expect(copyInGuestInfo(lg, 0).bytes).toBe(0)
    const state = hv.roState(0)
    expect(state.host_cr3).toBe(host.mmPgd(lg.s.mm))
    expect([state.guest_tss.esp1, state.guest_tss.ss1]).toEqual([0xc0009000, 0x69])
    expect(state.guest_tss.io_bitmap_base).toBe(Tss.size)
  })

  it('copies everything on every switch in the pre-patch way', () => {
    const lg = newGuestC(hv)
    copyInGuestInfo(lg, 0)
    hv.copyMode = 'always'
    const all = COPIED_IDT | COPIED_GDT | COPIED_REGS
    for (let i = 0; i < 3; i++) {
      expect(copyInGuestInfo(lg, 0)).toEqual({ copied: all, bytes: 72 + IDT + GDT, all: false })
    }
    hv.copyMode = 'elide'
    expect(copyInGuestInfo(lg, 0)).toEqual({ copied: 0, bytes: 0, all: false })
    expect(fullCopyBytes(lg)).toBe(2 * 72 + IDT + GDT)
    expect(fullCopyBytes(newGuestA(hv))).toBe(2 * 72 + 33 * 8 + GDT)
  })

  it('re-points the whole default IDT when the register order changes on a CPU', () => {
    const c = newGuestC(hv)
    const a = newGuestA(hv)
    copyInGuestInfo(c, 0)
    expect(copyInGuestInfo(a, 0).bytes).toBe(2048 + 33 * 8 + GDT)
    expect(copyInGuestInfo(a, 0).bytes).toBe(0)
    const entry = hv.mem.read32(hv.cpu(0).page1 + LguestRoState.offset.guest_idt + 200 * 8)
    expect(entry & 0xffff).toBe(hv.switcher[1].stubs[200] & 0xffff)
    expect(copyInGuestInfo(c, 0).bytes).toBe(2048 + IDT + GDT)
  })

  it('a new Guest at the address of an old one is not taken for it', () => {
    const lg = newGuestC(hv)
    copyInGuestInfo(lg, 0)
    hv.cpu(0).last_guest = lg.address
    lg.s.last_pages = 0 // as INITIALIZE leaves it
    expect(copyInGuestInfo(lg, 0).all).toBe(true)
  })
})

describe('one world switch', () => {
  it('takes the trap from ebx and counts', () => {
    const lg = newGuestC(hv)
    trap(lg, 32)
    trap(lg, 33)
    trap(lg, 33)
    const stats = cpuStatistics(hv, 0)
    expect(stats.worldSwitches).toBe(3)
    expect(stats.switchesByTrap).toEqual({ 32: 1, 33: 2 })
    expect(stats.copied).toEqual({ idt: 1, gdt: 1, tls: 0, all: 1, bytes: IDT + GDT })
    expect(stats.elided).toBe(2)
    expect(stats.avoidedBytes).toBe(3 * (144 + IDT + GDT) - IDT - GDT)
  })

  it('hides SYSENTER from the Guest and gives it back', () => {
    const lg = newGuestC(hv)
    const cpu = host.cpus[0]
    cpu.st[S_SYSENTER_CS] = 0x60
    runGuestOnce(lg, cpu)
    expect(cpu.st[S_SYSENTER_CS]).toBe(0)
    cpu.r[EBX] = 32
    cpu.r[ECX] = lguestPages(0) + LGUEST_PAGES_regs
    guestReturned(lg, cpu)
    expect(cpu.st[S_SYSENTER_CS]).toBe(0x60)
  })

  it('knows a fault inside the Switcher by the planted number, and by the stack', () => {
    const lg = newGuestC(hv)
    const cpu = host.cpus[0]
    for (const [ebx, esp] of [
      [256, lguestPages(0) + LGUEST_PAGES_regs],
      [0x50, lguestPages(0) + LGUEST_PAGES_regs - 28], // the final iret's frame overwrote trapnum with cs
    ]) {
      runGuestOnce(lg, cpu)
      cpu.r[EBX] = ebx
      cpu.r[ECX] = esp
      expect(guestReturned(lg, cpu).trap).toBe(256)
    }
    trap(lg, 256, { eip: 0x4444, errcode: 0x60 })
    expect(deadReason(lg)).toBe('unhandled trap 256 at 0x4444 (0x60) before INIT')
  })

  it('carries the registers there and back in the pre-patch way', () => {
    const lg = newGuestC(hv)
    hv.copyMode = 'always'
    lg.regs.ebp = 0x1234
    runGuest(lg, host.cpus[0])
    const inPage = lg.abi.regs.at(hv.mem, hv.cpu(0).page0 + LGUEST_PAGES_regs)
    expect(inPage.ebp).toBe(0x1234)
    expect(inPage.trapnum).toBe(256)
    trap(lg, 32, { ebp: 0x9999 })
    expect(lg.regs.ebp).toBe(0x9999)
    expect(cpuStatistics(hv, 0).copied.bytes).toBe(144 + IDT + GDT)
    // And changing the mode in between loses nothing.
    hv.copyMode = 'elide'
    trap(lg, 32, { ebp: 0x7777 })
    trap(lg, 32, { ebp: 0x8888 })
    expect(lg.regs.ebp).toBe(0x8888)
    expect(findBrokenInvariants(hv)).toEqual([])
  })

  it('saves cr2 at once, fixes what it can, tells the Guest the rest', () => {
    const lg = newGuestC(hv)
    trap(lg, 32, { esp: 0x9000 })
    const data = initGuest(lg)
    expect(trap(lg, 14, { cr2: 0x5000, errcode: 2, eip: 0x1500 }).kind).toBe('run')
    expect(lg.regs.eip).toBe(0x1500)
    expect(lgread32(lg, data + lg.abi.data.cr2)).toBe(0)
    lg.setIdtEntry(14, 0x00612222, 0x8e00)
    trap(lg, 14, { cr2: 0xffc00010, errcode: 2, eip: 0x1500 })
    expect(lgread32(lg, data + lg.abi.data.cr2)).toBe(0xffc00010)
    expect(lg.regs.eip).toBe(0x2222)
  })

  it('ignores hardware interrupts, NMIs and system calls that were not direct', () => {
    const lg = newGuestC(hv)
    for (const number of [2, 32, 100, 128, 255]) {
      expect(trap(lg, number, { eip: 0x1500 }).kind).toBe('run')
      expect(lg.regs.eip).toBe(0x1500)
    }
  })
})

describe('the FPU', () => {
  it('follows the Guest over CPUs, and TS keeps others out', () => {
    const one = newGuestC(hv)
    const two = newGuestA(hv)
    buildPageTables(two, 0x3000)
    const [cpu0, cpu1] = host.cpus
    const ts = (cpu: (typeof host.cpus)[0]): boolean => (cpu.st[S_CR0] & 8) !== 0
    /** The Guest leaves the CPU to another task. */
    const park = (lg: Guest, cpu = 0): void => {
      host.resched = true
      expect(trap(lg, 32, {}, cpu).kind).toBe('yield')
      host.resched = false
    }
    runGuest(one, cpu0)
    expect(ts(cpu0)).toBe(true)
    trap(one, 7)
    expect(ts(cpu0)).toBe(false)
    expect(cpu0.st[S_FPU_CONTROL]).toBe(0x37f)
    cpu0.st[S_FPU_REG] = 0x1111
    park(one)

    runGuest(two, cpu0)
    expect(ts(cpu0)).toBe(true)
    trap(two, 7) // the first one's registers go to its page
    expect(cpu0.st[S_FPU_REG]).toBe(0)
    cpu0.st[S_FPU_REG] = 0x2222
    park(two)
    runGuest(one, cpu0)
    expect(ts(cpu0)).toBe(true)
    trap(one, 7)
    expect(cpu0.st[S_FPU_REG]).toBe(0x1111)
    park(one)

    runGuest(one, cpu1) // it moves, with its registers still in CPU 0
    expect(ts(cpu1)).toBe(true)
    trap(one, 7, {}, 1)
    expect(cpu1.st[S_FPU_REG]).toBe(0x1111)
    expect(hv.cpu(0).fpu_owner).toBe(0)
    park(one, 1)
    expect(findBrokenInvariants(hv)).toEqual([])
    expect(CpuStateLayout.size).toBeLessThanOrEqual(4096)
  })

  it('reflects trap 7 when the Guest asked for it', () => {
    const lg = newGuestC(hv)
    trap(lg, 32, { esp: 0x9000 })
    initGuest(lg)
    lg.setIdtEntry(7, 0x00613333, 0x8e00)
    trap(lg, 0x1f, { eax: LHCALL.TS, ebx: 8 })
    expect(host.cpus[0].st[S_CR0] & 8).toBe(8)
    trap(lg, 7)
    expect(lg.regs.eip).toBe(0x3333)
  })
})

import { describe, expect, it } from 'vitest'
import { LguestData, LHCALL } from '../layout/lguest-data.ts'
import { LguestRoState } from '../layout/lguest-pages.ts'
import { FAKE_BASE, fakeHypervisor, hcall, newGuestC, trap } from '../testing/fake-host.ts'
import { runGuest } from './core.ts'
import { deadReason, Lguest, lgread32, lgwrite32 } from './guest.ts'
import { findBrokenInvariants } from './invariants.ts'
import { lguestRead, lguestRequest } from './lguest-user.ts'
import { lguestPages, SWITCHER_ADDR } from './switcher/switcher.ts'
import { initGuest } from '../testing/guest-memory.ts'

describe('the hypervisor', () => {
  it('maps its region for the Host: text, then two pages a CPU', () => {
    const { host, hv } = fakeHypervisor(2)
    expect([...host.region.keys()].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5])
    expect(host.region.get(2)).toBe(hv.cpu(0).page0)
    expect(host.region.get(5)).toBe(hv.cpu(1).page1)
    const state = hv.roState(1)
    expect(state.guest_tss.esp0).toBe(lguestPages(1) + 4096)
    expect(state.guest_idt_desc.base).toBe(lguestPages(1) + 4096 + LguestRoState.offset.guest_idt)
    expect(state.host_gdt_desc.base).toBe(0xc0001000)
    expect(Lguest.size).toBeLessThanOrEqual(4096)
    expect(findBrokenInvariants(hv)).toEqual([])
  })
})

describe('runGuest', () => {
  it('enters through the Switcher with the CPU pages and the shadow table', () => {
    const { host, hv } = fakeHypervisor()
    const lg = newGuestC(hv)
    expect(runGuest(lg, host.cpus[1]).kind).toBe('run')
    expect(host.entered).toEqual({
      entry: hv.switcher[0].entry,
      eax: lguestPages(1),
      ebx: lg.s.pgdirs.at(0).pgdir,
    })
    expect(host.entered!.entry).toBe(SWITCHER_ADDR)
    expect(lg.regs.trapnum).toBe(256)
  })

  it('returns NOTIFY to the launcher, and runs on when an eventfd takes it', () => {
    const { host, hv } = fakeHypervisor()
    const lg = newGuestC(hv)
    const cpu = host.cpus[0]
    expect(lguestRead(lg, lg.s.tsk, cpu, FAKE_BASE + 0x8000, 4)).toEqual({ kind: 'run' })
    initGuest(lg)
    expect(hcall(lg, LHCALL.NOTIFY, 0x5000)).toEqual({ kind: 'done', value: 4 })
    expect(host.readUser32(lg.s.mm, FAKE_BASE + 0x8000)).toBe(0x5000)
    // The next read() takes it as dealt with.
    expect(lguestRead(lg, lg.s.tsk, cpu, FAKE_BASE + 0x8000, 4)).toEqual({ kind: 'run' })
    expect(lguestRequest(lg, lg.s.tsk, 4, [0x5000, 7])).toBe(0)
    expect(hcall(lg, LHCALL.NOTIFY, 0x5000)).toEqual({ kind: 'run' })
    expect(host.signalled).toEqual([7])
  })

  it('does not do the direct call before the launcher has seen a queued NOTIFY', () => {
    const { host, hv } = fakeHypervisor()
    const lg = newGuestC(hv)
    const cpu = host.cpus[0]
    lguestRead(lg, lg.s.tsk, cpu, FAKE_BASE + 0x8000, 4)
    const data = initGuest(lg)
    const ring = data + LguestData.offset.hcalls
    lgwrite32(lg, ring, LHCALL.NOTIFY)
    lgwrite32(lg, ring + 4, 0x6000)
    lg.memory.write8(data + LguestData.offset.hcall_status, 0)
    expect(hcall(lg, LHCALL.TS, 8)).toEqual({ kind: 'done', value: 4 })
    expect(lg.s.ts).toBe(0)
    expect(lg.memory.read8(data + LguestData.offset.hcall_status)).toBe(0xff)
    expect(lguestRead(lg, lg.s.tsk, cpu, FAKE_BASE + 0x8000, 4)).toEqual({ kind: 'run' })
    expect(lg.s.ts).toBe(8)
    expect(lg.s.hcall).toBe(0)
  })

  it('sleeps when halted and wakes for an unblocked interrupt', () => {
    const { host, hv } = fakeHypervisor()
    const lg = newGuestC(hv)
    lguestRead(lg, lg.s.tsk, host.cpus[0], FAKE_BASE, 4)
    const data = initGuest(lg)
    expect(hcall(lg, LHCALL.HALT).kind).toBe('sleep')
    expect(lguestRequest(lg, lg.s.tsk, 2, [3])).toBe(0)
    expect(host.woken).toEqual([lg.s.tsk])
    lgwrite32(lg, data + LguestData.offset.blocked_interrupts, 1 << 3)
    expect(runGuest(lg, host.cpus[0]).kind).toBe('sleep')
    lgwrite32(lg, data + LguestData.offset.blocked_interrupts, 0)
    expect(runGuest(lg, host.cpus[0]).kind).toBe('run')
    expect(lg.s.halted).toBe(0)
    expect(lgread32(lg, data + LguestData.offset.irq_enabled)).toBe(0x200)
  })

  it('gives way when another task should run, and stops for a signal', () => {
    const { host, hv } = fakeHypervisor()
    const lg = newGuestC(hv)
    host.resched = true
    expect(runGuest(lg, host.cpus[0]).kind).toBe('yield')
    host.resched = false
    host.signal = true
    expect(runGuest(lg, host.cpus[0])).toEqual({ kind: 'done', value: -4 })
  })

  it('says ENOENT when the Guest dies, then the reason', () => {
    const { host, hv } = fakeHypervisor()
    const lg = newGuestC(hv)
    const cpu = host.cpus[0]
    lguestRead(lg, lg.s.tsk, cpu, FAKE_BASE + 0x8000, 64)
    expect(trap(lg, 3, { eip: 0x1234 })).toEqual({ kind: 'done', value: -2 })
    expect(deadReason(lg)).toBe('unhandled trap 3 at 0x1234 (0x0) before INIT')
    const { value } = lguestRead(lg, lg.s.tsk, cpu, FAKE_BASE + 0x8000, 64) as { value: number }
    expect(value).toBe(deadReason(lg).length + 1)
    expect(lguestRequest(lg, lg.s.tsk, 2, [1])).toBe(-2)
  })
})

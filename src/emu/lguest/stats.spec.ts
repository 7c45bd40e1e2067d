import { describe, expect, it } from 'vitest'
import { LHCALL } from '../layout/lguest-data.ts'
import { fakeHypervisor, hcall, hcallA, newGuestA, newGuestC, trap } from '../testing/fake-host.ts'
import { buildPageTables, initGuest, initGuestA, setGate } from '../testing/guest-memory.ts'
import { lguestClose } from './lguest-user.ts'
import { collectStats, guestStatistics } from './stats.ts'

describe('collectStats', () => {
  it('adds CPUs, living Guests and closed ones', () => {
    const { hv } = fakeHypervisor(2)
    const c = newGuestC(hv)
    trap(c, 32, { esp: 0x9000 })
    initGuest(c)
    setGate(c, 14, 0x2222)
    trap(c, 14, { cr2: 0x5000, errcode: 2 })
    trap(c, 14, { cr2: 0xffc00000, errcode: 2 })
    hcall(c, LHCALL.TS, 0)
    const a = newGuestA(hv)
    buildPageTables(a, 0x3000)
    trap(a, 32, {}, 1)
    initGuestA(a)
    hcallA(a, 9)
    hcallA(a, 9)
    const before = collectStats(hv)
    expect(before.hypercalls).toEqual({ LGUEST_INIT: 2, LOAD_IDT_ENTRY: 1, TS: 1, TIMER_READ: 2 })
    expect(before.pageFaults).toEqual({ demand: 1, reflected: 1 })
    expect(before.cpus.map((cpu) => cpu.worldSwitches)).toEqual([6, 4])
    expect(guestStatistics(c).worldSwitches).toBe(6)
    for (const lg of [a, c]) {
      lg.s.running = 0
      lguestClose(lg)
    }
    expect(collectStats(hv)).toEqual(before)
  })
})

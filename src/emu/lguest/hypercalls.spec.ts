import { describe, expect, it } from 'vitest'
import { HcallRingEraA, LguestData, LguestDataEraA, LHCALL } from '../layout/lguest-data.ts'
import { fakeHypervisor, hcall, hcallA, newGuestA, newGuestC, trap } from '../testing/fake-host.ts'
import { buildPageTables, DATA_GPA, initGuest, initGuestA } from '../testing/guest-memory.ts'
import { DEAD_RESTART, deadReason, type Guest, lgread32, lgwrite32 } from './guest.ts'
import { guestStatistics } from './stats.ts'

const { hv } = fakeHypervisor(1)

function guestC(): Guest {
  const lg = newGuestC(hv)
  trap(lg, 32)
  initGuest(lg)
  return lg
}

/** Queues a call in slot `slot` of the ring. */
function queue(lg: Guest, slot: number, ...args: number[]): void {
  const { offset } = LguestData
  args.forEach((arg, i) => lgwrite32(lg, DATA_GPA + offset.hcalls + slot * 20 + i * 4, arg))
  lg.memory.write8(DATA_GPA + offset.hcall_status + slot, 0)
}
const status = (lg: Guest, slot: number): number => lg.memory.read8(DATA_GPA + LguestData.offset.hcall_status + slot)

function text(lg: Guest, gpa: number, string: string): number {
  ;[...string, '\0'].forEach((c, i) => lg.memory.write8(gpa + i, c.charCodeAt(0)))
  return gpa
}

describe('LGUEST_INIT', () => {
  it('must come first, once', () => {
    const lg = newGuestC(hv)
    trap(lg, 32)
    hcall(lg, LHCALL.HALT)
    expect(deadReason(lg)).toBe('hypercall 10 before INIT')
    const twice = guestC()
    hcall(twice, LHCALL.LGUEST_INIT, DATA_GPA)
    expect(deadReason(twice)).toBe('already have lguest_data')
  })

  it('fills in what the Host promises', () => {
    const lg = guestC()
    const data = LguestData.at(lg.memory, DATA_GPA)
    expect(data.reserve_mem).toBe(0x400000)
    expect(data.tsc_khz).toBe(100000)
    expect(data.tv_sec).toBe(1173410000)
    expect(lg.s.kernel_address).toBe(0xc0000000)
  })

  it.each([
    ['bad guest page 0x3fff0', { gpa: 64 * 4096 - 16 }],
    ['bad guest page 0xfffffff0', { gpa: 0xfffffff0 }],
    ['bad syscall vector', { syscall_vec: 0x81 }],
    ['bad kernel address 0xffc00000', { kernel_address: 0xffc00000 }],
  ])('kills: %s', (reason, { gpa, ...fields }: Record<string, number>) => {
    const lg = newGuestC(hv)
    trap(lg, 32)
    if (gpa === undefined) initGuest(lg, fields)
    else hcall(lg, LHCALL.LGUEST_INIT, gpa)
    expect(deadReason(lg)).toBe(reason)
  })
})

describe('SHUTDOWN', () => {
  it('power off leaves its text, restart its code', () => {
    const lg = guestC()
    expect(hcall(lg, LHCALL.SHUTDOWN, text(lg, 0x5000, 'Power down'), 1)).toEqual({ kind: 'done', value: -2 })
    expect(deadReason(lg)).toBe('CRASH: Power down')
    const again = guestC()
    expect(hcall(again, LHCALL.SHUTDOWN, text(again, 0x5000, 'Restarting'), 2)).toEqual({ kind: 'done', value: -85 })
    expect(again.s.dead).toBe(DEAD_RESTART)
  })

  it('restarts whatever the text is: Linux gives none', () => {
    const lg = guestC()
    expect(hcall(lg, LHCALL.SHUTDOWN, 0x4000_0000, 2)).toEqual({ kind: 'done', value: -85 })
  })

  it('keeps what a terminal would obey out of the reason', () => {
    const lg = guestC()
    hcall(lg, LHCALL.SHUTDOWN, text(lg, 0x5000, 'red \x1b[31m\x07\x9b\n'), 1)
    expect(deadReason(lg)).toBe('CRASH: red ?[31m???')
  })

  it('reads 127 characters, and kills for a text outside memory', () => {
    const lg = guestC()
    hcall(lg, LHCALL.SHUTDOWN, text(lg, 0x5000, 'x'.repeat(300)), 1)
    expect(deadReason(lg)).toBe(`CRASH: ${'x'.repeat(127)}`)
    const outside = guestC()
    hcall(outside, LHCALL.SHUTDOWN, 64 * 4096 - 4, 1)
    expect(deadReason(outside)).toBe('bad read address 0x3fffc len 128')
    expect(outside.s.dead).not.toBe(DEAD_RESTART)
  })
})

describe('bad hypercalls', () => {
  it.each([3, 11, 12, 13, 20, 31, 4711, 0xffffffff])('era C has no %i', (number) => {
    const lg = guestC()
    hcall(lg, number)
    expect(deadReason(lg)).toBe(`Bad hypercall ${number}`)
  })

  it.each([17, 18, 19, 20])('era A has no %i', (number) => {
    const lg = newGuestA(hv)
    trap(lg, 32)
    initGuestA(lg)
    hcallA(lg, number)
    expect(deadReason(lg)).toBe(`Bad hypercall ${number}`)
  })
})

describe('the ring', () => {
  it('runs queued calls in order, before the direct one, and frees their entries', () => {
    const lg = guestC()
    queue(lg, 0, LHCALL.TS, 8)
    queue(lg, 1, LHCALL.LOAD_GDT_ENTRY, 20, 0x1111, 0)
    queue(lg, 2, LHCALL.LOAD_GDT_ENTRY, 20, 0x2222, 0)
    hcall(lg, LHCALL.LOAD_GDT_ENTRY, 20, 0x3333, 0)
    expect(lg.s.ts).toBe(8)
    expect(lg.gdtEntry(20).a).toBe(0x3333)
    expect([0, 1, 2].map((slot) => status(lg, slot))).toEqual([0xff, 0xff, 0xff])
    expect(lg.s.next_hcall).toBe(3)
    queue(lg, 3, LHCALL.TS, 0)
    hcall(lg, LHCALL.FLUSH_ASYNC)
    expect(lg.s.ts).toBe(0)
    expect(guestStatistics(lg).hypercalls).toMatchObject({ TS: 2, LOAD_GDT_ENTRY: 3, FLUSH_ASYNC: 1, LGUEST_INIT: 1 })
  })

  it('goes round, once a pass', () => {
    const lg = guestC()
    for (let slot = 0; slot < 64; slot++) queue(lg, slot, LHCALL.TS, slot)
    hcall(lg, LHCALL.FLUSH_ASYNC)
    expect(lg.s.ts).toBe(63)
    expect(lg.s.next_hcall).toBe(0)
    expect(guestStatistics(lg).hypercalls['TS']).toBe(64)
  })

  it('is not looked at without a direct call in era C', () => {
    const lg = guestC()
    queue(lg, 0, LHCALL.TS, 8)
    trap(lg, 32)
    expect(lg.s.ts).toBe(0)
  })

  it('is looked at on every entry in era A', () => {
    const lg = newGuestA(hv)
    buildPageTables(lg, 0x3000)
    trap(lg, 32)
    initGuestA(lg)
    const entry = HcallRingEraA.at(lg.memory, DATA_GPA + LguestDataEraA.offset.hcalls)
    entry.eax = LHCALL.TS
    entry.edx = 8
    lg.memory.write8(DATA_GPA + LguestDataEraA.offset.hcall_status, 0)
    trap(lg, 32)
    expect(lg.s.ts).toBe(8)
  })

  it('stops at a call that kills', () => {
    const lg = guestC()
    queue(lg, 0, 99)
    queue(lg, 1, LHCALL.TS, 8)
    hcall(lg, LHCALL.FLUSH_ASYNC)
    expect(deadReason(lg)).toBe('Bad hypercall 99')
    expect(lg.s.ts).toBe(0)
  })
})

describe('results', () => {
  it('leave eax alone in era C', () => {
    const lg = guestC()
    hcall(lg, LHCALL.TS, 8)
    expect(lg.regs.eax).toBe(LHCALL.TS)
  })

  it('lguest_data may cross a page', () => {
    const lg = newGuestC(hv)
    trap(lg, 32)
    const gpa = 0x7ff0
    lgwrite32(lg, gpa + LguestData.offset.syscall_vec, 0x80)
    for (let i = 0; i < 64; i++) lg.memory.write8(gpa + LguestData.offset.hcall_status + i, 0xff)
    hcall(lg, LHCALL.LGUEST_INIT, gpa)
    expect(lg.dead).toBe(false)
    expect(lgread32(lg, gpa + LguestData.offset.reserve_mem)).toBe(0x400000)
  })
})

import { beforeEach, describe, expect, it } from 'vitest'
import { LguestData, LguestDataEraA, LHCALL } from '../layout/lguest-data.ts'
import { LguestRoState } from '../layout/lguest-pages.ts'
import { fakeHypervisor, hcall, hcallA, newGuestA, newGuestC, trap } from '../testing/fake-host.ts'
import { buildPageTables, DATA_GPA, initGuest, initGuestA, KERNEL_ADDRESS, setGate } from '../testing/guest-memory.ts'
import { CHANGED_IDT, deadReason, type Guest, lgread32, lgwrite32 } from './guest.ts'
import { timerExpired } from './core.ts'
import { copyTraps, directTrap, interruptsPending, loadGuestIdtEntry, setInterrupt } from './interrupts-and-traps.ts'

const { host, hv } = fakeHypervisor(1)
beforeEach(() => (host.looksAgain = []))
const data = (lg: Guest, field: keyof typeof LguestData.offset): number =>
  lgread32(lg, DATA_GPA + LguestData.offset[field])
const setData = (lg: Guest, field: keyof typeof LguestData.offset, value: number): void =>
  lgwrite32(lg, DATA_GPA + LguestData.offset[field], value)

/** Initialised, still in linear mode; stack at 0x9000. */
function guestC(): Guest {
  const lg = newGuestC(hv)
  trap(lg, 32, { esp: 0x9000 })
  initGuest(lg)
  return lg
}

function guestA(): Guest {
  const lg = newGuestA(hv)
  buildPageTables(lg, 0x3000)
  trap(lg, 32, { esp: KERNEL_ADDRESS + 0x9000 })
  initGuestA(lg)
  return lg
}

/** Words on the stack from gpa `at` upwards. */
const words = (lg: Guest, at: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => lgread32(lg, at + i * 4))

describe('reflectTrap', () => {
  it('builds the frame on the current stack when the kernel was running', () => {
    const lg = guestC()
    setGate(lg, 6, 0x2222, 0xf)
    setData(lg, 'irq_enabled', 0x200)
    trap(lg, 6, { eip: 0x1500, esp: 0x9000, eflags: 0x246 })
    expect(lg.regs.eip).toBe(0x2222)
    expect(lg.regs.cs).toBe(0x61)
    expect(lg.regs.esp).toBe(0x9000 - 12)
    expect(words(lg, 0x9000 - 12, 3)).toEqual([0x1500, 0x61, 0x246])
    expect(data(lg, 'irq_enabled')).toBe(0x200) // a trap gate leaves it
  })

  it('changes stacks and pushes ss and esp when user mode was running', () => {
    const lg = guestC()
    setGate(lg, 13, 0x3333, 0xe)
    setData(lg, 'irq_enabled', 0x200)
    hcall(lg, LHCALL.SET_STACK, 0x69, 0xa000, 1)
    trap(lg, 13, { cs: 0x73, ss: 0x7b, esp: 0xbfff0000, eip: 0x8048000, eflags: 0x10302, errcode: 0x50 })
    expect(lg.regs.ss).toBe(0x69)
    expect(lg.regs.esp).toBe(0xa000 - 24)
    expect(words(lg, 0xa000 - 24, 6)).toEqual([0x50, 0x8048000, 0x73, 0x10302, 0xbfff0000, 0x7b])
    expect(data(lg, 'irq_enabled')).toBe(0) // an interrupt gate clears it
    expect(lg.regs.eflags & 0x14100).toBe(0) // TF, NT, RF do not reach the handler
  })

  it('shows interrupts off in the frame when the Guest had them off', () => {
    const lg = guestC()
    setGate(lg, 0, 0x2222)
    trap(lg, 0, { eip: 0x1500, esp: 0x9000, eflags: 0x246 })
    expect(words(lg, 0x9000 - 4, 1)).toEqual([0x046])
  })

  it('era A only ever adds the flag', () => {
    const lg = guestA()
    hcallA(lg, LHCALL.LOAD_IDT_ENTRY, 0, 0x602222, (KERNEL_ADDRESS | 0x8e00) >>> 0)
    trap(lg, 0, { eip: KERNEL_ADDRESS + 0x1500, esp: KERNEL_ADDRESS + 0x9000, eflags: 0x246 })
    expect(words(lg, 0x9000 - 4, 1)).toEqual([0x246])
    expect(lg.regs.eip).toBe(KERNEL_ADDRESS + 0x2222)
  })

  it('kills a Guest without handler, or with an impossible stack', () => {
    const lg = guestC()
    trap(lg, 5, { eip: 0x1111, errcode: 0 })
    expect(deadReason(lg)).toBe('unhandled trap 5 at 0x1111 (0x0)')
    const other = guestC()
    setGate(other, 5, 0x2222)
    trap(other, 5, { esp: 0x40004, eip: 0x1111 })
    expect(deadReason(other)).toMatch(/^bad write address 0x40000 len 4/)
  })

  it('translates every word of a frame that crosses pages', () => {
    const lg = guestC()
    setGate(lg, 0, 0xc0002222 | 0)
    buildPageTables(lg, 0x3000)
    // Kernel pages 9 and 10 swapped: 0xc0009000 is gpa 0xa000 and 0xc000a000 gpa 0x9000.
    lgwrite32(lg, 0x4000 + 9 * 4, 0xa003)
    lgwrite32(lg, 0x4000 + 10 * 4, 0x9003)
    hcall(lg, LHCALL.NEW_PGTABLE, 0x3000)
    trap(lg, 0, { eip: 0xc0001500, esp: 0xc000a004, cs: 0x61, eflags: 0x202 })
    expect(lg.dead).toBe(false)
    expect(lgread32(lg, 0x9000)).toBe(0x002)
    expect(words(lg, 0xaff8, 2)).toEqual([0xc0001500, 0x61])
  })
})

describe('virtual interrupts', () => {
  it('delivers the lowest pending, one an entry, and says when none is left', () => {
    const lg = guestC()
    setGate(lg, 33, 0x2100)
    setGate(lg, 35, 0x2300)
    setData(lg, 'irq_enabled', 0x200)
    setData(lg, 'irq_pending', 0x200)
    setInterrupt(lg, 3)
    setInterrupt(lg, 1)
    trap(lg, 32, { eip: 0x1500, esp: 0x9000 })
    expect(lg.regs.eip).toBe(0x2100)
    expect(lg.s.irqs_pending).toBe(1 << 3)
    expect(data(lg, 'irq_enabled')).toBe(0)
    expect(data(lg, 'irq_pending')).toBe(0x200)
    expect(data(lg, 'tv_sec')).toBe(1173410000)
    // Its handler's iret does not ask for the other one.
    expect(host.looksAgain).toEqual([1_000_000])
    setData(lg, 'irq_enabled', 0x200)
    trap(lg, 32, { eip: 0x1500, esp: 0x9000 })
    expect(lg.regs.eip).toBe(0x2300)
    expect(data(lg, 'irq_pending')).toBe(0)
    expect(host.looksAgain).toHaveLength(1)
  })

  it('says that one more is pending though the Guest had not been told before', () => {
    const lg = guestC()
    setGate(lg, 33, 0x2100)
    setGate(lg, 35, 0x2300)
    setData(lg, 'irq_enabled', 0x200)
    setInterrupt(lg, 3)
    setInterrupt(lg, 1)
    trap(lg, 32, { eip: 0x1500, esp: 0x9000 })
    expect([lg.regs.eip, data(lg, 'irq_pending')]).toEqual([0x2100, 0x200])
  })

  it('waits while the Guest has interrupts off, and asks to be called', () => {
    const lg = guestC()
    setGate(lg, 33, 0x2100)
    setData(lg, 'irq_enabled', 0x46) // an eflags word without IF: off
    setInterrupt(lg, 1)
    trap(lg, 32, { eip: 0x1500 })
    expect(lg.regs.eip).toBe(0x1500)
    expect(data(lg, 'irq_pending')).toBe(0x200)
    expect(host.looksAgain).toEqual([1_000_000])
    setData(lg, 'blocked_interrupts', 2)
    hcall(lg, LHCALL.SEND_INTERRUPTS)
    expect(data(lg, 'irq_pending')).toBe(0) // blocked by now: need not call again
  })

  it('keeps out of the noirq window, and makes sure of coming back', () => {
    const lg = newGuestC(hv)
    trap(lg, 32, { esp: 0x9000 })
    initGuest(lg, { noirq_start: 0x1600, noirq_end: 0x1604 })
    setGate(lg, 32, 0x2100)
    setData(lg, 'irq_enabled', 0x200)
    setInterrupt(lg, 0)
    trap(lg, 32, { eip: 0x1603 })
    expect(lg.regs.eip).toBe(0x1603)
    expect(host.looksAgain).toEqual([20_000])
    trap(lg, 32, { eip: 0x1604 })
    expect(lg.regs.eip).toBe(0x2100)
  })

  it('wakes a Guest that halts inside its noirq window', () => {
    const lg = newGuestC(hv)
    trap(lg, 32, { esp: 0x9000 })
    initGuest(lg, { noirq_start: 0, noirq_end: 0xffffffff })
    setGate(lg, 32, 0x2100)
    setInterrupt(lg, 0)
    expect(hcall(lg, LHCALL.HALT).kind).toBe('run')
    expect(lg.regs.eip).toBe(0x2100)
  })

  it('leaves an interrupt pending when its gate is missing', () => {
    const lg = guestC()
    setData(lg, 'irq_enabled', 0x200)
    setInterrupt(lg, 5)
    trap(lg, 32, { eip: 0x1500 })
    expect(lg.regs.eip).toBe(0x1500)
    expect(interruptsPending(lg)).toBe(1 << 5)
    expect(host.looksAgain).toEqual([])
  })

  it('delivers nothing before LGUEST_INIT', () => {
    const lg = newGuestC(hv)
    setInterrupt(lg, 0)
    expect(trap(lg, 32).kind).toBe('run')
    expect(lg.s.irqs_pending).toBe(1)
  })

  it('the clock event is a Host timer that raises irq 0', () => {
    const lg = guestC()
    host.woken = []
    hcall(lg, LHCALL.SET_CLOCKEVENT, 1_000_000)
    expect(host.timers.get(lg.address)).toBe(host.now + 1_000_000)
    timerExpired(hv, lg.address)
    expect(lg.s.irqs_pending).toBe(1)
    expect(host.woken).toContain(lg.s.tsk)
    hcall(lg, LHCALL.SET_CLOCKEVENT, 0)
    expect(host.timers.has(lg.address)).toBe(false)
  })

  it('era A ticks by itself and counts for TIMER_READ', () => {
    const lg = guestA()
    const armed = host.timers.get(lg.address)!
    expect(armed).toBeGreaterThan(host.now)
    expect(armed - host.now).toBeLessThanOrEqual(10_000_000)
    host.now += 35_000_000
    timerExpired(hv, lg.address)
    expect(lg.s.irqs_pending).toBe(1)
    lg.s.irqs_pending = 0
    hcallA(lg, 9)
    expect(lg.regs.eax).toBe(3)
    hcallA(lg, 9)
    expect(lg.regs.eax).toBe(0)
    hcallA(lg, LHCALL.GET_WALLCLOCK)
    expect(lg.regs.eax).toBe(1173410000)
  })
})

describe('LOAD_IDT_ENTRY', () => {
  it('stores with the kernel segment and without the reserved bits', () => {
    const lg = guestC()
    lg.s.changed = 0
    loadGuestIdtEntry(lg, 0x80, 0x12345678, 0xc010ff1f)
    expect(lg.idtEntry(0x80)).toEqual({ a: 0x00615678, b: 0xc010ef00 })
    expect(lg.s.changed).toBe(CHANGED_IDT)
  })

  it.each([2, 8, 15, 31])('silently ignores vector %i', (vector) => {
    const lg = guestC()
    lg.s.changed = 0
    loadGuestIdtEntry(lg, vector, 0x601111, 0xc0008e00)
    expect(lg.idtEntry(vector)).toEqual({ a: 0, b: 0 })
    expect(lg.s.changed).toBe(0)
  })

  it('stores an absent gate as zero, kills for a wrong type or vector', () => {
    const lg = guestC()
    loadGuestIdtEntry(lg, 6, 0x601111, 0xc0008e00)
    loadGuestIdtEntry(lg, 6, 0x601111, 0xc0000e00)
    expect(lg.idtEntry(6)).toEqual({ a: 0, b: 0 })
    loadGuestIdtEntry(lg, 6, 0x601111, 0xc0008500)
    expect(deadReason(lg)).toBe('bad IDT type 5')
    const other = guestC()
    loadGuestIdtEntry(other, 256, 0, 0)
    expect(deadReason(other)).toBe('Setting idt entry 256')
  })

  it('era A has 64 vectors and the system call', () => {
    const lg = guestA()
    for (const vector of [63, 64, 0x80, 0x81]) loadGuestIdtEntry(lg, vector, 0x601111, 0xc0008e00)
    expect([63, 64, 0x80, 0x81].map((vector) => lg.idtEntry(vector).b !== 0)).toEqual([true, false, true, false])
  })
})

describe('copyTraps', () => {
  const idt = hv.cpu(0).page1 + LguestRoState.offset.guest_idt
  const entry = (vector: number): number[] => [
    hv.mem.read32(idt + vector * 8) >>> 0,
    hv.mem.read32(idt + vector * 8 + 4) >>> 0,
  ]

  it('lets trap gates of the right vectors go direct, and no others', () => {
    expect([...Array(256).keys()].filter((v) => !directTrap(v) && v < 32)).toEqual([7, 13, 14, 31])
    expect(directTrap(0x80)).toBe(true)
    expect(directTrap(0x81)).toBe(false)
    const lg = guestC()
    const { stubs } = hv.switcher[0]
    loadGuestIdtEntry(lg, 0x80, 0x1234, 0xc001ef00)
    loadGuestIdtEntry(lg, 3, 0x5678, 0xc001ee00) // interrupt gate, DPL 3
    loadGuestIdtEntry(lg, 14, 0x9abc, 0xc001ef00) // never direct
    expect(copyTraps(lg, idt, stubs)).toBe(29 * 8)
    expect(entry(0x80)).toEqual([0x00611234, 0xc001ef00])
    expect(entry(3)).toEqual([(0x00500000 | (stubs[3] & 0xffff)) >>> 0, ((stubs[3] & 0xffff0000) | 0xee00) >>> 0])
    expect(entry(14)[0] >>> 16).toBe(0x50)
    expect(entry(31)[1] & 0xffff).toBe(0xae00) // ring 1 may make hypercalls
    expect(entry(32)[1] & 0xffff).toBe(0x8e00)
    // Taken back, the stub returns.
    loadGuestIdtEntry(lg, 0x80, 0, 0)
    copyTraps(lg, idt, stubs)
    expect(entry(0x80)[0] >>> 16).toBe(0x50)
  })

  it('era A copies 33 entries, default gates of DPL 0', () => {
    const lg = guestA()
    const { stubs } = hv.switcher[1]
    loadGuestIdtEntry(lg, 3, 0x5678, 0xc001ee00)
    expect(copyTraps(lg, idt, stubs)).toBe(33 * 8)
    expect(entry(3)[1] & 0xffff).toBe(0x8e00)
  })
})

describe('SET_STACK', () => {
  it('checks its arguments', () => {
    for (const [args, reason] of [
      [[0x68, 0x9000, 1], 'bad stack segment 104'],
      [[0x69, 0x9000, 3], 'bad stack pages 3'],
      [[0x69, 0x41000, 1], 'bad page table entry'],
    ] as const) {
      const lg = guestC()
      hcall(lg, LHCALL.SET_STACK, ...args)
      expect(deadReason(lg)).toBe(reason)
    }
  })

  it('kills when the stack is not mapped writable', () => {
    const lg = guestC()
    buildPageTables(lg, 0x3000)
    lgwrite32(lg, 0x4000 + 8 * 4, 0x8001)
    hcall(lg, LHCALL.NEW_PGTABLE, 0x3000)
    hcall(lg, LHCALL.SET_STACK, 0x69, KERNEL_ADDRESS + 0x9000, 1)
    expect(deadReason(lg)).toBe('bad stack page 0xc0008fff')
  })
})

describe('checkBugKill', () => {
  function bug(lg: Guest, eip: number): void {
    lg.memory.write16(0x1500, 0x0b0f)
    lg.memory.write16(0x1502, 321)
    lgwrite32(lg, 0x1504, KERNEL_ADDRESS + 0x1600)
    ;[...'mm/slab.c'].forEach((c, i) => lg.memory.write8(0x1600 + i, c.charCodeAt(0)))
    trap(lg, 6, { eip })
  }

  it('names file and line of an old BUG()', () => {
    const lg = guestA()
    bug(lg, KERNEL_ADDRESS + 0x1500)
    expect(deadReason(lg)).toBe('BUG() at 0xc0001500 mm/slab.c:321')
  })

  it('only looks in the direct mapping, and only in era A', () => {
    const lg = guestA()
    bug(lg, 0x1500)
    expect(deadReason(lg)).toBe('unhandled trap 6 at 0x1500 (0x0)')
    const c = guestC()
    setGate(c, 6, 0x2222)
    bug(c, KERNEL_ADDRESS + 0x1500)
    expect(c.dead).toBe(false)
    expect(c.regs.eip).toBe(0x2222)
  })

  it('knows where lguest_data of era A is', () => {
    const lg = guestA()
    expect(lgread32(lg, DATA_GPA + LguestDataEraA.offset.reserve_mem)).toBe(0x400000)
    expect(lg.memory.read16(DATA_GPA + LguestDataEraA.offset.guestid)).toBe(lg.s.guestid)
  })
})

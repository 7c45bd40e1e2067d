/**
 * Era A: the Guest interface of the seed, March 2007 (arguments edx, ebx, ecx; results in eax; whole-table LOAD_GDT; page tables
 * built by the launcher, addresses converted by subtracting page_offset; the lguest bus for devices). guests/seed speaks it.
 * Reference: the A columns, and B where A is silent.
 *
 * Not known from the sources, chosen here: the timer. TIMER_READ returns the ticks since the last call, so there is a tick; it is
 * HZ times a second from LGUEST_INIT on.
 */
import { HcallRingEraA, LguestDataEraA, LHCALL, LHCALL_ERA_A } from '../../layout/lguest-data.ts'
import { GUEST_PL, LGUEST_TRAP_ENTRY, SYSCALL_VECTOR } from '../../layout/lguest-pages.ts'
import { LguestRegsEraA } from '../../layout/lguest-regs.ts'
import { FLAG_IF, PAGE_PSE, PAGE_PWT, PAGE_SIZE } from '../../layout/x86.ts'
import { CHANGED_GDT, type Guest, hex, killGuest, lguestAddressOk } from '../guest.ts'
import { EINVAL } from '../errno.ts'
import { CALLS } from '../hypercalls.ts'
import { armTimer, setInterrupt } from '../interrupts-and-traps.ts'
import { bindDma, sendDma } from '../io.ts'
import { guestPagetableClearAll } from '../page-tables.ts'
import { RESERVE_MEM, SWITCHER_ADDR, SWITCHER_ERA_A } from '../switcher/switcher.ts'
import { dataAddress, type GuestAbi, type Hypercall } from './abi.ts'

/** Timer ticks a second. */
export const HZ = 100
const TICK = 1e9 / HZ

/** Stored IDT: 64 vectors and the system call. */
const ERA_A_VECTORS = 64

/** hva of gpa 0: in 2007 the launcher mapped its Guest at 0; ours keeps the first pages free of it. */
export const ERA_A_BASE = 0x1000_0000

function ticks(lg: Guest): number {
  return Math.floor(lg.hv.host.ktime() / TICK)
}

function armTick(lg: Guest): void {
  armTimer(lg, (ticks(lg) + 1) * TICK)
}

const hypercalls: (Hypercall | undefined)[] = []
hypercalls[LHCALL.FLUSH_ASYNC] = CALLS.FLUSH_ASYNC
hypercalls[LHCALL.LGUEST_INIT] = CALLS.LGUEST_INIT
hypercalls[LHCALL_ERA_A.CRASH] = CALLS.CRASH
hypercalls[LHCALL.LOAD_GDT] = CALLS.LOAD_GDT
hypercalls[LHCALL.NEW_PGTABLE] = CALLS.NEW_PGTABLE
hypercalls[LHCALL.FLUSH_TLB] = CALLS.FLUSH_TLB
hypercalls[LHCALL.LOAD_IDT_ENTRY] = CALLS.LOAD_IDT_ENTRY
hypercalls[LHCALL.SET_STACK] = CALLS.SET_STACK
hypercalls[LHCALL.TS] = CALLS.TS
hypercalls[LHCALL_ERA_A.TIMER_READ] = {
  name: 'TIMER_READ',
  run(lg) {
    const now = ticks(lg)
    const elapsed = (now - lg.s.last_timer) >>> 0
    lg.s.last_timer = now
    return elapsed
  },
}
hypercalls[LHCALL.HALT] = CALLS.HALT
hypercalls[LHCALL.GET_WALLCLOCK] = { name: 'GET_WALLCLOCK', run: (lg) => lg.hv.host.wallTime().seconds >>> 0 }
hypercalls[LHCALL.BIND_DMA] = {
  name: 'BIND_DMA',
  run: (lg, { arg1, arg2, arg3 }) => (bindDma(lg, arg1, arg2, arg3 >>> 8, arg3 & 0xff) ? 1 : 0),
}
hypercalls[LHCALL_ERA_A.SEND_DMA] = {
  name: 'SEND_DMA',
  run(lg, { arg1, arg2 }) {
    sendDma(lg, arg1, arg2)
    return undefined
  },
}
hypercalls[LHCALL.SET_PTE] = CALLS.SET_PTE
hypercalls[LHCALL.SET_PGD] = CALLS.SET_PGD
hypercalls[LHCALL.LOAD_TLS] = CALLS.LOAD_TLS

function guestInit(lg: Guest, gpa: number): void {
  const { s } = lg
  if (!lguestAddressOk(lg, gpa, LguestDataEraA.size)) {
    killGuest(lg, `bad guest page ${hex(gpa)}`)
    return
  }
  s.lguest_data = s.mem_base + gpa
  const data = LguestDataEraA.at(lg.memory, gpa)
  s.noirq_start = data.noirq_start
  s.noirq_end = data.noirq_end
  data.reserve_mem = RESERVE_MEM
  data.guestid = s.guestid
  guestPagetableClearAll(lg)
  s.last_timer = ticks(lg)
  armTick(lg)
}

export const eraA: GuestAbi = {
  era: 'A',
  id: 1,
  switcher: SWITCHER_ERA_A,
  regs: LguestRegsEraA,
  data: LguestDataEraA.offset,
  hypercalls,
  drainsRingAlways: true,

  initializeWords: 4,
  parseInitialize([pfnLimit, pgdir, start, pageOffset]) {
    if (pfnLimit === 0 || pgdir % PAGE_SIZE !== 0 || pageOffset >= SWITCHER_ADDR) return EINVAL
    return { base: ERA_A_BASE, pfnLimit, pgdir, start, pageOffset }
  },

  hcallArguments: (regs) => ({ number: regs.eax, arg1: regs.edx, arg2: regs.ebx, arg3: regs.ecx, arg4: 0 }),
  ringArguments(lg, slot) {
    const entry = HcallRingEraA.at(lg.memory, dataAddress(lg, LguestDataEraA.offset.hcalls + slot * HcallRingEraA.size))
    return { number: entry.eax, arg1: entry.edx, arg2: entry.ebx, arg3: entry.ecx, arg4: 0 }
  },
  guestInit,

  guestPa(lg, gva) {
    if (gva >= lg.s.kernel_address) return gva - lg.s.kernel_address
    killGuest(lg, `Bad address ${hex(gva)}`)
    return -1
  },
  mayEmulate: (lg) => lg.regs.eip >= lg.s.kernel_address,
  skipsCli: false,
  hidesDebugRegisters: false,

  // The real flag is always on, so in this era the frame always says "interrupts were on" but for the bit's own value.
  pushedEflags: (eflags, irqEnabled) => eflags | (irqEnabled & FLAG_IF),
  storesIdtEntry: (vector) => vector < ERA_A_VECTORS || vector === SYSCALL_VECTOR,
  copiesTrap: () => true,
  defaultGateDpl: (vector) => (vector === LGUEST_TRAP_ENTRY ? GUEST_PL : 0),
  bugKills: true,

  checksGdt: true,
  changedByTls: CHANGED_GDT,
  killsSwitcherAccess: true,
  badPteFlags: PAGE_PSE | PAGE_PWT,

  timerExpired(lg) {
    setInterrupt(lg, 0)
    armTick(lg)
  },
}

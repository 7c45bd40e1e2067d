/**
 * lguest_data: the page Host and Guest share, one layout an era (reference 5.1), and the hypercall numbers (4.2).
 */
import { struct, type ViewOf } from '../bits/struct.ts'

export const LHCALL_RING_SIZE = 64

/** Arguments of one queued hypercall, eras C (2.6.31+) and D. */
export const HcallArgs = struct('hcall_args', { arg0: 'u32', arg1: 'u32', arg2: 'u32', arg3: 'u32', arg4: 'u32' }, 20)

/** lguest_data as Linux 3.x has it (era C). */
export const LguestData = struct(
  'lguest_data',
  {
    irq_enabled: 'u32',
    blocked_interrupts: 'u32',
    cr2: 'u32',
    tv_sec: 's32',
    tv_nsec: 's32',
    irq_pending: 's32',
    hcall_status: ['u8', LHCALL_RING_SIZE],
    hcalls: [HcallArgs, LHCALL_RING_SIZE],
    reserve_mem: 'u32',
    tsc_khz: 'u32',
    noirq_start: 'u32',
    noirq_end: 'u32',
    kernel_address: 'u32',
    syscall_vec: 'u32',
  },
  1392,
)
export type LguestDataView = ViewOf<typeof LguestData>

/** Ring entry of eras A and B: eax, edx, ebx, ecx. */
export const HcallRingEraA = struct('hcall_ring_era_a', { eax: 'u32', edx: 'u32', ebx: 'u32', ecx: 'u32' }, 16)

/** lguest_data of the first merge (commit 07ad157f), the nearest known to March 2007 (era A). */
export const LguestDataEraA = struct(
  'lguest_data_era_a',
  {
    irq_enabled: 'u32',
    blocked_interrupts: 'u32',
    cr2: 'u32',
    hcall_status: ['u8', LHCALL_RING_SIZE],
    hcalls: [HcallRingEraA, LHCALL_RING_SIZE],
    reserve_mem: 'u32',
    guestid: 'u16',
    __pad: 'u16',
    noirq_start: 'u32',
    noirq_end: 'u32',
  },
  1116,
)

/** Hypercall numbers (reference 4.2). Era A names where the number changed its meaning later. */
export const LHCALL = {
  FLUSH_ASYNC: 0,
  LGUEST_INIT: 1,
  SHUTDOWN: 2,
  LOAD_GDT: 3,
  NEW_PGTABLE: 4,
  FLUSH_TLB: 5,
  LOAD_IDT_ENTRY: 6,
  SET_STACK: 7,
  TS: 8,
  SET_CLOCKEVENT: 9,
  HALT: 10,
  GET_WALLCLOCK: 11,
  BIND_DMA: 12,
  SET_PMD: 13,
  SET_PTE: 14,
  SET_PGD: 15,
  LOAD_TLS: 16,
  NOTIFY: 17,
  LOAD_GDT_ENTRY: 18,
  SEND_INTERRUPTS: 19,
} as const

/** Era A's meanings of the shared numbers. */
export const LHCALL_ERA_A = { CRASH: 2, TIMER_READ: 9, SEND_DMA: 13 } as const

/** SHUTDOWN reasons. */
export const LGUEST_SHUTDOWN_POWEROFF = 1
export const LGUEST_SHUTDOWN_RESTART = 2

/** Virtual interrupts a Guest has; irq n is vector FIRST_EXTERNAL_VECTOR + n. */
export const LGUEST_IRQS = 32
export const FIRST_EXTERNAL_VECTOR = 0x20

/** /dev/lguest write requests (reference 8.1). */
export const LHREQ = { INITIALIZE: 0, GETDMA: 1, IRQ: 2, BREAK: 3, EVENTFD: 4, GETREG: 5, SETREG: 6, TRAP: 7 } as const

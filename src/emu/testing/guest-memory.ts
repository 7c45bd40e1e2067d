/**
 * Things a Guest would have put into its own memory, for the hypervisor's unit tests: lguest_data, page tables, a stack.
 */
import { LguestData, LguestDataEraA, LHCALL, LHCALL_RING_SIZE } from '../layout/lguest-data.ts'
import { type Guest, lgwrite32 } from '../lguest/guest.ts'
import { hcall, hcallA } from './fake-host.ts'

/** Where tests put lguest_data, and where the kernel's addresses begin. */
export const DATA_GPA = 0x7000
export const KERNEL_ADDRESS = 0xc000_0000

/** Calls LGUEST_INIT with lguest_data at DATA_GPA, all interrupts unblocked; returns its gpa. The Guest must have been entered. */
export function initGuest(lg: Guest, change: Partial<Record<keyof typeof LguestData.offset, number>> = {}): number {
  const fields = { kernel_address: KERNEL_ADDRESS, syscall_vec: 0x80, ...change }
  for (const [field, value] of Object.entries(fields)) {
    lgwrite32(lg, DATA_GPA + LguestData.offset[field as keyof typeof LguestData.offset], value)
  }
  for (let i = 0; i < LHCALL_RING_SIZE; i++) lg.memory.write8(DATA_GPA + LguestData.offset.hcall_status + i, 0xff)
  hcall(lg, LHCALL.LGUEST_INIT, DATA_GPA)
  return DATA_GPA
}

/** The same for era A. */
export function initGuestA(lg: Guest): number {
  for (let i = 0; i < LHCALL_RING_SIZE; i++) lg.memory.write8(DATA_GPA + LguestDataEraA.offset.hcall_status + i, 0xff)
  hcallA(lg, LHCALL.LGUEST_INIT, DATA_GPA)
  return DATA_GPA
}

/**
 * Page tables mapping the first `pages` pages twice: at KERNEL_ADDRESS with `flags`, and at 0 (if `user`) too. The directory is
 * at `pgd`, its tables in the two pages after it.
 */
export function buildPageTables(lg: Guest, pgd: number, flags = 0x003, user = false, pages = 64): void {
  for (let i = 0; i < 1024; i++) lgwrite32(lg, pgd + i * 4, 0)
  lgwrite32(lg, pgd + (KERNEL_ADDRESS >>> 22) * 4, (pgd + 0x1000) | 0x067)
  if (user) lgwrite32(lg, pgd, (pgd + 0x2000) | 0x067)
  for (let i = 0; i < pages; i++) {
    lgwrite32(lg, pgd + 0x1000 + i * 4, (i << 12) | flags)
    if (user) lgwrite32(lg, pgd + 0x2000 + i * 4, (i << 12) | flags | 4)
  }
}

/** Sets a gate by LOAD_IDT_ENTRY: type 0xe interrupt or 0xf trap. */
export function setGate(lg: Guest, vector: number, handler: number, type = 0xe, dpl = 0): void {
  hcall(
    lg,
    LHCALL.LOAD_IDT_ENTRY,
    vector,
    0x00600000 | (handler & 0xffff),
    (handler & 0xffff0000) | 0x8000 | (dpl << 13) | (type << 8),
  )
}

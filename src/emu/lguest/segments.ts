/**
 * The Guest's segments (segments.c; reference 6.1-6.3). The Guest asks for GDT entries; we keep what it asked for, corrected, in
 * struct lguest, and copy that into the GDT the CPU really uses, page 1 of lguest_pages. Corrected means: ring 0 becomes ring 1, the
 * accessed bit is set (the live GDT is read-only to the CPU), and nothing but code and data gets through: a call gate or TSS
 * of the Guest's making could lead to ring 0.
 *
 *    31        24  22 21      16 15  14-13  12  11-8   7         0
 *   | base 31:24 |G|D|L|A|limit | P | DPL | S | type | base 23:16 |   second word (b)
 *   | base 15:0                 | limit 15:0                      |   first word  (a)
 */
import {
  Desc,
  GDT_ENTRIES,
  GDT_ENTRY_DOUBLEFAULT_TSS,
  GDT_ENTRY_KERNEL_CS,
  GDT_ENTRY_KERNEL_DS,
  GDT_ENTRY_LGUEST_CS,
  GDT_ENTRY_LGUEST_DS,
  GDT_ENTRY_TLS_ENTRIES,
  GDT_ENTRY_TLS_MIN,
  GDT_ENTRY_TSS,
  GUEST_PL,
  Tss,
} from '../layout/lguest-pages.ts'
import type { PhysMemory } from '../layout/memory.ts'
import { CHANGED_GDT, type Guest, killGuest, Lguest, lgread } from './guest.ts'

const DESC_PRESENT = 0x8000
const DESC_DPL = 0x6000
const DESC_DPL_SHIFT = 13
/** S: code or data, not a gate or a TSS. */
const DESC_SEGMENT = 0x1000
const DESC_ACCESSED = 0x0100
/** Era A: of these bits P and S must be 1, L (reserved then) 0. */
const DESC_CHECKED = 0x0020_9000
const DESC_CHECKED_VALUE = 0x0000_9000

/** Flat 4 GiB segments, before the DPL. */
const FULL_EXEC = { a: 0x0000_ffff, b: 0x00cf_9b00 }
const FULL_DATA = { a: 0x0000_ffff, b: 0x00cf_9300 }

/** Entries that belong to the Host: the Guest's idea of them is kept but never used. */
export function ignoredGdt(num: number): boolean {
  return (
    num === GDT_ENTRY_TSS ||
    num === GDT_ENTRY_LGUEST_CS ||
    num === GDT_ENTRY_LGUEST_DS ||
    num === GDT_ENTRY_DOUBLEFAULT_TSS
  )
}

/** Entries copyGdt copies: all but those four. */
export const COPIED_GDT_ENTRIES = GDT_ENTRIES - 4

/** Entry `desc` is gone; what if a register holds it? Popping it in the Switcher would fault. es, fs and gs are cleared, as if the
 *  Guest had lost nothing it needs; without cs, ds or ss it cannot go on. */
export function checkSegmentUse(lg: Guest, desc: number): void {
  const { regs } = lg
  if (desc === 0) return // selector 0 is never in use
  // PUSH of a segment register writes 16 bits of its 32; what is above is whatever was there.
  const uses = (selector: number): boolean => (selector & 0xffff) >>> 3 === desc
  if (uses(regs.gs)) regs.gs = 0
  if (uses(regs.fs)) regs.fs = 0
  if (uses(regs.es)) regs.es = 0
  if (uses(regs.ds) || uses(regs.cs) || uses(regs.ss)) {
    killGuest(lg, `Removed live GDT entry ${desc}`)
  }
}

/** Makes entries start .. end - 1 of the stored table fit to be used. */
export function fixupGdtTable(lg: Guest, start: number, end: number): void {
  for (let i = start; i < end; i++) {
    if (ignoredGdt(i)) continue
    const { a } = lg.gdtEntry(i)
    let { b } = lg.gdtEntry(i)
    if ((b & DESC_PRESENT) !== 0 && lg.abi.checksGdt && (b & DESC_CHECKED) !== DESC_CHECKED_VALUE) {
      killGuest(lg, `Bad GDT descriptor ${i}`)
      b &= ~DESC_PRESENT
    }
    // Later eras accept anything. A system descriptor is accepted too, but nobody will be able to use it.
    if ((b & DESC_SEGMENT) === 0) b &= ~DESC_PRESENT
    if ((b & DESC_PRESENT) === 0) {
      lg.setGdtEntry(i, a, b)
      checkSegmentUse(lg, i)
      continue
    }
    if ((b & DESC_DPL) === 0) b |= GUEST_PL << DESC_DPL_SHIFT
    lg.setGdtEntry(i, a, b | DESC_ACCESSED)
  }
}

/** LOAD_GDT (era A): `num` descriptors at gpa `table` replace the first entries. */
export function loadGuestGdt(lg: Guest, table: number, num: number): void {
  if (num > GDT_ENTRIES) {
    killGuest(lg, `too many gdt entries ${num}`)
    return
  }
  storeDescriptors(lg, 0, table, num)
  if (lg.dead) return
  fixupGdtTable(lg, 0, GDT_ENTRIES)
  lg.s.changed |= CHANGED_GDT
}

/** LOAD_GDT_ENTRY: one entry. */
export function loadGuestGdtEntry(lg: Guest, num: number, lo: number, hi: number): void {
  if (num >= GDT_ENTRIES) {
    killGuest(lg, `too many gdt entries ${num}`)
    return
  }
  lg.setGdtEntry(num, lo, hi)
  fixupGdtTable(lg, num, num + 1)
  lg.s.changed |= CHANGED_GDT
}

/** LOAD_TLS: the three thread-local segments, 24 bytes at gpa. By far the most frequent change: one a process switch. */
export function guestLoadTls(lg: Guest, gtls: number): void {
  storeDescriptors(lg, GDT_ENTRY_TLS_MIN, gtls, GDT_ENTRY_TLS_ENTRIES)
  if (lg.dead) return
  fixupGdtTable(lg, GDT_ENTRY_TLS_MIN, GDT_ENTRY_TLS_MIN + GDT_ENTRY_TLS_ENTRIES)
  lg.s.changed |= lg.abi.changedByTls
}

function storeDescriptors(lg: Guest, first: number, gpa: number, count: number): void {
  const bytes = lgread(lg, gpa, count * Desc.size)
  if (lg.dead) return
  const words = new DataView(bytes.buffer)
  for (let i = 0; i < count; i++) {
    lg.setGdtEntry(first + i, words.getUint32(i * 8, true), words.getUint32(i * 8 + 4, true))
  }
}

/** Copies all entries but the Host's into the live GDT at hpa `gdt`. Returns the bytes copied. */
export function copyGdt(lg: Guest, gdt: number): number {
  let bytes = 0
  for (let i = 0; i < GDT_ENTRIES; i++) {
    if (!ignoredGdt(i)) bytes += copyEntry(lg, gdt, i)
  }
  return bytes
}

/** Copies only the thread-local entries. */
export function copyGdtTls(lg: Guest, gdt: number): number {
  let bytes = 0
  for (let i = 0; i < GDT_ENTRY_TLS_ENTRIES; i++) bytes += copyEntry(lg, gdt, GDT_ENTRY_TLS_MIN + i)
  return bytes
}

function copyEntry(lg: Guest, gdt: number, i: number): number {
  const { mem } = lg.hv
  const from = lg.address + Lguest.offset.gdt + i * Desc.size
  const to = gdt + i * Desc.size
  mem.write32(to, mem.read32(from))
  mem.write32(to + 4, mem.read32(from + 4))
  return Desc.size
}

/** The Host's entries of a CPU's live GDT, written once: LGUEST_CS, LGUEST_DS, and the TSS at linear address `tss`. */
export function setupDefaultGdtEntries(mem: PhysMemory, gdt: number, tss: number): void {
  const set = (index: number, a: number, b: number): void => {
    mem.write32(gdt + index * Desc.size, a)
    mem.write32(gdt + index * Desc.size + 4, b)
  }
  set(GDT_ENTRY_LGUEST_CS, FULL_EXEC.a, FULL_EXEC.b)
  set(GDT_ENTRY_LGUEST_DS, FULL_DATA.a, FULL_DATA.b)
  // Type 9: available 32-bit TSS; the limit has no room for an I/O bitmap, so every port access of the Guest faults.
  set(GDT_ENTRY_TSS, (Tss.size - 1) | (tss << 16), 0x8900 | (tss & 0xff00_0000) | ((tss >>> 16) & 0xff))
}

/** A new Guest's GDT: nothing but flat kernel segments of ring 1. */
export function setupGuestGdt(lg: Guest): void {
  for (let i = 0; i < GDT_ENTRIES; i++) lg.setGdtEntry(i, 0, 0)
  const dpl = GUEST_PL << DESC_DPL_SHIFT
  lg.setGdtEntry(GDT_ENTRY_KERNEL_CS, FULL_EXEC.a, FULL_EXEC.b | dpl)
  lg.setGdtEntry(GDT_ENTRY_KERNEL_DS, FULL_DATA.a, FULL_DATA.b | dpl)
}

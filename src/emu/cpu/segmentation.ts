/**
 * Segmentation (manual 3A, chapters 3 and 5): segment-relative addresses with their checks, descriptors, and loading the
 * data segment registers. CS is loaded by far transfers, interrupts and IRET; SS by them and by loadStackSegment.
 *
 *   descriptor, high word  | base 31-24 | G D/B - AVL | limit 19-16 | P DPL S type | base 23-16 |
 *   descriptor, low word   | base 15-0                              | limit 15-0                |
 *
 * Hidden parts: base, limit in bytes (granularity applied), attr = high word >> 8 without the limit's bits. attr 0 =
 * unusable, what a null selector leaves. Every check comes before the first change, so a fault leaves all as it was.
 */
import {
  ATTR_BIG,
  ATTR_CODE,
  ATTR_DC,
  ATTR_DPL_SHIFT,
  ATTR_RW,
  type CpuState,
  S_CPL,
  S_GDT_BASE,
  S_GDT_LIMIT,
  S_SEG_BASE,
  S_SEG_LIMIT,
  S_SEG_SELECTOR,
} from '../layout/cpu-state.ts'
import { CS, DESC_LDT, ES, GS, LDTR, SS, TRAP_GP, TRAP_NP, TRAP_SS } from '../layout/x86.ts'
import { readSys32, writeSys8 } from '../mmu/access.ts'
import { raiseFaultWithCode } from '../mmu/fault.ts'

const DESC_GRANULARITY = 1 << 23

/** Linear address of `size` bytes at seg:offset. Raises #GP(0), or #SS(0) for the stack segment. */
export function segLinear(cpu: CpuState, seg: number, offset: number, size: number, write: boolean): number {
  if ((cpu.segFast[seg] & (write ? 2 : 1)) !== 0) return offset
  return segLinearChecked(cpu, seg, offset, size, write)
}

function segLinearChecked(cpu: CpuState, seg: number, offset: number, size: number, write: boolean): number {
  const attr = cpu.segAttr[seg]
  const vector = seg === SS ? TRAP_SS : TRAP_GP
  if (attr === 0) raiseFaultWithCode(cpu, TRAP_GP, 0)
  if ((attr & ATTR_CODE) !== 0) {
    if (write || (attr & ATTR_RW) === 0) raiseFaultWithCode(cpu, TRAP_GP, 0)
  } else if (write && (attr & ATTR_RW) === 0) raiseFaultWithCode(cpu, TRAP_GP, 0)
  const first = offset >>> 0
  const last = first + size - 1
  const limit = cpu.segLimit[seg] >>> 0
  if ((attr & (ATTR_CODE | ATTR_DC)) === ATTR_DC) {
    // Expand down: valid are the offsets above the limit, up to 64 KiB or 4 GiB.
    const top = (attr & ATTR_BIG) !== 0 ? 0xffffffff : 0xffff
    if (first <= limit || last > top) raiseFaultWithCode(cpu, vector, 0)
  } else if (last > limit && limit !== 0xffffffff) raiseFaultWithCode(cpu, vector, 0)
  return (cpu.segBase[seg] + offset) | 0
}

/** A descriptor as read from its table. */
export interface Descriptor {
  low: number
  high: number
  /** Linear address of its eight bytes. */
  address: number
}

/** Transfers keep one for each descriptor they look at and use it again: nothing is allocated on a world switch. */
export function newDescriptor(): Descriptor {
  return { low: 0, high: 0, address: 0 }
}

/** Reads the descriptor a selector names. Raises `vector`(selector) when it is beyond its table's limit. */
export function readDescriptor(cpu: CpuState, selector: number, vector: number, into: Descriptor): void {
  if (!tryReadDescriptor(cpu, selector, into)) raiseFaultWithCode(cpu, vector, selector & 0xfffc)
}

/** The same, false when out of bounds (LAR, LSL, VERR, VERW). Page faults are still raised. */
export function tryReadDescriptor(cpu: CpuState, selector: number, into: Descriptor): boolean {
  const st = cpu.st
  const at = selector & 0xfff8
  let base: number
  if ((selector & 4) !== 0) {
    if (cpu.segAttr[LDTR] === 0 || at + 7 > cpu.segLimit[LDTR] >>> 0) return false
    base = cpu.segBase[LDTR]
  } else {
    if (at + 7 > st[S_GDT_LIMIT] >>> 0) return false
    base = st[S_GDT_BASE]
  }
  const address = (base + at) | 0
  into.address = address
  into.low = readSys32(cpu, address)
  into.high = readSys32(cpu, (address + 4) | 0)
  return true
}

export const descriptorAttr = (high: number): number => (high >>> 8) & 0xf0ff
export const descriptorDpl = (high: number): number => (high >>> 13) & 3
export const isPresent = (high: number): boolean => (high & 0x8000) !== 0
export const isSystem = (high: number): boolean => (high & 0x1000) === 0
export const systemType = (high: number): number => (high >>> 8) & 0xf
export const isCode = (high: number): boolean => (high & 0x1800) === 0x1800
export const isConforming = (high: number): boolean => (high & 0x0400) !== 0
export const isNull = (selector: number): boolean => (selector & 0xfffc) === 0

export function descriptorBase(d: Descriptor): number {
  return (d.low >>> 16) | ((d.high & 0xff) << 16) | (d.high & 0xff000000)
}

/** Limit in bytes, signed 32-bit. */
export function descriptorLimit(d: Descriptor): number {
  const limit = (d.low & 0xffff) | (d.high & 0xf0000)
  return (d.high & DESC_GRANULARITY) !== 0 ? (limit << 12) | 0xfff : limit
}

/**
 * Sets a code or data descriptor's accessed bit in its table, if it is not set: a supervisor write that CR0.WP may refuse
 * with #PF. lguest keeps a Guest's GDT read-only and its accessed bits set, so nothing may be written when the bit is there.
 * A transfer that still has a frame to push calls this first, so that nothing can fault after the first register changed.
 */
export function markAccessed(cpu: CpuState, d: Descriptor): void {
  if ((d.high & 0x100) !== 0) return
  writeSys8(cpu, (d.address + 5) | 0, ((d.high >>> 8) | 1) & 0xff)
  d.high |= 0x100
}

/** Loads a segment register and its hidden part from a code or data descriptor; all checks done. Marks it accessed. */
export function setSegment(cpu: CpuState, seg: number, selector: number, d: Descriptor): void {
  markAccessed(cpu, d)
  setSegmentRaw(cpu, seg, selector, descriptorBase(d), descriptorLimit(d), descriptorAttr(d.high))
}

/** Loads a segment register's parts as given: no descriptor, no check. `limit` is signed, in bytes; `attr` is ATTR_*. */
export function setSegmentRaw(
  cpu: CpuState,
  seg: number,
  selector: number,
  base: number,
  limit: number,
  attr: number,
): void {
  const st = cpu.st
  st[S_SEG_SELECTOR + seg] = selector
  st[S_SEG_BASE + seg] = base
  st[S_SEG_LIMIT + seg] = limit
  cpu.segAttr[seg] = attr
  cpu.segmentChanged(seg)
}

/** A null selector: the register is loaded, every use of it faults. */
export function setNullSegment(cpu: CpuState, seg: number, selector: number): void {
  setSegmentRaw(cpu, seg, selector, 0, 0, 0)
}

const loaded = newDescriptor()

/** MOV, POP, LxS to a data segment register (not CS): every check of manual 2B "MOV". */
export function loadSegment(cpu: CpuState, seg: number, selector: number): void {
  if (seg === SS) return loadStackSegment(cpu, selector, cpu.st[S_CPL], TRAP_GP)
  if (isNull(selector)) return setNullSegment(cpu, seg, selector)
  readDescriptor(cpu, selector, TRAP_GP, loaded)
  const high = loaded.high
  const readable = !isSystem(high) && (!isCode(high) || (high & 0x200) !== 0)
  if (!readable) raiseFaultWithCode(cpu, TRAP_GP, selector & 0xfffc)
  if (!(isCode(high) && isConforming(high))) {
    const dpl = descriptorDpl(high)
    if ((selector & 3) > dpl || cpu.st[S_CPL] > dpl) raiseFaultWithCode(cpu, TRAP_GP, selector & 0xfffc)
  }
  if (!isPresent(high)) raiseFaultWithCode(cpu, TRAP_NP, selector & 0xfffc)
  setSegment(cpu, seg, selector, loaded)
}

/**
 * Checks a stack selector for privilege `cpl`; faults with `vector` (#GP, or #TS when it came from the TSS). `ext` is 1
 * when an event outside the program caused the load: it is bit 0 of the error code.
 */
export function checkStackSegment(
  cpu: CpuState,
  selector: number,
  cpl: number,
  vector: number,
  into: Descriptor,
  ext = 0,
): void {
  if (isNull(selector)) raiseFaultWithCode(cpu, vector, ext)
  if (!tryReadDescriptor(cpu, selector, into)) raiseFaultWithCode(cpu, vector, (selector & 0xfffc) | ext)
  const high = into.high
  const writableData = !isSystem(high) && !isCode(high) && (high & 0x200) !== 0
  if ((selector & 3) !== cpl || !writableData || descriptorDpl(high) !== cpl) {
    raiseFaultWithCode(cpu, vector, (selector & 0xfffc) | ext)
  }
  if (!isPresent(high)) raiseFaultWithCode(cpu, TRAP_SS, (selector & 0xfffc) | ext)
}

export function loadStackSegment(cpu: CpuState, selector: number, cpl: number, vector: number): void {
  checkStackSegment(cpu, selector, cpl, vector, loaded)
  setSegment(cpu, SS, selector, loaded)
}

/** Loads CS with a checked code descriptor; the RPL becomes `cpl`, which becomes the current privilege level. */
export function setCodeSegment(cpu: CpuState, selector: number, d: Descriptor, cpl: number): void {
  setSegment(cpu, CS, (selector & 0xfffc) | cpl, d)
  if (cpu.st[S_CPL] !== cpl) cpu.setCpl(cpl)
}

/** After a return to an outer ring: data segments the outer ring may not use become null (manual 2A, IRET). */
export function dropPrivilegedSegments(cpu: CpuState): void {
  const cpl = cpu.st[S_CPL]
  for (let seg = ES; seg <= GS; seg++) {
    if (seg === CS || seg === SS) continue
    const attr = cpu.segAttr[seg]
    if (attr === 0) continue
    const dpl = (attr >>> ATTR_DPL_SHIFT) & 3
    const conforming = (attr & (ATTR_CODE | ATTR_DC)) === (ATTR_CODE | ATTR_DC)
    if (dpl < cpl && !conforming) setNullSegment(cpu, seg, 0)
  }
}

/** LLDT. */
export function loadLdt(cpu: CpuState, selector: number): void {
  if (isNull(selector)) return setNullSegment(cpu, LDTR, selector)
  if ((selector & 4) !== 0) raiseFaultWithCode(cpu, TRAP_GP, selector & 0xfffc)
  readDescriptor(cpu, selector, TRAP_GP, loaded)
  if (!isSystem(loaded.high) || systemType(loaded.high) !== DESC_LDT) {
    raiseFaultWithCode(cpu, TRAP_GP, selector & 0xfffc)
  }
  if (!isPresent(loaded.high)) raiseFaultWithCode(cpu, TRAP_NP, selector & 0xfffc)
  setSegmentRaw(cpu, LDTR, selector, descriptorBase(loaded), descriptorLimit(loaded), descriptorAttr(loaded.high))
}

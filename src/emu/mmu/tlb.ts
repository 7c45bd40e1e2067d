/**
 * The one-load TLB (layout/memory.ts has the entry's form): filling, flushing, invalidating. Six tables a CPU: read,
 * write, execute for the supervisor (rings 0-2) and the user (ring 3).
 *
 *   fill list   | table << 20 | linear page |   one record for each entry that was set, in tlbFills or tlbGlobalFills
 *
 * A flush walks the records and costs what was filled, one store a fill, and not the size of the tables: an lguest world
 * switch loads CR3 twice. A record may be stale (its entry dropped since, or recorded twice); dropping once more is
 * harmless. A full list is simply flushed: a TLB may forget an entry at any time.
 *
 * A page that holds decoded code has no direct write entry anywhere: writes to it take the slow path, which tells the
 * code cache. A page with a data breakpoint has no direct entries at all.
 */
import { type CpuState, S_CR4, TLB_FILL_LIMIT } from '../layout/cpu-state.ts'
import { TLB_SLOW, TLB_TABLES, TLB_WRITE_SUPERVISOR, TLB_WRITE_USER, type MachineMemory } from '../layout/memory.ts'
import { CR4_PGE } from '../layout/x86.ts'

const TABLE_SHIFT = 20
const PAGE_NUMBER = 0xfffff

/**
 * Enters a translation into one table. `linear` and `hpa` may point anywhere into the page; `hpa` must be in RAM.
 * `table` is TLB_*; `global` is the G bit of the page-table entry, which counts only with CR4.PGE.
 */
export function fillTlb(cpu: CpuState, table: number, linear: number, hpa: number, global: boolean): void {
  const page = linear >>> 12
  const mem = cpu.mem
  const entries = cpu.tlb[table]
  const entry = (mem.ramBase + (hpa >>> 12) * 4096 - page * 4096) | 0
  // Already there, and so already recorded.
  if (entries[page] === entry) return
  if (cpu.watchedPages !== null && cpu.watchedPages.has(page)) return
  if (mem.phys.watched !== null && mem.phys.watched[hpa >>> 12] !== 0) return
  if ((table === TLB_WRITE_SUPERVISOR || table === TLB_WRITE_USER) && mem.phys.codePages[hpa >>> 12] !== 0) return
  if (global && (cpu.st[S_CR4] & CR4_PGE) !== 0) {
    if (cpu.tlbGlobalFillCount === TLB_FILL_LIMIT) {
      dropRecorded(cpu, cpu.tlbGlobalFills, TLB_FILL_LIMIT)
      cpu.tlbGlobalFillCount = 0
    }
    cpu.tlbGlobalFills[cpu.tlbGlobalFillCount++] = (table << TABLE_SHIFT) | page
  } else {
    if (cpu.tlbFillCount === TLB_FILL_LIMIT) {
      dropRecorded(cpu, cpu.tlbFills, TLB_FILL_LIMIT)
      cpu.tlbFillCount = 0
    }
    cpu.tlbFills[cpu.tlbFillCount++] = (table << TABLE_SHIFT) | page
  }
  entries[page] = entry
}

function dropRecorded(cpu: CpuState, records: Int32Array, count: number): void {
  const tlb = cpu.tlb
  for (let i = 0; i < count; i++) {
    const record = records[i]
    tlb[record >>> TABLE_SHIFT][record & PAGE_NUMBER] = TLB_SLOW
  }
}

function dropPage(cpu: CpuState, page: number): void {
  const tlb = cpu.tlb
  for (let table = 0; table < TLB_TABLES; table++) tlb[table][page] = TLB_SLOW
}

/** Flushes what a CR3 load flushes: everything but global pages. */
export function flushTlb(cpu: CpuState): void {
  cpu.refetch()
  dropRecorded(cpu, cpu.tlbFills, cpu.tlbFillCount)
  cpu.tlbFillCount = 0
}

/** Flushes global pages too: CR0.PG or WP, CR4.PGE or PSE changed. CpuState.reset() does not call it: it is for memory never used. */
export function flushTlbAll(cpu: CpuState): void {
  flushTlb(cpu)
  dropRecorded(cpu, cpu.tlbGlobalFills, cpu.tlbGlobalFillCount)
  cpu.tlbGlobalFillCount = 0
}

const PAGES_4M = 1024

/** INVLPG: drops the page of `linear`, global or not: all of it when it is one of 4 MiB (manual 3A, 4.10.4.1). */
export function invalidatePage(cpu: CpuState, linear: number): void {
  const directory = linear >>> 22
  if (cpu.bigPages[directory] === 0) dropPage(cpu, linear >>> 12)
  else {
    cpu.bigPages[directory] = 0
    for (let page = directory * PAGES_4M; page < (directory + 1) * PAGES_4M; page++) dropPage(cpu, page)
  }
  cpu.refetch()
}

/** Removes every CPU's direct write entries for the page at `hpa`: it is about to hold decoded code. */
export function protectCodePage(mem: MachineMemory, hpa: number): void {
  const target = (mem.ramBase + (hpa >>> 12) * 4096) | 0
  for (const cpu of mem.cpuStates) {
    // CPUs enter themselves by number, so the list can have holes.
    if (cpu === undefined) continue
    protectRecorded(cpu, cpu.tlbFills, cpu.tlbFillCount, target)
    protectRecorded(cpu, cpu.tlbGlobalFills, cpu.tlbGlobalFillCount, target)
  }
}

function protectRecorded(cpu: CpuState, records: Int32Array, count: number, target: number): void {
  for (let i = 0; i < count; i++) {
    const record = records[i]
    const table = record >>> TABLE_SHIFT
    if (table !== TLB_WRITE_SUPERVISOR && table !== TLB_WRITE_USER) continue
    const page = record & PAGE_NUMBER
    const entries = cpu.tlb[table]
    if (entries[page] !== TLB_SLOW && ((entries[page] + page * 4096) | 0) === target) entries[page] = TLB_SLOW
  }
}

/** Sets the linear pages that data breakpoints look at (null: none); direct entries to them are dropped. */
export function watchPages(cpu: CpuState, pages: Set<number> | null): void {
  cpu.watchedPages = pages
  if (pages !== null) for (const page of pages) dropPage(cpu, page)
}

/** Sets the host-physical pages a debugger watches (empty: none): no CPU accesses them directly any more. */
export function watchPhysical(mem: MachineMemory, pages: ReadonlySet<number>): void {
  if (pages.size === 0) {
    mem.phys.watched = null
    return
  }
  const watched = new Uint8Array(mem.ramSize / 4096)
  for (const page of pages) watched[page] = 1
  mem.phys.watched = watched
  for (const cpu of mem.cpuStates) if (cpu !== undefined) flushTlbAll(cpu)
}

/**
 * The page walk (manual 3A, 4.3): two levels, 4 KiB pages and, with CR4.PSE, 4 MiB pages. Accessed and dirty bits are
 * written as the CPU writes them (never when they are set already, never on a fault), faults have the exact error code
 * and CR2, and a success is entered into the TLB. Rings 0-2 are the supervisor, ring 3 the user. PAE has its place here
 * and comes later; PSE-36 and PAT are not offered, so their bits are reserved.
 *
 *     linear   | directory 10 | table 10 | offset 12 |
 *     CR3 ───▶ PDE[directory] ───▶ PTE[table] ───▶ page
 */
import { type CpuState, S_CR0, S_CR2, S_CR3, S_CR4, S_USER } from '../layout/cpu-state.ts'
import { TLB_EXEC_SUPERVISOR, TLB_READ_SUPERVISOR, TLB_READ_USER, TLB_WRITE_SUPERVISOR } from '../layout/memory.ts'
import type { MachineMemory } from '../layout/memory.ts'
import {
  CR0_PG,
  CR0_WP,
  CR4_PSE,
  PAGE_ACCESSED,
  PAGE_DIRTY,
  PAGE_GLOBAL,
  PAGE_PRESENT,
  PAGE_PSE,
  PAGE_RW,
  PAGE_USER,
  PF_PRESENT,
  PF_RESERVED,
  PF_USER,
  PF_WRITE,
  TRAP_PF,
} from '../layout/x86.ts'
import { raiseFaultWithCode } from './fault.ts'
import { fillTlb } from './tlb.ts'

export const ACCESS_READ = 0
export const ACCESS_WRITE = 1
export const ACCESS_EXECUTE = 2

/** A 4 MiB entry's address is in its top ten bits; 12-21 must be 0 without PSE-36 and PAT (manual 3A, 4.3). */
const PDE_4M_RESERVED = 0x003f_f000

function pageFault(cpu: CpuState, linear: number, code: number): never {
  cpu.st[S_CR2] = linear
  raiseFaultWithCode(cpu, TRAP_PF, code)
}

/** A page-table entry; `hpa` is a multiple of 4. One outside RAM counts as not present, which is all a bus with nothing
 *  on it allows to say. */
function readEntry(mem: MachineMemory, hpa: number): number {
  return hpa < mem.ramSize ? mem.i32[(mem.ramBase + hpa) >>> 2] : 0
}

/**
 * Host-physical address of `linear` for an access (ACCESS_*) by the user or the supervisor. Raises #PF. The result is
 * unsigned and may lie outside RAM (a device).
 */
export function translate(cpu: CpuState, linear: number, access: number, user: boolean): number {
  const st = cpu.st
  const mem = cpu.mem
  if ((st[S_CR0] & CR0_PG) === 0) {
    const flat = linear >>> 0
    if (flat < mem.ramSize) fill(cpu, linear, flat, access, user, false)
    return flat
  }
  const write = access === ACCESS_WRITE
  const errorCode = (write ? PF_WRITE : 0) | (user ? PF_USER : 0)
  const pse = (st[S_CR4] & CR4_PSE) !== 0
  const pdeAddress = ((st[S_CR3] & 0xfffff000) >>> 0) + ((linear >>> 22) << 2)
  const pde = readEntry(mem, pdeAddress)
  if ((pde & PAGE_PRESENT) === 0) pageFault(cpu, linear, errorCode)
  let hpa: number
  let global: boolean
  if (pse && (pde & PAGE_PSE) !== 0) {
    if ((pde & PDE_4M_RESERVED) !== 0) pageFault(cpu, linear, errorCode | PF_PRESENT | PF_RESERVED)
    if (forbidden(cpu, pde, write, user)) pageFault(cpu, linear, errorCode | PF_PRESENT)
    const marked = pde | (write ? PAGE_ACCESSED | PAGE_DIRTY : PAGE_ACCESSED)
    if (marked !== pde) mem.phys.write32(pdeAddress, marked)
    hpa = ((pde & 0xffc00000) >>> 0) + (linear & 0x3fffff)
    global = (pde & PAGE_GLOBAL) !== 0
    cpu.bigPages[linear >>> 22] = 1
  } else {
    const pteAddress = ((pde & 0xfffff000) >>> 0) + (((linear >>> 12) & 0x3ff) << 2)
    const pte = readEntry(mem, pteAddress)
    if ((pte & PAGE_PRESENT) === 0) pageFault(cpu, linear, errorCode)
    // Bit 7 of a PTE is PAT, which we do not offer; without CR4.PSE no bit is reserved.
    if (pse && (pte & PAGE_PSE) !== 0) pageFault(cpu, linear, errorCode | PF_PRESENT | PF_RESERVED)
    // Rights are the intersection of both levels.
    if (forbidden(cpu, pde & pte, write, user)) pageFault(cpu, linear, errorCode | PF_PRESENT)
    if ((pde & PAGE_ACCESSED) === 0) mem.phys.write32(pdeAddress, pde | PAGE_ACCESSED)
    const marked = pte | (write ? PAGE_ACCESSED | PAGE_DIRTY : PAGE_ACCESSED)
    if (marked !== pte) mem.phys.write32(pteAddress, marked)
    hpa = ((pte & 0xfffff000) >>> 0) + (linear & 0xfff)
    global = (pte & PAGE_GLOBAL) !== 0
  }
  if (hpa < mem.ramSize) fill(cpu, linear, hpa, access, user, global)
  return hpa
}

/** A write makes read entries too; a read makes no write entry, because the dirty bit comes with the first write. */
function fill(cpu: CpuState, linear: number, hpa: number, access: number, user: boolean, global: boolean): void {
  const column = user ? TLB_READ_USER : TLB_READ_SUPERVISOR
  if (access === ACCESS_EXECUTE) {
    fillTlb(cpu, column + TLB_EXEC_SUPERVISOR, linear, hpa, global)
    return
  }
  fillTlb(cpu, column, linear, hpa, global)
  if (access === ACCESS_WRITE) fillTlb(cpu, column + TLB_WRITE_SUPERVISOR, linear, hpa, global)
}

/** Manual 3A, 4.6: the user needs U/S; a write needs R/W, except the supervisor's while CR0.WP is clear. */
function forbidden(cpu: CpuState, rights: number, write: boolean, user: boolean): boolean {
  if (user && (rights & PAGE_USER) === 0) return true
  return write && (rights & PAGE_RW) === 0 && (user || (cpu.st[S_CR0] & CR0_WP) !== 0)
}

/** The same for the privilege the CPU has now. */
export function translateCurrent(cpu: CpuState, linear: number, access: number): number {
  return translate(cpu, linear, access, cpu.st[S_USER] !== 0)
}

/** Where `linear` leads through the tables at `cr3`, or -1. No side effects: for the debugger and for tests. */
export function peekTranslate(mem: MachineMemory, cr3: number, cr4: number, linear: number): number {
  const pde = readEntry(mem, ((cr3 & 0xfffff000) >>> 0) + ((linear >>> 22) << 2))
  if ((pde & PAGE_PRESENT) === 0) return -1
  if ((pde & PAGE_PSE) !== 0 && (cr4 & CR4_PSE) !== 0) return ((pde & 0xffc00000) >>> 0) + (linear & 0x3fffff)
  const pte = readEntry(mem, ((pde & 0xfffff000) >>> 0) + (((linear >>> 12) & 0x3ff) << 2))
  if ((pte & PAGE_PRESENT) === 0) return -1
  return ((pte & 0xfffff000) >>> 0) + (linear & 0xfff)
}

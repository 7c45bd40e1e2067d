/**
 * Memory as instructions see it. The first half is for the instruction's own operands, at the privilege the CPU has:
 * one load from the TLB decides, everything rare is in the slow paths below. The second half (readSys*, writeSys*) is for
 * what the CPU itself touches as supervisor whatever its privilege: descriptor tables, the TSS, inner stacks.
 *
 * 8- and 16-bit reads are zero-extended, 32-bit reads are signed. A write that crosses a page checks both pages before it
 * changes anything. Addresses wrap at 4 GiB. Raised here: #PF (walk.ts) and #AC; segment limits are segmentation.ts's.
 */
import { type CpuState, S_CR0, S_EFLAGS, S_USER } from '../layout/cpu-state.ts'
import { TLB_READ_SUPERVISOR, TLB_READ_USER, TLB_WRITE_SUPERVISOR, TLB_WRITE_USER } from '../layout/memory.ts'
import { CR0_AM, FLAG_AC, TRAP_AC } from '../layout/x86.ts'
import { raiseFaultWithCode } from './fault.ts'
import { ACCESS_EXECUTE, ACCESS_READ, ACCESS_WRITE, translate } from './walk.ts'
import { watchAccess } from './watch.ts'

/** Physical addresses outside RAM. `Cpu` has it (cpu.bus); a bare CpuState has nothing there. */
interface BusOwner {
  readonly bus?: {
    mmioRead(cpu: CpuState, hpa: number, size: number): number
    mmioWrite(cpu: CpuState, hpa: number, size: number, value: number): void
  }
}

export function readMem8(cpu: CpuState, linear: number): number {
  const e = cpu.tlbRead[linear >>> 12]
  if ((e & 1) === 0) return cpu.u8[(e + linear) >>> 0]
  return readSlow(cpu, linear, 1, cpu.st[S_USER] !== 0)
}

export function readMem16(cpu: CpuState, linear: number): number {
  const e = cpu.tlbRead[linear >>> 12]
  if (((e | linear) & 1) === 0) return cpu.u16[(e + linear) >>> 1]
  return readSlow(cpu, linear, 2, cpu.st[S_USER] !== 0)
}

export function readMem32(cpu: CpuState, linear: number): number {
  const e = cpu.tlbRead[linear >>> 12]
  if (((e | linear) & 3) === 0) return cpu.i32[(e + linear) >>> 2]
  return readSlow(cpu, linear, 4, cpu.st[S_USER] !== 0)
}

export function writeMem8(cpu: CpuState, linear: number, value: number): void {
  const e = cpu.tlbWrite[linear >>> 12]
  if ((e & 1) === 0) cpu.u8[(e + linear) >>> 0] = value
  else writeSlow(cpu, linear, 1, value, cpu.st[S_USER] !== 0)
}

export function writeMem16(cpu: CpuState, linear: number, value: number): void {
  const e = cpu.tlbWrite[linear >>> 12]
  if (((e | linear) & 1) === 0) cpu.u16[(e + linear) >>> 1] = value
  else writeSlow(cpu, linear, 2, value, cpu.st[S_USER] !== 0)
}

export function writeMem32(cpu: CpuState, linear: number, value: number): void {
  const e = cpu.tlbWrite[linear >>> 12]
  if (((e | linear) & 3) === 0) cpu.i32[(e + linear) >>> 2] = value
  else writeSlow(cpu, linear, 4, value, cpu.st[S_USER] !== 0)
}

/** Raises the #PF (or #AC) a write of `size` bytes, 1 to 4096, would raise, and writes nothing. */
export function probeWrite(cpu: CpuState, linear: number, size: number): void {
  const e = cpu.tlbWrite[linear >>> 12]
  if (((e | linear) & 3) === 0 && (linear & 0xfff) + size <= 0x1000) return
  probe(cpu, linear, size, true)
}

/** Raises the #PF (or #AC) a read of `size` bytes, 1 to 4096, would raise. */
export function probeRead(cpu: CpuState, linear: number, size: number): void {
  const e = cpu.tlbRead[linear >>> 12]
  if (((e | linear) & 3) === 0 && (linear & 0xfff) + size <= 0x1000) return
  probe(cpu, linear, size, false)
}

/** Host-physical address of an instruction's first byte; raises #PF. */
export function translateExec(cpu: CpuState, linear: number): number {
  const e = cpu.tlbExec[linear >>> 12]
  if ((e & 1) === 0) return ((e + linear) >>> 0) - cpu.mem.ramBase
  return translate(cpu, linear, ACCESS_EXECUTE, cpu.st[S_USER] !== 0)
}

// --- the CPU's own accesses ----------------------------------------------------------------------------------------------

export function readSys8(cpu: CpuState, linear: number): number {
  const e = cpu.tlb[0][linear >>> 12]
  if ((e & 1) === 0) return cpu.u8[(e + linear) >>> 0]
  return readSlow(cpu, linear, 1, false)
}

export function readSys16(cpu: CpuState, linear: number): number {
  const e = cpu.tlb[0][linear >>> 12]
  if (((e | linear) & 1) === 0) return cpu.u16[(e + linear) >>> 1]
  return readSlow(cpu, linear, 2, false)
}

export function readSys32(cpu: CpuState, linear: number): number {
  const e = cpu.tlb[0][linear >>> 12]
  if (((e | linear) & 3) === 0) return cpu.i32[(e + linear) >>> 2]
  return readSlow(cpu, linear, 4, false)
}

export function writeSys8(cpu: CpuState, linear: number, value: number): void {
  const e = cpu.tlb[1][linear >>> 12]
  if ((e & 1) === 0) cpu.u8[(e + linear) >>> 0] = value
  else writeSlow(cpu, linear, 1, value, false)
}

export function writeSys16(cpu: CpuState, linear: number, value: number): void {
  const e = cpu.tlb[1][linear >>> 12]
  if (((e | linear) & 1) === 0) cpu.u16[(e + linear) >>> 1] = value
  else writeSlow(cpu, linear, 2, value, false)
}

export function writeSys32(cpu: CpuState, linear: number, value: number): void {
  const e = cpu.tlb[1][linear >>> 12]
  if (((e | linear) & 3) === 0) cpu.i32[(e + linear) >>> 2] = value
  else writeSlow(cpu, linear, 4, value, false)
}

// --- slow paths: TLB miss, page crossing, unaligned, device, code page, watched page ---------------------------------------

/**
 * #AC(0) for an unaligned operand of ring 3 while CR0.AM and EFLAGS.AC are set (manual 3A, 6.15 "Interrupt 17"). It costs
 * nothing elsewhere: unaligned accesses never take the fast path. What is wider than 4 bytes is accessed in parts, so a
 * probe of it is not an access and is not checked here: requireAlignment8 is for those that are one operand.
 */
function checkAlignment(cpu: CpuState, linear: number, size: number, user: boolean): void {
  if (!user || size > 4 || (linear & (size - 1)) === 0) return
  if ((cpu.st[S_CR0] & CR0_AM) !== 0 && (cpu.st[S_EFLAGS] & FLAG_AC) !== 0) raiseFaultWithCode(cpu, TRAP_AC, 0)
}

/** The same for an operand of 64 or 80 bits, which belongs on 8 bytes (manual 3A, table 6-7). */
export function requireAlignment8(cpu: CpuState, linear: number): void {
  if ((linear & 7) === 0 || cpu.st[S_USER] === 0) return
  if ((cpu.st[S_CR0] & CR0_AM) !== 0 && (cpu.st[S_EFLAGS] & FLAG_AC) !== 0) raiseFaultWithCode(cpu, TRAP_AC, 0)
}

/** Host-physical address for one page's part of an access, from the TLB if it is there. */
function locate(cpu: CpuState, linear: number, write: boolean, user: boolean): number {
  const table = write ? (user ? TLB_WRITE_USER : TLB_WRITE_SUPERVISOR) : user ? TLB_READ_USER : TLB_READ_SUPERVISOR
  const e = cpu.tlb[table][linear >>> 12]
  if ((e & 1) === 0) return ((e + linear) >>> 0) - cpu.mem.ramBase
  return translate(cpu, linear, write ? ACCESS_WRITE : ACCESS_READ, user)
}

function probe(cpu: CpuState, linear: number, size: number, write: boolean): void {
  const user = cpu.st[S_USER] !== 0
  checkAlignment(cpu, linear, size, user)
  locate(cpu, linear, write, user)
  if ((linear & 0xfff) + size > 0x1000) locate(cpu, (linear + size - 1) & 0xfffff000, write, user)
}

function readPhysical(cpu: CpuState, hpa: number, size: number): number {
  const mem = cpu.mem
  if (hpa < mem.ramSize) {
    if (mem.phys.watched !== null && mem.phys.watched[hpa >>> 12] !== 0) mem.phys.onWatched(cpu, hpa, size, false)
    if (size === 4) return mem.phys.read32(hpa)
    return size === 1 ? mem.phys.read8(hpa) : mem.phys.read16(hpa)
  }
  const value = (cpu as BusOwner).bus?.mmioRead(cpu, hpa, size) ?? -1
  if (size === 4) return value | 0
  return size === 1 ? value & 0xff : value & 0xffff
}

/** Tells the code cache through phys when the page holds decoded code. */
function writePhysical(cpu: CpuState, hpa: number, size: number, value: number): void {
  const mem = cpu.mem
  if (mem.phys.watched !== null && mem.phys.watched[hpa >>> 12] !== 0) mem.phys.onWatched(cpu, hpa, size, true)
  if (hpa >= mem.ramSize) (cpu as BusOwner).bus?.mmioWrite(cpu, hpa, size, value)
  else if (size === 4) mem.phys.write32(hpa, value)
  else if (size === 1) mem.phys.write8(hpa, value)
  else mem.phys.write16(hpa, value)
}

function readSlow(cpu: CpuState, linear: number, size: number, user: boolean): number {
  checkAlignment(cpu, linear, size, user)
  const hpa = locate(cpu, linear, false, user)
  const first = 0x1000 - (linear & 0xfff)
  let value: number
  if (size <= first) value = readPhysical(cpu, hpa, size)
  else {
    const next = locate(cpu, (linear + first) | 0, false, user)
    value = 0
    for (let i = size - 1; i >= 0; i--) {
      value = (value << 8) | readPhysical(cpu, i < first ? hpa + i : next + i - first, 1)
    }
  }
  if (cpu.watchedPages !== null) watchAccess(cpu, linear, size, false)
  return value
}

function writeSlow(cpu: CpuState, linear: number, size: number, value: number, user: boolean): void {
  checkAlignment(cpu, linear, size, user)
  const hpa = locate(cpu, linear, true, user)
  const first = 0x1000 - (linear & 0xfff)
  if (size <= first) writePhysical(cpu, hpa, size, value)
  else {
    const next = locate(cpu, (linear + first) | 0, true, user)
    for (let i = 0; i < size; i++) writePhysical(cpu, i < first ? hpa + i : next + i - first, 1, value >>> (8 * i))
  }
  if (cpu.watchedPages !== null) watchAccess(cpu, linear, size, true)
}

/**
 * The task state segment as the CPU uses it: inner-ring stacks and the I/O permission bitmap (manual 3A, 7.2; manual 1,
 * 18.5.2), and LTR. Hardware task switching is not emulated.
 *
 *   WHAT IS NOT EMULATED            WHAT IT DOES INSTEAD
 *   task gate in the IDT            #GP(vector * 8 + 2 + EXT), as for a gate of a wrong type
 *   JMP, CALL to a TSS, task gate   #GP(selector)
 *   IRET with NT set                #GP(0)
 *   IRET to virtual-8086 mode       #GP(0)
 *   CR0.PE cleared (real mode)      #GP(0)
 *   moving the local APIC (MSR)     #GP(0)
 *   CR4: VME, PVI, PAE, MCE, PCE    #GP(0), as on a CPU without them; CPUID does not claim them
 *
 *   TSS, 32-bit:  4 esp0 | 8 ss0 | 12 esp1 | 16 ss1 | 20 esp2 | 24 ss2 ...  | 102 I/O map base     at least 104 bytes
 *   TSS, 16-bit:  2 sp0  | 4 ss0 |  6 sp1  |  8 ss1 | 10 sp2  | 12 ss2 ...  (no I/O map)
 */
import { type CpuState, S_CPL, S_EFLAGS, S_SEG_LIMIT, S_SEG_SELECTOR } from '../layout/cpu-state.ts'
import {
  DESC_TSS16_AVAIL,
  DESC_TSS16_BUSY,
  DESC_TSS32_AVAIL,
  DESC_TSS32_BUSY,
  FLAG_IOPL,
  TR,
  TRAP_GP,
  TRAP_NP,
  TRAP_TS,
} from '../layout/x86.ts'
import { readSys16, readSys32, writeSys8 } from '../mmu/access.ts'
import { raiseFaultWithCode } from '../mmu/fault.ts'
import {
  descriptorAttr,
  descriptorBase,
  descriptorLimit,
  isNull,
  isPresent,
  isSystem,
  newDescriptor,
  readDescriptor,
  setSegmentRaw,
  systemType,
} from './segmentation.ts'

const IO_MAP_BASE = 102
const TSS32_LAST = 103

const tss = newDescriptor()

function is32(cpu: CpuState): boolean {
  return (cpu.segAttr[TR] & 0x8) !== 0
}

/** What readInnerStack found. */
export const innerStack = { esp: 0, selector: 0 }

/**
 * Reads the stack for ring `cpl` (0-2) from the TSS into `innerStack`. Raises #TS(TR | ext) when the TSS is too short;
 * `ext` is 1 when an event outside the program wants the stack.
 */
export function readInnerStack(cpu: CpuState, cpl: number, ext: number): void {
  const wide = is32(cpu)
  const at = wide ? 4 + cpl * 8 : 2 + cpl * 4
  if (at + (wide ? 5 : 3) > cpu.st[S_SEG_LIMIT + TR] >>> 0) {
    raiseFaultWithCode(cpu, TRAP_TS, (cpu.st[S_SEG_SELECTOR + TR] & 0xfffc) | ext)
  }
  const slot = (cpu.segBase[TR] + at) | 0
  innerStack.esp = wide ? readSys32(cpu, slot) : readSys16(cpu, slot)
  innerStack.selector = readSys16(cpu, (slot + (wide ? 4 : 2)) | 0)
}

/**
 * LTR: the TSS must be available; it becomes busy in whatever GDT page is mapped (a supervisor write that respects CR0.WP).
 * Raises #GP(selector) when it is null, in the LDT, beyond the GDT, of another type or busy; #NP(selector); #PF.
 */
export function loadTaskRegister(cpu: CpuState, selector: number): void {
  if (isNull(selector)) raiseFaultWithCode(cpu, TRAP_GP, 0)
  if ((selector & 4) !== 0) raiseFaultWithCode(cpu, TRAP_GP, selector & 0xfffc)
  readDescriptor(cpu, selector, TRAP_GP, tss)
  const type = systemType(tss.high)
  if (!isSystem(tss.high) || (type !== DESC_TSS32_AVAIL && type !== DESC_TSS16_AVAIL)) {
    raiseFaultWithCode(cpu, TRAP_GP, selector & 0xfffc)
  }
  if (!isPresent(tss.high)) raiseFaultWithCode(cpu, TRAP_NP, selector & 0xfffc)
  const busy = type === DESC_TSS32_AVAIL ? DESC_TSS32_BUSY : DESC_TSS16_BUSY
  tss.high = (tss.high & ~0xf00) | (busy << 8)
  writeSys8(cpu, (tss.address + 5) | 0, (tss.high >>> 8) & 0xff)
  setSegmentRaw(cpu, TR, selector, descriptorBase(tss), descriptorLimit(tss), descriptorAttr(tss.high))
}

/**
 * Raises #GP(0) unless `size` (1, 2, 4) ports from `port` may be used: CPL <= IOPL, or their bits in the TSS's bitmap are
 * clear. The CPU reads two bytes of the bitmap always, so the last byte must lie within the TSS's limit too.
 */
export function checkIoPermission(cpu: CpuState, port: number, size: number): void {
  if (cpu.st[S_CPL] <= (cpu.st[S_EFLAGS] & FLAG_IOPL) >>> 12) return
  const limit = cpu.st[S_SEG_LIMIT + TR] >>> 0
  if (cpu.segAttr[TR] === 0 || !is32(cpu) || limit < TSS32_LAST) raiseFaultWithCode(cpu, TRAP_GP, 0)
  const bitmap = readSys16(cpu, (cpu.segBase[TR] + IO_MAP_BASE) | 0)
  const at = bitmap + (port >>> 3)
  if (at + 1 > limit) raiseFaultWithCode(cpu, TRAP_GP, 0)
  const bits = readSys16(cpu, (cpu.segBase[TR] + at) | 0) >>> (port & 7)
  if ((bits & ((1 << size) - 1)) !== 0) raiseFaultWithCode(cpu, TRAP_GP, 0)
}

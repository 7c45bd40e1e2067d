/**
 * IRET in its protected-mode forms, the checks it shares with RETF, and the rules by which IRET and POPF change EFLAGS
 * (manual 2A "IRET", "POPF"; 3A 6.12.1). A nested task's return (NT set) and a return to virtual-8086 mode are refused with
 * #GP(0); the table in task-segment.ts lists it.
 *
 *   esp ▶ | eip | cs | eflags |               same ring
 *         | eip | cs | eflags | esp | ss |    outer ring: its stack comes from the frame
 */
import { PENDING_BREAKPOINT, S_CPL, S_EIP, S_NMI_BLOCKED, S_PENDING } from '../layout/cpu-state.ts'
import {
  ESP,
  FLAG_AC,
  FLAG_ALWAYS_ONE,
  FLAG_DF,
  FLAG_ID,
  FLAG_IF,
  FLAG_IOPL,
  FLAG_NT,
  FLAG_RF,
  FLAG_TF,
  FLAG_VM,
  FLAGS_STATUS,
  SS,
  TRAP_GP,
  TRAP_NP,
} from '../layout/x86.ts'
import { raiseFaultWithCode } from '../mmu/fault.ts'
import type { Cpu } from './cpu.ts'
import { getEflags, setEflags } from './flags.ts'
import { peekStack, setStackOffset, stackOffset } from './operands.ts'
import {
  checkStackSegment,
  type Descriptor,
  descriptorDpl,
  descriptorLimit,
  dropPrivilegedSegments,
  isCode,
  isConforming,
  isNull,
  isPresent,
  markAccessed,
  newDescriptor,
  readDescriptor,
  setCodeSegment,
  setSegment,
} from './segmentation.ts'

const code = newDescriptor()
const stack = newDescriptor()

/**
 * EFLAGS bits that IRET and POPF change at a privilege level: IF only when CPL <= IOPL, IOPL only in ring 0. The others
 * silently keep what they are, which is why an lguest kernel in ring 1 cannot turn interrupts off with POPF. RF is IRET's.
 */
export function writableFlags(cpl: number, iopl: number): number {
  let mask = FLAGS_STATUS | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_AC | FLAG_ID
  if (cpl <= iopl) mask |= FLAG_IF
  if (cpl === 0) mask |= FLAG_IOPL
  return mask
}

/** Changes the bits of `mask` in EFLAGS as IRET and POPF do; an image of 2 bytes leaves the upper half alone. */
export function loadFlags(cpu: Cpu, size: number, image: number, mask: number): void {
  const allowed = size === 2 ? mask & 0xffff : mask
  setEflags(cpu, (getEflags(cpu) & ~allowed) | (image & allowed) | FLAG_ALWAYS_ONE)
}

/** ESP and the null-ing of data segments after SS and CS of an outer ring are loaded; for RETF and IRET. */
export function enterOuterRing(cpu: Cpu, esp: number): void {
  cpu.r[ESP] = cpu.stack32 ? esp : (cpu.r[ESP] & ~0xffff) | (esp & 0xffff)
  dropPrivilegedSegments(cpu)
}

/** IRET, `size` the operand size in bytes (2 or 4). Ends the blocking of NMIs. Raises #GP, #NP, #SS, #PF. */
export function iret(cpu: Cpu, size: number): void {
  const st = cpu.st
  const cpl = st[S_CPL]
  const eflags = getEflags(cpu)
  if ((eflags & FLAG_NT) !== 0) raiseFaultWithCode(cpu, TRAP_GP, 0)
  // From the top down, as silicon does: which page faults first is visible in CR2.
  const image = peekStack(cpu, size, 2 * size)
  const selector = peekStack(cpu, size, size) & 0xffff
  const eip = peekStack(cpu, size, 0)
  if (size === 4 && (image & FLAG_VM) !== 0 && cpl === 0) raiseFaultWithCode(cpu, TRAP_GP, 0)
  checkReturnSelector(cpu, selector, cpl, code)
  const rpl = selector & 3
  const mask = writableFlags(cpl, (eflags & FLAG_IOPL) >>> 12) | FLAG_RF
  // RF lives for one instruction. Nobody can see it unless instruction breakpoints are on, and only then does the run loop
  // look after it; so without them it is not set at all.
  const restored = (st[S_PENDING] & PENDING_BREAKPOINT) !== 0 ? image : image & ~FLAG_RF
  if (rpl === cpl) {
    checkReturnOffset(cpu, eip, code)
    markAccessed(cpu, code)
    setStackOffset(cpu, stackOffset(cpu, 3 * size))
    setCodeSegment(cpu, selector, code, rpl)
  } else {
    const esp = peekStack(cpu, size, 3 * size)
    const ss = peekStack(cpu, size, 4 * size) & 0xffff
    checkStackSegment(cpu, ss, rpl, TRAP_GP, stack)
    checkReturnOffset(cpu, eip, code)
    markAccessed(cpu, code)
    markAccessed(cpu, stack)
    setCodeSegment(cpu, selector, code, rpl)
    setSegment(cpu, SS, ss, stack)
    enterOuterRing(cpu, esp)
  }
  st[S_EIP] = eip
  loadFlags(cpu, size, restored, mask)
  st[S_NMI_BLOCKED] = 0
}

/** #GP(0) when EIP is beyond the code segment's limit. */
export function checkReturnOffset(cpu: Cpu, eip: number, d: Descriptor): void {
  if (eip >>> 0 > descriptorLimit(d) >>> 0) raiseFaultWithCode(cpu, TRAP_GP, 0)
}

/** Checks the code selector a RETF or IRET goes back to, and leaves its descriptor in `into`. #GP, #NP with the selector. */
export function checkReturnSelector(cpu: Cpu, selector: number, cpl: number, into: Descriptor): void {
  if (isNull(selector)) raiseFaultWithCode(cpu, TRAP_GP, 0)
  readDescriptor(cpu, selector, TRAP_GP, into)
  const rpl = selector & 3
  const dpl = descriptorDpl(into.high)
  if (!isCode(into.high) || rpl < cpl || (isConforming(into.high) ? dpl > rpl : dpl !== rpl)) {
    raiseFaultWithCode(cpu, TRAP_GP, selector & 0xfffc)
  }
  if (!isPresent(into.high)) raiseFaultWithCode(cpu, TRAP_NP, selector & 0xfffc)
}

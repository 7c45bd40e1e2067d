/**
 * Far JMP, CALL and RET, through code segments and call gates, and SYSENTER/SYSEXIT (manual 2A/2B; 3A 5.8). Transfers to
 * a TSS or task gate are not emulated and raise #GP(selector): see the table in task-segment.ts. IRET is return.ts.
 *
 *   call gate, high word  | offset 31-16 | P DPL 0 type | 0 | parameters |     JMP: same ring, or conforming code
 *   call gate, low word   | selector     | offset 15-0                   |     CALL: an inner ring too, on its own stack:
 *
 *                           new stack   | ss, esp | parameters, copied in order | cs, eip |
 *
 * Checks and frame come first; registers change only when nothing can fault any more.
 */
import {
  ATTR_ACCESSED,
  ATTR_BIG,
  ATTR_CODE,
  ATTR_DPL_SHIFT,
  ATTR_GRANULARITY,
  ATTR_PRESENT,
  ATTR_RW,
  ATTR_S,
  S_CPL,
  S_EIP,
  S_SEG_SELECTOR,
  S_SYSENTER_CS,
  S_SYSENTER_EIP,
  S_SYSENTER_ESP,
} from '../layout/cpu-state.ts'
import {
  CS,
  DESC_CALL_GATE16,
  DESC_CALL_GATE32,
  ECX,
  EDX,
  ESP,
  FLAG_IF,
  FLAG_RF,
  FLAG_VM,
  SS,
  TRAP_GP,
  TRAP_NP,
  TRAP_TS,
} from '../layout/x86.ts'
import { raiseFaultWithCode } from '../mmu/fault.ts'
import type { Cpu } from './cpu.ts'
import { getEflags, setEflags } from './flags.ts'
import { peekStack, setStackOffset, stackOffset } from './operands.ts'
import { checkReturnOffset, checkReturnSelector, enterOuterRing } from './return.ts'
import {
  checkStackSegment,
  type Descriptor,
  descriptorDpl,
  isCode,
  isConforming,
  isNull,
  isPresent,
  isSystem,
  markAccessed,
  newDescriptor,
  readDescriptor,
  setCodeSegment,
  setSegment,
  setSegmentRaw,
  systemType,
} from './segmentation.ts'
import { frame, writeFrame, writeInnerFrame } from './stack-frame.ts'
import { innerStack, readInnerStack } from './task-segment.ts'

const target = newDescriptor()
const gateTarget = newDescriptor()
const stack = newDescriptor()

function gp(cpu: Cpu, selector: number): never {
  raiseFaultWithCode(cpu, TRAP_GP, selector & 0xfffc)
}

/** Reads what a direct or gated transfer names into `target`; #GP(0) for null, #GP(selector) beyond the table. */
function readTarget(cpu: Cpu, selector: number): void {
  if (isNull(selector)) raiseFaultWithCode(cpu, TRAP_GP, 0)
  readDescriptor(cpu, selector, TRAP_GP, target)
}

/** Checks the code segment in `target` for a direct JMP or CALL: it must be of this ring, or conforming and inner. */
function checkDirect(cpu: Cpu, selector: number, offset: number): void {
  if (!isCode(target.high)) gp(cpu, selector)
  const cpl = cpu.st[S_CPL]
  const dpl = descriptorDpl(target.high)
  if (isConforming(target.high) ? dpl > cpl : (selector & 3) > cpl || dpl !== cpl) gp(cpu, selector)
  if (!isPresent(target.high)) raiseFaultWithCode(cpu, TRAP_NP, selector & 0xfffc)
  checkReturnOffset(cpu, offset, target)
  markAccessed(cpu, target)
}

/**
 * Checks the gate in `target` and reads the code segment it leads to into gateTarget; returns that segment's selector. Any
 * other system descriptor, a TSS or task gate among them, is #GP(selector).
 */
function throughGate(cpu: Cpu, selector: number, call: boolean): number {
  const type = systemType(target.high)
  if (type !== DESC_CALL_GATE32 && type !== DESC_CALL_GATE16) gp(cpu, selector)
  const cpl = cpu.st[S_CPL]
  const gateDpl = descriptorDpl(target.high)
  if (gateDpl < cpl || gateDpl < (selector & 3)) gp(cpu, selector)
  if (!isPresent(target.high)) raiseFaultWithCode(cpu, TRAP_NP, selector & 0xfffc)
  const codeSelector = target.low >>> 16
  if (isNull(codeSelector)) raiseFaultWithCode(cpu, TRAP_GP, 0)
  readDescriptor(cpu, codeSelector, TRAP_GP, gateTarget)
  const dpl = descriptorDpl(gateTarget.high)
  if (!isCode(gateTarget.high) || dpl > cpl) gp(cpu, codeSelector)
  if (!call && !isConforming(gateTarget.high) && dpl !== cpl) gp(cpu, codeSelector)
  if (!isPresent(gateTarget.high)) raiseFaultWithCode(cpu, TRAP_NP, codeSelector & 0xfffc)
  return codeSelector
}

function gateOffset(gate: Descriptor): number {
  const low = gate.low & 0xffff
  return systemType(gate.high) === DESC_CALL_GATE32 ? low | (gate.high & 0xffff0000) : low
}

/** JMP ptr16:16/32 and m16:16/32. `offset` is already cut to the operand size. */
export function jumpFar(cpu: Cpu, selector: number, offset: number): void {
  readTarget(cpu, selector)
  const cpl = cpu.st[S_CPL]
  if (isSystem(target.high)) {
    const codeSelector = throughGate(cpu, selector, false)
    const to = gateOffset(target)
    checkReturnOffset(cpu, to, gateTarget)
    setCodeSegment(cpu, codeSelector, gateTarget, cpl)
    cpu.st[S_EIP] = to
    return
  }
  checkDirect(cpu, selector, offset)
  setCodeSegment(cpu, selector, target, cpl)
  cpu.st[S_EIP] = offset
}

/** CALL ptr16:16/32 and m16:16/32; `size` is the operand size in bytes (a gate has its own). */
export function callFar(cpu: Cpu, selector: number, offset: number, size: number): void {
  readTarget(cpu, selector)
  if (isSystem(target.high)) {
    callGate(cpu, selector)
    return
  }
  checkDirect(cpu, selector, offset)
  pushReturn(cpu, size)
  setCodeSegment(cpu, selector, target, cpu.st[S_CPL])
  cpu.st[S_EIP] = offset
}

function pushReturn(cpu: Cpu, size: number): void {
  frame[0] = cpu.st[S_SEG_SELECTOR + CS]
  frame[1] = cpu.st[S_EIP]
  cpu.r[ESP] = writeFrame(cpu, 2, size, 0)
}

function callGate(cpu: Cpu, selector: number): void {
  const codeSelector = throughGate(cpu, selector, true)
  const st = cpu.st
  const size = systemType(target.high) === DESC_CALL_GATE32 ? 4 : 2
  const to = gateOffset(target)
  const cpl = st[S_CPL]
  const dpl = descriptorDpl(gateTarget.high)
  if (isConforming(gateTarget.high) || dpl === cpl) {
    checkReturnOffset(cpu, to, gateTarget)
    markAccessed(cpu, gateTarget)
    pushReturn(cpu, size)
    setCodeSegment(cpu, codeSelector, gateTarget, cpl)
    st[S_EIP] = to
    return
  }
  readInnerStack(cpu, dpl, 0)
  const ss = innerStack.selector
  checkStackSegment(cpu, ss, dpl, TRAP_TS, stack)
  checkReturnOffset(cpu, to, gateTarget)
  markAccessed(cpu, stack)
  markAccessed(cpu, gateTarget)
  let count = 0
  frame[count++] = st[S_SEG_SELECTOR + SS]
  frame[count++] = cpu.r[ESP]
  // The parameter furthest from the top goes first, so that they lie in the same order as on the old stack.
  for (let i = (target.high & 0x1f) - 1; i >= 0; i--) frame[count++] = peekStack(cpu, size, i * size)
  frame[count++] = st[S_SEG_SELECTOR + CS]
  frame[count++] = st[S_EIP]
  const esp = writeInnerFrame(cpu, stack, innerStack.esp, count, size, ss & 0xfffc)
  setSegment(cpu, SS, ss, stack)
  cpu.r[ESP] = esp
  setCodeSegment(cpu, codeSelector, gateTarget, dpl)
  st[S_EIP] = to
}

/** RETF, releasing `release` bytes of parameters, on both stacks when it goes to an outer ring. */
export function returnFar(cpu: Cpu, size: number, release: number): void {
  const cpl = cpu.st[S_CPL]
  // The selector first and only its word, as silicon does: which page faults, and where, is visible in CR2.
  const selector = peekStack(cpu, 2, size)
  const eip = peekStack(cpu, size, 0)
  checkReturnSelector(cpu, selector, cpl, target)
  const rpl = selector & 3
  if (rpl === cpl) {
    checkReturnOffset(cpu, eip, target)
    markAccessed(cpu, target)
    setStackOffset(cpu, stackOffset(cpu, 2 * size + release))
    setCodeSegment(cpu, selector, target, rpl)
  } else {
    const esp = peekStack(cpu, size, 2 * size + release)
    const ss = peekStack(cpu, size, 3 * size + release) & 0xffff
    checkStackSegment(cpu, ss, rpl, TRAP_GP, stack)
    checkReturnOffset(cpu, eip, target)
    markAccessed(cpu, target)
    markAccessed(cpu, stack)
    setCodeSegment(cpu, selector, target, rpl)
    setSegment(cpu, SS, ss, stack)
    enterOuterRing(cpu, esp)
    setStackOffset(cpu, stackOffset(cpu, release))
  }
  cpu.st[S_EIP] = eip
}

const FLAT = ATTR_PRESENT | ATTR_S | ATTR_RW | ATTR_ACCESSED | ATTR_BIG | ATTR_GRANULARITY

/** Loads CS or SS with the fixed flat descriptor SYSENTER and SYSEXIT use; the GDT is not looked at. */
function setFlat(cpu: Cpu, seg: number, selector: number, dpl: number): void {
  const attr = FLAT | (seg === CS ? ATTR_CODE : 0) | (dpl << ATTR_DPL_SHIFT)
  setSegmentRaw(cpu, seg, selector & 0xffff, 0, -1, attr)
}

/** SYSENTER: to ring 0 at SYSENTER_CS:EIP, interrupts off; nothing is saved. #GP(0) while SYSENTER_CS is null. */
export function sysenter(cpu: Cpu): void {
  const st = cpu.st
  const cs = st[S_SYSENTER_CS] & 0xfffc
  if (cs === 0) raiseFaultWithCode(cpu, TRAP_GP, 0)
  setEflags(cpu, getEflags(cpu) & ~(FLAG_VM | FLAG_IF | FLAG_RF))
  setFlat(cpu, CS, cs, 0)
  setFlat(cpu, SS, cs + 8, 0)
  cpu.setCpl(0)
  cpu.r[ESP] = st[S_SYSENTER_ESP]
  st[S_EIP] = st[S_SYSENTER_EIP]
}

/** SYSEXIT: to ring 3 at EDX with the stack at ECX. #GP(0) outside ring 0 and while SYSENTER_CS is null. */
export function sysexit(cpu: Cpu): void {
  const st = cpu.st
  const cs = st[S_SYSENTER_CS] & 0xfffc
  if (cs === 0 || st[S_CPL] !== 0) raiseFaultWithCode(cpu, TRAP_GP, 0)
  setFlat(cpu, CS, (cs + 16) | 3, 3)
  setFlat(cpu, SS, (cs + 24) | 3, 3)
  cpu.setCpl(3)
  cpu.r[ESP] = cpu.r[ECX]
  st[S_EIP] = cpu.r[EDX]
}

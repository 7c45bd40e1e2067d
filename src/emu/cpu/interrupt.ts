/**
 * Interrupts and exceptions: delivery through the IDT's gates with ring changes by the TSS, the escalation to #DF and
 * shutdown (manual 3A, chapter 6; 2A "INT n"). IRET is return.ts; what is not emulated is listed in task-segment.ts.
 *
 *   gate, high word   | offset 31-16 | P DPL 0 type | 0 |          frame    | ss, esp |  only on a change of ring
 *   gate, low word    | selector     | offset 15-0      |                   | eflags, cs, eip |
 *                                                                           | error code |
 *
 * All is checked and written before any register changes, so a fault while delivering leaves the CPU as it was. The IDT,
 * GDT, TSS and inner stacks are read and written as supervisor by linear address, and may themselves page-fault.
 */
import {
  S_CPL,
  S_DR,
  S_EIP,
  S_FAULT_ERROR,
  S_FAULT_HAS_ERROR,
  S_FAULT_VECTOR,
  S_HALTED,
  S_IDT_BASE,
  S_IDT_LIMIT,
  S_NMI_BLOCKED,
  S_SEG_SELECTOR,
} from '../layout/cpu-state.ts'
import {
  CS,
  DESC_INT_GATE16,
  DESC_INT_GATE32,
  DESC_TRAP_GATE16,
  DESC_TRAP_GATE32,
  ESP,
  FLAG_IF,
  FLAG_NT,
  FLAG_RF,
  FLAG_TF,
  FLAG_VM,
  SS,
  TRAP_DB,
  TRAP_DE,
  TRAP_DF,
  TRAP_GP,
  TRAP_NP,
  TRAP_PF,
  TRAP_TS,
} from '../layout/x86.ts'
import { readSys32 } from '../mmu/access.ts'
import { FAULT, raiseFaultWithCode } from '../mmu/fault.ts'
import type { Cpu } from './cpu.ts'
import { getEflags, setEflags } from './flags.ts'
import {
  checkStackSegment,
  descriptorDpl,
  descriptorLimit,
  isCode,
  isConforming,
  isNull,
  isPresent,
  isSystem,
  markAccessed,
  newDescriptor,
  setCodeSegment,
  setSegment,
  systemType,
  tryReadDescriptor,
} from './segmentation.ts'
import { frame, writeFrame, writeInnerFrame } from './stack-frame.ts'
import { innerStack, readInnerStack } from './task-segment.ts'

export { iret } from './return.ts'

/**
 * 'software' is INT n, INT3, INTO: the gate's DPL is checked and error codes have EXT clear. 'exception' is a fault: the
 * pushed EFLAGS has RF set, so that returning does not meet the same instruction breakpoint again; not so for #DB, whose
 * handler decides that itself (manual 3B, 17.3.1.1). 'trap' is a #DB after its instruction, and INT1.
 */
export type InterruptKind = 'hardware' | 'nmi' | 'software' | 'exception' | 'trap'

const DR7_GD = 1 << 13

const code = newDescriptor()
const stack = newDescriptor()

/**
 * Delivers one interrupt or exception, vector 0-255; `errorCode` is pushed when given. CS:EIP is what goes into the frame.
 * Raises the fault that delivery itself meets: #GP, #NP, #TS, #SS with a selector or IDT index and EXT, or #PF.
 * deliverException and deliverExternal escalate it.
 */
export function deliverInterrupt(cpu: Cpu, vector: number, kind: InterruptKind, errorCode?: number): void {
  const st = cpu.st
  const ext = kind === 'software' ? 0 : 1
  const idtError = (vector << 3) | 2 | ext
  if (vector * 8 + 7 > st[S_IDT_LIMIT] >>> 0) raiseFaultWithCode(cpu, TRAP_GP, idtError)
  const gate = (st[S_IDT_BASE] + vector * 8) | 0
  const low = readSys32(cpu, gate)
  const high = readSys32(cpu, (gate + 4) | 0)
  const type = systemType(high)
  const wide = type === DESC_INT_GATE32 || type === DESC_TRAP_GATE32
  if (!isSystem(high) || (!wide && type !== DESC_INT_GATE16 && type !== DESC_TRAP_GATE16)) {
    raiseFaultWithCode(cpu, TRAP_GP, idtError)
  }
  const cpl = st[S_CPL]
  if (ext === 0 && descriptorDpl(high) < cpl) raiseFaultWithCode(cpu, TRAP_GP, idtError)
  if (!isPresent(high)) raiseFaultWithCode(cpu, TRAP_NP, idtError)

  const selector = low >>> 16
  const offset = wide ? (low & 0xffff) | (high & 0xffff0000) : low & 0xffff
  if (isNull(selector)) raiseFaultWithCode(cpu, TRAP_GP, ext)
  const selectorError = (selector & 0xfffc) | ext
  if (!tryReadDescriptor(cpu, selector, code)) raiseFaultWithCode(cpu, TRAP_GP, selectorError)
  const dpl = descriptorDpl(code.high)
  if (!isCode(code.high) || dpl > cpl) raiseFaultWithCode(cpu, TRAP_GP, selectorError)
  if (!isPresent(code.high)) raiseFaultWithCode(cpu, TRAP_NP, selectorError)

  const eflags = getEflags(cpu)
  const size = wide ? 4 : 2
  const ring = isConforming(code.high) ? cpl : dpl
  const inner = ring < cpl
  let count = 0
  if (inner) {
    readInnerStack(cpu, ring, ext)
    checkStackSegment(cpu, innerStack.selector, ring, TRAP_TS, stack, ext)
    markAccessed(cpu, stack)
    frame[count++] = st[S_SEG_SELECTOR + SS]
    frame[count++] = cpu.r[ESP]
  }
  if (offset >>> 0 > descriptorLimit(code) >>> 0) raiseFaultWithCode(cpu, TRAP_GP, ext)
  markAccessed(cpu, code)
  frame[count++] = kind === 'exception' && vector !== TRAP_DB ? eflags | FLAG_RF : eflags
  frame[count++] = st[S_SEG_SELECTOR + CS]
  frame[count++] = st[S_EIP]
  if (errorCode !== undefined) frame[count++] = errorCode

  if (inner) {
    const esp = writeInnerFrame(cpu, stack, innerStack.esp, count, size, (innerStack.selector & 0xfffc) | ext)
    setSegment(cpu, SS, innerStack.selector, stack)
    cpu.r[ESP] = esp
  } else cpu.r[ESP] = writeFrame(cpu, count, size, ext)

  // From here on nothing can fault.
  const isInterruptGate = type === DESC_INT_GATE32 || type === DESC_INT_GATE16
  setEflags(cpu, eflags & ~(FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM | (isInterruptGate ? FLAG_IF : 0)))
  setCodeSegment(cpu, selector, code, ring)
  st[S_EIP] = offset
  st[S_HALTED] = 0
  if (kind === 'nmi') st[S_NMI_BLOCKED] = 1
  // A debug handler may use the debug registers (manual 3B, 17.2.4, GD flag).
  else if (vector === TRAP_DB && ext !== 0) st[S_DR + 7] &= ~DR7_GD
}

/** Vectors of which two in a row are a double fault (manual 3A, table 6-4). */
function isContributory(vector: number): boolean {
  return vector === TRAP_DE || (vector >= TRAP_TS && vector <= TRAP_GP)
}

/** Table 6-5: a second fault while the first is being delivered. */
function escalates(first: number, second: number): boolean {
  if (isContributory(first)) return isContributory(second)
  return first === TRAP_PF && (second === TRAP_PF || isContributory(second))
}

/**
 * Delivers the fault recorded in the state block, escalating to #DF and, after that, to shutdown (bus.shutdown). CS:EIP
 * must be what the frame shall have: the instruction's own for a fault, the next one's for a trap.
 */
export function deliverException(cpu: Cpu, kind: 'exception' | 'trap' = 'exception'): void {
  const st = cpu.st
  let vector = st[S_FAULT_VECTOR]
  let error = st[S_FAULT_HAS_ERROR] !== 0 ? st[S_FAULT_ERROR] : undefined
  for (;;) {
    try {
      deliverInterrupt(cpu, vector, kind, error)
      return
    } catch (thrown) {
      if (thrown !== FAULT) throw thrown
    }
    if (vector === TRAP_DF) {
      cpu.bus.shutdown(cpu)
      return
    }
    const second = st[S_FAULT_VECTOR]
    if (escalates(vector, second)) {
      // An abort: RF stays as it is.
      vector = TRAP_DF
      error = 0
      kind = 'trap'
    } else {
      vector = second
      error = st[S_FAULT_HAS_ERROR] !== 0 ? st[S_FAULT_ERROR] : undefined
      kind = 'exception'
    }
  }
}

/** Delivers a hardware interrupt or NMI between instructions; a fault in its delivery is delivered instead. */
export function deliverExternal(cpu: Cpu, vector: number, kind: 'hardware' | 'nmi'): void {
  try {
    deliverInterrupt(cpu, vector, kind)
  } catch (thrown) {
    if (thrown !== FAULT) throw thrown
    deliverException(cpu)
  }
}

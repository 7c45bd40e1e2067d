/**
 * The run loop of one CPU on the interpreter. run(cpu, n) retires exactly n instructions unless the CPU halts or is asked
 * to stop: lockstep determinism depends on it. Between blocks it looks at what is pending (manual 3A, table 6-2: traps of
 * the last instruction, then NMI, then interrupts, then instruction breakpoints); within a block nothing is asked, because
 * every instruction that could change the answer ends its block.
 *
 * With TF, instruction breakpoints, watched pages or an interrupt shadow, instructions are run one by one.
 */
import {
  PENDING_BREAKPOINT,
  PENDING_INTR,
  PENDING_NMI,
  PENDING_STEP,
  S_EFLAGS,
  S_EIP,
  S_HALTED,
  S_INTERRUPT_SHADOW,
  S_NMI_BLOCKED,
  S_PENDING,
  S_RETIRED,
  S_SEG_LIMIT,
  S_STOP_REQUEST,
  S_FAULT_VECTOR,
  S_FAULT_HAS_ERROR,
  SHADOW_MOV_SS,
} from '../layout/cpu-state.ts'
import { CS, FLAG_IF, FLAG_RF, FLAG_TF, TRAP_DB, TRAP_GP, TRAP_NMI } from '../layout/x86.ts'
import { FAULT, raiseFaultWithCode } from '../mmu/fault.ts'
import { type Block, type CodeCache, codeCacheOf, fetchAddress } from './code-cache.ts'
import type { Cpu, RunProgress } from './cpu.ts'
import { checkInstructionBreakpoint, markSingleStep } from './debug-registers.ts'
import { deliverException, deliverExternal } from './interrupt.ts'
import { int3, intN, into } from './interp/system.ts'
import type { Insn } from './insn.ts'

/** Runs up to `max` instructions; returns how many were retired. Faulting instructions count. */
export function run(cpu: Cpu, max: number): number {
  const cache = codeCacheOf(cpu.mem)
  const progress = cpu.progress
  progress.max = progress.remaining = max
  progress.insn = null
  while (progress.remaining > 0) {
    try {
      if (!runUntilEvent(cpu, cache, progress)) break
    } catch (thrown) {
      if (thrown !== FAULT) {
        retire(cpu, progress)
        throw thrown
      }
      faulted(cpu, progress, progress.insn)
    }
  }
  return retire(cpu, progress)
}

/** Runs one instruction, or delivers one interrupt and then runs one. */
export function step(cpu: Cpu): number {
  return run(cpu, 1)
}

/** Adds what was done to the count of retired instructions; returns how many they were. */
function retire(cpu: Cpu, progress: RunProgress): number {
  const st = cpu.st
  const count = progress.max - progress.remaining
  progress.max = progress.remaining = 0
  const low = (st[S_RETIRED] >>> 0) + count
  st[S_RETIRED] = low
  if (low >= 0x1_0000_0000) st[S_RETIRED + 1]++
  return count
}

/** `insn` (null: fetching) has raised what the state block says: the CPU goes on in the handler. */
function faulted(cpu: Cpu, progress: RunProgress, insn: Insn | null): void {
  if (insn) cpu.st[S_EIP] -= insn.back
  progress.insn = null
  progress.remaining--
  cpu.clearPending(PENDING_STEP)
  deliverException(cpu)
}

/** False when the CPU can do nothing more now: halted, or asked to stop. */
function runUntilEvent(cpu: Cpu, cache: CodeCache, progress: RunProgress): boolean {
  const st = cpu.st
  for (;;) {
    if ((st[S_PENDING] | st[S_HALTED] | st[S_STOP_REQUEST] | st[S_INTERRUPT_SHADOW]) !== 0) {
      if (!service(cpu)) return false
    }
    if (progress.remaining <= 0) return true
    if (
      (st[S_EFLAGS] & FLAG_TF) !== 0 ||
      st[S_INTERRUPT_SHADOW] !== 0 ||
      cpu.watchedPages !== null ||
      cpu.mem.phys.watched !== null ||
      (st[S_PENDING] & PENDING_BREAKPOINT) !== 0
    ) {
      runOne(cpu, cache, progress)
    } else runBlocks(cpu, cache, progress)
  }
}

/** Delivers what is pending. False when the CPU stops here. */
function service(cpu: Cpu): boolean {
  const st = cpu.st
  if (st[S_STOP_REQUEST] !== 0) {
    st[S_STOP_REQUEST] = 0
    return false
  }
  if ((st[S_PENDING] & PENDING_STEP) !== 0 && st[S_INTERRUPT_SHADOW] !== SHADOW_MOV_SS) {
    cpu.clearPending(PENDING_STEP)
    st[S_FAULT_VECTOR] = TRAP_DB
    st[S_FAULT_HAS_ERROR] = 0
    deliverException(cpu, 'trap')
  }
  if (st[S_INTERRUPT_SHADOW] === 0) {
    if ((st[S_PENDING] & PENDING_NMI) !== 0 && st[S_NMI_BLOCKED] === 0) {
      cpu.clearPending(PENDING_NMI)
      deliverExternal(cpu, TRAP_NMI, 'nmi')
    }
    if ((st[S_PENDING] & PENDING_INTR) !== 0 && (st[S_EFLAGS] & FLAG_IF) !== 0) {
      const vector = cpu.bus.acknowledgeInterrupt(cpu)
      deliverExternal(cpu, vector, 'hardware')
    }
  }
  return st[S_HALTED] === 0
}

/**
 * Block after block, until something is pending. Within a block EIP is not kept: it stays at the start, and is set to the end before the
 * last instruction, the only one that may look at it.
 */
function runBlocks(cpu: Cpu, cache: CodeCache, progress: RunProgress): void {
  const st = cpu.st
  checkFetchLimit(cpu, 1)
  let linear = fetchAddress(cpu)
  let block = cache.lookup(cpu, linear)
  for (;;) {
    const insns = block.insns
    const last = insns.length - 1
    if (
      last >= progress.remaining ||
      st[S_SEG_LIMIT + CS] !== -1 ||
      (cpu.debug !== null && cpu.debug.mayStop(linear, block.bytes))
    ) {
      runCarefully(cpu, block, progress)
      return
    }
    let i = 0
    let insn = insns[0]
    try {
      while (i < last && insns.length !== 0) {
        insn = insns[i++]
        insn.exec(cpu, insn)
      }
      // A block that has modified itself is empty, and over.
      if (insns.length === 0) st[S_EIP] += insn.length - insn.back
      else {
        st[S_EIP] += block.bytes
        insn = insns[i++]
        insn.exec(cpu, insn)
      }
    } catch (thrown) {
      progress.remaining -= i - 1
      if (thrown !== FAULT) throw thrown
      return faulted(cpu, progress, insn)
    }
    progress.remaining -= i
    if ((st[S_PENDING] | st[S_HALTED] | st[S_STOP_REQUEST] | st[S_INTERRUPT_SHADOW]) !== 0) return
    if (progress.remaining <= 0 || (st[S_EFLAGS] & FLAG_TF) !== 0) return
    linear = fetchAddress(cpu)
    block = follow(cpu, cache, block, linear)
  }
}

/** The block at `linear`, by the links of the one before where they still hold. */
function follow(cpu: Cpu, cache: CodeCache, from: Block, linear: number): Block {
  const generation = cpu.fetchGeneration
  let to = from.next
  if (to !== null && from.nextLinear === linear && from.nextGeneration === generation && to.insns.length !== 0)
    return to
  to = from.other
  if (to !== null && from.otherLinear === linear && from.otherGeneration === generation && to.insns.length !== 0) {
    return to
  }
  const found = cache.lookup(cpu, linear)
  from.other = from.next
  from.otherLinear = from.nextLinear
  from.otherGeneration = from.nextGeneration
  from.next = found
  from.nextLinear = linear
  from.nextGeneration = generation
  return found
}

/** Part of a block: the budget ends inside it, a debugger looks at it, or CS has a limit that must be checked each time. */
function runCarefully(cpu: Cpu, block: Block, progress: RunProgress): void {
  const insns = block.insns
  for (let i = 0; i < insns.length && progress.remaining > 0; i++) {
    const insn = insns[i]
    if (debuggerStops(cpu)) return
    checkFetchLimit(cpu, insn.length)
    execute(cpu, insn, progress)
  }
}

/** One instruction at EIP: EIP is where the handler expects it (insn.ts) while it runs, and behind it afterwards. */
function execute(cpu: Cpu, insn: Insn, progress: RunProgress): void {
  const st = cpu.st
  progress.insn = insn
  st[S_EIP] += insn.back
  insn.exec(cpu, insn)
  st[S_EIP] += insn.length - insn.back
  progress.insn = null
  progress.remaining--
}

/** Makes the loop end before the next instruction when a debugger wants to. */
function debuggerStops(cpu: Cpu): boolean {
  if (cpu.debug === null || !cpu.debug.stopBefore(cpu, fetchAddress(cpu))) return false
  cpu.requestStop()
  return true
}

/** #GP(0) when `bytes` of the instruction at EIP do not lie within CS's limit. Its first byte is asked for before it is fetched. */
function checkFetchLimit(cpu: Cpu, bytes: number): void {
  const limit = cpu.st[S_SEG_LIMIT + CS]
  if (limit === -1) return
  const eip = cpu.st[S_EIP] >>> 0
  if (eip + bytes - 1 > limit >>> 0) raiseFaultWithCode(cpu, TRAP_GP, 0)
}

/** One instruction with everything a debugger may have asked for. */
function runOne(cpu: Cpu, cache: CodeCache, progress: RunProgress): void {
  const st = cpu.st
  // Not behind MOV SS: the handler would be entered with half a stack pointer (manual 3A, 6.8.3).
  if ((st[S_PENDING] & PENDING_BREAKPOINT) !== 0 && st[S_INTERRUPT_SHADOW] !== SHADOW_MOV_SS) {
    checkInstructionBreakpoint(cpu)
  }
  if (debuggerStops(cpu)) return
  checkFetchLimit(cpu, 1)
  const block = cache.lookup(cpu, fetchAddress(cpu))
  const insn = block.insns[0]
  checkFetchLimit(cpu, insn.length)
  const stepping = (st[S_EFLAGS] & FLAG_TF) !== 0
  st[S_INTERRUPT_SHADOW] = 0
  st[S_EFLAGS] &= ~FLAG_RF
  execute(cpu, insn, progress)
  // A software interrupt cleared TF on its way into the handler; there is no step trap then.
  const software = insn.exec === intN || insn.exec === int3 || insn.exec === into
  if (stepping && st[S_INTERRUPT_SHADOW] !== SHADOW_MOV_SS && !(software && (st[S_EFLAGS] & FLAG_TF) === 0)) {
    markSingleStep(cpu)
    cpu.setPending(PENDING_STEP)
  }
}

/**
 * Debug registers (manual 3B, 17.2): DR0-DR3 addresses, DR6 what happened, DR7 what is on, and the breakpoints that are
 * not memory accesses. They cost nothing while off:
 *
 *   data          pages with one lose their direct TLB entries (mmu/watch.ts compares); #DB is a trap, PENDING_STEP
 *   instruction   PENDING_BREAKPOINT stays set; the run loop then calls checkInstructionBreakpoint before each; a fault
 *   port          IN, OUT, INS, OUTS call watchPort (only with CR4.DE); a trap
 *   single-step   the run loop: TF set when the instruction began -> markSingleStep and PENDING_STEP after it
 */
import {
  type CpuState,
  PENDING_BREAKPOINT,
  S_CR4,
  S_DR,
  S_EFLAGS,
  S_EIP,
  S_PENDING,
  S_SEG_BASE,
} from '../layout/cpu-state.ts'
import { CR4_DE, CS, FLAG_RF, TRAP_DB, TRAP_UD } from '../layout/x86.ts'
import { raiseFault } from '../mmu/fault.ts'
import { watchPages } from '../mmu/tlb.ts'
import {
  BREAK_EXECUTE,
  BREAK_PORT,
  BREAK_READ_WRITE,
  BREAK_WRITE,
  breakpointEnabled,
  breakpointKind,
  breakpointTouches,
  noteBreakpoint,
} from '../mmu/watch.ts'

const DR6_WRITABLE = 0xe00f
const DR6_FIXED = 0xffff0ff0 | 0
const DR6_BD = 1 << 13
const DR6_BS = 1 << 14
const DR7_GD = 1 << 13
const DR7_ZERO = 0xd800
const DR7_FIXED = 0x400

/** MOV r32, DRn, n 0-7. DR4 and DR5 are DR6 and DR7, or #UD with CR4.DE. #DB when DR7.GD guards the registers. */
export function readDebugRegister(cpu: CpuState, n: number): number {
  return cpu.st[S_DR + checkAccess(cpu, n)]
}

/** MOV DRn, r32; the same faults. Bits that are fixed stay so. */
export function writeDebugRegister(cpu: CpuState, n: number, value: number): void {
  const at = checkAccess(cpu, n)
  if (at === 6) cpu.st[S_DR + 6] = (value & DR6_WRITABLE) | DR6_FIXED
  else {
    cpu.st[S_DR + at] = at === 7 ? (value & ~DR7_ZERO) | DR7_FIXED : value
    armBreakpoints(cpu)
  }
}

function checkAccess(cpu: CpuState, n: number): number {
  const alias = n === 4 || n === 5
  if (alias && (cpu.st[S_CR4] & CR4_DE) !== 0) raiseFault(cpu, TRAP_UD)
  if ((cpu.st[S_DR + 7] & DR7_GD) !== 0) {
    // GD itself is cleared when the handler is entered (interrupt.ts).
    cpu.st[S_DR + 6] |= DR6_BD
    raiseFault(cpu, TRAP_DB)
  }
  return alias ? n + 2 : n
}

/** Makes DR0-DR3 and DR7 effective; also needed after they were loaded from elsewhere. */
export function armBreakpoints(cpu: CpuState): void {
  const st = cpu.st
  const dr7 = st[S_DR + 7]
  let pages: Set<number> | null = null
  let execute = false
  for (let i = 0; i < 4; i++) {
    if (!breakpointEnabled(dr7, i)) continue
    const kind = breakpointKind(dr7, i)
    if (kind === BREAK_EXECUTE) execute = true
    else if (kind === BREAK_WRITE || kind === BREAK_READ_WRITE) (pages ??= new Set()).add(st[S_DR + i] >>> 12)
  }
  if (pages !== null || cpu.watchedPages !== null) watchPages(cpu, pages)
  if (execute) st[S_PENDING] |= PENDING_BREAKPOINT
  else st[S_PENDING] &= ~PENDING_BREAKPOINT
}

/** True while some instruction breakpoint is on (what PENDING_BREAKPOINT says). */
export function hasInstructionBreakpoints(cpu: CpuState): boolean {
  return (cpu.st[S_PENDING] & PENDING_BREAKPOINT) !== 0
}

/**
 * Raises #DB when a breakpoint is on the instruction about to run and RF is clear. A fault by its EIP; a handler that wants
 * to go on sets RF in the frame.
 */
export function checkInstructionBreakpoint(cpu: CpuState): void {
  const st = cpu.st
  if ((st[S_EFLAGS] & FLAG_RF) !== 0) return
  const linear = (st[S_SEG_BASE + CS] + st[S_EIP]) | 0
  const dr7 = st[S_DR + 7]
  let hit = 0
  for (let i = 0; i < 4; i++) {
    const on = breakpointEnabled(dr7, i) && breakpointKind(dr7, i) === BREAK_EXECUTE
    if (on && st[S_DR + i] === linear) hit |= 1 << i
  }
  if (hit === 0) return
  st[S_DR + 6] |= hit
  raiseFault(cpu, TRAP_DB)
}

/** A port access has just been made: port breakpoints exist only with CR4.DE. */
export function watchPort(cpu: CpuState, port: number, size: number): void {
  const dr7 = cpu.st[S_DR + 7]
  if ((dr7 & 0xff) === 0 || (cpu.st[S_CR4] & CR4_DE) === 0) return
  for (let i = 0; i < 4; i++) {
    if (!breakpointEnabled(dr7, i) || breakpointKind(dr7, i) !== BREAK_PORT) continue
    if (breakpointTouches(cpu, i, port, size)) noteBreakpoint(cpu, i)
  }
}

/** DR6 for a single-step trap. */
export function markSingleStep(cpu: CpuState): void {
  cpu.st[S_DR + 6] |= DR6_BS
}

/**
 * Data breakpoints as the memory paths meet them (manual 3B, 17.2.4 and 17.2.5): an access to a watched page is compared
 * with DR0-DR3; a hit sets DR6's bit and makes a #DB trap due after the instruction. Pages without a breakpoint never
 * come here, because only watched pages are kept out of the TLB. Called by access.ts; DR7 is written by
 * cpu/debug-registers.ts, which also handles instruction and port breakpoints.
 *
 *   DR7   | LEN3 R/W3 | LEN2 R/W2 | LEN1 R/W1 | LEN0 R/W0 | 0 0 GD 0 0 1 GE LE | G3 L3 G2 L2 G1 L1 G0 L0 |
 *          31                                           16                    8  7                      0
 */
import { type CpuState, PENDING_STEP, S_DR, S_PENDING } from '../layout/cpu-state.ts'

/** R/W field: what kind of access breakpoint i waits for. */
export const BREAK_EXECUTE = 0
export const BREAK_WRITE = 1
export const BREAK_PORT = 2
export const BREAK_READ_WRITE = 3

/** LEN field to bytes; 2 is undefined on this family and taken as 8, as later CPUs do. */
const LENGTHS = [1, 2, 8, 4] as const

/** L or G bit of breakpoint i (0-3). */
export const breakpointEnabled = (dr7: number, i: number): boolean => ((dr7 >>> (2 * i)) & 3) !== 0
export const breakpointKind = (dr7: number, i: number): number => (dr7 >>> (16 + 4 * i)) & 3
export const breakpointLength = (dr7: number, i: number): number => LENGTHS[(dr7 >>> (18 + 4 * i)) & 3]

/** True when `size` bytes from `first` (both unsigned) touch breakpoint i's bytes; its address is aligned to its length. */
export function breakpointTouches(cpu: CpuState, i: number, first: number, size: number): boolean {
  const length = breakpointLength(cpu.st[S_DR + 7], i)
  const at = (cpu.st[S_DR + i] & ~(length - 1)) >>> 0
  return first < at + length && at < first + size
}

/** Notes a breakpoint's hit in DR6 and makes the #DB trap due. */
export function noteBreakpoint(cpu: CpuState, i: number): void {
  cpu.st[S_DR + 6] |= 1 << i
  cpu.st[S_PENDING] |= PENDING_STEP
}

/** A data access that has just been made to a watched page. */
export function watchAccess(cpu: CpuState, linear: number, size: number, write: boolean): void {
  const dr7 = cpu.st[S_DR + 7]
  for (let i = 0; i < 4; i++) {
    if (!breakpointEnabled(dr7, i)) continue
    const kind = breakpointKind(dr7, i)
    if (kind !== BREAK_READ_WRITE && !(write && kind === BREAK_WRITE)) continue
    if (breakpointTouches(cpu, i, linear >>> 0, size)) noteBreakpoint(cpu, i)
  }
}

/**
 * The lockstep executor: all CPUs on one thread, one quantum of instructions each in turn. With the virtual clock a run is
 * exactly repeatable; with the wall clock the same loop serves a person.
 *
 *      round     | CPU 0: quantum | CPU 1: quantum | ... | clock and timers |
 *
 * A CPU that halts gives up the rest of its quantum. A CPU that is asked to stop (a breakpoint) stops the executor in the middle of
 * a round; the next slice takes up exactly there.
 */
import { run } from '../cpu/run.ts'
import { PENDING_INTR, PENDING_NMI, S_EFLAGS, S_HALTED, S_NMI_BLOCKED, S_PENDING } from '../layout/cpu-state.ts'
import { FLAG_IF } from '../layout/x86.ts'
import type { Cpu } from '../cpu/cpu.ts'
import { VirtualClock } from './clock.ts'
import type { Machine } from './machine.ts'

export const DEFAULT_QUANTUM = 2000

export type SliceOutcome =
  /** The budget is used up. */
  | { readonly kind: 'ran' }
  /** All CPUs are halted until `alarm` (ns of the clock; Infinity: until something from outside). */
  | { readonly kind: 'idle'; readonly alarm: number }
  /** A CPU was asked to stop. */
  | { readonly kind: 'stopped'; readonly cpu: number }

export class LockstepExecutor {
  readonly machine: Machine
  readonly quantum: number
  /** Whose turn it is, and how much of its quantum is left. */
  private turn: number
  private left: number
  private started: number

  constructor(machine: Machine, quantum = DEFAULT_QUANTUM) {
    this.machine = machine
    this.quantum = quantum
    this.turn = 0
    this.left = quantum
    this.started = machine.cpus[0].retired
    if (machine.clock instanceof VirtualClock) {
      machine.clock.instructionsSince = () => machine.cpus[this.turn].retired - this.started
    }
  }

  /** Runs rounds until `more` says no, asked before each round, or nothing can run any more. */
  runWhile(more: () => boolean): SliceOutcome {
    while (more()) {
      const stopped = this.round()
      if (stopped >= 0) return { kind: 'stopped', cpu: stopped }
      if (this.idle()) {
        const alarm = this.machine.nextAlarm()
        if (!Number.isFinite(alarm) || !this.machine.clock.skipTo(alarm)) return { kind: 'idle', alarm }
        this.machine.tick()
      }
    }
    return { kind: 'ran' }
  }

  /** Runs about `instructions` on each CPU. */
  runSlice(instructions: number): SliceOutcome {
    let rounds = Math.max(1, Math.ceil(instructions / this.quantum))
    return this.runWhile(() => rounds-- > 0)
  }

  /** The rest of the round. The CPU that was asked to stop, or -1. */
  private round(): number {
    const { cpus } = this.machine
    while (this.turn < cpus.length) {
      const cpu = cpus[this.turn]
      if (canRun(cpu)) {
        this.left -= run(cpu, this.left)
        if (this.left > 0 && canRun(cpu)) return this.turn
      }
      this.nextTurn(this.turn + 1)
    }
    this.machine.clock.ran(this.quantum)
    this.nextTurn(0)
    this.machine.tick()
    return -1
  }

  private nextTurn(turn: number): void {
    this.turn = turn
    this.left = this.quantum
    // Between rounds the clock counts from CPU 0.
    if (turn < this.machine.cpus.length) this.started = this.machine.cpus[turn].retired
  }

  private idle(): boolean {
    return !this.machine.cpus.some(canRun)
  }
}

/** Whether a CPU would do anything: it is not halted, or something ends the halt. */
export function canRun(cpu: Cpu): boolean {
  const { st } = cpu
  if (st[S_HALTED] === 0) return true
  if ((st[S_PENDING] & PENDING_NMI) !== 0 && st[S_NMI_BLOCKED] === 0) return true
  return (st[S_PENDING] & PENDING_INTR) !== 0 && (st[S_EFLAGS] & FLAG_IF) !== 0
}

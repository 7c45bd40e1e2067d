/**
 * Cpu: one i386, as its neighbours see it. The state is CpuState's (shared memory); this class adds what connects the
 * CPU to the machine. The run loop is run.ts, instruction meaning is interp/, segmentation and interrupts have files of
 * their own; all of them are functions over a Cpu.
 */
import { CpuState, S_PENDING, S_STOP_REQUEST } from '../layout/cpu-state.ts'
import type { MachineMemory } from '../layout/memory.ts'
import type { Insn } from './insn.ts'

/** Called when a CPU at privilege level 0 executes a gate (ARCHITECTURE.md). EIP is already past the gate;
 *  the function may change any CPU state, EIP included. */
export type GateFunction = (cpu: Cpu) => void

/** What the machine offers a CPU. Hot paths use none of these. */
export interface CpuBus {
  /** The local APIC's answer to an interrupt acknowledge: a vector, 0-255. Called with IF = 1 and PENDING_INTR set. */
  acknowledgeInterrupt(cpu: Cpu): number
  /** Time stamp counter ticks since reset, before tsc_offset. */
  readTsc(cpu: Cpu): number
  portIn(cpu: Cpu, port: number, size: number): number
  portOut(cpu: Cpu, port: number, size: number, value: number): void
  /** Reads of physical addresses outside RAM (the local APIC's registers; elsewhere all ones). */
  mmioRead(cpu: CpuState, hpa: number, size: number): number
  mmioWrite(cpu: CpuState, hpa: number, size: number, value: number): void
  /** A triple fault: the CPU stops. */
  shutdown(cpu: Cpu): void
  /** The gate at a host-physical address, if any. */
  gateAt(hpa: number): GateFunction | undefined
}

/** How far the run loop is; outside it, so that a fault loses nothing and the clock can tell the time in the middle. */
export interface RunProgress {
  /**
   * Instructions asked for, and those left of them; both 0 outside the loop. The block being executed counts at its end; what asks
   * for the time begins its block (code-cache.ts).
   */
  max: number
  remaining: number
  /** The instruction being executed; null while fetching. */
  insn: Insn | null
}

/** A debugger outside the machine. It must not change anything. */
export interface DebugHook {
  /** Whether stopBefore() wants to see the instructions in these bytes. Asked once a block. */
  mayStop(linear: number, bytes: number): boolean
  /** True to leave the run loop before the instruction at `linear`. */
  stopBefore(cpu: Cpu, linear: number): boolean
}

export class Cpu extends CpuState {
  readonly bus: CpuBus
  debug: DebugHook | null = null
  readonly progress: RunProgress = { max: 0, remaining: 0, insn: null }

  constructor(mem: MachineMemory, id: number, bus: CpuBus) {
    super(mem, id)
    this.bus = bus
  }

  /** Sets PENDING_* bits; the run loop looks before the next instruction. */
  setPending(bits: number): void {
    this.st[S_PENDING] |= bits
  }

  clearPending(bits: number): void {
    this.st[S_PENDING] &= ~bits
  }

  /** Instructions retired since reset, those of a run in progress included. */
  get retired(): number {
    return this.fields.retired + this.progress.max - this.progress.remaining
  }

  /** Makes run() return at the next instruction boundary. */
  requestStop(): void {
    this.st[S_STOP_REQUEST] = 1
  }
}

/**
 * One guest of the library as it lives: its state machine (shared/guest.ts), its console, and while it runs its launcher and disks.
 * It keeps no state anywhere else, so app, web front and command line all see the same.
 */
import type { GuestExit, RunningGuest } from '../emu/index.ts'
import { NEXT_STATES, type GuestState, type GuestSummary } from '../shared/guest.ts'
import type { ConsolePort } from './connection.ts'
import { ConsoleBuffer } from './console-buffer.ts'
import { EngineError } from './errors.ts'
import type { FileDisk } from './file-disk.ts'
import type { GuestRecord } from './guest-library.ts'
import type { GuestIdentity } from './inspect/target.ts'
import type { SymbolTable } from './symbols.ts'

/** What is measured while it runs (statistics.ts). */
export interface LiveFigures {
  cpuShare: number
  memoryUsed: number
  /** World switches a second, the newest last, at most ACTIVITY_SECONDS. */
  activity: number[]
  cpu: number
}

export const ACTIVITY_SECONDS = 60

export class GuestMachine implements GuestIdentity, ConsolePort {
  record: GuestRecord
  readonly buffer: ConsoleBuffer
  state: GuestState = 'defined'
  reason: string | null = null
  startedAt: string | null = null
  running: RunningGuest | null = null
  disks: FileDisk[] = []
  symbols: SymbolTable | null = null
  /** What is being done with its files, and keeps it from being started or deleted: "being copied". */
  readonly busy: string[] = []
  /** Gives up a start whose files are being read. */
  starting: AbortController | null = null
  live: LiveFigures = { cpuShare: 0, memoryUsed: 0, activity: [], cpu: -1 }
  private readonly changed: (machine: GuestMachine) => void
  private waiters: (() => void)[] = []

  constructor(record: GuestRecord, scrollback: number, changed: (machine: GuestMachine) => void) {
    this.record = record
    this.changed = changed
    this.buffer = new ConsoleBuffer({ scrollback })
    this.buffer.onRoom = () => this.running?.drained()
  }

  get guestId(): string {
    return this.record.id
  }
  get name(): string {
    return this.record.config.name
  }

  /** Whether it has a launcher. */
  get alive(): boolean {
    return ['starting', 'running', 'paused', 'stopping'].includes(this.state)
  }

  /** Throws when the state machine does not allow it. */
  setState(next: GuestState, reason: string | null = null): void {
    if (!NEXT_STATES[this.state].includes(next)) {
      throw new EngineError('badState', `“${this.name}” is ${this.state}; it cannot become ${next}.`)
    }
    this.state = next
    this.reason = reason
    if (next === 'starting') this.startedAt = new Date().toISOString()
    if (!this.alive) this.live = { ...this.live, cpuShare: 0, memoryUsed: 0 }
    this.changed(this)
    for (const wake of this.waiters.splice(0)) wake()
  }

  /** Resolves when `condition` holds after a change of state; rejects with 'cancelled' when the signal fires. */
  async until(condition: () => boolean, signal?: AbortSignal): Promise<void> {
    while (!condition()) {
      if (signal?.aborted === true) throw new EngineError('cancelled', 'It was cancelled.')
      await new Promise<void>((resolve) => {
        this.waiters.push(resolve)
        signal?.addEventListener('abort', () => resolve(), { once: true })
      })
    }
  }

  /** Keys for the guest; dropped while there is nobody to read them. */
  input(bytes: Uint8Array): void {
    this.running?.type(bytes.slice())
  }

  /** Its launcher is gone. */
  ended(exit: GuestExit): void {
    this.running = null
    this.closeDisks()
    const { kind, reason } = exit
    if (kind === 'killed' || kind === 'crashed') {
      this.buffer.mark(`${this.name} ${kind === 'killed' ? 'was killed' : 'crashed'}: ${reason}`)
      this.setState('crashed', reason)
    } else {
      this.buffer.mark(`${this.name} ${kind === 'poweroff' ? 'powered off' : 'was turned off'}`)
      this.setState('stopped', kind === 'poweroff' ? null : 'turned off')
    }
  }

  /** A disk that cannot write its last bytes is told of, and keeps nothing else from ending. */
  closeDisks(): void {
    for (const disk of this.disks.splice(0)) {
      try {
        disk.close()
      } catch (error) {
        const problem = error instanceof Error ? error.message : String(error)
        this.buffer.mark(`The last bytes written to ${disk.path} may be lost: ${problem}`)
      }
    }
  }

  /** Throws badState while something is done with its files. */
  assertIdle(): void {
    const [doing] = this.busy
    if (doing !== undefined) throw new EngineError('badState', `“${this.name}” is ${doing}. Wait until that is done.`)
  }

  /** Does something with its files, which keeps it from being started or deleted meanwhile. */
  async whileBusy<T>(doing: string, work: () => Promise<T>): Promise<T> {
    this.busy.push(doing)
    try {
      return await work()
    } finally {
      this.busy.splice(this.busy.indexOf(doing), 1)
    }
  }

  summary(): GuestSummary {
    const { id, config, colour, createdAt } = this.record
    const { cpuShare, memoryUsed, activity, cpu } = this.live
    return {
      id,
      config,
      state: this.state,
      reason: this.reason,
      colour,
      createdAt,
      startedAt: this.startedAt,
      cpuShare,
      memoryUsed,
      activity: [...activity],
      cpu,
    }
  }
}

/**
 * `kennel run`: one computer, its guests, and this terminal. The computer runs in short turns between which input, output and signals are
 * looked at; while all its CPUs are halted nothing runs at all.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { buildSeed } from '../../guests/seed/build.ts'
import { Computer, type GuestExit, type GuestFile, type RunningGuest, UnusableImageError } from '../emu/index.ts'
import { builtinPup, packageRoot } from '../engine/builtin.ts'
import { EngineError } from '../engine/errors.ts'
import type { FileDisk } from '../engine/file-disk.ts'
import { parseRunArguments, type RunArguments } from './arguments.ts'
import { openDisks, readUserFile } from './user-file.ts'
import { EXIT_FAULT, EXIT_GUEST, EXIT_POWEROFF, EXIT_TIMEOUT, EXIT_USAGE, say, UsageError } from './messages.ts'
import { ConsoleOutput } from './output.ts'
import { ReportFile } from './report-file.ts'
import { type RunStatistics, runStatistics } from './run-statistics.ts'
import { Terminal } from './terminal.ts'

/** How long the computer runs before the rest of the process has its turn. */
const TURN_MS = 8
/** How long the reader of standard output may take for the rest, when the run was ended from outside. */
const DELIVERY_MS = 1000
/** Bytes a guest need not have read before more is taken from a pipe; and what a repeatable run holds at once. */
const INPUT_AHEAD = 1 << 20
const REPEATABLE_INPUT_MAX = 64 << 20
const NANOSECONDS_PER_MS = 1_000_000
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** How the run as a whole ended. */
type RunEnd =
  | { readonly kind: 'guests' }
  | { readonly kind: 'timeout' }
  /** The user left, or nobody reads the output any more. */
  | { readonly kind: 'left' }
  /** Standard output takes no more, and not because its reader went away. */
  | { readonly kind: 'output'; readonly problem: string }
  /** Somebody wants this process to end. */
  | { readonly kind: 'signal'; readonly signal: NodeJS.Signals }

class Run {
  private readonly args: RunArguments
  private readonly computer: Computer
  private readonly terminal: Terminal
  private readonly output: ConsoleOutput
  private readonly disks: FileDisk[]
  private readonly running: Map<string, RunningGuest>
  private readonly exits: Map<string, GuestExit>
  /** What prints the line each guest has begun. */
  private readonly lineEnds: Map<string, () => void>
  private readonly started: number
  private end: RunEnd | undefined
  private wake: (() => void) | undefined
  private stuck: boolean
  private readonly onSignal = (signal: NodeJS.Signals): void => this.finish({ kind: 'signal', signal })

  constructor(args: RunArguments) {
    this.args = args
    this.started = performance.now()
    this.computer = switchOn(args)
    this.terminal = new Terminal()
    this.output = new ConsoleOutput(process.stdout, args.deterministic)
    this.disks = openDisks(args.disks)
    this.running = new Map()
    this.exits = new Map()
    this.lineEnds = new Map()
    this.stuck = false
  }

  async run(): Promise<number> {
    const { args } = this
    process.stdout.on('error', (error: NodeJS.ErrnoException) =>
      this.finish(error.code === 'EPIPE' ? { kind: 'left' } : { kind: 'output', problem: error.message }),
    )
    this.output.onRoom = () => {
      for (const guest of this.running.values()) guest.drained()
      this.wake?.()
    }
    this.startGuests()
    const statistics = args.stats === undefined ? undefined : new ReportFile('statistics', args.stats)
    const timer =
      args.timeout === undefined ? undefined : setTimeout(() => this.finish({ kind: 'timeout' }), args.timeout * 1000)
    // A guest may wait for ever, even when nothing can be typed any more.
    const alive = setInterval(() => {}, 2 ** 30)
    // Not once: a terminal's ^C comes from there and from bin/kennel, and the second would end us in the middle.
    for (const signal of SIGNALS) process.on(signal, this.onSignal)
    try {
      await this.listen()
      while (this.end === undefined) await this.turn()
      for (const endLine of this.lineEnds.values()) endLine()
      await this.deliver()
    } catch (error) {
      statistics?.write(this.statistics('fault', error instanceof Error ? error.message : String(error)))
      throw error
    } finally {
      clearTimeout(timer)
      clearInterval(alive)
      this.terminal.close()
      for (const disk of this.disks) disk.close()
    }
    const status = this.report(this.end, statistics)
    for (const signal of SIGNALS) process.off(signal, this.onSignal)
    // Terminal and disks are as they should be: now what the signal does by itself.
    if (this.end.kind === 'signal') process.kill(process.pid, this.end.signal)
    // What nobody reads would hold the process.
    if (!this.output.empty) process.exit(status)
    return status
  }

  /** The first end counts; but when the guests are over, their output may still be waiting for its reader. */
  private finish(end: RunEnd): void {
    if (this.end === undefined || (this.end.kind === 'guests' && end.kind !== 'left')) this.end = end
    this.wake?.()
  }

  /** Begins to take input. A repeatable run must not depend on when it arrives, so it has all of it first. */
  private async listen(): Promise<void> {
    if (this.args.deterministic && !this.terminal.interactive) {
      const bytes = await this.unlessOver(this.terminal.readAll(REPEATABLE_INPUT_MAX))
      if (bytes !== undefined) this.type(bytes)
      return
    }
    this.terminal.open(
      (bytes) => this.type(bytes),
      () => this.finish({ kind: 'left' }),
    )
  }

  /** Waits for `work`, or for another end of the run. */
  private async unlessOver<T>(work: Promise<T>): Promise<T | undefined> {
    const over = new Promise<undefined>((resolve) => (this.wake = () => resolve(undefined)))
    const result = await Promise.race([work, over])
    this.wake = undefined
    return result
  }

  /** Lets standard output's reader have what it has not taken; not for ever, when nobody wants the run any more. */
  private async deliver(): Promise<void> {
    const drained = this.output.drained()
    if (this.end?.kind === 'guests') await this.unlessOver(drained)
    if (this.end?.kind === 'guests' || this.end?.kind === 'signal') return
    await Promise.race([drained, delay(DELIVERY_MS, undefined, { ref: false })])
  }

  private type(bytes: Uint8Array): void {
    for (const guest of this.running.values()) guest.type(bytes)
    this.holdInput()
    this.wake?.()
  }

  /** Bytes that the slowest guest has not read. */
  private get unread(): number {
    return Math.max(0, ...[...this.running.values()].map((guest) => guest.waitingInput))
  }

  private holdInput(): void {
    this.terminal.hold(this.unread > INPUT_AHEAD)
  }

  private startGuests(): void {
    const { args } = this
    const builtin: { kernel: GuestFile; initrd?: GuestFile } | undefined =
      args.builtin === 'pup' ? builtinPup() : args.builtin === 'seed' ? { kernel: builtinSeed() } : undefined
    const kernel = builtin?.kernel ?? readUserFile('The kernel', args.kernel ?? '')
    const initrd = args.initrd === undefined ? builtin?.initrd : readUserFile('The initrd', args.initrd)
    const base = args.builtin ?? 'guest'
    if (args.guests > 1 && args.disks.some(({ readOnly }) => !readOnly)) {
      throw new UsageError('Several guests cannot write to one disk. Write “--disk FILE,ro”.')
    }
    const start = (name: string, typed?: Uint8Array): void => {
      const sink = args.guests === 1 ? { ...this.output.plain(), end: () => {} } : this.output.prefixed(name)
      const guest = this.computer.startGuest({
        name,
        kernel,
        era: args.builtin === 'seed' ? 'A' : 'C',
        initrd,
        append: args.append,
        memory: args.memory,
        disks: this.disks,
        net: args.net,
        console: sink,
        onExit: (exit) => {
          sink.end()
          this.running.delete(name)
          if (exit.kind === 'restart') return start(name, guest.takeUnread())
          this.exits.set(name, exit)
          // The last one's reason comes behind its output.
          if (this.running.size === 0) this.finish({ kind: 'guests' })
          else sayReason(name, exit)
        },
      })
      if (typed !== undefined) guest.type(typed)
      this.running.set(name, guest)
      this.lineEnds.set(name, sink.end)
    }
    for (let n = 1; n <= args.guests; n++) start(args.guests === 1 ? base : `${base}${n}`)
  }

  /** Runs the computer for a turn, then waits until there is more for it to do. */
  private async turn(): Promise<void> {
    if (this.args.deterministic && this.output.full) await this.unlessOver(this.output.drained())
    const until = performance.now() + TURN_MS
    const outcome = this.computer.run(() => this.end === undefined && performance.now() < until)
    this.holdInput()
    if (outcome.kind !== 'idle') return new Promise((resolve) => setImmediate(resolve))
    if (!Number.isFinite(outcome.alarm)) this.noticeStuck()
    const now = this.computer.machine.clock.now()
    const delay = Number.isFinite(outcome.alarm) ? Math.max(0, (outcome.alarm - now) / NANOSECONDS_PER_MS) : undefined
    await new Promise<void>((resolve) => {
      const timer = delay === undefined ? undefined : setTimeout(resolve, delay)
      this.wake = () => {
        clearTimeout(timer)
        resolve()
      }
      if (this.end !== undefined) this.wake()
    })
    this.wake = undefined
  }

  /** Nothing will ever happen again: all CPUs are halted, no timer runs and nobody can type. Said once, unless there is an end anyway. */
  private noticeStuck(): void {
    if (this.stuck || !this.terminal.ended || this.unread > 0 || this.output.full || this.end !== undefined) return
    this.stuck = true
    if (this.args.timeout !== undefined) return
    say(`${this.waiting()}, but standard input has ended; SIGTERM or Ctrl-C ends the run`)
  }

  private waiting(): string {
    const { size } = this.running
    return size === 1 ? 'the guest waits for input' : `${size} guests wait for input`
  }

  private statistics(reason: string, detail: string): RunStatistics {
    return runStatistics(this.computer, (performance.now() - this.started) / 1000, { reason, detail })
  }

  /** Says and writes how it ended; the exit status. */
  private report(end: RunEnd, file: ReportFile | undefined): number {
    const bad = [...this.exits.values()].find(({ kind }) => kind !== 'poweroff')
    let status = end.kind === 'guests' && bad !== undefined ? EXIT_GUEST : EXIT_POWEROFF
    const statistics =
      end.kind === 'guests'
        ? this.statistics(bad?.kind ?? 'poweroff', bad?.reason ?? 'powered off')
        : this.statistics(end.kind, end.kind === 'output' ? end.problem : '')
    if (file?.write(statistics) === false) status = EXIT_FAULT
    if (end.kind === 'output') {
      say(`standard output takes no more: ${end.problem}`)
      status = EXIT_FAULT
    }
    if (end.kind === 'timeout') {
      say(`the timeout of ${this.args.timeout} s has passed; ${this.unfinished()}`)
      status = EXIT_TIMEOUT
    }
    const last = [...this.exits].at(-1)
    if (end.kind === 'guests' && last !== undefined) sayReason(...last)
    return status
  }

  private unfinished(): string {
    const { size } = this.running
    if (size === 0) return 'nobody had read all of the output'
    if (this.stuck) return `${this.waiting()}, but standard input has ended`
    return size === 1 ? 'the guest was still running' : `${size} guests were still running`
  }
}

function switchOn(args: RunArguments): Computer {
  try {
    return new Computer({
      cpus: args.cpus,
      ramSize: args.hostRam,
      clock: args.deterministic ? 'virtual' : () => Math.round(performance.now() * NANOSECONDS_PER_MS),
      bootTime: args.deterministic ? 0 : Date.now() * NANOSECONDS_PER_MS,
      copy: args.copy,
    })
  } catch (error) {
    // The sizes have been checked: this is the real computer's memory.
    if (!(error instanceof RangeError)) throw error
    const host = `a host of ${args.hostRam / (1 << 20)} MiB with ${args.cpus} CPUs`
    throw new UsageError(`There is not enough memory for ${host}; give it less (--host-ram, --cpus).`)
  }
}

function sayReason(name: string, { kind, reason }: GuestExit): void {
  if (kind === 'killed') say(`${name} was killed: ${reason}`)
  else if (kind === 'crashed') say(`${name} crashed: ${reason}`)
}

/** Runs the command; its exit status. */
export async function runCommand(args: readonly string[]): Promise<number> {
  try {
    return await new Run(parseRunArguments(args)).run()
  } catch (error) {
    const told = error instanceof UsageError || error instanceof UnusableImageError || error instanceof EngineError
    if (!told) throw error
    say(error.message)
    return EXIT_USAGE
  }
}

/** The guest of March 2007, assembled from its source. */
function builtinSeed(): GuestFile {
  const source = readFileSync(join(packageRoot(), 'guests', 'seed', 'seed.asm'), 'utf8')
  return { name: 'seed', bytes: buildSeed(source) }
}

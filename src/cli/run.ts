/**
 * `kennel run`: one computer, its guests, and this terminal. The computer runs in short turns between which input, output and signals are
 * looked at; while all its CPUs are halted nothing runs at all.
 */
import { writeFileSync } from 'node:fs'
import { Computer, type GuestExit, type RunningGuest, UnusableImageError } from '../emu/index.ts'
import { builtinPup } from '../engine/builtin.ts'
import { EngineError } from '../engine/errors.ts'
import { FileDisk } from '../engine/file-disk.ts'
import { parseRunArguments, type RunArguments } from './arguments.ts'
import { readUserFile } from './user-file.ts'
import { EXIT_GUEST, EXIT_POWEROFF, EXIT_TIMEOUT, EXIT_USAGE, say, UsageError } from './messages.ts'
import { ConsoleOutput } from './output.ts'
import { runStatistics } from './run-statistics.ts'
import { Terminal } from './terminal.ts'

/** How long the computer runs before the rest of the process has its turn. */
const TURN_MS = 8
const NANOSECONDS_PER_MS = 1_000_000
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** How the run as a whole ended. */
type RunEnd =
  | { readonly kind: 'guests' }
  | { readonly kind: 'timeout' }
  /** The user left, or nobody reads the output any more. */
  | { readonly kind: 'left' }
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

  constructor(args: RunArguments) {
    this.args = args
    this.started = performance.now()
    this.computer = new Computer({
      cpus: args.cpus,
      ramSize: args.hostRam,
      clock: args.deterministic ? 'virtual' : () => Math.round(performance.now() * NANOSECONDS_PER_MS),
      bootTime: args.deterministic ? 0 : Date.now() * NANOSECONDS_PER_MS,
      copy: args.copy,
    })
    this.terminal = new Terminal()
    this.output = new ConsoleOutput(process.stdout, args.deterministic)
    this.disks = args.disks.map(({ file, readOnly }) => new FileDisk(file, readOnly))
    this.running = new Map()
    this.exits = new Map()
    this.lineEnds = new Map()
  }

  async run(): Promise<number> {
    const { args } = this
    process.stdout.on('error', () => this.finish({ kind: 'left' }))
    this.output.onRoom = () => {
      for (const guest of this.running.values()) guest.drained()
      this.wake?.()
    }
    this.startGuests()
    const timer =
      args.timeout === undefined ? undefined : setTimeout(() => this.finish({ kind: 'timeout' }), args.timeout * 1000)
    // A repeatable run must not depend on when its input arrives.
    if (args.deterministic && !this.terminal.interactive) await this.typeAll()
    else
      this.terminal.open(
        (bytes) => this.type(bytes),
        () => this.finish({ kind: 'left' }),
      )
    // A guest may wait for ever, even when nothing can be typed any more.
    const alive = setInterval(() => {}, 2 ** 30)
    for (const signal of SIGNALS) process.once(signal, () => this.finish({ kind: 'signal', signal }))
    try {
      while (this.end === undefined) await this.turn()
    } finally {
      clearTimeout(timer)
      clearInterval(alive)
      for (const signal of SIGNALS) process.removeAllListeners(signal)
      this.terminal.close()
      for (const disk of this.disks) disk.close()
    }
    for (const endLine of this.lineEnds.values()) endLine()
    if (this.end.kind !== 'signal') await this.output.drained()
    return this.report(this.end)
  }

  private finish(end: RunEnd): void {
    this.end ??= end
    this.wake?.()
  }

  private type(bytes: Uint8Array): void {
    for (const guest of this.running.values()) guest.type(bytes)
    this.wake?.()
  }

  /** Types what there is on standard input up to its end, unless the run is over before that. */
  private async typeAll(): Promise<void> {
    const over = new Promise<undefined>((resolve) => (this.wake = () => resolve(undefined)))
    const bytes = await Promise.race([this.terminal.readAll(), over])
    this.wake = undefined
    if (bytes !== undefined) this.type(bytes)
  }

  private startGuests(): void {
    const { args } = this
    const pup = args.kernel === undefined ? builtinPup() : undefined
    const kernel = pup?.kernel ?? readUserFile('The kernel', args.kernel ?? '')
    const initrd = args.initrd === undefined ? pup?.initrd : readUserFile('The initrd', args.initrd)
    const base = args.kernel === undefined ? 'pup' : 'guest'
    if (args.guests > 1 && args.disks.some(({ readOnly }) => !readOnly)) {
      throw new UsageError('Several guests cannot write to one disk. Write “--disk FILE,ro”.')
    }
    const start = (name: string, typed?: Uint8Array): void => {
      const sink = args.guests === 1 ? { ...this.output.plain(), end: () => {} } : this.output.prefixed(name)
      const guest = this.computer.startGuest({
        name,
        kernel,
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
          if (this.running.size === 0) this.finish({ kind: 'guests' })
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
    if (this.args.deterministic && this.output.full) await this.output.drained()
    const until = performance.now() + TURN_MS
    const outcome = this.computer.run(() => this.end === undefined && performance.now() < until)
    if (outcome.kind !== 'idle') return new Promise((resolve) => setImmediate(resolve))
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

  private report(end: RunEnd): number {
    const { args } = this
    const exits = [...this.exits.entries()]
    const bad = exits.find(([, exit]) => exit.kind !== 'poweroff')
    const seconds = (performance.now() - this.started) / 1000
    if (args.stats !== undefined) {
      const reason = end.kind === 'guests' ? (bad?.[1].kind ?? 'poweroff') : end.kind
      const detail = end.kind === 'guests' ? (bad?.[1].reason ?? 'powered off') : ''
      writeStatistics(args.stats, runStatistics(this.computer, seconds, { reason, detail }))
    }
    // Terminal and disks are as they should be: now what the signal does by itself.
    if (end.kind === 'signal') process.kill(process.pid, end.signal)
    if (end.kind === 'timeout') {
      say(`the timeout of ${args.timeout} s has passed; the guest was still running`)
      return EXIT_TIMEOUT
    }
    for (const [name, exit] of exits) {
      if (exit.kind === 'killed') say(`${name} was killed: ${exit.reason}`)
      else if (exit.kind === 'crashed') say(`${name} crashed: ${exit.reason}`)
    }
    return end.kind === 'guests' && bad !== undefined ? EXIT_GUEST : EXIT_POWEROFF
  }
}

function writeStatistics(file: string, statistics: unknown): void {
  try {
    writeFileSync(file, `${JSON.stringify(statistics, null, 2)}\n`)
  } catch (error) {
    say(`the statistics could not be written to ${file}: ${error instanceof Error ? error.message : String(error)}`)
  }
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

/**
 * The emulated host as the engine drives it: it runs in short turns between which requests and console bytes are looked at, sleeps
 * while all its CPUs are halted, and stands still while it is paused in the debugger.
 *
 *      turn: run about TURN_MS ──▶ breakpoint? ──▶ stopped, with a reason
 *                 │                                    │ resume, step
 *                 └── idle? sleep until the next alarm or wake()
 */
import { run } from '../emu/cpu/run.ts'
import { Computer, type GuestOptions, type RunningGuest } from '../emu/index.ts'
import { MIB } from '../emu/layout/memory.ts'
import { S_HALTED } from '../emu/layout/cpu-state.ts'
import type { Guest } from '../emu/lguest/guest.ts'
import { SWITCHER_ADDR, SWITCHER_TEXT_PAGES, switcherTexts } from '../emu/lguest/switcher/switcher.ts'
import { DIRECT_MAP } from '../emu/host/text.ts'
import { PAGE_SIZE } from '../emu/layout/x86.ts'
import type { StopReason } from '../shared/inspect.ts'
import type { HostInfo, Settings } from '../shared/protocol.ts'
import { Debugger } from './debugger.ts'
import { EngineError } from './errors.ts'
import { HostClock } from './host-clock.ts'
import type { GuestIdentity, InspectionTarget } from './inspect/target.ts'
import { symbolTable, type SymbolTable } from './symbols.ts'
import { Timeline } from './timeline.ts'

/** How long the host runs before the rest of the process has its turn. */
const TURN_MS = 8
const NANOSECONDS_PER_MS = 1_000_000
const HOST_TEXT_PAGES = 2

export interface HostEvents {
  /** The host paused, resumed, or was changed. */
  changed(): void
  /** The emulated machine found itself broken: everything in it is over. */
  failed(error: Error): void
}

/** How the engine's guests are found. */
export interface GuestDirectory {
  /** The guest whose vCPU task this is. */
  byTask(task: number): GuestIdentity | null
  running(guestId: string): RunningGuest | null
}

export class EmulatedHost implements InspectionTarget {
  readonly computer: Computer
  readonly debugger: Debugger
  readonly timeline = new Timeline()
  readonly settings: Settings
  private readonly directory: GuestDirectory
  private readonly events: HostEvents
  private readonly clock = new HostClock()
  private readonly hostSymbols: SymbolTable
  /** Who is who, by address of struct lguest; forgotten whenever a guest goes. */
  private identities = new Map<number, GuestIdentity>()
  private stopped: StopReason | null = null
  private over = false
  private turnHandle: NodeJS.Immediate | NodeJS.Timeout | null = null
  private sleeping = false

  constructor(
    settings: Settings,
    directory: GuestDirectory,
    events: HostEvents,
    random: (length: number) => Uint8Array,
  ) {
    this.settings = settings
    this.directory = directory
    this.events = events
    this.computer = new Computer({
      cpus: settings.cpus,
      ramSize: settings.hostRam * MIB,
      clock: this.clock.now,
      bootTime: Date.now() * NANOSECONDS_PER_MS,
      copy: settings.copy,
      random,
    })
    this.debugger = new Debugger(this)
    this.hostSymbols = symbolTable(hostLabels(this.computer))
    this.hypervisor.tracer = {
      switched: (cpu, lg, trap, copied, bytes, start, end) => {
        const guestId = this.identify(lg.address)?.guestId ?? ''
        this.timeline.add({ cpu, guestId, start, end, trap, copied, bytes })
        this.debugger.switched(cpu, lg, trap)
      },
      hypercall: (lg, number) => this.debugger.hypercall(lg, number),
      killed: () => {},
    }
    this.schedule()
  }

  // --- what the inspector looks at ---------------------------------------------------------------------------------------

  get machine(): Computer['machine'] {
    return this.computer.machine
  }
  get hypervisor(): Computer['hypervisor'] {
    return this.computer.hypervisor
  }

  identify(lguest: number): GuestIdentity | null {
    const known = this.identities.get(lguest)
    if (known !== undefined) return known
    const guest = this.hypervisor.allGuests().find((each) => each.address === lguest)
    const identity = guest === undefined ? null : this.directory.byTask(guest.s.tsk)
    if (identity !== null) this.identities.set(lguest, identity)
    return identity
  }

  guest(guestId: string): Guest | null {
    return this.directory.running(guestId)?.lguest ?? null
  }

  hostSymbol(linear: number): string | null {
    const inText = linear >= this.hostText && linear < this.hostText + HOST_TEXT_PAGES * PAGE_SIZE
    const inSwitcher = linear >= SWITCHER_ADDR && linear < SWITCHER_ADDR + SWITCHER_TEXT_PAGES * PAGE_SIZE
    return inText || inSwitcher ? this.hostSymbols.describe(linear) : null
  }

  private get hostText(): number {
    return DIRECT_MAP + this.computer.kernel.layout.text.hpa
  }

  // --- guests --------------------------------------------------------------------------------------------------------------

  /** Throws UnusableImageError. */
  startGuest(options: GuestOptions): RunningGuest {
    const guest = this.computer.startGuest({
      ...options,
      onExit: (exit) => {
        this.identities.clear()
        options.onExit(exit)
      },
    })
    this.wake()
    return this.waking(guest)
  }

  /** The guest, and whatever is done to it wakes the host. */
  private waking(guest: RunningGuest): RunningGuest {
    const then = <A extends unknown[]>(call: (...args: A) => void) => {
      return (...args: A): void => {
        call(...args)
        this.wake()
      }
    }
    return {
      name: guest.name,
      task: guest.task,
      get lguest() {
        return guest.lguest
      },
      get paused() {
        return guest.paused
      },
      get waitingInput() {
        return guest.waitingInput
      },
      get traffic() {
        return guest.traffic
      },
      takeUnread: () => guest.takeUnread(),
      type: then((bytes: Uint8Array) => guest.type(bytes)),
      drained: then(() => guest.drained()),
      pause: then(() => guest.pause()),
      resume: then(() => guest.resume()),
      stop: then(() => guest.stop()),
      migrate: then((cpu: number) => guest.migrate(cpu)),
    }
  }

  /** Something came from outside: it may be time to run again. */
  wake(): void {
    if (!this.sleeping || this.turnHandle === null) return
    clearTimeout(this.turnHandle as NodeJS.Timeout)
    this.schedule()
  }

  // --- running and stopping --------------------------------------------------------------------------------------------------

  info(): HostInfo {
    const { allocator } = this.computer.kernel
    const { ramSize, cpus } = { ramSize: this.machine.phys.size, cpus: this.machine.cpus.length }
    return {
      cpus,
      ram: ramSize,
      ramUsed: ramSize - allocator.freePages * 4096,
      copy: this.computer.copyMode,
      executor: this.settings.executor,
      paused: this.stopped !== null,
      stop: this.stopped,
      uptime: this.machine.clock.now() / 1e9,
      restartNeeded: false,
    }
  }

  get paused(): boolean {
    return this.stopped !== null
  }

  /** Refuses what needs a running host. */
  assertRunning(): void {
    if (this.stopped !== null) {
      throw new EngineError('badState', 'The host is paused in the debugger. Resume it first.')
    }
  }

  pause(): void {
    if (this.stopped !== null) return
    this.debugger.forgetSteps()
    this.stop({ kind: 'paused' })
  }

  resume(): void {
    if (this.stopped === null || this.over) return
    this.stopped = null
    this.clock.thaw()
    this.schedule()
    this.events.changed()
  }

  /** Executes `count` instructions on one CPU; the others, and time, stand still. */
  step(cpu: number, count: number): void {
    this.needPaused()
    const { cpus } = this.machine
    const stepped = this.cpuOf(cpu)
    let reason: StopReason | null = null
    try {
      for (let done = 0; done < count && reason === null && stepped.st[S_HALTED] === 0; done++) {
        run(cpus[cpu], 1)
        reason = this.debugger.takeStop()
      }
    } catch (error) {
      return this.fail(error)
    }
    this.stopped = reason ?? { kind: 'step' }
    this.events.changed()
  }

  /** Runs on until a guest has come back from its next world switch, on one CPU or on any. */
  stepSwitch(cpu: number | null): void {
    if (cpu !== null) this.cpuOf(cpu)
    this.debugger.setStepSwitch(cpu)
    this.resume()
  }

  runTo(cpu: number, address: number): void {
    this.cpuOf(cpu)
    this.debugger.setRunTo(cpu, address)
    this.resume()
  }

  /** The host is switched off for good. */
  dispose(): void {
    this.over = true
    this.hypervisor.tracer = undefined
    this.unschedule()
  }

  // --- inside ----------------------------------------------------------------------------------------------------------------

  private cpuOf(cpu: number): Computer['machine']['cpus'][number] {
    const found = this.machine.cpus[cpu]
    if (found === undefined) throw new EngineError('notFound', `The host has no CPU ${cpu}.`)
    return found
  }

  private needPaused(): void {
    if (this.stopped === null) throw new EngineError('badState', 'The host is running. Pause it first.')
  }

  private stop(reason: StopReason): void {
    this.unschedule()
    this.clock.freeze()
    this.stopped = reason
    this.events.changed()
  }

  private fail(error: unknown): void {
    this.dispose()
    this.events.failed(error instanceof Error ? error : new Error(String(error)))
  }

  private unschedule(): void {
    if (this.turnHandle === null) return
    if (this.sleeping) clearTimeout(this.turnHandle as NodeJS.Timeout)
    else clearImmediate(this.turnHandle as NodeJS.Immediate)
    this.turnHandle = null
    this.sleeping = false
  }

  private schedule(): void {
    this.unschedule()
    if (!this.over && this.stopped === null) this.turnHandle = setImmediate(() => this.turn())
  }

  private turn(): void {
    this.turnHandle = null
    const until = performance.now() + TURN_MS
    try {
      const outcome = this.computer.run(() => !this.over && this.stopped === null && performance.now() < until)
      const reason = this.debugger.takeStop()
      if (reason !== null) return this.stop(reason)
      if (outcome.kind === 'idle') this.sleep(outcome.alarm)
      else this.schedule()
    } catch (error) {
      this.fail(error)
    }
  }

  private sleep(alarm: number): void {
    if (this.over || this.stopped !== null) return
    const now = this.machine.clock.now()
    const longest = 2 ** 30
    const delay = Math.min(longest, Math.max(0, (alarm - now) / NANOSECONDS_PER_MS))
    this.sleeping = true
    this.turnHandle = setTimeout(() => {
      this.turnHandle = null
      this.sleeping = false
      this.turn()
    }, delay)
  }
}

/** Labels of the Host kernel's text and of the Switcher's. */
function hostLabels(computer: Computer): { address: number; name: string }[] {
  const texts = [computer.kernel.layout.text.labels, ...switcherTexts().map((text) => text.labels)]
  return texts.flatMap((labels) => Object.entries(labels).map(([name, address]) => ({ address: address >>> 0, name })))
}

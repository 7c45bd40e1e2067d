/**
 * The launcher: the Host process that makes a guest, is its physical memory, runs it, and plays its devices (Documentation/virtual/lguest/
 * lguest.c). Two tasks in one address space:
 *
 *   vCPU   open /dev/lguest, load, INITIALIZE, then read() again and again; each return is something only a launcher can do:
 *            4 bytes   NOTIFY nobody else took: a device's status changed, or the early console prints    (reference 10.2)
 *            -ENOENT   the guest is dead; the next read() says why
 *            -ERESTART it wants to be started again
 *            -EINTR    somebody outside wants something
 *   I/O    sleeps until a guest kicks a queue (eventfds) or the outside world has news, then serves the devices
 *
 * Their memory of one turn to the next is LauncherState in the address space itself. What happens to files, terminals and networks
 * behind the devices is the front's. How the launcher of an era differs is in LauncherEra (era-a.ts, era-c.ts).
 */
import {
  GUEST_BASE,
  LAUNCHER_BOOT,
  LAUNCHER_DEATH,
  LAUNCHER_OVER,
  LAUNCHER_PRIVATE,
  LAUNCHER_RUN,
  LauncherState,
  type LauncherStateView,
  READ_BUFFER_SIZE,
  REASON_SIZE,
} from '../layout/launcher-state.ts'
import { LHREQ } from '../layout/lguest-data.ts'
import { PAGE_SIZE } from '../layout/x86.ts'
import type { ConsolePort } from './console-port.ts'
import { GuestError } from './errors.ts'
import { UserMemory } from './guest-ram.ts'
import type { LauncherHost, LauncherProgram, LauncherSyscall } from './host-calls.ts'
import type { KernelSegment } from './load-kernel.ts'

const ENOENT = -2
const EINTR = -4
const EAGAIN = -11
const ERESTART = -85

/** What a guest says when it powers off, and means no harm (reference 8.4: "CRASH: ..." is every end by the guest's own wish). */
const POWER_DOWN = 'CRASH: Power down'

export type ExitKind = 'poweroff' | 'killed' | 'crashed' | 'stopped' | 'restart'

/** How a guest ended. */
export interface GuestExit {
  /** poweroff: it switched itself off. killed: by the hypervisor or a device. crashed: its own kernel gave up. stopped: from outside. */
  readonly kind: ExitKind
  /** For a person. */
  readonly reason: string
}

/** What a launcher does its own way in each era of the interface. */
export interface LauncherEra {
  /** Everything to be written to guest memory before the start. */
  readonly segments: readonly KernelSegment[]
  /** First gpa behind RAM and devices. */
  readonly guestLimit: number
  /** The words of INITIALIZE. */
  readonly initialize: readonly number[]
  /** The guest's memory is there; `launcher` is what the devices work through. */
  attach(launcher: Launcher): void
  /** read() returned with `words` (kept in LauncherState). False: not done, for want of room outside; call again. */
  handle(): boolean
  /** The I/O task's turn. 'more': again soon. 'poll': look again although nobody calls. */
  service(): 'done' | 'more' | 'poll'
  /** Why the guest was killed, with what a person can do about it where that is known. */
  explain(reason: string): string
  /** The guest is gone. */
  detach(): void
}

export class Launcher {
  readonly name: string
  readonly host: LauncherHost
  readonly console: ConsolePort
  /** Guest-physical memory and the private part, when the tasks exist. */
  ram!: UserMemory
  state!: LauncherStateView
  vcpuTask: number
  ioTask: number
  private readonly era: LauncherEra
  private readonly onExit: (exit: GuestExit) => void
  private exit: GuestExit | undefined
  private tasks: number
  /** start() has failed half way: the first task has nothing to do but to exit. */
  private stillborn: boolean

  constructor(
    host: LauncherHost,
    options: { name: string; era: LauncherEra; console: ConsolePort; onExit: (exit: GuestExit) => void },
  ) {
    this.host = host
    this.name = options.name
    this.era = options.era
    this.console = options.console
    this.onExit = options.onExit
    this.vcpuTask = 0
    this.ioTask = 0
    this.tasks = 0
    this.stillborn = false
  }

  /** Makes the two tasks. False when the host's memory is out. `affinity` is a mask of CPUs. */
  start(affinity?: number): boolean {
    const { host, name } = this
    const vcpu: LauncherProgram = { step: (task, result) => this.vcpuStep(task, result) }
    const io: LauncherProgram = { step: () => this.ioStep() }
    const where = affinity === undefined ? {} : { affinity }
    this.vcpuTask = host.spawn(vcpu, name, where)
    if (this.vcpuTask === 0) return false
    this.tasks++
    const lookup = (hva: number): number => host.userPage(this.vcpuTask, hva)
    const size = Math.ceil(LauncherState.size / PAGE_SIZE) * PAGE_SIZE
    this.state = LauncherState.at(new UserMemory(host.mem, lookup, LAUNCHER_PRIVATE, size), 0)
    this.ram = new UserMemory(host.mem, lookup, GUEST_BASE, this.era.guestLimit)
    // The launcher's own variables are read outside guard(): they must be there before anybody looks.
    for (let at = 0; at < size && !this.stillborn; at += PAGE_SIZE) this.stillborn = lookup(LAUNCHER_PRIVATE + at) === 0
    if (!this.stillborn) this.ioTask = host.spawn(io, `${name} I/O`, { ...where, shareWith: this.vcpuTask })
    if (this.ioTask === 0) this.stillborn = true
    if (this.stillborn) return false
    this.tasks++
    this.console.onNews = () => this.news()
    return true
  }

  // --- from outside ----------------------------------------------------------------------------------------------------

  /** The outside world has something for a device, or room for it. */
  news(): void {
    if (this.exit !== undefined) return
    if (this.ioTask !== 0) this.host.wakeUp(this.ioTask)
    if (this.state.notify !== 0) this.host.wakeUp(this.vcpuTask)
  }

  /** Ends the guest whatever it is doing. */
  stop(): void {
    if (this.exit !== undefined) return
    this.state.stop = 1
    this.interruptVcpu()
  }

  /** Holds the guest and its devices until resume(). */
  pause(): void {
    if (this.exit !== undefined) return
    this.state.paused = 1
    this.interruptVcpu()
  }

  resume(): void {
    if (this.exit !== undefined) return
    this.state.paused = 0
    this.host.wakeUp(this.vcpuTask)
    this.news()
  }

  get paused(): boolean {
    return this.exit === undefined && this.state.paused !== 0
  }

  private interruptVcpu(): void {
    this.host.signal(this.vcpuTask)
    this.host.wakeUp(this.vcpuTask)
  }

  // --- for devices -----------------------------------------------------------------------------------------------------

  /** Raises the guest's interrupt. */
  raiseInterrupt(irq: number): void {
    this.host.sysWrite(this.vcpuTask, this.state.fd, [LHREQ.IRQ, irq])
  }

  private kill(reason: string): void {
    if (this.state.killed !== 0) return
    this.state.killed = 1
    const text = this.state.reason
    for (let i = 0; i < REASON_SIZE; i++) text.set(i, i < REASON_SIZE - 1 ? reason.charCodeAt(i) & 0xff : 0)
    this.interruptVcpu()
  }

  /** Runs a device's code: a guest that breaks its rules ends here. */
  private guard(work: () => void): void {
    try {
      work()
    } catch (error) {
      if (!(error instanceof GuestError)) throw error
      this.kill(error.message)
    }
  }

  // --- the vCPU task ---------------------------------------------------------------------------------------------------

  private readGuest(): LauncherSyscall {
    const address = LAUNCHER_PRIVATE + LauncherState.offset.read_buffer
    return { call: 'read', fd: this.state.fd, address, length: READ_BUFFER_SIZE }
  }

  private vcpuStep(task: number, result: number): LauncherSyscall {
    if (this.stillborn) return { call: 'exit', code: 1 }
    const { state } = this
    switch (state.phase) {
      case LAUNCHER_BOOT:
        this.guard(() => this.boot(task))
        break
      case LAUNCHER_RUN:
        this.takeResult(result)
        break
      case LAUNCHER_DEATH:
        return this.over(this.death(bytesToText(state.read_buffer, Math.max(0, result))))
    }
    if (state.stop !== 0) return this.over({ kind: 'stopped', reason: 'stopped from outside' })
    if (state.killed === 0 && state.phase === LAUNCHER_RUN && state.paused === 0 && state.notify !== 0) {
      this.guard(() => {
        if (this.era.handle()) state.notify = 0
      })
    }
    if (state.killed !== 0) return this.over({ kind: 'killed', reason: bytesToText(state.reason, REASON_SIZE) })
    if (this.exit !== undefined) return this.over(this.exit)
    if (state.paused !== 0 || state.notify !== 0) return { call: 'wait' }
    return this.readGuest()
  }

  private boot(task: number): void {
    const { host, state, era } = this
    const fd = host.sysOpen(task, '/dev/lguest')
    if (fd < 0) throw new GuestError(`cannot open /dev/lguest (error ${-fd})`)
    state.fd = fd
    state.guest_limit = era.guestLimit
    for (const segment of era.segments) this.ram.writeBytes(segment.gpa, segment.bytes)
    era.attach(this)
    const error = host.sysWrite(task, fd, [LHREQ.INITIALIZE, ...era.initialize])
    if (error < 0) throw new GuestError(initializeProblem(error))
    state.phase = LAUNCHER_RUN
  }

  private takeResult(result: number): void {
    const { state } = this
    if (result === 4 || result === 8) {
      const at = LauncherState.offset.read_buffer
      state.notify = state.$mem.read32(at) >>> 0
      state.key = result === 8 ? state.$mem.read32(at + 4) >>> 0 : 0
      state.notify_done = 0
    } else if (result === ENOENT) {
      state.phase = LAUNCHER_DEATH
    } else if (result === ERESTART) {
      this.exit = { kind: 'restart', reason: 'restarting' }
    } else if (result < 0 && result !== EINTR && result !== EAGAIN) {
      this.exit = { kind: 'killed', reason: `reading /dev/lguest failed (error ${-result})` }
    }
  }

  private death(text: string): GuestExit {
    if (text === POWER_DOWN) return { kind: 'poweroff', reason: 'powered off' }
    if (text.startsWith('CRASH: ')) return { kind: 'crashed', reason: text.slice('CRASH: '.length) }
    return { kind: 'killed', reason: text === '' ? 'killed without a reason' : this.era.explain(text) }
  }

  /** The end of the vCPU task: /dev/lguest is closed, which frees the guest, and the I/O task is sent home. */
  private over(exit: GuestExit): LauncherSyscall {
    const { host, state } = this
    this.exit = exit
    state.phase = LAUNCHER_OVER
    if (state.fd > 0) host.sysClose(this.vcpuTask, state.fd)
    this.console.onNews = () => {}
    this.era.detach()
    if (this.ioTask !== 0) host.wakeUp(this.ioTask)
    return this.taskEnds()
  }

  private taskEnds(): LauncherSyscall {
    this.tasks--
    if (this.tasks === 0) this.onExit(this.exit!)
    return { call: 'exit', code: 0 }
  }

  // --- the I/O task ----------------------------------------------------------------------------------------------------

  private ioStep(): LauncherSyscall {
    const { state } = this
    if (state.phase === LAUNCHER_OVER) return this.taskEnds()
    if (state.phase !== LAUNCHER_RUN || state.paused !== 0 || state.killed !== 0) return { call: 'wait' }
    let outcome: 'done' | 'more' | 'poll' = 'done'
    this.guard(() => {
      outcome = this.era.service()
    })
    return { call: outcome === 'done' ? 'wait' : 'yield' }
  }
}

function initializeProblem(error: number): string {
  if (error === -12) return 'the host has no memory left for it'
  return `the hypervisor refused it (INITIALIZE: error ${-error})`
}

function bytesToText(bytes: { get(index: number): number }, most: number): string {
  let text = ''
  for (let i = 0; i < most; i++) {
    const byte = bytes.get(i)
    if (byte === 0) break
    text += String.fromCharCode(byte)
  }
  return text
}

/**
 * Breakpoints and stepping of the whole host. The host is either running or stopped with a reason; while it is stopped no CPU
 * executes and time stands still (with the virtual clock) for every guest.
 *
 *   address     before an instruction, on any CPU, in the host or in a guest     the CPU's debug hook
 *   trap        a guest came back from a world switch with that trap              the hypervisor's tracer
 *   hypercall   before a hypercall is done                                        the hypervisor's tracer
 *   watch       an access to bytes of memory, by whatever address                 the MMU's watched pages
 *
 * A trap, a hypercall and a watch stop the CPU at the next instruction boundary after them. A CPU that was stopped before an
 * instruction executes it first when it goes on.
 */
import type { Cpu } from '../emu/cpu/cpu.ts'
import { S_CPL } from '../emu/layout/cpu-state.ts'
import type { Guest } from '../emu/lguest/guest.ts'
import { watchPhysical } from '../emu/mmu/tlb.ts'
import type { Breakpoint, BreakpointKind, StopReason } from '../shared/inspect.ts'
import { EngineError } from './errors.ts'
import { resolveAddress } from './inspect/memory-spaces.ts'
import { currentGuest, lastCpu, type InspectionTarget } from './inspect/target.ts'

interface WatchedBytes {
  breakpoint: Breakpoint
  hpa: number
}

export class Debugger {
  private readonly target: InspectionTarget
  private readonly breakpoints = new Map<number, Breakpoint>()
  /** By linear address; a temporary one (run to) has no breakpoint. */
  private addresses = new Map<number, (Breakpoint | { runTo: number })[]>()
  private watched: WatchedBytes[] = []
  private nextId = 1
  /** Where each CPU was stopped last, in retired instructions: there it does not stop again. */
  private readonly passed: number[]
  private runTo: { cpu: number; address: number } | null = null
  private stepSwitch: { cpu: number | null } | null = null
  /** Why the host should stop; the driver takes it when a CPU has left its run loop. */
  private pending: StopReason | null = null

  constructor(target: InspectionTarget) {
    this.target = target
    this.passed = target.machine.cpus.map(() => -1)
  }

  list(): Breakpoint[] {
    return [...this.breakpoints.values()].map((each) => ({ ...each }))
  }

  add(spec: BreakpointKind): Breakpoint {
    if (spec.kind === 'watch') this.bytesOf(spec)
    const breakpoint: Breakpoint = { id: this.nextId++, enabled: true, hits: 0, spec }
    this.breakpoints.set(breakpoint.id, breakpoint)
    this.arm()
    return { ...breakpoint }
  }

  setEnabled(id: number, enabled: boolean): Breakpoint {
    const breakpoint = this.get(id)
    // What is refused is refused before anything changes.
    if (enabled && !breakpoint.enabled && breakpoint.spec.kind === 'watch') this.bytesOf(breakpoint.spec)
    breakpoint.enabled = enabled
    this.arm()
    return { ...breakpoint }
  }

  remove(id: number): void {
    this.get(id)
    this.breakpoints.delete(id)
    this.arm()
  }

  /** Stop when `cpu` is about to execute at `address`. */
  setRunTo(cpu: number, address: number): void {
    this.runTo = { cpu, address }
    this.arm()
  }

  /** Stop after the next world switch, on one CPU or on any (null). */
  setStepSwitch(cpu: number | null): void {
    this.stepSwitch = { cpu }
  }

  /** The reason a CPU has been asked to stop for, once. */
  takeStop(): StopReason | null {
    const reason = this.pending
    this.pending = null
    if (reason !== null) this.forgetSteps()
    return reason
  }

  /** The host has stopped, for whatever reason: it is not on its way to a switch or an address any more. */
  forgetSteps(): void {
    this.stepSwitch = null
    if (this.runTo === null) return
    this.runTo = null
    this.arm()
  }

  // --- what the machine reports --------------------------------------------------------------------------------------------

  /** A guest has come back from a world switch. */
  switched(cpu: number, lg: Guest, trap: number): void {
    const guestId = this.idOf(lg)
    if (this.stepSwitch !== null && (this.stepSwitch.cpu === null || this.stepSwitch.cpu === cpu)) {
      this.stop(cpu, { kind: 'switch', cpu, guestId: guestId ?? '', trap })
    }
    for (const breakpoint of this.enabled('trap')) {
      if (breakpoint.spec.kind !== 'trap' || breakpoint.spec.trap !== trap) continue
      if (inScope(breakpoint.spec.scope, cpu, guestId)) this.hit(breakpoint, cpu, guestId, `trap ${trap}`)
    }
  }

  /** A guest is about to do a hypercall. */
  hypercall(lg: Guest, number: number): void {
    const guestId = this.idOf(lg)
    const cpu = lastCpu(this.target, lg)
    for (const breakpoint of this.enabled('hypercall')) {
      if (breakpoint.spec.kind !== 'hypercall' || breakpoint.spec.number !== number) continue
      if (inScope(breakpoint.spec.scope, cpu, guestId)) {
        this.hit(breakpoint, Math.max(0, cpu), guestId, `hypercall ${number}`)
      }
    }
  }

  private accessed(cpu: Cpu, hpa: number, size: number, write: boolean): void {
    for (const { breakpoint, hpa: at } of this.watched) {
      if (breakpoint.spec.kind !== 'watch') continue
      if (hpa >= at + breakpoint.spec.length || at >= hpa + size) continue
      if (!write && breakpoint.spec.access === 'write') continue
      const detail = `${write ? 'write to' : 'read of'} host-physical 0x${hpa.toString(16)}`
      this.hit(breakpoint, cpu.id, this.guestOn(cpu), detail)
    }
  }

  private before(cpu: Cpu, linear: number): boolean {
    const here = this.addresses.get(linear >>> 0)
    if (here === undefined || this.passed[cpu.id] === cpu.retired) return false
    let stopping = false
    for (const each of here) {
      if ('runTo' in each) {
        if (each.runTo !== cpu.id) continue
        this.stop(cpu.id, { kind: 'runTo', cpu: cpu.id, address: linear >>> 0 })
        stopping = true
      } else if (each.spec.kind === 'address') {
        const guestId = this.guestOn(cpu)
        if (!inScope(each.spec.scope, cpu.id, guestId)) continue
        this.hit(each, cpu.id, guestId, `0x${(linear >>> 0).toString(16)}`)
        stopping = true
      }
    }
    if (stopping) this.passed[cpu.id] = cpu.retired
    return stopping
  }

  // --- inside --------------------------------------------------------------------------------------------------------------

  private get(id: number): Breakpoint {
    const breakpoint = this.breakpoints.get(id)
    if (breakpoint === undefined) throw new EngineError('notFound', `There is no breakpoint ${id}.`)
    return breakpoint
  }

  private enabled(kind: BreakpointKind['kind']): Breakpoint[] {
    if (this.breakpoints.size === 0) return []
    return [...this.breakpoints.values()].filter((each) => each.enabled && each.spec.kind === kind)
  }

  private hit(breakpoint: Breakpoint, cpu: number, guestId: string | null, detail: string): void {
    breakpoint.hits++
    this.stop(cpu, { kind: 'breakpoint', id: breakpoint.id, cpu, guestId, detail })
  }

  private stop(cpu: number, reason: StopReason): void {
    this.pending ??= reason
    this.target.machine.cpus[cpu].requestStop()
  }

  private idOf(lg: Guest): string | null {
    return this.target.identify(lg.address)?.guestId ?? null
  }

  private guestOn(cpu: Cpu): string | null {
    const guest = cpu.st[S_CPL] === 0 ? null : currentGuest(this.target, cpu.id)
    return guest === null ? null : this.idOf(guest)
  }

  private bytesOf(spec: Extract<BreakpointKind, { kind: 'watch' }>): number {
    const hpa = resolveAddress(this.target, spec.space, spec.address)
    if (hpa < 0) {
      const text = `0x${spec.address.toString(16)}`
      throw new EngineError('unusable', `There is no memory at ${text} to watch: nothing is mapped there now.`)
    }
    return hpa
  }

  /** Tells the CPUs what to look for; nothing when there is nothing, so that it costs nothing. */
  private arm(): void {
    const { machine } = this.target
    const addresses = new Map<number, (Breakpoint | { runTo: number })[]>()
    const addAt = (address: number, what: Breakpoint | { runTo: number }): void => {
      addresses.set(address, [...(addresses.get(address) ?? []), what])
    }
    for (const each of this.enabled('address')) if (each.spec.kind === 'address') addAt(each.spec.address, each)
    if (this.runTo !== null) addAt(this.runTo.address, { runTo: this.runTo.cpu })
    this.addresses = addresses
    const sorted = [...addresses.keys()].sort((a, b) => a - b)
    const hook = {
      mayStop: (linear: number, bytes: number) => anyBetween(sorted, linear >>> 0, bytes),
      stopBefore: (cpu: Cpu, linear: number) => this.before(cpu, linear),
    }
    for (const cpu of machine.cpus) cpu.debug = sorted.length > 0 ? hook : null

    // A watched page keeps the place it had when the watch was made.
    const before = new Map(this.watched.map((each) => [each.breakpoint.id, each.hpa]))
    this.watched = this.enabled('watch').flatMap((breakpoint) => {
      if (breakpoint.spec.kind !== 'watch') return []
      return [{ breakpoint, hpa: before.get(breakpoint.id) ?? this.bytesOf(breakpoint.spec) }]
    })
    const pages = new Set<number>()
    for (const { breakpoint, hpa } of this.watched) {
      const length = breakpoint.spec.kind === 'watch' ? breakpoint.spec.length : 1
      pages.add(hpa >>> 12).add((hpa + length - 1) >>> 12)
    }
    watchPhysical(machine.mem, pages)
    machine.phys.onWatched = (cpu, hpa, size, write) => this.accessed(machine.cpus[cpu.id], hpa, size, write)
  }
}

function inScope(
  scope: { cpu?: number | undefined; guestId?: string | undefined },
  cpu: number,
  guestId: string | null,
): boolean {
  return (scope.cpu === undefined || scope.cpu === cpu) && (scope.guestId === undefined || scope.guestId === guestId)
}

/** Whether a sorted list has a number in [from, from + length). */
function anyBetween(sorted: readonly number[], from: number, length: number): boolean {
  for (const each of sorted) {
    if (each >= from) return each < from + length
  }
  return false
}

/**
 * Rates out of counters: what happened between two looks at the host. Each subscription has a Sampler of its own, because each has its
 * own interval; the guests' list has one of a second.
 */
import type { Computer, Traffic } from '../emu/index.ts'
import { TASK_RUNNING } from '../emu/layout/host-task.ts'
import { PAGE_SIZE } from '../emu/layout/x86.ts'
import { cpuStatistics, guestStatistics, type GuestStatistics } from '../emu/lguest/stats.ts'
import type { Stats } from '../shared/protocol.ts'
import type { EmulatedHost } from './emulated-host.ts'
import { ACTIVITY_SECONDS, type GuestMachine } from './guest-machine.ts'
import { currentGuest } from './inspect/target.ts'

type CpuCounters = ReturnType<typeof cpuStatistics> & { idle: number; contextSwitches: number; migrations: number }

interface GuestCounters extends GuestStatistics {
  runTime: number
  traffic: Traffic
  /** The hypervisor's number of it, which no other gets: counters of a guest that was started again are not comparable. */
  guestid: number
}

const NO_TRAFFIC: Traffic = { diskRead: 0, diskWritten: 0, netSent: 0, netReceived: 0 }

/** Nanoseconds a task has been on a CPU. */
function runTimeOf(computer: Computer, task: number): number {
  const view = computer.kernel.scheduler.task(task)
  const current = view.state === TASK_RUNNING ? Math.max(0, computer.machine.clock.now() - view.run_since) : 0
  return view.run_time + current
}

/** Bytes charged to the guest's launcher: its memory, shadow tables and the hypervisor's pages for it. */
function memoryOf(computer: Computer, machine: GuestMachine): number {
  const pages = ownersOf(computer, machine).map((owner) => computer.kernel.allocator.ownerPages(owner))
  return pages.reduce((sum, count) => sum + count, 0) * PAGE_SIZE
}

/** Page owners that stand for a guest: its launcher's, and the hypervisor's for its Guest. */
function ownersOf(computer: Computer, { running }: GuestMachine): number[] {
  // A launcher ends task by task: when its Guest is gone the vCPU's task may be too, though its end has not been told yet.
  const lguest = running?.lguest
  if (!running || !lguest) return []
  return [computer.kernel.scheduler.task(running.task).owner, lguest.s.owner]
}

function difference(now: Record<string, number>, before: Record<string, number> | undefined): Record<string, number> {
  const result: Record<string, number> = {}
  for (const [name, count] of Object.entries(now)) {
    const more = count - (before?.[name] ?? 0)
    if (more > 0) result[name] = more
  }
  return result
}

export class Sampler {
  private host: EmulatedHost | null = null
  private time = 0
  private instructions = 0
  private cpus: CpuCounters[] = []
  private guests = new Map<string, GuestCounters>()

  /** What happened since the last call. The first call after the host was made has no past: its rates are 0. */
  sample(host: EmulatedHost, machines: readonly GuestMachine[]): Stats {
    const { computer } = host
    const { kernel, machine, hypervisor } = computer
    const now = machine.clock.now()
    const fresh = this.host !== host
    const elapsed = fresh ? 0 : now - this.time
    const rate = (count: number): number => (elapsed > 0 ? (count * 1e9) / elapsed : 0)
    const share = (nanoseconds: number): number => (elapsed > 0 ? Math.min(1, Math.max(0, nanoseconds / elapsed)) : 0)

    const instructions = machine.cpus.reduce((sum, cpu) => sum + cpu.retired, 0)
    const cpus = machine.cpus.map((_, cpu): CpuCounters => {
      const percpu = kernel.scheduler.percpu[cpu]
      const idling = percpu.idle !== 0 ? Math.max(0, now - percpu.idle_since) : 0
      return {
        ...cpuStatistics(hypervisor, cpu),
        idle: percpu.idle_time + idling,
        contextSwitches: percpu.context_switches,
        migrations: percpu.migrations,
      }
    })
    const alive = machines.filter((each) => each.running !== null)
    const guests = new Map<string, GuestCounters>()
    for (const each of alive) {
      const lguest = each.running?.lguest
      const task = each.running?.task ?? 0
      if (!lguest || task === 0) continue
      guests.set(each.guestId, {
        ...guestStatistics(lguest),
        runTime: runTimeOf(computer, task),
        traffic: each.running?.traffic ?? NO_TRAFFIC,
        guestid: lguest.s.guestid,
      })
    }

    const stats: Stats = {
      time: now,
      mips: fresh ? 0 : rate(instructions - this.instructions) / 1e6,
      cpus: cpus.map((counters, cpu) => {
        const before = fresh ? counters : this.cpus[cpu]
        const guest = currentGuest(host, cpu)
        return {
          busy: elapsed > 0 ? 1 - share(counters.idle - before.idle) : 0,
          guestId: guest === null ? null : (host.identify(guest.address)?.guestId ?? null),
          switches: rate(counters.worldSwitches - before.worldSwitches),
          copiedBytes: rate(counters.copied.bytes - before.copied.bytes),
          avoidedBytes: rate(counters.avoidedBytes - before.avoidedBytes),
          elided: rate(counters.elided - before.elided),
          switchesByTrap: mapRates(difference(counters.switchesByTrap, before.switchesByTrap), rate),
        }
      }),
      guests: alive.flatMap((each) => {
        const task = each.running?.task ?? 0
        const counters = guests.get(each.guestId)
        if (counters === undefined) return []
        const old = this.guests.get(each.guestId)
        const before = fresh || old?.guestid !== counters.guestid ? counters : old
        return [
          {
            guestId: each.guestId,
            cpu: kernel.scheduler.task(task).cpu,
            cpuShare: share(counters.runTime - before.runTime) / cpus.length,
            switches: rate(counters.worldSwitches - before.worldSwitches),
            hypercalls: mapRates(difference(counters.hypercalls, before.hypercalls), rate),
            interrupts: rate(counters.interrupts - before.interrupts),
            pageFaults: {
              demand: rate(counters.pageFaults.demand - before.pageFaults.demand),
              reflected: rate(counters.pageFaults.reflected - before.pageFaults.reflected),
            },
            memoryUsed: memoryOf(computer, each),
            disk: {
              read: rate(counters.traffic.diskRead - before.traffic.diskRead),
              written: rate(counters.traffic.diskWritten - before.traffic.diskWritten),
            },
            net: {
              sent: rate(counters.traffic.netSent - before.traffic.netSent),
              received: rate(counters.traffic.netReceived - before.traffic.netReceived),
            },
          },
        ]
      }),
      memory: memoryByOwner(computer, alive),
      scheduler: cpus.map((counters, cpu) => ({
        cpu,
        runQueue: kernel.scheduler.queueLength(cpu),
        contextSwitches: counters.contextSwitches,
        migrations: counters.migrations,
      })),
      engineRss: process.memoryUsage.rss(),
      copy: computer.copyMode,
    }
    this.host = host
    this.time = now
    this.instructions = instructions
    this.cpus = cpus
    this.guests = guests
    return stats
  }
}

function mapRates(counts: Record<string, number>, rate: (count: number) => number): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, rate(count)]))
}

function memoryByOwner(computer: Computer, alive: readonly GuestMachine[]): Stats['memory'] {
  const { allocator } = computer.kernel
  const guestOf = new Map<number, GuestMachine>()
  for (const each of alive) for (const owner of ownersOf(computer, each)) guestOf.set(owner, each)
  const owners = allocator.owners().map(({ id, name, pages }) => {
    const guest = guestOf.get(id)
    return {
      owner: guest === undefined || guest.name === name ? name : `${guest.name}: ${name}`,
      guestId: guest?.guestId ?? null,
      bytes: pages * PAGE_SIZE,
    }
  })
  return [...owners, { owner: 'free', guestId: null, bytes: allocator.freePages * PAGE_SIZE }]
}

/** Puts a sample's figures into the guests' summaries. Called once a second. */
export function updateLiveFigures(machines: readonly GuestMachine[], stats: Stats): void {
  for (const machine of machines) {
    const figures = stats.guests.find((each) => each.guestId === machine.guestId)
    const activity = [...machine.live.activity, Math.round(figures?.switches ?? 0)].slice(-ACTIVITY_SECONDS)
    if (figures === undefined) machine.live = { ...machine.live, activity, cpuShare: 0, memoryUsed: 0 }
    else machine.live = { activity, cpuShare: figures.cpuShare, memoryUsed: figures.memoryUsed, cpu: figures.cpu }
  }
}

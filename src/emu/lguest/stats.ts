/**
 * What the hypervisor counts (README: `--stats`; the inspector). The counters are pages of Host RAM like everything else:
 * one a CPU, one a Guest, and one into which a Guest's counters are added when it is closed. `collectStats` makes the
 * JSON parts out of them. Copied bytes are those of IDT, GDT, TLS and registers; the few words written on every switch (host_cr3,
 * esp1, ss1, two mapping entries) are not counted, neither way.
 */
import { struct } from '../bits/struct.ts'
import { LHCALL } from '../layout/lguest-data.ts'
import type { Guest } from './guest.ts'
import { COPIED_GDT, COPIED_IDT, COPIED_TLS, type Hypervisor } from './hypervisor.ts'

/** Traps 0-255, and 256 for a fault inside the Switcher. */
const TRAPS = 257
const HYPERCALLS = 32

const CpuStats = struct('lguest_cpu_stats', {
  switches: 'u64',
  copied_idt: 'u64',
  copied_gdt: 'u64',
  copied_tls: 'u64',
  copied_all: 'u64',
  copied_bytes: 'u64',
  full_bytes: 'u64',
  elided: 'u64',
  by_trap: ['u64', TRAPS],
})

const GuestStats = struct('lguest_guest_stats', {
  switches: 'u64',
  interrupts: 'u64',
  demand_faults: 'u64',
  reflected_faults: 'u64',
  emulated: 'u64',
  /** By number, direct and queued together. */
  hypercalls: ['u64', HYPERCALLS],
})

/** Distance between the eras' counters in the page of former Guests. */
const RETIRED_STRIDE = 1024

/** Adds to a u64 counter. */
function add(hv: Hypervisor, hpa: number, amount: number): void {
  const low = (hv.mem.read32(hpa) >>> 0) + amount
  hv.mem.write32(hpa, low >>> 0)
  if (low > 0xffff_ffff) hv.mem.write32(hpa + 4, hv.mem.read32(hpa + 4) + 1)
}

function read(hv: Hypervisor, hpa: number): number {
  return (hv.mem.read32(hpa) >>> 0) + (hv.mem.read32(hpa + 4) >>> 0) * 0x1_0000_0000
}

/** One world switch has come back. `copied` are COPIED_* bits, `full` the bytes the pre-patch way would have copied. */
export function countSwitch(
  lg: Guest,
  cpu: number,
  trap: number,
  copied: number,
  bytes: number,
  full: number,
  all: boolean,
): void {
  const { hv } = lg
  const page = hv.cpu(cpu).stats_page
  const o = CpuStats.offset
  add(hv, page + o.switches, 1)
  if (trap < TRAPS) add(hv, page + o.by_trap + trap * 8, 1)
  if (copied & COPIED_IDT) add(hv, page + o.copied_idt, 1)
  if (copied & COPIED_GDT) add(hv, page + o.copied_gdt, 1)
  if (copied & COPIED_TLS) add(hv, page + o.copied_tls, 1)
  if (all) add(hv, page + o.copied_all, 1)
  if (copied === 0) add(hv, page + o.elided, 1)
  else add(hv, page + o.copied_bytes, bytes)
  add(hv, page + o.full_bytes, full)
  add(hv, lg.s.stats_page + GuestStats.offset.switches, 1)
}

export function countHypercall(lg: Guest, number: number): void {
  if (number < HYPERCALLS) add(lg.hv, lg.s.stats_page + GuestStats.offset.hypercalls + number * 8, 1)
}

export function countInterrupt(lg: Guest): void {
  add(lg.hv, lg.s.stats_page + GuestStats.offset.interrupts, 1)
}

export function countDemandFault(lg: Guest): void {
  add(lg.hv, lg.s.stats_page + GuestStats.offset.demand_faults, 1)
}

export function countReflectedFault(lg: Guest): void {
  add(lg.hv, lg.s.stats_page + GuestStats.offset.reflected_faults, 1)
}

export function countEmulated(lg: Guest): void {
  add(lg.hv, lg.s.stats_page + GuestStats.offset.emulated, 1)
}

/** Where the counters of an era's former Guests are. */
function retiredStats(hv: Hypervisor, abi: number): number {
  return hv.state.stats_page + abi * RETIRED_STRIDE
}

/** A Guest goes: its counters join the ones of those that went before. */
export function retireGuestStats(lg: Guest): void {
  const { hv } = lg
  const page = retiredStats(hv, lg.abi.id)
  for (let at = 0; at < GuestStats.size; at += 8) add(hv, page + at, read(hv, lg.s.stats_page + at))
}

export interface CpuStatistics {
  worldSwitches: number
  switchesByTrap: Record<string, number>
  copied: { idt: number; gdt: number; tls: number; all: number; bytes: number }
  /** Switches that copied nothing. */
  elided: number
  /** Bytes the pre-patch way would have copied on top. */
  avoidedBytes: number
}

export interface GuestStatistics {
  worldSwitches: number
  hypercalls: Record<string, number>
  interrupts: number
  pageFaults: { demand: number; reflected: number }
  emulatedInstructions: number
}

export interface LguestStatistics {
  cpus: CpuStatistics[]
  hypercalls: Record<string, number>
  interrupts: number
  pageFaults: { demand: number; reflected: number }
  emulatedInstructions: number
}

/** Counters of one CPU. */
export function cpuStatistics(hv: Hypervisor, cpu: number): CpuStatistics {
  const view = CpuStats.at(hv.mem, hv.cpu(cpu).stats_page)
  const switchesByTrap: Record<string, number> = {}
  for (let trap = 0; trap < TRAPS; trap++) {
    const count = view.by_trap.get(trap)
    if (count > 0) switchesByTrap[String(trap)] = count
  }
  return {
    worldSwitches: view.switches,
    switchesByTrap,
    copied: {
      idt: view.copied_idt,
      gdt: view.copied_gdt,
      tls: view.copied_tls,
      all: view.copied_all,
      bytes: view.copied_bytes,
    },
    elided: view.elided,
    avoidedBytes: Math.max(0, view.full_bytes - view.copied_bytes),
  }
}

/** Names of the hypercalls; era A's names for the numbers that changed their meaning. */
function hypercallName(number: number, era: 'A' | 'C'): string {
  if (era === 'A') {
    if (number === 2) return 'CRASH'
    if (number === 9) return 'TIMER_READ'
    if (number === 13) return 'SEND_DMA'
  }
  const entry = Object.entries(LHCALL).find(([, value]) => value === number)
  return entry?.[0] ?? String(number)
}

function readGuestStats(hv: Hypervisor, page: number, era: 'A' | 'C'): GuestStatistics {
  const view = GuestStats.at(hv.mem, page)
  const hypercalls: Record<string, number> = {}
  for (let number = 0; number < HYPERCALLS; number++) {
    const count = view.hypercalls.get(number)
    if (count > 0) hypercalls[hypercallName(number, era)] = count
  }
  return {
    worldSwitches: view.switches,
    hypercalls,
    interrupts: view.interrupts,
    pageFaults: { demand: view.demand_faults, reflected: view.reflected_faults },
    emulatedInstructions: view.emulated,
  }
}

/** Counters of one living Guest. */
export function guestStatistics(lg: Guest): GuestStatistics {
  return readGuestStats(lg.hv, lg.s.stats_page, lg.abi.era)
}

/** Everything, over all CPUs and all Guests there ever were. */
export function collectStats(hv: Hypervisor): LguestStatistics {
  const cpus = Array.from({ length: hv.host.cpuCount }, (_, cpu) => cpuStatistics(hv, cpu))
  const total: LguestStatistics = {
    cpus,
    hypercalls: {},
    interrupts: 0,
    pageFaults: { demand: 0, reflected: 0 },
    emulatedInstructions: 0,
  }
  const parts = [
    ...hv.abis.map((abi) => readGuestStats(hv, retiredStats(hv, abi.id), abi.era)),
    ...hv.allGuests().map(guestStatistics),
  ]
  for (const part of parts) {
    for (const [name, count] of Object.entries(part.hypercalls)) {
      total.hypercalls[name] = (total.hypercalls[name] ?? 0) + count
    }
    total.interrupts += part.interrupts
    total.pageFaults.demand += part.pageFaults.demand
    total.pageFaults.reflected += part.pageFaults.reflected
    total.emulatedInstructions += part.emulatedInstructions
  }
  return total
}

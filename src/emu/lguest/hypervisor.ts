/**
 * The hypervisor's own state: what lguest keeps in static variables. One page of Host RAM has the list of Guests and, for each
 * CPU, `last_guest`, its PTE page for the region, its lguest_pages pair and its FPU's owner. The Hypervisor class is the view of
 * it, and what the other files take as their context. No behaviour but finding things; core.ts sets it up.
 */
import { assert } from '../bits/assert.ts'
import { struct, type ViewOf } from '../bits/struct.ts'
import { LguestRoState, type LguestRoStateView } from '../layout/lguest-pages.ts'
import { MAX_CPUS, type PhysMemory } from '../layout/memory.ts'
import type { GuestAbi } from './abi/abi.ts'
import { Guest } from './guest.ts'
import type { LguestHost, PageOwner } from './host-interface.ts'
import type { SwitcherText } from './switcher/switcher.ts'

/** Per-CPU variables. Addresses are hpa. */
export const LguestCpu = struct('lguest_cpu', {
  /** struct lguest of the Guest this CPU ran last, or 0. */
  last_guest: 'u32',
  /** The PTE page through which Guests on this CPU see the region. */
  hypervisor_pte_page: 'u32',
  /** lguest_pages: page 0 and page 1. */
  page0: 'u32',
  page1: 'u32',
  /** Which Switcher text the default IDT entries of page 1 lead to. */
  idt_switcher: 'u32',
  /** Guest whose FPU registers are in this CPU, or 0. */
  fpu_owner: 'u32',
  /** SYSENTER_CS of the Host while a Guest runs. */
  host_sysenter_cs: 'u32',
  /** 1 while a Guest runs by copies (the pre-patch way), as decided when it was entered. */
  copied_regs: 'u32',
  /** The last switch, for whoever watches: COPIED_* bits, bytes, and when it began (ktime). */
  last_copied: 'u32',
  last_bytes: 'u32',
  last_start: 'u64',
  last_trap: 'u32',
  /** Page of counters (stats.ts). */
  stats_page: 'u32',
})
export type LguestCpuView = ViewOf<typeof LguestCpu>

export const LguestState = struct('lguest_state', {
  /** First Guest of the list, or 0; the number the next one gets. */
  first_guest: 'u32',
  next_guestid: 'u32',
  /** 1: copy registers, IDT and GDT on every switch, as before the seed patch. */
  copy_always: 'u32',
  /** Counters of Guests that are gone (stats.ts). */
  stats_page: 'u32',
  /** Pages of the Switcher's text. */
  text_page: ['u32', 2],
  cpu: [LguestCpu, MAX_CPUS],
})
export type LguestStateView = ViewOf<typeof LguestState>

/** Bits of LguestCpu.last_copied. */
export const COPIED_IDT = 1
export const COPIED_GDT = 2
export const COPIED_TLS = 4
export const COPIED_REGS = 8

/** Somebody who watches: the inspector's timeline and breakpoints. */
export interface LguestTracer {
  /** A Guest left the world switch on `cpu`. Times are ktime. */
  switched(cpu: number, lg: Guest, trap: number, copied: number, bytes: number, start: number, end: number): void
  /** About to run hypercall `number`. */
  hypercall(lg: Guest, number: number): void
  killed(lg: Guest, reason: string): void
}

export class Hypervisor {
  readonly host: LguestHost
  readonly mem: PhysMemory
  /** Owner of the hypervisor's own pages. */
  readonly owner: PageOwner
  /** hpa of LguestState. */
  readonly address: number
  readonly state: LguestStateView
  readonly abis: readonly GuestAbi[]
  /** By SwitcherVariant. */
  readonly switcher: readonly SwitcherText[]
  tracer: LguestTracer | undefined
  /** Views by address, only to save building them again. */
  private readonly guests: Map<number, Guest>
  private readonly cpuViews: LguestCpuView[]

  constructor(
    host: LguestHost,
    owner: PageOwner,
    address: number,
    abis: readonly GuestAbi[],
    switcher: readonly SwitcherText[],
  ) {
    this.host = host
    this.mem = host.mem
    this.owner = owner
    this.address = address
    this.state = LguestState.at(host.mem, address)
    this.abis = abis
    this.switcher = switcher
    this.guests = new Map()
    this.cpuViews = Array.from({ length: host.cpuCount }, (_, cpu) =>
      LguestCpu.at(host.mem, address + LguestState.offset.cpu + cpu * LguestCpu.size),
    )
  }

  /** Per-CPU variables of a CPU. */
  cpu(cpu: number): LguestCpuView {
    const view = this.cpuViews[cpu]
    assert(view !== undefined, `no CPU ${cpu}`)
    return view
  }

  /** Page 1 of a CPU's pair, as the Host sees it (writable). */
  roState(cpu: number): LguestRoStateView {
    return LguestRoState.at(this.mem, this.cpu(cpu).page1)
  }

  /** The view of the Guest whose struct lguest is at `address`. */
  guestAt(address: number): Guest {
    let guest = this.guests.get(address)
    if (guest === undefined) {
      guest = new Guest(this, address)
      this.guests.set(address, guest)
    }
    return guest
  }

  /** The struct at `address` is gone. */
  forget(address: number): void {
    this.guests.delete(address)
  }

  /** Every Guest, youngest first. */
  allGuests(): Guest[] {
    const all: Guest[] = []
    for (let address = this.state.first_guest; address !== 0; address = this.guestAt(address).s.next) {
      all.push(this.guestAt(address))
    }
    return all
  }

  /** Copying mode; it may change between any two switches. */
  get copyMode(): 'elide' | 'always' {
    return this.state.copy_always !== 0 ? 'always' : 'elide'
  }

  set copyMode(mode: 'elide' | 'always') {
    this.state.copy_always = mode === 'always' ? 1 : 0
  }
}

/**
 * The world switch as it really is: i386 code in the Host, the Switcher and a Guest, on the emulated CPU. The injection tests take one run
 * of the tiny Guest apart: before every single instruction an NMI, or an interrupt, is raised, and the run must end with the same
 * memory and registers as the one nobody disturbed.
 */
import { describe, expect, it } from 'vitest'
import { run } from '../cpu/run.ts'
import { flushTlbAll } from '../mmu/tlb.ts'
import { CpuStateLayout, PENDING_INTR, PENDING_NMI, S_CPL, S_EIP } from '../layout/cpu-state.ts'
import { LguestRegs } from '../layout/lguest-regs.ts'
import { PAGE_SIZE } from '../layout/x86.ts'
import { BareHost } from '../testing/bare-host.ts'
import { newGuestA, newGuestC } from '../testing/fake-host.ts'
import { loadTinyGuest, tinyEntry, TINY_PGD } from '../testing/tiny-guest.ts'
import { deadReason, type Guest } from './guest.ts'
import { findBrokenInvariants } from './invariants.ts'
import { guestPagetableClearAll } from './page-tables.ts'
import { cpuStatistics, guestStatistics } from './stats.ts'
import { SWITCHER_ADDR } from './switcher/switcher.ts'

type Era = 'A' | 'C'

function tinyGuest(host: BareHost, era: Era): { lg: Guest; labels: Readonly<Record<string, number>> } {
  const lg = era === 'A' ? newGuestA(host.hv, 64, TINY_PGD) : newGuestC(host.hv, 64, tinyEntry('C'))
  return { lg, labels: loadTinyGuest(lg) }
}

describe.each(['C', 'A'] as const)('era %s', (era) => {
  it.each(['elide', 'always'] as const)('the tiny Guest runs and powers off, copy %s', (copy) => {
    const host = new BareHost(1)
    host.hv.copyMode = copy
    const { lg } = tinyGuest(host, era)
    expect(host.runToEnd(lg)).toEqual({ kind: 'done', value: -2 })
    expect(deadReason(lg)).toBe('CRASH: Power down')
    expect(findBrokenInvariants(host.hv)).toEqual([])
    const stats = cpuStatistics(host.hv, 0)
    expect(stats.switchesByTrap['31']).toBeGreaterThan(8)
    expect(stats.switchesByTrap['14']).toBeGreaterThan(3)
    expect(stats.switchesByTrap['6']).toBe(1)
    expect(stats.switchesByTrap['128']).toBe(undefined) // direct
    expect(guestStatistics(lg).hypercalls['FLUSH_ASYNC']).toBe(2)
    if (copy === 'elide') expect(stats.elided).toBeGreaterThan(stats.worldSwitches / 2)
    else expect(stats.elided).toBe(0)
  })
})

describe('a direct trap', () => {
  it('that finds no stack, because the shadow tables were emptied, is taken again', () => {
    const host = new BareHost(1)
    const { lg } = tinyGuest(host, 'C')
    const [cpu] = host.cpus
    host.start(lg)
    while (cpu.st[S_CPL] !== 3) run(cpu, 1)
    // In ring 3, before its system call, the Guest loses all its mappings, the pinned stack's too.
    host.onReturn = () => {
      host.onReturn = undefined
      lg.s.stack_pages = 0
      guestPagetableClearAll(lg)
      expect(lg.s.shadow_tables).toBe(0)
      return true
    }
    cpu.setPending(PENDING_INTR)
    while (host.outcomes[0]?.kind === 'run') run(cpu, 200)
    expect(host.onReturn).toBe(undefined)
    expect(deadReason(lg)).toBe('CRASH: Power down')
    expect(cpuStatistics(host.hv, 0).switchesByTrap['128']).toBe(undefined)
    expect(guestStatistics(lg).hypercalls['FLUSH_ASYNC']).toBe(2)
  })
})

/** Allocated RAM and CPU 0 at one moment, and what of them must be equal in the end. */
class Moment {
  private readonly pages: Map<number, Uint8Array>
  private readonly owners: () => void
  private readonly state: Uint8Array
  private readonly host: BareHost

  constructor(host: BareHost) {
    this.host = host
    this.pages = new Map()
    this.owners = host.bookkeeping()
    for (const page of host.pages.keys()) this.pages.set(page, host.mem.readBytes(page, PAGE_SIZE))
    const { stateAddress, mem } = host.cpus[0]
    this.state = mem.u8.slice(stateAddress, stateAddress + CpuStateLayout.size)
  }

  restore(): void {
    const { mem } = this.host
    const cpu = this.host.cpus[0]
    this.owners()
    // Unchanged pages are left alone: writing to code drops what was decoded of it.
    for (const [page, bytes] of this.pages)
      if (!same(mem.readBytes(page, PAGE_SIZE), bytes)) mem.writeBytes(page, bytes)
    cpu.mem.u8.set(this.state, cpu.stateAddress)
    cpu.refresh()
    flushTlbAll(cpu)
    this.host.handled.length = 0
  }

  /** Places that differ from now, leaving out stacks below the registers and the counters. */
  differences(lg: Guest): string[] {
    const { mem, hv, pages } = this.host
    const ignored = new Set([
      hv.address, // times of the last switch
      hv.cpu(0).page0,
      hv.cpu(0).stats_page,
      lg.s.stats_page,
      ...this.host.stackPages,
    ])
    const differing: string[] = []
    if (pages.size !== this.pages.size) differing.push(`${this.pages.size} pages in use are ${pages.size}`)
    for (const [page, before] of this.pages) {
      if (ignored.has(page)) continue
      const from = page === lg.s.regs_page ? PAGE_SIZE - LguestRegs.size : 0
      const now = mem.readBytes(page, PAGE_SIZE)
      // PUSH of a segment register writes the lower half of its word only.
      if (page === lg.s.regs_page) {
        for (const field of ['gs', 'fs', 'ds', 'es'] as const) {
          const upper = from + lg.abi.regs.offset[field] + 2
          now.set(before.subarray(upper, upper + 2), upper)
        }
      }
      if (same(now.subarray(from), before.subarray(from))) continue
      const at = before.findIndex((byte, i) => i >= from && byte !== now[i])
      differing.push(`${(page + at).toString(16)}: ${before[at].toString(16)} is ${now[at].toString(16)}`)
    }
    return differing
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

/** Runs instruction by instruction until read() is over; returns the eip before each instruction. */
function stepToEnd(host: BareHost): { trace: number[]; cpls: number[] } {
  const cpu = host.cpus[0]
  const trace: number[] = []
  const cpls: number[] = []
  while (host.outcomes[0]?.kind === 'run') {
    trace.push(cpu.st[S_EIP] >>> 0)
    cpls.push(cpu.st[S_CPL])
    run(cpu, 1)
    if (trace.length > 5000) throw new Error('the Guest does not end')
  }
  return { trace, cpls }
}

describe.each([
  ['C', 'elide'],
  ['C', 'always'],
  ['A', 'elide'],
  ['A', 'always'],
] as const)('between any two instructions of era %s, copy %s,', (era, copy) => {
  const host = new BareHost(1)
  host.hv.copyMode = copy
  const { lg, labels } = tinyGuest(host, era)
  const cpu = host.cpus[0]
  // Up to the point where everything is set up, in the middle of the Guest.
  host.start(lg)
  for (let i = 0; cpu.st[S_EIP] >>> 0 !== labels['ready']; i++) {
    run(cpu, 1)
    if (i > 20_000) throw new Error('the Guest is not ready')
  }
  const before = new Moment(host)
  const { trace, cpls } = stepToEnd(host)
  const undisturbed = new Moment(host)

  /** The state before each instruction is made from the one before it. */
  let cursor = { at: 0, moment: before }
  function goTo(at: number): void {
    if (cursor.at > at) cursor = { at: 0, moment: before }
    cursor.moment.restore()
    host.outcomes[0] = { kind: 'run' }
    host.onInterrupt = undefined
    if (cursor.at === at) return
    run(cpu, at - cursor.at)
    cursor = { at, moment: new Moment(host) }
  }

  function inject(at: number, pending: number, again: boolean): void {
    goTo(at)
    host.onInterrupt = again
      ? () => {
          host.onInterrupt = undefined
          cpu.setPending(PENDING_NMI)
        }
      : undefined
    expect(cpu.st[S_EIP] >>> 0).toBe(trace[at])
    cpu.setPending(pending)
    while (host.outcomes[0]?.kind === 'run') run(cpu, 200)
  }
  const where = (at: number): string => `${trace[at].toString(16)} (ring ${cpls[at]}), step ${at}`

  it('the run covers the Switcher both ways, rings 1 and 3', () => {
    expect(deadReason(lg)).toBe('CRASH: Power down')
    const inSwitcher = trace.filter((eip) => eip >= SWITCHER_ADDR)
    expect(inSwitcher.length).toBeGreaterThan(200)
    expect(new Set(cpls)).toEqual(new Set([0, 1, 3]))
  })

  it.each([
    ['an NMI', false, 1],
    ['an NMI during which the next comes', true, 2],
  ] as const)('%s changes nothing', (_, again, count) => {
    for (let at = 0; at < trace.length; at++) {
      inject(at, PENDING_NMI, again)
      expect([where(at), host.handled.map(({ vector }) => vector)]).toEqual([where(at), Array(count).fill(2)])
      expect([where(at), undisturbed.differences(lg)]).toEqual([where(at), []])
    }
  })

  it('an interrupt waits for the Guest and changes nothing', () => {
    for (let at = 0; at < trace.length; at++) {
      inject(at, PENDING_INTR, false)
      // In the last way back there is no Guest to take it any more.
      const lastGuest = cpls.lastIndexOf(1)
      const vectors = host.handled.map(({ vector }) => vector)
      expect([where(at), vectors]).toEqual([where(at), at <= lastGuest ? [0x40] : []])
      cpu.clearPending(PENDING_INTR)
      expect([where(at), undisturbed.differences(lg)]).toEqual([where(at), []])
    }
  })
})

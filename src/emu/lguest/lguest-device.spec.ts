import { describe, expect, it } from 'vitest'
import type { Program, Syscall } from '../host/chrdev.ts'
import { HostKernel } from '../host/kernel.ts'
import { LHREQ } from '../layout/lguest-data.ts'
import { MIB } from '../layout/memory.ts'
import { PAGE_SIZE } from '../layout/x86.ts'
import { VirtualClock } from '../machine/clock.ts'
import { LockstepExecutor } from '../machine/lockstep.ts'
import { Machine } from '../machine/machine.ts'
import { stateHash } from '../machine/state-hash.ts'
import { loadTinyGuest, TINY_PGD, tinyEntry } from '../testing/tiny-guest.ts'
import { KERNEL_ADDRESS } from '../testing/guest-memory.ts'
import { findBrokenInvariants } from './invariants.ts'
import type { Hypervisor } from './hypervisor.ts'
import { loadLguest } from './lguest-device.ts'
import { cpuStatistics } from './stats.ts'

const BASE = 0x1000_0000
const BUFFER = 0x0800_0000
const PAGES = 64

/** A launcher of the tiny Guest: open, INITIALIZE, read until it is dead, read why. */
class TinyLauncher implements Program {
  reason: string | undefined
  private fd = 0
  private dead = false
  private readonly kernel: HostKernel
  private readonly hv: Hypervisor
  private readonly era: 'A' | 'C'

  constructor(kernel: HostKernel, hv: Hypervisor, era: 'A' | 'C') {
    this.kernel = kernel
    this.hv = hv
    this.era = era
  }

  step(task: number, result: number): Syscall {
    const { kernel, era } = this
    if (this.fd === 0) {
      this.fd = kernel.sysOpen(task, '/dev/lguest')
      const words = era === 'C' ? [BASE, PAGES, tinyEntry('C')] : [PAGES, TINY_PGD, tinyEntry('A'), KERNEL_ADDRESS]
      // Era A's guest memory is at the launcher's address 0.
      expect(kernel.sysWrite(task, this.fd, [LHREQ.INITIALIZE, ...words])).toBeGreaterThan(0)
      loadTinyGuest(this.hv.allGuests()[0])
    } else if (this.dead) {
      const page = kernel.userPage(task, BUFFER)
      this.reason = String.fromCharCode(...kernel.mem.readBytes(page, result - 1))
      return { call: 'exit', code: 0 }
    } else this.dead = result === -2
    return { call: 'read', fd: this.fd, address: BUFFER, length: PAGE_SIZE }
  }
}

function runTiny(options: { cpus: number; guests: number; era: 'A' | 'C'; copy: 'elide' | 'always' }) {
  const machine = new Machine({ cpus: options.cpus, ramSize: 16 * MIB, clock: new VirtualClock() })
  const kernel = new HostKernel(machine)
  const hv = loadLguest(kernel, 0)
  hv.copyMode = options.copy
  const executor = new LockstepExecutor(machine, 500)
  executor.runSlice(2000)
  const free = kernel.allocator.freePages
  const launchers = Array.from({ length: options.guests }, () => new TinyLauncher(kernel, hv, options.era))
  launchers.forEach((launcher, i) => kernel.spawn(launcher, `tiny ${i}`))
  const outcome = executor.runSlice(2_000_000)
  const broken = findBrokenInvariants(hv)
  const switches = machine.cpus.reduce((sum, { id }) => sum + cpuStatistics(hv, id).worldSwitches, 0)
  return {
    outcome: outcome.kind,
    reasons: launchers.map(({ reason }) => reason),
    leaked: free - kernel.allocator.freePages,
    broken,
    switches,
    hash: stateHash(machine),
  }
}

describe('/dev/lguest', () => {
  /** A task that has opened it, and what write() returns. */
  function open() {
    const machine = new Machine({ cpus: 1, ramSize: 16 * MIB, clock: new VirtualClock() })
    const kernel = new HostKernel(machine)
    loadLguest(kernel, 0)
    const results: number[] = []
    const calls: Syscall[] = [{ call: 'wait' }, { call: 'read', fd: 1, address: BUFFER, length: 4 }]
    const step = (_task: number, result: number): Syscall => {
      results.push(result)
      return calls[results.length - 1] ?? { call: 'exit', code: 0 }
    }
    const task = kernel.spawn({ step }, 'opener')
    const fd = kernel.sysOpen(task, '/dev/lguest')
    const executor = new LockstepExecutor(machine)
    executor.runSlice(4000)
    const write = (...words: number[]): number => kernel.sysWrite(task, fd, words)
    return { kernel, task, write, results, run: () => executor.runSlice(4000) }
  }

  it.each([
    ['C', 12, [BASE, PAGES, 0x1000]],
    ['A', 16, [PAGES, TINY_PGD, KERNEL_ADDRESS, KERNEL_ADDRESS]],
  ] as const)('INITIALIZE of era %s returns %i, the bytes of its words, and only once', (_, bytes, words) => {
    const { write } = open()
    expect(write(LHREQ.INITIALIZE, ...words)).toBe(bytes)
    expect(write(LHREQ.INITIALIZE, ...words)).toBe(-16)
    expect(write(LHREQ.IRQ, 1)).toBe(0)
  })

  it('takes nothing else before INITIALIZE', () => {
    const { kernel, task, write, results, run } = open()
    expect([write(), write(LHREQ.IRQ, 1), write(LHREQ.BREAK, 1), write(99)]).toEqual([-22, -22, -22, -22])
    kernel.wakeUp(task)
    run()
    expect(results).toEqual([0, 0, -22])
  })
})

describe.each(['C', 'A'] as const)('era %s on the Host kernel', (era) => {
  it.each([
    { cpus: 1, guests: 1, copy: 'elide' },
    { cpus: 2, guests: 1, copy: 'always' },
    { cpus: 1, guests: 3, copy: 'elide' },
    { cpus: 2, guests: 5, copy: 'elide' },
  ] as const)('$guests tiny Guests on $cpus CPUs, copy $copy', ({ cpus, guests, copy }) => {
    const result = runTiny({ cpus, guests, era, copy })
    expect(result.outcome).toBe('idle')
    expect(result.reasons).toEqual(Array(guests).fill('CRASH: Power down'))
    expect(result.leaked).toBe(0)
    expect(result.broken).toEqual([])
    expect(result.switches).toBeGreaterThan(15 * guests)
  })

  it('is the same each time', () => {
    const [first, second] = [0, 1].map(() => runTiny({ cpus: 2, guests: 2, era, copy: 'elide' }))
    expect(second.hash).toBe(first.hash)
    expect(runTiny({ cpus: 2, guests: 2, era, copy: 'always' }).hash).not.toBe(first.hash)
  })
})

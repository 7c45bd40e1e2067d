/** The guest of March 2007 on the whole computer: prints, takes interrupts, runs two tasks of ring 3, powers off. */
import { describe, expect, it, vi } from 'vitest'
import { Computer, type GuestExit } from '../../src/emu/index.ts'
import { findBrokenInvariants } from '../../src/emu/lguest/invariants.ts'
import { MIB } from '../../src/emu/layout/memory.ts'
import { buildSeed } from './build.ts'

// Only for what would never end: there are slow machines.
vi.setConfig({ testTimeout: 1_000_000 })

const kernel = { name: 'seed', bytes: buildSeed() }
const BOOT_TIME = 1_173_312_000_000_000_000 // 8 March 2007

function runSeeds(options: { cpus: number; guests: number; copy: 'elide' | 'always'; input?: string }) {
  const { cpus, guests, copy } = options
  const computer = new Computer({ cpus, ramSize: 64 * MIB, clock: 'virtual', bootTime: BOOT_TIME, copy })
  computer.runSlice(4000)
  const free = computer.kernel.allocator.freePages
  const output = Array<string>(guests).fill('')
  const exits: GuestExit[] = []
  const running = output.map((_, i) =>
    computer.startGuest({
      name: `seed${i}`,
      kernel,
      memory: 4 * MIB,
      era: 'A',
      console: { write: (bytes) => (output[i] += String.fromCharCode(...bytes)) },
      onExit: (exit) => exits.push(exit),
    }),
  )
  if (options.input !== undefined) for (const guest of running) guest.type(new TextEncoder().encode(options.input))
  const outcome = computer.runSlice(60_000_000)
  return {
    outcome,
    output,
    exits,
    leaked: free - computer.kernel.allocator.freePages,
    broken: findBrokenInvariants(computer.hypervisor),
    statistics: computer.statistics(),
    hash: computer.stateHash(),
  }
}

describe('seed', () => {
  it.each([
    { cpus: 1, guests: 1, copy: 'elide' },
    { cpus: 2, guests: 1, copy: 'always' },
    { cpus: 1, guests: 2, copy: 'elide' },
    { cpus: 2, guests: 3, copy: 'elide' },
  ] as const)('$guests on $cpus CPUs, copy $copy', (options) => {
    const { outcome, output, exits, leaked, broken, statistics } = runSeeds(options)
    expect(outcome.kind).toBe('idle')
    for (const text of output) {
      expect(text).toMatch(/^seed: hello from ring 1, March 2007\nseed: seconds since 1970: 1173312000\n/)
      expect(text).toContain('seed: task A\n')
      expect(text).toContain('seed: task B\n')
      const [, ticks] = /seed: both tasks have had their turns; timer ticks: (\d+)\n$/.exec(text) ?? []
      // Each of the two was interrupted five times.
      expect(Number(ticks)).toBeGreaterThanOrEqual(10)
    }
    expect(exits).toEqual(output.map(() => ({ kind: 'poweroff', reason: 'powered off' })))
    expect(leaked).toBe(0)
    expect(broken).toEqual([])
    expect(statistics.hypercalls).toMatchObject({ LOAD_GDT: options.guests, BIND_DMA: options.guests })
    for (const name of ['LOAD_TLS', 'TIMER_READ', 'SEND_DMA', 'GET_WALLCLOCK', 'CRASH']) {
      expect(statistics.hypercalls[name]).toBeGreaterThan(0)
    }
    expect(statistics.interrupts).toBeGreaterThanOrEqual(10 * options.guests)
    // In this era LOAD_TLS has the whole GDT copied.
    const copied = (what: 'gdt' | 'tls') => statistics.cpus.reduce((sum, cpu) => sum + cpu.copied[what], 0)
    expect(copied('tls')).toBe(0)
    if (options.copy === 'elide') expect(copied('gdt')).toBeGreaterThan(0)
  })

  it('echoes what is typed', () => {
    const { output } = runSeeds({ cpus: 1, guests: 1, copy: 'elide', input: 'wagtail\n' })
    expect(output[0]).toContain('wagtail\n')
  })

  it('is the same each time', () => {
    const options = { cpus: 2, guests: 2, copy: 'elide' } as const
    expect(runSeeds(options).hash).toBe(runSeeds(options).hash)
  })
})

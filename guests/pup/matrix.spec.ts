/** pup on hosts of every size: CPUs, guests, copy modes; and the same run twice. On the whole computer, in virtual time. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { Computer, type GuestExit, type RunningGuest } from '../../src/emu/index.ts'
import { findBrokenInvariants } from '../../src/emu/lguest/invariants.ts'
import { MIB } from '../../src/emu/layout/memory.ts'

// Only for what would never end: there are slow machines.
vi.setConfig({ testTimeout: 1_000_000 })

const file = (name: string) => ({ name, bytes: readFileSync(join(import.meta.dirname, name)) })
const kernel = file('pup.elf')
const initrd = file('initrd.img')

interface Options {
  readonly cpus: number
  readonly guests: number
  readonly copy: 'elide' | 'always'
  /** Typed into each guest. */
  readonly input: string
}

class Kennel {
  readonly computer: Computer
  readonly output: string[]
  readonly exits: (GuestExit | undefined)[]
  readonly guests: RunningGuest[]
  private readonly free: number

  constructor({ cpus, guests, copy, input }: Options) {
    this.computer = new Computer({ cpus, ramSize: 512 * MIB, clock: 'virtual', copy })
    this.computer.runSlice(4000)
    this.free = this.computer.kernel.allocator.freePages
    this.output = Array<string>(guests).fill('')
    this.exits = Array<undefined>(guests).fill(undefined)
    this.guests = this.output.map((_, i) => {
      const guest = this.computer.startGuest({
        name: `pup${i}`,
        kernel,
        initrd,
        memory: 32 * MIB,
        net: 'switch',
        console: { write: (bytes) => (this.output[i] += String.fromCharCode(...bytes).replaceAll('\r', '')) },
        onExit: (exit) => (this.exits[i] = exit),
      })
      guest.type(new TextEncoder().encode(input))
      return guest
    })
  }

  /** Runs until everybody sleeps; the pages that have not come back. */
  run(): number {
    const outcome = this.computer.runSlice(400_000_000)
    expect(outcome.kind).toBe('idle')
    return this.free - this.computer.kernel.allocator.freePages
  }
}

describe('pup', () => {
  it.each(
    ([1, 2, 4] as const).flatMap((cpus) =>
      ([1, 3, 8] as const).flatMap((guests) => (['elide', 'always'] as const).map((copy) => ({ cpus, guests, copy }))),
    ),
  )('$guests on $cpus CPUs, copy $copy', ({ cpus, guests, copy }) => {
    const kennel = new Kennel({ cpus, guests, copy, input: 'echo one | cat; fork-test 3\npoweroff\n' })
    const leaked = kennel.run()
    for (const text of kennel.output) {
      expect(text).toContain('This is pup')
      expect(text).toMatch(/\none\n/)
      expect(text).toContain('fork-test: 3 children, 3 good, memory of the parent intact')
    }
    expect(kennel.exits).toEqual(kennel.exits.map(() => ({ kind: 'poweroff', reason: 'powered off' })))
    expect(leaked).toBe(0)
    expect(findBrokenInvariants(kennel.computer.hypervisor)).toEqual([])
    const { cpus: counters } = kennel.computer.statistics()
    const used = counters.filter(({ worldSwitches }) => worldSwitches > 0).length
    expect(used).toBeGreaterThanOrEqual(Math.min(cpus, guests))
    const elided = counters.reduce((sum, each) => sum + each.elided, 0)
    expect(elided > 0).toBe(copy === 'elide')
  })

  it('dies alone: the others print on, and everything it had comes back', () => {
    const kennel = new Kennel({ cpus: 2, guests: 3, copy: 'elide', input: '' })
    const { computer } = kennel
    kennel.run()
    const before = computer.kernel.allocator.freePages
    const doomed = computer.startGuest({
      name: 'doomed',
      kernel,
      initrd,
      memory: 32 * MIB,
      console: { write: () => {} },
      onExit: (exit) => kennel.exits.push(exit),
    })
    doomed.type(new TextEncoder().encode('crash gdt-live\n'))
    kennel.run()
    expect(kennel.exits[3]).toEqual({ kind: 'killed', reason: 'Removed live GDT entry 12' })
    expect(computer.kernel.allocator.freePages).toBe(before)
    expect(computer.hypervisor.allGuests()).toHaveLength(3)
  })

  it('is the same run each time, to the last bit', () => {
    const options = { cpus: 2, guests: 2, copy: 'elide', input: 'ls; time fork-test 4\nps\n' } as const
    const runs = [0, 1].map(() => {
      const kennel = new Kennel(options)
      kennel.run()
      return { output: kennel.output, hash: kennel.computer.stateHash() }
    })
    expect(runs[1]).toEqual(runs[0])
  })

  it('can be moved from CPU to CPU while it runs', () => {
    const kennel = new Kennel({ cpus: 4, guests: 1, copy: 'elide', input: '' })
    kennel.run()
    const { computer } = kennel
    const [guest] = kennel.guests
    // It gets its input on one CPU after the other.
    for (let cpu = 0; cpu < 4; cpu++) {
      computer.kernel.scheduler.setAffinity(guest.task, 1 << cpu)
      guest.type(new TextEncoder().encode(`echo on ${cpu}\n`))
      kennel.run()
      expect(kennel.output[0]).toContain(`\non ${cpu}\n`)
    }
    const counters = computer.statistics().cpus
    expect(counters.every(({ copied }) => copied.all > 0)).toBe(true)
  })
})

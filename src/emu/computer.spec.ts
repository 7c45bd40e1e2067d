/** The door to the emulator: what it refuses, and what a guest keeps when it is started again. */
import { describe, expect, it } from 'vitest'
import { assemble } from './asm/assembler.ts'
import { Computer, type GuestOptions } from './computer.ts'
import { UnusableImageError } from './launcher/errors.ts'
import { guestMac } from './launcher/switch.ts'
import { GUEST_BASE } from './layout/launcher-state.ts'
import { elfImage } from './testing/elf-image.ts'

const MIB = 1 << 20
const MEMORY = 4 * MIB

/** A guest that only goes round in a circle. */
const circle = elfImage(assemble('l: jmp l', { origin: MIB, symbols: {} }).bytes, MIB)

const computer = (): Computer => new Computer({ cpus: 1, ramSize: 64 * MIB, clock: 'virtual' })

function options(name: string, more: Partial<GuestOptions> = {}): GuestOptions {
  return {
    name,
    kernel: { name: 'circle', bytes: circle },
    memory: MEMORY,
    console: { write: () => {} },
    onExit: () => {},
    ...more,
  }
}

describe('a computer', () => {
  it.each([
    [{ cpus: 0 }, 'A host has 1 to 8 CPUs, not 0.'],
    [{ cpus: 9 }, 'A host has 1 to 8 CPUs, not 9.'],
    [{ cpus: 1.5 }, 'A host has 1 to 8 CPUs, not 1.5.'],
    [{ ramSize: 60 * MIB }, 'A host has 64 MiB to 2048 MiB of memory, in steps of 4 MiB, not 60 MiB.'],
    [{ ramSize: 66 * MIB }, 'A host has 64 MiB to 2048 MiB of memory, in steps of 4 MiB, not 66 MiB.'],
  ])('cannot have %o', (sizes, message) => {
    expect(() => new Computer({ clock: 'virtual', ...sizes })).toThrow(new RangeError(message))
  })

  it('has room for a guest of its own size on paper, and refuses a larger one', () => {
    const host = computer()
    expect(host.startGuest(options('same', { memory: 64 * MIB })).name).toBe('same')
    expect(() => host.startGuest(options('larger', { memory: 64 * MIB + 4096 }))).toThrow(UnusableImageError)
  })
})

describe('a guest’s network address', () => {
  /** The number in the address that the guest finds in its device page, as soon as it has its turn. */
  function macNumber(host: Computer, task: number): number {
    const mac = guestMac(0)
    for (let turn = 0; turn < 100; turn++) {
      const page = host.machine.phys.readBytes(host.kernel.userPage(task, GUEST_BASE + MEMORY), 4096)
      for (let at = 0; at < 4090; at++) {
        if (mac.subarray(0, 4).every((byte, i) => page[at + i] === byte)) return (page[at + 4] << 8) | page[at + 5]
      }
      host.runSlice(1_000_000)
    }
    throw new Error('no address in the device page')
  }

  it('is its own among all that run, and still its own when it is started again', () => {
    const host = computer()
    const ended: string[] = []
    const start = (name: string) => host.startGuest(options(name, { net: 'switch', onExit: () => ended.push(name) }))
    const [one, two, twin] = [start('one'), start('two'), start('one')]
    const numbers = [one, two, twin].map(({ task }) => macNumber(host, task))
    expect(new Set(numbers).size).toBe(3)
    two.stop()
    while (ended.length === 0) host.runSlice(100_000)
    expect(macNumber(host, start('two').task)).toBe(numbers[1])
  })
})

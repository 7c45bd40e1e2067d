/**
 * Host memory that runs out while a guest boots: the n-th page cannot be had, for one n after the other until the guest needs no n-th page;
 * as a passing shortage, and for good. Whatever happens to the guest, it ends with a reason, the host and
 * another guest go on, and every page comes back.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Computer, type GuestExit, UnusableImageError } from '../src/emu/index.ts'
import { findBrokenInvariants } from '../src/emu/lguest/invariants.ts'
import { MIB } from '../src/emu/layout/memory.ts'
import { buildSeed } from './seed/build.ts'

const file = (name: string) => ({ name, bytes: readFileSync(join(import.meta.dirname, 'pup', name)) })

interface Image {
  readonly kernel: { name: string; bytes: Uint8Array }
  readonly initrd?: { name: string; bytes: Uint8Array }
  readonly memory: number
  readonly era: 'A' | 'C'
  readonly net: 'none' | 'switch'
}
const SEED: Image = { kernel: { name: 'seed', bytes: buildSeed() }, memory: 4 * MIB, era: 'A', net: 'none' }
const PUP: Image = { kernel: file('pup.elf'), initrd: file('initrd.img'), memory: 16 * MIB, era: 'C', net: 'switch' }

/** Makes allocations fail: the n-th from now on and, with `forGood`, all after it. */
function shortage(computer: Computer, n: number, forGood: boolean): { met: boolean; end(): void } {
  const { allocator } = computer.kernel
  const allocPage = allocator.allocPage.bind(allocator)
  let left = n
  const state = { met: false, end: () => void (allocator.allocPage = allocPage) }
  allocator.allocPage = (owner) => {
    left--
    if (left !== 0 && !(forGood && left < 0)) return allocPage(owner)
    state.met = true
    return 0
  }
  return state
}

function boot(computer: Computer, image: Image, exits: string[]) {
  const guest = computer.startGuest({
    name: image.kernel.name,
    ...image,
    console: { write: () => {} },
    onExit: ({ kind, reason }: GuestExit) => exits.push(`${kind}: ${reason}`),
  })
  guest.type(new TextEncoder().encode('poweroff\n'))
  return guest
}

/** Runs until the guest is over, and its launcher too. */
function run(computer: Computer, exits: readonly string[]): void {
  for (let slices = 0; slices < 300 && exits.length === 0; slices++) computer.runSlice(200_000)
  computer.runSlice(10_000)
}

/** How a guest ends when the n-th page is not there; undefined when it needs fewer. */
function bootWithout(image: Image, n: number, forGood: boolean): string | undefined {
  const computer = new Computer({ cpus: 2, ramSize: 64 * MIB, clock: 'virtual' })
  computer.runSlice(4000)
  const { allocator } = computer.kernel
  const before = { free: allocator.freePages, owners: allocator.owners().length }
  const exits: string[] = []
  const short = shortage(computer, n, forGood)
  try {
    boot(computer, image, exits)
  } catch (error) {
    if (!(error instanceof UnusableImageError)) throw error
    exits.push(`refused: ${error.code}`)
  }
  run(computer, exits)
  short.end()
  expect([n, exits]).toEqual([n, [expect.anything()]])
  expect([n, findBrokenInvariants(computer.hypervisor)]).toEqual([n, []])
  expect([n, { free: allocator.freePages, owners: allocator.owners().length }]).toEqual([n, before])

  // The host is as good as before.
  if (n === 11 || n === 47) {
    const again: string[] = []
    boot(computer, image, again)
    run(computer, again)
    expect([n, again]).toEqual([n, ['poweroff: powered off']])
  }
  return short.met ? exits[0] : undefined
}

/** What a guest may come to: the launcher's words, the hypervisor's, and none at all. */
const ENDS =
  /^(refused: host-memory|killed: (the host has no memory left for it|out of memory|failed to get page|bad |no eventfd)|poweroff)/

describe('host memory that runs out', () => {
  it.each([
    { name: 'seed', image: SEED, first: 1, step: 2, what: 'one page', forGood: false },
    { name: 'seed', image: SEED, first: 2, step: 3, what: 'every page from then on', forGood: true },
    // Its memory is the bulk of it: look at the launcher's start, and here and there.
    { name: 'pup', image: PUP, first: 3, step: 44, what: 'every page from then on', forGood: true },
  ])(
    'ends $name with a reason, which cannot have $what',
    ({ image, first, step, forGood }) => {
      const ends = new Set<string>()
      for (let n = first; ; n += step) {
        const end = bootWithout(image, n, forGood)
        if (end === undefined) break
        expect(end).toMatch(ENDS)
        ends.add(end.replace(/:.*/, ''))
      }
      expect([...ends]).toEqual(expect.arrayContaining(['refused', 'killed']))
    },
    300_000,
  )
})

/** A guest-virtual address through both tables: entries as they are in RAM, and both ends at the same byte. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { S_CPL, S_CR2, S_CR3, S_EIP } from '../../emu/layout/cpu-state.ts'
import { LHCALL } from '../../emu/layout/lguest-data.ts'
import type { PageWalk } from '../../shared/inspect.ts'
import type { EmulatedHost } from '../emulated-host.ts'
import { TestEngine, type TestPup } from '../testing/test-engine.ts'
import { describeEntry } from './descriptors.ts'
import { guestPhysical } from './memory-spaces.ts'
import { pageWalk } from './page-walk.ts'

const PAGE_OFFSET = 0xc0000000

let test: TestEngine
let pup: TestPup

beforeEach(async () => {
  test = await TestEngine.start({ cpus: 1, hostRam: 64 })
  pup = await test.pup()
})
afterEach(() => test.dispose())

const host = (): EmulatedHost => test.engine.host
const word = (hpa: number): number => host().machine.phys.read32(hpa) >>> 0
const walk = (address: number, guestId = pup.guestId): Promise<PageWalk> =>
  test.front.request('inspect.walk', { guestId, address })

/** Stops pup before an instruction of its kernel that it executes for the next command. */
async function stopAt(symbol: string): Promise<void> {
  const spec = { kind: 'address' as const, address: pup.address(symbol), scope: {} }
  const { id } = await test.front.request('debug.addBreakpoint', { spec })
  pup.console.type('uname\n')
  await test.stopped()
  await test.front.request('debug.removeBreakpoint', { breakpointId: id })
}

/** Checks every entry against RAM. Guest entries are at guest-physical addresses. */
function checkSteps({ address, shadow, guest }: PageWalk): void {
  for (const [{ cr3, steps }, place] of [
    [shadow, (at: number) => at],
    [guest, (at: number) => guestPhysical(pup.lguest, at)],
  ] as const) {
    let table = cr3
    for (const { level, entryAddress, index, value, flags } of steps) {
      expect(index).toBe(level === 'PGD' ? address >>> 22 : (address >>> 12) & 0x3ff)
      expect(entryAddress).toBe((table & ~0xfff) + index * 4)
      expect(value).toBe(word(place(entryAddress)))
      expect(flags).toBe(describeEntry(value, level === 'PGD'))
      table = value
    }
  }
}

describe('an address that is mapped', () => {
  it('in the kernel ends at the same byte of RAM both ways', async () => {
    await stopAt('sys_fork')
    const address = host().machine.cpus[0].st[S_EIP] >>> 0
    const both = await walk(address)
    expect(both.address).toBe(pup.address('sys_fork'))
    checkSteps(both)
    const { shadow, guest } = both
    expect([shadow.steps.length, guest.steps.length]).toEqual([2, 2])
    expect(guest.result).toBe(address - PAGE_OFFSET)
    expect(shadow.result).toBe(guestPhysical(pup.lguest, guest.result ?? 0))
    expect([shadow.note, guest.note]).toEqual(['', ''])
    // The shadow is what the CPU uses, the guest's own what it loaded by hypercall.
    expect(shadow.cr3).toBe(host().machine.cpus[0].st[S_CR3] >>> 0)
    expect(guest.cr3).not.toBe(shadow.cr3)
  })

  it('in a program too, which may reach it', async () => {
    await stopAt('trap_return')
    // Back into the program: its next instruction is where it can be executed.
    for (let n = 0; (await test.front.request('inspect.cpu', { cpu: 0 })).segments[1].selector % 4 !== 3; n++) {
      expect(n).toBeLessThan(1000)
      await test.front.request('debug.step', { cpu: 0 })
    }
    const address = host().machine.cpus[0].st[S_EIP] >>> 0
    expect(address).toBeLessThan(PAGE_OFFSET)
    const both = await walk(address)
    checkSteps(both)
    expect(both.shadow.result).toBe(guestPhysical(pup.lguest, both.guest.result ?? -1))
    for (const { flags } of [...both.shadow.steps, ...both.guest.steps]) expect(flags).toMatch(/^P .*US/)
  })

  it('agrees for every page the shadow has', async () => {
    await stopAt('sys_fork')
    let pages = 0
    for (let directory = 0; directory < 1023; directory++) {
      const first = pageWalk(host(), pup.guestId, directory * 2 ** 22)
      if ((first.shadow.steps[0].value & 1) === 0) continue
      for (let page = 0; page < 1024; page++) {
        const both = pageWalk(host(), pup.guestId, directory * 2 ** 22 + page * 4096 + 0x123)
        if (both.shadow.result === null) continue
        pages++
        expect(both.shadow.result & 0xfff).toBe(0x123)
        expect([both.address, both.shadow.result]).toEqual([
          both.address,
          guestPhysical(pup.lguest, both.guest.result ?? -1),
        ])
        // The shadow never allows what the guest does not.
        const [mine, theirs] = [both.shadow.steps[1].value, both.guest.steps[1].value]
        expect(mine & 2 & ~theirs).toBe(0)
      }
    }
    expect(pages).toBeGreaterThan(20)
  })
})

describe('an address that is not', () => {
  it('ends where the tables end, and says where', async () => {
    await stopAt('sys_fork')
    const nothing = await walk(0x80000000)
    checkSteps(nothing)
    expect(nothing.guest).toMatchObject({ result: null, note: 'The directory entry is not present.' })
    expect(nothing.shadow).toMatchObject({ result: null, note: 'The directory entry is not present.' })
    expect(nothing.guest.steps.map(({ level, flags }) => [level, flags])).toEqual([['PGD', 'not present']])
  })

  it('in the shadow may be one of the guest’s: it comes with the fault', async () => {
    const spec = { kind: 'trap' as const, trap: 14, scope: {} }
    const { id } = await test.front.request('debug.addBreakpoint', { spec })
    // A fault that the hypervisor answers by itself: the guest's own tables have the page already.
    for (let n = 0; ; n++) {
      expect(n).toBeLessThan(200)
      if (n === 0) pup.console.type('uname\n')
      await test.stopped()
      const cr2 = host().machine.cpus[0].st[S_CR2] >>> 0
      const both = await walk(cr2)
      checkSteps(both)
      // By the time the host stands still the entry is there.
      if (both.guest.result !== null && both.shadow.result !== null && cr2 < PAGE_OFFSET) {
        expect(both.shadow.result).toBe(guestPhysical(pup.lguest, both.guest.result))
        break
      }
      await test.front.request('debug.resume', {})
    }
    await test.front.request('debug.removeBreakpoint', { breakpointId: id })
  })

  it('because a directory is outside the guest’s memory says so', async () => {
    await stopAt('sys_fork')
    const pgdir = pup.lguest.s.pgdirs.at(pup.lguest.s.pgdidx)
    const { gpgdir } = pgdir
    pgdir.gpgdir = 0x7ffff000
    expect((await walk(PAGE_OFFSET)).guest).toEqual({
      cr3: 0x7ffff000,
      steps: [],
      result: null,
      note: 'The page directory is outside the memory.',
    })
    pgdir.gpgdir = 0
    expect((await walk(PAGE_OFFSET)).guest.note).toBe('There is no page directory.')
    pgdir.gpgdir = gpgdir
    expect((await walk(PAGE_OFFSET + 0x100000)).guest.result).toBe(0x100000)
  })

  it('because a table is outside the guest’s memory says so', async () => {
    await stopAt('sys_fork')
    const { gpgdir } = pup.lguest.s.pgdirs.at(pup.lguest.s.pgdidx)
    const at = guestPhysical(pup.lguest, gpgdir + (0x90000000 >>> 22) * 4)
    host().machine.phys.write32(at, 0x7ffff067)
    const { guest } = await walk(0x90001234)
    expect(guest).toMatchObject({ result: null, note: 'The page table is outside the memory.' })
    expect(guest.steps).toEqual([
      {
        level: 'PGD',
        entryAddress: gpgdir + (0x90000000 >>> 22) * 4,
        index: 0x90000000 >>> 22,
        value: 0x7ffff067,
        flags: 'P RW US A D',
      },
    ])
    // A large page needs no table.
    host().machine.phys.write32(at, 0x004000e3)
    expect((await walk(0x90001234)).guest).toMatchObject({ result: 0x00401234, note: 'A page of 4 MiB.' })
  })
})

describe('a guest that has just begun', () => {
  it('has no tables: virtual is physical', async () => {
    const spec = { kind: 'hypercall' as const, number: LHCALL.LGUEST_INIT, scope: {} }
    await test.front.request('debug.addBreakpoint', { spec })
    const { guestId } = await test.front.request('guests.create', {
      config: { name: 'early', kind: 'pup', memory: 16 },
      start: true,
    })
    await test.stopped()
    const early = host().guest(guestId)
    if (early === null) throw new Error('it does not run')
    // That call emptied the shadow; the next instruction brings its page back.
    const { eip } = early.regs
    expect(eip).toBeLessThan(PAGE_OFFSET)
    expect((await walk(eip, guestId)).shadow.note).toBe('The directory entry is not present.')
    for (let n = 0; host().machine.cpus[0].st[S_EIP] >>> 0 === eip || host().machine.cpus[0].st[S_CPL] === 0; n++) {
      expect(n).toBeLessThan(5000)
      await test.front.request('debug.step', { cpu: 0 })
    }
    const { shadow, guest } = await walk(eip, guestId)
    expect(guest).toEqual({
      cr3: 0,
      steps: [],
      result: eip,
      note: 'The guest has no page tables yet: virtual addresses are physical ones.',
    })
    expect(shadow.result).toBe(guestPhysical(early, eip))
  })

  it('or is gone has none to look at', async () => {
    await test.front.request('guests.act', { guestId: pup.guestId, action: 'forceOff' })
    await test.front.untilState(pup.guestId, 'stopped')
    await expect(walk(PAGE_OFFSET)).rejects.toThrow('That guest is not running')
  })
})

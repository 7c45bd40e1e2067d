/** Breakpoints and steps, on a real host with real guests. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { S_CPL, S_EIP } from '../emu/layout/cpu-state.ts'
import { LGUEST_TRAP_ENTRY } from '../emu/layout/lguest-pages.ts'
import { LguestData } from '../emu/layout/lguest-data.ts'
import { lguestPages } from '../emu/lguest/switcher/switcher.ts'
import type { BreakpointKind, StopReason } from '../shared/inspect.ts'
import type { Settings } from '../shared/protocol.ts'
import { guestPhysical } from './inspect/memory-spaces.ts'
import { TestEngine, type TestPup } from './testing/test-engine.ts'

/** Where pup's kernel has guest-physical address 0. */
const PAGE_OFFSET = 0xc0000000

let test: TestEngine

async function start(settings: Partial<Settings> = {}): Promise<TestPup> {
  test = await TestEngine.start({ hostRam: 64, ...settings })
  return test.pup()
}
afterEach(() => test.dispose())

const add = (spec: BreakpointKind): Promise<{ id: number }> => test.front.request('debug.addBreakpoint', { spec })
const remove = (id: number): Promise<null> => test.front.request('debug.removeBreakpoint', { breakpointId: id })
const enable = (id: number, enabled: boolean): Promise<unknown> =>
  test.front.request('debug.setBreakpoint', { breakpointId: id, enabled })
const resume = (): Promise<unknown> => test.front.request('debug.resume', {})
const hits = async (): Promise<number[]> =>
  (await test.front.request('debug.breakpoints', {})).map((breakpoint) => breakpoint.hits)
const eip = (cpu: number): number => test.engine.host.machine.cpus[cpu].st[S_EIP] >>> 0
const ring = (cpu: number): number => test.engine.host.machine.cpus[cpu].st[S_CPL]

/** Whether anything of the debugger is left in the machine. */
function hooks(): { cpus: boolean[]; watched: boolean } {
  const { machine } = test.engine.host
  return { cpus: machine.cpus.map(({ debug }) => debug !== null), watched: machine.phys.watched !== null }
}

type Hit = Extract<StopReason, { kind: 'breakpoint' }>
async function hit(): Promise<Hit> {
  const stop = await test.stopped()
  if (stop.kind !== 'breakpoint') throw new Error(`stopped for ${stop.kind}`)
  return stop
}

describe('an address', () => {
  it('stops before the instruction, which is executed when the host goes on', async () => {
    const { guestId, console, address } = await start({ cpus: 1 })
    const at = address('sys_fork')
    const { id } = await add({ kind: 'address', address: at, scope: {} })
    console.type('uname\n')
    expect(await hit()).toEqual({
      kind: 'breakpoint',
      id,
      cpu: 0,
      guestId,
      detail: `0x${at.toString(16)}`,
    })
    expect([eip(0), ring(0)]).toEqual([at, 1])
    const before = test.engine.host.machine.cpus[0].retired
    const [first] = await test.front.request('inspect.disassemble', {
      space: { kind: 'guestVirtual', guestId },
      address: at,
      count: 1,
    })
    const { stop } = await test.front.request('debug.step', { cpu: 0 })
    expect(stop).toEqual({ kind: 'step' })
    expect(eip(0)).toBe(at + first.bytes.split(' ').length)
    expect(test.engine.host.machine.cpus[0].retired).toBe(before + 1)
    expect(await hits()).toEqual([1])
    await resume()
    await console.until('$ ')
  })

  it('stops each time it is reached, once', async () => {
    const { console, address } = await start({ cpus: 1 })
    const at = address('sys_fork')
    await add({ kind: 'address', address: at, scope: {} })
    console.type('echo a | cat\n')
    for (let n = 1; n <= 2; n++) {
      await hit()
      expect([eip(0), await hits()]).toEqual([at, [n]])
      await resume()
    }
    await console.until('a\r\n')
    await console.until('$ ')
    expect(await hits()).toEqual([2])
  })

  it('stops only in the guest that was meant', async () => {
    const one = await start({ cpus: 2 })
    const two = await test.pup('two')
    const at = one.address('sys_fork')
    expect(two.address('sys_fork')).toBe(at)
    const { id } = await add({ kind: 'address', address: at, scope: { guestId: two.guestId } })
    one.console.type('echo one | cat\n')
    await one.console.until('one\r\n')
    await one.console.until('$ ')
    expect(await hits()).toEqual([0])
    two.console.type('echo two | cat\n')
    expect(await hit()).toMatchObject({ id, guestId: two.guestId })
    await remove(id)
    await resume()
    await two.console.until('two\r\n')
  })

  it('stops only on the CPU that was meant', async () => {
    const { guestId, console, address } = await start({ cpus: 2 })
    const at = address('sys_fork')
    const ids = [await add({ kind: 'address', address: at, scope: { cpu: 0 } })]
    ids.push(await add({ kind: 'address', address: at, scope: { cpu: 1 } }))
    for (const cpu of [1, 0, 1]) {
      await test.front.request('host.migrate', { guestId, cpu })
      console.type('uname\n')
      const stop = await hit()
      expect(stop).toMatchObject({ id: ids[stop.cpu].id, guestId })
      expect(eip(stop.cpu)).toBe(at)
      await resume()
      await console.until('$ ')
    }
    expect((await hits()).reduce((sum, count) => sum + count)).toBe(3)
  })

  it('may be in the Host, in the middle of a world switch', async () => {
    const { guestId, console } = await start({ cpus: 1 })
    const { entry } = test.engine.host.hypervisor.switcher[0]
    const everywhere = await add({ kind: 'address', address: entry, scope: {} })
    const inGuest = await add({ kind: 'address', address: entry, scope: { guestId } })
    console.type('uname\n')
    expect(await hit()).toMatchObject({ id: everywhere.id, guestId: null })
    expect([eip(0), ring(0)]).toEqual([entry >>> 0, 0])
    const { world } = await test.front.request('inspect.cpu', { cpu: 0 })
    expect(world).toEqual({ kind: 'host', where: 'switcher' })
    await remove(everywhere.id)
    await resume()
    await console.until('$ ')
    expect(await hits()).toEqual([0])
    await remove(inGuest.id)
  })
})

describe('a trap', () => {
  it('stops after the switch that brought it', async () => {
    const { guestId, console } = await start({ cpus: 2 })
    const { id } = await add({ kind: 'trap', trap: 14, scope: { guestId } })
    console.type('uname\n')
    const stop = await hit()
    expect(stop).toEqual({ kind: 'breakpoint', id, cpu: stop.cpu, guestId, detail: 'trap 14' })
    expect(test.engine.host.hypervisor.cpu(stop.cpu).last_trap).toBe(14)
    const { lguest } = await test.front.request('inspect.cpu', { cpu: stop.cpu })
    expect(lguest).toMatchObject({ lastGuest: guestId, lastSwitch: { trap: 14 } })
    await remove(id)
    await resume()
    await console.until('$ ')
  })

  it('of another number, guest or CPU does not', async () => {
    const one = await start({ cpus: 1 })
    const two = await test.pup('two')
    await add({ kind: 'trap', trap: 0, scope: {} })
    await add({ kind: 'trap', trap: 14, scope: { guestId: two.guestId } })
    await add({ kind: 'trap', trap: 14, scope: { cpu: 5 } })
    one.console.type('uname\n')
    await one.console.until('$ ')
    expect(await hits()).toEqual([0, 0, 0])
  })
})

describe('a hypercall', () => {
  it('stops where the guest makes it', async () => {
    const { guestId, console, lguest } = await start({ cpus: 1 })
    const { id } = await add({ kind: 'hypercall', number: 4, scope: {} })
    console.type('uname\n')
    expect(await hit()).toEqual({ kind: 'breakpoint', id, cpu: 0, guestId, detail: 'hypercall 4' })
    expect(test.engine.host.hypervisor.cpu(0)).toMatchObject({
      last_guest: lguest.address,
      last_trap: LGUEST_TRAP_ENTRY,
    })
    await remove(id)
    await resume()
    await console.until('$ ')
  })

  it('is told with the CPU it is made on, wherever the guest ran before', async () => {
    const { guestId, console, lguest } = await start({ cpus: 2 })
    const specs = [0, 1].map((cpu) => ({ kind: 'hypercall' as const, number: 4, scope: { cpu } }))
    const ids = [await add(specs[0]), await add(specs[1])]
    const seen = new Set<number>()
    for (const cpu of [0, 1, 0, 1]) {
      await test.front.request('host.migrate', { guestId, cpu })
      console.type('uname\n')
      const stop = await hit()
      seen.add(stop.cpu)
      expect(stop.id).toBe(ids[stop.cpu].id)
      expect(lguest.s.last_pages).toBe(lguestPages(stop.cpu))
      for (const { id } of ids) await enable(id, false)
      await resume()
      await console.until('$ ')
      for (const { id } of ids) await enable(id, true)
    }
    expect([...seen].sort()).toEqual([0, 1])
  })
})

describe('a watch', () => {
  /** Guest-virtual and host-physical address of a field of lguest_data. */
  function field(pup: TestPup, name: 'cr2' | 'irq_enabled'): { gva: number; hpa: number } {
    const gva = pup.address('lguest_data') + LguestData.offset[name]
    return { gva, hpa: guestPhysical(pup.lguest, gva - PAGE_OFFSET) }
  }
  const watch = (
    pup: TestPup,
    address: number,
    access: 'write' | 'readWrite',
    length: 1 | 2 | 4 = 4,
  ): Promise<{ id: number }> =>
    add({ kind: 'watch', space: { kind: 'guestVirtual', guestId: pup.guestId }, address, length, access })

  it('for writes stops after a write, and not for reads', async () => {
    const pup = await start({ cpus: 1 })
    const { gva, hpa } = field(pup, 'cr2')
    // The guest only reads its cr2; the Host, which writes it, is not the CPU.
    const { id } = await watch(pup, gva, 'write')
    pup.console.type('uname\n')
    await pup.console.until('$ ')
    expect(await hits()).toEqual([0])
    await remove(id)
    const calls = pup.address('count_syscalls')
    const there = guestPhysical(pup.lguest, calls - PAGE_OFFSET)
    const before = pup.lguest.hv.mem.read32(there)
    const counter = await watch(pup, calls, 'write')
    pup.console.type('uname\n')
    expect(await hit()).toEqual({
      kind: 'breakpoint',
      id: counter.id,
      cpu: 0,
      guestId: pup.guestId,
      detail: `write to host-physical 0x${there.toString(16)}`,
    })
    expect(pup.lguest.hv.mem.read32(there)).toBe(before + 1)
    expect(hpa).not.toBe(there)
    await remove(counter.id)
    await resume()
    await pup.console.until('$ ')
  })

  it('for reads and writes stops for a read too', async () => {
    const pup = await start({ cpus: 1 })
    const { gva, hpa } = field(pup, 'cr2')
    const { id } = await watch(pup, gva, 'readWrite')
    pup.console.type('uname\n')
    expect(await hit()).toMatchObject({
      id,
      guestId: pup.guestId,
      detail: `read of host-physical 0x${hpa.toString(16)}`,
    })
    await remove(id)
    await resume()
    await pup.console.until('$ ')
  })

  it('sees no access beside its bytes', async () => {
    const pup = await start({ cpus: 1 })
    // The guest switches its interrupts on and off in the word before this one.
    const quiet = await watch(pup, field(pup, 'irq_enabled').gva + 4, 'write')
    pup.console.type('uname\n')
    await pup.console.until('$ ')
    expect(await hits()).toEqual([0])
    await remove(quiet.id)
    const { id } = await watch(pup, field(pup, 'irq_enabled').gva + 1, 'write', 1)
    pup.console.type('uname\n')
    expect(await hit()).toMatchObject({ id, guestId: pup.guestId })
    await remove(id)
  })

  it('is of the byte in RAM, whatever the address is called', async () => {
    const pup = await start({ cpus: 1 })
    const { gva, hpa } = field(pup, 'irq_enabled')
    const gpa = gva - PAGE_OFFSET
    await add({ kind: 'watch', space: { kind: 'hostPhysical' }, address: hpa, length: 4, access: 'write' })
    const space = { kind: 'guestPhysical' as const, guestId: pup.guestId }
    await add({ kind: 'watch', space, address: gpa, length: 4, access: 'write' })
    await watch(pup, gva, 'write')
    pup.console.type('uname\n')
    expect((await hit()).detail).toContain(`0x${hpa.toString(16)}`)
    expect(await hits()).toEqual([1, 1, 1])
  })

  it('of memory that is not there is refused', async () => {
    const pup = await start({ cpus: 1 })
    await expect(watch(pup, 0x8000_0000, 'write')).rejects.toThrow(
      'There is no memory at 0x80000000 to watch: nothing is mapped there now.',
    )
    const ram = { kind: 'watch', space: { kind: 'hostPhysical' }, length: 1, access: 'write' } as const
    await expect(add({ ...ram, address: 64 * 1024 * 1024 })).rejects.toThrow('There is no memory at 0x4000000')
    const last = await add({ ...ram, length: 4, address: 64 * 1024 * 1024 - 1 })
    expect(await hits()).toEqual([0])
    expect(hooks().watched).toBe(true)
    await remove(last.id)
    expect(hooks()).toEqual({ cpus: [false], watched: false })
  })

  it('of a guest that is gone cannot be switched on again, and hurts no other', async () => {
    const pup = await start({ cpus: 1 })
    const { id } = await watch(pup, field(pup, 'irq_enabled').gva, 'write')
    await enable(id, false)
    await test.front.request('guests.act', { guestId: pup.guestId, action: 'forceOff' })
    await test.front.untilState(pup.guestId, 'stopped')
    await expect(enable(id, true)).rejects.toThrow('That guest is not running')
    expect(await test.front.request('debug.breakpoints', {})).toMatchObject([{ id, enabled: false }])
    const other = await add({ kind: 'trap', trap: 14, scope: {} })
    await remove(other.id)
    await remove(id)
    expect(hooks()).toEqual({ cpus: [false], watched: false })
  })
})

describe('steps', () => {
  it('run to an address stops there once, on the CPU that was meant', async () => {
    const { console, address } = await start({ cpus: 1 })
    const at = address('sys_fork')
    await test.front.request('debug.pause', {})
    expect((await test.front.request('debug.runTo', { cpu: 0, address: at })).paused).toBe(false)
    console.type('echo a | cat\n')
    expect(await test.stopped()).toEqual({ kind: 'runTo', cpu: 0, address: at })
    expect(eip(0)).toBe(at)
    expect(hooks()).toEqual({ cpus: [false], watched: false })
    await resume()
    await console.until('a\r\n')
  })

  it('run to an address on one CPU lets the others pass it', async () => {
    const { guestId, console, address } = await start({ cpus: 2 })
    await test.front.request('host.migrate', { guestId, cpu: 1 })
    await test.quiet()
    await test.front.request('debug.runTo', { cpu: 0, address: address('sys_fork') })
    // One guest alone stays where it is.
    console.type('uname\n')
    await console.until('$ ')
    expect(test.engine.host.paused).toBe(false)
    await test.front.request('host.migrate', { guestId, cpu: 0 })
    console.type('uname\n')
    expect(await test.stopped()).toMatchObject({ kind: 'runTo', cpu: 0 })
  })

  it('to the next switch stops on the CPU that was meant, with the guest’s state saved', async () => {
    const { guestId, console } = await start({ cpus: 2 })
    console.type('loop 60 &\nloop 60 &\n')
    await console.until('$ ')
    await test.front.request('debug.stepSwitch', {})
    const first = await test.stopped()
    if (first.kind !== 'switch') throw new Error(`stopped for ${first.kind}`)
    const { cpu } = first
    expect(first.guestId).toBe(guestId)
    for (let n = 0; n < 3; n++) {
      const before = (await test.front.request('inspect.cpu', { cpu })).counters.worldSwitches
      await test.front.request('debug.stepSwitch', { cpu })
      const stop = await test.stopped()
      const after = await test.front.request('inspect.cpu', { cpu })
      expect(stop).toEqual({ kind: 'switch', cpu, guestId, trap: after.lguest?.lastSwitch?.trap })
      expect(after.counters.worldSwitches).toBe(before + 1)
      expect(after.world.kind).toBe('host')
    }
  })

  it('that never came are forgotten when the host is paused', async () => {
    const { console, address } = await start({ cpus: 1 })
    await test.quiet()
    await test.front.request('debug.stepSwitch', {})
    await test.front.request('debug.runTo', { cpu: 0, address: address('sys_fork') })
    expect((await test.front.request('debug.pause', {})).stop).toEqual({ kind: 'paused' })
    expect(hooks()).toEqual({ cpus: [false], watched: false })
    await resume()
    console.type('uname\n')
    await console.until('$ ')
    expect(test.engine.host.paused).toBe(false)
  })

  it('of many instructions end at a breakpoint', async () => {
    const { guestId, console, address } = await start({ cpus: 1 })
    const { id } = await add({ kind: 'address', address: address('sys_fork'), scope: {} })
    console.type('uname\n')
    await hit()
    const next = address('proc_alloc')
    const second = await add({ kind: 'address', address: next, scope: {} })
    const { stop } = await test.front.request('debug.step', { cpu: 0, count: 100_000 })
    expect(stop).toMatchObject({ kind: 'breakpoint', id: second.id, guestId })
    expect(eip(0)).toBe(next)
    await remove(id)
    await remove(second.id)
    await resume()
    await console.until('$ ')
  })

  it('need a host that is paused', async () => {
    await start({ cpus: 1 })
    await expect(test.front.request('debug.step', { cpu: 0 })).rejects.toThrow('The host is running. Pause it first.')
    await expect(test.front.request('debug.runTo', { cpu: 1, address: 0 })).rejects.toThrow('The host has no CPU 1.')
    await expect(test.front.request('debug.stepSwitch', { cpu: 3 })).rejects.toThrow('The host has no CPU 3.')
  })
})

describe('the list', () => {
  beforeEach(() => start({ cpus: 2 }))

  it('leaves no hook behind', async () => {
    const nothing = { cpus: [false, false], watched: false }
    expect(hooks()).toEqual(nothing)
    const address = await add({ kind: 'address', address: 0xc0100000, scope: {} })
    expect(hooks()).toEqual({ cpus: [true, true], watched: false })
    await enable(address.id, false)
    expect(hooks()).toEqual(nothing)
    await enable(address.id, true)
    const space = { kind: 'hostPhysical' } as const
    const watch = await add({ kind: 'watch', space, address: 0x1000, length: 1, access: 'write' })
    expect(hooks()).toEqual({ cpus: [true, true], watched: true })
    await enable(watch.id, false)
    await remove(address.id)
    expect(hooks()).toEqual(nothing)
    await enable(watch.id, true)
    expect(hooks()).toEqual({ cpus: [false, false], watched: true })
    await remove(watch.id)
    expect(hooks()).toEqual(nothing)
    const trap = await add({ kind: 'trap', trap: 14, scope: {} })
    const call = await add({ kind: 'hypercall', number: 4, scope: {} })
    expect(hooks()).toEqual(nothing)
    await remove(trap.id)
    await remove(call.id)
  })

  it('is told to every front when it changes', async () => {
    const second = test.connect()
    const { id } = await add({ kind: 'trap', trap: 14, scope: { cpu: 1 } })
    const breakpoint = { id, enabled: true, hits: 0, spec: { kind: 'trap', trap: 14, scope: { cpu: 1 } } }
    await second.untilEvent('breakpoints', (list) => list.length === 1)
    expect(second.events('breakpoints').at(-1)).toEqual([breakpoint])
    await enable(id, false)
    await remove(id)
    expect(second.events('breakpoints').slice(1)).toEqual([[{ ...breakpoint, enabled: false }], []])
  })

  it('has numbers that are not used again', async () => {
    const { id } = await add({ kind: 'trap', trap: 14, scope: {} })
    await remove(id)
    expect((await add({ kind: 'trap', trap: 14, scope: {} })).id).toBe(id + 1)
    await expect(remove(id)).rejects.toThrow(`There is no breakpoint ${id}.`)
    await expect(enable(id, true)).rejects.toThrow(`There is no breakpoint ${id}.`)
  })

  it('does not stop for what is disabled', async () => {
    const [pup] = test.engine.guests.list()
    const { id } = await add({ kind: 'trap', trap: 14, scope: {} })
    await enable(id, false)
    const console = await test.front.openConsole(pup.guestId)
    console.type('uname\n')
    await console.until('pup')
    await console.until('$ ')
    expect(await hits()).toEqual([0])
  })
})

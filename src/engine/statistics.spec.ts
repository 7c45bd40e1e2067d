/** Rates of a real host with two real guests, compared with the counters they are made of. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MIB } from '../emu/layout/memory.ts'
import { cpuStatistics, guestStatistics, type CpuStatistics, type GuestStatistics } from '../emu/lguest/stats.ts'
import type { Stats } from '../shared/protocol.ts'
import { Sampler, updateLiveFigures } from './statistics.ts'
import { TestEngine, type TestPup } from './testing/test-engine.ts'

const RAM = 64

let test: TestEngine
let one: TestPup
let two: TestPup
let sampler: Sampler

beforeEach(async () => {
  test = await TestEngine.start({ cpus: 2, hostRam: RAM })
  one = await test.pup('one')
  two = await test.pup('two')
  sampler = new Sampler()
})
afterEach(() => test.dispose())

const sample = (): Stats => sampler.sample(test.engine.host, test.engine.guests.list())
const pause = (): Promise<unknown> => test.front.request('debug.pause', {})
const resume = (): Promise<unknown> => test.front.request('debug.resume', {})

interface Counters {
  time: number
  instructions: number
  cpus: CpuStatistics[]
  guests: GuestStatistics[]
}
function counters(): Counters {
  const { host } = test.engine
  return {
    time: host.machine.clock.now(),
    instructions: host.computer.statistics().instructions,
    cpus: host.machine.cpus.map(({ id }) => cpuStatistics(host.hypervisor, id)),
    guests: [one, two].map(({ lguest }) => guestStatistics(lguest)),
  }
}

/** The first sample and the counters with it, then work of both guests, then the same again; the host stands still at both ends. */
async function interval(): Promise<{ before: Counters; after: Counters; stats: Stats }> {
  await pause()
  sample()
  const before = counters()
  await resume()
  one.console.type('selftest cow | cat\n')
  two.console.type('uname\n')
  await one.console.until('$ ')
  await two.console.until('$ ')
  await pause()
  return { before, after: counters(), stats: sample() }
}

/** What was counted, from its rate. */
const counted = (rate: number, before: Counters, after: Counters): number => (rate * (after.time - before.time)) / 1e9

describe('rates', () => {
  it('of each CPU are what its counters say', async () => {
    const { before, after, stats } = await interval()
    expect(stats.time).toBe(after.time)
    expect(stats.cpus).toHaveLength(2)
    const total = { switches: 0, byTrap: 0 }
    for (const [cpu, rates] of stats.cpus.entries()) {
      const [from, to] = [before.cpus[cpu], after.cpus[cpu]]
      expect(counted(rates.switches, before, after)).toBeCloseTo(to.worldSwitches - from.worldSwitches, 3)
      expect(counted(rates.copiedBytes, before, after)).toBeCloseTo(to.copied.bytes - from.copied.bytes, 3)
      expect(counted(rates.avoidedBytes, before, after)).toBeCloseTo(to.avoidedBytes - from.avoidedBytes, 3)
      expect(counted(rates.elided, before, after)).toBeCloseTo(to.elided - from.elided, 3)
      for (const [trap, rate] of Object.entries(rates.switchesByTrap)) {
        expect(rate).toBeGreaterThan(0)
        const more = to.switchesByTrap[trap] - (from.switchesByTrap[trap] ?? 0)
        expect(counted(rate, before, after)).toBeCloseTo(more, 3)
        total.byTrap += rate
      }
      total.switches += rates.switches
      expect(rates.busy).toBeGreaterThanOrEqual(0)
      expect(rates.busy).toBeLessThanOrEqual(1)
    }
    expect(total.switches).toBeGreaterThan(0)
    expect(total.byTrap).toBeCloseTo(total.switches, 6)
    const instructions = after.instructions - before.instructions
    expect(counted(stats.mips, before, after) * 1e6).toBeCloseTo(instructions, 0)
  })

  it('of each guest are what its counters say', async () => {
    const { before, after, stats } = await interval()
    expect(stats.guests.map(({ guestId }) => guestId)).toEqual([one.guestId, two.guestId])
    for (const [i, rates] of stats.guests.entries()) {
      const [from, to] = [before.guests[i], after.guests[i]]
      expect(counted(rates.switches, before, after)).toBeCloseTo(to.worldSwitches - from.worldSwitches, 3)
      expect(counted(rates.interrupts, before, after)).toBeCloseTo(to.interrupts - from.interrupts, 3)
      const faults = to.pageFaults.demand - from.pageFaults.demand
      expect(counted(rates.pageFaults.demand, before, after)).toBeCloseTo(faults, 3)
      const reflected = to.pageFaults.reflected - from.pageFaults.reflected
      expect(counted(rates.pageFaults.reflected, before, after)).toBeCloseTo(reflected, 3)
      const calls = Object.entries(to.hypercalls).map(([name, n]) => [name, n - (from.hypercalls[name] ?? 0)] as const)
      const made = calls.filter(([, n]) => n > 0)
      expect(Object.keys(rates.hypercalls).sort()).toEqual(made.map(([name]) => name).sort())
      for (const [name, n] of made) expect(counted(rates.hypercalls[name], before, after)).toBeCloseTo(n, 3)
      expect(rates.hypercalls).toHaveProperty('NEW_PGTABLE')
      expect([0, 1]).toContain(rates.cpu)
    }
  })

  it('of all CPUs and of all guests have the same sum', async () => {
    const { stats } = await interval()
    const sum = (list: { switches: number }[]): number => list.reduce((total, { switches }) => total + switches, 0)
    expect(sum(stats.guests)).toBeCloseTo(sum(stats.cpus), 6)
    const share = stats.guests.reduce((total, { cpuShare }) => total + cpuShare, 0)
    const busy = (stats.cpus[0].busy + stats.cpus[1].busy) / 2
    expect(share).toBeGreaterThan(0)
    expect(share).toBeLessThanOrEqual(busy + 1e-6)
    expect(stats.guests[0].cpuShare).toBeGreaterThan(stats.guests[1].cpuShare)
  })

  /** Every rate of a sample. */
  const rates = ({ mips, cpus, guests }: Stats): number[] => [
    mips,
    ...cpus.flatMap((cpu) => [cpu.busy, cpu.switches, cpu.copiedBytes, cpu.avoidedBytes, cpu.elided]),
    ...cpus.flatMap(({ switchesByTrap }) => Object.values(switchesByTrap)),
    ...guests.flatMap((guest) => [guest.cpuShare, guest.switches, guest.interrupts]),
    ...guests.flatMap(({ pageFaults, hypercalls }) => [...Object.values(pageFaults), ...Object.values(hypercalls)]),
  ]

  it('are zero with no past, and when no time has passed', async () => {
    expect(rates(sample()).every((rate) => rate === 0)).toBe(true)
    one.console.type('uname\n')
    await one.console.until('$ ')
    expect(rates(sample()).some((rate) => rate > 0)).toBe(true)
    await pause()
    sample()
    expect(rates(sample()).every((rate) => rate === 0)).toBe(true)
  })

  it('of a host that was started again begin anew', async () => {
    sample()
    await test.front.request('host.restart', {})
    await test.front.untilState(two.guestId, 'stopped')
    await expect.poll(() => test.engine.host.computer.statistics().cpus[0].worldSwitches).toBe(0)
    const fresh = sample()
    expect(fresh.guests).toEqual([])
    expect(rates(fresh).every((rate) => rate === 0)).toBe(true)
  })

  it('of a guest that was started again begin anew', async () => {
    const before = sample()
    const restart = async (guestId: string): Promise<void> => {
      await test.front.request('guests.act', { guestId, action: 'forceOff' })
      await test.front.untilState(guestId, 'stopped')
      await test.front.request('guests.act', { guestId, action: 'start' })
      await test.front.untilState(guestId, 'running')
      await expect.poll(() => test.engine.host.guest(guestId)).not.toBeNull()
    }
    await restart(one.guestId)
    await pause()
    const stats = sample()
    expect(stats.time).toBeGreaterThan(before.time)
    const [figures] = stats.guests
    expect(figures).toMatchObject({ guestId: one.guestId, switches: 0, interrupts: 0, cpuShare: 0, hypercalls: {} })
  })
})

describe('memory', () => {
  const sum = ({ memory }: Stats): number => memory.reduce((total, { bytes }) => total + bytes, 0)

  it('by owner adds up to the host’s RAM', async () => {
    const stats = sample()
    expect(sum(stats)).toBe(RAM * MIB)
    expect(stats.memory.at(-1)?.owner).toBe('free')
    const info = await test.front.request('host.get', {})
    expect(info.ram - info.ramUsed).toBe(sample().memory.at(-1)?.bytes)
    for (const { guestId } of [one, two]) {
      await test.front.request('guests.act', { guestId, action: 'forceOff' })
      await test.front.untilState(guestId, 'stopped')
    }
    const after = sample()
    expect(sum(after)).toBe(RAM * MIB)
    expect(after.memory.every(({ guestId }) => guestId === null)).toBe(true)
  })

  it('of a guest is charged to it by name, all that it has', () => {
    const stats = sample()
    const { allocator, scheduler } = test.engine.host.computer.kernel
    for (const [i, { guestId, lguest }] of [one, two].entries()) {
      const name = ['one', 'two'][i]
      const task = test.engine.guests.get(guestId).running?.task ?? 0
      const launcher = allocator.ownerPages(scheduler.task(task).owner) * 4096
      const hypervisor = allocator.ownerPages(lguest.s.owner) * 4096
      expect(stats.memory.filter((entry) => entry.guestId === guestId)).toEqual([
        { owner: name, guestId, bytes: launcher },
        { owner: `${name}: guest ${lguest.s.guestid}`, guestId, bytes: hypervisor },
      ])
      expect(stats.guests[i].memoryUsed).toBe(launcher + hypervisor)
      expect(launcher).toBeGreaterThan(256 * 1024)
      expect(hypervisor).toBeGreaterThan(8 * 4096)
    }
  })

  it('is charged to the guest that touches it', async () => {
    await test.quiet()
    const before = sample()
    one.console.type('selftest cow | cat\n')
    await one.console.until('$ ')
    await test.quiet()
    const after = sample()
    expect(after.guests[0].memoryUsed).toBeGreaterThan(before.guests[0].memoryUsed)
    expect(after.guests[1].memoryUsed).toBe(before.guests[1].memoryUsed)
  })
})

describe('the host', () => {
  it('says whose CPUs are, and who waits', async () => {
    await test.quiet()
    expect(sample().cpus.map(({ guestId }) => guestId)).toEqual([null, null])
    for (const pup of [one, two]) pup.console.type('loop 60 &\nloop 60 &\n')
    await one.console.until('$ ')
    await two.console.until('$ ')
    await pause()
    const { scheduler } = test.engine.host.computer.kernel
    const stats = sample()
    for (const [cpu, state] of stats.scheduler.entries()) {
      expect(state).toEqual({
        cpu,
        runQueue: scheduler.queueLength(cpu),
        contextSwitches: scheduler.percpu[cpu].context_switches,
        migrations: scheduler.percpu[cpu].migrations,
      })
    }
    // Both want to run: on two CPUs side by side, or one waits for the other.
    const running = stats.cpus.map(({ guestId }) => guestId).filter((guestId) => guestId !== null)
    expect(new Set(running).size).toBe(running.length)
    for (const [cpu, { guestId }] of stats.cpus.entries()) {
      const { world } = await test.front.request('inspect.cpu', { cpu })
      if (world.kind === 'guest') expect(world.guestId).toBe(guestId)
    }
  })

  it('has a guest on one CPU only, also after it has moved', async () => {
    one.console.type('loop 60 &\n')
    await one.console.until('$ ')
    const { guestId } = one
    for (const cpu of [1, 0, 1]) {
      await test.front.request('host.migrate', { guestId, cpu })
      await expect.poll(() => sample().cpus[cpu].guestId).toBe(guestId)
      await pause()
      const seen = sample().cpus.map((each) => each.guestId)
      expect(seen.filter((each) => each === guestId).length).toBeLessThanOrEqual(1)
      await resume()
    }
    expect(sample().scheduler.reduce((sum, { migrations }) => sum + migrations, 0)).toBeGreaterThanOrEqual(2)
  })

  it('says how it copies', async () => {
    expect(sample().copy).toBe('elide')
    await test.front.request('settings.set', { settings: { copy: 'always' } })
    one.console.type('uname\n')
    await one.console.until('$ ')
    expect(sample().copy).toBe('always')
    expect(sample().engineRss).toBeGreaterThan(RAM * MIB)
  })
})

describe('live figures', () => {
  it('keep the last minute of each guest, also of one that is off', () => {
    const machines = test.engine.guests.list()
    sample()
    const stats = sample()
    stats.guests = [{ ...stats.guests[0], switches: 12.6, cpuShare: 0.5, memoryUsed: 4096, cpu: 1 }]
    for (const machine of machines) machine.live = { cpuShare: 1, memoryUsed: 1, cpu: 0, activity: [] }
    for (let second = 0; second < 70; second++) updateLiveFigures(machines, stats)
    expect(machines[0].live).toEqual({
      cpuShare: 0.5,
      memoryUsed: 4096,
      cpu: 1,
      activity: Array<number>(60).fill(13),
    })
    expect(machines[1].live).toEqual({ cpuShare: 0, memoryUsed: 0, cpu: 0, activity: Array<number>(60).fill(0) })
  })
})

describe('a subscription', () => {
  it('sends samples until it is ended', async () => {
    await test.front.request('stats.subscribe', { hz: 10 })
    const { length } = test.front.events('stats')
    await expect.poll(() => test.front.events('stats').length).toBeGreaterThan(length + 1)
    await test.front.request('stats.subscribe', { hz: 0 })
    const after = test.front.events('stats').length
    await new Promise((resolve) => setTimeout(resolve, 250))
    expect(test.front.events('stats')).toHaveLength(after)
  })

  it('that is slower than any timer is slow, not fast', async () => {
    await test.front.request('stats.subscribe', { hz: 1e-9 })
    await test.front.request('inspect.subscribe', { cpu: 0, hz: 1e-9 })
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(test.front.events('stats')).toEqual([])
    expect(test.front.events('inspect')).toEqual([])
  })
})

it('of a guest whose launcher ends can be taken at any moment', async () => {
  const { engine } = test
  const busy = await Promise.all([test.pup('three'), test.pup('four'), test.pup('five')])
  for (const each of [two, ...busy]) each.console.type('loop 60 &\n')
  const machine = engine.guests.get(one.guestId)
  await test.front.request('host.migrate', { guestId: one.guestId, cpu: 0 })
  engine.host.pause()
  machine.running?.stop()
  // As little at a time as can be, until its end is told: its tasks wait for their turns behind those of the others.
  for (let n = 0; n < 100_000 && machine.running !== null; n++) {
    sample()
    engine.host.computer.runSlice(10)
  }
  expect(machine.state).toBe('stopped')
})

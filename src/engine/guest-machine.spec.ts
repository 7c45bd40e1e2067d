/** One guest's state machine, console and end; and, with a real engine, what happens when its actions cross. */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { GuestExit, RunningGuest } from '../emu/index.ts'
import { S_CR3 } from '../emu/layout/cpu-state.ts'
import { flushTlbAll } from '../emu/mmu/tlb.ts'
import { duplexPair } from '../shared/duplex.ts'
import { GUEST_ACTIONS, GUEST_STATES, GuestConfigSchema, NEXT_STATES, type GuestState } from '../shared/guest.ts'
import { builtinPup } from './builtin.ts'
import { Engine } from './engine.ts'
import { FileDisk } from './file-disk.ts'
import { GuestMachine } from './guest-machine.ts'
import { TestFront } from './testing/test-front.ts'

let machine: GuestMachine
let told: GuestState[]

beforeEach(() => {
  told = []
  const config = v.parse(GuestConfigSchema, { name: 'rex', kind: 'pup' })
  const record = { schema: 1 as const, id: 'rex-1', colour: 3, createdAt: '2026-01-01T00:00:00Z', config, files: [] }
  machine = new GuestMachine(record, 100, ({ state }) => told.push(state))
})
afterEach(() => machine.buffer.dispose())

/** The shortest way to a state. */
const WAY: Record<GuestState, GuestState[]> = {
  defined: [],
  starting: ['starting'],
  running: ['starting', 'running'],
  paused: ['starting', 'running', 'paused'],
  stopping: ['starting', 'running', 'stopping'],
  stopped: ['starting', 'stopped'],
  crashed: ['starting', 'crashed'],
}

function bring(state: GuestState): void {
  for (const step of WAY[state]) machine.setState(step)
  told.length = 0
}

/** What a guest that runs was told. */
function attachRunning(): { typed: Uint8Array[]; drained: number } {
  const seen = { typed: [] as Uint8Array[], drained: 0 }
  const running: Partial<RunningGuest> = {
    type: (bytes) => seen.typed.push(bytes),
    drained: () => seen.drained++,
  }
  machine.running = running as RunningGuest
  return seen
}

describe('the state', () => {
  const pairs = GUEST_STATES.flatMap((from) => GUEST_STATES.map((to) => [from, to] as const))

  it.each(pairs)('from %s to %s changes only where the drawing has an arrow', (from, to) => {
    bring(from)
    if (NEXT_STATES[from].includes(to)) {
      machine.setState(to, 'why')
      expect([machine.state, machine.reason, told]).toEqual([to, 'why', [to]])
    } else {
      expect(() => machine.setState(to, 'why')).toThrow(`“rex” is ${from}; it cannot become ${to}.`)
      expect([machine.state, machine.reason, told]).toEqual([from, null, []])
    }
  })

  it.each(GUEST_STATES)('%s says whether there is a launcher', (state) => {
    bring(state)
    expect(machine.alive).toBe(['starting', 'running', 'paused', 'stopping'].includes(state))
  })

  it('forgets the reason when it starts again, and knows since when it runs', () => {
    expect(machine.summary().startedAt).toBeNull()
    machine.setState('starting')
    machine.setState('crashed', 'bad trap')
    expect(machine.summary()).toMatchObject({ state: 'crashed', reason: 'bad trap' })
    machine.setState('starting')
    const { reason, startedAt } = machine.summary()
    expect(reason).toBeNull()
    expect(new Date(startedAt ?? '').toISOString()).toBe(startedAt)
  })

  it('of a guest that is over has no share of the host any more, but keeps its past', () => {
    bring('running')
    machine.live = { cpuShare: 0.5, memoryUsed: 4096, activity: [1, 2], cpu: 1 }
    machine.setState('paused')
    expect(machine.live.memoryUsed).toBe(4096)
    machine.setState('stopped')
    expect(machine.live).toEqual({ cpuShare: 0, memoryUsed: 0, activity: [1, 2], cpu: 1 })
  })
})

describe('the summary', () => {
  it('has record, state and figures, and is a copy', () => {
    bring('running')
    machine.live = { cpuShare: 0.25, memoryUsed: 8192, activity: [7], cpu: 1 }
    const summary = machine.summary()
    expect(summary).toEqual({
      id: 'rex-1',
      config: machine.record.config,
      state: 'running',
      reason: null,
      colour: 3,
      createdAt: '2026-01-01T00:00:00Z',
      startedAt: machine.startedAt,
      cpuShare: 0.25,
      memoryUsed: 8192,
      activity: [7],
      cpu: 1,
    })
    summary.activity.push(8)
    expect(machine.live.activity).toEqual([7])
  })
})

describe('waiting for a state', () => {
  it('ends at once where it holds, and else when it does', async () => {
    await machine.until(() => machine.state === 'defined')
    const order: string[] = []
    const waiting = machine.until(() => machine.state === 'running').then(() => order.push('there'))
    machine.setState('starting')
    await Promise.resolve()
    order.push('starting')
    machine.setState('running')
    await waiting
    expect(order).toEqual(['starting', 'there'])
  })

  it('is given up when it is cancelled', async () => {
    const abort = new AbortController()
    const waiting = machine.until(() => machine.state === 'running', abort.signal)
    machine.setState('starting')
    abort.abort()
    await expect(waiting).rejects.toThrow('It was cancelled.')
  })

  it('is given up at once when it was cancelled before', async () => {
    const abort = new AbortController()
    abort.abort()
    await expect(machine.until(() => machine.state === 'running', abort.signal)).rejects.toThrow('It was cancelled.')
    await machine.until(() => machine.state === 'defined', abort.signal)
  })
})

describe('the console', () => {
  it('takes keys only while somebody can read them, and keeps none', () => {
    machine.input(Uint8Array.of(1))
    const seen = attachRunning()
    const keys = Uint8Array.of(2, 3)
    machine.input(keys)
    keys.fill(0)
    expect(seen.typed).toEqual([Uint8Array.of(2, 3)])
  })

  it('lets the guest go on when there is room again', async () => {
    const seen = attachRunning()
    machine.buffer.write(new Uint8Array(1024 * 1024).fill(0x61))
    expect(machine.buffer.room()).toBe(0)
    await expect.poll(() => seen.drained).toBeGreaterThan(0)
    expect(machine.buffer.room()).toBe(1024 * 1024)
  })
})

describe('the end', () => {
  const ends: [GuestExit, GuestState, string | null, string][] = [
    [{ kind: 'poweroff', reason: 'powered off' }, 'stopped', null, 'rex powered off'],
    [{ kind: 'stopped', reason: 'stopped' }, 'stopped', 'turned off', 'rex was turned off'],
    [{ kind: 'killed', reason: 'bad hypercall 99' }, 'crashed', 'bad hypercall 99', 'rex was killed: bad hypercall 99'],
    [{ kind: 'crashed', reason: 'panic' }, 'crashed', 'panic', 'rex crashed: panic'],
  ]
  it.each(ends)('%j', async (exit, state, reason, line) => {
    bring('running')
    attachRunning()
    machine.ended(exit)
    expect([machine.state, machine.reason, machine.running, told]).toEqual([state, reason, null, [state]])
    expect(await machine.buffer.text()).toContain(`── ${line} ──`)
  })

  it('gives the disks back', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'kennel-disk-'))
    await writeFile(join(folder, 'disk.img'), Buffer.alloc(1024))
    const disk = new FileDisk(join(folder, 'disk.img'), false)
    machine.disks = [disk]
    bring('running')
    machine.ended({ kind: 'poweroff', reason: '' })
    expect(machine.disks).toEqual([])
    expect(() => disk.read(0, 512)).toThrow('EBADF')
    await rm(folder, { recursive: true })
  })
})

describe('actions that cross', () => {
  let home: string
  let engine: Engine
  let front: TestFront

  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'kennel-machine-'))
    engine = await Engine.start({ home, version: '0.0.0-test' })
    const [ours, theirs] = duplexPair()
    engine.connect(theirs)
    front = new TestFront(ours)
  })
  afterEach(async () => {
    await engine.shutdown()
    await rm(home, { recursive: true, force: true })
  })

  /** pup as a kernel of the user's: its files are really read. */
  async function kernelGuest(): Promise<string> {
    const { kernel, initrd } = builtinPup()
    await writeFile(join(home, 'pup.elf'), kernel.bytes)
    await writeFile(join(home, 'initrd'), initrd.bytes)
    const config = { name: 'rex', kind: 'kernel' as const, memory: 16 }
    const files = { kernel: join(home, 'pup.elf'), initrd: join(home, 'initrd') }
    return (await front.request('guests.create', { config: { ...config, ...files } })).guestId
  }

  it('turned off while it starts, it is off', async () => {
    const guestId = await kernelGuest()
    const start = await front.request('guests.act', { guestId, action: 'start' })
    expect(engine.guests.get(guestId).state).toBe('starting')
    const off = await front.request('guests.act', { guestId, action: 'forceOff' })
    expect((await engine.jobs.settled(start.id)).state).toBe('cancelled')
    expect((await engine.jobs.settled(off.id)).state).toBe('done')
    expect(engine.guests.get(guestId)).toMatchObject({ state: 'stopped', reason: 'turned off', running: null })
  })

  it('turned off while a start fails, both say what happened', async () => {
    const guestId = await kernelGuest()
    await rm(join(home, 'initrd'))
    const start = await front.request('guests.act', { guestId, action: 'start' })
    const off = await front.request('guests.act', { guestId, action: 'forceOff' })
    expect((await engine.jobs.settled(start.id)).state).toMatch(/failed|cancelled/)
    expect((await engine.jobs.settled(off.id)).state).toBe('done')
    expect(engine.guests.get(guestId).state).toBe('stopped')
  })

  it('the engine shut down while it starts, nothing is left', async () => {
    const guestId = await kernelGuest()
    const { id } = await front.request('guests.act', { guestId, action: 'start' })
    await engine.shutdown()
    await engine.jobs.settled(id)
    expect(engine.guests.get(guestId)).toMatchObject({ alive: false, running: null })
  })

  it('the host started again while it starts, it is off with the others', async () => {
    const guestId = await kernelGuest()
    const start = await front.request('guests.act', { guestId, action: 'start' })
    const restart = await front.request('host.restart', {})
    await engine.jobs.settled(start.id)
    expect((await engine.jobs.settled(restart.id)).state).toBe('done')
    expect(engine.guests.get(guestId)).toMatchObject({ state: 'stopped', running: null })
    expect(engine.host.hypervisor.allGuests()).toEqual([])
  })

  it('a stop that is cancelled leaves it running', async () => {
    const { guestId } = await front.request('guests.create', {
      config: { name: 'pup', kind: 'pup', memory: 16 },
      start: true,
    })
    const console = await front.openConsole(guestId)
    await console.until('$ ')
    // While it stands still it cannot obey.
    await front.request('guests.act', { guestId, action: 'pause' })
    await front.untilState(guestId, 'paused')
    const { id } = engine.guests.act(guestId, 'stop')
    expect(await engine.jobs.cancel(id)).toMatchObject({ state: 'cancelled' })
    expect(['running', 'stopped']).toContain(engine.guests.get(guestId).state)
  })
  it('the host breaking down ends what is in it, and a guest that starts comes into the next one', async () => {
    const config = { name: 'pup', kind: 'pup' as const, memory: 16 }
    const inside = (await front.request('guests.create', { config, start: true })).guestId
    const busy = await front.openConsole(inside)
    await busy.until('$ ')
    busy.type('loop 60 &\n')
    await busy.until('$ ')
    await front.request('debug.addBreakpoint', { spec: { kind: 'trap', trap: 200, scope: {} } })
    const starting = await kernelGuest()
    const { id } = await front.request('guests.act', { guestId: starting, action: 'start' })
    expect(engine.guests.get(starting).state).toBe('starting')
    // Without page tables there is no next instruction, and no handler for that.
    const broken = engine.host
    for (const cpu of broken.machine.cpus) {
      cpu.st[S_CR3] = 0
      flushTlbAll(cpu)
    }
    const crashed = await front.untilState(inside, 'crashed')
    expect(crashed.reason).toMatch(/^The emulated host stopped: CPU \d stopped by a triple fault/)
    await front.untilEvent('notice', ({ text }) => text === `${crashed.reason}. It was started again.`)
    expect(engine.host).not.toBe(broken)
    expect(front.events('breakpoints').at(-1)).toEqual([])
    expect(await front.request('debug.breakpoints', {})).toEqual([])
    expect((await engine.jobs.settled(id)).state).toBe('done')
    const console = await front.openConsole(starting)
    await console.until('$ ')
    await front.request('guests.act', { guestId: inside, action: 'start' })
    await front.untilState(inside, 'running')
  })

  it('started while it is being deleted, it is deleted', async () => {
    const guestId = await kernelGuest()
    const gone = front.request('guests.delete', { guestId })
    await expect(front.request('guests.act', { guestId, action: 'start' })).rejects.toThrow(
      '“rex” is being deleted. Wait until that is done.',
    )
    await gone
    expect(engine.guests.list()).toEqual([])
    expect(engine.host.hypervisor.allGuests()).toEqual([])
  })

  it.each(['guests.clone', 'guests.export'] as const)('started or deleted during %s, it waits', async (method) => {
    const guestId = await kernelGuest()
    const copying = await front.request(method, { guestId })
    await expect(front.request('guests.act', { guestId, action: 'start' })).rejects.toThrow(
      /is being (copied|exported)/,
    )
    await expect(front.request('guests.delete', { guestId })).rejects.toThrow(/is being (copied|exported)/)
    await front.done(copying)
    await front.request('guests.act', { guestId, action: 'start' })
    await front.untilState(guestId, 'running')
  })

  it.skipIf(process.platform === 'win32')(
    'whose kernel never ends, or never begins, can be started and is not',
    async () => {
      const endless = await front.request('guests.create', {
        config: { name: 'zero', kind: 'kernel', kernel: '/dev/zero', memory: 16 },
      })
      const fifo = join(home, 'fifo')
      execFileSync('mkfifo', [fifo])
      const silent = await front.request('guests.create', {
        config: { name: 'fifo', kind: 'kernel', kernel: fifo, memory: 16 },
      })
      for (const [guestId, kernel] of [[endless.guestId, '/dev/zero'] as const, [silent.guestId, fifo] as const]) {
        const job = await front.request('guests.act', { guestId, action: 'start' })
        await expect(front.done({ job })).rejects.toThrow(`The kernel file ${kernel} cannot be read.`)
      }
    },
  )

  it('two never write to one disk, whatever they call it and whatever their configuration says by now', async () => {
    const disk = join(home, 'disk.img')
    await writeFile(disk, Buffer.alloc(4096))
    await symlink(disk, join(home, 'alias.img'))
    const pup = { name: 'one', kind: 'pup' as const, memory: 16 }
    const one = await front.request('guests.create', { config: { ...pup, disks: [{ file: disk }] }, start: true })
    await front.untilState(one.guestId, 'running')
    // It has the disk open, also when it is to start without it the next time.
    await front.request('guests.update', { guestId: one.guestId, config: pup })
    const two = await front.request('guests.create', {
      config: { ...pup, name: 'two', disks: [{ file: join(home, 'alias.img'), readOnly: true }] },
    })
    const refused = front.request('guests.act', { guestId: two.guestId, action: 'start' })
    await expect(refused.then((job) => front.done({ job }))).rejects.toThrow('alias.img is in use by “one”')
    const twice = await front.request('guests.create', {
      config: { ...pup, name: 'three', disks: [{ file: join(home, 'own.img') }, { file: join(home, 'own.img') }] },
    })
    await writeFile(join(home, 'own.img'), Buffer.alloc(4096))
    const again = front.request('guests.act', { guestId: twice.guestId, action: 'start' })
    await expect(again.then((job) => front.done({ job }))).rejects.toThrow('own.img twice')
  })

  it('any actions in any order leave it in a state from which it can be started', async () => {
    const { guestId } = await front.request('guests.create', { config: { name: 'pup', kind: 'pup', memory: 16 } })
    const machine = engine.guests.get(guestId)
    let seed = 7
    const random = (below: number): number => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) % below
    const jobs: string[] = []
    for (let n = 0; n < 60; n++) {
      const action = GUEST_ACTIONS[random(GUEST_ACTIONS.length)]
      const act = front.request('guests.act', { guestId, action })
      jobs.push(...(await act.then(({ id }) => [id]).catch(() => [])))
      if (random(3) === 0) await new Promise((resolve) => setTimeout(resolve, random(20)))
    }
    await front.request('guests.act', { guestId, action: 'forceOff' }).catch(() => undefined)
    for (const id of jobs) expect((await engine.jobs.settled(id)).state).not.toBe('running')
    if (machine.alive) await front.done({ job: await front.request('guests.act', { guestId, action: 'forceOff' }) })
    expect(machine).toMatchObject({ alive: false, running: null, disks: [] })
    expect(engine.host.hypervisor.allGuests()).toEqual([])
    await front.done({ job: await front.request('guests.act', { guestId, action: 'start' }) })
    expect(machine.state).toBe('running')
  })
})

/** The engine as a front sees it: real computer, real pup, real library, a Duplex in memory. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { duplexPair } from '../shared/duplex.ts'
import { PROTOCOL_VERSION } from '../shared/protocol.ts'
import { TestFront } from './testing/test-front.ts'
import { Engine } from './engine.ts'

let home: string
let engine: Engine
let front: TestFront

async function connected(): Promise<TestFront> {
  const [ours, theirs] = duplexPair()
  engine.connect(theirs)
  const made = new TestFront(ours)
  await made.request('hello', { protocol: PROTOCOL_VERSION, front: 'test' })
  return made
}

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'kennel-engine-'))
  engine = await Engine.start({ home, version: '0.0.0-test' })
  front = await connected()
})
afterEach(async () => {
  await engine.shutdown()
  await rm(home, { recursive: true, force: true })
})

const pup = (name = 'pup') => ({ name, kind: 'pup' as const, memory: 16 })

describe('a guest', () => {
  it('is made, started, talked to, and powers off', async () => {
    const { guestId } = await front.request('guests.create', { config: pup(), start: true })
    const console = await front.openConsole(guestId)
    await console.until('$ ')
    console.type('echo one two | cat\n')
    await console.until('one two\r\n')
    expect((await front.request('guests.list', {})).guests[0]).toMatchObject({ state: 'running', reason: null })
    console.type('poweroff\n')
    await front.untilState(guestId, 'stopped')
    const states = front.events('guest').map((guest) => guest.state)
    expect([...new Set(states)]).toEqual(['defined', 'starting', 'running', 'stopped'])
    expect((await front.request('console.text', { guestId })).text).toContain('one two')
  })

  it('crashes with its reason, and starts again', async () => {
    const { guestId } = await front.request('guests.create', { config: pup(), start: true })
    const console = await front.openConsole(guestId)
    await console.until('$ ')
    console.type('crash hypercall\n')
    const crashed = await front.untilState(guestId, 'crashed')
    expect(crashed.reason).toMatch(/hypercall/)
    await front.untilEvent('notice', (notice) => notice.level === 'error' && notice.text.includes('hypercall'))
    await front.request('guests.act', { guestId, action: 'start' })
    await front.untilState(guestId, 'running')
  })

  it('pauses: it executes nothing until it is resumed', async () => {
    const { guestId } = await front.request('guests.create', { config: pup(), start: true })
    const console = await front.openConsole(guestId)
    await console.until('$ ')
    await front.request('guests.act', { guestId, action: 'pause' })
    await front.untilState(guestId, 'paused')
    console.type('echo awake\n')
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(console.text).not.toContain('awake')
    await front.request('guests.act', { guestId, action: 'resume' })
    await console.until('awake\r\n')
  })

  it('stops politely, and is turned off by force', async () => {
    const { guestId } = await front.request('guests.create', { config: pup(), start: true })
    const console = await front.openConsole(guestId)
    await console.until('$ ')
    await front.request('guests.act', { guestId, action: 'stop' })
    expect((await front.untilState(guestId, 'stopped')).reason).toBeNull()
    await front.request('guests.act', { guestId, action: 'start' })
    await front.untilState(guestId, 'running')
    await front.request('guests.act', { guestId, action: 'forceOff' })
    expect((await front.untilState(guestId, 'stopped')).reason).toBe('turned off')
  })

  it('restarts by itself when it asks for it', async () => {
    const { guestId } = await front.request('guests.create', { config: pup(), start: true })
    const console = await front.openConsole(guestId)
    await console.until('$ ')
    console.type('reboot\n')
    await console.until('restarts')
    await console.until('$ ')
    expect((await front.request('guests.list', {})).guests[0].state).toBe('running')
  })

  it('is refused what its state does not allow, in a sentence', async () => {
    const { guestId } = await front.request('guests.create', { config: pup() })
    await expect(front.request('guests.act', { guestId, action: 'pause' })).rejects.toThrow(
      '“pup” is defined: it cannot be paused now.',
    )
    await expect(front.request('guests.act', { guestId: 'nobody', action: 'start' })).rejects.toThrow('no guest')
  })

  it('with an unusable kernel fails its start with a sentence, and the rest goes on', async () => {
    const kernel = join(home, 'kernel.txt')
    await writeFile(kernel, 'this is no kernel at all')
    const { guestId } = await front.request('guests.create', {
      config: { name: 'mine', kind: 'kernel', kernel, memory: 16 },
      start: true,
    })
    const job = await front.untilEvent('job', (each) => each.guestId === guestId && each.state === 'failed')
    expect(job.error).toMatch(/kernel\.txt/)
    expect((await front.untilState(guestId, 'stopped')).reason).toBe(job.error)
    await rm(kernel)
    await front.request('guests.act', { guestId, action: 'start' })
    const gone = await front.untilEvent('job', (each) => each.state === 'failed' && each.id !== job.id)
    expect(gone.error).toMatch(/does not exist any more/)
  })
})

describe('the library', () => {
  it('clones, deletes with undo, and keeps everything over a restart', async () => {
    const { guestId } = await front.request('guests.create', { config: { ...pup(), notes: 'mine' } })
    const clone = await front.clone(guestId)
    await front.request('guests.delete', { guestId: clone })
    expect((await front.request('guests.list', {})).guests.map((each) => each.config.name)).toEqual(['pup'])
    await front.request('guests.undelete', { guestId: clone })
    await engine.shutdown()
    engine = await Engine.start({ home, version: '0.0.0-test' })
    front = await connected()
    const { guests } = await front.request('guests.list', {})
    expect(guests.map((each) => each.config.name)).toEqual(['pup', 'pup 2'])
    expect(guests[1].config.notes).toBe('mine')
  })

  it('takes uploaded files into the guest, and packs them for another Kennel', async () => {
    const file = await front.upload('data.img', Buffer.alloc(4096, 7))
    const { guestId } = await front.request('guests.create', {
      config: { ...pup(), disks: [{ file, readOnly: false }] },
    })
    const folder = join(home, 'library', guestId)
    expect((await readdir(folder)).sort()).toEqual(['data.img', 'guest.json'])
    const imported = await front.import(await front.export(guestId))
    const copy = await readFile(join(home, 'library', imported, 'data.img'))
    expect(copy.equals(Buffer.alloc(4096, 7))).toBe(true)
    await expect(front.upload('..', Buffer.alloc(1))).rejects.toThrow('not a plain file name')
    expect(await readdir(join(home, 'staging'))).toEqual([])
  })

  it('makes a new disk, and counts what the guest reads of it', async () => {
    const { guestId } = await front.request('guests.create', {
      config: { ...pup(), disks: [{ file: 'data.img', create: 2 }] },
      start: true,
    })
    const { guests } = await front.request('guests.list', {})
    expect(guests[0].config.disks).toEqual([{ file: 'data.img', readOnly: false }])
    const console = await front.openConsole(guestId)
    await console.until('$ ')
    await front.request('stats.subscribe', { hz: 10 })
    console.type('write note kept; sync; hexdump /dev/vda 0 65536 | wc\n')
    await front.untilEvent('stats', (stats) => stats.guests.some((each) => each.disk.written > 0))
    await console.until('$ ')
    await front.request('guests.act', { guestId, action: 'stop' })
    await front.untilState(guestId, 'stopped')
    const bytes = await readFile(join(home, 'library', guestId, 'data.img'))
    expect(bytes).toHaveLength(2 << 20)
    expect(bytes.includes('note')).toBe(true)
    await expect(
      front.request('guests.create', { config: { ...pup(), disks: [{ file: 'x.img', create: 1e6 }] } }),
    ).rejects.toThrow('at most 2048 MiB')
  })

  it('refuses two guests that write to one disk', async () => {
    const disk = join(home, 'shared.img')
    await writeFile(disk, Buffer.alloc(64 * 1024))
    const disks = [{ file: disk, readOnly: false }]
    const one = await front.request('guests.create', { config: { ...pup('one'), disks }, start: true })
    await front.untilState(one.guestId, 'running')
    const two = await front.request('guests.create', { config: { ...pup('two'), disks }, start: true })
    const job = await front.untilEvent('job', (each) => each.guestId === two.guestId && each.state === 'failed')
    expect(job.error).toContain('in use by “one”')
  })

  it('names a broken entry and lists the others', async () => {
    await front.request('guests.create', { config: pup() })
    await engine.shutdown()
    mkdirSync(join(home, 'library', 'broken-1'))
    writeFileSync(join(home, 'library', 'broken-1', 'guest.json'), '{ "schema": 1, ')
    engine = await Engine.start({ home, version: '0.0.0-test' })
    front = await connected()
    const { guests, quarantined } = await front.request('guests.list', {})
    expect(guests).toHaveLength(1)
    expect(quarantined).toEqual([{ folder: 'broken-1', problem: expect.stringContaining('not valid JSON') as string }])
  })
})

describe('the host', () => {
  it('pauses with everything in it, steps one instruction, and steps to a world switch', async () => {
    const { guestId } = await front.request('guests.create', { config: pup(), start: true })
    const console = await front.openConsole(guestId)
    await console.until('$ ')
    console.type('loop 60 &\n')
    await front.request('debug.pause', {})
    const before = await front.request('inspect.cpu', { cpu: 0 })
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(await front.request('inspect.cpu', { cpu: 0 })).toEqual(before)
    const info = await front.request('debug.stepSwitch', {})
    expect(info.paused).toBe(false)
    const stopped = await front.untilEvent('host', (host) => host.stop?.kind === 'switch')
    expect(stopped.stop).toMatchObject({ kind: 'switch', guestId })
    const { cpu } = stopped.stop as { cpu: number }
    const start = await front.request('inspect.cpu', { cpu })
    expect((await front.request('debug.step', { cpu })).stop).toEqual({ kind: 'step' })
    const after = await front.request('inspect.cpu', { cpu })
    expect(after.retired).toBe(start.retired + 1)
    expect(after.time).toBe(start.time)
    await expect(front.request('guests.act', { guestId, action: 'stop' })).rejects.toThrow('paused in the debugger')
    await front.request('debug.resume', {})
    await console.until('$ ')
  })

  it('stops at a hypercall of the guest, and knows its symbols', async () => {
    const { guestId } = await front.request('guests.create', { config: pup(), start: true })
    const console = await front.openConsole(guestId)
    await console.until('$ ')
    const { address } = await front.request('inspect.symbol', { guestId, name: 'trap_stubs' })
    expect(address).toBeGreaterThan(0xc0000000)
    const breakpoint = await front.request('debug.addBreakpoint', {
      spec: { kind: 'hypercall', number: 4, scope: { guestId } },
    })
    console.type('echo x | cat\n')
    const stopped = await front.untilEvent('host', (host) => host.stop?.kind === 'breakpoint')
    expect(stopped.stop).toMatchObject({ id: breakpoint.id, guestId, detail: 'hypercall 4' })
    await front.request('debug.removeBreakpoint', { breakpointId: breakpoint.id })
    await front.request('debug.resume', {})
    await console.until('x\r\n')
  })

  it('shows memory, page walks, tables and disassembly of a running guest', async () => {
    const { guestId } = await front.request('guests.create', { config: pup(), start: true })
    const console = await front.openConsole(guestId)
    await console.until('$ ')
    await front.request('debug.pause', {})
    const { address } = await front.request('inspect.symbol', { guestId, name: '_start' })
    const start = address as number
    const space = { kind: 'guestVirtual' as const, guestId }
    const lines = await front.request('inspect.disassemble', { space, address: start, count: 5 })
    expect(lines).toHaveLength(5)
    expect(lines[0]).toMatchObject({ address: start, symbol: '_start' })
    const memory = await front.request('inspect.memory', { space, address: start, length: 16 })
    expect(Buffer.from(memory.bytes, 'base64').toString('hex')).toContain(lines[0].bytes.replaceAll(' ', ''))
    const walk = await front.request('inspect.walk', { guestId, address: start })
    expect(walk.guest.result).toBe(start - 0xc0000000)
    const tables = await front.request('inspect.tables', { cpu: 0 })
    expect(tables.gdt.length).toBeGreaterThan(8)
    expect(tables.idt).toHaveLength(256)
    const timeline = await front.request('inspect.timeline', { since: 0, max: 10 })
    expect(timeline.events).toHaveLength(10)
    expect(timeline.events[0]).toMatchObject({ guestId })
  })

  it('changes the copy mode at once, and what is copied shows it', async () => {
    const { guestId } = await front.request('guests.create', { config: pup(), start: true })
    const console = await front.openConsole(guestId)
    await console.until('$ ')
    await front.request('stats.subscribe', { hz: 10 })
    // Two that compete: a lone one is never interrupted.
    console.type('loop 60 &\nloop 60 &\n')
    const elided = await front.untilEvent('stats', (stats) => stats.guests.some((each) => each.switches > 0))
    expect(elided.copy).toBe('elide')
    await front.request('settings.set', { settings: { copy: 'always' } })
    const always = await front.untilEvent(
      'stats',
      (stats) => stats.copy === 'always' && stats.cpus.some((cpu) => cpu.copiedBytes > 0),
    )
    expect(always.cpus.every((cpu) => cpu.elided === 0 || cpu.copiedBytes > 0)).toBe(true)
    expect(always.memory.find((each) => each.guestId === guestId)?.bytes).toBeGreaterThan(256 * 1024)
  })

  it('starts again with other settings, and says before that it must', async () => {
    const { guestId } = await front.request('guests.create', { config: pup(), start: true })
    await front.untilState(guestId, 'running')
    await front.request('settings.set', { settings: { cpus: 4 } })
    expect(await front.request('host.get', {})).toMatchObject({ cpus: 2, restartNeeded: true })
    await front.request('host.restart', {})
    await front.untilEvent('host', (host) => host.cpus === 4)
    expect((await front.request('guests.list', {})).guests[0].state).toBe('stopped')
    expect(await front.request('host.get', {})).toMatchObject({ cpus: 4, restartNeeded: false })
  })
})

describe('hostile messages', () => {
  it.each([
    ['no JSON', '{', 'not JSON'],
    ['no object', '[]', 'number “id”'],
    ['an unknown method', '{"id":1,"method":"guests.explode"}', 'no request'],
    ['a method of every object', '{"id":1,"method":"toString"}', 'no request'],
    ['a wrong parameter', '{"id":1,"method":"guests.act","params":{"guestId":7,"action":"start"}}', 'guestId'],
    ['one parameter too many', '{"id":1,"method":"guests.list","params":{"x":1}}', 'guests.list'],
    [
      'an address out of range',
      '{"id":1,"method":"inspect.memory","params":{"space":{"kind":"hostPhysical"},"address":-1,"length":4}}',
      'address',
    ],
    ['a CPU that is not there', '{"id":1,"method":"inspect.cpu","params":{"cpu":7}}', 'no CPU 7'],
    [
      'memory of a guest that is not there',
      '{"id":1,"method":"inspect.walk","params":{"guestId":"x","address":0}}',
      'not running',
    ],
  ])('%s is answered with an error', async (_, message, text) => {
    expect(await front.raw(message)).toContain(text)
    expect((await front.request('guests.list', {})).guests).toEqual([])
  })
})

it('a report says what happened, and not where or what is secret', async () => {
  const { guestId } = await front.request('guests.create', {
    config: {
      ...pup(),
      disks: [{ file: join(home, 'secret place', 'disk.img') }],
      notes: 'mine',
      append: 'db.password=hunter2',
    },
    start: true,
  })
  await front.untilState(guestId, 'stopped')
  const { text } = await front.request('diagnostics', {})
  expect(text).toContain('<kennel>/secret place/disk.img')
  expect(text).toContain('db.password=<hidden>')
  for (const hidden of [home, 'hunter2', 'mine']) expect(text).not.toContain(hidden)
})

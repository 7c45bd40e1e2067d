/** The engine as a process: with a small child that does what it is told, and with the real engine. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { packageRoot } from '../engine/builtin.ts'
import { connectLocal } from '../engine/local-socket.ts'
import { PROTOCOL_VERSION } from '../shared/protocol.ts'
import { TestFront } from '../engine/testing/test-front.ts'
import type { Duplex, Frame } from '../shared/duplex.ts'
import { EngineProcess } from './engine-process.ts'

/** Speaks process-channel.ts's messages: answers frames with themselves, and obeys a few words. */
const CHILD = `
const post = (message) => process.send(message)
process.on('message', (message) => {
  if (message.type === 'ping') post({ type: 'pong', sequence: message.sequence })
  if (message.type === 'shutdown' && process.env.STUBBORN !== 'yes') process.exit(0)
  if (message.type !== 'data') return
  const { connection, frame } = message
  if (frame === 'die') process.exit(7)
  if (frame === 'env') return post({ type: 'data', connection, frame: process.env.WORD ?? 'none' })
  if (frame === 'nonsense') {
    for (const each of [null, 7, 'text', { no: 'type' }, { type: 9 }, { type: 'unheard of' }]) post(each)
    post({ type: 'data', connection: 999, frame: 'for nobody' })
    post({ type: 'close', connection: 999 })
  }
  if (frame === 'close') return post({ type: 'close', connection })
  post({ type: 'data', connection, frame })
})
process.on('disconnect', () => process.exit(0))
if (process.env.FAIL === 'yes') process.exit(5)
post({ type: 'ready' })
`

let folder: string
let engine: EngineProcess
let deaths: string[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kennel-process-'))
  await writeFile(join(folder, 'child.mjs'), CHILD)
  deaths = []
})
afterEach(async () => {
  vi.useRealTimers()
  await engine.stop(0)
  await rm(folder, { recursive: true, force: true })
})

function made(env: NodeJS.ProcessEnv = {}, entry = join(folder, 'child.mjs'), execPath?: string): EngineProcess {
  engine = new EngineProcess({
    entry,
    env: { ...process.env, ...env },
    ...(execPath === undefined ? {} : { execPath }),
  })
  engine.onDeath = (reason) => deaths.push(reason)
  return engine
}

const next = (duplex: Duplex): Promise<Frame> => new Promise((resolve) => duplex.onMessage(resolve))
const closing = (duplex: Duplex): Promise<void> => new Promise((resolve) => duplex.onClose(resolve))
const pid = (): number => {
  if (engine.pid === undefined) throw new Error('there is no process')
  return engine.pid
}
/** Whether a process is there. */
function lives(process_: number): boolean {
  try {
    return process.kill(process_, 0)
  } catch {
    return false
  }
}

describe('a child that says it is ready', () => {
  it('is started once, and carries connections both ways', async () => {
    made({ WORD: 'wuff' })
    expect(engine.alive).toBe(false)
    const started = engine.start()
    const first = pid()
    await Promise.all([started, engine.start()])
    expect([engine.alive, pid()]).toEqual([true, first])
    const [one, two] = [engine.connect(), engine.connect()]
    const heard: [string, Frame][] = []
    one.onMessage((frame) => heard.push(['one', frame]))
    two.onMessage((frame) => heard.push(['two', frame]))
    one.send('env')
    two.send(Uint8Array.of(1, 2, 255))
    one.send('grüße')
    await expect.poll(() => heard.length).toBe(3)
    expect(heard).toEqual([
      ['one', 'wuff'],
      ['two', Uint8Array.of(1, 2, 255)],
      ['one', 'grüße'],
    ])
  })

  it('can be connected to before it is ready', async () => {
    made()
    void engine.start()
    const early = engine.connect()
    early.send('first')
    expect(await next(early)).toBe('first')
  })

  it('loses one connection without the others', async () => {
    await made().start()
    const [one, two] = [engine.connect(), engine.connect()]
    const gone = closing(one)
    one.send('close')
    await gone
    one.send('late')
    two.send('I stay')
    expect(await next(two)).toBe('I stay')
    two.close()
  })

  it('may send nonsense, which reaches nobody', async () => {
    await made().start()
    const one = engine.connect()
    const answer = next(one)
    one.send('nonsense')
    expect(await answer).toBe('nonsense')
    expect(deaths).toEqual([])
  })

  it('stops when it is asked, which is no death', async () => {
    await made().start()
    const process_ = pid()
    const gone = closing(engine.connect())
    await engine.stop()
    await gone
    expect([engine.alive, engine.pid, lives(process_), deaths]).toEqual([false, undefined, false, []])
    await engine.stop()
  })

  it('is ended when it does not stop', async () => {
    await made({ STUBBORN: 'yes' }).start()
    const process_ = pid()
    await engine.stop(50)
    expect([engine.alive, lives(process_), deaths]).toEqual([false, false, []])
  })

  it('is left alone by a restart while it answers', async () => {
    await made().start()
    const before = pid()
    await engine.restart()
    expect(pid()).toBe(before)
  })

  it('is replaced at once by a restart when it does not answer', async () => {
    await made().start()
    const before = pid()
    const silent = new Promise<void>((resolve) => (engine.onResponsive = (responsive) => !responsive && resolve()))
    process.kill(before, 'SIGSTOP')
    await silent
    const gone = closing(engine.connect())
    await engine.restart()
    await gone
    expect([pid() === before, lives(before), deaths]).toEqual([false, false, ['it did not answer']])
    const one = engine.connect()
    one.send('again')
    expect(await next(one)).toBe('again')
  })
})

describe('a child that dies', () => {
  it('by a signal is noticed and reported, and its connections are closed', async () => {
    await made().start()
    const gone = [closing(engine.connect()), closing(engine.connect())]
    process.kill(pid(), 'SIGKILL')
    await Promise.all(gone)
    expect(deaths).toEqual(['it was ended by SIGKILL'])
    expect([engine.alive, engine.pid]).toEqual([false, undefined])
    // Nobody is there to connect to.
    const dead = engine.connect()
    const closed = closing(dead)
    dead.send('anybody?')
    await closed
    await engine.start()
    const one = engine.connect()
    one.send('new')
    expect(await next(one)).toBe('new')
  })

  it('by itself is reported with its status', async () => {
    await made().start()
    const one = engine.connect()
    const gone = closing(one)
    one.send('die')
    await gone
    expect(deaths).toEqual(['it ended with status 7'])
  })

  it('while it is being written to hurts nobody', async () => {
    await made().start()
    const one = engine.connect()
    process.kill(pid(), 'SIGKILL')
    for (let n = 0; engine.alive; n++) {
      one.send(new Uint8Array(65536))
      engine.connect()
      if (n % 10 === 9) await new Promise((resolve) => setImmediate(resolve))
    }
    expect(deaths).toEqual(['it was ended by SIGKILL'])
  })

  it('before it is ready could not start, and says why', async () => {
    await expect(made({ FAIL: 'yes' }).start()).rejects.toThrow('The engine could not start: it ended with status 5.')
    expect(engine.alive).toBe(false)
  })

  it('before it began could not start either, and can be started again', async () => {
    made({}, join(folder, 'child.mjs'), join(folder, 'no-node'))
    for (let n = 1; n <= 2; n++) {
      await expect(engine.start()).rejects.toThrow('ENOENT')
      expect([engine.alive, engine.pid]).toEqual([false, undefined])
      await closing(engine.connect())
      await engine.stop()
    }
    engine.start().catch(() => undefined)
    await engine.stop()
    expect(engine.alive).toBe(false)
  })
})

describe('a child that hangs', () => {
  it('is noticed, and noticed when it answers again', async () => {
    await made().start()
    const told: boolean[] = []
    let wake: () => void = () => {}
    engine.onResponsive = (responsive) => {
      told.push(responsive)
      wake()
    }
    const change = (): Promise<void> => new Promise((resolve) => (wake = resolve))
    let changed = change()
    process.kill(pid(), 'SIGSTOP')
    await changed
    expect([told, engine.alive, deaths]).toEqual([[false], true, []])
    changed = change()
    process.kill(pid(), 'SIGCONT')
    await changed
    expect(told).toEqual([false, true])
  })

  it('is noticed at the fourth beat, within a second, and ended after forty', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    await made().start()
    const told: [number, boolean][] = []
    let beat = 0
    engine.onResponsive = (responsive) => told.push([beat, responsive])
    const beats = (count: number): void => {
      for (let n = 0; n < count; n++) {
        beat++
        vi.advanceTimersByTime(250)
      }
    }
    const process_ = pid()
    process.kill(process_, 'SIGSTOP')
    beats(3)
    expect(told).toEqual([])
    beats(1)
    expect(told).toEqual([[4, false]])
    beats(37)
    expect(engine.alive).toBe(true)
    const gone = closing(engine.connect())
    beats(1)
    await gone
    expect(deaths).toEqual(['it did not answer for 10 seconds'])
    expect(lives(process_)).toBe(false)
    // The next one answers.
    await engine.start()
    beats(1)
    expect(told.map(([, responsive]) => responsive)).toEqual([false, true])
  })
})

describe('the real engine', () => {
  const root = packageRoot()
  const entry = join(root, 'out', 'engine', `entry-spec-${process.pid}.mjs`)
  let home: string
  let direct: ChildProcess | null = null

  beforeAll(() =>
    build({
      entryPoints: [join(root, 'src', 'engine', 'entry.ts')],
      outfile: entry,
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      packages: 'external',
      logLevel: 'error',
    }),
  )
  afterAll(() => rm(entry, { force: true }))
  beforeEach(() => (home = join(folder, 'home')))
  afterEach(() => {
    direct?.kill('SIGKILL')
    direct = null
  })

  const start = async (): Promise<void> => made({ KENNEL_HOME: home }, entry).start()
  async function front(): Promise<TestFront> {
    const connected = new TestFront(engine.connect())
    await connected.request('hello', { protocol: PROTOCOL_VERSION, front: 'test' })
    return connected
  }
  async function pup(one: TestFront): Promise<string> {
    const config = { name: 'pup', kind: 'pup' as const, memory: 16 }
    const { guestId } = await one.request('guests.create', { config, start: true })
    const console = await one.openConsole(guestId)
    await console.until('$ ')
    console.type('echo through a process\n')
    await console.until('through a process\r\n')
    return guestId
  }
  /** The engine without EngineProcess: its raw channel. */
  async function forked(): Promise<ChildProcess> {
    made()
    direct = fork(entry, [], { env: { ...process.env, KENNEL_HOME: home }, serialization: 'advanced' })
    await once(direct, 'message')
    return direct
  }

  it('runs a guest, whose console comes through', async () => {
    await start()
    const one = await front()
    const guestId = await pup(one)
    const second = await front()
    expect((await second.request('guests.list', {})).guests).toMatchObject([{ id: guestId, state: 'running' }])
  })

  it('that was killed is started again with the same library', async () => {
    await start()
    const one = await front()
    const { engineId } = await one.request('hello', { protocol: PROTOCOL_VERSION, front: 'test' })
    const guestId = await pup(one)
    const gone = closing(engine.connect())
    process.kill(pid(), 'SIGKILL')
    await gone
    expect(deaths).toEqual(['it was ended by SIGKILL'])
    // The socket it left behind is in nobody's way.
    expect(existsSync(join(home, 'kennel.sock'))).toBe(true)
    await engine.start()
    const again = new TestFront(engine.connect())
    expect((await again.request('hello', { protocol: PROTOCOL_VERSION, front: 'test' })).engineId).not.toBe(engineId)
    const { guests } = await again.request('guests.list', {})
    expect(guests).toMatchObject([{ id: guestId, state: 'defined' }])
    await again.request('guests.act', { guestId, action: 'start' })
    await again.untilState(guestId, 'running')
  })

  it('ends by itself when it is asked, with a guest running and a console open on the local socket', async () => {
    await start()
    await pup(await front())
    const socket = join(home, 'kennel.sock')
    const local = await connectLocal(socket)
    if (local === null) throw new Error('nobody answers')
    expect(await new TestFront(local).request('guests.list', {})).toMatchObject({ guests: [{ state: 'running' }] })
    const process_ = pid()
    const status = new Promise<void>((resolve) => local.onClose(resolve))
    await engine.stop(60_000)
    await status
    expect([lives(process_), existsSync(socket), deaths]).toEqual([false, false, []])
  })

  it('is one for a home', async () => {
    await start()
    const first = engine
    await expect(made({ KENNEL_HOME: home }, entry).start()).rejects.toThrow(
      'The engine could not start: another Kennel, perhaps “kennel serve”, has your guests open.',
    )
    engine = first
    expect((await (await front()).request('guests.list', {})).guests).toEqual([])
  })

  it('says why it could not start', async () => {
    await writeFile(home, 'a file where the folder should be')
    await expect(start()).rejects.toThrow(/The engine could not start: .*(EEXIST|ENOTDIR)/)
  })

  it('ends with its parent', async () => {
    const child = await forked()
    child.disconnect()
    expect(await once(child, 'exit')).toEqual([0, null])
    expect(existsSync(join(home, 'kennel.sock'))).toBe(false)
  })

  it('ends at SIGTERM, and leaves ^C to its parent', async () => {
    const child = await forked()
    child.kill('SIGINT')
    child.send({ type: 'ping', sequence: 1 })
    expect((await once(child, 'message'))[0]).toEqual({ type: 'pong', sequence: 1 })
    child.kill('SIGTERM')
    expect(await once(child, 'exit')).toEqual([0, null])
  })

  it('is not disturbed by what it does not know', async () => {
    const child = await forked()
    for (const message of [7, 'text', [], { type: 'ready' }, { type: 'nothing' }, { type: 7 }]) child.send(message)
    child.send({ type: 'data', connection: 9, frame: 'for nobody' })
    child.send({ type: 'close', connection: 9 })
    child.send({ type: 'ping', sequence: 5 })
    expect((await once(child, 'message'))[0]).toEqual({ type: 'pong', sequence: 5 })
  })
})

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Engine, ENGINE_SERVICE, HEARTBEAT_MS } from './engine.ts'
import { FakeElectron } from './testing/fake-electron.ts'

let fake: FakeElectron
let engine: Engine
let lines: string[]
let killed: number[]
let deaths: string[]
let responsive: boolean[]

beforeEach(() => {
  vi.useFakeTimers()
  fake = new FakeElectron('/nowhere')
  lines = []
  killed = []
  deaths = []
  responsive = []
  engine = new Engine(fake.module, {
    entry: '/app/out/main/engine.js',
    log: { write: (level, text) => lines.push(`${level} ${text}`) },
    killHard: (pid) => {
      killed.push(pid)
      fake.engines.at(-1)?.exit(9)
    },
  })
  engine.onDeath = (reason) => deaths.push(reason)
  engine.onResponsive = (now) => responsive.push(now)
})
afterEach(() => {
  vi.useRealTimers()
})

/** The engine that runs, with a process number as real ones have. */
async function started(): Promise<FakeElectron['engines'][number]> {
  await engine.start()
  const process = fake.engines[fake.engines.length - 1]
  process.pid = 4711
  return process
}

describe('starting', () => {
  it('forks the engine’s file once, under its name, and waits until it is ready', async () => {
    const first = engine.start()
    expect(engine.start()).toBe(first)
    await first
    expect(fake.engines).toHaveLength(1)
    expect(fake.engines[0].entry).toBe('/app/out/main/engine.js')
    expect(fake.engines[0].options.serviceName).toBe(ENGINE_SERVICE)
    expect(engine.alive).toBe(true)
  })

  it('fails with the status when the process ends before it is ready; that is not a death', async () => {
    fake.engineHabits.ready = false
    const start = engine.start()
    fake.engines[0].exit(1)
    await expect(start).rejects.toThrow('The engine could not start: it ended with status 1.')
    expect(deaths).toEqual([])
    expect(engine.alive).toBe(false)
    fake.engineHabits.ready = true
    await engine.start()
    expect(engine.alive).toBe(true)
  })

  it('names the other Kennel that has the guests', async () => {
    fake.engineHabits.ready = false
    const start = engine.start()
    fake.engines[0].exit(3)
    await expect(start).rejects.toThrow('another Kennel, perhaps “kennel serve”, has your guests open')
  })

  it('gives up on an engine that is not ready after 30 seconds', async () => {
    fake.engineHabits.ready = false
    const start = engine.start()
    fake.engines[0].pid = 4711
    vi.advanceTimersByTime(29_999)
    expect(killed).toEqual([])
    vi.advanceTimersByTime(1)
    expect(killed).toEqual([4711])
    await expect(start).rejects.toThrow('The engine could not start: it did not start within 30 seconds.')
  })

  it('keeps what the engine says on its way down in the log', async () => {
    const process = await started()
    process.stderr.emit('data', Buffer.from('RangeError: out of range'))
    expect(lines).toEqual(['warn engine: RangeError: out of range'])
  })
})

describe('connections', () => {
  it('give one end of a channel to the engine and the other to the caller', async () => {
    const process = await started()
    const mine = engine.connect()
    const other = engine.connect()
    expect(process.received.map(({ message }) => message)).toEqual([
      { type: 'open', connection: 1 },
      { type: 'open', connection: 2 },
    ])
    expect(process.ports).toHaveLength(2)
    expect(new Set<unknown>([...process.ports, mine, other]).size).toBe(4)
  })
})

describe('the heartbeat', () => {
  it('pings four times a second, and is content with answers', async () => {
    const process = await started()
    vi.advanceTimersByTime(60_000)
    const pings = process.received.filter(({ message }) => message.type === 'ping')
    expect(pings).toHaveLength(60_000 / HEARTBEAT_MS)
    expect(pings[1].message).toEqual({ type: 'ping', sequence: 1 })
    expect(responsive).toEqual([])
    expect(process.running).toBe(true)
  })

  it('notices within a second that there is no answer, and when there is one again', async () => {
    const process = await started()
    vi.advanceTimersByTime(HEARTBEAT_MS)
    process.habits.answers = false
    vi.advanceTimersByTime(HEARTBEAT_MS * 3)
    expect(responsive).toEqual([])
    vi.advanceTimersByTime(HEARTBEAT_MS)
    expect(responsive).toEqual([false])
    expect(engine.responsive).toBe(false)
    process.habits.answers = true
    vi.advanceTimersByTime(HEARTBEAT_MS)
    expect(responsive).toEqual([false, true])
    expect(killed).toEqual([])
  })

  it('ends an engine that hangs for ten seconds, and says so', async () => {
    const process = await started()
    process.habits.answers = false
    vi.advanceTimersByTime(10_000)
    expect(killed).toEqual([])
    vi.advanceTimersByTime(HEARTBEAT_MS)
    expect(killed).toEqual([4711])
    expect(deaths).toEqual(['it did not answer for 10 seconds'])
    expect(lines.at(-1)).toBe('error The engine stopped: it did not answer for 10 seconds.')
    vi.advanceTimersByTime(60_000)
    expect(killed).toHaveLength(1)
  })

  it('does not take a computer that slept for an engine that hangs', async () => {
    const process = await started()
    vi.setSystemTime(Date.now() + 8 * 3600_000)
    vi.advanceTimersByTime(HEARTBEAT_MS * 2)
    expect(process.running).toBe(true)
    expect(responsive).toEqual([])
  })

  it('ends politely an engine whose number is unknown', async () => {
    const process = await started()
    process.pid = undefined
    process.habits.answers = false
    vi.advanceTimersByTime(10_250)
    expect([process.killed, killed]).toEqual([true, []])
  })
})

describe('death', () => {
  it('is noticed with its status, and the next start makes a new engine', async () => {
    const process = await started()
    process.exit(139)
    expect(deaths).toEqual(['it ended with status 139'])
    expect(engine.alive).toBe(false)
    const generation = engine.generation
    await engine.start()
    expect(fake.engines).toHaveLength(2)
    expect(engine.generation).toBe(generation + 1)
    expect(responsive).toEqual([])
  })

  it('is explained by whoever knows more, and the first to know is believed', async () => {
    const process = await started()
    engine.explain('it ran out of memory')
    engine.explain('it crashed')
    process.exit(5)
    expect(deaths).toEqual(['it ran out of memory'])
    await engine.start()
    fake.engines[1].exit(1)
    expect(deaths[1]).toBe('it ended with status 1')
  })

  it('by an error of V8 says where', async () => {
    const process = await started()
    process.emit('error', 'FatalError', 'v8::ToLocalChecked', '{}')
    process.exit(133)
    expect(deaths).toEqual(['it met a FatalError in v8::ToLocalChecked'])
  })

  it('of an engine before is no death of the one after it', async () => {
    const first = await started()
    first.exit(1)
    await started()
    first.emit('exit', 1)
    first.emit('message', { type: 'pong', sequence: 1 })
    expect(deaths).toHaveLength(1)
    expect(engine.alive).toBe(true)
  })
})

describe('restarting', () => {
  it('leaves an engine that works alone', async () => {
    const process = await started()
    await engine.restart()
    expect(process.running).toBe(true)
    expect(fake.engines).toHaveLength(1)
  })

  it('replaces one that does not answer', async () => {
    const process = await started()
    process.habits.answers = false
    vi.advanceTimersByTime(HEARTBEAT_MS * 5)
    expect(engine.responsive).toBe(false)
    await engine.restart()
    expect(killed).toEqual([4711])
    expect(deaths).toEqual(['it did not answer'])
    expect(fake.engines).toHaveLength(2)
    expect([engine.alive, engine.responsive]).toEqual([true, true])
  })
})

describe('stopping', () => {
  it('asks the engine, waits for its end, and takes it for no death', async () => {
    const process = await started()
    await engine.stop()
    expect(process.received.at(-1)?.message).toEqual({ type: 'shutdown' })
    expect(killed).toEqual([])
    expect(deaths).toEqual([])
    expect(engine.alive).toBe(false)
    await engine.stop()
  })

  it('ends one that does not listen, after five seconds', async () => {
    const process = await started()
    process.habits.obeys = false
    const stopped = engine.stop()
    vi.advanceTimersByTime(4_999)
    expect(killed).toEqual([])
    vi.advanceTimersByTime(1)
    await stopped
    expect(killed).toEqual([4711])
    expect(deaths).toEqual([])
    expect(lines.at(-1)).toBe('info The engine stopped: it did not finish when asked to.')
  })
})

/** The protocol from its dark side: what a front may send that no front of ours would. */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { duplexPair, type Duplex } from '../shared/duplex.ts'
import { CONSOLE_WINDOW, encodeCredit, encodeFrame, FRAME_INPUT, FRAME_OUTPUT } from '../shared/frames.ts'
import { PROTOCOL_VERSION, REQUEST_PARAMS, type Method, type Params, type ProtocolError } from '../shared/protocol.ts'
import { TestEngine, type TestPup } from './testing/test-engine.ts'

const MESSAGES = 2000

let test: TestEngine
let pup: TestPup

beforeEach(async () => {
  test = await TestEngine.start({ cpus: 2, hostRam: 64 })
  pup = await test.pup()
})
afterEach(() => test.dispose())

interface Answer {
  id?: unknown
  result?: unknown
  error?: ProtocolError
}

/** A connection with nothing between it and the engine. */
class Wire {
  readonly answers: Answer[] = []
  private readonly duplex: Duplex
  private waiter: () => void = () => {}

  constructor() {
    const [ours, theirs] = duplexPair()
    test.engine.connect(theirs)
    this.duplex = ours
    ours.onMessage((frame) => {
      if (typeof frame !== 'string') return
      const message = JSON.parse(frame) as Answer & { event?: string }
      if (message.event !== undefined) return
      this.answers.push(message)
      this.waiter()
    })
  }

  /** Sends anything; the one answer to it. */
  async ask(text: string): Promise<Answer> {
    const before = this.answers.length
    const answered = new Promise<void>((resolve) => (this.waiter = resolve))
    this.duplex.send(text)
    await answered
    expect(this.answers).toHaveLength(before + 1)
    return this.answers[before]
  }

  send(frame: string | Uint8Array): void {
    this.duplex.send(frame)
  }
  close(): void {
    this.duplex.close()
  }
}

/** The same numbers in each run. */
function generator(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

/** One good request of each kind. */
function examples(guestId: string): { [M in Method]: Params<M> } {
  const config = { name: 'rex', kind: 'pup' as const, memory: 16, disks: [{ file: 'disk.img' }], tags: ['a'] }
  return {
    hello: { protocol: PROTOCOL_VERSION, front: 'test' },
    'settings.get': {},
    'settings.set': { settings: { cpus: 3, theme: 'dark' } },
    'guests.list': {},
    'guests.create': { config, start: false },
    'guests.update': { guestId, config },
    'guests.clone': { guestId, name: 'other' },
    'guests.delete': { guestId },
    'guests.undelete': { guestId },
    'guests.act': { guestId, action: 'forceOff' },
    'guests.export': { guestId },
    'guests.import': { name: 'other', file: '/nowhere/rex.kennel' },
    'files.begin': { name: 'disk.img' },
    'files.append': { upload: 'upload-1', data: 'AAAA' },
    'files.finish': { upload: 'upload-1' },
    'files.cancel': { upload: 'upload-1' },
    'files.read': { download: 'download-1', offset: 0 },
    'files.release': { download: 'download-1' },
    'trash.list': {},
    'trash.empty': {},
    'jobs.list': {},
    'jobs.wait': { jobId: 'job-1' },
    'jobs.cancel': { jobId: 'job-1' },
    'console.attach': { guestId },
    'console.detach': { channel: 1 },
    'console.clear': { guestId },
    'console.text': { guestId },
    'console.log': { guestId, enabled: false },
    'host.get': {},
    'host.restart': {},
    'host.migrate': { guestId, cpu: 1 },
    'stats.subscribe': { hz: 5 },
    'inspect.subscribe': { cpu: 0, hz: 5 },
    'inspect.cpu': { cpu: 1 },
    'inspect.tables': { cpu: 1 },
    'inspect.memory': { space: { kind: 'guestVirtual', guestId }, address: 0xc0100000, length: 4096 },
    'inspect.disassemble': { space: { kind: 'cpuVirtual', cpu: 0 }, address: 0xc0100000, count: 20 },
    'inspect.walk': { guestId, address: 0xc0100000 },
    'inspect.symbol': { guestId, name: '_start' },
    'inspect.timeline': { since: 0, max: 100 },
    'debug.pause': {},
    'debug.resume': {},
    'debug.step': { cpu: 0, count: 10 },
    'debug.stepSwitch': { cpu: 0 },
    'debug.runTo': { cpu: 0, address: 0xc0100000 },
    'debug.breakpoints': {},
    'debug.addBreakpoint': { spec: { kind: 'trap', trap: 14, scope: { cpu: 0, guestId } } },
    'debug.setBreakpoint': { breakpointId: 1, enabled: false },
    'debug.removeBreakpoint': { breakpointId: 1 },
    'logs.get': { max: 10 },
    diagnostics: {},
  }
}

/** Requests that do something to library, settings or guests when they are right. */
const CHANGING = /^(guests\.(create|update|clone|delete|undelete|act|import)|settings\.set|host\.restart|trash\.empty)$/

const HOSTILE: unknown[] = [
  null,
  true,
  -1,
  0,
  0.5,
  1e308,
  -1e308,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  1e-320,
  '',
  ' ',
  '0',
  'x'.repeat(5000),
  '../../etc/passwd',
  '/',
  'nul\0',
  '__proto__',
  'constructor',
  'toString',
  '\ud800',
  '\u202e',
  [],
  [[[[[[]]]]]],
  {},
  { __proto__: null, length: -1 },
  { kind: 'hostPhysical' },
]

type Json = Record<string, unknown>

/** A message that begins as a good one and is spoilt. */
function spoilt(random: (below: number) => number, good: [Method, unknown][]): string {
  const pick = <T>(list: readonly T[]): T => list[random(list.length)]
  const [method, params] = pick(good)
  const message = JSON.parse(JSON.stringify({ id: 1 + random(1000), method, params })) as Json
  const text = JSON.stringify(message)
  /** Some object inside, the message itself included. */
  const inside = (): Json => {
    let at = message
    for (let depth = random(4); depth > 0; depth--) {
      const deeper = Object.values(at).filter((value) => typeof value === 'object' && value !== null)
      if (deeper.length === 0) break
      at = pick(deeper) as Json
    }
    return at
  }
  switch (random(9)) {
    case 0:
      return Array.from({ length: random(200) }, () => String.fromCharCode(random(0x10000))).join('')
    case 1:
      return JSON.stringify(pick(HOSTILE))
    case 2:
      return text.slice(0, random(text.length))
    case 3: {
      const at = random(text.length)
      return text.slice(0, at) + String.fromCharCode(random(128)) + text.slice(at + 1)
    }
    case 4: {
      const place = inside()
      Reflect.deleteProperty(place, pick(Object.keys(place)))
      return JSON.stringify(message)
    }
    case 5: {
      const place = inside()
      place[pick(['x', 'id', 'cpu', 'guestId', 'size', 'constructor', 'kind'])] = pick(HOSTILE)
      return JSON.stringify(message)
    }
    case 6:
      message['params'] = pick(good)[1]
      return JSON.stringify(message)
    case 7:
      // A key that only JSON can make.
      return text.replace(/\{/, '{"__proto__":{"id":7,"method":"guests.delete"},')
    default: {
      const place = inside()
      place[pick(Object.keys(place))] = pick(HOSTILE)
      return JSON.stringify(message)
    }
  }
}

/** The request in a message, if it is one that the engine must answer with a result or a reason. */
function requestIn(text: string): { method: Method; params: Json } | null {
  let message: unknown
  try {
    message = JSON.parse(text)
  } catch {
    return null
  }
  if (typeof message !== 'object' || message === null) return null
  const { id, method, params } = message as Json
  if (!Number.isSafeInteger(id) || typeof method !== 'string' || !Object.keys(REQUEST_PARAMS).includes(method)) {
    return null
  }
  const checked = v.safeParse(REQUEST_PARAMS[method as Method], params ?? {})
  return checked.success ? { method: method as Method, params: checked.output as Json } : null
}

/** All that Kennel keeps: names and contents. */
async function kept(): Promise<string> {
  const hash = createHash('sha256')
  const add = async (folder: string): Promise<void> => {
    for (const entry of (await readdir(folder, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(folder, entry.name)
      hash.update(path)
      if (entry.isDirectory()) await add(path)
      else hash.update(await readFile(path))
    }
  }
  for (const folder of ['library', 'trash']) await add(join(test.home, folder))
  hash.update(await readFile(join(test.home, 'settings.json')))
  const { guests, quarantined } = await test.front.request('guests.list', {})
  hash.update(JSON.stringify([guests.map(({ id, config, colour }) => [id, config, colour]), quarantined]))
  hash.update(JSON.stringify(await test.front.request('settings.get', {})))
  return hash.digest('hex')
}

describe(`${MESSAGES} messages of a front gone mad`, () => {
  it.each([1, 2, 3])('are each answered with a reason, and change nothing that is kept (seed %i)', async (seed) => {
    const random = generator(seed)
    const resting = (await test.front.request('guests.create', { config: { name: 'resting', kind: 'pup' } })).guestId
    const before = await kept()
    const wire = new Wire()
    const known = [pup.guestId, resting]
    const good = Object.entries(examples(pup.guestId)) as [Method, unknown][]
    const codes = new Map<string, number>()
    let sent = 0
    while (sent < MESSAGES) {
      const text = spoilt(random, good)
      const request = requestIn(text)
      if (request !== null && CHANGING.test(request.method)) {
        // Still right: then it would only do what it says. Of a guest that is not there it may be asked.
        const { guestId } = request.params
        if (typeof guestId !== 'string' || known.includes(guestId)) continue
      }
      sent++
      // The host has its turns in between.
      if (sent % 20 === 0) await new Promise((resolve) => setImmediate(resolve))
      const { id, result, error } = await wire.ask(text)
      if (error === undefined) {
        expect([text, request !== null]).toEqual([text, true])
        expect(result).not.toBeUndefined()
      } else {
        expect([text, error.code]).not.toEqual([text, 'internal'])
        expect(error.message.length).toBeGreaterThan(5)
        if (request === null) expect([text, error.code]).toEqual([text, 'invalid'])
      }
      expect([text, typeof id]).toEqual([text, 'number'])
      const code = error?.code ?? 'result'
      codes.set(code, (codes.get(code) ?? 0) + 1)
    }
    // The generator reaches what it should: refused ones most, and some that are right by chance.
    expect(codes.get('invalid')).toBeGreaterThan(MESSAGES / 2)
    expect(codes.get('notFound')).toBeGreaterThan(0)
    expect(codes.get('result')).toBeGreaterThan(0)

    for (const { id } of await test.front.request('debug.breakpoints', {})) {
      await test.front.request('debug.removeBreakpoint', { breakpointId: id })
    }
    // A pause forgets steps that were asked for.
    await test.front.request('debug.pause', {})
    await test.front.request('debug.resume', {})
    expect(await kept()).toBe(before)
    wire.close()
    pup.console.type('echo alive\n')
    await pup.console.until('alive\r\n')
  })

  it('and as many binary frames are taken or dropped without a word', async () => {
    const random = generator(3)
    const before = await kept()
    const wire = new Wire()
    const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, () => random(256))
    for (let n = 0; n < MESSAGES; n++) {
      const kind = random(4)
      if (kind === 0) wire.send(bytes(random(20)))
      else if (kind === 1) wire.send(encodeFrame(random(256), random(0x10000), bytes(random(100))))
      else if (kind === 2) wire.send(encodeFrame(FRAME_INPUT, random(16), bytes(random(100))))
      else wire.send(encodeCredit(random(16), random(2 ** 31)))
    }
    expect((await wire.ask('{"id":5,"method":"guests.list"}')).id).toBe(5)
    expect(wire.answers).toHaveLength(1)
    expect(await kept()).toBe(before)
    pup.console.type('echo alive\n')
    await pup.console.until('alive\r\n')
  })

  it('to all good requests there is an answer', async () => {
    const wire = new Wire()
    for (const [method, params] of Object.entries(examples(pup.guestId))) {
      if (CHANGING.test(method)) continue
      const { id, error } = await wire.ask(JSON.stringify({ id: 3, method, params }))
      expect([method, id, error?.code === 'internal']).toEqual([method, 3, false])
    }
    await test.front.request('debug.resume', {})
  })
})

describe('an answer', () => {
  it('has the number of its request, and −1 when that has none', async () => {
    const wire = new Wire()
    expect(await wire.ask('{"id":12,"method":"trash.list"}')).toEqual({ id: 12, result: [] })
    expect((await wire.ask('{"id":-5,"method":"nothing"}')).id).toBe(-1)
    for (const id of ['"1"', 'null', '1.5', '1e300', '{}']) {
      const answer = await wire.ask(`{"id":${id},"method":"trash.list"}`)
      expect(answer).toEqual({ id: -1, error: { code: 'invalid', message: 'A request needs a number “id”.' } })
    }
  })

  it('says what is wrong with a parameter, by its name', async () => {
    const ask = async (method: string, params: unknown): Promise<string | undefined> =>
      (await new Wire().ask(JSON.stringify({ id: 1, method, params }))).error?.message
    expect(await ask('inspect.cpu', { cpu: 'x' })).toMatch(/^inspect\.cpu: “cpu”: /)
    expect(await ask('guests.create', { config: { name: 'a', kind: 'cat' } })).toMatch(/“config\.kind”/)
    expect(await ask('guests.create', { config: { name: 'a', kind: 'pup', disks: [{}] } })).toMatch(
      /“config\.disks\.0\.file”/,
    )
    expect(await ask('settings.set', { settings: { cpus: 9 } })).toMatch(/“settings\.cpus”/)
  })

  it('changes only the settings that were named', async () => {
    await test.front.request('settings.set', { settings: { theme: 'dark' } })
    const after = await test.front.request('settings.set', { settings: { bell: false } })
    expect(after).toMatchObject({ cpus: 2, hostRam: 64, theme: 'dark', bell: false })
  })
})

describe('connections', () => {
  it('have consoles of their own: nobody types into another’s', async () => {
    const { channel } = await test.front.request('console.attach', { guestId: pup.guestId })
    const other = new Wire()
    other.send(encodeFrame(FRAME_INPUT, channel, new TextEncoder().encode('echo stolen\n')))
    other.send(encodeFrame(FRAME_OUTPUT, channel, new TextEncoder().encode('echo stolen\n')))
    expect((await other.ask(JSON.stringify({ id: 1, method: 'console.detach', params: { channel } }))).result).toBe(
      null,
    )
    pup.console.type('echo mine\n')
    await pup.console.until('mine\r\n')
    expect((await test.front.request('console.text', { guestId: pup.guestId })).text).not.toContain('stolen')
  })

  it('take their subscriptions with them', async () => {
    const front = test.connect()
    await front.request('stats.subscribe', { hz: 10 })
    await front.request('inspect.subscribe', { cpu: 0, hz: 10 })
    await front.untilEvent('stats', () => true)
    await front.untilEvent('inspect', () => true)
    front.close()
    const seen = front.events('stats').length + front.events('inspect').length
    await new Promise((resolve) => setTimeout(resolve, 250))
    expect(front.events('stats').length + front.events('inspect').length).toBe(seen)
  })

  it('that read nothing and go let the guest go on', async () => {
    const wire = new Wire()
    await wire.ask(JSON.stringify({ id: 1, method: 'console.attach', params: { guestId: pup.guestId } }))
    // As much as a view may have in flight: the guest has to wait.
    const { buffer } = test.engine.guests.get(pup.guestId)
    buffer.write(new Uint8Array(1024 * 1024).fill(0x2e))
    pup.console.type('echo waited\n')
    await test.quiet()
    expect(pup.console.text).not.toContain('waited')
    expect(buffer.room()).toBe(0)
    wire.close()
    await pup.console.until('waited\r\n')
  })

  it('that go while a console is being attached leave no view behind', async () => {
    const { buffer } = test.engine.guests.get(pup.guestId)
    const hasty = new Wire()
    // The terminal is behind, so attaching waits for it.
    buffer.write(new Uint8Array(100_000).fill(0x2e))
    hasty.send(JSON.stringify({ id: 1, method: 'console.attach', params: { guestId: pup.guestId } }))
    await new Promise((resolve) => queueMicrotask(() => resolve(undefined)))
    hasty.close()
    await buffer.text()
    buffer.write(new Uint8Array(CONSOLE_WINDOW / 2))
    buffer.write(new Uint8Array(CONSOLE_WINDOW / 2))
    await buffer.text()
    await expect.poll(() => buffer.room()).toBeGreaterThan(0)
  })
})

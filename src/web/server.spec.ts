import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { duplexPair, type Duplex } from '../shared/duplex.ts'
import { CLOSE_UNAUTHORISED, WebFront, type EngineLink } from './server.ts'

class FakeEngine implements EngineLink {
  alive = true
  ends: Duplex[] = []
  /** Connections that were closed. */
  gone = 0
  onDeath: (reason: string) => void = () => {}
  onResponsive: (responsive: boolean) => void = () => {}
  start(): Promise<void> {
    this.alive = true
    return Promise.resolve()
  }
  restart(): Promise<void> {
    return this.start()
  }
  connect(): Duplex {
    const [ours, theirs] = duplexPair()
    theirs.onMessage((frame) => theirs.send(typeof frame === 'string' ? `echo ${frame}` : frame))
    theirs.onClose(() => this.gone++)
    this.ends.push(theirs)
    return ours
  }
  die(): void {
    this.alive = false
    for (const end of this.ends.splice(0)) end.close()
    this.onDeath('it was ended by SIGKILL')
  }
}

let front: WebFront
let engine: FakeEngine
let port: number

beforeEach(async () => {
  const root = await mkdtemp(join(tmpdir(), 'kennel-web-'))
  await writeFile(join(root, 'secret.txt'), 'not for anybody')
  await mkdir(join(root, 'renderer', 'assets'), { recursive: true })
  await writeFile(join(root, 'renderer', 'index.html'), '<h1>Kennel</h1>')
  await writeFile(join(root, 'renderer', 'assets', 'a.js'), 'export {}')
  engine = new FakeEngine()
  front = await WebFront.start({ port: 0, files: join(root, 'renderer'), engine })
  port = Number(new URL(front.url).port)
})
afterEach(() => front.close())

/** A raw request: unlike fetch it sends the path as it is. */
function get(
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<{ status: number; body: string; headers: Record<string, unknown> }> {
  return new Promise((resolve, reject) => {
    const r = request({ host: '127.0.0.1', port, path, method, headers }, (response) => {
      let body = ''
      response.on('data', (d: Buffer) => (body += d.toString()))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body, headers: response.headers }))
    })
    r.on('error', reject)
    r.end()
  })
}

interface TestSocket {
  ws: WebSocket
  next(): Promise<string | Buffer>
}
function socket(headers: Record<string, string>, path = '/ws'): Promise<TestSocket> {
  return new Promise((resolve, reject) => {
    const ws = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers })
    const queue: (string | Buffer)[] = []
    const waiting: ((m: string | Buffer) => void)[] = []
    ws.on('message', (data: Buffer, binary) => {
      const message = binary ? data : data.toString()
      const waiter = waiting.shift()
      if (waiter) waiter(message)
      else queue.push(message)
    })
    const next = (): Promise<string | Buffer> => {
      const message = queue.shift()
      return message === undefined ? new Promise((r) => waiting.push(r)) : Promise.resolve(message)
    }
    ws.on('open', () => resolve({ ws, next }))
    ws.on('error', reject)
  })
}
const origin = (): string => `http://127.0.0.1:${port}`
async function greeted(): Promise<TestSocket> {
  const s = await socket({ origin: origin() })
  s.ws.send(JSON.stringify({ token: front.token }))
  expect(await s.next()).toBe('{"control":"connected"}')
  return s
}

describe('files', () => {
  it('serves the renderer with headers that lock the page down', async () => {
    const page = await get('/')
    expect(page.status).toBe(200)
    expect(page.body).toContain('Kennel')
    expect(page.headers['content-security-policy']).toContain("default-src 'self'")
    expect(page.headers['content-security-policy']).not.toMatch(/unsafe-eval|\*/)
    expect(page.headers['cross-origin-opener-policy']).toBe('same-origin')
    expect(page.headers['cross-origin-embedder-policy']).toBe('require-corp')
    expect(page.headers['x-content-type-options']).toBe('nosniff')
    expect((await get('/assets/a.js')).headers['content-type']).toContain('javascript')
  })

  it.each([
    '/../secret.txt',
    '/assets/../../secret.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '/assets/',
    '//etc/passwd',
    '/assets/a.js/',
    '/\\..\\secret.txt',
  ])('has nothing at %s', async (path) => {
    const answer = await get(path)
    expect(answer.status).toBe(404)
    expect(answer.body).not.toContain('anybody')
  })

  it('refuses a foreign Host (DNS rebinding), a foreign Origin, and writing', async () => {
    expect((await get('/', { host: 'evil.example' })).status).toBe(403)
    expect((await get('/', { origin: 'http://evil.example' })).status).toBe(403)
    expect((await get('/', {}, 'POST')).status).toBe(405)
  })
})

describe('socket', () => {
  it('carries text and bytes to the engine and back', async () => {
    const s = await greeted()
    s.ws.send('hello')
    expect(await s.next()).toBe('echo hello')
    s.ws.send(Buffer.from([1, 2, 255]))
    expect([...((await s.next()) as Buffer)]).toEqual([1, 2, 255])
    s.ws.close()
  })

  it.each([
    ['a foreign origin', { origin: 'http://evil.example' }, '/ws'],
    ['no origin', {}, '/ws'],
    ['another path', null, '/other'],
  ])('is refused to %s', async (_who, headers, path) => {
    await expect(socket(headers ?? { origin: origin() }, path)).rejects.toThrow('403')
  })

  it.each([['{"token":"wrong"}'], ['{}'], ['not json'], ['null'], ['{"token":7}']])(
    'is closed after %s',
    async (greeting) => {
      const s = await socket({ origin: origin() })
      s.ws.send(greeting)
      const code = await new Promise((resolve) => s.ws.once('close', resolve))
      expect(code).toBe(CLOSE_UNAUTHORISED)
      expect(engine.ends).toHaveLength(0)
    },
  )

  it('survives visitors that are refused and gone at once', async () => {
    for (let i = 0; i < 50; i++) {
      const raw = connect(port, '127.0.0.1')
      await once(raw, 'connect')
      raw.on('error', () => {})
      raw.write(
        'GET /ws HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
          'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n',
      )
      raw.resetAndDestroy()
      await once(raw, 'close')
    }
    const s = await greeted()
    s.ws.close()
  })

  it('that showed no token yet does not hold the end', async () => {
    const s = await socket({ origin: origin() })
    const closed = new Promise((resolve) => s.ws.once('close', resolve))
    await front.close()
    await closed
  })

  it('of a page that reads nothing is cut off before it fills the memory', async () => {
    const s = await greeted()
    s.ws.pause()
    const closed = once(s.ws, 'close')
    const part = new Uint8Array(4 * 1024 * 1024)
    for (let sent = 0; engine.ends.length > 0 && sent < 64; sent++) {
      engine.ends[0].send(part)
      await new Promise((resolve) => setTimeout(resolve, 1))
      if (engine.gone > 0) break
    }
    s.ws.resume()
    await closed
    expect(engine.gone).toBe(1)
  })

  it('says that the engine died, and connects again when asked to start it', async () => {
    const s = await greeted()
    engine.die()
    expect(await s.next()).toBe('{"control":"engineDied","reason":"The engine stopped: it was ended by SIGKILL."}')
    s.ws.send('{"control":"restartEngine"}')
    expect(await s.next()).toBe('{"control":"connected"}')
    s.ws.send('again')
    expect(await s.next()).toBe('echo again')
    s.ws.close()
  })
})

describe('start', () => {
  it('names a port that is taken', async () => {
    await expect(WebFront.start({ port, files: join(tmpdir(), 'nothing-here'), engine })).rejects.toThrow()
    const root = await mkdtemp(join(tmpdir(), 'kennel-web-'))
    await expect(WebFront.start({ port, files: root, engine })).rejects.toThrow('The renderer is not built')
    await writeFile(join(root, 'index.html'), '')
    await expect(WebFront.start({ port, files: root, engine })).rejects.toThrow(`Port ${port} is taken`)
  })
})

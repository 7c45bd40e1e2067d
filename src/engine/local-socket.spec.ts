/** The control socket: for the user alone, one engine a home, and it survives its own remains. */
import { once } from 'node:events'
import { fork, type ChildProcess } from 'node:child_process'
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Duplex, Frame } from '../shared/duplex.ts'
import { AlreadyRunning, connectLocal, LocalSocket } from './local-socket.ts'

let folder: string
let path: string
let sockets: LocalSocket[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kennel-socket-'))
  path = join(folder, 'home', 'kennel.sock')
  sockets = []
})
afterEach(async () => {
  for (const socket of sockets) await socket.close()
  await rm(folder, { recursive: true, force: true })
})

async function listen(accept: (duplex: Duplex) => void = () => {}): Promise<LocalSocket> {
  const socket = await LocalSocket.listen(path, accept)
  sockets.push(socket)
  return socket
}

async function client(): Promise<Duplex> {
  const duplex = await connectLocal(path)
  if (duplex === null) throw new Error('nobody answers')
  return duplex
}

const next = (duplex: Duplex): Promise<Frame> => new Promise((resolve) => duplex.onMessage(resolve))
const closing = (duplex: Duplex): Promise<void> => new Promise((resolve) => duplex.onClose(resolve))

/** An engine that answers what it is told, twice. */
function echo(duplex: Duplex): void {
  duplex.onMessage((frame) => {
    duplex.send(frame)
    duplex.send(typeof frame === 'string' ? frame.toUpperCase() : frame)
  })
}

describe('the local socket', () => {
  it('carries text and bytes both ways', async () => {
    await listen(echo)
    const one = await client()
    const got: Frame[] = []
    const three = new Promise<void>((resolve) => one.onMessage((frame) => got.push(frame) === 4 && resolve()))
    one.send('wuff')
    one.send(Uint8Array.of(1, 2, 3))
    await three
    expect(got).toEqual(['wuff', 'WUFF', Uint8Array.of(1, 2, 3), Uint8Array.of(1, 2, 3)])
    one.close()
  })

  it('is for its user alone, and so is its folder', async () => {
    const mask = process.umask(0)
    try {
      await listen()
      expect(process.umask(0)).toBe(0)
    } finally {
      process.umask(mask)
    }
    expect(statSync(path).isSocket()).toBe(true)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(join(folder, 'home')).mode & 0o777).toBe(0o700)
  })

  it('refuses a second engine, and leaves the first one alone', async () => {
    await listen(echo)
    const second = LocalSocket.listen(path, () => {})
    await expect(second).rejects.toThrow(AlreadyRunning)
    await expect(second).rejects.toThrow('Kennel is already running for this user. Use its window, or “kennel ls”.')
    const one = await client()
    one.send('still there')
    expect(await next(one)).toBe('still there')
    one.close()
  })

  it('is one engine’s when two start together, and masks no file of theirs', async () => {
    const before = process.umask()
    const results = await Promise.allSettled([listen(echo), listen(echo)])
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(results.find((each) => each.status === 'rejected')?.reason).toBeInstanceOf(AlreadyRunning)
    expect(process.umask()).toBe(before)
    const one = await client()
    one.send('alone')
    expect(await next(one)).toBe('alone')
    one.close()
  })

  it('replaces one that a dead engine left behind', async () => {
    const script = join(folder, 'dead.mjs')
    const address = join(folder, 'left.sock')
    writeFileSync(
      script,
      `import { createServer } from 'node:net'
       createServer().listen(${JSON.stringify(address)}, () => process.kill(process.pid, 'SIGKILL'))`,
    )
    await once(fork(script, []), 'exit')
    expect(statSync(address).isSocket()).toBe(true)
    expect(await connectLocal(address)).toBeNull()
    path = address
    await listen(echo)
    const one = await client()
    one.send('new')
    expect(await next(one)).toBe('new')
    expect(statSync(address).mode & 0o777).toBe(0o600)
    one.close()
  })

  it('is one engine’s when several processes start at once on what a dead one left', async () => {
    const bundle = join(folder, 'contender.mjs')
    await build({
      stdin: {
        contents: `import { LocalSocket } from ${JSON.stringify(join(import.meta.dirname, 'local-socket.ts'))}
          process.on('message', (path) => LocalSocket.listen(path, () => {}).then(
            () => process.send('runs'), (error) => process.send(error.constructor.name)))
          process.send('there')`,
        resolveDir: folder,
      },
      outfile: bundle,
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'error',
    })
    const contenders = Array.from({ length: 4 }, () => fork(bundle))
    const said = (child: ChildProcess): Promise<unknown> =>
      once(child, 'message').then(([message]) => message as unknown)
    const end = async (child: ChildProcess): Promise<void> => {
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    }
    try {
      await Promise.all(contenders.map(said))
      const outcomes = contenders.map(said)
      for (const child of contenders) child.send(path)
      const first = await Promise.all(outcomes)
      expect(first.sort()).toEqual(['AlreadyRunning', 'AlreadyRunning', 'AlreadyRunning', 'runs'])
      // The winner dies without a word; the others try again.
      for (const child of contenders) await end(child)
      contenders.splice(0, 4, ...Array.from({ length: 4 }, () => fork(bundle)))
      await Promise.all(contenders.map(said))
      const again = contenders.map(said)
      for (const child of contenders) child.send(path)
      expect((await Promise.all(again)).sort()).toEqual(['AlreadyRunning', 'AlreadyRunning', 'AlreadyRunning', 'runs'])
    } finally {
      for (const child of contenders) if (child.exitCode === null && child.signalCode === null) await end(child)
    }
    expect(await connectLocal(path)).toBeNull()
    await listen(echo)
    expect(readdirSync(join(folder, 'home')).length).toBe(2)
  })

  it('cannot be in a folder with too long a name, and says so', async () => {
    path = join(folder, 'x'.repeat(90), 'kennel.sock')
    await expect(listen()).rejects.toThrow('has too long a name for Kennel. Set KENNEL_HOME to a shorter one.')
  })

  it('is gone after its engine, which another can follow', async () => {
    const first = await listen()
    await first.close()
    expect(existsSync(path)).toBe(false)
    expect(await connectLocal(path)).toBeNull()
    await listen(echo)
    const one = await client()
    one.send('second')
    expect(await next(one)).toBe('second')
    one.close()
  })

  it('closes with somebody connected, who is told', async () => {
    const accepted: Duplex[] = []
    const socket = await listen((duplex) => accepted.push(duplex))
    const one = await client()
    await expect.poll(() => accepted.length).toBe(1)
    const gone = closing(one)
    await socket.close()
    await gone
    expect(existsSync(path)).toBe(false)
  })

  it('tells the engine when a client is gone', async () => {
    let gone: Promise<void> | undefined
    await listen((duplex) => (gone = closing(duplex)))
    const one = await client()
    one.close()
    await closing(one)
    await gone
    expect(gone).toBeDefined()
  })

  it('drops a client that speaks something else, and nobody besides', async () => {
    await listen(echo)
    const good = await client()
    const stranger = connect(path)
    await once(stranger, 'connect')
    stranger.on('error', () => {})
    stranger.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    stranger.resume()
    await once(stranger, 'close')
    good.send('I stay')
    expect(await next(good)).toBe('I stay')
    good.close()
  })

  it('says null where no engine is', async () => {
    expect(await connectLocal(path)).toBeNull()
    writeFileSync(join(folder, 'file'), '')
    expect(await connectLocal(join(folder, 'file'))).toBeNull()
  })
})

/**
 * The socket by which `kennel ls`, `start`, `stop`, `console` and `inspect` talk to the running engine: in the user's own folder, for the
 * user alone. It is also the lock: there is one engine a home folder.
 *
 *     kennel.sock.3f9a01c2     an engine's own socket, under a name nobody else ever has
 *     kennel.sock ──▶ it       a symbolic link to the one that won
 *
 * A dead engine leaves its socket behind, and whoever removes a file of a name that others use too may remove a living one's. So each
 * engine first listens under its own name and only then looks for others. Of two that start together the later to listen finds the
 * earlier; perhaps both find each other and withdraw, and try again after different times. On Windows a named pipe ends with its process.
 */
import { randomBytes, randomInt } from 'node:crypto'
import { mkdir, readdir, readlink, rename, rm, symlink } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Duplex } from '../shared/duplex.ts'
import { MAX_MESSAGE } from '../shared/protocol.ts'
import { EngineError } from './errors.ts'
import { streamDuplex } from './stream-duplex.ts'

/** Somebody else serves this socket. */
export class AlreadyRunning extends Error {}

/** How often one that withdrew tries again, and after how long at most, ms. */
const ATTEMPTS = 20
const LONGEST_DELAY_MS = 150
/** Longer addresses cannot be bound (sun_path, less its zero). */
const LONGEST_PATH = process.platform === 'linux' ? 107 : 103

export class LocalSocket {
  private readonly server: Server
  private readonly path: string
  private readonly own: string
  private readonly clients = new Set<Socket>()
  private readonly accept: (duplex: Duplex) => void
  /** It is the one: until then others only look whether it is there. */
  private won = false

  private constructor(path: string, accept: (duplex: Duplex) => void) {
    this.path = path
    this.own = process.platform === 'win32' ? path : `${path}.${randomBytes(4).toString('hex')}`
    this.accept = accept
    this.server = createServer((socket) => this.connected(socket))
  }

  /** Throws AlreadyRunning when another engine answers there. What a dead one left behind is replaced. */
  static async listen(path: string, accept: (duplex: Duplex) => void): Promise<LocalSocket> {
    if (process.platform !== 'win32') await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const socket = new LocalSocket(path, accept)
      if (await socket.compete()) return socket
      if (process.platform === 'win32' || (await answers(path))) break
      await delay(randomInt(LONGEST_DELAY_MS))
    }
    throw new AlreadyRunning('Kennel is already running for this user. Use its window, or “kennel ls”.')
  }

  /** Whoever is still connected is cut off: a console left open must not keep the engine alive. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()))
    for (const socket of this.clients) socket.destroy()
    await closed
    if (process.platform === 'win32') return
    await rm(this.own, { force: true })
    if ((await readlink(this.path).catch(() => '')) === basename(this.own)) await rm(this.path, { force: true })
  }

  private async compete(): Promise<boolean> {
    if (!(await bind(this.server, this.own))) return false
    if (process.platform !== 'win32') {
      if (await this.hasRival()) {
        await this.close()
        return false
      }
      await symlink(basename(this.own), `${this.own}.link`)
      await rename(`${this.own}.link`, this.path)
    }
    this.won = true
    return true
  }

  /** Whether another engine listens. What does not answer is a dead one's; its name is nobody else's, so it may go. */
  private async hasRival(): Promise<boolean> {
    const name = basename(this.path)
    for (const other of await readdir(dirname(this.path))) {
      const path = join(dirname(this.path), other)
      const isOwn = path === this.own
      if (isOwn || !(other === name || /^\.[0-9a-f]{8}(\.link)?$/.test(other.slice(name.length)))) continue
      if (await answers(path)) return true
      if (other !== name) await rm(path, { force: true })
    }
    return false
  }

  private connected(socket: Socket): void {
    if (!this.won) return void socket.destroy()
    this.clients.add(socket)
    socket.once('close', () => this.clients.delete(socket))
    this.accept(streamDuplex(socket, MAX_MESSAGE))
  }
}

/** Connects to the engine of a home folder; null when none answers. */
export function connectLocal(path: string): Promise<Duplex | null> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => resolve(streamDuplex(socket)))
    socket.once('error', () => resolve(null))
  })
}

/** False when the place is taken. */
function bind(server: Server, path: string): Promise<boolean> {
  if (process.platform !== 'win32' && Buffer.byteLength(path) > LONGEST_PATH) {
    throw new EngineError(
      'unusable',
      `The folder ${dirname(path)} has too long a name for Kennel. Set KENNEL_HOME to a shorter one.`,
    )
  }
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => {
      if (error.code === 'EADDRINUSE') resolve(false)
      else reject(error)
    }
    server.once('error', failed)
    server.once('listening', () => {
      server.off('error', failed)
      resolve(true)
    })
    // The socket must never be open to others, not even for a moment. The file is made before listen() returns.
    const mask = process.umask(0o177)
    try {
      server.listen(path)
    } finally {
      process.umask(mask)
    }
  })
}

async function answers(path: string): Promise<boolean> {
  const duplex = await connectLocal(path)
  duplex?.close()
  return duplex !== null
}

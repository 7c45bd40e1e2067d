/**
 * The socket by which `kennel ls`, `start`, `stop`, `console` and `inspect` talk to the running engine: in the user's own folder, for the
 * user alone. It is also the lock: there is one engine a home folder.
 */
import { chmod, mkdir, rm } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import type { Duplex } from '../shared/duplex.ts'
import { streamDuplex } from './stream-duplex.ts'

/** Somebody else serves this socket. */
export class AlreadyRunning extends Error {}

export class LocalSocket {
  private readonly server: Server
  private readonly path: string
  private readonly clients: ReadonlySet<Socket>

  private constructor(server: Server, path: string, clients: ReadonlySet<Socket>) {
    this.server = server
    this.path = path
    this.clients = clients
  }

  /** Throws AlreadyRunning when another engine answers there. A socket left behind by a dead one is replaced. */
  static async listen(path: string, accept: (duplex: Duplex) => void): Promise<LocalSocket> {
    const isPipe = process.platform === 'win32'
    if (!isPipe) await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    const clients = new Set<Socket>()
    const server = createServer((socket) => {
      clients.add(socket)
      socket.once('close', () => clients.delete(socket))
      accept(streamDuplex(socket))
    })
    // Binding is what decides between two that start together; asking first would let both begin.
    if (!(await bind(server, path))) {
      const running = new AlreadyRunning('Kennel is already running for this user. Use its window, or “kennel ls”.')
      if (await answers(path)) throw running
      if (!isPipe) await rm(path, { force: true })
      if (!(await bind(server, path))) throw running
    }
    if (!isPipe) await chmod(path, 0o600)
    return new LocalSocket(server, path, clients)
  }

  /** Whoever is still connected is cut off: a console left open must not keep the engine alive. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()))
    for (const socket of this.clients) socket.destroy()
    await closed
    if (process.platform !== 'win32') await rm(this.path, { force: true })
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

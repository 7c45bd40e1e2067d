/**
 * The engine's process. Its parent is Electron's main (a utility process, whose windows' ports arrive by message) or the web front (a
 * forked Node process, all connections over one channel). Either way it says "ready", answers "ping", and ends at "shutdown".
 */
import type { Duplex, Frame } from '../shared/duplex.ts'
import { packageVersion } from './builtin.ts'
import { Engine } from './engine.ts'
import { toProtocolError } from './errors.ts'
import { AlreadyRunning, LocalSocket } from './local-socket.ts'
import { ChannelEnd, isProcessMessage, type ProcessMessage } from './process-channel.ts'
import { controlSocket, kennelHome } from './user-home.ts'

/** Electron's MessagePortMain, as far as it is used here. */
interface PortLike {
  postMessage(message: unknown): void
  on(event: 'message', listener: (event: { data: unknown }) => void): unknown
  on(event: 'close', listener: () => void): unknown
  start(): void
  close(): void
}

interface ParentPort {
  postMessage(message: unknown): void
  on(event: 'message', listener: (event: { data: unknown; ports: PortLike[] }) => void): unknown
}

const { parentPort } = process as { parentPort?: ParentPort }
const EXIT_FAILED = 1
/** Another engine has this home folder. */
const EXIT_ALREADY_RUNNING = 3
/** The parent is told why before the process ends, if that takes no longer, ms. */
const LAST_WORDS_MS = 200

function post(message: ProcessMessage): void {
  if (parentPort) parentPort.postMessage(message)
  else process.send?.(message)
}

let failing = false

/** Ends the process, and tells the parent why: it has people to tell. */
function fail(reason: string, status: number): void {
  if (failing) return
  failing = true
  const message: ProcessMessage = { type: 'failed', reason }
  setTimeout(() => process.exit(status), LAST_WORDS_MS)
  if (parentPort) parentPort.postMessage(message)
  else process.send?.(message, undefined, undefined, () => process.exit(status))
}

function portDuplex(port: PortLike): Duplex {
  const closeListeners: (() => void)[] = []
  port.on('close', () => closeListeners.forEach((listener) => listener()))
  return {
    send: (frame) => port.postMessage(frame),
    onMessage: (listener) => {
      port.on('message', ({ data }) => {
        if (typeof data === 'string' || data instanceof Uint8Array) listener(data as Frame)
      })
      port.start()
    },
    onClose: (listener) => closeListeners.push(listener),
    close: () => port.close(),
  }
}

async function main(): Promise<void> {
  const home = kennelHome()
  const early: (() => void)[] = []
  let engine: Engine | null = null
  let socket: LocalSocket | null = null
  const ends = new Map<number, ChannelEnd>()
  const whenReady = (work: () => void): void => {
    if (engine) work()
    else early.push(work)
  }
  const shutdown = async (): Promise<never> => {
    await socket?.close()
    await engine?.shutdown()
    process.exit(0)
  }
  const receive = (message: unknown, ports: readonly PortLike[]): void => {
    if (!isProcessMessage(message)) return
    switch (message.type) {
      case 'ping':
        return post({ type: 'pong', sequence: message.sequence })
      case 'open': {
        const { connection } = message
        const [port] = ports
        if (port !== undefined) return whenReady(() => engine?.connect(portDuplex(port)))
        const end = new ChannelEnd(connection, post)
        ends.set(connection, end)
        end.onClose(() => ends.delete(connection))
        return whenReady(() => engine?.connect(end))
      }
      case 'data':
        return whenReady(() => ends.get(message.connection)?.receive(message.frame))
      case 'close':
        return whenReady(() => ends.get(message.connection)?.closedByPeer())
      case 'shutdown':
        return void shutdown()
    }
  }
  if (parentPort) parentPort.on('message', ({ data, ports }) => receive(data, ports))
  else {
    process.on('message', (message) => receive(message, []))
    process.on('disconnect', () => void shutdown())
  }
  process.on('SIGTERM', () => void shutdown())
  // The terminal's ^C goes to the parent too, which asks for a shutdown in its own time.
  process.on('SIGINT', () => undefined)

  try {
    socket = await LocalSocket.listen(controlSocket(home), (duplex) => whenReady(() => engine?.connect(duplex)))
  } catch (error) {
    if (!(error instanceof AlreadyRunning)) throw error
    return fail('another Kennel, perhaps “kennel serve”, has your guests open', EXIT_ALREADY_RUNNING)
  }
  engine = await Engine.start({ home, version: packageVersion() })
  for (const work of early.splice(0)) work()
  post({ type: 'ready' })
}

// A fault of ours ends the engine: what it was doing is half done. (Faults of the emulated host are caught before.)
process.on('uncaughtException', (error) => {
  console.error(error)
  fail(`it made a mistake: ${error.message}`, EXIT_FAILED)
})

try {
  await main()
} catch (error) {
  fail(toProtocolError(error).message.replace(/\.$/, ''), EXIT_FAILED)
}

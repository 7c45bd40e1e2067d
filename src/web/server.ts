/**
 * The web front: the renderer's files and one WebSocket, on the loopback address only. A socket's first message must be
 * { token }; after it the socket is a connection to the engine. When the engine dies, sockets are told
 * { control: "engineDied", reason } and stay open, so that the page can keep its consoles' text and ask
 * { control: "restartEngine" }.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer, type RawData, type WebSocket } from 'ws'
import type { Duplex } from '../shared/duplex.ts'
import { MAX_MESSAGE } from '../shared/protocol.ts'
import { hostAllowed, newToken, originAllowed, tokenMatches } from './access.ts'
import { SECURITY_HEADERS, StaticFiles } from './static-files.ts'

const LOOPBACK = '127.0.0.1'
const GREETING_MS = 5000
/** Bytes that wait for a page that reads nothing. It is cut off then, and gets everything anew when it comes back. */
const MAX_BUFFERED = 64 * 1024 * 1024
/** Close codes of our own. */
export const CLOSE_UNAUTHORISED = 4003

/** The engine as the web front needs it (EngineProcess; a fake in tests). */
export interface EngineLink {
  readonly alive: boolean
  /** Starts a dead engine, or another in place of one that does not answer. */
  restart(): Promise<void>
  connect(): Duplex
  onDeath: (reason: string) => void
  onResponsive: (responsive: boolean) => void
}

export interface WebFrontOptions {
  /** 0 = any free port. */
  port: number
  /** The built renderer. */
  files: string
  engine: EngineLink
  token?: string
}

export class WebFront {
  readonly token: string
  private readonly engine: EngineLink
  private readonly http: Server
  private readonly sockets: WebSocketServer
  private readonly clients = new Set<Client>()
  private port = 0

  private constructor(options: WebFrontOptions, files: StaticFiles) {
    this.token = options.token ?? newToken()
    this.engine = options.engine
    this.http = createServer((request, response) => {
      if (!hostAllowed(request.headers.host, this.port) || !originAllowed(request.headers.origin, this.port, false)) {
        response.writeHead(403, SECURITY_HEADERS).end('Forbidden\n')
        return
      }
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        response.writeHead(405, { ...SECURITY_HEADERS, Allow: 'GET, HEAD' }).end()
        return
      }
      const path = (request.url ?? '/').split('?')[0]
      void files.serve(path, request.method, response).catch(() => response.destroy())
    })
    this.sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: MAX_MESSAGE })
    this.http.on('upgrade', (request: IncomingMessage, socket, head) => {
      // Nobody else listens to this socket: one that is reset while it is refused would end the process.
      socket.on('error', () => socket.destroy())
      const allowed =
        request.url === '/ws' &&
        hostAllowed(request.headers.host, this.port) &&
        originAllowed(request.headers.origin, this.port, true)
      if (!allowed) {
        socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n')
        return
      }
      this.sockets.handleUpgrade(request, socket, head, (ws) => this.greet(ws))
    })
    this.engine.onDeath = (reason) => this.engineDied(reason)
    this.engine.onResponsive = (responsive) => this.broadcast({ control: 'engineResponsive', responsive })
  }

  /** Starts listening. Throws a sentence when the port is taken or the renderer is not built. */
  static async start(options: WebFrontOptions): Promise<WebFront> {
    const front = new WebFront(options, await StaticFiles.load(options.files))
    await new Promise<void>((resolve, reject) => {
      front.http.once('error', (error: NodeJS.ErrnoException) => {
        reject(
          error.code === 'EADDRINUSE' ? new Error(`Port ${options.port} is taken; choose another with --port.`) : error,
        )
      })
      front.http.listen(options.port, LOOPBACK, resolve)
    })
    front.port = (front.http.address() as AddressInfo).port
    return front
  }

  /** The address to open in a browser, token included. */
  get url(): string {
    return `http://${LOOPBACK}:${this.port}/#token=${this.token}`
  }

  async close(): Promise<void> {
    // Those without a token yet too: the server waits for all of them.
    for (const ws of this.sockets.clients) ws.terminate()
    this.sockets.close()
    await new Promise<void>((resolve) => {
      this.http.close(() => resolve())
      this.http.closeAllConnections()
    })
  }

  private greet(ws: WebSocket): void {
    const timer = setTimeout(() => ws.close(CLOSE_UNAUTHORISED, 'no token came'), GREETING_MS)
    ws.on('error', () => ws.terminate())
    ws.on('close', () => clearTimeout(timer))
    ws.once('message', (data, isBinary) => {
      clearTimeout(timer)
      if (isBinary || !tokenMatches(this.token, tokenIn(textOf(data)))) {
        ws.close(CLOSE_UNAUTHORISED, 'wrong token')
        return
      }
      const client = new Client(ws, this.engine, () => this.restartEngine())
      this.clients.add(client)
      ws.on('close', () => this.clients.delete(client))
    })
  }

  private engineDied(reason: string): void {
    this.broadcast({ control: 'engineDied', reason: `The engine stopped: ${reason}.` })
  }

  private async restartEngine(): Promise<void> {
    try {
      await this.engine.restart()
      for (const client of this.clients) client.connect()
    } catch (error) {
      this.broadcast({ control: 'engineDied', reason: error instanceof Error ? error.message : String(error) })
    }
  }

  private broadcast(message: object): void {
    for (const client of this.clients) client.control(message)
  }
}

/** One page: its socket, and its connection to the engine that is alive now. */
class Client {
  readonly ws: WebSocket
  private readonly engine: EngineLink
  private link: Duplex | null = null

  constructor(ws: WebSocket, engine: EngineLink, restart: () => Promise<void>) {
    this.ws = ws
    this.engine = engine
    ws.on('message', (data, isBinary) => {
      if (isBinary) {
        this.link?.send(bytesOf(data))
        return
      }
      const text = textOf(data)
      if (text === '{"control":"restartEngine"}') void restart()
      else this.link?.send(text)
    })
    ws.on('close', () => this.link?.close())
    if (engine.alive) this.connect()
    else this.control({ control: 'engineDied', reason: 'The engine is not running.' })
  }

  connect(): void {
    if (this.link) return
    const link = this.engine.connect()
    this.link = link
    link.onMessage((frame) => {
      if (this.ws.readyState !== this.ws.OPEN) return
      if (this.ws.bufferedAmount > MAX_BUFFERED) this.ws.terminate()
      else this.ws.send(frame)
    })
    link.onClose(() => {
      if (this.link === link) this.link = null
    })
    this.control({ control: 'connected' })
  }

  control(message: object): void {
    if (this.ws.readyState === this.ws.OPEN) this.ws.send(JSON.stringify(message))
  }
}

function tokenIn(text: string): unknown {
  try {
    const message: unknown = JSON.parse(text)
    return typeof message === 'object' && message !== null ? (message as { token?: unknown }).token : undefined
  } catch {
    return undefined
  }
}

function bytesOf(data: RawData): Uint8Array {
  if (Array.isArray(data)) return Buffer.concat(data)
  return data instanceof ArrayBuffer ? new Uint8Array(data) : data
}

function textOf(data: RawData): string {
  return Buffer.from(bytesOf(data)).toString('utf8')
}

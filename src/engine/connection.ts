/**
 * One front's connection: requests are validated against the protocol and dispatched, events are sent, console frames
 * go to and from the consoles. A message that is not of the protocol is answered with an error; it never gets further.
 */
import * as v from 'valibot'
import { creditOf, decodeFrame, encodeFrame, FRAME_CREDIT, FRAME_INPUT, FRAME_OUTPUT } from '../shared/frames.ts'
import type { Duplex, Frame } from '../shared/duplex.ts'
import {
  MAX_MESSAGE,
  REQUEST_PARAMS,
  type EventName,
  type Events,
  type Method,
  type ReplyMessage,
  type Results,
  type ValidParams,
} from '../shared/protocol.ts'
import type { ConsoleBuffer } from './console-buffer.ts'
import { EngineError, toProtocolError } from './errors.ts'

/** The engine's answers, one function a method. */
export type Handlers = {
  [M in Method]: (params: ValidParams<M>, connection: Connection) => Results[M] | Promise<Results[M]>
}

/** A console as a connection needs it. */
export interface ConsolePort {
  buffer: ConsoleBuffer
  input(bytes: Uint8Array): void
}

export class Connection {
  private readonly duplex: Duplex
  private readonly handlers: Handlers
  private readonly consoles = new Map<number, ConsolePort>()
  private readonly closeListeners: (() => void)[] = []
  closed = false

  constructor(duplex: Duplex, handlers: Handlers) {
    this.duplex = duplex
    this.handlers = handlers
    duplex.onMessage((frame) => this.receive(frame))
    duplex.onClose(() => this.close())
  }

  emit<E extends EventName>(event: E, data: Events[E]): void {
    if (!this.closed) this.duplex.send(JSON.stringify({ event, data }))
  }

  onClose(listener: () => void): void {
    this.closeListeners.push(listener)
  }

  /** Opens a view of a console on this connection. */
  async attachConsole(port: ConsolePort): Promise<Results['console.attach']> {
    const channel = this.freeChannel()
    this.consoles.set(channel, port)
    const screen = await port.buffer.attach({
      channel,
      send: (bytes) => this.duplex.send(encodeFrame(FRAME_OUTPUT, channel, bytes)),
    })
    // Whoever went away meanwhile will never acknowledge anything: left attached, the view would hold the guest for ever.
    if (!this.consoles.has(channel)) port.buffer.detach(channel)
    return { channel, screen, cols: port.buffer.cols, rows: port.buffer.rows }
  }

  detachConsole(channel: number): void {
    const port = this.consoles.get(channel)
    if (!port) return
    port.buffer.detach(channel)
    this.consoles.delete(channel)
    channels.used.delete(channel)
  }

  /** Channels are shared by all connections of a console buffer, so they are drawn from one counter. */
  private freeChannel(): number {
    do channels.last = channels.last === MAX_CHANNEL ? 1 : channels.last + 1
    while (channels.used.has(channels.last))
    if (channels.used.size >= MAX_VIEWS) throw new EngineError('badState', 'Too many consoles are open. Close some.')
    channels.used.add(channels.last)
    return channels.last
  }

  private receive(frame: Frame): void {
    if (typeof frame !== 'string') return this.receiveBinary(frame)
    void this.receiveRequest(frame)
  }

  private receiveBinary(bytes: Uint8Array): void {
    const frame = decodeFrame(bytes)
    if (!frame) return
    const port = this.consoles.get(frame.channel)
    if (!port) return
    if (frame.type === FRAME_INPUT) port.input(frame.data)
    else if (frame.type === FRAME_CREDIT) port.buffer.credit(frame.channel, creditOf(frame))
  }

  private async receiveRequest(text: string): Promise<void> {
    let id = -1
    try {
      if (text.length > MAX_MESSAGE) throw new EngineError('invalid', 'That message is too long.')
      const message = parseRequest(text)
      id = message.id
      const schema = REQUEST_PARAMS[message.method]
      const params = v.safeParse(schema, message.params ?? {})
      if (!params.success) throw new EngineError('invalid', describeIssues(message.method, params.issues))
      const handler = this.handlers[message.method] as (p: unknown, c: Connection) => unknown
      const result = await handler(params.output, this)
      this.reply({ id, result: result ?? null })
    } catch (error) {
      this.reply({ id, error: toProtocolError(error) })
    }
  }

  private reply(message: ReplyMessage): void {
    if (!this.closed) this.duplex.send(JSON.stringify(message))
  }

  private close(): void {
    if (this.closed) return
    this.closed = true
    for (const channel of [...this.consoles.keys()]) this.detachConsole(channel)
    for (const listener of this.closeListeners) listener()
  }
}

const MAX_CHANNEL = 0xffff
/** Far more than a person opens, and each is told everything its guest prints. */
const MAX_VIEWS = 4096
const channels = { last: 0, used: new Set<number>() }

function parseRequest(text: string): { id: number; method: Method; params: unknown } {
  let message: unknown
  try {
    message = JSON.parse(text)
  } catch {
    throw new EngineError('invalid', 'That message is not JSON.')
  }
  if (typeof message !== 'object' || message === null)
    throw new EngineError('invalid', 'That message is not an object.')
  const { id, method, params } = message as { id?: unknown; method?: unknown; params?: unknown }
  if (typeof id !== 'number' || !Number.isSafeInteger(id))
    throw new EngineError('invalid', 'A request needs a number “id”.')
  if (typeof method !== 'string' || !Object.hasOwn(REQUEST_PARAMS, method)) {
    throw new EngineError('invalid', `There is no request “${String(method).slice(0, 80)}”.`)
  }
  return { id, method: method as Method, params }
}

function describeIssues(method: string, issues: readonly v.BaseIssue<unknown>[]): string {
  const issue = issues[0]
  const path = v.getDotPath(issue)
  return path ? `${method}: “${path}”: ${issue.message}` : `${method}: ${issue.message}`
}

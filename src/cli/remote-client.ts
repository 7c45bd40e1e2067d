/** The running engine as the command line sees it: typed requests and events over the local socket. */
import { connectLocal } from '../engine/local-socket.ts'
import { controlSocket, kennelHome } from '../engine/user-home.ts'
import type { Duplex } from '../shared/duplex.ts'
import {
  type BinaryFrame,
  decodeFrame,
  encodeCredit,
  encodeFrame,
  FRAME_INPUT,
  FRAME_OUTPUT,
} from '../shared/frames.ts'
import type { GuestSummary } from '../shared/guest.ts'
import {
  PROTOCOL_VERSION,
  type EventName,
  type Events,
  type Method,
  type Params,
  type ProtocolError,
  type Results,
} from '../shared/protocol.ts'
import { UsageError } from './messages.ts'

interface Message {
  id?: number
  result?: unknown
  error?: ProtocolError
  event?: EventName
  data?: unknown
}

/** A request the engine refused; its message is a sentence for a person. */
export class Refused extends Error {}

export class RemoteClient {
  private readonly duplex: Duplex
  private readonly pending = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  private readonly listeners = new Map<EventName, ((data: never) => void)[]>()
  private readonly output = new Map<number, (bytes: Uint8Array) => void>()
  /** Output that came right behind the answer to console.attach. */
  private readonly early: BinaryFrame[] = []
  private nextId = 1
  /** The engine is gone. */
  onClose: () => void = () => {}

  private constructor(duplex: Duplex) {
    this.duplex = duplex
    duplex.onMessage((frame) => {
      if (typeof frame === 'string') return this.receive(JSON.parse(frame) as Message)
      const decoded = decodeFrame(frame)
      if (decoded?.type !== FRAME_OUTPUT) return
      const deliver = this.output.get(decoded.channel)
      if (deliver) deliver(decoded.data)
      else this.early.push(decoded)
    })
    duplex.onClose(() => {
      for (const { reject } of this.pending.values()) reject(new Refused('Kennel has ended.'))
      this.onClose()
    })
  }

  /** Throws UsageError when nothing runs, or another version does. */
  static async connect(home = kennelHome()): Promise<RemoteClient> {
    const duplex = await connectLocal(controlSocket(home))
    if (duplex === null) {
      throw new UsageError(
        'Kennel is not running. Start the application, or “kennel serve”; “kennel run” needs neither.',
      )
    }
    const client = new RemoteClient(duplex)
    await client.request('hello', { protocol: PROTOCOL_VERSION, front: 'cli' })
    return client
  }

  request<M extends Method>(method: M, params: Params<M>): Promise<Results[M]> {
    const id = this.nextId++
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve: (value) => resolve(value as Results[M]), reject })
      this.duplex.send(JSON.stringify({ id, method, params }))
    })
  }

  on<E extends EventName>(event: E, listener: (data: Events[E]) => void): void {
    const list = this.listeners.get(event) ?? []
    list.push(listener as (data: never) => void)
    this.listeners.set(event, list)
  }

  /** The guest with this name, or id. */
  async guest(name: string): Promise<GuestSummary> {
    const { guests } = await this.request('guests.list', {})
    const found = guests.find((each) => each.config.name === name) ?? guests.find((each) => each.id === name)
    if (found === undefined) throw new UsageError(`There is no guest “${name}”. “kennel ls” lists them.`)
    return found
  }

  /** Attaches to a console; `write` must call its second argument when the bytes are out. */
  async console(
    guestId: string,
    write: (bytes: Uint8Array, done: () => void) => void,
  ): Promise<(bytes: Uint8Array) => void> {
    const { channel, screen } = await this.request('console.attach', { guestId })
    const deliver = (bytes: Uint8Array): void => {
      write(bytes, () => this.duplex.send(encodeCredit(channel, bytes.length)))
    }
    write(new TextEncoder().encode(screen), () => {})
    this.output.set(channel, deliver)
    for (const frame of this.early.splice(0)) if (frame.channel === channel) deliver(frame.data)
    return (bytes) => this.duplex.send(encodeFrame(FRAME_INPUT, channel, bytes))
  }

  close(): void {
    this.duplex.close()
  }

  private receive(message: Message): void {
    if (message.event !== undefined) {
      for (const listener of this.listeners.get(message.event) ?? []) listener(message.data as never)
      return
    }
    const waiting = this.pending.get(message.id ?? -1)
    this.pending.delete(message.id ?? -1)
    if (message.error !== undefined) waiting?.reject(new Refused(message.error.message))
    else waiting?.resolve(message.result)
  }
}

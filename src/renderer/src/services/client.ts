/**
 * EngineClient: the engine as the views see it. Requests are promises, events have typed listeners, a console is a
 * channel of bytes with automatic credit. After the engine was started anew everything subscribed is subscribed again
 * by its owner, who listens to `onConnected`.
 */
import { CONSOLE_WINDOW, decodeFrame, encodeCredit, encodeFrame, FRAME_INPUT, FRAME_OUTPUT } from '@shared/frames'
import type { Frame } from '@shared/duplex'
import {
  MAX_PIECE,
  PROTOCOL_VERSION,
  type EventName,
  type Events,
  type Hello,
  type Method,
  type Params,
  type ProtocolError,
  type Results,
} from '@shared/protocol'
import type { ControlMessage } from '@shared/preload-api'
import type { Transport } from './transport'

export class RequestError extends Error {
  readonly code: ProtocolError['code']
  constructor(error: ProtocolError) {
    super(error.message)
    this.code = error.code
  }
}

export interface ConsoleLink {
  readonly screen: string
  readonly cols: number
  readonly rows: number
  send(bytes: Uint8Array): void
  /** `done` must be called when the bytes are on the screen: that is the credit. */
  onOutput(listener: (bytes: Uint8Array, done: () => void) => void): void
  close(): void
}

interface Pending {
  resolve: (result: unknown) => void
  reject: (error: Error) => void
}

export type ConnectionState = 'connecting' | 'connected' | 'lost'

export class EngineClient {
  private readonly transport: Transport
  private readonly pending = new Map<number, Pending>()
  private readonly listeners = new Map<EventName, Set<(data: never) => void>>()
  private readonly channels = new Map<number, (bytes: Uint8Array) => void>()
  private nextId = 1
  private readonly connectedListeners: ((hello: Hello) => void)[] = []
  private readonly lostListeners: ((reason: string) => void)[] = []
  private readonly menuListeners: ((command: string) => void)[] = []
  private readonly openFileListeners: ((path: string) => void)[] = []
  /** Files that were opened before the engine answered. */
  private readonly filesToOpen: string[] = []
  private connected = false
  private readonly responsiveListeners: ((responsive: boolean) => void)[] = []

  constructor(transport: Transport) {
    this.transport = transport
    transport.onFrame((frame) => this.receive(frame))
    transport.onControl((message) => this.control(message))
  }

  request<M extends Method>(
    method: M,
    ...[params]: Record<string, never> extends Params<M> ? [Params<M>?] : [Params<M>]
  ): Promise<Results[M]> {
    const id = this.nextId++
    return new Promise<Results[M]>((resolve, reject) => {
      this.pending.set(id, { resolve: resolve as (result: unknown) => void, reject })
      this.transport.send(JSON.stringify({ id, method, params: params ?? {} }))
    })
  }

  /** Returns a function that stops listening. */
  on<E extends EventName>(event: E, listener: (data: Events[E]) => void): () => void {
    let set = this.listeners.get(event)
    if (!set) this.listeners.set(event, (set = new Set()))
    set.add(listener as (data: never) => void)
    return () => set.delete(listener as (data: never) => void)
  }

  onConnected(listener: (hello: Hello) => void): void {
    this.connectedListeners.push(listener)
  }
  onLost(listener: (reason: string) => void): void {
    this.lostListeners.push(listener)
  }
  onMenu(listener: (command: string) => void): void {
    this.menuListeners.push(listener)
  }
  /** The user opened an exported guest with the app. Called once the engine can take it. */
  onOpenFile(listener: (path: string) => void): void {
    this.openFileListeners.push(listener)
  }
  onResponsive(listener: (responsive: boolean) => void): void {
    this.responsiveListeners.push(listener)
  }

  restartEngine(): void {
    this.transport.restartEngine()
  }

  /** Opens a view of a guest's console. */
  async openConsole(guestId: string): Promise<ConsoleLink> {
    const early: Uint8Array[] = []
    let listener: ((bytes: Uint8Array, done: () => void) => void) | null = null
    const { channel, screen, cols, rows } = await this.request('console.attach', { guestId })
    let unacknowledged = 0
    const credit = (bytes: number): void => {
      unacknowledged += bytes
      // Small acknowledgements are gathered; a sixteenth of the window keeps the guest from ever noticing.
      if (unacknowledged < CONSOLE_WINDOW / 16 && unacknowledged < outstanding) return
      outstanding -= unacknowledged
      this.transport.send(encodeCredit(channel, unacknowledged))
      unacknowledged = 0
    }
    let outstanding = 0
    const deliver = (bytes: Uint8Array): void => {
      outstanding += bytes.length
      if (listener) listener(bytes, () => credit(bytes.length))
      else early.push(bytes)
    }
    for (const bytes of this.takeUnclaimed(channel)) deliver(bytes)
    this.channels.set(channel, deliver)
    return {
      screen,
      cols,
      rows,
      send: (bytes) => {
        for (let at = 0; at < bytes.length; at += MAX_PIECE) {
          this.transport.send(encodeFrame(FRAME_INPUT, channel, bytes.subarray(at, at + MAX_PIECE)))
        }
      },
      onOutput: (l) => {
        listener = l
        for (const bytes of early.splice(0)) l(bytes, () => credit(bytes.length))
      },
      close: () => {
        this.channels.delete(channel)
        void this.request('console.detach', { channel }).catch(() => undefined)
      },
    }
  }

  /** Output that arrived between the engine's answer and our looking at it. */
  private readonly unclaimed = new Map<number, Uint8Array[]>()

  private takeUnclaimed(channel: number): Uint8Array[] {
    const bytes = this.unclaimed.get(channel) ?? []
    this.unclaimed.delete(channel)
    return bytes
  }

  private receive(frame: Frame): void {
    if (typeof frame !== 'string') {
      const decoded = decodeFrame(frame)
      if (decoded?.type !== FRAME_OUTPUT) return
      const deliver = this.channels.get(decoded.channel)
      if (deliver) deliver(decoded.data)
      else {
        const list = this.unclaimed.get(decoded.channel) ?? []
        list.push(decoded.data)
        this.unclaimed.set(decoded.channel, list)
      }
      return
    }
    const message = JSON.parse(frame) as {
      id?: number
      result?: unknown
      error?: ProtocolError
      event?: EventName
      data?: unknown
    }
    if (message.event) {
      for (const listener of this.listeners.get(message.event) ?? []) listener(message.data as never)
      return
    }
    const pending = this.pending.get(message.id ?? -1)
    if (!pending) return
    this.pending.delete(message.id ?? -1)
    if (message.error) pending.reject(new RequestError(message.error))
    else pending.resolve(message.result)
  }

  private control(message: ControlMessage): void {
    if (message.control === 'connected') void this.hello()
    else if (message.control === 'engineDied') this.lost(message.reason)
    else if (message.control === 'engineResponsive') for (const l of this.responsiveListeners) l(message.responsive)
    else if (message.control === 'openFile') this.openFile(message.path)
    else for (const listener of this.menuListeners) listener(message.command)
  }

  private async hello(): Promise<void> {
    const front = window.kennel ? 'app' : 'web'
    const hello = await this.request('hello', { protocol: PROTOCOL_VERSION, front })
    this.connected = true
    for (const listener of this.connectedListeners) listener(hello)
    for (const path of this.filesToOpen.splice(0)) this.openFile(path)
  }

  private openFile(path: string): void {
    if (this.connected) for (const listener of this.openFileListeners) listener(path)
    else this.filesToOpen.push(path)
  }

  private lost(reason: string): void {
    this.connected = false
    for (const { reject } of this.pending.values()) reject(new RequestError({ code: 'internal', message: reason }))
    this.pending.clear()
    this.channels.clear()
    this.unclaimed.clear()
    for (const listener of this.lostListeners) listener(reason)
  }
}

/**
 * Many connections over the one channel between the engine process and its parent (Electron's main or the web front):
 * each message says which connection it is of. The parent also asks "ping" and expects "pong" within a second; that is
 * how a dead or hung engine is noticed.
 */
import type { Duplex, Frame } from '../shared/duplex.ts'

export type ProcessMessage =
  | { type: 'open'; connection: number }
  | { type: 'data'; connection: number; frame: Frame }
  | { type: 'close'; connection: number }
  | { type: 'ping'; sequence: number }
  | { type: 'pong'; sequence: number }
  | { type: 'ready' }
  /** The engine ends because of this: the second half of a sentence. */
  | { type: 'failed'; reason: string }
  | { type: 'shutdown' }

export function isProcessMessage(message: unknown): message is ProcessMessage {
  return typeof message === 'object' && message !== null && typeof (message as { type?: unknown }).type === 'string'
}

/** One connection's end on either side of the process channel. */
export class ChannelEnd implements Duplex {
  private readonly connection: number
  private readonly post: (message: ProcessMessage) => void
  private readonly messageListeners: ((frame: Frame) => void)[] = []
  private readonly closeListeners: (() => void)[] = []
  private closed = false

  constructor(connection: number, post: (message: ProcessMessage) => void) {
    this.connection = connection
    this.post = post
  }

  send(frame: Frame): void {
    if (!this.closed) this.post({ type: 'data', connection: this.connection, frame })
  }

  onMessage(listener: (frame: Frame) => void): void {
    this.messageListeners.push(listener)
  }

  onClose(listener: () => void): void {
    this.closeListeners.push(listener)
  }

  close(): void {
    if (this.closed) return
    this.post({ type: 'close', connection: this.connection })
    this.closedByPeer()
  }

  /** Delivers a frame that came over the channel. */
  receive(frame: Frame): void {
    if (!this.closed) for (const listener of this.messageListeners) listener(frame)
  }

  /** The other side closed, or the channel is gone. */
  closedByPeer(): void {
    if (this.closed) return
    this.closed = true
    for (const listener of this.closeListeners) listener()
  }
}

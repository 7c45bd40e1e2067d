/**
 * Duplex: one message channel between a front and the engine, whatever carries it: a MessagePort (Electron), a
 * WebSocket (web front), a local socket (command line), or a pair in memory (tests).
 */
export type Frame = string | Uint8Array

export interface Duplex {
  send(frame: Frame): void
  onMessage(listener: (frame: Frame) => void): void
  /** Called once when either side closes or the other side died. */
  onClose(listener: () => void): void
  close(): void
}

/** Two connected ends in one process; messages arrive in a microtask, in order. */
export function duplexPair(): [Duplex, Duplex] {
  class End implements Duplex {
    other: End | undefined
    private messageListeners: ((frame: Frame) => void)[] = []
    private closeListeners: (() => void)[] = []
    private closed = false

    send(frame: Frame): void {
      if (this.closed) return
      const copy = typeof frame === 'string' ? frame : frame.slice()
      queueMicrotask(() => this.other?.deliver(copy))
    }
    private deliver(frame: Frame): void {
      if (!this.closed) for (const listener of this.messageListeners) listener(frame)
    }
    onMessage(listener: (frame: Frame) => void): void {
      this.messageListeners.push(listener)
    }
    onClose(listener: () => void): void {
      this.closeListeners.push(listener)
    }
    close(): void {
      if (this.closed) return
      this.closed = true
      for (const listener of this.closeListeners) queueMicrotask(listener)
      this.other?.close()
    }
  }
  const a = new End()
  const b = new End()
  a.other = b
  b.other = a
  return [a, b]
}

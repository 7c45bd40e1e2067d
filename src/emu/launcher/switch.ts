/**
 * A learning Ethernet switch between the guests of one computer (IEEE 802.1D, the part about forwarding): it remembers behind which port an
 * address was seen, sends frames for known addresses there, and all others, and those to groups, everywhere else. Each port has a
 * queue of its own that drops when it is full: a guest that does not listen costs nobody anything.
 */

/** Ethernet without the checksum: header alone, and the longest with a VLAN tag. */
export const FRAME_MIN = 14
export const FRAME_MAX = 1518
/** Frames a port holds for its guest; addresses a switch remembers. */
export const PORT_QUEUE = 256
export const ADDRESS_TABLE = 1024

export interface SwitchPort {
  send(frame: Uint8Array): void
  /** The oldest frame waiting here. */
  first(): Uint8Array | undefined
  /** Removes it. */
  drop(): void
  /** Removes all. */
  clear(): void
  /** The guest is gone. */
  detach(): void
  /** Frames, and bytes of those that went. */
  readonly stats: PortStats
}

export interface PortStats {
  sent: number
  received: number
  dropped: number
  sentBytes: number
  receivedBytes: number
}

class Port implements SwitchPort {
  readonly stats: PortStats = { sent: 0, received: 0, dropped: 0, sentBytes: 0, receivedBytes: 0 }
  private readonly owner: EthernetSwitch
  private readonly onFrame: () => void
  private queue: Uint8Array[]

  constructor(owner: EthernetSwitch, onFrame: () => void) {
    this.owner = owner
    this.onFrame = onFrame
    this.queue = []
  }

  send(frame: Uint8Array): void {
    this.stats.sent++
    this.stats.sentBytes += frame.length
    this.owner.forward(this, frame)
  }

  deliver(frame: Uint8Array): void {
    if (this.queue.length >= PORT_QUEUE) {
      this.stats.dropped++
      return
    }
    this.stats.received++
    this.stats.receivedBytes += frame.length
    this.queue.push(frame)
    this.onFrame()
  }

  first(): Uint8Array | undefined {
    return this.queue[0]
  }

  drop(): void {
    this.queue.shift()
  }

  clear(): void {
    this.queue = []
  }

  detach(): void {
    this.clear()
    this.owner.remove(this)
  }
}

export class EthernetSwitch {
  private readonly ports: Set<Port>
  /** Least recently seen first. */
  private readonly addresses: Map<string, Port>

  constructor() {
    this.ports = new Set()
    this.addresses = new Map()
  }

  /** A new port; `onFrame` is called when a frame has arrived at it. */
  attach(onFrame: () => void): SwitchPort {
    const port = new Port(this, onFrame)
    this.ports.add(port)
    return port
  }

  remove(port: Port): void {
    this.ports.delete(port)
    for (const [address, behind] of this.addresses) if (behind === port) this.addresses.delete(address)
  }

  forward(from: Port, frame: Uint8Array): void {
    if (!this.ports.has(from) || frame.length < FRAME_MIN) return
    const source = addressKey(frame, 6)
    // A group address cannot be a sender: nothing to learn.
    if ((frame[6] & 1) === 0) {
      this.addresses.delete(source)
      this.addresses.set(source, from)
      if (this.addresses.size > ADDRESS_TABLE) this.addresses.delete(this.addresses.keys().next().value!)
    }
    const to = (frame[0] & 1) === 0 ? this.addresses.get(addressKey(frame, 0)) : undefined
    if (to !== undefined) {
      if (to !== from) to.deliver(frame)
      return
    }
    for (const port of this.ports) if (port !== from) port.deliver(frame)
  }
}

function addressKey(frame: Uint8Array, at: number): string {
  return String.fromCharCode(...frame.subarray(at, at + 6))
}

/** The address of guest number `number` (0-65535): locally administered, "ken" in the middle. */
export function guestMac(number: number): Uint8Array {
  return Uint8Array.of(0x02, 0x6b, 0x65, 0x6e, (number >>> 8) & 0xff, number & 0xff)
}

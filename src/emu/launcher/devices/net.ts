/**
 * The virtio network card (virtio 0.9.5, appendix C; reference 10.2, 11.3): queue 0 receives, queue 1 sends; each frame has a header of
 * 10 bytes in front. Offered are a MAC address and indirect descriptors, no offloads: what the guest sends is a whole
 * Ethernet frame, and goes to a switch (switch.ts). The card takes frames for its address and for groups, like real ones.
 */
import { Bytes } from '../../bits/bytes.ts'
import type { DeviceStateView } from '../../layout/launcher-state.ts'
import {
  VIRTIO_ID,
  VIRTIO_NET_F_MAC,
  VIRTIO_RING_F_INDIRECT_DESC,
  VirtioNetConfig,
  VirtioNetHdr,
} from '../../layout/virtio.ts'
import { type Device, SERVICE_BUDGET } from '../device.ts'
import { FRAME_MAX, FRAME_MIN, type SwitchPort } from '../switch.ts'
import type { Virtqueue } from '../virtqueue.ts'

export class NetDevice implements Device {
  readonly type = VIRTIO_ID.NET
  readonly name = 'net'
  readonly queueNames = ['net receive', 'net transmit']
  readonly features = (1 << VIRTIO_NET_F_MAC) | (1 << VIRTIO_RING_F_INDIRECT_DESC)
  readonly config: Uint8Array
  private readonly mac: Uint8Array
  private readonly port: SwitchPort
  private receive!: Virtqueue
  private transmit!: Virtqueue
  private state!: DeviceStateView

  constructor(mac: Uint8Array, port: SwitchPort) {
    this.mac = mac
    this.port = port
    this.config = new Uint8Array(VirtioNetConfig.size)
    const config = VirtioNetConfig.at(new Bytes(this.config), 0)
    for (let i = 0; i < 6; i++) config.mac.set(i, mac[i])
  }

  attach(queues: readonly Virtqueue[], state: DeviceStateView): void {
    ;[this.receive, this.transmit] = queues
    this.state = state
  }

  reset(): void {
    this.port.clear()
  }

  start(): void {
    this.receive.wantKicks(false)
  }

  service(): boolean {
    const more = this.serviceTransmit()
    this.serviceReceive()
    return more
  }

  /** The frame is one this card listens to: its own address or a group (broadcast included). */
  private accepts(frame: Uint8Array): boolean {
    return (frame[0] & 1) !== 0 || this.mac.every((byte, i) => frame[i] === byte)
  }

  private serviceTransmit(): boolean {
    const { transmit } = this
    let budget = SERVICE_BUDGET
    do {
      transmit.wantKicks(false)
      for (let chain = transmit.peek(); chain !== undefined; chain = transmit.peek()) {
        if (budget <= 0) {
          transmit.interrupt()
          return true
        }
        transmit.take()
        if (chain.writeLength > 0) transmit.bad('a writable descriptor in a transmit queue')
        const length = chain.readLength - VirtioNetHdr.size
        if (length < 0) transmit.bad(`a frame of ${chain.readLength} bytes has no header`)
        // Runts and giants go where a real card would let them go: nowhere.
        if (length >= FRAME_MIN && length <= FRAME_MAX) this.port.send(transmit.read(chain, VirtioNetHdr.size))
        transmit.push(chain, 0)
        budget -= Math.max(length, FRAME_MIN)
      }
    } while (transmit.wantKicks(true))
    transmit.interrupt()
    return false
  }

  private serviceReceive(): void {
    const { receive, port } = this
    do {
      receive.wantKicks(false)
      for (let frame = port.first(); frame !== undefined; frame = port.first()) {
        if (!this.accepts(frame)) {
          port.drop()
          continue
        }
        const chain = receive.peek()
        if (chain === undefined) break
        if (chain.readLength > 0) receive.bad('a readable descriptor in a receive queue')
        port.drop()
        const length = VirtioNetHdr.size + frame.length
        if (chain.writeLength < length) {
          // Part of a frame is of no use to anybody; the buffer stays for one that fits.
          this.state.dropped++
          continue
        }
        receive.take()
        receive.write(chain, new Uint8Array(VirtioNetHdr.size))
        receive.write(chain, frame, VirtioNetHdr.size)
        receive.push(chain, length)
      }
    } while (receive.wantKicks(port.first() !== undefined))
    receive.interrupt()
  }
}

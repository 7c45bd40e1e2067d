/**
 * The virtio console (virtio 0.9.5, appendix C.3; reference 11.3): queue 0 takes buffers for input, queue 1 has output. No features, no
 * configuration. Input waits at the port until the guest offers a buffer; output leaves as fast as the front has room, and
 * a chain larger than that leaves in parts.
 */
import type { DeviceStateView } from '../../layout/launcher-state.ts'
import { VIRTIO_ID } from '../../layout/virtio.ts'
import type { ConsolePort } from '../console-port.ts'
import { type Device, SERVICE_BUDGET } from '../device.ts'
import type { Virtqueue } from '../virtqueue.ts'

export class ConsoleDevice implements Device {
  readonly type = VIRTIO_ID.CONSOLE
  readonly name = 'console'
  readonly queueNames = ['console input', 'console output']
  readonly features = 0
  readonly config = new Uint8Array(0)
  private readonly port: ConsolePort
  private input!: Virtqueue
  private output!: Virtqueue
  private state!: DeviceStateView

  constructor(port: ConsolePort) {
    this.port = port
  }

  attach(queues: readonly Virtqueue[], state: DeviceStateView): void {
    ;[this.input, this.output] = queues
    this.state = state
  }

  reset(): void {
    this.state.chain_done = 0
  }

  start(): void {
    this.input.wantKicks(false)
  }

  service(): boolean {
    this.serviceInput()
    return this.serviceOutput()
  }

  private serviceInput(): void {
    do {
      this.input.wantKicks(false)
      while (this.port.waiting > 0) {
        const chain = this.input.pop()
        if (chain === undefined) break
        if (chain.readLength > 0) this.input.bad('a readable descriptor in an input queue')
        const bytes = this.port.takeInput(chain.writeLength)
        this.input.write(chain, bytes)
        this.input.push(chain, bytes.length)
      }
      // Buffers are of interest only to those who have something to put in.
    } while (this.input.wantKicks(this.port.waiting > 0) && this.port.waiting > 0)
    this.input.interrupt()
  }

  private serviceOutput(): boolean {
    const { output, port, state } = this
    let budget = SERVICE_BUDGET
    let again: boolean
    do {
      output.wantKicks(false)
      for (let chain = output.peek(); chain !== undefined; chain = output.peek()) {
        if (chain.writeLength > 0) output.bad('a writable descriptor in an output queue')
        const part = Math.min(chain.readLength - state.chain_done, budget, port.room())
        if (part > 0) {
          port.write(output.read(chain, state.chain_done, part))
          state.chain_done += part
          budget -= part
        }
        if (state.chain_done < chain.readLength) {
          // No room: the front will call. No budget: our next turn comes soon. No kick is needed for either.
          output.interrupt()
          return budget === 0
        }
        output.take()
        state.chain_done = 0
        output.push(chain, 0)
      }
      again = output.wantKicks(true)
    } while (again)
    output.interrupt()
    return false
  }
}

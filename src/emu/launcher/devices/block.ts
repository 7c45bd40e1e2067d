/**
 * The virtio disk (virtio 0.9.5, appendix D; reference 10.2, 11.3). One queue; a request is
 *
 *      readable: { type, ioprio, sector } [data to write]     writable: [data read] status byte
 *
 * Features: SEG_MAX, FLUSH, and RO for a read-only backend. What the backend cannot do (out of range, read-only, an error of the file behind
 * it) is status 1 and the guest lives on; what it has never heard of is status 2. A request without header or
 * status byte is malformed and ends the guest. A request can be as long as a disk: a large one is carried out in parts, a turn each.
 */
import { Bytes } from '../../bits/bytes.ts'
import type { DeviceStateView } from '../../layout/launcher-state.ts'
import {
  SECTOR_SIZE,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_RO,
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_S,
  VIRTIO_BLK_T,
  VIRTIO_ID,
  VirtioBlkConfig,
  VirtioBlkOuthdr,
  VIRTQUEUE_NUM,
} from '../../layout/virtio.ts'
import type { BlockBackend } from '../block-backend.ts'
import { type Device, SERVICE_BUDGET } from '../device.ts'
import type { Chain, Virtqueue } from '../virtqueue.ts'

export class BlockDevice implements Device {
  readonly type = VIRTIO_ID.BLOCK
  readonly name: string
  readonly queueNames: readonly string[]
  readonly features: number
  readonly config: Uint8Array
  private readonly backend: BlockBackend
  private queue!: Virtqueue
  private state!: DeviceStateView

  /** `name` is what the guest will probably call it: "vda". */
  constructor(name: string, backend: BlockBackend) {
    this.name = `disk ${name}`
    this.queueNames = [`disk ${name} requests`]
    this.backend = backend
    this.features =
      (1 << VIRTIO_BLK_F_SEG_MAX) | (1 << VIRTIO_BLK_F_FLUSH) | (backend.readOnly ? 1 << VIRTIO_BLK_F_RO : 0)
    this.config = new Uint8Array(VirtioBlkConfig.size)
    const config = VirtioBlkConfig.at(new Bytes(this.config), 0)
    config.capacity = this.sectors
    // Header and status take two descriptors of a chain.
    config.seg_max = VIRTQUEUE_NUM - 2
  }

  private get sectors(): number {
    return Math.floor(this.backend.size / SECTOR_SIZE)
  }

  attach(queues: readonly Virtqueue[], state: DeviceStateView): void {
    ;[this.queue] = queues
    this.state = state
  }

  reset(): void {
    this.state.chain_done = 0
  }

  start(): void {}

  service(): boolean {
    const { queue, state } = this
    let budget = SERVICE_BUDGET
    do {
      queue.wantKicks(false)
      for (let chain = queue.peek(); chain !== undefined; chain = queue.peek()) {
        const before = state.chain_done
        const written = budget > 0 ? this.request(chain, budget) : undefined
        if (written === undefined) {
          queue.interrupt()
          return true
        }
        state.chain_done = 0
        queue.take()
        queue.push(chain, written)
        budget -= chain.readLength + chain.writeLength - before
      }
    } while (queue.wantKicks(true))
    queue.interrupt()
    return false
  }

  /** Carries out one request; returns the bytes written to the guest, or undefined when `budget` is used up before its end. */
  private request(chain: Chain, budget: number): number | undefined {
    const { queue } = this
    if (chain.readLength < VirtioBlkOuthdr.size) {
      queue.bad(`a request of ${chain.readLength} bytes has no header`)
    }
    if (chain.writeLength < 1) queue.bad('a request has no byte for its status')
    const header = VirtioBlkOuthdr.at(new Bytes(queue.read(chain, 0, VirtioBlkOuthdr.size)), 0)
    let status: number = VIRTIO_BLK_S.OK
    let read = 0
    try {
      switch (header.type) {
        case VIRTIO_BLK_T.IN: {
          const length = chain.writeLength - 1
          if (!this.inside(header.sector, length)) status = VIRTIO_BLK_S.IOERR
          else if (!this.read(chain, header.sector, length, budget)) return undefined
          else read = length
          break
        }
        case VIRTIO_BLK_T.OUT: {
          const length = chain.readLength - VirtioBlkOuthdr.size
          if (this.backend.readOnly || !this.inside(header.sector, length)) status = VIRTIO_BLK_S.IOERR
          else if (!this.write(chain, header.sector, length, budget)) return undefined
          break
        }
        case VIRTIO_BLK_T.FLUSH:
        case VIRTIO_BLK_T.FLUSH_OUT:
          attempt(() => this.backend.flush())
          break
        default:
          status = VIRTIO_BLK_S.UNSUPP
      }
    } catch (error) {
      // Errors of the backend are the disk's; the guest's are not caught here, and our own must not be hidden.
      if (!(error instanceof BackendError)) throw error
      status = VIRTIO_BLK_S.IOERR
    }
    queue.write(chain, Uint8Array.of(status), chain.writeLength - 1)
    return read + 1
  }

  /** True when `length` bytes from `sector` on are whole sectors of the disk, and no more than chain_done can count. */
  private inside(sector: number, length: number): boolean {
    return length % SECTOR_SIZE === 0 && length < 2 ** 32 && sector + length / SECTOR_SIZE <= this.sectors
  }

  /** Both go on where the turn before stopped; true when they are through. */
  private read(chain: Chain, sector: number, length: number, budget: number): boolean {
    const done = this.state.chain_done
    const part = Math.min(budget, length - done)
    if (part > 0) {
      const bytes = attempt(() => this.backend.read(sector * SECTOR_SIZE + done, part))
      this.queue.write(chain, bytes, done)
    }
    return this.advance(part, length)
  }

  private write(chain: Chain, sector: number, length: number, budget: number): boolean {
    const done = this.state.chain_done
    const part = Math.min(budget, length - done)
    if (part > 0) {
      const bytes = this.queue.read(chain, VirtioBlkOuthdr.size + done, part)
      attempt(() => this.backend.write(sector * SECTOR_SIZE + done, bytes))
    }
    return this.advance(part, length)
  }

  private advance(part: number, length: number): boolean {
    // The guest may have made the request shorter meanwhile.
    this.state.chain_done += Math.max(0, part)
    return this.state.chain_done >= length
  }
}

/** The backend could not do it. */
class BackendError extends Error {}

function attempt<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw new BackendError(error instanceof Error ? error.message : String(error))
  }
}

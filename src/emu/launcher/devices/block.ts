/**
 * The virtio disk (virtio 0.9.5, appendix D; reference 10.2, 11.3). One queue; a request is
 *
 *      readable: { type, ioprio, sector } [data to write]     writable: [data read] status byte
 *
 * Features: SEG_MAX, FLUSH, and RO for a read-only backend. What the backend cannot do (out of range, read-only, an error of the file behind
 * it) is status 1 and the guest lives on; what it has never heard of is status 2. A request without header or
 * status byte is malformed and ends the guest.
 */
import { Bytes } from '../../bits/bytes.ts'
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

  attach(queues: readonly Virtqueue[]): void {
    ;[this.queue] = queues
  }

  reset(): void {}

  start(): void {}

  service(): boolean {
    const { queue } = this
    let budget = SERVICE_BUDGET
    do {
      queue.wantKicks(false)
      for (let chain = queue.peek(); chain !== undefined; chain = queue.peek()) {
        if (budget <= 0) {
          queue.interrupt()
          return true
        }
        queue.take()
        queue.push(chain, this.request(chain))
        budget -= chain.readLength + chain.writeLength
      }
    } while (queue.wantKicks(true))
    queue.interrupt()
    return false
  }

  /** Carries out one request; returns the bytes written to the guest. */
  private request(chain: Chain): number {
    const { queue } = this
    if (chain.readLength < VirtioBlkOuthdr.size) {
      queue.bad(`a request of ${chain.readLength} bytes has no header`)
    }
    if (chain.writeLength < 1) queue.bad('a request has no byte for its status')
    const header = VirtioBlkOuthdr.at(new Bytes(queue.read(chain, 0, VirtioBlkOuthdr.size)), 0)
    let status: number
    let read = 0
    try {
      switch (header.type) {
        case VIRTIO_BLK_T.IN:
          read = this.read(chain, header.sector)
          status = read < 0 ? VIRTIO_BLK_S.IOERR : VIRTIO_BLK_S.OK
          break
        case VIRTIO_BLK_T.OUT:
          status = this.write(chain, header.sector) ? VIRTIO_BLK_S.OK : VIRTIO_BLK_S.IOERR
          break
        case VIRTIO_BLK_T.FLUSH:
        case VIRTIO_BLK_T.FLUSH_OUT:
          attempt(() => this.backend.flush())
          status = VIRTIO_BLK_S.OK
          break
        default:
          status = VIRTIO_BLK_S.UNSUPP
      }
    } catch (error) {
      // Errors of the backend are the disk's; the guest's are not caught here, and our own must not be hidden.
      if (!(error instanceof BackendError)) throw error
      read = 0
      status = VIRTIO_BLK_S.IOERR
    }
    queue.write(chain, Uint8Array.of(status), chain.writeLength - 1)
    return Math.max(0, read) + 1
  }

  /** True when `length` bytes from `sector` on are whole sectors of the disk. */
  private inside(sector: number, length: number): boolean {
    return length % SECTOR_SIZE === 0 && sector + length / SECTOR_SIZE <= this.sectors
  }

  private read(chain: Chain, sector: number): number {
    const length = chain.writeLength - 1
    if (!this.inside(sector, length)) return -1
    for (let done = 0; done < length; done += SERVICE_BUDGET) {
      const part = Math.min(SERVICE_BUDGET, length - done)
      const bytes = attempt(() => this.backend.read(sector * SECTOR_SIZE + done, part))
      this.queue.write(chain, bytes, done)
    }
    return length
  }

  private write(chain: Chain, sector: number): boolean {
    const length = chain.readLength - VirtioBlkOuthdr.size
    if (this.backend.readOnly || !this.inside(sector, length)) return false
    for (let done = 0; done < length; done += SERVICE_BUDGET) {
      const part = Math.min(SERVICE_BUDGET, length - done)
      const bytes = this.queue.read(chain, VirtioBlkOuthdr.size + done, part)
      attempt(() => this.backend.write(sector * SECTOR_SIZE + done, bytes))
    }
    return true
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

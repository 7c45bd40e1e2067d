/**
 * The virtio random number device (virtio 0.9.5, appendix F): one queue of writable buffers, which are filled. The bytes come from
 * a source given from outside, so a deterministic run has deterministic randomness.
 */
import { VIRTIO_ID } from '../../layout/virtio.ts'
import { type Device, SERVICE_BUDGET } from '../device.ts'
import type { Virtqueue } from '../virtqueue.ts'

/** `length` random bytes. */
export type RandomSource = (length: number) => Uint8Array

export class RngDevice implements Device {
  readonly type = VIRTIO_ID.RNG
  readonly name = 'rng'
  readonly queueNames = ['rng requests']
  readonly features = 0
  readonly config = new Uint8Array(0)
  private readonly source: RandomSource
  private queue!: Virtqueue

  constructor(source: RandomSource) {
    this.source = source
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
        if (chain.readLength > 0) queue.bad('a readable descriptor in a queue of random bytes')
        // A buffer can be as large as the guest says; filling part of it is allowed, and enough.
        const length = Math.min(chain.writeLength, SERVICE_BUDGET)
        queue.write(chain, this.source(length))
        queue.push(chain, length)
        budget -= length
      }
    } while (queue.wantKicks(true))
    queue.interrupt()
    return false
  }
}

/** A reproducible source: xorshift64 from a seed (two words, not both 0). Not for secrets. */
export function seededRandom(seed: number): RandomSource {
  let high = (seed ^ 0x9e37_79b9) | 0
  let low = seed | 1
  return (length) => {
    const bytes = new Uint8Array(length)
    for (let i = 0; i < length; i++) {
      // x ^= x << 13; x ^= x >>> 7; x ^= x << 17, on 64 bits in two halves.
      high ^= (high << 13) | (low >>> 19)
      low ^= low << 13
      low ^= (low >>> 7) | (high << 25)
      high ^= high >>> 7
      high ^= (high << 17) | (low >>> 15)
      low ^= low << 17
      bytes[i] = high >>> 24
    }
    return bytes
  }
}

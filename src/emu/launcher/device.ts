/**
 * What every virtio device of a launcher is. The devices are in devices/, one file each, all of this shape:
 *
 *   attach(queues, state)  once, when the launcher has its memory: the rings and the device's private words
 *   reset()                the guest wrote status 0: forget what was in hand
 *   start(features)        the guest has accepted features; service may begin
 *   service()              do what can be done on all queues; called after a kick, and after news from outside
 *
 * A device keeps nothing in TypeScript but its connection to the outside world; the rest is in the launcher's private memory.
 */
import type { DeviceStateView } from '../layout/launcher-state.ts'
import type { Virtqueue } from './virtqueue.ts'

/** Bytes a device moves in one turn before it lets others have theirs. */
export const SERVICE_BUDGET = 64 * 1024

export interface Device {
  /** VIRTIO_ID. */
  readonly type: number
  /** "disk vda". */
  readonly name: string
  /** "disk vda requests": one for each queue. */
  readonly queueNames: readonly string[]
  /** Features offered, bits 0-31. */
  readonly features: number
  /** Device configuration, as in the device page. */
  readonly config: Uint8Array
  attach(queues: readonly Virtqueue[], state: DeviceStateView): void
  reset(): void
  start(features: number): void
  /** True when there is more to do and only the turn's budget was in the way. Throws GuestError. */
  service(): boolean
}

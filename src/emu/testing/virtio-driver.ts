/**
 * The guest's side of a virtqueue, and guest memory, for the launcher's unit tests. The driver puts chains into the ring like a
 * guest would, or like a guest never should: every field can be written by hand.
 */
import { Bytes } from '../bits/bytes.ts'
import { DeviceState, type DeviceStateView, VirtqueueState } from '../layout/launcher-state.ts'
import {
  VRING_DESC_F_INDIRECT,
  VRING_DESC_F_NEXT,
  VRING_DESC_F_WRITE,
  VringDesc,
  VringUsedElem,
} from '../layout/virtio.ts'
import type { Device } from '../launcher/device.ts'
import type { GuestRam } from '../launcher/guest-ram.ts'
import { Virtqueue, vringLayout } from '../launcher/virtqueue.ts'

/** Guest memory as an array. */
export class ArrayRam extends Bytes implements GuestRam {
  get size(): number {
    return this.bytes.length
  }

  readBytes(gpa: number, length: number): Uint8Array {
    if (gpa + length > this.size) throw new Error(`read of ${gpa}+${length}, outside the test's memory`)
    return this.bytes.slice(gpa, gpa + length)
  }

  writeBytes(gpa: number, bytes: Uint8Array): void {
    if (gpa + bytes.length > this.size) throw new Error(`write of ${gpa}+${bytes.length}, outside the test's memory`)
    this.bytes.set(bytes, gpa)
  }
}

export interface Buffer {
  readonly gpa: number
  readonly length: number
  readonly write?: boolean
}

export class QueueDriver {
  readonly ram: GuestRam
  readonly gpa: number
  readonly num: number
  /** Next free descriptor, never reused: tests are short. */
  private free = 0
  private seen = 0

  constructor(ram: GuestRam, gpa: number, num: number) {
    this.ram = ram
    this.gpa = gpa
    this.num = num
  }

  get avail(): number {
    return this.gpa + vringLayout(this.num).avail
  }

  get used(): number {
    return this.gpa + vringLayout(this.num).used
  }

  desc(index: number, fields: { addr?: number; len?: number; flags?: number; next?: number }, table = this.gpa): void {
    const desc = VringDesc.at(this.ram, table + index * VringDesc.size)
    desc.addr = fields.addr ?? 0
    desc.len = fields.len ?? 0
    desc.flags = fields.flags ?? 0
    desc.next = fields.next ?? 0
  }

  /** Makes descriptor `head` available. */
  offer(head: number): void {
    const idx = this.ram.read16(this.avail + 2)
    this.ram.write16(this.avail + 4 + 2 * (idx % this.num), head)
    this.ram.write16(this.avail + 2, (idx + 1) & 0xffff)
  }

  setAvailIdx(idx: number): void {
    this.ram.write16(this.avail + 2, idx)
  }

  setNoInterrupt(on: boolean): void {
    this.ram.write16(this.avail, on ? 1 : 0)
  }

  get noNotify(): boolean {
    return (this.ram.read16(this.used) & 1) !== 0
  }

  /** Puts a well-formed chain into the ring; returns its head. */
  add(buffers: readonly Buffer[]): number {
    const head = this.free
    buffers.forEach((buffer, i) => {
      const last = i === buffers.length - 1
      this.desc((this.free + i) % this.num, {
        addr: buffer.gpa,
        len: buffer.length,
        flags: (last ? 0 : VRING_DESC_F_NEXT) | (buffer.write === true ? VRING_DESC_F_WRITE : 0),
        next: (this.free + i + 1) % this.num,
      })
    })
    this.free = (this.free + buffers.length) % this.num
    this.offer(head)
    return head
  }

  /** The same through an indirect table at gpa `table`. */
  addIndirect(table: number, buffers: readonly Buffer[]): number {
    buffers.forEach((buffer, i) => {
      const flags =
        (i === buffers.length - 1 ? 0 : VRING_DESC_F_NEXT) | (buffer.write === true ? VRING_DESC_F_WRITE : 0)
      this.desc(i, { addr: buffer.gpa, len: buffer.length, flags, next: i + 1 }, table)
    })
    const head = this.free
    this.free = (this.free + 1) % this.num
    this.desc(head, { addr: table, len: buffers.length * VringDesc.size, flags: VRING_DESC_F_INDIRECT })
    this.offer(head)
    return head
  }

  /** What the device handed back since the last call. */
  takeUsed(): { id: number; len: number }[] {
    const all: { id: number; len: number }[] = []
    for (; this.seen !== this.ram.read16(this.used + 2); this.seen = (this.seen + 1) & 0xffff) {
      const elem = VringUsedElem.at(this.ram, this.used + 4 + VringUsedElem.size * (this.seen % this.num))
      all.push({ id: elem.id, len: elem.len })
    }
    return all
  }
}

export interface DeviceBench {
  readonly ram: ArrayRam
  readonly drivers: readonly QueueDriver[]
  readonly queues: readonly Virtqueue[]
  readonly state: DeviceStateView
  /** Interrupts raised, in order: irq 1 is queue 0's. */
  readonly interrupts: number[]
}

/** Memory below the rings that tests may use for buffers. */
export const BENCH_MEMORY = 0x40000

/** Attaches and starts a device on `num`-entry rings behind BENCH_MEMORY bytes of guest memory. */
export function deviceBench(device: Device, num = 8): DeviceBench {
  const ringSize = Math.ceil(vringLayout(num).size / 4096) * 4096
  const ram = new ArrayRam(new Uint8Array(BENCH_MEMORY + ringSize * device.queueNames.length))
  const state = DeviceState.at(new Bytes(new Uint8Array(DeviceState.size)), 0)
  const interrupts: number[] = []
  const drivers: QueueDriver[] = []
  const queues = device.queueNames.map((name, i) => {
    const gpa = BENCH_MEMORY + i * ringSize
    const queue = VirtqueueState.at(state.$mem, DeviceState.offset.queues + i * VirtqueueState.size)
    queue.num = num
    queue.gpa = gpa
    queue.irq = i + 1
    drivers.push(new QueueDriver(ram, gpa, num))
    return new Virtqueue(name, ram, queue, (irq) => interrupts.push(irq))
  })
  device.attach(queues, state)
  device.start(device.features)
  return { ram, drivers, queues, state, interrupts }
}

export const text = (value: string): Uint8Array => Uint8Array.from(value, (character) => character.charCodeAt(0))
export const string = (bytes: Uint8Array): string => String.fromCharCode(...bytes)

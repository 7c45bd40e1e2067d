/**
 * The device's side of a split virtqueue (virtio 0.9.5, section 2.3; reference 11.1, 11.2). The ring is the guest's memory and says whatever
 * the guest likes, so everything in it is checked as it is read; a chain that breaks the rules ends the guest (GuestError) and nothing else.
 *
 *      avail.ring --head--> desc --next--> desc --next--> desc        readable ones first, then writable ones
 *                            \-- INDIRECT: the same in a table of its own
 *      done: used.ring[used.idx % num] = { head, bytes written }, then used.idx + 1
 *
 * What must survive a turn is in VirtqueueState (the launcher's private memory). No event index is ever offered.
 */
import type { VirtqueueStateView } from '../layout/launcher-state.ts'
import {
  VRING_ALIGN,
  VRING_AVAIL_F_NO_INTERRUPT,
  VRING_DESC_F_INDIRECT,
  VRING_DESC_F_NEXT,
  VRING_DESC_F_WRITE,
  VRING_USED_F_NO_NOTIFY,
  VringDesc,
  VringHeader,
  VringUsedElem,
} from '../layout/virtio.ts'
import { GuestError, hex } from './errors.ts'
import type { GuestRam } from './guest-ram.ts'

/** A piece of guest memory, known to be inside it. */
export interface Segment {
  readonly gpa: number
  readonly length: number
}

/** One request. */
export interface Chain {
  /** Number of its first descriptor: its name in the used ring. */
  readonly head: number
  readonly readable: readonly Segment[]
  readonly writable: readonly Segment[]
  /** Sums of the lengths. */
  readonly readLength: number
  readonly writeLength: number
}

/** Where the parts of a ring of `num` entries are, relative to its start, and how many bytes it takes. */
export function vringLayout(num: number): { avail: number; used: number; size: number } {
  const avail = VringDesc.size * num
  const availEnd = avail + VringHeader.size + 2 * num + 2
  const used = Math.ceil(availEnd / VRING_ALIGN) * VRING_ALIGN
  return { avail, used, size: used + VringHeader.size + VringUsedElem.size * num + 2 }
}

export class Virtqueue {
  /** "console output": for reasons. */
  readonly name: string
  private readonly ram: GuestRam
  private readonly state: VirtqueueStateView
  private readonly raiseInterrupt: (irq: number) => void

  constructor(name: string, ram: GuestRam, state: VirtqueueStateView, raiseInterrupt: (irq: number) => void) {
    this.name = name
    this.ram = ram
    this.state = state
    this.raiseInterrupt = raiseInterrupt
  }

  private get avail(): number {
    return this.state.gpa + vringLayout(this.state.num).avail
  }

  private get used(): number {
    return this.state.gpa + vringLayout(this.state.num).used
  }

  /** Ends the guest, saying which queue. */
  bad(problem: string): never {
    throw new GuestError(`virtqueue "${this.name}": ${problem}`)
  }

  /** The device is reset: an empty ring, at its beginning. */
  reset(): void {
    this.ram.writeBytes(this.state.gpa, new Uint8Array(vringLayout(this.state.num).size))
    this.state.last_avail_idx = 0
    this.state.pending_used = 0
  }

  /** The next request, which stays the next one until take(). Undefined when the guest has none. */
  peek(): Chain | undefined {
    const { num } = this.state
    const last = this.state.last_avail_idx
    const idx = this.ram.read16(this.avail + VringHeader.offset.idx)
    const waiting = (idx - last) & 0xffff
    if (waiting === 0) return undefined
    if (waiting > num) this.bad(`avail index jumped from ${last} to ${idx} in a ring of ${num}`)
    const head = this.ram.read16(this.avail + VringHeader.size + 2 * (last % num))
    if (head >= num) this.bad(`avail ring names descriptor ${head} of ${num}`)
    return this.chain(head)
  }

  /** The request peek() showed is ours now. */
  take(): void {
    this.state.last_avail_idx = (this.state.last_avail_idx + 1) & 0xffff
  }

  /** peek() and take() in one. */
  pop(): Chain | undefined {
    const chain = this.peek()
    if (chain !== undefined) this.take()
    return chain
  }

  private chain(head: number): Chain {
    const { num } = this.state
    const readable: Segment[] = []
    const writable: Segment[] = []
    let readLength = 0
    let writeLength = 0

    let table = this.state.gpa
    let entries = num
    let index = head
    const first = VringDesc.at(this.ram, table + head * VringDesc.size)
    const indirect = (first.flags & VRING_DESC_F_INDIRECT) !== 0
    if (indirect) {
      if ((first.flags & VRING_DESC_F_NEXT) !== 0) this.bad(`descriptor ${head} is indirect and has a next one`)
      if (first.len === 0 || first.len % VringDesc.size !== 0) {
        this.bad(`indirect table of ${first.len} bytes, not a multiple of ${VringDesc.size}`)
      }
      this.check(head, first.addr, first.len)
      table = first.addr
      entries = first.len / VringDesc.size
      index = 0
    }
    for (let count = 1; ; count++) {
      if (count > num) this.bad(`chain ${head} has more than ${num} descriptors: a loop`)
      const desc = VringDesc.at(this.ram, table + index * VringDesc.size)
      const { addr, len, flags } = desc
      if ((flags & VRING_DESC_F_INDIRECT) !== 0) {
        this.bad(
          indirect ? `indirect table inside an indirect table` : `descriptor ${index} is indirect but not the first`,
        )
      }
      this.check(index, addr, len)
      if ((flags & VRING_DESC_F_WRITE) !== 0) {
        writable.push({ gpa: addr, length: len })
        writeLength += len
      } else {
        if (writable.length > 0) this.bad(`chain ${head} has a readable descriptor after a writable one`)
        readable.push({ gpa: addr, length: len })
        readLength += len
      }
      if ((flags & VRING_DESC_F_NEXT) === 0) break
      index = desc.next
      if (index >= entries) this.bad(`descriptor ${index} follows, but there are ${entries}`)
    }
    return { head, readable, writable, readLength, writeLength }
  }

  private check(index: number, gpa: number, length: number): void {
    if (gpa + length > this.ram.size) {
      this.bad(`descriptor ${index} points at ${hex(gpa)}, length ${length}, outside the guest's memory`)
    }
  }

  /** Hands a request back with `written` bytes written. */
  push(chain: Chain, written: number): void {
    const { num } = this.state
    const idx = this.ram.read16(this.used + VringHeader.offset.idx)
    const elem = VringUsedElem.at(this.ram, this.used + VringHeader.size + VringUsedElem.size * (idx % num))
    elem.id = chain.head
    elem.len = written
    this.ram.write16(this.used + VringHeader.offset.idx, (idx + 1) & 0xffff)
    this.state.pending_used++
  }

  /** Tells the guest, if anything was handed back since it was told last, and it wants to be told. */
  interrupt(): void {
    if (this.state.pending_used === 0) return
    this.state.pending_used = 0
    const flags = this.ram.read16(this.avail + VringHeader.offset.flags)
    if ((flags & VRING_AVAIL_F_NO_INTERRUPT) === 0) this.raiseInterrupt(this.state.irq)
  }

  /**
   * Says whether kicks are wanted. Returns true when there are requests the guest may have left without a kick: after asking for kicks one
   * must look again, or a request could lie there for ever.
   */
  wantKicks(wanted: boolean): boolean {
    this.ram.write16(this.used + VringHeader.offset.flags, wanted ? 0 : VRING_USED_F_NO_NOTIFY)
    return wanted && this.ram.read16(this.avail + VringHeader.offset.idx) !== this.state.last_avail_idx
  }

  /** The readable bytes [from, from + most) of a request. */
  read(chain: Chain, from = 0, most = Infinity): Uint8Array {
    const bytes = new Uint8Array(Math.max(0, Math.min(chain.readLength - from, most)))
    this.eachPart(chain.readable, from, bytes.length, (gpa, at, length) =>
      bytes.set(this.ram.readBytes(gpa, length), at),
    )
    return bytes
  }

  /** Writes bytes to a request's writable part from `from` on; they must fit. */
  write(chain: Chain, bytes: Uint8Array, from = 0): void {
    this.eachPart(chain.writable, from, bytes.length, (gpa, at, length) =>
      this.ram.writeBytes(gpa, bytes.subarray(at, at + length)),
    )
  }

  private eachPart(
    segments: readonly Segment[],
    from: number,
    length: number,
    visit: (gpa: number, at: number, length: number) => void,
  ): void {
    let start = 0
    for (const segment of segments) {
      const begin = Math.max(start, from)
      const end = Math.min(start + segment.length, from + length)
      if (begin < end) visit(segment.gpa + (begin - start), begin - from, end - begin)
      start += segment.length
    }
  }
}

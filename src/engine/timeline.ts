/** The last world switches, for the timeline: a ring with sequence numbers, so that a front asks only for what is new. */
import type { SwitchEvent } from '../shared/inspect.ts'

/** About two seconds of a busy host. */
const CAPACITY = 65_536

export class Timeline {
  private readonly events: SwitchEvent[]
  private readonly capacity: number
  /** Sequence number of the next event. */
  next = 0

  constructor(capacity = CAPACITY) {
    this.capacity = capacity
    this.events = []
  }

  add(event: SwitchEvent): void {
    this.events[this.next++ % this.capacity] = event
  }

  /** Events from sequence number `since` on: the newest `max` of them, oldest first; `dropped` is how many are missing before them. */
  read(since: number, max: number): { next: number; dropped: number; events: SwitchEvent[] } {
    const oldest = Math.max(0, this.next - this.capacity)
    const wanted = Math.max(0, Math.min(since, this.next))
    const first = Math.max(wanted, oldest, this.next - max)
    const events: SwitchEvent[] = []
    for (let n = first; n < this.next; n++) events.push(this.events[n % this.capacity])
    return { next: this.next, dropped: first - wanted, events }
  }
}

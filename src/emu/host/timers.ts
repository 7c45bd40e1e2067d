/**
 * Timers of the Host kernel: records in RAM, each waited for by the APIC of one CPU. There are few (one a guest), so finding the next
 * one is a walk over them; records in use are kept together, because the walk is done at every world switch. The APIC's deadline also
 * serves the scheduler's time slices (scheduler.ts).
 */
import { assert } from '../bits/assert.ts'
import { Timer, TimerPage, type TimerPageView, TIMERS_A_PAGE, type TimerView } from '../layout/host-task.ts'
import type { PhysMemory } from '../layout/memory.ts'
import type { PageAllocator } from './page-allocator.ts'

/** Local APIC vector of the timer. */
export const TIMER_VECTOR = 0xef

export class Timers {
  private readonly mem: PhysMemory
  private readonly allocator: PageAllocator
  private readonly owner: number
  private readonly first: TimerPageView
  /** Views of all records: a cache that grows with the pages. The first `first.used` are in use. */
  private readonly records: TimerView[]

  constructor(mem: PhysMemory, allocator: PageAllocator, owner: number) {
    this.mem = mem
    this.allocator = allocator
    this.owner = owner
    this.records = []
    const page = allocator.allocZeroedPage(owner)
    assert(page !== 0, 'no memory for timers')
    this.first = TimerPage.at(mem, page)
    this.enter(page)
  }

  private enter(page: number): void {
    for (let i = 0; i < TIMERS_A_PAGE; i++) {
      this.records.push(Timer.at(this.mem, page + TimerPage.offset.timers + i * Timer.size))
    }
  }

  /** Sets the timer of `argument` to expire at `deadline` (ns) on `cpu`; an earlier setting is forgotten. False without memory. */
  set(argument: number, cpu: number, deadline: number): boolean {
    let at = this.find(argument)
    if (at < 0) {
      at = this.first.used
      if (at === this.records.length && !this.grow()) return false
      this.first.used = at + 1
    }
    const record = this.records[at]
    record.argument = argument
    record.cpu = cpu
    record.deadline = Math.max(0, Math.ceil(deadline))
    return true
  }

  private find(argument: number): number {
    const { used } = this.first
    for (let at = 0; at < used; at++) if (this.records[at].argument === argument) return at
    return -1
  }

  private grow(): boolean {
    const page = this.allocator.allocZeroedPage(this.owner)
    if (page === 0) return false
    TimerPage.at(this.mem, page).next = this.first.next
    this.first.next = page
    this.enter(page)
    return true
  }

  /** The last record takes the free place. */
  private remove(at: number): void {
    const last = this.first.used - 1
    const [to, from] = [this.records[at], this.records[last]]
    to.argument = from.argument
    to.cpu = from.cpu
    to.deadline = from.deadline
    this.first.used = last
  }

  /** Forgets the timer of `argument`. True when there was one. */
  cancel(argument: number): boolean {
    const at = this.find(argument)
    if (at < 0) return false
    this.remove(at)
    return true
  }

  /** Arguments of the timers of `cpu` that have expired by `now`, earliest first; they are free again. */
  expired(cpu: number, now: number): number[] {
    const due: { argument: number; deadline: number }[] = []
    for (let at = this.first.used - 1; at >= 0; at--) {
      const { argument, deadline, cpu: of } = this.records[at]
      if (of !== cpu || deadline > now) continue
      due.push({ argument, deadline })
      this.remove(at)
    }
    due.sort((a, b) => a.deadline - b.deadline || a.argument - b.argument)
    return due.map(({ argument }) => argument)
  }

  /** When the next timer of `cpu` expires; Infinity when none is set. */
  next(cpu: number): number {
    const { used } = this.first
    let next = Infinity
    for (let at = 0; at < used; at++) {
      const record = this.records[at]
      if (record.cpu === cpu) next = Math.min(next, record.deadline)
    }
    return next
  }
}

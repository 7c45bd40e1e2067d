/**
 * Timers of the Host kernel: records in RAM, each waited for by the APIC of one CPU. There are few (one a guest), so finding the next
 * one is a walk over them. The APIC's deadline also serves the scheduler's time slices (scheduler.ts).
 */
import { assert } from '../bits/assert.ts'
import { Timer, TimerPage, TIMERS_A_PAGE, type TimerView } from '../layout/host-task.ts'
import type { PhysMemory } from '../layout/memory.ts'
import type { PageAllocator } from './page-allocator.ts'

/** Local APIC vector of the timer. */
export const TIMER_VECTOR = 0xef

export class Timers {
  private readonly mem: PhysMemory
  private readonly allocator: PageAllocator
  private readonly owner: number
  /** hpa of the first page of records. */
  private readonly first: number
  /** Views of all records: a cache that grows with the pages. */
  private readonly records: TimerView[]

  constructor(mem: PhysMemory, allocator: PageAllocator, owner: number) {
    this.mem = mem
    this.allocator = allocator
    this.owner = owner
    this.records = []
    this.first = allocator.allocZeroedPage(owner)
    assert(this.first !== 0, 'no memory for timers')
    this.enter(this.first)
  }

  private enter(page: number): void {
    for (let i = 0; i < TIMERS_A_PAGE; i++) {
      this.records.push(Timer.at(this.mem, page + TimerPage.offset.timers + i * Timer.size))
    }
  }

  /** Sets the timer of `argument` to expire at `deadline` (ns) on `cpu`; an earlier setting is forgotten. False without memory. */
  set(argument: number, cpu: number, deadline: number): boolean {
    const record = this.records.find((each) => each.in_use !== 0 && each.argument === argument) ?? this.free()
    if (record === undefined) return false
    record.argument = argument
    record.cpu = cpu
    record.deadline = Math.max(0, Math.ceil(deadline))
    record.in_use = 1
    return true
  }

  private free() {
    const record = this.records.find((each) => each.in_use === 0)
    if (record !== undefined) return record
    const page = this.allocator.allocZeroedPage(this.owner)
    if (page === 0) return undefined
    const first = TimerPage.at(this.mem, this.first)
    TimerPage.at(this.mem, page).next = first.next
    first.next = page
    this.enter(page)
    return this.records.find((each) => each.in_use === 0)
  }

  /** Forgets the timer of `argument`. True when there was one. */
  cancel(argument: number): boolean {
    const record = this.records.find((each) => each.in_use !== 0 && each.argument === argument)
    if (record === undefined) return false
    record.in_use = 0
    return true
  }

  /** Arguments of the timers of `cpu` that have expired by `now`, earliest first; they are free again. */
  expired(cpu: number, now: number): number[] {
    const due = this.records.filter((each) => each.in_use !== 0 && each.cpu === cpu && each.deadline <= now)
    due.sort((a, b) => a.deadline - b.deadline)
    return due.map((record) => {
      record.in_use = 0
      return record.argument
    })
  }

  /** When the next timer of `cpu` expires; Infinity when none is set. */
  next(cpu: number): number {
    let next = Infinity
    for (const each of this.records) {
      if (each.in_use !== 0 && each.cpu === cpu && each.deadline < next) next = each.deadline
    }
    return next
  }
}

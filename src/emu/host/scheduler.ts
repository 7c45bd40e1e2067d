/**
 * The scheduler: which task a CPU runs. One queue a CPU, time slices of 10 ms. A task that wakes up goes to its last CPU if that is idle,
 * else to an idle one, else to its last; a CPU with nothing to do takes from the longest queue, and a task at the end of its slice goes
 * where fewer wait. Waking a task asks the CPU it went to to look: by a flag, and by an interrupt.
 *
 *      SLEEPING -- wakeUp --> RUNNABLE (in a queue) -- pick --> RUNNING -- sleep --> SLEEPING
 *                                      ^---- preempt, yield -------'
 *
 * A slice is a task's share of a round, however often it sleeps in it: what is left stays its own. With time left it is before all that
 * have none, so a task that wakes often is served soon; and one that is interrupted for it goes on afterwards. When its slice is used up a
 * task waits for everybody else. A guest whose timer never stops waking it can therefore take its share, and nobody's.
 */
import { assert } from '../bits/assert.ts'
import {
  PerCpu,
  type PerCpuView,
  Task,
  TASK_MAGIC,
  TASK_RUNNABLE,
  TASK_RUNNING,
  TASK_SLEEPING,
  type TaskView,
} from '../layout/host-task.ts'
import type { PhysMemory } from '../layout/memory.ts'
import { RunQueue } from './run-queue.ts'

export const TIME_SLICE = 10_000_000

/** What the scheduler needs of the machine. */
export interface SchedulerHost {
  readonly mem: PhysMemory
  now(): number
  /** Interrupts a CPU so that it looks at need_resched. */
  kick(cpu: number): void
}

export class Scheduler {
  readonly percpu: readonly PerCpuView[]
  private readonly host: SchedulerHost
  private readonly queues: readonly RunQueue[]
  /** Views by number: a cache. */
  private readonly views: Map<number, TaskView>

  /** `pages` are the CPUs' PerCpu pages (hpa). */
  constructor(host: SchedulerHost, pages: readonly number[]) {
    this.host = host
    this.percpu = pages.map((page) => PerCpu.at(host.mem, page))
    this.queues = pages.map((page) => new RunQueue(host.mem, page))
    this.views = new Map()
  }

  /** The task with number `task`, which must exist. */
  task(task: number): TaskView {
    let view = this.views.get(task)
    if (view === undefined) {
      view = Task.at(this.host.mem, task)
      assert(view.magic === TASK_MAGIC, `there is no task 0x${task.toString(16)}`)
      this.views.set(task, view)
    }
    return view
  }

  /** The task's page is about to be freed. */
  forget(task: number): void {
    this.task(task).magic = 0
    this.views.delete(task)
  }

  queueLength(cpu: number): number {
    return this.queues[cpu].length
  }

  // --- waking ------------------------------------------------------------------------------------------------------------

  /** Makes a sleeping task runnable; one that is awake will not fall asleep the next time it tries. */
  wakeUp(task: number): void {
    const view = this.task(task)
    if (view.state !== TASK_SLEEPING) {
      view.woken = 1
      // It may be in its Guest: then it must come out to see what is new.
      if (view.state === TASK_RUNNING) this.host.kick(view.cpu)
      return
    }
    this.place(task, this.cpuFor(view))
  }

  /** Puts a task into a CPU's queue and makes the CPU look. */
  private place(task: number, cpu: number): void {
    const view = this.task(task)
    if (view.cpu !== cpu) {
      view.cpu = cpu
      this.percpu[cpu].migrations++
    }
    view.migrate_to = 0
    this.queues[cpu].enqueue(task)
    // Without time left it waits for the end of the current slice, like the others.
    if (view.slice_left !== 0 || this.percpu[cpu].current === 0) this.percpu[cpu].need_resched = 1
    this.host.kick(cpu)
  }

  private cpuFor(view: TaskView): number {
    const may = (cpu: number): boolean => (view.allowed & (1 << cpu)) !== 0
    if (view.migrate_to !== 0 && may(view.migrate_to - 1)) return view.migrate_to - 1
    const free = (cpu: number): boolean => {
      const { current, queue_length: queued } = this.percpu[cpu]
      return may(cpu) && current === 0 && queued === 0
    }
    if (free(view.cpu)) return view.cpu
    const idle = this.percpu.findIndex((_, cpu) => free(cpu))
    if (idle >= 0) return idle
    if (may(view.cpu)) return view.cpu
    return this.percpu.findIndex((_, cpu) => may(cpu))
  }

  // --- choosing ------------------------------------------------------------------------------------------------------------

  /** Makes the next task of `cpu` its current one; 0 when there is none. */
  pick(cpu: number): number {
    const percpu = this.percpu[cpu]
    assert(percpu.current === 0, 'a CPU picks a task while it has one')
    let task = this.queues[cpu].dequeue(cpu)
    if (task === 0) task = this.steal(cpu)
    percpu.need_resched = 0
    if (task === 0) return 0
    const view = this.task(task)
    if (view.cpu !== cpu) {
      view.cpu = cpu
      percpu.migrations++
    }
    view.state = TASK_RUNNING
    const now = this.host.now()
    view.run_since = now
    if (view.slice_left === 0) view.slice_left = TIME_SLICE
    percpu.current = task
    percpu.slice_end = now + view.slice_left
    percpu.context_switches++
    return task
  }

  /** A waiting task of the CPU with the most of them. One that waits alone for a CPU without another is about to run there. */
  private steal(cpu: number): number {
    const others = this.queues
      .map((queue, id) => ({ queue, waiting: queue.length - (this.percpu[id].current === 0 ? 1 : 0), id }))
      .filter(({ id, waiting }) => id !== cpu && waiting > 0)
    others.sort((a, b) => b.waiting - a.waiting)
    for (const { queue } of others) {
      const task = queue.dequeue(cpu)
      if (task !== 0) return task
    }
    return 0
  }

  /** The current task leaves its CPU: to sleep, because another shall run, or because it gives the rest of its slice away. */
  leave(cpu: number, how: 'sleep' | 'preempt' | 'yield'): void {
    const percpu = this.percpu[cpu]
    const task = percpu.current
    const view = this.task(task)
    this.charge(cpu)
    percpu.current = 0
    view.slice_left = how === 'yield' ? 0 : Math.max(0, percpu.slice_end - this.host.now())
    if (how === 'sleep') {
      view.state = TASK_SLEEPING
      return
    }
    const to = view.migrate_to - 1
    if (to >= 0 && to !== cpu && (view.allowed & (1 << to)) !== 0) this.place(task, to)
    else if ((view.allowed & (1 << cpu)) === 0) this.place(task, this.cpuFor(view))
    else {
      view.migrate_to = 0
      const quieter = how === 'preempt' && view.slice_left === 0 ? this.quieter(view, cpu) : cpu
      if (quieter !== cpu) this.place(task, quieter)
      else this.queues[cpu].enqueue(task)
    }
  }

  /** A CPU on which fewer tasks are than wait on `cpu`, if the task may run there; else `cpu`. */
  private quieter(view: TaskView, cpu: number): number {
    const load = (id: number): number => this.percpu[id].queue_length + (this.percpu[id].current === 0 ? 0 : 1)
    let best = cpu
    for (let id = 0; id < this.percpu.length; id++) {
      if ((view.allowed & (1 << id)) !== 0 && load(id) < load(best)) best = id
    }
    return best
  }

  /** Adds the time since the last charge to the current task. */
  charge(cpu: number): void {
    const { current } = this.percpu[cpu]
    if (current === 0) return
    const view = this.task(current)
    const now = this.host.now()
    view.run_time += Math.max(0, now - view.run_since)
    view.run_since = now
  }

  /** Called by the timer: whether the current task has had its slice while others wait. */
  sliceOver(cpu: number, now: number): void {
    const percpu = this.percpu[cpu]
    if (percpu.current === 0 || percpu.queue_length === 0) return
    if (now >= percpu.slice_end) percpu.need_resched = 1
  }

  /** When the timer must look again because of slices; Infinity when nobody waits. */
  nextSlice(cpu: number): number {
    const percpu = this.percpu[cpu]
    return percpu.current !== 0 && percpu.queue_length !== 0 ? percpu.slice_end : Infinity
  }

  // --- placement by request ------------------------------------------------------------------------------------------------

  /** Moves a task to a CPU it may run on, now or as soon as it leaves where it is. */
  migrate(task: number, cpu: number): void {
    const view = this.task(task)
    assert(
      cpu >= 0 && cpu < this.percpu.length && (view.allowed & (1 << cpu)) !== 0,
      `a task may not run on CPU ${cpu}`,
    )
    if (view.cpu === cpu && view.state !== TASK_SLEEPING) return
    if (view.state === TASK_RUNNABLE) {
      this.queues[view.cpu].remove(task)
      this.place(task, cpu)
    } else {
      view.migrate_to = cpu + 1
      if (view.state === TASK_RUNNING) {
        this.percpu[view.cpu].need_resched = 1
        this.host.kick(view.cpu)
      }
    }
  }

  /** Restricts a task to the CPUs of a mask, which must name one of the machine's. */
  setAffinity(task: number, mask: number): void {
    const view = this.task(task)
    const all = (1 << this.percpu.length) - 1
    assert((mask & all) !== 0, 'an affinity without a CPU')
    view.allowed = mask & all
    if ((view.allowed & (1 << view.cpu)) === 0 && view.state !== TASK_SLEEPING) this.migrate(task, this.cpuFor(view))
  }
}

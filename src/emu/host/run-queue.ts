/**
 * Run queues: a list of tasks a CPU, through Task.next. Each queue has its lock; a task is in one queue at most.
 *
 *      head -> tasks with time left in their slice ... -> tasks that have had their slice ... -> tail
 */
import { assert } from '../bits/assert.ts'
import { PerCpu, type PerCpuView, Task, TASK_RUNNABLE } from '../layout/host-task.ts'
import type { PhysMemory } from '../layout/memory.ts'
import { SpinLock } from './locks.ts'

export class RunQueue {
  private readonly mem: PhysMemory
  private readonly percpu: PerCpuView
  private readonly lock: SpinLock

  /** The queue in the PerCpu page at `hpa`. */
  constructor(mem: PhysMemory, hpa: number) {
    this.mem = mem
    this.percpu = PerCpu.at(mem, hpa)
    this.lock = new SpinLock(mem, hpa + PerCpu.offset.lock, 'run queue')
  }

  get length(): number {
    return this.percpu.queue_length
  }

  /** Puts a task at the end of its part. */
  enqueue(task: number): void {
    const { percpu, mem } = this
    this.lock.acquire()
    const view = Task.at(mem, task)
    view.state = TASK_RUNNABLE
    let before = percpu.queue_tail
    if (view.slice_left !== 0) {
      before = 0
      for (let next = percpu.queue_head; next !== 0 && Task.at(mem, next).slice_left !== 0;) {
        before = next
        next = Task.at(mem, next).next
      }
    }
    view.next = before === 0 ? percpu.queue_head : Task.at(mem, before).next
    if (before === 0) percpu.queue_head = task
    else Task.at(mem, before).next = task
    if (percpu.queue_tail === before) percpu.queue_tail = task
    percpu.queue_length++
    this.lock.release()
  }

  /** Takes the first task that may run on `cpu`; 0 when there is none. */
  dequeue(cpu: number): number {
    this.lock.acquire()
    let before = 0
    let task = this.percpu.queue_head
    while (task !== 0 && (Task.at(this.mem, task).allowed & (1 << cpu)) === 0) {
      before = task
      task = Task.at(this.mem, task).next
    }
    if (task !== 0) this.unlink(before, task)
    this.lock.release()
    return task
  }

  /** Takes out one task, which must be in this queue. */
  remove(wanted: number): void {
    this.lock.acquire()
    let before = 0
    let task = this.percpu.queue_head
    while (task !== 0 && task !== wanted) {
      before = task
      task = Task.at(this.mem, task).next
    }
    assert(task === wanted, 'a task is not in its run queue')
    this.unlink(before, task)
    this.lock.release()
  }

  private unlink(before: number, task: number): void {
    const { percpu, mem } = this
    const next = Task.at(mem, task).next
    if (before === 0) percpu.queue_head = next
    else Task.at(mem, before).next = next
    if (percpu.queue_tail === task) percpu.queue_tail = before
    percpu.queue_length--
    Task.at(mem, task).next = 0
  }
}

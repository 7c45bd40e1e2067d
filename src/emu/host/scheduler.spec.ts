/** Who gets how much of a CPU: shares, storms of wake-ups, and CPUs that share their load. Tasks here are only numbers that use up time. */
import { describe, expect, it } from 'vitest'
import { Task, TASK_MAGIC } from '../layout/host-task.ts'
import { MachineMemory, MIB } from '../layout/memory.ts'
import { PAGE_SIZE } from '../layout/x86.ts'
import { Scheduler, TIME_SLICE } from './scheduler.ts'

/** How finely time passes in these tests, ns. */
const TICK = 100_000

class Bench {
  now = 0
  readonly scheduler: Scheduler
  private readonly phys = new MachineMemory({ cpus: 1, ramSize: 4 * MIB }).phys
  private pages = 0

  constructor(cpus: number) {
    const pages = Array.from({ length: cpus }, () => this.page())
    this.scheduler = new Scheduler({ mem: this.phys, now: () => this.now, kick: () => {} }, pages)
  }

  private page(): number {
    return ++this.pages * PAGE_SIZE
  }

  /** A task that has just been made, on `cpu`. */
  task(cpu = 0, allowed = 0xff): number {
    const task = this.page()
    const view = Task.at(this.phys, task)
    view.magic = TASK_MAGIC
    view.cpu = cpu
    view.allowed = allowed
    this.scheduler.wakeUp(task)
    return task
  }

  /** Lets time pass. `sleeps`: the current task goes to sleep at the end of this tick. */
  run(time: number, sleeps: (task: number) => boolean = () => false, everyTick = (): void => {}): void {
    const { scheduler } = this
    for (const end = this.now + time; this.now < end;) {
      scheduler.percpu.forEach((percpu, cpu) => {
        if (percpu.current !== 0 && percpu.need_resched !== 0) scheduler.leave(cpu, 'preempt')
        if (percpu.current === 0) scheduler.pick(cpu)
      })
      this.now += TICK
      scheduler.percpu.forEach((percpu, cpu) => {
        if (percpu.current !== 0 && sleeps(percpu.current)) scheduler.leave(cpu, 'sleep')
        scheduler.charge(cpu)
        scheduler.sliceOver(cpu, this.now)
      })
      everyTick()
    }
  }

  /** Share of one CPU's time each task has had. */
  shares(tasks: readonly number[]): number[] {
    return tasks.map((task) => this.scheduler.task(task).run_time / this.now)
  }
}

describe('one CPU', () => {
  it('is shared alike by eight that never sleep', () => {
    const bench = new Bench(1)
    const tasks = Array.from({ length: 8 }, () => bench.task())
    bench.run(80 * TIME_SLICE)
    for (const share of bench.shares(tasks)) expect(share).toBeCloseTo(1 / 8, 2)
  })

  it('is not taken by a task whose timer wakes it as soon as it sleeps', () => {
    const bench = new Bench(1)
    const storm = bench.task()
    const busy = [bench.task(), bench.task()]
    bench.run(
      300 * TIME_SLICE,
      (task) => task === storm,
      () => bench.scheduler.wakeUp(storm),
    )
    const [first, second] = bench.shares(busy)
    expect(first).toBeGreaterThan(0.3)
    expect(second).toBeGreaterThan(0.3)
    expect(bench.shares([storm])[0]).toBeGreaterThan(0.3)
  })

  it('goes at once to one that has slept with time left, and then back', () => {
    const bench = new Bench(1)
    const sleeper = bench.task()
    bench.run(TICK, (task) => task === sleeper)
    const [first, second] = [bench.task(), bench.task()]
    bench.run(2 * TICK)
    const { percpu } = bench.scheduler
    expect(percpu[0].current).toBe(first)
    bench.scheduler.wakeUp(sleeper)
    bench.run(TICK, (task) => task === sleeper)
    expect(bench.scheduler.task(sleeper).run_time).toBe(2 * TICK)
    bench.run(TICK)
    // The one that was interrupted has the rest of its slice, before the next.
    expect(percpu[0].current).toBe(first)
    bench.run(TIME_SLICE - 2 * TICK)
    expect(percpu[0].current).toBe(second)
    expect(bench.scheduler.task(first).run_time).toBe(TIME_SLICE)
  })

  it('passes on when a task yields, slice or not', () => {
    const bench = new Bench(1)
    const tasks = [bench.task(), bench.task(), bench.task()]
    const order = Array.from({ length: 6 }, () => {
      const task = bench.scheduler.pick(0)
      bench.scheduler.leave(0, 'yield')
      return tasks.indexOf(task)
    })
    expect(order).toEqual([0, 1, 2, 0, 1, 2])
  })
})

describe('several CPUs', () => {
  it.each([2, 4])('%i share eight that never sleep', (cpus) => {
    const bench = new Bench(cpus)
    const tasks = Array.from({ length: 8 }, () => bench.task())
    bench.run(80 * TIME_SLICE)
    for (const share of bench.shares(tasks)) expect(Math.abs(share - cpus / 8)).toBeLessThan(0.05 * cpus)
  })

  it('even out when tasks that may run anywhere have come together on one', () => {
    const bench = new Bench(2)
    const pinned = bench.task(1, 0b10)
    bench.run(TICK)
    const tasks = Array.from({ length: 3 }, () => bench.task(0, 0b01))
    bench.run(TICK)
    for (const task of tasks) bench.scheduler.task(task).allowed = 0b11
    bench.run(100 * TIME_SLICE)
    for (const share of bench.shares([pinned, ...tasks])) expect(share).toBeGreaterThan(0.4)
  })

  it('never run a task where it may not be', () => {
    const bench = new Bench(2)
    const tasks = [bench.task(0, 0b01), bench.task(0, 0b01), bench.task(0, 0b01), bench.task(0, 0b11)]
    const seen = new Set<string>()
    bench.run(
      40 * TIME_SLICE,
      () => false,
      () => bench.scheduler.percpu.forEach(({ current }, cpu) => seen.add(`${tasks.indexOf(current)} on ${cpu}`)),
    )
    for (const task of [0, 1, 2]) expect(seen.has(`${task} on 1`)).toBe(false)
    expect(seen.has('3 on 1')).toBe(true)
  })
})

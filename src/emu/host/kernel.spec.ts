import { describe, expect, it } from 'vitest'
import { TIMERS_A_PAGE } from '../layout/host-task.ts'
import { MIB } from '../layout/memory.ts'
import { VirtualClock } from '../machine/clock.ts'
import { LockstepExecutor } from '../machine/lockstep.ts'
import { Machine } from '../machine/machine.ts'
import type { Program, Syscall } from './chrdev.ts'
import { HostKernel } from './kernel.ts'

function boot(cpus: number): { kernel: HostKernel; executor: LockstepExecutor } {
  const machine = new Machine({ cpus, ramSize: 16 * MIB, clock: new VirtualClock() })
  return { kernel: new HostKernel(machine), executor: new LockstepExecutor(machine) }
}

/** A program that plays a list of calls, noting what it is told. */
class Script implements Program {
  readonly results: number[] = []
  private readonly calls: Syscall[]
  onStep: ((step: number) => void) | undefined

  constructor(...calls: Syscall[]) {
    this.calls = calls
  }
  step(_task: number, result: number): Syscall {
    this.onStep?.(this.results.length)
    this.results.push(result)
    return this.calls[this.results.length - 1] ?? { call: 'exit', code: 0 }
  }
}
const wait: Syscall = { call: 'wait' }
const yieldCpu: Syscall = { call: 'yield' }

describe('tasks', () => {
  it('run in turn and give back everything when they exit', () => {
    const { kernel, executor } = boot(1)
    executor.runSlice(2000)
    const free = kernel.allocator.freePages
    const order: string[] = []
    for (const name of ['a', 'b']) {
      const script = new Script(yieldCpu, yieldCpu)
      script.onStep = () => order.push(name)
      expect(kernel.spawn(script, name)).not.toBe(0)
    }
    expect(kernel.tasks().map(({ name, state }) => [name, state])).toEqual([
      ['b', 'runnable'],
      ['a', 'runnable'],
    ])
    expect(executor.runSlice(10_000).kind).toBe('idle')
    expect(order.join('')).toBe('ababab')
    expect(kernel.tasks()).toEqual([])
    expect(kernel.allocator.freePages).toBe(free)
  })

  it('wait until they are woken, and a wake-up before the wait is not lost', () => {
    const { kernel, executor } = boot(1)
    const script = new Script(wait, wait, wait)
    const task = kernel.spawn(script, 'sleeper')
    script.onStep = (step) => {
      if (step === 1) kernel.wakeUp(task)
    }
    executor.runSlice(10_000)
    expect(script.results).toHaveLength(1)
    expect(kernel.tasks()[0].state).toBe('sleeping')
    kernel.wakeUp(task)
    executor.runSlice(10_000)
    // The second wait fell through, the third sleeps.
    expect(script.results).toHaveLength(3)
    kernel.wakeUp(task)
    executor.runSlice(10_000)
    expect(kernel.tasks()).toEqual([])
  })

  it('go to idle CPUs, and stay where they may run', () => {
    const { kernel, executor } = boot(4)
    executor.runSlice(2000)
    const tasks = [0, 1, 2, 3].map((n) => kernel.spawn(new Script(wait), `t${n}`))
    executor.runSlice(4000)
    const pinned = kernel.spawn(new Script(wait, wait, wait), 'pinned', { affinity: 0b100 })
    executor.runSlice(4000)
    const cpuOf = (task: number): number => kernel.tasks().find((each) => each.task === task)!.cpu
    expect(tasks.map(cpuOf).sort()).toEqual([0, 1, 2, 3])
    expect(cpuOf(pinned)).toBe(2)
    kernel.scheduler.setAffinity(pinned, 0b10)
    kernel.wakeUp(pinned)
    executor.runSlice(4000)
    expect(cpuOf(pinned)).toBe(1)
    kernel.scheduler.setAffinity(pinned, 0b1111)
    kernel.scheduler.migrate(pinned, 3)
    kernel.wakeUp(pinned)
    executor.runSlice(4000)
    expect(cpuOf(pinned)).toBe(3)
  })

  it('share an address space, which lives as long as its last task', () => {
    const { kernel, executor } = boot(2)
    executor.runSlice(2000)
    const free = kernel.allocator.freePages
    const first = kernel.spawn(new Script(wait), 'first')
    const second = kernel.spawn(new Script(wait), 'second', { shareWith: first })
    executor.runSlice(4000)
    const page = kernel.userPage(first, 0x1000_0000)
    expect(kernel.userPage(second, 0x1000_0000)).toBe(page)
    kernel.wakeUp(first)
    executor.runSlice(4000)
    expect(kernel.userPage(second, 0x1000_0000)).toBe(page)
    kernel.wakeUp(second)
    executor.runSlice(4000)
    expect(kernel.allocator.freePages).toBe(free)
  })

  it('that never stop stepping let others and interrupts in', () => {
    const { kernel, executor } = boot(1)
    const forever: Program = { step: () => yieldCpu }
    kernel.spawn(forever, 'busy')
    let fired = 0
    kernel.onTimer = () => fired++
    kernel.setTimer(7, kernel.ktime() + 50_000)
    const outcome = executor.runSlice(20_000)
    expect(outcome.kind).toBe('ran')
    expect(fired).toBe(1)
  })

  it('cannot be made when nobody more can be charged', () => {
    const { kernel } = boot(1)
    const { allocator } = kernel
    const free = allocator.freePages
    const owners: number[] = []
    for (let owner = allocator.newOwner('o'); owner !== 0; owner = allocator.newOwner('o')) owners.push(owner)
    expect(kernel.spawn(new Script(), 'none')).toBe(0)
    expect(allocator.freePages).toBe(free)
    allocator.freeOwner(owners[0])
    expect(kernel.spawn(new Script(), 'one')).not.toBe(0)
  })

  it('cannot be made without memory', () => {
    const { kernel } = boot(1)
    const owner = kernel.allocator.newOwner('hog')
    while (kernel.allocator.allocPage(owner) !== 0);
    const owners = kernel.allocator.owners().length
    expect(kernel.spawn(new Script(), 'none')).toBe(0)
    expect(kernel.allocator.owners()).toHaveLength(owners)
  })
})

describe('timers', () => {
  it('beyond what memory has room for are refused, and nothing happens', () => {
    const { kernel } = boot(1)
    const { allocator } = kernel
    const owner = allocator.newOwner('hog')
    while (allocator.allocPage(owner) !== 0);
    let fired = 0
    kernel.onTimer = () => fired++
    let set = 0
    while (kernel.setTimer(set + 1, 1000 + set)) set++
    expect(set).toBe(TIMERS_A_PAGE)
    expect(kernel.setTimer(5, 9)).toBe(true) // it has its record
    kernel.cancelTimer(5)
    expect(kernel.setTimer(9999, 9)).toBe(true)
    expect(kernel.setTimer(5, 9)).toBe(false)
    expect(fired).toBe(0)
  })
})

describe('files', () => {
  it('has eventfds that wake their reader and count', () => {
    const { kernel, executor } = boot(2)
    const reader = new Script(wait, wait, wait, wait)
    const task = kernel.spawn(reader, 'reader')
    executor.runSlice(4000)
    const fd = kernel.sysEventfd(task, task)
    const context = kernel.eventfdGet(task, fd)
    expect(context).not.toBe(0)
    kernel.eventfdSignal(context)
    kernel.eventfdSignal(context)
    executor.runSlice(4000)
    expect(reader.results.length).toBeGreaterThan(1)
    expect(kernel.takeEvents(task, fd)).toBe(2)
    expect(kernel.takeEvents(task, fd)).toBe(0)
    kernel.sysClose(task, fd)
    expect(kernel.eventfdGet(task, fd)).toBe(0)
    kernel.eventfdPut(context)
  })

  it('says no to what is not there', () => {
    const { kernel } = boot(1)
    const task = kernel.spawn(new Script(wait), 'task')
    expect(kernel.sysOpen(task, '/dev/nothing')).toBe(-2)
    expect(kernel.sysWrite(task, 5, [1])).toBe(-9)
    expect(kernel.sysWrite(task, -1, [1])).toBe(-9)
    const fds = Array.from({ length: 64 }, () => kernel.sysEventfd(task, task))
    expect(fds.slice(0, 63).every((fd) => fd > 0)).toBe(true)
    expect(fds[63]).toBe(-24)
  })
})

describe('devices', () => {
  it('are read: done, sleeping, interrupted by a signal', () => {
    const { kernel, executor } = boot(1)
    const seen: string[] = []
    kernel.registerDevice('/dev/test', {
      open: () => 0,
      write: (_task, file, words) => (file.data = words[0]),
      read: (_task, file, _address, length) => {
        seen.push(`read ${file.data} ${length}`)
        return { kind: 'sleep' }
      },
      resume: (task) => {
        if (kernel.signalPending(task)) return { kind: 'done', value: -4 }
        seen.push('resume')
        return { kind: 'done', value: 42 }
      },
      close: () => seen.push('close'),
    })
    const script = new Script(
      { call: 'read', fd: 1, address: 0, length: 9 },
      { call: 'read', fd: 1, address: 0, length: 8 },
      { call: 'read', fd: 2, address: 0, length: 7 },
    )
    const task = kernel.spawn(script, 'reader')
    expect(kernel.sysOpen(task, '/dev/test')).toBe(1)
    expect(kernel.sysWrite(task, 1, [5])).toBe(5)
    executor.runSlice(4000)
    kernel.wakeUp(task)
    executor.runSlice(4000)
    kernel.signal(task)
    executor.runSlice(4000)
    expect(script.results).toEqual([0, 42, -4, -9])
    expect(seen).toEqual(['read 5 9', 'resume', 'read 5 8', 'close'])
  })
})

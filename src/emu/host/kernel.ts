/**
 * The Host kernel: gates, tasks, system calls. It is not preemptible: a gate runs to its end, leaves everything in RAM and tells its
 * CPU what to execute next. JavaScript objects here are views and tables of TypeScript functions (programs, devices), never state.
 *
 *      gate_booted, gate_idle, gate_breathe    schedule()
 *      gate_guest_returned                     the current task's read() goes on, then schedule()
 *      gate_interrupt                          timer, reschedule, NMI; returns to what was interrupted
 *
 * schedule() runs tasks until one of them has set its CPU up for its Guest, or nothing is left to run. A task's user mode is a Program:
 * TypeScript that answers with its next system call. It costs no emulated time, so after MAX_STEPS the CPU takes a breath, in which
 * interrupts come in.
 */
import { assert } from '../bits/assert.ts'
import type { Cpu } from '../cpu/cpu.ts'
import { S_CR3, S_EFLAGS, S_EIP, S_FLAG_OP } from '../layout/cpu-state.ts'
import {
  KernelState,
  type KernelStateView,
  READ_ASKED,
  READ_BEGUN,
  READ_NONE,
  Task,
  TASK_MAGIC,
  TASK_NAME_SIZE,
  TASK_RUNNING,
  TASK_SLEEPING,
  type TaskView,
} from '../layout/host-task.ts'
import type { PhysMemory } from '../layout/memory.ts'
import { EAX, EBX, EDX, ESP, FLAG_ALWAYS_ONE, PAGE_SIZE, TRAP_NMI } from '../layout/x86.ts'
import type { Machine } from '../machine/machine.ts'
import { readSys32 } from '../mmu/access.ts'
import { flushTlb } from '../mmu/tlb.ts'
import { AddressSpaces, USER_END } from './address-space.ts'
import { bootHost, type HostLayout } from './boot.ts'
import type { CharDevice, Program, ReadOutcome, Syscall } from './chrdev.ts'
import { FileCalls } from './file-calls.ts'
import { EBADF, EINTR } from './files.ts'
import { assertNoLocksHeld } from './locks.ts'
import type { PageAllocator } from './page-allocator.ts'
import { Scheduler } from './scheduler.ts'
import { FRAME_CS, FRAME_EIP, FRAME_ERROR_CODE, FRAME_VECTOR } from './text.ts'
import { TIMER_VECTOR, Timers } from './timers.ts'

/** Local APIC vector by which CPUs are asked to look at need_resched. */
export const RESCHEDULE_VECTOR = 0xfd
/** Steps of programs in one gate. */
const MAX_STEPS = 64
const FIRST_EXTERNAL_VECTOR = 32

/** The Host kernel found itself broken. */
export class HostPanic extends Error {
  override readonly name = 'HostPanic'
}

export interface SpawnOptions {
  /** Run in that task's address space instead of a new one. */
  readonly shareWith?: number
  /** Mask of CPUs. */
  readonly affinity?: number
}

/** A task, for whoever looks. */
export interface TaskInfo {
  readonly task: number
  readonly name: string
  readonly state: 'sleeping' | 'runnable' | 'running'
  readonly cpu: number
  readonly allowed: number
  /** Nanoseconds on a CPU. */
  readonly runTime: number
}

export class HostKernel {
  readonly machine: Machine
  readonly mem: PhysMemory
  readonly layout: HostLayout
  readonly allocator: PageAllocator
  readonly spaces: AddressSpaces
  readonly scheduler: Scheduler
  readonly timers: Timers
  readonly userEnd = USER_END
  /** A timer's time has come; its argument. */
  onTimer: (argument: number) => void
  /** An NMI reached the Host, on this CPU. */
  onNmi: (cpu: Cpu) => void
  private readonly files: FileCalls
  private readonly programs: Map<number, Program>
  private readonly state: KernelStateView
  /** The CPU whose gate is running, or -1: outside the machine. */
  private executing: number

  constructor(machine: Machine) {
    this.machine = machine
    this.mem = machine.phys
    this.layout = bootHost(machine)
    this.allocator = this.layout.allocator
    this.spaces = new AddressSpaces(this.mem, this.allocator, this.layout.pgd)
    this.timers = new Timers(this.mem, this.allocator, this.layout.kernelOwner)
    const host = { mem: this.mem, now: () => this.ktime(), kick: (cpu: number) => this.kick(cpu) }
    const pages = this.layout.cpus.map(({ percpu }) => percpu)
    this.scheduler = new Scheduler(host, pages)
    this.onTimer = () => {}
    this.onNmi = () => {}
    this.files = new FileCalls(this.scheduler, this.mem, this.allocator, this.layout.kernelOwner)
    this.programs = new Map()
    const statePage = this.allocator.allocZeroedPage(this.layout.kernelOwner)
    assert(statePage !== 0, 'no memory for the Host kernel')
    this.state = KernelState.at(this.mem, statePage)
    this.state.next_program = 1
    this.executing = -1

    this.gate('gate_booted', (cpu) => this.schedule(cpu))
    this.gate('gate_idle', (cpu) => this.schedule(cpu))
    this.gate('gate_breathe', (cpu) => this.schedule(cpu))
    this.gate('gate_guest_returned', (cpu) => this.schedule(cpu))
    this.gate('gate_interrupt', (cpu) => this.interrupt(cpu))
  }

  private gate(name: Parameters<HostLayout['gateAddress']>[0], call: (cpu: Cpu) => void): void {
    this.machine.registerGate(this.layout.gateAddress(name), name, (cpu) => {
      this.executing = cpu.id
      try {
        call(cpu)
      } finally {
        this.executing = -1
      }
      assertNoLocksHeld(cpu.id)
    })
  }

  // --- time ----------------------------------------------------------------------------------------------------------------

  /** Nanoseconds since the machine started. */
  ktime(): number {
    return this.machine.clock.now()
  }

  /** Calls onTimer(argument) at `deadline`; replaces an earlier setting for the same argument. False when memory is out: no timer. */
  setTimer(argument: number, deadline: number): boolean {
    const cpu = Math.max(0, this.executing)
    if (!this.timers.set(argument, cpu, deadline)) return false
    this.programApic(cpu)
    return true
  }

  cancelTimer(argument: number): void {
    this.timers.cancel(argument)
  }

  /** Interrupts the CPU whose gate is running when `after` ns have passed, unless that is to happen earlier anyway. */
  lookAgain(after: number): void {
    if (this.executing < 0) return
    const percpu = this.scheduler.percpu[this.executing]
    const at = this.ktime() + after
    if (percpu.look_again === 0 || at < percpu.look_again) percpu.look_again = at
    this.programApic(this.executing)
  }

  private programApic(cpu: number): void {
    const { look_again: lookAgain } = this.scheduler.percpu[cpu]
    const next = Math.min(this.timers.next(cpu), this.scheduler.nextSlice(cpu), lookAgain === 0 ? Infinity : lookAgain)
    this.machine.apics[cpu].setDeadline(next, TIMER_VECTOR)
  }

  private kick(cpu: number): void {
    if (cpu !== this.executing) this.machine.apics[cpu].request(RESCHEDULE_VECTOR)
  }

  // --- interrupts ------------------------------------------------------------------------------------------------------------

  private interrupt(cpu: Cpu): void {
    const frame = (word: number): number => readSys32(cpu, (cpu.r[ESP] + word * 4) | 0) >>> 0
    const vector = frame(FRAME_VECTOR)
    const percpu = this.scheduler.percpu[cpu.id]
    percpu.interrupts.set(vector, percpu.interrupts.get(vector) + 1)
    if (vector === TRAP_NMI) {
      percpu.nmis++
      this.onNmi(cpu)
      return
    }
    if (vector < FIRST_EXTERNAL_VECTOR) {
      const hex = (value: number): string => `0x${value.toString(16)}`
      throw new HostPanic(
        `CPU ${cpu.id}: exception ${vector} in the host kernel at ${hex(frame(FRAME_CS))}:${hex(frame(FRAME_EIP))}, ` +
          `error code ${hex(frame(FRAME_ERROR_CODE))}`,
      )
    }
    this.machine.apics[cpu.id].eoi()
    if (vector === TIMER_VECTOR) {
      const now = this.ktime()
      if (now >= percpu.look_again) percpu.look_again = 0
      for (const argument of this.timers.expired(cpu.id, now)) this.onTimer(argument)
      this.scheduler.sliceOver(cpu.id, now)
    }
    // Of RESCHEDULE_VECTOR too: with somebody in the queue, the end of the slice matters from now on.
    this.programApic(cpu.id)
  }

  // --- running tasks -----------------------------------------------------------------------------------------------------------

  /** Goes on with the current task, or another, until the CPU has something to execute. */
  private schedule(cpu: Cpu): void {
    const percpu = this.scheduler.percpu[cpu.id]
    if (percpu.idle !== 0) {
      percpu.idle = 0
      percpu.idle_time += Math.max(0, this.ktime() - percpu.idle_since)
    }
    for (let steps = 0; steps < MAX_STEPS; steps++) {
      const task = percpu.current !== 0 ? percpu.current : this.scheduler.pick(cpu.id)
      if (task === 0) {
        percpu.idle = 1
        percpu.idle_since = this.ktime()
        this.programApic(cpu.id)
        return this.goTo(cpu, 'idle')
      }
      this.switchMm(cpu, task)
      if (this.advance(cpu, task)) {
        this.programApic(cpu.id)
        return
      }
    }
    this.programApic(cpu.id)
    this.goTo(cpu, 'breathe')
  }

  /** One step of a task: its program's, or its read()'s. True when the CPU is set up to run the task's Guest. */
  private advance(cpu: Cpu, task: number): boolean {
    const view = this.scheduler.task(task)
    if (view.reading === READ_NONE) {
      const program = this.programs.get(view.program)
      assert(program !== undefined, `task ${nameOf(view)} has no program`)
      this.syscall(cpu, task, view, program.step(task, view.result))
      return false
    }
    const outcome = this.continueRead(cpu, task, view)
    switch (outcome.kind) {
      case 'run':
        return true
      case 'done':
        view.reading = READ_NONE
        view.result = outcome.value
        // The signal has been told.
        if (outcome.value === EINTR) view.signal = 0
        return false
      case 'sleep':
        this.sleep(cpu, view)
        return false
      case 'yield':
        this.scheduler.leave(cpu.id, 'preempt')
        return false
    }
  }

  private continueRead(cpu: Cpu, task: number, view: TaskView): ReadOutcome {
    const open = this.files.openDevice(view, view.read_fd)
    if (open === undefined) return { kind: 'done', value: EBADF }
    const { device, file } = open
    if (view.reading === READ_BEGUN) return device.resume(task, file, cpu)
    view.reading = READ_BEGUN
    return device.read(task, file, view.read_address, view.read_length, cpu)
  }

  private syscall(cpu: Cpu, task: number, view: TaskView, syscall: Syscall): void {
    switch (syscall.call) {
      case 'read':
        view.reading = READ_ASKED
        view.read_fd = syscall.fd
        view.read_address = syscall.address
        view.read_length = syscall.length
        break
      case 'wait':
        view.result = 0
        this.sleep(cpu, view)
        break
      case 'yield':
        view.result = 0
        this.scheduler.leave(cpu.id, 'yield')
        break
      case 'exit':
        this.exit(cpu, task, view)
    }
  }

  private sleep(cpu: Cpu, view: TaskView): void {
    if (view.woken !== 0) view.woken = 0
    else this.scheduler.leave(cpu.id, 'sleep')
  }

  private goTo(cpu: Cpu, label: string): void {
    cpu.r[ESP] = this.layout.cpus[cpu.id].stackTop
    cpu.st[S_EIP] = this.layout.text.labels[label]
    cpu.st[S_FLAG_OP] = 0
    cpu.st[S_EFLAGS] = FLAG_ALWAYS_ONE
  }

  /** Makes `cpu` execute run_guest_once: a far call to LGUEST_CS:entry with eax and ebx as given, interrupts off. */
  enterSwitcher(cpu: Cpu, entry: number, eax: number, ebx: number): void {
    const { farPointer } = this.layout.cpus[cpu.id]
    this.mem.write32(farPointer, entry)
    this.goTo(cpu, 'run_guest_once')
    cpu.r[EAX] = eax
    cpu.r[EBX] = ebx
    cpu.r[EDX] = this.layout.toVirtual(farPointer)
  }

  /** Loads the address space of a task; the Switcher comes back to the same one. */
  private switchMm(cpu: Cpu, task: number): void {
    this.loadCr3(cpu, this.spaces.pgd(this.scheduler.task(task).mm))
  }

  private loadCr3(cpu: Cpu, pgd: number): void {
    if (cpu.st[S_CR3] >>> 0 === pgd) return
    cpu.st[S_CR3] = pgd
    flushTlb(cpu)
  }

  // --- tasks ---------------------------------------------------------------------------------------------------------------------

  /** Makes a task and lets it run. Its number, or 0 when memory is out. */
  spawn(program: Program, name: string, options: SpawnOptions = {}): number {
    const parent = options.shareWith === undefined ? undefined : this.scheduler.task(options.shareWith)
    const owner = parent === undefined ? this.allocator.newOwner(name) : parent.owner
    if (owner === 0) return 0
    const mm = parent === undefined ? this.spaces.create(owner) : parent.mm
    const task = mm === 0 ? 0 : this.allocator.allocZeroedPage(owner)
    if (task === 0) {
      if (parent === undefined) {
        if (mm !== 0) this.spaces.put(mm)
        this.allocator.freeOwner(owner)
      }
      return 0
    }
    assert(Task.size <= PAGE_SIZE, 'struct task does not fit a page')
    if (parent !== undefined) this.spaces.get(mm)
    Task.at(this.mem, task).magic = TASK_MAGIC
    const view = this.scheduler.task(task)
    const all = (1 << this.machine.cpus.length) - 1
    view.allowed = (options.affinity ?? all) & all || all
    view.cpu = this.leastLoaded(view.allowed)
    view.mm = mm
    view.owner = owner
    view.program = this.state.next_program++
    view.state = TASK_SLEEPING
    for (let i = 0; i < Math.min(name.length, TASK_NAME_SIZE - 1); i++) view.name.set(i, name.charCodeAt(i) & 0xff)
    this.programs.set(view.program, program)
    view.all_next = this.state.first_task
    this.state.first_task = task
    this.scheduler.wakeUp(task)
    return task
  }

  private leastLoaded(allowed: number): number {
    let best = -1
    let least = Infinity
    for (let cpu = 0; cpu < this.machine.cpus.length; cpu++) {
      if ((allowed & (1 << cpu)) === 0) continue
      // Tasks that are at home there, asleep or not: a launcher that sleeps now will want its CPU again.
      const load = this.taskNumbers().filter((task) => this.scheduler.task(task).cpu === cpu).length
      if (load < least) [best, least] = [cpu, load]
    }
    return best
  }

  private exit(cpu: Cpu, task: number, view: TaskView): void {
    const { mm, owner } = view
    this.files.closeAll(task)
    this.scheduler.leave(cpu.id, 'sleep')
    this.programs.delete(view.program)
    this.unlink(task, view)
    this.files.forgetReader(task, this.taskNumbers())
    this.scheduler.forget(task)
    this.allocator.putPage(task)
    // Nobody may still be in an address space that ends.
    const shared = this.taskNumbers().some((other) => this.scheduler.task(other).mm === mm)
    if (!shared) {
      const pgd = this.spaces.pgd(mm)
      for (const each of this.machine.cpus) if (each.st[S_CR3] >>> 0 === pgd) this.loadCr3(each, this.layout.pgd)
    }
    this.spaces.put(mm)
    if (!shared) this.allocator.freeOwner(owner)
  }

  private unlink(task: number, view: TaskView): void {
    if (this.state.first_task === task) this.state.first_task = view.all_next
    else {
      const before = this.taskNumbers().find((each) => this.scheduler.task(each).all_next === task)
      assert(before !== undefined, 'a task is not in the list')
      this.scheduler.task(before).all_next = view.all_next
    }
  }

  private taskNumbers(): number[] {
    const all: number[] = []
    for (let task = this.state.first_task; task !== 0; task = this.scheduler.task(task).all_next) all.push(task)
    return all
  }

  /** All tasks, youngest first. */
  tasks(): TaskInfo[] {
    return this.taskNumbers().map((task) => {
      const view = this.scheduler.task(task)
      const running = view.state === TASK_RUNNING
      return {
        task,
        name: nameOf(view),
        state: running ? 'running' : view.state === TASK_SLEEPING ? 'sleeping' : 'runnable',
        cpu: view.cpu,
        allowed: view.allowed,
        runTime: view.run_time + (running ? Math.max(0, this.ktime() - view.run_since) : 0),
      }
    })
  }

  wakeUp(task: number): void {
    this.scheduler.wakeUp(task)
  }

  /** A read() the task is in, or its next one, returns -EINTR. */
  signal(task: number): void {
    const view = this.scheduler.task(task)
    view.signal = 1
    this.scheduler.wakeUp(task)
  }

  signalPending(task: number): boolean {
    return this.scheduler.task(task).signal !== 0
  }

  needResched(cpu: number): boolean {
    return this.scheduler.percpu[cpu].need_resched !== 0
  }

  // --- system calls on files: file-calls.ts ------------------------------------------------------------------------------------------

  /** Makes a device known by its path. */
  registerDevice(path: string, device: CharDevice): void {
    this.files.registerDevice(path, device)
  }
  /** A descriptor, or a negative errno. */
  sysOpen(task: number, path: string): number {
    return this.files.open(task, path)
  }
  /** What the device says: 0 or more, or a negative errno. */
  sysWrite(task: number, fd: number, words: readonly number[]): number {
    return this.files.write(task, fd, words)
  }
  sysClose(task: number, fd: number): void {
    this.files.close(task, fd)
  }
  /** A descriptor of `task` for an eventfd whose signal wakes the task `reader`; or a negative errno. */
  sysEventfd(task: number, reader: number): number {
    return this.files.eventfd(task, reader)
  }
  /** How often the eventfd of a descriptor was signalled since the last call. */
  takeEvents(task: number, fd: number): number {
    return this.files.takeEvents(task, fd)
  }
  eventfdGet(task: number, fd: number): number {
    return this.files.eventfdGet(task, fd)
  }
  eventfdSignal(context: number): void {
    this.files.eventfdSignal(context)
  }
  eventfdPut(context: number): void {
    this.files.eventfdPut(context)
  }

  /** hpa behind hva in the task's address space, made if need be; 0 when memory is out. No reference stays. */
  userPage(task: number, hva: number): number {
    const page = this.spaces.getUserPage(this.scheduler.task(task).mm, hva, true)
    if (page !== 0) this.allocator.putPage(page)
    return page
  }
}

function nameOf(view: TaskView): string {
  let name = ''
  for (let i = 0; i < TASK_NAME_SIZE; i++) {
    const character = view.name.get(i)
    if (character === 0) break
    name += String.fromCharCode(character)
  }
  return name
}

/**
 * What the upper half of the Host kernel keeps in RAM: a page for each CPU, a page for each task, eventfds and timers.
 */
import { struct, type ViewOf } from '../bits/struct.ts'

/** One open file of a task. */
export const File = struct('file', {
  /** FILE_* below. */
  kind: 'u32',
  /** FILE_DEVICE: which device. */
  device: 'u32',
  /** FILE_DEVICE: the device's own word (for /dev/lguest: struct lguest). FILE_EVENTFD: hpa of the eventfd. */
  data: 'u32',
})
export type FileView = ViewOf<typeof File>

export const FILE_NONE = 0
export const FILE_DEVICE = 1
export const FILE_EVENTFD = 2

/** Descriptors a task can have; 0 is never given out. */
export const NR_FILES = 64
export const TASK_NAME_SIZE = 64

/** struct task: one page, whose address is the task's number. */
export const Task = struct('task', {
  magic: 'u32',
  /** TASK_* below. */
  state: 'u32',
  /** The CPU it is on, or was on last. */
  cpu: 'u32',
  /** Bit n: it may run on CPU n. */
  allowed: 'u32',
  /** Nanoseconds left of its time slice; 0: it has had it, and gets the next one when its turn comes. */
  slice_left: 'u32',
  /** Where it was asked to go, plus 1; 0 when nowhere. */
  migrate_to: 'u32',
  mm: 'u32',
  owner: 'u32',
  /** Number of its program (TypeScript). */
  program: 'u32',
  /** What its last system call returned. */
  result: 's32',
  signal: 'u32',
  /** Woken while it was not asleep: the next sleep is none. */
  woken: 'u32',
  /** A read() in progress: READ_*, and its arguments. */
  reading: 'u32',
  read_fd: 'u32',
  read_address: 'u32',
  read_length: 'u32',
  /** Run queue; list of all tasks. */
  next: 'u32',
  all_next: 'u32',
  /** Nanoseconds on a CPU up to now, and since when it is on one. */
  run_time: 'u64',
  run_since: 'u64',
  name: ['u8', TASK_NAME_SIZE],
  files: [File, NR_FILES],
})
export type TaskView = ViewOf<typeof Task>

export const TASK_MAGIC = 0x7461736b
export const TASK_SLEEPING = 0
/** In a run queue. */
export const TASK_RUNNABLE = 1
/** Its CPU's current task. */
export const TASK_RUNNING = 2

export const READ_NONE = 0
/** Asked for; the device has not been called yet. */
export const READ_ASKED = 1
export const READ_BEGUN = 2

/** The Host kernel's page of a CPU. */
export const PerCpu = struct('per_cpu', {
  current: 'u32',
  need_resched: 'u32',
  /** Run queue: first those with time left in their slice, then those without; in each part first come, first served. */
  lock: 'u32',
  queue_head: 'u32',
  queue_tail: 'u32',
  queue_length: 'u32',
  /** When the current task's time slice ends; ns. */
  slice_end: 'u64',
  idle: 'u32',
  idle_since: 'u64',
  idle_time: 'u64',
  context_switches: 'u64',
  /** Tasks that came here from another CPU. */
  migrations: 'u64',
  nmis: 'u32',
  /** The CPU is to be interrupted at this time though nothing is due then; ns, 0: no. */
  look_again: 'u64',
  /** By vector. */
  interrupts: ['u32', 256],
})
export type PerCpuView = ViewOf<typeof PerCpu>

/** The rest of the Host kernel's variables. */
export const KernelState = struct('kernel_state', {
  /** All tasks, through Task.all_next. */
  first_task: 'u32',
  next_program: 'u32',
})
export type KernelStateView = ViewOf<typeof KernelState>

/** An eventfd: a page of its own. */
export const Eventfd = struct('eventfd', {
  references: 'u32',
  count: 'u32',
  /** Task woken when it is signalled. */
  reader: 'u32',
})

export const Timer = struct('timer', {
  /** What the timer is for: the handler's business. */
  argument: 'u32',
  /** The CPU whose APIC waits for it. */
  cpu: 'u32',
  deadline: 'u64',
})

export type TimerView = ViewOf<typeof Timer>

/** Timers in a page; pages make a list. */
export const TIMERS_A_PAGE = 128
export const TimerPage = struct('timer_page', {
  next: 'u32',
  /** In the first page: how many records are in use, counted over all pages. They are the first ones. */
  used: 'u32',
  timers: [Timer, TIMERS_A_PAGE],
})
export type TimerPageView = ViewOf<typeof TimerPage>

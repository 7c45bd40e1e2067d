/**
 * System calls on files: open, write and close of devices by descriptor, and eventfds. The devices and their paths are a table of
 * TypeScript functions, made when their modules load; what is open is in the tasks' pages (files.ts has the table of one task). read()
 * is not here: it can sleep, so it is a part of the task's way through the scheduler (kernel.ts, continueRead).
 */
import { FILE_DEVICE, FILE_EVENTFD, FILE_NONE, type FileView, type TaskView } from '../layout/host-task.ts'
import type { PhysMemory } from '../layout/memory.ts'
import type { CharDevice } from './chrdev.ts'
import {
  EBADF,
  EINVAL,
  ENOENT,
  eventfdCount,
  eventfdGet,
  eventfdPut,
  eventfdTake,
  fileOf,
  forgetReader,
  freeDescriptor,
  openEventfd,
} from './files.ts'
import type { PageAllocator } from './page-allocator.ts'

/** What file calls need of the scheduler. */
export interface FileTasks {
  task(task: number): TaskView
  wakeUp(task: number): void
}

export class FileCalls {
  private readonly tasks: FileTasks
  private readonly mem: PhysMemory
  private readonly allocator: PageAllocator
  /** Charged for eventfds: who holds a reference may outlive the task. */
  private readonly owner: number
  private readonly devices: CharDevice[]
  private readonly paths: Map<string, number>

  constructor(tasks: FileTasks, mem: PhysMemory, allocator: PageAllocator, owner: number) {
    this.tasks = tasks
    this.mem = mem
    this.allocator = allocator
    this.owner = owner
    this.devices = []
    this.paths = new Map()
  }

  // --- devices -------------------------------------------------------------------------------------------------------------

  /** Makes a device known by its path. */
  registerDevice(path: string, device: CharDevice): void {
    this.paths.set(path, this.devices.length)
    this.devices.push(device)
  }

  /** A descriptor, or a negative errno. */
  open(task: number, path: string): number {
    const device = this.paths.get(path)
    if (device === undefined) return ENOENT
    const view = this.tasks.task(task)
    const fd = freeDescriptor(view)
    if (fd < 0) return fd
    const file = view.files.at(fd)
    file.kind = FILE_DEVICE
    file.device = device
    file.data = 0
    const error = this.devices[device].open(task, file)
    if (error >= 0) return fd
    file.kind = FILE_NONE
    return error
  }

  /** The device behind a descriptor of a task, and its file; undefined when it is none. */
  openDevice(view: TaskView, fd: number): { readonly device: CharDevice; readonly file: FileView } | undefined {
    const file = fileOf(view, fd)
    return file?.kind === FILE_DEVICE ? { device: this.devices[file.device], file } : undefined
  }

  /** What the device says: 0 or more, or a negative errno. */
  write(task: number, fd: number, words: readonly number[]): number {
    const view = this.tasks.task(task)
    const open = this.openDevice(view, fd)
    if (open === undefined) return fileOf(view, fd) === undefined ? EBADF : EINVAL
    return open.device.write(task, open.file, words)
  }

  /** Closes a descriptor; one that is not open is left alone. */
  close(task: number, fd: number): void {
    const view = this.tasks.task(task)
    const file = fileOf(view, fd)
    if (file === undefined) return
    if (file.kind === FILE_EVENTFD) eventfdPut(this.mem, this.allocator, file.data)
    else this.openDevice(view, fd)?.device.close(task, file)
    file.kind = FILE_NONE
    file.device = 0
    file.data = 0
  }

  /** The task ends. */
  closeAll(task: number): void {
    for (let fd = 1; fd < this.tasks.task(task).files.length; fd++) this.close(task, fd)
  }

  // --- eventfds ------------------------------------------------------------------------------------------------------------

  /** A descriptor of `task` for an eventfd whose signal wakes the task `reader`; or a negative errno. */
  eventfd(task: number, reader: number): number {
    return openEventfd(this.mem, this.allocator, this.tasks.task(task), reader, this.owner)
  }

  /** How often it was signalled since the last call. */
  takeEvents(task: number, fd: number): number {
    return eventfdTake(this.mem, this.tasks.task(task), fd)
  }

  /** Another reference to the eventfd of a descriptor: its context, or 0 when the descriptor is none. */
  eventfdGet(task: number, fd: number): number {
    return eventfdGet(this.mem, this.tasks.task(task), fd)
  }

  eventfdSignal(context: number): void {
    const reader = eventfdCount(this.mem, context)
    if (reader !== 0) this.tasks.wakeUp(reader)
  }

  eventfdPut(context: number): void {
    eventfdPut(this.mem, this.allocator, context)
  }

  /** No eventfd of these tasks wakes `reader` any more: it ends. */
  forgetReader(reader: number, tasks: readonly number[]): void {
    for (const task of tasks) forgetReader(this.mem, this.tasks.task(task), reader)
  }
}

/**
 * File descriptors: a table in the task's page. A file is a device's (its word is the device's own) or an eventfd. An eventfd is a
 * counter with a reader: signalling it counts up and wakes the reader; whoever keeps one takes a reference (lguest does, for kicks).
 */
import { assert } from '../bits/assert.ts'
import { Eventfd, FILE_EVENTFD, FILE_NONE, type FileView, NR_FILES, type TaskView } from '../layout/host-task.ts'
import type { PhysMemory } from '../layout/memory.ts'
import type { PageAllocator } from './page-allocator.ts'

export const ENOENT = -2
export const EINTR = -4
export const EBADF = -9
export const ENOMEM = -12
export const EINVAL = -22
export const EMFILE = -24

/** The open file of a descriptor, or undefined. */
export function fileOf(task: TaskView, fd: number): FileView | undefined {
  if (!(fd > 0 && fd < NR_FILES)) return undefined
  const file = task.files.at(fd)
  return file.kind === FILE_NONE ? undefined : file
}

/** A free descriptor, or -EMFILE. */
export function freeDescriptor(task: TaskView): number {
  for (let fd = 1; fd < NR_FILES; fd++) if (task.files.at(fd).kind === FILE_NONE) return fd
  return EMFILE
}

/** Makes an eventfd with one reference and a descriptor for it. A descriptor, or a negative errno. */
export function openEventfd(
  mem: PhysMemory,
  allocator: PageAllocator,
  task: TaskView,
  reader: number,
  owner: number,
): number {
  const fd = freeDescriptor(task)
  if (fd < 0) return fd
  const context = allocator.allocZeroedPage(owner)
  if (context === 0) return ENOMEM
  const view = Eventfd.at(mem, context)
  view.references = 1
  view.reader = reader
  const file = task.files.at(fd)
  file.kind = FILE_EVENTFD
  file.data = context
  return fd
}

/** Another reference to the eventfd of a descriptor: its context, or 0 when the descriptor is none. */
export function eventfdGet(mem: PhysMemory, task: TaskView, fd: number): number {
  const file = fileOf(task, fd)
  if (file?.kind !== FILE_EVENTFD) return 0
  Eventfd.at(mem, file.data).references++
  return file.data
}

export function eventfdPut(mem: PhysMemory, allocator: PageAllocator, context: number): void {
  const view = Eventfd.at(mem, context)
  assert(view.references > 0, 'an eventfd is given back too often')
  if (--view.references === 0) allocator.putPage(context)
}

/** Counts a signal; returns the task to wake, or 0. */
export function eventfdCount(mem: PhysMemory, context: number): number {
  const view = Eventfd.at(mem, context)
  view.count++
  return view.reader
}

/** How often it was signalled since the last time this was asked. */
export function eventfdTake(mem: PhysMemory, task: TaskView, fd: number): number {
  const file = fileOf(task, fd)
  if (file?.kind !== FILE_EVENTFD) return 0
  const view = Eventfd.at(mem, file.data)
  const { count } = view
  view.count = 0
  return count
}

/** A reader that is gone is woken no more. */
export function forgetReader(mem: PhysMemory, task: TaskView, reader: number): void {
  for (let fd = 1; fd < NR_FILES; fd++) {
    const file = task.files.at(fd)
    if (file.kind !== FILE_EVENTFD) continue
    const view = Eventfd.at(mem, file.data)
    if (view.reader === reader) view.reader = 0
  }
}

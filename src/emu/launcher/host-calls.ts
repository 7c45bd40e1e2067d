/**
 * The system calls a launcher makes, and what its program is: the Host kernel's list (src/emu/host) as far as launchers use it, so that
 * unit tests can give them a small one. A task is named by its number.
 */
import type { PhysMemory } from '../layout/memory.ts'

/** What a program does next: it has no other way to have an effect on its own task. */
export type LauncherSyscall =
  | { readonly call: 'read'; readonly fd: number; readonly address: number; readonly length: number }
  /** Sleep until somebody wakes the task. */
  | { readonly call: 'wait' }
  | { readonly call: 'yield' }
  | { readonly call: 'exit'; readonly code: number }

/** The user-mode part of a task: called when the task has a CPU, with the result of its last call. */
export interface LauncherProgram {
  step(task: number, result: number): LauncherSyscall
}

export interface LauncherHost {
  readonly mem: PhysMemory
  /** A new task; with `shareWith` in that task's address space, otherwise in one of its own. 0 when host memory is out. */
  spawn(program: LauncherProgram, name: string, options: { shareWith?: number; affinity?: number }): number
  /** hpa of the page behind hva in the task's address space, made if need be; 0 when memory is out. No reference stays. */
  userPage(task: number, hva: number): number
  /** A descriptor, or a negative errno. */
  sysOpen(task: number, path: string): number
  /** 0 or more, or a negative errno. */
  sysWrite(task: number, fd: number, words: readonly number[]): number
  sysClose(task: number, fd: number): void
  /** A descriptor of `task` for an eventfd whose signal wakes the task `reader`; or a negative errno. */
  sysEventfd(task: number, reader: number): number
  /** How often it was signalled since the last call. */
  takeEvents(task: number, fd: number): number
  wakeUp(task: number): void
  /** A read() the task is blocked in returns -EINTR. */
  signal(task: number): void
}

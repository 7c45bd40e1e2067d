/** Character devices: what the Host kernel's open, write, read and close of a path come to. */
import type { Cpu } from '../cpu/cpu.ts'
import type { FileView } from '../layout/host-task.ts'

/** How a read() goes on. */
export type ReadOutcome =
  /** Over: the value it returns. */
  | { readonly kind: 'done'; readonly value: number }
  /** The CPU has been set up to execute host text; gate_guest_returned brings the device back by resume(). */
  | { readonly kind: 'run' }
  /** The task sleeps; when it is woken, resume() is called. */
  | { readonly kind: 'sleep' }
  /** Another task may have the CPU; then resume() is called. */
  | { readonly kind: 'yield' }

/** Errors are negative errnos. `file.data` is the device's own word. */
export interface CharDevice {
  open(task: number, file: FileView): number
  write(task: number, file: FileView, words: readonly number[]): number
  read(task: number, file: FileView, address: number, length: number, cpu: Cpu): ReadOutcome
  resume(task: number, file: FileView, cpu: Cpu): ReadOutcome
  close(task: number, file: FileView): void
}

/** What a program does next. */
export type Syscall =
  | { readonly call: 'read'; readonly fd: number; readonly address: number; readonly length: number }
  /** Sleep until somebody wakes the task. A wake-up that came before counts. */
  | { readonly call: 'wait' }
  | { readonly call: 'yield' }
  | { readonly call: 'exit'; readonly code: number }

/** The user-mode part of a task: called when the task has a CPU, with what its last call returned. */
export interface Program {
  step(task: number, result: number): Syscall
}

/**
 * Spinlocks of the Host kernel: a word in RAM that is 0, or 1 while somebody holds it. Host code runs from a gate to its end without
 * being preempted, so a lock is never held when a CPU goes back to i386 code: assertNoLocksHeld, at the end of each gate, sees to it.
 *
 * Today one thread runs all CPUs and a lock is never contended. The words are in shared memory and taken by compare-and-exchange, so
 * they stay right when each CPU gets a thread. A thread runs one gate at a time: the list of what it holds is the thread's.
 */
import { assert } from '../bits/assert.ts'
import type { PhysMemory } from '../layout/memory.ts'

const UNLOCKED = 0
const LOCKED = 1

/** Locks this thread holds, in the order they were taken. */
const held: SpinLock[] = []

export class SpinLock {
  /** Class name: all locks that guard the same kind of thing have one, for the messages. */
  readonly name: string
  private readonly mem: PhysMemory
  private readonly hpa: number

  /** A lock over the word at hpa (4-byte aligned), which must read 0 before the first use. Any number of objects may stand for it. */
  constructor(mem: PhysMemory, hpa: number, name: string) {
    this.mem = mem
    this.hpa = hpa
    this.name = name
  }

  acquire(): void {
    while (this.mem.compareExchange32(this.hpa, UNLOCKED, LOCKED) !== UNLOCKED) {
      const mine = held.some((lock) => lock.isSame(this))
      if (mine) assert(false, `lock ${this.name} is taken by the thread that already holds it: that would wait forever`)
    }
    held.push(this)
  }

  release(): void {
    const at = held.findLastIndex((lock) => lock.isSame(this))
    if (at < 0) assert(false, `lock ${this.name} is released by a thread that does not hold it`)
    held.splice(at, 1)
    this.mem.compareExchange32(this.hpa, LOCKED, UNLOCKED)
  }

  isHeld(): boolean {
    return this.mem.read32(this.hpa) !== UNLOCKED
  }

  /** The same word of the same memory. */
  private isSame(other: SpinLock): boolean {
    return this.hpa === other.hpa && this.mem === other.mem
  }
}

/** Called where a gate ends: the CPU goes back to i386 code, which must find every lock free. */
export function assertNoLocksHeld(cpu: number): void {
  if (held.length !== 0) {
    assert(false, `CPU ${cpu} leaves the kernel holding ${held.map((lock) => lock.name).join(', ')}`)
  }
}

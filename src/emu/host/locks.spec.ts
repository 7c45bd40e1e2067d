/** Spinlocks: the word, and the mistakes that would hang or corrupt a machine of several threads. */
import { describe, expect, it } from 'vitest'
import { MachineMemory, MIB } from '../layout/memory.ts'
import { assertNoLocksHeld, SpinLock } from './locks.ts'

const { phys } = new MachineMemory({ cpus: 1, ramSize: 4 * MIB })

describe('a spinlock', () => {
  it('is a word in RAM, whatever object stands for it', () => {
    const lock = new SpinLock(phys, 0x100, 'test')
    lock.acquire()
    expect(phys.read32(0x100)).toBe(1)
    expect(new SpinLock(phys, 0x100, 'test').isHeld()).toBe(true)
    new SpinLock(phys, 0x100, 'test').release()
    expect(phys.read32(0x100)).toBe(0)
    assertNoLocksHeld(0)
  })

  it('taken twice, or given back by a stranger, is found out', () => {
    const [a, b] = [new SpinLock(phys, 0x100, 'run queue'), new SpinLock(phys, 0x104, 'owners')]
    a.acquire()
    expect(() => a.acquire()).toThrow('run queue is taken by the thread that already holds it')
    expect(() => b.release()).toThrow('owners is released by a thread that does not hold it')
    a.release()
  })

  it('must not be held when a gate ends', () => {
    const [a, b] = [new SpinLock(phys, 0x100, 'run queue'), new SpinLock(phys, 0x104, 'owners')]
    a.acquire()
    b.acquire()
    expect(() => assertNoLocksHeld(3)).toThrow('CPU 3 leaves the kernel holding run queue, owners')
    a.release()
    b.release()
    expect(() => assertNoLocksHeld(3)).not.toThrow()
  })
})

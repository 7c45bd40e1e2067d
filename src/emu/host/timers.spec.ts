/** Timers: one record an argument, each on a CPU; records of several pages stay found when others go. */
import { beforeEach, describe, expect, it } from 'vitest'
import { TIMERS_A_PAGE } from '../layout/host-task.ts'
import { MachineMemory, MIB } from '../layout/memory.ts'
import { PAGE_SIZE } from '../layout/x86.ts'
import { KERNEL_OWNER, PageAllocator } from './page-allocator.ts'
import { Timers } from './timers.ts'

const { phys } = new MachineMemory({ cpus: 1, ramSize: 4 * MIB })
let pages: PageAllocator
let timers: Timers

beforeEach(() => {
  phys.fill(0, phys.size, 0xa5)
  pages = new PageAllocator(phys, 3 * PAGE_SIZE)
  timers = new Timers(phys, pages, KERNEL_OWNER)
})

describe('timers', () => {
  it('expire on their CPU, earliest first, once', () => {
    timers.set(1, 0, 300)
    timers.set(2, 0, 100)
    timers.set(3, 1, 50)
    expect([timers.next(0), timers.next(1), timers.next(2)]).toEqual([100, 50, Infinity])
    expect(timers.expired(0, 99)).toEqual([])
    expect(timers.expired(0, 300)).toEqual([2, 1])
    expect([timers.expired(0, 300), timers.next(0), timers.next(1)]).toEqual([[], Infinity, 50])
  })

  it('are replaced and cancelled by argument', () => {
    timers.set(1, 0, 300)
    timers.set(2, 0, 400)
    timers.set(1, 1, 500.2)
    expect([timers.next(0), timers.next(1)]).toEqual([400, 501])
    expect([timers.cancel(1), timers.cancel(1), timers.cancel(9)]).toEqual([true, false, false])
    expect([timers.next(0), timers.next(1)]).toEqual([400, Infinity])
  })

  it('fill as many pages as they need and are all found when some have gone', () => {
    const many = 2 * TIMERS_A_PAGE + 5
    for (let i = 1; i <= many; i++) expect(timers.set(i, i % 2, 1000 - i)).toBe(true)
    for (let i = 1; i <= many; i += 3) expect(timers.cancel(i)).toBe(true)
    const left = Array.from({ length: many }, (_, i) => many - i).filter((i) => i % 3 !== 1)
    expect(timers.expired(0, 1000)).toEqual(left.filter((i) => i % 2 === 0))
    expect(timers.expired(1, 1000)).toEqual(left.filter((i) => i % 2 === 1))
    const free = pages.freePages
    for (let i = 1; i <= many; i++) timers.set(i, 0, i)
    expect(pages.freePages).toBe(free)
  })

  it('say no without memory, and keep what they have', () => {
    while (pages.allocPage(KERNEL_OWNER) !== 0);
    for (let i = 1; i <= TIMERS_A_PAGE; i++) expect(timers.set(i, 0, i)).toBe(true)
    expect(timers.set(TIMERS_A_PAGE + 1, 0, 1)).toBe(false)
    expect(timers.set(7, 0, 1000)).toBe(true)
    expect(timers.expired(0, 1000)).toHaveLength(TIMERS_A_PAGE)
  })
})

/** Accounting of the page allocator: each page free or charged, references, exhaustion, and the mistakes it must find. */
import { beforeEach, describe, expect, it } from 'vitest'
import { MachineMemory, MIB } from '../layout/memory.ts'
import { PAGE_SIZE } from '../layout/x86.ts'
import { assertNoLocksHeld } from './locks.ts'
import { MAX_OWNERS, PageAllocator } from './page-allocator.ts'

const { phys } = new MachineMemory({ cpus: 1, ramSize: 4 * MIB })
let pages: PageAllocator

beforeEach(() => {
  phys.fill(0, phys.size, 0xa5)
  pages = new PageAllocator(phys, 3 * PAGE_SIZE)
})

/** Every page is free or charged to somebody, and the tables agree. */
function checkBooks(): void {
  const counted = new Map<number, number>()
  for (let hpa = 0; hpa < phys.size; hpa += PAGE_SIZE) {
    const owner = pages.pageOwner(hpa)
    expect(owner === 0).toBe(pages.references(hpa) === 0)
    counted.set(owner, (counted.get(owner) ?? 0) + 1)
  }
  expect(counted.get(0) ?? 0).toBe(pages.freePages)
  for (const { id, pages: charged } of pages.owners()) expect(counted.get(id) ?? 0).toBe(charged)
}

function takeAll(owner: number): number[] {
  const taken: number[] = []
  for (let hpa = pages.allocPage(owner); hpa !== 0; hpa = pages.allocPage(owner)) taken.push(hpa)
  return taken
}

describe('pages', () => {
  it('are charged to their owner until the last reference goes', () => {
    const owner = pages.newOwner('guest 1')
    const before = pages.freePages
    const hpa = pages.allocPage(owner)
    expect([pages.pageOwner(hpa), pages.references(hpa), pages.ownerPages(owner)]).toEqual([owner, 1, 1])
    pages.getPage(hpa)
    pages.putPage(hpa)
    expect([pages.references(hpa), pages.ownerPages(owner), pages.freePages]).toEqual([1, 1, before - 1])
    pages.putPage(hpa)
    expect([pages.pageOwner(hpa), pages.references(hpa), pages.ownerPages(owner), pages.freePages]).toEqual([
      0,
      0,
      0,
      before,
    ])
    checkBooks()
  })

  it('run out: the answer is 0 and nothing is charged; what comes back can be had again', () => {
    const owner = pages.newOwner('hog')
    const all = pages.freePages
    const taken = takeAll(owner)
    expect(taken).toHaveLength(all)
    expect(new Set(taken).size).toBe(all)
    expect(taken.every((hpa) => hpa % PAGE_SIZE === 0 && hpa > 0 && hpa < phys.size)).toBe(true)
    expect([pages.allocZeroedPage(owner), pages.allocContiguous(owner, 1), pages.ownerPages(owner)]).toEqual([
      0,
      0,
      all,
    ])
    pages.putPage(taken[17])
    expect(pages.allocPage(owner)).toBe(taken[17])
    checkBooks()
    for (const hpa of taken) pages.putPage(hpa)
    expect(pages.freePages).toBe(all)
    checkBooks()
  })

  it('are cleared when asked for so, and nothing of the map is inside them', () => {
    const owner = pages.newOwner('writer')
    const taken = takeAll(owner)
    for (const hpa of taken) phys.fill(hpa, PAGE_SIZE, 0xff)
    checkBooks()
    for (const hpa of taken) pages.putPage(hpa)
    const hpa = pages.allocZeroedPage(owner)
    expect(phys.readBytes(hpa, PAGE_SIZE).every((byte) => byte === 0)).toBe(true)
  })

  it('come in runs, also when the free list is in disorder', () => {
    const owner = pages.newOwner('buffers')
    const taken = takeAll(owner).sort((a, b) => a - b)
    // Holes of one page at every other place, then one hole of five, freed in an order of its own.
    for (let i = 0; i < 100; i += 2) pages.putPage(taken[i])
    for (const i of [203, 201, 204, 200, 202]) pages.putPage(taken[i])
    expect(pages.allocContiguous(owner, 6)).toBe(0)
    expect(pages.allocContiguous(owner, 5)).toBe(taken[200])
    expect(pages.references(taken[202])).toBe(1)
    checkBooks()
    const left = pages.freePages
    expect(takeAll(owner)).toHaveLength(left)
    checkBooks()
  })
})

describe('references', () => {
  it('are counted further than a Guest can map one page', () => {
    const owner = pages.newOwner('mapper')
    const hpa = pages.allocPage(owner)
    for (let i = 0; i < 70_000; i++) pages.getPage(hpa)
    expect(pages.references(hpa)).toBe(70_001)
    for (let i = 0; i < 70_000; i++) pages.putPage(hpa)
    expect([pages.references(hpa), pages.ownerPages(owner)]).toEqual([1, 1])
    pages.putPage(hpa)
    checkBooks()
  })
})

describe('mistakes', () => {
  it('stop the machine: double free, no page, a page of the kernel, a reference to a free page', () => {
    const owner = pages.newOwner('careless')
    const hpa = pages.allocPage(owner)
    pages.putPage(hpa)
    expect(() => pages.putPage(hpa)).toThrow('free already')
    expect(() => pages.getPage(hpa)).toThrow('free already')
    expect(() => pages.putPage(hpa + 4)).toThrow('no page of RAM')
    expect(() => pages.getPage(phys.size)).toThrow('no page of RAM')
    expect(() => pages.putPage(0)).toThrow('belongs to the kernel for good')
    expect(() => pages.allocPage(0)).toThrow('no page owner')
    expect(() => pages.allocPage(owner + 1)).toThrow('not in use')
    checkBooks()
    assertNoLocksHeld(0)
  })
})

describe('owners', () => {
  it('have names, and their numbers are used again', () => {
    const a = pages.newOwner('a')
    const b = pages.newOwner('x'.repeat(80))
    expect(pages.ownerName(a)).toBe('a')
    expect(pages.ownerName(b)).toBe('x'.repeat(56))
    pages.freeOwner(a)
    expect(() => pages.ownerPages(a)).toThrow('not in use')
    expect(pages.newOwner('c')).toBe(a)
    expect(pages.owners().map(({ name }) => name)).toEqual(['kernel', 'c', 'x'.repeat(56)])
  })

  it('cannot end with pages', () => {
    const owner = pages.newOwner('leaky')
    pages.allocPage(owner)
    expect(() => pages.freeOwner(owner)).toThrow('page owner 2 (leaky) ends with 1 pages left')
  })

  it('are limited only by the table', () => {
    const ids = new Set<number>()
    for (let i = 2; i < MAX_OWNERS; i++) ids.add(pages.newOwner(`owner ${i}`))
    expect(ids.size).toBe(MAX_OWNERS - 2)
    expect(pages.newOwner('one more')).toBe(0)
    pages.freeOwner(77)
    expect(pages.newOwner('one more')).toBe(77)
  })
})

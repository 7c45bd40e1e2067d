/** Address spaces: pages on first touch, the shared kernel half, and that the end of one gives everything back. */
import { beforeEach, describe, expect, it } from 'vitest'
import { MachineMemory, MIB } from '../layout/memory.ts'
import { PAGE_PRESENT, PAGE_RW, PAGE_SIZE, PAGE_USER } from '../layout/x86.ts'
import { peekTranslate } from '../mmu/walk.ts'
import { AddressSpaces, USER_END } from './address-space.ts'
import { PageAllocator } from './page-allocator.ts'

const mem = new MachineMemory({ cpus: 1, ramSize: 4 * MIB })
const { phys } = mem
const HVA = 0x1000_0000
let pages: PageAllocator
let spaces: AddressSpaces
let kernelPgd: number
let owner: number

beforeEach(() => {
  pages = new PageAllocator(phys, PAGE_SIZE)
  kernelPgd = pages.allocZeroedPage(pages.newOwner('boot'))
  for (let i = 768; i < 1024; i++) phys.write32(kernelPgd + i * 4, (i << 12) | 0x63)
  phys.write32(kernelPgd, 0x63) // below the kernel's half: not to be copied
  spaces = new AddressSpaces(phys, pages, kernelPgd)
  owner = pages.newOwner('launcher')
})

describe('a page', () => {
  it('appears zeroed on first touch, mapped for the user, and is the same afterwards', () => {
    const mm = spaces.create(owner)
    expect(spaces.peekUserPage(mm, HVA)).toBe(0)
    const free = pages.freePages
    const hpa = spaces.getUserPage(mm, HVA + 5, false)
    expect(pages.freePages).toBe(free - 2) // with its page table
    expect(phys.readBytes(hpa, PAGE_SIZE).every((byte) => byte === 0)).toBe(true)
    expect(pages.references(hpa)).toBe(2)
    expect(spaces.getUserPage(mm, HVA + PAGE_SIZE - 1, true)).toBe(hpa)
    expect(pages.references(hpa)).toBe(3)
    expect(spaces.peekUserPage(mm, HVA)).toBe(hpa)
    expect(spaces.userPages(mm)).toBe(1)
    expect(peekTranslate(mem, spaces.pgd(mm), 0, HVA + 0x123)).toBe(hpa + 0x123)
    const table = (phys.read32(spaces.pgd(mm) + (HVA >>> 22) * 4) & 0xfffff000) >>> 0
    expect(phys.read32(table + ((HVA >>> 12) & 1023) * 4)).toBe(hpa | PAGE_PRESENT | PAGE_RW | PAGE_USER)
  })

  it('is private to its address space', () => {
    const [a, b] = [spaces.create(owner), spaces.create(owner)]
    expect(spaces.getUserPage(a, HVA, true)).not.toBe(spaces.getUserPage(b, HVA, true))
  })

  it('that may only be read is not given for writing', () => {
    const mm = spaces.create(owner)
    const hpa = spaces.getUserPage(mm, HVA, false)
    const table = (phys.read32(spaces.pgd(mm) + (HVA >>> 22) * 4) & 0xfffff000) >>> 0
    phys.write32(table + ((HVA >>> 12) & 1023) * 4, hpa | PAGE_PRESENT | PAGE_USER)
    expect(spaces.getUserPage(mm, HVA, true)).toBe(0)
    expect(spaces.getUserPage(mm, HVA, false)).toBe(hpa)
  })

  it('of the kernel or of nobody is not to be had', () => {
    const mm = spaces.create(owner)
    const free = pages.freePages
    for (const hva of [USER_END, 0xffff_ffff, 0x1_0000_0000, -4096]) {
      expect(spaces.getUserPage(mm, hva, false)).toBe(0)
      expect(spaces.peekUserPage(mm, hva)).toBe(0)
    }
    expect(spaces.getUserPage(mm, USER_END - 1, true)).not.toBe(0)
    expect(pages.freePages).toBe(free - 2)
  })
})

describe('copies', () => {
  it('cross pages and read back; what was never touched reads as zeros and stays absent', () => {
    const mm = spaces.create(owner)
    const bytes = Uint8Array.from({ length: 3 * PAGE_SIZE }, (_, i) => (i * 7 + (i >> 8)) & 0xff)
    const hva = 0x3ff_f801 // across a page table, too
    expect(spaces.copyToUser(mm, hva, bytes)).toBe(true)
    expect(spaces.userPages(mm)).toBe(4)
    expect(spaces.copyFromUser(mm, hva, bytes.length)).toEqual(bytes)
    expect(spaces.copyFromUser(mm, hva - 1, 3)).toEqual(Uint8Array.from([0, bytes[0], bytes[1]]))
    expect(spaces.copyFromUser(mm, 0x2000_0000, 5000)).toEqual(new Uint8Array(5000))
    expect(spaces.userPages(mm)).toBe(4)
  })

  it('fail at the end of the launcher, before anything is written', () => {
    const mm = spaces.create(owner)
    const hva = USER_END - 4
    expect(spaces.copyToUser(mm, hva, new Uint8Array(5))).toBe(false)
    expect(spaces.userPages(mm)).toBe(0)
    expect(spaces.copyFromUser(mm, hva, 5)).toBeUndefined()
    expect(spaces.copyToUser(mm, hva, new Uint8Array(4))).toBe(true)
    expect(spaces.copyFromUser(mm, hva, 4)).toHaveLength(4)
  })
})

describe('the kernel half', () => {
  it('is the kernel directory, and the user half is empty', () => {
    const pgd = spaces.pgd(spaces.create(owner))
    for (let i = 0; i < 768; i++) expect(phys.read32(pgd + i * 4)).toBe(0)
    expect(phys.readBytes(pgd + 768 * 4, 1024)).toEqual(phys.readBytes(kernelPgd + 768 * 4, 1024))
  })
})

describe('the end', () => {
  it('gives everything back, so that the owner can go', () => {
    const free = pages.freePages
    const mm = spaces.create(owner)
    spaces.copyToUser(mm, HVA, new Uint8Array(100_000))
    spaces.copyToUser(mm, 0x8000_0000, new Uint8Array(10))
    expect(pages.freePages).toBeLessThan(free - 25)
    spaces.get(mm)
    spaces.put(mm)
    expect(spaces.userPages(mm)).toBe(26) // 100000 bytes, and 10
    spaces.put(mm)
    expect(pages.freePages).toBe(free)
    pages.freeOwner(owner)
  })

  it('leaves the pages somebody else holds, and finds late users', () => {
    const mm = spaces.create(owner)
    const hpa = spaces.getUserPage(mm, HVA, true)
    spaces.put(mm)
    expect(pages.ownerPages(owner)).toBe(1)
    pages.putPage(hpa)
    expect(pages.ownerPages(owner)).toBe(0)
    expect(() => spaces.pgd(mm)).toThrow('is no address space')
    expect(() => spaces.put(mm)).toThrow('is no address space')
  })
})

describe('when memory is out', () => {
  it('nothing is lost, wherever it ends', () => {
    const hog = pages.newOwner('hog')
    const taken: number[] = []
    for (let hpa = pages.allocPage(hog); hpa !== 0; hpa = pages.allocPage(hog)) taken.push(hpa)
    // mm, its directory, page table, page: each is the first to be refused once.
    for (let left = 0; left <= 4; left++) {
      for (let i = 0; i < left; i++) pages.putPage(taken.pop() as number)
      const mm = spaces.create(owner)
      expect(mm !== 0).toBe(left >= 2)
      if (mm !== 0) {
        const hpa = spaces.getUserPage(mm, HVA, true)
        expect(hpa !== 0).toBe(left === 4)
        expect(spaces.copyToUser(mm, HVA, new Uint8Array(1))).toBe(left === 4)
        if (hpa !== 0) pages.putPage(hpa)
        spaces.put(mm)
      }
      expect(pages.ownerPages(owner)).toBe(0)
      expect(pages.freePages).toBe(left)
      for (let i = 0; i < left; i++) taken.push(pages.allocPage(hog))
    }
  })
})

/**
 * Address spaces of launchers. The user half is filled on first touch with pages of zeros; the kernel half of every directory is a copy
 * of the kernel's, whose directory entries never change after boot. A mm is named by the hpa of its struct mm; objects here hold nothing.
 *
 * The emulated CPUs run no user code: user mappings are only ever read by the Host and the hypervisor, so no TLB needs a flush when
 * one appears. A CPU may still have a directory in cr3, so the scheduler must load another before the last put().
 */
import { assert } from '../bits/assert.ts'
import { Mm, MM_MAGIC } from '../layout/host-memory.ts'
import type { PhysMemory } from '../layout/memory.ts'
import { PAGE_MASK, PAGE_PRESENT, PAGE_RW, PAGE_SIZE, PAGE_USER, PTES_PER_PAGE } from '../layout/x86.ts'
import type { PageAllocator } from './page-allocator.ts'

/** First address after those of a launcher: the kernel's half starts here. */
export const USER_END = 0xc000_0000
/** Directory entries of the user half. */
const USER_PDES = USER_END / 0x40_0000
const USER_PAGE = PAGE_PRESENT | PAGE_RW | PAGE_USER

export class AddressSpaces {
  private readonly mem: PhysMemory
  private readonly allocator: PageAllocator
  private readonly kernelPgd: number

  constructor(mem: PhysMemory, allocator: PageAllocator, kernelPgd: number) {
    this.mem = mem
    this.allocator = allocator
    this.kernelPgd = kernelPgd
  }

  /** An empty address space with one reference, its pages charged to `owner`; 0 when memory is out. */
  create(owner: number): number {
    const mm = this.allocator.allocZeroedPage(owner)
    if (mm === 0) return 0
    const pgd = this.allocator.allocZeroedPage(owner)
    if (pgd === 0) {
      this.allocator.putPage(mm)
      return 0
    }
    const kernel = USER_PDES * 4
    this.mem.writeBytes(pgd + kernel, this.mem.readBytes(this.kernelPgd + kernel, PAGE_SIZE - kernel))
    const view = Mm.at(this.mem, mm)
    view.references = 1
    view.pgd = pgd
    view.owner = owner
    view.magic = MM_MAGIC
    return mm
  }

  /** Takes a reference. */
  get(mm: number): void {
    this.view(mm).references++
  }

  /** Drops a reference. The last one frees the page tables, and every user page nobody else holds. */
  put(mm: number): void {
    const view = this.view(mm)
    view.references--
    if (view.references > 0) return
    const { pgd } = view
    view.magic = 0
    for (let i = 0; i < USER_PDES; i++) {
      const pde = this.mem.read32(pgd + i * 4)
      if ((pde & PAGE_PRESENT) !== 0) this.freeTable(frame(pde))
    }
    this.allocator.putPage(pgd)
    this.allocator.putPage(mm)
  }

  private freeTable(table: number): void {
    for (let i = 0; i < PTES_PER_PAGE; i++) {
      const pte = this.mem.read32(table + i * 4)
      if ((pte & PAGE_PRESENT) !== 0) this.allocator.putPage(frame(pte))
    }
    this.allocator.putPage(table)
  }

  /** hpa of the page directory. */
  pgd(mm: number): number {
    return this.view(mm).pgd
  }

  owner(mm: number): number {
    return this.view(mm).owner
  }

  /** User pages present; page tables are not counted. */
  userPages(mm: number): number {
    return this.view(mm).pages
  }

  /** The page with the byte at hva, with a reference taken for the caller. Allocates on first touch; 0 when memory is out, the address
   *  is not a user's, or `write` is asked of a page that may only be read. */
  getUserPage(mm: number, hva: number, write: boolean): number {
    const hpa = this.fault(mm, hva, write)
    if (hpa !== 0) this.allocator.getPage(hpa)
    return hpa
  }

  /** The page with the byte at hva when it is there already, else 0. Changes nothing. */
  peekUserPage(mm: number, hva: number): number {
    const { pgd } = this.view(mm)
    if (!isUserAddress(hva)) return 0
    const pde = this.mem.read32(pgd + (hva >>> 22) * 4)
    if ((pde & PAGE_PRESENT) === 0) return 0
    const pte = this.mem.read32(frame(pde) + pteOffset(hva))
    return (pte & PAGE_PRESENT) === 0 ? 0 : frame(pte)
  }

  /** False when part of the range is not a user's (then nothing is written) or memory is out (then a beginning may be). */
  copyToUser(mm: number, hva: number, bytes: Uint8Array): boolean {
    if (!isUserRange(hva, bytes.length)) return false
    for (let done = 0; done < bytes.length;) {
      const offset = (hva + done) % PAGE_SIZE
      const length = Math.min(bytes.length - done, PAGE_SIZE - offset)
      const hpa = this.fault(mm, hva + done, true)
      if (hpa === 0) return false
      this.mem.writeBytes(hpa + offset, bytes.subarray(done, done + length))
      done += length
    }
    return true
  }

  /** A copy of user memory; undefined when part of the range is not a user's. Pages never touched read as zeros and stay absent. */
  copyFromUser(mm: number, hva: number, length: number): Uint8Array | undefined {
    if (!isUserRange(hva, length)) return undefined
    const bytes = new Uint8Array(length)
    for (let done = 0; done < length;) {
      const offset = (hva + done) % PAGE_SIZE
      const part = Math.min(length - done, PAGE_SIZE - offset)
      const hpa = this.peekUserPage(mm, hva + done)
      if (hpa !== 0) bytes.set(this.mem.readBytes(hpa + offset, part), done)
      done += part
    }
    return bytes
  }

  /** What a page fault of the user at hva would do: the page, made when it is missing; 0 when it cannot be had. */
  private fault(mm: number, hva: number, write: boolean): number {
    const view = this.view(mm)
    if (!isUserAddress(hva)) return 0
    const { pgd, owner } = view
    const entry = pgd + (hva >>> 22) * 4
    let pde = this.mem.read32(entry)
    if ((pde & PAGE_PRESENT) === 0) {
      const table = this.allocator.allocZeroedPage(owner)
      if (table === 0) return 0
      pde = table | USER_PAGE
      this.mem.write32(entry, pde)
    }
    const slot = frame(pde) + pteOffset(hva)
    const pte = this.mem.read32(slot)
    if ((pte & PAGE_PRESENT) !== 0) return write && (pte & PAGE_RW) === 0 ? 0 : frame(pte)
    const hpa = this.allocator.allocZeroedPage(owner)
    if (hpa === 0) return 0
    this.mem.write32(slot, hpa | USER_PAGE)
    view.pages++
    return hpa
  }

  private view(mm: number): ReturnType<typeof Mm.at> {
    const view = Mm.at(this.mem, mm)
    if (view.magic !== MM_MAGIC) assert(false, `0x${mm.toString(16)} is no address space, or one that has ended`)
    return view
  }
}

function frame(entry: number): number {
  return (entry & PAGE_MASK) >>> 0
}

function pteOffset(hva: number): number {
  return ((hva >>> 12) & (PTES_PER_PAGE - 1)) * 4
}

function isUserAddress(hva: number): boolean {
  return hva >= 0 && hva < USER_END
}

function isUserRange(hva: number, length: number): boolean {
  return length >= 0 && isUserAddress(hva) && hva + length <= USER_END
}

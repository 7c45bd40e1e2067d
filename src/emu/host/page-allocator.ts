/**
 * The Host's page allocator: all RAM, page by page, with a reference count and an owner for each page, so that "who has the memory"
 * always has an answer and a leak has a name. From `firstFree` on, RAM holds
 *
 *   | variables, owner table | mem_map: struct page for every page of RAM | pages to allocate ... |
 *
 * Free pages form a list threaded through the mem_map. Everything is in RAM; the object has only addresses, which follow from
 * firstFree and the size of RAM. Pages keep their contents when freed: who needs zeros asks for them.
 * It knows nothing of address spaces, and it does not reclaim: when memory is out, the answer is 0.
 */
import { assert } from '../bits/assert.ts'
import { OWNER_NAME_BYTES, Page, PageAllocatorState, PageOwner } from '../layout/host-memory.ts'
import type { PhysMemory } from '../layout/memory.ts'
import { PAGE_SHIFT, PAGE_SIZE } from '../layout/x86.ts'
import { SpinLock } from './locks.ts'

/** Owners there can be at a time, nobody (0) included. */
export const MAX_OWNERS = 4096
/** Charged for what is below firstFree and for the allocator itself; bootHost's pages are charged to it too. */
export const KERNEL_OWNER = 1
const QUESTION_MARK = 0x3f
/** Room for the variables before the owner table. */
const STATE_SIZE = 64

const OWNER = Page.offset.owner
const COUNT = Page.offset.count
const NEXT = Page.offset.next
const roundUp = (bytes: number): number => Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE

export interface OwnerInfo {
  readonly id: number
  readonly name: string
  readonly pages: number
}

export class PageAllocator {
  /** Pages of RAM; each is free or charged to an owner. */
  readonly totalPages: number
  private readonly mem: PhysMemory
  private readonly ownerTable: number
  private readonly memMap: number
  private readonly state: ReturnType<typeof PageAllocatorState.at>
  private readonly lock: SpinLock

  /** Takes charge of all RAM. `firstFree`: hpa of the first page that is not in use; what is below stays as it is. */
  constructor(mem: PhysMemory, firstFree: number) {
    assert(firstFree > 0 && firstFree % PAGE_SIZE === 0, `first free page ${hex(firstFree)} is not a page address`)
    this.mem = mem
    this.totalPages = mem.size >>> PAGE_SHIFT
    this.state = PageAllocatorState.at(mem, firstFree)
    this.ownerTable = firstFree + STATE_SIZE
    this.memMap = roundUp(this.ownerTable + MAX_OWNERS * PageOwner.size)
    const first = roundUp(this.memMap + this.totalPages * Page.size) >>> PAGE_SHIFT
    assert(first < this.totalPages, `${mem.size / 1048576} MiB of RAM is too little to keep account of it`)
    mem.fill(firstFree, (first << PAGE_SHIFT) - firstFree, 0)
    this.lock = new SpinLock(mem, firstFree + PageAllocatorState.offset.lock, 'page allocator')
    this.state.first_page = first

    for (let id = MAX_OWNERS - 1; id >= 1; id--) this.releaseOwner(id)
    const kernel = this.newOwner('kernel')
    assert(kernel === KERNEL_OWNER, 'the kernel is the first owner')
    for (let pfn = 0; pfn < first; pfn++) this.charge(pfn, kernel)
    // From the top down, so that the lowest pages are handed out first.
    for (let pfn = this.totalPages - 1; pfn >= first; pfn--) this.pushFree(pfn)
  }

  get freePages(): number {
    return this.state.free_pages
  }

  // --- owners ------------------------------------------------------------------------------------------------------------

  /** A number to charge pages to; 0 when all are in use. `name` is for people: 56 characters of ASCII. */
  newOwner(name: string): number {
    const id = this.state.owner_free_head
    if (id === 0) return 0
    const entry = this.ownerEntry(id)
    this.state.owner_free_head = entry.next
    entry.in_use = 1
    entry.next = 0
    entry.pages = 0
    for (let i = 0; i < OWNER_NAME_BYTES; i++) {
      const code = i < name.length ? name.charCodeAt(i) : 0
      entry.name.set(i, code < 0x80 ? code : QUESTION_MARK)
    }
    return id
  }

  /** Gives the number back, to be used again. The owner must have no pages left. */
  freeOwner(owner: number): void {
    const { pages } = this.liveOwner(owner)
    if (pages !== 0) assert(false, `page owner ${owner} (${this.ownerName(owner)}) ends with ${pages} pages left`)
    this.releaseOwner(owner)
  }

  ownerName(owner: number): string {
    const { name } = this.liveOwner(owner)
    let text = ''
    for (let i = 0; i < OWNER_NAME_BYTES && name.get(i) !== 0; i++) text += String.fromCharCode(name.get(i))
    return text
  }

  /** Pages charged to an owner. */
  ownerPages(owner: number): number {
    return this.liveOwner(owner).pages
  }

  /** All owners in use, by number. Their pages and freePages add up to totalPages. */
  owners(): OwnerInfo[] {
    const list: OwnerInfo[] = []
    for (let id = 1; id < MAX_OWNERS; id++) {
      const entry = this.ownerEntry(id)
      if (entry.in_use !== 0) list.push({ id, name: this.ownerName(id), pages: entry.pages })
    }
    return list
  }

  private ownerEntry(owner: number): ReturnType<typeof PageOwner.at> {
    return PageOwner.at(this.mem, this.ownerTable + owner * PageOwner.size)
  }

  private liveOwner(owner: number): ReturnType<typeof PageOwner.at> {
    if (!(owner > 0 && owner < MAX_OWNERS)) assert(false, `${owner} is no page owner`)
    const entry = this.ownerEntry(owner)
    if (entry.in_use === 0) assert(false, `page owner ${owner} is not in use`)
    return entry
  }

  private releaseOwner(owner: number): void {
    const entry = this.ownerEntry(owner)
    entry.in_use = 0
    entry.next = this.state.owner_free_head
    this.state.owner_free_head = owner
  }

  // --- pages -------------------------------------------------------------------------------------------------------------

  /** hpa of a page with one reference and any contents, charged to `owner`; 0 when memory is out. */
  allocPage(owner: number): number {
    this.liveOwner(owner)
    this.lock.acquire()
    const pfn = this.state.free_head
    if (pfn !== 0) {
      this.state.free_head = this.mem.read32(this.entry(pfn) + NEXT)
      this.state.free_pages--
      this.charge(pfn, owner)
    }
    this.lock.release()
    return pfn * PAGE_SIZE
  }

  /** The same, of zeros. */
  allocZeroedPage(owner: number): number {
    const hpa = this.allocPage(owner)
    if (hpa !== 0) this.mem.fill(hpa, PAGE_SIZE, 0)
    return hpa
  }

  /**
   * hpa of the first of `pages` pages that follow each other, each with one reference of its own; 0 when there is no such run.
   * Looks through all RAM: for boot and the rare large buffer.
   */
  allocContiguous(owner: number, pages: number): number {
    assert(pages >= 1, `${pages} pages asked for`)
    this.liveOwner(owner)
    this.lock.acquire()
    const first = this.findRun(pages)
    if (first !== 0) {
      this.unlinkRun(first, pages)
      for (let pfn = first; pfn < first + pages; pfn++) this.charge(pfn, owner)
    }
    this.lock.release()
    return first * PAGE_SIZE
  }

  /** Takes another reference to a page in use. */
  getPage(hpa: number): void {
    const entry = this.entry(this.livePfn(hpa))
    this.mem.write32(entry + COUNT, this.mem.read32(entry + COUNT) + 1)
  }

  /** Drops a reference; without any the page is free, and its owner no longer charged. */
  putPage(hpa: number): void {
    const pfn = this.livePfn(hpa)
    if (pfn < this.state.first_page)
      assert(false, `page ${hex(hpa)} belongs to the kernel for good and cannot be freed`)
    const entry = this.entry(pfn)
    const count = this.mem.read32(entry + COUNT) - 1
    if (count > 0) {
      this.mem.write32(entry + COUNT, count)
      return
    }
    this.lock.acquire()
    this.ownerEntry(this.mem.read16(entry + OWNER)).pages--
    this.pushFree(pfn)
    this.lock.release()
  }

  /** Who is charged for a page; 0 when it is free. */
  pageOwner(hpa: number): number {
    return this.mem.read16(this.entry(this.pfnOf(hpa)) + OWNER)
  }

  /** References to a page; 0 when it is free. */
  references(hpa: number): number {
    return this.mem.read32(this.entry(this.pfnOf(hpa)) + COUNT)
  }

  /** Address of a page's struct page. */
  private entry(pfn: number): number {
    return this.memMap + pfn * Page.size
  }

  private pfnOf(hpa: number): number {
    if (!(hpa >= 0 && hpa < this.mem.size && hpa % PAGE_SIZE === 0)) assert(false, `${hex(hpa)} is no page of RAM`)
    return hpa / PAGE_SIZE
  }

  private livePfn(hpa: number): number {
    const pfn = this.pfnOf(hpa)
    if (this.mem.read32(this.entry(pfn) + COUNT) === 0) assert(false, `page ${hex(hpa)} is free already`)
    return pfn
  }

  private charge(pfn: number, owner: number): void {
    const entry = this.entry(pfn)
    this.mem.write16(entry + OWNER, owner)
    this.mem.write32(entry + COUNT, 1)
    this.mem.write32(entry + NEXT, 0)
    this.ownerEntry(owner).pages++
  }

  private pushFree(pfn: number): void {
    const entry = this.entry(pfn)
    this.mem.write16(entry + OWNER, 0)
    this.mem.write32(entry + COUNT, 0)
    this.mem.write32(entry + NEXT, this.state.free_head)
    this.state.free_head = pfn
    this.state.free_pages++
  }

  /** First frame of the lowest run of `pages` free pages, 0 when there is none. */
  private findRun(pages: number): number {
    let length = 0
    for (let pfn = this.state.first_page; pfn < this.totalPages; pfn++) {
      length = this.mem.read32(this.entry(pfn) + COUNT) === 0 ? length + 1 : 0
      if (length === pages) return pfn - pages + 1
    }
    return 0
  }

  /** Takes the pages of a run out of the free list, wherever in it they are. */
  private unlinkRun(first: number, pages: number): void {
    let link = this.state.$address + PageAllocatorState.offset.free_head
    for (let left = pages; left > 0;) {
      const pfn = this.mem.read32(link)
      assert(pfn !== 0, 'a free page is not in the free list')
      const next = this.entry(pfn) + NEXT
      if (pfn >= first && pfn < first + pages) {
        this.mem.write32(link, this.mem.read32(next))
        left--
      } else link = next
    }
    this.state.free_pages -= pages
  }
}

function hex(hpa: number): string {
  return `0x${hpa.toString(16)}`
}

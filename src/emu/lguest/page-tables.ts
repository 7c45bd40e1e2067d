/**
 * Shadow page tables (page_tables.c; reference 7). The Guest's tables are only advice: we copy what we have checked, one entry at a
 * time, when the Guest faults on it, and the CPU walks ours. Of the Guest's tables only the accessed and dirty bits are ever
 * written, here, because the CPU sets them in the shadow where the Guest cannot see them.
 *
 *      gva | 31  directory index  22 | 21  table index  12 | 11  offset  0 |
 *
 *      Guest:   gpgdir -> gpde -> gpte -> pfn of Guest-physical memory      (frames below pfn_limit)
 *      shadow:  pgdir  -> spde -> spte -> frame of Host-physical memory     (each present spte holds a page reference)
 *
 * The last directory entry belongs to the Switcher: it leads to the running CPU's own PTE page (mapSwitcherInGuest). A Guest has
 * four shadow tables; a table it has not used for long gives way to a new one. Names: g... is the Guest's, s... the shadow's.
 */
import {
  PAGE_ACCESSED,
  PAGE_DIRTY,
  PAGE_GLOBAL,
  PAGE_PRESENT,
  PAGE_RW,
  PAGE_SIZE,
  PAGE_USER,
  PF_USER,
  PF_WRITE,
  PTES_PER_PAGE,
} from '../layout/x86.ts'
import { type Guest, hex, killGuest, lgread32, lgwrite32, NR_PGDIRS } from './guest.ts'
import { countDemandFault } from './stats.ts'
import { lguestPagesPte, SWITCHER_ADDR, SWITCHER_PGD_INDEX } from './switcher/switcher.ts'

/** Present, writable, accessed, dirty; supervisor only. */
export const PAGE_KERNEL = PAGE_PRESENT | PAGE_RW | PAGE_ACCESSED | PAGE_DIRTY
/** Present and accessed, supervisor, read-only. */
export const PAGE_KERNEL_RO = PAGE_PRESENT | PAGE_ACCESSED
/** Flags a directory entry of the Guest may have. */
const PGD_FLAGS = PAGE_PRESENT | PAGE_RW | PAGE_USER | PAGE_ACCESSED | PAGE_DIRTY
const FLAGS_MASK = 0xfff
const FRAME_MASK = 0xfffff000

/** Index into the page directory of a gva. */
function pgdIndex(gva: number): number {
  return gva >>> 22
}

function pteIndex(gva: number): number {
  return (gva >>> 12) & (PTES_PER_PAGE - 1)
}

// --- shadow entries --------------------------------------------------------------------------------------------------

/** hpa of the shadow directory entry `index` of shadow table `slot`, which must have a directory. */
function spgdAddress(lg: Guest, slot: number, index: number): number {
  return lg.s.pgdirs.at(slot).pgdir + index * 4
}

/** hpa of the shadow page-table entry of gva in shadow table `slot`; 0 when there is no page table there. */
function spteAddress(lg: Guest, slot: number, gva: number): number {
  const spgd = lg.hv.mem.read32(spgdAddress(lg, slot, pgdIndex(gva)))
  if ((spgd & PAGE_PRESENT) === 0) return 0
  return ((spgd & FRAME_MASK) >>> 0) + pteIndex(gva) * 4
}

/** The page of the entry is no longer mapped by it. */
function releasePte(lg: Guest, spte: number): void {
  if ((spte & PAGE_PRESENT) !== 0) lg.hv.host.putPage((spte & FRAME_MASK) >>> 0)
}

/** Empties one directory entry: its pages, and the page table itself. */
function releasePgd(lg: Guest, slot: number, index: number): void {
  const { mem, host } = lg.hv
  const at = spgdAddress(lg, slot, index)
  const spgd = mem.read32(at)
  if ((spgd & PAGE_PRESENT) === 0) return
  const table = (spgd & FRAME_MASK) >>> 0
  for (let i = 0; i < PTES_PER_PAGE; i++) releasePte(lg, mem.read32(table + i * 4))
  mem.write32(at, 0)
  host.putPage(table)
  lg.s.shadow_tables--
}

/** Tables one instruction may need at a time, with room to spare. */
const FEW_TABLES = 16

/** Shadow page tables a Guest may have: all its memory in each of the four, and half a directory of scattered pages. Without a limit a
 *  Guest could take 16 MiB of the Host, whatever its own size. */
export function maxShadowTables(lg: Guest): number {
  return NR_PGDIRS * Math.ceil(lg.s.pfn_limit / PTES_PER_PAGE) + PTES_PER_PAGE / 2
}

/**
 * Gives the directory entry at hpa `spgdAt`, which is empty, a page table. False when memory is out. Shadow tables are a cache: when
 * there are too many, or no page for one more, all are emptied, and what is needed comes back by faults. That goes for the pinned
 * stack too: a direct trap that does not find it faults into the Host, and is taken again.
 */
function addShadowTable(lg: Guest, spgdAt: number): boolean {
  const { s } = lg
  const { mem, host } = lg.hv
  let table = s.shadow_tables < maxShadowTables(lg) ? host.allocZeroedPage(s.owner) : 0
  if (table === 0 && s.shadow_tables >= FEW_TABLES) {
    releaseAllMappings(lg)
    table = host.allocZeroedPage(s.owner)
  }
  if (table === 0) return false
  mem.write32(spgdAt, table)
  s.shadow_tables++
  return true
}

/** False, and a dead Guest, when an entry asks for more than a Guest may have. */
function checkGpte(lg: Guest, gpte: number): boolean {
  if ((gpte & lg.abi.badPteFlags) === 0 && gpte >>> 12 < lg.s.pfn_limit) return true
  killGuest(lg, 'bad page table entry')
  return false
}

function checkGpgd(lg: Guest, gpgd: number): boolean {
  if ((gpgd & FLAGS_MASK & ~PGD_FLAGS) === 0 && gpgd >>> 12 < lg.s.pfn_limit) return true
  killGuest(lg, 'bad page directory entry')
  return false
}

/** The shadow of a checked Guest entry: same flags, Host frame (with a reference). 0 and a dead Guest when there is no page. Until the
 *  Guest's entry is dirty the shadow is read-only: the first write must come to us, so that we can mark it dirty. */
function gpteToSpte(lg: Guest, gpte: number): number {
  const { s } = lg
  const dirty = (gpte & PAGE_DIRTY) !== 0
  const pfn = gpte >>> 12
  const page = lg.hv.host.getUserPage(s.mm, s.mem_base + pfn * PAGE_SIZE, dirty)
  if (page === 0) {
    killGuest(lg, `failed to get page ${pfn}`)
    return 0
  }
  let flags = gpte & FLAGS_MASK & ~PAGE_GLOBAL
  if (!dirty) flags &= ~PAGE_RW
  return page | flags
}

// --- demand paging ---------------------------------------------------------------------------------------------------

/**
 * A page fault at gva with error code `errcode`: ours, or the Guest's? True when the shadow lacked what the Guest's tables
 * allow, and now has it: the Guest tries again and never knows. False when the Guest must hear of it (or is dead).
 */
export function demandPage(lg: Guest, gva: number, errcode: number): boolean {
  let need = 0
  if ((errcode & PF_WRITE) !== 0) need |= PAGE_RW
  if ((errcode & PF_USER) !== 0) need |= PAGE_USER
  if (!pageIn(lg, gva, need)) return false
  countDemandFault(lg)
  return true
}

/** Maps gva in the current shadow table, provided the Guest's entry has the `need`ed flags (RW for a write, USER). Returns true if
 *  we got the page. */
export function pageIn(lg: Guest, gva: number, need: number): boolean {
  const { s } = lg
  const { mem } = lg.hv
  if (lg.dead) return false
  const linear = s.linear_pages !== 0
  // First level. In linear mode the Guest has no tables: it has all its memory, at its physical address.
  let gpgd = PGD_FLAGS
  if (!linear) gpgd = lgread32(lg, s.pgdirs.at(s.pgdidx).gpgdir + pgdIndex(gva) * 4)
  if (lg.dead || (gpgd & PAGE_PRESENT) === 0) return false
  if (pgdIndex(gva) === SWITCHER_PGD_INDEX) {
    if (lg.abi.killsSwitcherAccess) killGuest(lg, 'attempt to access switcher pages')
    return false
  }
  if (!linear && !checkGpgd(lg, gpgd)) return false

  // Second level.
  const gpteAt = ((gpgd & FRAME_MASK) >>> 0) + pteIndex(gva) * 4
  const oldGpte = linear ? ((gva & FRAME_MASK) | PAGE_PRESENT | PAGE_RW) >>> 0 : lgread32(lg, gpteAt)
  if (lg.dead || (oldGpte & PAGE_PRESENT) === 0) return false
  if ((need & PAGE_RW) !== 0 && ((oldGpte & PAGE_RW) === 0 || (gpgd & PAGE_RW) === 0)) return false
  if ((need & PAGE_USER) !== 0 && ((oldGpte & PAGE_USER) === 0 || (gpgd & PAGE_USER) === 0)) return false
  if (!checkGpte(lg, oldGpte)) return false

  const spgdAt = spgdAddress(lg, s.pgdidx, pgdIndex(gva))
  if (mem.read32(spgdAt) === 0 && !addShadowTable(lg, spgdAt)) {
    killGuest(lg, 'out of memory allocating pte page')
    return false
  }
  // The directory's flags limit all 1024 entries, and the Guest may have raised them since.
  mem.write32(spgdAt, (mem.read32(spgdAt) & FRAME_MASK) | (gpgd & FLAGS_MASK))

  // What the CPU would have done, had it walked the Guest's tables.
  let gpte = oldGpte | PAGE_ACCESSED
  if ((need & PAGE_RW) !== 0) gpte |= PAGE_DIRTY
  const spte = gpteToSpte(lg, gpte >>> 0)
  if (spte === 0) return false
  const spteAt = spteAddress(lg, s.pgdidx, gva)
  releasePte(lg, mem.read32(spteAt))
  mem.write32(spteAt, spte)
  if (!linear && gpte >>> 0 !== oldGpte) lgwrite32(lg, gpteAt, gpte)
  return !lg.dead
}

/** True when the current shadow lets the kernel write to gva. */
function pageWritable(lg: Guest, gva: number): boolean {
  const { mem } = lg.hv
  const wanted = PAGE_PRESENT | PAGE_RW
  if (pgdIndex(gva) === SWITCHER_PGD_INDEX) return false
  if ((mem.read32(spgdAddress(lg, lg.s.pgdidx, pgdIndex(gva))) & wanted) !== wanted) return false
  const spteAt = spteAddress(lg, lg.s.pgdidx, gva)
  return spteAt !== 0 && (mem.read32(spteAt) & wanted) === wanted
}

/** Makes sure the page at gva is there and writable; a Guest whose stack is not dies. */
export function pinPage(lg: Guest, gva: number): void {
  if (!pageWritable(lg, gva) && !pageIn(lg, gva, PAGE_RW)) killGuest(lg, `bad stack page ${hex(gva)}`)
}

/** A direct trap makes the CPU push on the Guest's kernel stack without asking anybody: it must be mapped and writable. */
export function pinStackPages(lg: Guest): void {
  for (let i = 0; i < lg.s.stack_pages && !lg.dead; i++) pinPage(lg, (lg.s.esp1 - 1 - i * PAGE_SIZE) >>> 0)
}

/** gpa behind a gva through the Guest's own tables; kills ("Bad address") and gives -1 when there is none. */
export function guestWalk(lg: Guest, gva: number): number {
  const { s } = lg
  const offset = gva % PAGE_SIZE
  if (s.linear_pages !== 0) return gva
  const gpgd = lgread32(lg, s.pgdirs.at(s.pgdidx).gpgdir + pgdIndex(gva) * 4)
  if ((gpgd & PAGE_PRESENT) !== 0 && !lg.dead) {
    const gpte = lgread32(lg, ((gpgd & FRAME_MASK) >>> 0) + pteIndex(gva) * 4)
    if ((gpte & PAGE_PRESENT) !== 0 && !lg.dead) return ((gpte & FRAME_MASK) >>> 0) + offset
  }
  killGuest(lg, `Bad address ${hex(gva)}`)
  return -1
}

// --- the Guest changes its tables --------------------------------------------------------------------------------------

/** The shadow table standing for the Guest table at gpa, or -1. */
function findPgdir(lg: Guest, gpgdir: number): number {
  for (let i = 0; i < NR_PGDIRS; i++) {
    const pgdir = lg.s.pgdirs.at(i)
    if (pgdir.pgdir !== 0 && pgdir.gpgdir === gpgdir) return i
  }
  return -1
}

/** Removes all user mappings of a shadow table; the kernel's are the same in every table. */
function flushUserMappings(lg: Guest, slot: number): void {
  const end = pgdIndex(lg.s.kernel_address)
  for (let i = 0; i < end; i++) releasePgd(lg, slot, i)
}

/** FLUSH_TLB 0. */
export function guestPagetableFlushUser(lg: Guest): void {
  flushUserMappings(lg, lg.s.pgdidx)
}

/** Chooses a shadow table for a Guest table seen for the first time. `blank` when it has no mappings at all. */
function newPgdir(lg: Guest, gpgdir: number): { slot: number; blank: boolean } {
  const { s } = lg
  // In turn, but never the one in use. While there are empty places they come first.
  let slot = (s.pgdidx + 1) % NR_PGDIRS
  for (let i = 0; i < NR_PGDIRS; i++) {
    const candidate = (s.pgdidx + 1 + i) % NR_PGDIRS
    if (s.pgdirs.at(candidate).pgdir === 0) {
      slot = candidate
      break
    }
  }
  let blank = false
  if (s.pgdirs.at(slot).pgdir === 0) {
    const page = lg.hv.host.allocZeroedPage(s.owner)
    // Out of memory: the table we have will do for the new one too, once emptied.
    if (page === 0) slot = s.pgdidx
    else {
      s.pgdirs.at(slot).pgdir = page
      blank = true
    }
  }
  s.pgdirs.at(slot).gpgdir = gpgdir
  flushUserMappings(lg, slot)
  return { slot, blank }
}

/** NEW_PGTABLE: the Guest loads %cr3. */
export function guestNewPagetable(lg: Guest, gpgdir: number): void {
  const { s } = lg
  let slot = -1
  if (s.linear_pages !== 0) {
    // The mappings of linear mode are nobody's page table.
    releaseAllMappings(lg)
    s.linear_pages = 0
    s.pgdirs.at(s.pgdidx).gpgdir = gpgdir
    pinStackPages(lg)
    return
  }
  slot = findPgdir(lg, gpgdir)
  let blank = false
  if (slot < 0) ({ slot, blank } = newPgdir(lg, gpgdir))
  s.pgdidx = slot
  if (blank) pinStackPages(lg)
}

/** Everything but the Switcher's entry, in every shadow table. */
function releaseAllMappings(lg: Guest): void {
  for (let slot = 0; slot < NR_PGDIRS; slot++) {
    if (lg.s.pgdirs.at(slot).pgdir === 0) continue
    for (let i = 0; i < SWITCHER_PGD_INDEX; i++) releasePgd(lg, slot, i)
  }
}

/** FLUSH_TLB 1, LGUEST_INIT. */
export function guestPagetableClearAll(lg: Guest): void {
  releaseAllMappings(lg)
  pinStackPages(lg)
}

function doSetPte(lg: Guest, slot: number, gva: number, gpte: number): void {
  const { mem } = lg.hv
  const spteAt = spteAddress(lg, slot, gva)
  if (spteAt === 0) return // no page table there: it will be filled by faults
  releasePte(lg, mem.read32(spteAt))
  mem.write32(spteAt, 0)
  // An entry that has been used is going to be used: save the fault.
  if ((gpte & PAGE_PRESENT) === 0 || (gpte & (PAGE_ACCESSED | PAGE_DIRTY)) === 0) return
  if (checkGpte(lg, gpte)) mem.write32(spteAt, gpteToSpte(lg, gpte))
}

/** SET_PTE: the entry for gva in the Guest table at `gpgdir` is now `gpte`. Kernel addresses mean every table. */
export function guestSetPte(lg: Guest, gpgdir: number, gva: number, gpte: number): void {
  if (gva >= SWITCHER_ADDR) {
    killGuest(lg, 'attempt to set pte into Switcher pages')
    return
  }
  if (gva >= lg.s.kernel_address) {
    for (let slot = 0; slot < NR_PGDIRS && !lg.dead; slot++) {
      if (lg.s.pgdirs.at(slot).pgdir !== 0) doSetPte(lg, slot, gva, gpte)
    }
    return
  }
  const slot = findPgdir(lg, gpgdir)
  if (slot >= 0) doSetPte(lg, slot, gva, gpte)
}

/** SET_PGD: directory entry `index` of the Guest table at `gpgdir` has changed: forget what was behind it. */
export function guestSetPgd(lg: Guest, gpgdir: number, index: number): void {
  if (index >= PTES_PER_PAGE) {
    killGuest(lg, `Attempt to set pgd ${index}/${PTES_PER_PAGE}`)
    return
  }
  if (index === SWITCHER_PGD_INDEX) return // not the Guest's; what it thinks is there does not matter
  const slot = findPgdir(lg, gpgdir)
  if (slot >= 0) releasePgd(lg, slot, index)
}

// --- beginning and end -------------------------------------------------------------------------------------------------

/** A new Guest's first shadow table, standing for the table at `gpgdir` (0 in linear mode). False when memory is out. */
export function initGuestPagetable(lg: Guest, gpgdir: number, linear: boolean): boolean {
  const page = lg.hv.host.allocZeroedPage(lg.s.owner)
  if (page === 0) return false
  lg.s.pgdidx = 0
  lg.s.pgdirs.at(0).gpgdir = gpgdir
  lg.s.pgdirs.at(0).pgdir = page
  lg.s.linear_pages = linear ? 1 : 0
  return true
}

/** Gives back all shadow tables. */
export function freeGuestPagetable(lg: Guest): void {
  releaseAllMappings(lg)
  for (let slot = 0; slot < NR_PGDIRS; slot++) {
    const pgdir = lg.s.pgdirs.at(slot)
    if (pgdir.pgdir !== 0) lg.hv.host.putPage(pgdir.pgdir)
    pgdir.pgdir = 0
    pgdir.gpgdir = 0
  }
}

/**
 * Maps the region into the Guest about to run on `cpu`. The CPU has one PTE page for it, the same for all Guests; two words change:
 * the Guest's last directory entry leads to that page, and in it the Guest's regs page lies over the CPU's stack page. (The
 * pre-patch way left the CPU's own page there, and copied the registers.) Caller must not move to another CPU.
 */
export function mapSwitcherInGuest(lg: Guest, cpu: number, copyRegs: boolean): void {
  const { mem } = lg.hv
  const vars = lg.hv.cpu(cpu)
  mem.write32(spgdAddress(lg, lg.s.pgdidx, SWITCHER_PGD_INDEX), vars.hypervisor_pte_page | PAGE_KERNEL)
  const page = copyRegs ? vars.page0 : lg.s.regs_page
  mem.write32(vars.hypervisor_pte_page + lguestPagesPte(cpu) * 4, page | PAGE_KERNEL)
}

/** The parts of a CPU's PTE page that never change: text and the state page, read-only. */
export function populateHypervisorPtePage(
  ptePage: number,
  cpu: number,
  text: readonly number[],
  page1: number,
  write32: (hpa: number, value: number) => void,
): void {
  text.forEach((page, i) => write32(ptePage + i * 4, page | PAGE_KERNEL_RO))
  write32(ptePage + lguestPagesPte(cpu) * 4 + 4, page1 | PAGE_KERNEL_RO)
}

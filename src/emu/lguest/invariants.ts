/**
 * The invariant walker: what must be true of the hypervisor's memory whenever no Guest is inside its world switch. Fuzzers and tests call it
 * after every step; it reads only, and says everything that is wrong, one sentence each.
 *
 *   - every page has one use: a struct, a page table, the registers ... of one Guest
 *   - a shadow table maps only its own Guest's memory, with no more rights than ring 0-1 / ring 3 pages may have
 *   - the last directory entry is empty or leads to a CPU's PTE page, and that page maps text, registers and state right
 *   - last_guest and last_pages name Guests and pairs that exist; the live IDT and GDT of a CPU hold what was copied
 */
import {
  GDT_ENTRIES,
  GUEST_KERNEL_CS,
  GUEST_PL,
  IDT_ENTRIES,
  LGUEST_CS,
  LguestRoState,
} from '../layout/lguest-pages.ts'
import { LguestRegs } from '../layout/lguest-regs.ts'
import { PAGE_GLOBAL, PAGE_PRESENT, PAGE_PSE, PAGE_RW, PAGE_SIZE, PAGE_USER, PTES_PER_PAGE } from '../layout/x86.ts'
import { CHANGED_GDT, CHANGED_GDT_TLS, CHANGED_IDT, type Guest, hex, NR_PGDIRS } from './guest.ts'
import type { Hypervisor } from './hypervisor.ts'
import { PAGE_KERNEL, PAGE_KERNEL_RO } from './page-tables.ts'
import { ignoredGdt } from './segments.ts'
import { lguestPages, lguestPagesPte, SWITCHER_PGD_INDEX, SWITCHER_TEXT_PAGES } from './switcher/switcher.ts'

const FRAME = 0xfffff000
/** Accessed and dirty: the CPU sets them when it likes. */
const AD_BITS = 0x060

/** What the walk found, and how it found it. */
class Walk {
  readonly hv: Hypervisor
  readonly problems: string[]
  /** hpa to the one use a page has. */
  readonly uses: Map<number, string>

  constructor(hv: Hypervisor) {
    this.hv = hv
    this.problems = []
    this.uses = new Map()
  }

  check(condition: boolean, problem: () => string): void {
    if (!condition) this.problems.push(problem())
  }

  /** Page `hpa` is `use`, and nothing else. */
  claim(hpa: number, use: string): void {
    if (hpa === 0) return
    const other = this.uses.get(hpa)
    this.check(other === undefined, () => `page ${hex(hpa)} is ${use} and also ${String(other)}`)
    this.check(hpa % PAGE_SIZE === 0 && hpa < this.hv.mem.size, () => `${use}: ${hex(hpa)} is not a page`)
    this.uses.set(hpa, use)
  }

  entry(table: number, index: number): number {
    return this.hv.mem.read32(table + index * 4) >>> 0
  }
}

/** Everything that is wrong; an empty list when all is well. */
export function findBrokenInvariants(hv: Hypervisor): string[] {
  const walk = new Walk(hv)
  walk.claim(hv.address, 'lguest_state')
  walk.claim(hv.state.stats_page, 'statistics')
  for (let i = 0; i < SWITCHER_TEXT_PAGES; i++) walk.claim(hv.state.text_page.get(i), `Switcher text ${i}`)
  for (let cpu = 0; cpu < hv.host.cpuCount; cpu++) {
    const vars = hv.cpu(cpu)
    walk.claim(vars.page0, `CPU ${cpu} page 0`)
    walk.claim(vars.page1, `CPU ${cpu} page 1`)
    walk.claim(vars.hypervisor_pte_page, `CPU ${cpu} PTE page`)
    walk.claim(vars.stats_page, `CPU ${cpu} statistics`)
  }
  const guests = hv.allGuests()
  for (const lg of guests) claimGuestPages(walk, lg)
  for (const lg of guests) walkShadowTables(walk, lg)
  for (const lg of guests) walkGuest(walk, lg)
  for (let cpu = 0; cpu < hv.host.cpuCount; cpu++) walkCpu(walk, cpu, guests)
  return walk.problems
}

function name(lg: Guest): string {
  return `guest ${lg.s.guestid}`
}

function claimGuestPages(walk: Walk, lg: Guest): void {
  const { s } = lg
  walk.claim(lg.address, `${name(lg)} struct lguest`)
  walk.claim(s.regs_page, `${name(lg)} regs_page`)
  walk.claim(s.fpu_page, `${name(lg)} fpu_page`)
  walk.claim(s.stats_page, `${name(lg)} statistics`)
  walk.claim(s.dma_page, `${name(lg)} DMA bindings`)
  walk.claim(s.eventfds, `${name(lg)} eventfds`)
  for (let slot = 0; slot < NR_PGDIRS; slot++) {
    const { pgdir } = s.pgdirs.at(slot)
    if (pgdir === 0) continue
    walk.claim(pgdir, `${name(lg)} shadow directory ${slot}`)
    for (let i = 0; i < SWITCHER_PGD_INDEX; i++) {
      const spgd = walk.entry(pgdir, i)
      if ((spgd & PAGE_PRESENT) !== 0) walk.claim((spgd & FRAME) >>> 0, `${name(lg)} shadow table ${slot}/${i}`)
    }
  }
}

/** The frames a Guest may map: its launcher's pages below pfn_limit. */
function ownFrames(lg: Guest): Set<number> {
  const { host } = lg.hv
  const frames = new Set<number>()
  for (let pfn = 0; pfn < lg.s.pfn_limit; pfn++) {
    const page = host.peekUserPage(lg.s.mm, lg.s.mem_base + pfn * PAGE_SIZE)
    if (page !== 0) frames.add(page)
  }
  return frames
}

function walkShadowTables(walk: Walk, lg: Guest): void {
  const { s } = lg
  const frames = ownFrames(lg)
  const ptePages = new Set(Array.from({ length: lg.hv.host.cpuCount }, (_, cpu) => lg.hv.cpu(cpu).hypervisor_pte_page))
  let tables = 0
  walk.check(s.pgdidx < NR_PGDIRS && s.pgdirs.at(s.pgdidx).pgdir !== 0, () => `${name(lg)} has no current shadow table`)
  for (let slot = 0; slot < NR_PGDIRS; slot++) {
    const { pgdir } = s.pgdirs.at(slot)
    if (pgdir === 0) continue
    const region = walk.entry(pgdir, SWITCHER_PGD_INDEX)
    walk.check(
      region === 0 ||
        ((region & ~AD_BITS) >>> 0 === ((region & FRAME) | (PAGE_KERNEL & ~AD_BITS)) >>> 0 &&
          ptePages.has((region & FRAME) >>> 0)),
      () => `${name(lg)} shadow ${slot}: region entry ${hex(region)}`,
    )
    for (let i = 0; i < SWITCHER_PGD_INDEX; i++) {
      const spgd = walk.entry(pgdir, i)
      if (spgd === 0) continue
      tables++
      const at = `${name(lg)} shadow ${slot} directory entry ${i}`
      walk.check((spgd & PAGE_PRESENT) !== 0 && (spgd & 0xf98) === 0, () => `${at} is ${hex(spgd)}`)
      for (let j = 0; j < PTES_PER_PAGE; j++) {
        const spte = walk.entry((spgd & FRAME) >>> 0, j)
        if ((spte & PAGE_PRESENT) === 0) {
          walk.check(spte === 0, () => `${at} table entry ${j} is ${hex(spte)} but not present`)
          continue
        }
        walk.check(frames.has((spte & FRAME) >>> 0), () => `${at}/${j} maps ${hex(spte)}, not this Guest's page`)
        walk.check((spte & (PAGE_PSE | PAGE_GLOBAL)) === 0, () => `${at}/${j} has flags ${hex(spte & 0xfff)}`)
        walk.check(
          !walk.uses.has((spte & FRAME) >>> 0),
          () => `${at}/${j} maps ${String(walk.uses.get((spte & FRAME) >>> 0))}`,
        )
      }
    }
  }
  walk.check(tables === s.shadow_tables, () => `${name(lg)} counts ${s.shadow_tables} shadow tables, not ${tables}`)
}

function walkGuest(walk: Walk, lg: Guest): void {
  const { s, regs } = lg
  const { cpuCount } = lg.hv.host
  const pairs = Array.from({ length: cpuCount }, (_, cpu) => lguestPages(cpu))
  walk.check(s.last_pages === 0 || pairs.includes(s.last_pages), () => `${name(lg)} last_pages ${hex(s.last_pages)}`)
  walk.check(
    s.regs === s.regs_page + PAGE_SIZE - LguestRegs.size,
    () => `${name(lg)} regs are not at the end of regs_page`,
  )
  if (!lg.dead && s.running === 0) {
    walk.check((regs.cs & 3) >= GUEST_PL && (regs.ss & 3) >= GUEST_PL, () => `${name(lg)} would run in ring 0`)
    walk.check((regs.eflags & 0x2_3200) === 0x200, () => `${name(lg)} eflags ${hex(regs.eflags)}`)
  }
  if (s.fpu_cpu !== 0) {
    const cpu = s.fpu_cpu - 1
    walk.check(
      cpu < cpuCount && lg.hv.cpu(cpu).fpu_owner === lg.address,
      () => `${name(lg)} says its FPU is on CPU ${cpu}, which does not agree`,
    )
  }
  for (let i = 0; i < IDT_ENTRIES; i++) {
    const { a, b } = lg.idtEntry(i)
    if (b === 0) continue
    const type = (b >>> 8) & 0x1f
    walk.check(a >>> 16 === GUEST_KERNEL_CS && (type === 0xe || type === 0xf), () => `${name(lg)} stored gate ${i}`)
  }
  for (let i = 0; i < GDT_ENTRIES; i++) {
    const { b } = lg.gdtEntry(i)
    if (ignoredGdt(i) || (b & 0x8000) === 0) continue
    walk.check(
      (b & 0x6000) !== 0 && (b & 0x1000) !== 0 && (b & 0x100) !== 0,
      () => `${name(lg)} stored descriptor ${i}`,
    )
  }
}

function walkCpu(walk: Walk, cpu: number, guests: readonly Guest[]): void {
  const { hv } = walk
  const vars = hv.cpu(cpu)
  const lg = guests.find((each) => each.address === vars.last_guest)
  walk.check(
    vars.last_guest === 0 || lg !== undefined,
    () => `CPU ${cpu}: last_guest ${hex(vars.last_guest)} is no Guest`,
  )
  walk.check(
    vars.fpu_owner === 0 || guests.some((each) => each.address === vars.fpu_owner && each.s.fpu_cpu === cpu + 1),
    () => `CPU ${cpu}: fpu_owner ${hex(vars.fpu_owner)}`,
  )

  // The region, as Guests on this CPU see it.
  const first = lguestPagesPte(cpu)
  for (let i = 0; i < PTES_PER_PAGE; i++) {
    const pte = walk.entry(vars.hypervisor_pte_page, i)
    const what = (): string => `CPU ${cpu}: region PTE ${i} is ${hex(pte)}`
    if (i < SWITCHER_TEXT_PAGES) {
      walk.check((pte & ~AD_BITS) >>> 0 === (hv.state.text_page.get(i) | (PAGE_KERNEL_RO & ~AD_BITS)) >>> 0, what)
    } else if (i === first) {
      const page = (pte & FRAME) >>> 0
      const allowed = page === vars.page0 || guests.some((each) => each.s.regs_page === page)
      const flags = pte & 0xfff & ~AD_BITS
      walk.check(pte === 0 || (allowed && flags === (PAGE_PRESENT | PAGE_RW)), what)
    } else if (i === first + 1) {
      walk.check((pte & ~AD_BITS) >>> 0 === (vars.page1 | PAGE_PRESENT) >>> 0, what)
    } else walk.check(pte === 0, what)
    walk.check((pte & PAGE_USER) === 0, what)
  }

  // What the CPU would use. If nothing has changed since the last copy the two must be equal.
  const gdt = vars.page1 + LguestRoState.offset.guest_gdt
  const idt = vars.page1 + LguestRoState.offset.guest_idt
  for (let i = 0; i < GDT_ENTRIES; i++) {
    const b = walk.entry(gdt, i * 2 + 1)
    if (ignoredGdt(i) || (b & 0x8000) === 0) continue
    walk.check((b & 0x7000) > 0x1000, () => `CPU ${cpu}: live descriptor ${i} is ${hex(b)}`)
  }
  for (let i = 0; i < IDT_ENTRIES; i++) {
    const selector = walk.entry(idt, i * 2) >>> 16
    const type = (walk.entry(idt, i * 2 + 1) >>> 8) & 0xf
    const direct = selector === GUEST_KERNEL_CS && type === 0xf
    walk.check(direct || (selector === LGUEST_CS && type === 0xe), () => `CPU ${cpu}: live gate ${i}`)
  }
  if (lg === undefined || lg.s.last_pages !== lguestPages(cpu)) return
  if ((lg.s.changed & (CHANGED_GDT | CHANGED_GDT_TLS)) === 0) {
    for (let i = 0; i < GDT_ENTRIES; i++) {
      if (ignoredGdt(i)) continue
      const same = walk.entry(gdt, i * 2) === lg.gdtEntry(i).a && walk.entry(gdt, i * 2 + 1) === lg.gdtEntry(i).b
      walk.check(same, () => `CPU ${cpu}: GDT entry ${i} is stale`)
    }
  }
  if ((lg.s.changed & CHANGED_IDT) === 0) {
    for (let i = 0; i < IDT_ENTRIES; i++) {
      if (walk.entry(idt, i * 2) >>> 16 !== GUEST_KERNEL_CS) continue
      const same = walk.entry(idt, i * 2) === lg.idtEntry(i).a && walk.entry(idt, i * 2 + 1) === lg.idtEntry(i).b
      walk.check(same, () => `CPU ${cpu}: direct trap ${i} is stale`)
    }
  }
}

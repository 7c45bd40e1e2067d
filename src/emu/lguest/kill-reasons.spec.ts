/**
 * Every reason for which the hypervisor ends a Guest (reference 8.4), brought about as a Guest or its launcher would: by
 * hypercall, trap or request. Each time the launcher must be able to read the reason, and the Host must get every page back.
 * The last tests read the sources, so that a reason without a test fails.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { LguestData, LHCALL, LHCALL_ERA_A, LHREQ } from '../layout/lguest-data.ts'
import { LguestDma } from '../layout/lguest-dma.ts'
import { FAKE_BASE, FakeHost, hcall, hcallA, newGuestA, newGuestC, trap } from '../testing/fake-host.ts'
import { buildPageTables, DATA_GPA, initGuest, initGuestA, KERNEL_ADDRESS as K } from '../testing/guest-memory.ts'
import { createHypervisor } from './core.ts'
import { ENOENT } from './errno.ts'
import { deadReason, type Guest, lgwrite32 } from './guest.ts'
import type { Hypervisor } from './hypervisor.ts'
import { findBrokenInvariants } from './invariants.ts'
import { lguestClose, lguestRead, lguestRequest } from './lguest-user.ts'

/** A Host with a user page that may only be read, as a launcher's own code is on the real one. */
class HostWithReadOnlyPage extends FakeHost {
  /** hva of the page; 0 when there is none. */
  readOnly = 0

  override getUserPage(mm: number, hva: number, write = false): number {
    return write && this.readOnly !== 0 && hva >>> 12 === this.readOnly >>> 12 ? 0 : super.getUserPage(mm, hva)
  }
}

let host: HostWithReadOnlyPage
let hv: Hypervisor
beforeEach(() => {
  host = new HostWithReadOnlyPage(1)
  hv = createHypervisor(host)
})

/** First byte after a Guest's memory. */
const END = 64 * 4096
/** Guest memory that nobody has touched when a test begins: page 62. */
const UNTOUCHED = 0x3e000
const STACK = 0x9000
const PGD = 0x10000
/** Entries of the page tables at PGD: of the directory, and of the pages at K. */
const gpgdAt = (gva: number): number => PGD + (gva >>> 22) * 4
const gpteAt = (gva: number): number => PGD + 0x1000 + ((gva >>> 12) & 1023) * 4

// --- Guests --------------------------------------------------------------------------------------------------------------

/** Era C before LGUEST_INIT: linear mode. */
function newC(): Guest {
  const lg = newGuestC(hv)
  trap(lg, 32, { esp: STACK })
  return lg
}

function guestC(): Guest {
  const lg = newC()
  initGuest(lg)
  return lg
}

/** Era C on page tables of its own: memory at K. */
function pagedC(): Guest {
  const lg = guestC()
  buildPageTables(lg, PGD)
  hcall(lg, LHCALL.NEW_PGTABLE, PGD)
  return lg
}

/** Era A before LGUEST_INIT. */
function newA(): Guest {
  const lg = newGuestA(hv, 64, PGD)
  buildPageTables(lg, PGD)
  trap(lg, 32, { esp: K + STACK })
  return lg
}

function guestA(): Guest {
  const lg = newA()
  initGuestA(lg)
  return lg
}

// --- what they do ----------------------------------------------------------------------------------------------------------

type Act = (lg: Guest) => unknown

const call =
  (number: number, ...args: number[]): Act =>
  (lg) =>
    (lg.abi.era === 'A' ? hcallA : hcall)(lg, number, ...args)

const raise =
  (number: number, registers: Record<string, number> = {}): Act =>
  (lg) =>
    trap(lg, number, { eip: 0x1111, cs: 0x61, ss: 0x69, esp: STACK, ...registers })

const fault = (cr2: number, errcode = 0): Act => raise(14, { cr2, errcode })

/** A gate of type 0xe interrupt or 0xf trap. */
const gate = (vector: number, type = 0xe): Act => call(LHCALL.LOAD_IDT_ENTRY, vector, 0x00602222, 0x8000 | (type << 8))

const store =
  (gpa: number, value: number): Act =>
  (lg) =>
    lgwrite32(lg, gpa, value)

const initWith =
  (change: Parameters<typeof initGuest>[1]): Act =>
  (lg) =>
    initGuest(lg, change)

/** An old kernel's BUG() at 0x1500: ud2, line 321, address of the file's name at 0x1600. */
const bug =
  (file: string): Act =>
  (lg) => {
    lgwrite32(lg, 0x1500, (321 << 16) | 0x0b0f)
    lgwrite32(lg, 0x1504, K + 0x1600)
    ;[...file, '\0'].forEach((c, i) => lg.memory.write8(0x1600 + i, c.charCodeAt(0)))
    trap(lg, 6, { eip: K + 0x1500 })
  }

/** An lguest_dma at 0x5000 with one section. */
const dma =
  (address: number, length: number): Act =>
  (lg) => {
    const view = LguestDma.at(lg.memory, 0x5000)
    view.addr.set(0, address)
    view.len.set(0, length)
  }

/** A table for LOAD_GDT at 0x5000: the kernel's segments, and entry 20 with second word `high`. */
const gdt =
  (high: number): Act =>
  (lg) => {
    for (let i = 0; i < 64; i++) lgwrite32(lg, 0x5000 + i * 4, 0)
    for (const [entry, b] of [
      [12, 0x00cfba00],
      [13, 0x00cfb200],
      [20, high],
    ])
      lgwrite32(lg, 0x5004 + entry * 8, b)
  }

// --- what their launchers and the Host do ------------------------------------------------------------------------------------

/** The Host has no page left. */
const exhaust: Act = () => {
  host.limit = host.pages.size
}

/** lguest_data may be read, not written. */
const protectData: Act = (lg) => {
  host.readOnly = lg.s.mem_base + DATA_GPA
}

/** The Host has no timer left. */
const exhaustTimers: Act = () => {
  host.timersFull = true
}

const raiseIrq: Act = (lg) => lguestRequest(lg, lg.s.tsk, LHREQ.IRQ, [1])

/** A signal brings the launcher out of read(), and it asks for a buffer of key 0. */
const getDma: Act = (lg) => {
  host.signal = true
  trap(lg, 32)
  host.signal = false
  expect(lguestRequest(lg, lg.s.tsk, LHREQ.GETDMA, [0])).toBe(ENOENT)
}

const { SET_PTE, SET_PGD, SET_STACK, LGUEST_INIT, LOAD_GDT, LOAD_GDT_ENTRY, LOAD_IDT_ENTRY, SHUTDOWN } = LHCALL
const { BIND_DMA, FLUSH_ASYNC, HALT, SET_CLOCKEVENT } = LHCALL
const { CRASH, SEND_DMA } = LHCALL_ERA_A

/** Reason, Guest, and what happens to it; in the order of the sources. */
const CASES: readonly (readonly [string, () => Guest, ...Act[]])[] = [
  // abi/
  ['bad guest page 0x3fff0', newA, call(LGUEST_INIT, END - 16)],
  ['Bad address 0xbffffffc', guestA, gate(5), raise(5, { esp: K })],
  ['bad guest page 0x3fff4', newC, call(LGUEST_INIT, END - 12)],
  ['bad syscall vector', newC, initWith({ syscall_vec: 0x21 })],
  ['bad kernel address 0xffc00000', newC, initWith({ kernel_address: 0xffc00000 })],

  // guest.ts
  ['bad read address 0x3ff81 len 128', guestC, call(SHUTDOWN, END - 127, 1)],
  ['bad read address 0x3e000 len 128', guestC, exhaust, call(SHUTDOWN, UNTOUCHED, 1)],
  ['bad write address 0x40000 len 4', guestC, gate(5), raise(5, { esp: END + 4 })],
  ['bad write address 0x3e000 len 4', guestC, gate(5), exhaust, raise(5, { esp: UNTOUCHED + 4 })],

  // hypercalls.ts
  ['CRASH: ', guestC, call(SHUTDOWN, UNTOUCHED, 1)],
  ['CRASH: ', guestA, call(CRASH, UNTOUCHED)],
  ['already have lguest_data', guestC, call(LGUEST_INIT, DATA_GPA)],
  ['bad guest page 0x40000', newC, call(LGUEST_INIT, END)],
  ['Bad hypercall 99', guestC, call(99)],
  // INIT touches only the end of lguest_data: the page with its beginning need not be there yet.
  ['Fetching async hypercalls', newA, call(LGUEST_INIT, UNTOUCHED - 0x200), exhaust, raise(32)],
  [
    'Writing result for async hypercall',
    guestC,
    (lg) => lg.memory.write8(DATA_GPA + LguestData.offset.hcall_status, 0),
    protectData,
    call(FLUSH_ASYNC),
  ],
  ['hypercall 10 before INIT', newC, call(HALT)],

  // interrupts-and-traps.ts
  ['Disabling interrupts', guestC, gate(5), protectData, raise(5)],
  ['Re-enabling interrupts', guestC, raiseIrq, protectData, call(HALT)],
  // A trap gate leaves irq_enabled alone, so that the time is the first thing written.
  [
    'Writing timestamp',
    guestC,
    gate(33, 0xf),
    store(DATA_GPA + LguestData.offset.irq_enabled, 0x200),
    raiseIrq,
    protectData,
    raise(32),
  ],
  ['Writing cr2', guestC, protectData, fault(0xffc00000)],
  ['BUG() at 0xc0001500 mm/slab.c:321', guestA, bug('mm/slab.c')],
  ['BUG() at 0xc0001500', guestA, bug('\x01')],
  ['out of memory allocating timer', guestC, exhaustTimers, call(SET_CLOCKEVENT, 1000)],
  ['out of memory allocating timer', newA, exhaustTimers, call(LGUEST_INIT, DATA_GPA)],
  ['bad stack segment 104', guestC, call(SET_STACK, 0x68, STACK, 1)],
  ['bad stack pages 3', guestC, call(SET_STACK, 0x69, STACK, 3)],
  ['bad IDT type 12', guestC, gate(33, 0xc)],
  ['Setting idt entry 256', guestC, call(LOAD_IDT_ENTRY, 256, 0, 0x8e00)],

  // io.ts
  ['bad dma key 0x2', guestA, call(BIND_DMA, 2, 0x5000, 0x105)],
  ['bad address in sending DMA 0x3fff0', guestA, call(SEND_DMA, 0, END - 16)],
  ['bad DMA entry: 20@0x5ff0', guestA, dma(0x5ff0, 20), call(SEND_DMA, 0, 0x5000)],
  ['bad DMA entry: 1@0x40000', guestA, dma(END, 1), call(BIND_DMA, 0, 0x5000, 0x105), getDma],
  ['bad sending DMA key 0x40000', guestA, call(SEND_DMA, END, 0x5000)],
  ['bad address in registered DMA struct', guestA, call(BIND_DMA, 0, END - 16, 0x105), getDma],

  // page-tables.ts
  ['bad page table entry', guestC, fault(END)],
  ['bad page table entry', pagedC, store(gpteAt(K + 0x5000), 0x5083), fault(K + 0x5000)],
  ['bad page table entry', pagedC, fault(K + 0x5000), call(SET_PTE, PGD, K + 0x5000, END | 0x63)],
  ['bad page directory entry', pagedC, store(gpgdAt(K), 0x11083), fault(K + 0x5000)],
  ['failed to get page 62', guestC, fault(0x5000), exhaust, fault(UNTOUCHED)],
  ['failed to get page 62', pagedC, fault(K), exhaust, call(SET_PTE, PGD, K + 0x5000, UNTOUCHED | 0x63)],
  ['attempt to access switcher pages', guestA, store(gpgdAt(0xffc01000), 0x11003), fault(0xffc01000)],
  ['out of memory allocating pte page', pagedC, exhaust, fault(K + 0x5000)],
  ['bad stack page 0xc0008fff', pagedC, store(gpteAt(K + 0x8000), 0x8001), call(SET_STACK, 0x69, K + STACK, 1)],
  ['Bad address 0x80000ffc', pagedC, gate(5), raise(5, { esp: 0x80001000 })],
  ['Bad address 0xc0005ffc', pagedC, store(gpteAt(K + 0x5000), 0), gate(5), raise(5, { esp: K + 0x6000 })],
  ['Bad address 0xc0005000', pagedC, store(gpteAt(K + 0x5000), 0), raise(13, { eip: K + 0x5000 })],
  ['attempt to set pte into Switcher pages', pagedC, call(SET_PTE, PGD, 0xffc00000, 0x5063)],
  ['Attempt to set pgd 1024/1024', pagedC, call(SET_PGD, PGD, 1024)],

  // segments.ts
  ['Removed live GDT entry 13', guestC, call(LOAD_GDT_ENTRY, 13, 0, 0)],
  ['Bad GDT descriptor 20', guestA, gdt(0x00ef9200), call(LOAD_GDT, 0x5000, 32)],
  ['too many gdt entries 33', guestA, gdt(0), call(LOAD_GDT, 0x5000, 33)],
  ['too many gdt entries 32', guestC, call(LOAD_GDT_ENTRY, 32, 0, 0)],

  // x86.ts: no handler; vectors that cannot have one; a page fault; the Switcher itself
  ['unhandled trap 3 at 0x1111 (0x0)', guestC, raise(3)],
  ['unhandled trap 6 at 0x1111 (0x0) before INIT', newC, raise(6)],
  ['unhandled trap 8 at 0x1111 (0x0)', guestC, gate(8), raise(8)],
  ['unhandled trap 15 at 0x1111 (0x0)', guestC, gate(15), raise(15)],
  ['unhandled trap 14 at 0x1111 (0x80000123)', pagedC, fault(0x80000123, 2)],
  ['unhandled trap 256 at 0x1111 (0x60)', guestC, raise(256, { errcode: 0x60 })],
]

/** What read() gives the launcher of a dead Guest, without its NUL. */
function readReason(lg: Guest): string {
  const buffer = FAKE_BASE + END
  const outcome = lguestRead(lg, lg.s.tsk, host.cpus[0], buffer, 256)
  if (outcome.kind !== 'done') return outcome.kind
  const byte = (at: number): number => (host.readUser32(lg.s.mm, at & ~3) >>> ((at & 3) * 8)) & 0xff
  const bytes = Array.from({ length: outcome.value }, (_, i) => byte(buffer + i))
  expect(bytes.pop()).toBe(0)
  return String.fromCharCode(...bytes)
}

const possessions = () => ({
  pages: host.pages.size,
  owners: host.owners.size,
  timers: host.timers.size,
  mms: [...host.mmReferences.values()].filter((references) => references !== 0).length,
})

describe('a Guest is killed', () => {
  it.each(CASES.map(([reason, make, ...acts]) => ({ reason, make, acts })))('$reason', ({ reason, make, acts }) => {
    const before = possessions()
    const lg = make()
    acts.forEach((act, i) => {
      expect(deadReason(lg), `before act ${i}`).toBe('')
      act(lg)
    })
    host.limit = Infinity
    host.readOnly = 0
    expect(deadReason(lg)).toBe(reason)

    // It is over: no request reaches it, and all a read() gives is the reason.
    expect(raiseIrq(lg)).toBe(ENOENT)
    expect(readReason(lg)).toBe(reason)
    expect(readReason(lg)).toBe(reason)
    expect(findBrokenInvariants(hv)).toEqual([])

    const { tsk } = lg.s
    lguestClose(lg)
    host.exitTask(tsk)
    expect(possessions()).toEqual(before)
    expect(hv.allGuests().length).toBe(0)
    expect(findBrokenInvariants(hv)).toEqual([])
  })
})

// --- the sources --------------------------------------------------------------------------------------------------------------

/** Every message in the sources, its variable parts as *, and the spec beside them that looks at the rule behind it. HERE: only
 *  CASES does. */
const HERE = 'kill-reasons.spec.ts'
const COVERED_BY: Readonly<Record<string, string>> = {
  'Attempt to set pgd */*': 'page-tables.spec.ts',
  'BUG() at *': 'interrupts-and-traps.spec.ts',
  'Bad GDT descriptor *': 'segments.spec.ts',
  'Bad address *': HERE,
  'Bad hypercall *': 'hypercalls.spec.ts',
  'CRASH: *': 'hypercalls.spec.ts',
  'Disabling interrupts': HERE,
  'Fetching async hypercalls': HERE,
  'Re-enabling interrupts': HERE,
  'Removed live GDT entry *': 'segments.spec.ts',
  'Setting idt entry *': 'interrupts-and-traps.spec.ts',
  'Writing cr2': HERE,
  'Writing result for async hypercall': HERE,
  'Writing timestamp': HERE,
  'already have lguest_data': 'hypercalls.spec.ts',
  'attempt to access switcher pages': 'page-tables.spec.ts',
  'attempt to set pte into Switcher pages': 'page-tables.spec.ts',
  'bad DMA entry: *@*': 'lguest-user.spec.ts',
  'bad IDT type *': 'interrupts-and-traps.spec.ts',
  'bad address in registered DMA struct': HERE,
  'bad address in sending DMA *': 'lguest-user.spec.ts',
  'bad dma key *': 'lguest-user.spec.ts',
  'bad guest page *': 'hypercalls.spec.ts',
  'bad guest page 0x*': 'hypercalls.spec.ts',
  'bad kernel address *': 'hypercalls.spec.ts',
  'bad page directory entry': 'page-tables.spec.ts',
  'bad page table entry': 'page-tables.spec.ts',
  'bad read address * len *': 'guest.spec.ts',
  'bad sending DMA key *': 'lguest-user.spec.ts',
  'bad stack page *': 'interrupts-and-traps.spec.ts',
  'bad stack pages *': 'interrupts-and-traps.spec.ts',
  'bad stack segment *': 'interrupts-and-traps.spec.ts',
  'bad syscall vector': 'hypercalls.spec.ts',
  'bad write address * len *': 'guest.spec.ts',
  'failed to get page *': 'page-tables.spec.ts',
  'hypercall * before INIT': 'hypercalls.spec.ts',
  'out of memory allocating pte page': 'page-tables.spec.ts',
  'out of memory allocating timer': HERE,
  'too many gdt entries *': 'segments.spec.ts',
  'unhandled trap * at * (*)*': 'x86.spec.ts',
}

/** The string or template literal that begins at `at`, each ${...} as *; undefined when there is none. */
function literalAt(source: string, at: number): string | undefined {
  const quote = source[at]
  if (quote !== "'" && quote !== '`') return undefined
  let text = ''
  let depth = 0
  for (let i = at + 1; i < source.length; i++) {
    if (depth === 0 && source[i] === quote) return text.replace(/\*+/g, '*')
    if (source.startsWith('${', i)) {
      if (depth++ === 0) text += '*'
      i++
    } else if (depth > 0 && source[i] === '}') depth--
    else if (depth === 0) text += source[i]
  }
  return undefined
}

/** All calls of killGuest outside specs: file and line, and the message. */
function killsInSources(): { at: string; message: string | undefined }[] {
  const root = join(import.meta.dirname, '..')
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
  return files
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts'))
    .flatMap((file) => {
      const source = readFileSync(join(root, file), 'utf8')
      return [...source.matchAll(/(?<!function )\bkillGuest\((?!\))/g)].map(({ 0: { length }, index }) => {
        const first = /^\s*[\w.]+,\s*/.exec(source.slice(index + length))
        const at = `${file}:${source.slice(0, index).split('\n').length}`
        return { at, message: first === null ? undefined : literalAt(source, index + length + first[0].length) }
      })
    })
}

/** What a message looks like when it is said. */
function pattern(message: string, variable: string): string {
  return message.replace(/[.+?^${}()|[\]\\/]/g, '\\$&').replaceAll('*', variable)
}

describe('the sources', () => {
  const kills = killsInSources()

  it('name each reason where they kill', () => {
    expect(kills.length).toBeGreaterThan(40)
    expect(kills.filter(({ message }) => message === undefined)).toEqual([])
  })

  it('have no reason that is not in the tables here, and the tables none that is not in the sources', () => {
    const messages = new Set(kills.map(({ message = '' }) => message))
    expect([...messages].sort()).toEqual(Object.keys(COVERED_BY).sort())
    const untested = [...messages].filter(
      (message) => !CASES.some(([reason]) => new RegExp(`^${pattern(message, '.*')}$`).test(reason)),
    )
    expect(untested).toEqual([])
  })

  it.each(Object.entries(COVERED_BY).filter(([, spec]) => spec !== HERE))('"%s" is tested in %s', (message, spec) => {
    const text = readFileSync(join(import.meta.dirname, spec), 'utf8')
    expect(text).toMatch(new RegExp(`['"\`/^]${pattern(message, '[^\n]+')}`))
  })
})

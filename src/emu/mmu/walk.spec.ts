import { beforeEach, describe, expect, it } from 'vitest'
import { S_CR0, S_CR2, S_CR3, S_CR4 } from '../layout/cpu-state.ts'
import {
  CR0_PG,
  CR0_WP,
  CR4_PGE,
  CR4_PSE,
  PAGE_ACCESSED,
  PAGE_DIRTY,
  PAGE_GLOBAL,
  PAGE_PRESENT,
  PAGE_PSE,
  PAGE_RW,
  PAGE_USER,
} from '../layout/x86.ts'
import { CODE_SELECTOR, ProtectedMode, type Ring } from '../testing/protected-mode.ts'
import { flushTlbAll } from './tlb.ts'
import { peekTranslate } from './walk.ts'

/**
 * Linear 0 to 1 MiB is mapped to itself, supervisor and user; at 4 MiB is the page under test, at 8 MiB a PDE for 4 MiB pages.
 */
const DIRECTORY = 0x100000
const LOW_TABLE = 0x101000
const TEST_TABLE = 0x102000
const PDE = DIRECTORY + 4
const PTE = TEST_TABLE
const BIG_PDE = DIRECTORY + 8
const PAGE = 0x400000
const BIG_PAGE = 0x800000
/** Where the page under test is in RAM. */
const FRAME = 0x180000
const ALL = PAGE_PRESENT | PAGE_RW | PAGE_USER
const U = PAGE_PRESENT | PAGE_USER
const W = PAGE_PRESENT | PAGE_RW

const machine = new ProtectedMode()
const { driver, cpu } = machine

function start(ring: Ring, cr0 = CR0_WP, cr4 = 0): void {
  machine.reset(ring)
  const { phys } = driver.mem
  phys.writeBytes(DIRECTORY, new Uint8Array(0x3000))
  phys.write32(DIRECTORY, LOW_TABLE | ALL)
  for (let i = 0; i < 256; i++) phys.write32(LOW_TABLE + i * 4, (i << 12) | ALL)
  phys.write32(PDE, TEST_TABLE | ALL)
  phys.write32(PTE, FRAME | ALL)
  cpu.st[S_CR0] |= CR0_PG | cr0
  cpu.st[S_CR3] = DIRECTORY
  cpu.st[S_CR4] = cr4
  flushTlbAll(cpu)
  driver.set({ ebx: PAGE, edx: 0x1234 })
}
const rights = (entry: number): number => driver.read32(entry) & 0xfff
const READ = 'mov eax, [ebx]'
const WRITE = 'mov [ebx], edx'

describe('rights and error codes', () => {
  /** [PDE, PTE, ring, CR0.WP, outcome of a read, of a write] */
  const table: [number, number, Ring, number, string, string][] = [
    [0, ALL, 0, CR0_WP, '#PF(0)', '#PF(2)'],
    [0, ALL, 3, CR0_WP, '#PF(4)', '#PF(6)'],
    [ALL, 0, 0, CR0_WP, '#PF(0)', '#PF(2)'],
    [ALL, 0, 3, CR0_WP, '#PF(4)', '#PF(6)'],
    [ALL, ALL, 3, CR0_WP, 'ok', 'ok'],
    [ALL, W, 3, CR0_WP, '#PF(5)', '#PF(7)'],
    [W, ALL, 3, CR0_WP, '#PF(5)', '#PF(7)'],
    [W, W, 0, CR0_WP, 'ok', 'ok'],
    [W, W, 1, CR0_WP, 'ok', 'ok'],
    [W, W, 2, CR0_WP, 'ok', 'ok'],
    [ALL, U, 3, CR0_WP, 'ok', '#PF(7)'],
    [U, ALL, 3, CR0_WP, 'ok', '#PF(7)'],
    [ALL, U, 3, 0, 'ok', '#PF(7)'],
    [ALL, U, 0, CR0_WP, 'ok', '#PF(3)'],
    [U, ALL, 1, CR0_WP, 'ok', '#PF(3)'],
    [ALL, U, 0, 0, 'ok', 'ok'],
    [ALL, PAGE_PRESENT, 2, 0, 'ok', 'ok'],
    [ALL, PAGE_PRESENT, 2, CR0_WP, 'ok', '#PF(3)'],
  ]
  it.each(table)('PDE %x, PTE %x, ring %d, WP %x: read %s, write %s', (pde, pte, ring, wp, read, write) => {
    for (const [source, outcome] of [[READ, read], [WRITE, write]] as const) {
      start(ring, wp)
      driver.write32(PDE, TEST_TABLE | pde)
      driver.write32(PTE, FRAME | pte)
      cpu.st[S_CR2] = 0
      expect(machine.attempt(source)).toBe(outcome)
      expect(cpu.st[S_CR2] >>> 0).toBe(outcome === 'ok' ? 0 : PAGE)
      if (outcome === 'ok' && source === WRITE) expect(driver.read32(FRAME)).toBe(0x1234)
      // A fault marks nothing.
      const marks = PAGE_ACCESSED | PAGE_DIRTY
      expect(rights(PTE) & marks).toBe(outcome !== 'ok' ? 0 : source === WRITE ? marks : PAGE_ACCESSED)
      if (outcome !== 'ok') expect(rights(PDE) & marks).toBe(0)
    }
  }) // prettier-ignore

  it('the CPU reads its own tables as supervisor, even for ring 3', () => {
    start(3)
    driver.write32(LOW_TABLE + 4, 0x1000 | W) // GDT
    driver.write32(LOW_TABLE + 8, 0x2000 | W) // IDT
    driver.write32(LOW_TABLE + 12, 0x3000 | W) // TSS
    driver.write32(LOW_TABLE + 32, 0x8000 | W) // stack of ring 0
    driver.set({ eax: 0x43 })
    expect(machine.attempt('mov es, ax\n int 0x40')).toBe('int 40')
  })

  it('code that is not there faults in the fetch, with EIP and CR2 at the byte that is missing', () => {
    start(3)
    driver.write32(PTE, 0)
    driver.load(`jmp ${PAGE}`)
    driver.run(2)
    expect(machine.frame(14)).toMatchObject({ error: 4, eip: PAGE })
    expect(cpu.st[S_CR2] >>> 0).toBe(PAGE)
  })

  it('an instruction over the end of a page faults at the second page with its own EIP', () => {
    start(3)
    driver.write32(PTE + 4, 0)
    driver.mem.phys.writeBytes(FRAME + 0xffe, Uint8Array.of(0xb8, 1)) // mov eax, imm32, cut short
    driver.load(`jmp ${PAGE + 0xffe}`)
    driver.run(2)
    expect(machine.frame(14)).toMatchObject({ error: 4, eip: PAGE + 0xffe })
    expect(cpu.st[S_CR2] >>> 0).toBe(PAGE + 0x1000)
  })

  it('code behind the limit of its segment is #GP, though there be no page', () => {
    start(3)
    driver.write32(PTE + 4, 0)
    driver.mem.phys.writeBytes(FRAME + 0xfff, Uint8Array.of(0x90))
    machine.descriptor(CODE_SELECTOR[3], { kind: 'code', dpl: 3, granular: true, limit: PAGE >>> 12 })
    machine.enter(3)
    driver.load(`jmp ${PAGE + 0xfff}`)
    driver.run(3)
    expect(machine.frame(13)).toMatchObject({ error: 0, eip: PAGE + 0x1000 })
  })

  it('an access over the end of a page writes nothing when the second page refuses', () => {
    start(3)
    driver.write32(PTE + 4, (FRAME + 0x1000) | U)
    driver.set({ ebx: PAGE + 0xffe })
    driver.write32(FRAME + 0xffc, 0)
    expect(machine.attempt(WRITE)).toBe('#PF(7)')
    expect(cpu.st[S_CR2] >>> 0).toBe(PAGE + 0x1000)
    expect(driver.read32(FRAME + 0xffc)).toBe(0)
  })
})

describe('accessed and dirty bits', () => {
  it('a write after a read sets the dirty bit, though the TLB knows the page', () => {
    start(3)
    expect(machine.attempt(`${READ}\n ${READ}`)).toBe('ok')
    expect(rights(PTE)).toBe(ALL | PAGE_ACCESSED)
    expect(machine.attempt(WRITE)).toBe('ok')
    expect(rights(PTE)).toBe(ALL | PAGE_ACCESSED | PAGE_DIRTY)
    expect(rights(PDE)).toBe(ALL | PAGE_ACCESSED)
  })

  it('fetching sets the accessed bit', () => {
    start(3)
    driver.mem.phys.writeBytes(FRAME, Uint8Array.of(0x90, 0x90))
    driver.load(`jmp ${PAGE}`)
    driver.run(2)
    expect(rights(PTE)).toBe(ALL | PAGE_ACCESSED)
  })

  it('a comparison that does not store still counts as a write', () => {
    start(3)
    driver.set({ eax: 1, ecx: 2 })
    driver.write32(FRAME, 5)
    expect(machine.attempt('cmpxchg [ebx], ecx')).toBe('ok')
    expect(rights(PTE) & PAGE_DIRTY).toBe(PAGE_DIRTY)
  })
})

describe('the TLB', () => {
  beforeEach(() => start(0))
  it('keeps an old translation until INVLPG, MOV to CR3 or a change of CR0.PG or WP', () => {
    const removers = ['invlpg [ebx]', 'mov ecx, cr3\n mov cr3, ecx']
    for (const remover of removers) {
      start(0)
      expect(machine.attempt(READ)).toBe('ok')
      driver.write32(PTE, 0)
      expect(machine.attempt(READ)).toBe('ok')
      expect(machine.attempt(remover)).toBe('ok')
      expect(machine.attempt(READ)).toBe('#PF(0)')
    }
  })

  it('an entry of the supervisor does not serve the user', () => {
    driver.write32(PTE, FRAME | W)
    expect(machine.attempt(`${READ}\n ${WRITE}`)).toBe('ok')
    machine.enter(3)
    driver.set({ ebx: PAGE })
    expect(machine.attempt(READ)).toBe('#PF(5)')
  })

  it('setting WP takes the supervisor the right to write read-only pages', () => {
    start(0, 0)
    driver.write32(PTE, FRAME | U)
    expect(machine.attempt(WRITE)).toBe('ok')
    expect(machine.attempt('mov ecx, cr0\n or ecx, 0x10000\n mov cr0, ecx')).toBe('ok')
    expect(machine.attempt(WRITE)).toBe('#PF(3)')
  })

  it('global pages survive MOV to CR3, but not INVLPG nor a change of CR4.PGE', () => {
    for (const [remover, outcome] of [
      ['mov ecx, cr3\n mov cr3, ecx', 'ok'],
      ['invlpg [ebx]', '#PF(0)'],
      ['mov ecx, cr4\n and ecx, 0xffffff7f\n mov cr4, ecx', '#PF(0)'],
    ] as const) {
      start(0, CR0_WP, CR4_PGE)
      driver.write32(PTE, FRAME | ALL | PAGE_GLOBAL)
      expect(machine.attempt(READ)).toBe('ok')
      driver.write32(PTE, 0)
      expect(machine.attempt(remover)).toBe('ok')
      expect(machine.attempt(READ), remover).toBe(outcome)
    }
  })

  it('without PGE the global bit means nothing', () => {
    driver.write32(PTE, FRAME | ALL | PAGE_GLOBAL)
    machine.attempt(READ)
    driver.write32(PTE, 0)
    expect(machine.attempt('mov ecx, cr3\n mov cr3, ecx')).toBe('ok')
    expect(machine.attempt(READ)).toBe('#PF(0)')
  })
})

describe('4 MiB pages', () => {
  const FLAGS = ALL | PAGE_PSE
  const BIG_FRAME = 0 // the only 4 MiB of RAM there are
  const startBig = (pde: number, cr4: number): void => {
    start(0, CR0_WP, cr4)
    driver.write32(BIG_PDE, pde)
    driver.set({ ebx: BIG_PAGE + 0x2_3454 })
    driver.write32(0x2_3454, 0x55667788)
  }
  it('with CR4.PSE: the PDE maps the page itself', () => {
    startBig(BIG_FRAME | FLAGS, CR4_PSE)
    expect(machine.attempt(READ)).toBe('ok')
    expect(driver.get('eax')).toBe(0x55667788)
    expect(rights(BIG_PDE)).toBe(FLAGS | PAGE_ACCESSED)
    expect(machine.attempt(WRITE)).toBe('ok')
    expect(rights(BIG_PDE)).toBe(FLAGS | PAGE_ACCESSED | PAGE_DIRTY)
  })

  it('INVLPG drops all of the page, wherever in it its operand is', () => {
    startBig(BIG_FRAME | FLAGS, CR4_PSE)
    driver.set({ ebx: BIG_PAGE + 0x2_3454 })
    expect(machine.attempt(WRITE)).toBe('ok')
    driver.write32(BIG_PDE, 0)
    expect(machine.attempt(READ)).toBe('ok')
    expect(machine.attempt(`invlpg [${BIG_PAGE + 0x3f_f000}]\n mov eax, [ebx]`)).toBe('#PF(0)')
  })

  it('without CR4.PSE: bit 7 means nothing', () => {
    startBig(TEST_TABLE | FLAGS, 0)
    driver.set({ ebx: BIG_PAGE })
    driver.write32(FRAME, 99)
    expect(machine.attempt(READ)).toBe('ok')
    expect(driver.get('eax')).toBe(99)
  })

  it('reserved bits fault with code bit 3', () => {
    startBig(0x1000 | FLAGS, CR4_PSE)
    expect(machine.attempt(READ)).toBe('#PF(9)')
    machine.enter(3)
    driver.set({ ebx: BIG_PAGE })
    expect(machine.attempt(WRITE)).toBe('#PF(f)')
  })

  it('has rights of its own', () => {
    startBig(U | PAGE_PSE, CR4_PSE)
    expect(machine.attempt(WRITE)).toBe('#PF(3)')
    startBig(W | PAGE_PSE, CR4_PSE)
    machine.enter(3)
    driver.set({ ebx: BIG_PAGE })
    expect(machine.attempt(READ)).toBe('#PF(5)')
  })
})

describe('peekTranslate', () => {
  it('finds the same addresses and changes nothing', () => {
    start(0)
    driver.write32(BIG_PDE, ALL | PAGE_PSE)
    const peek = (linear: number, cr4: number): number => peekTranslate(driver.mem, DIRECTORY, cr4, linear)
    expect(peek(PAGE + 0x123, 0)).toBe(FRAME + 0x123)
    expect(peek(BIG_PAGE + 0x12345, CR4_PSE)).toBe(0x12345)
    expect(peek(0xc00000, 0)).toBe(-1)
    expect([rights(PDE), rights(PTE)]).toEqual([ALL, ALL])
  })
})

describe('a double fault', () => {
  it('a page fault while a page fault is delivered: #DF with both addresses gone but the second in CR2', () => {
    start(3)
    driver.write32(PTE, 0)
    driver.write32(LOW_TABLE + 32, 0) // the stack of ring 0, 0x8000
    expect(machine.interruptGate(8, { selector: 0x18 }).attempt(READ)).toBe('#DF(0)')
    expect(cpu.st[S_CR2] >>> 0).toBe(0x8ffc)
  })
  it('a page fault for the IDT itself shuts down', () => {
    start(3)
    driver.write32(LOW_TABLE + 8, 0)
    expect(machine.attempt('int 0x40')).toBe('shutdown')
  })
})

import { describe, expect, it } from 'vitest'
import { PENDING_INTR, S_CR0, S_CR2, S_CR3 } from '../../layout/cpu-state.ts'
import { CR0_PG, CR0_WP, FLAG_RF, FLAG_ZF } from '../../layout/x86.ts'
import { flushTlbAll } from '../../mmu/tlb.ts'
import { CODE, DATA, FREE, HANDLERS, ProtectedMode } from '../../testing/protected-mode.ts'

const machine = new ProtectedMode()
const { driver, cpu } = machine
const DIRECTORY = 0x100000
const TABLE = 0x101000
/** The page behind DATA's: not there until a test maps it. */
const MISSING = DATA + 0x1000

/** Ring 3 with the first MiB mapped to itself but for MISSING. */
function start(): void {
  machine.reset(3)
  const { phys } = driver.mem
  phys.write32(DIRECTORY, TABLE | 7)
  for (let i = 0; i < 256; i++) phys.write32(TABLE + i * 4, (i << 12) | 7)
  phys.write32(TABLE + (MISSING >>> 12) * 4, 0)
  cpu.st[S_CR0] |= CR0_PG | CR0_WP
  cpu.st[S_CR3] = DIRECTORY
  flushTlbAll(cpu)
}
const mapMissing = (): void => driver.write32(TABLE + (MISSING >>> 12) * 4, MISSING | 7)

describe('REP with a fault in the middle', () => {
  /** [instruction, ecx, ecx left, esi moved by, edi moved by] */
  const end = MISSING - 8
  const table: [string, number, number, number, number][] = [
    ['rep movsb', 20, 12, 8, 8],
    ['rep movsd', 20, 18, 8, 8],
    ['rep stosb', 20, 12, 0, 8],
    ['rep stosw', 20, 16, 0, 8],
    ['rep lodsb', 20, 12, 8, 0],
    ['repe cmpsb', 20, 12, 8, 8],
    ['repne scasb', 20, 12, 0, 8],
  ]
  it.each(table)('%s leaves ecx, esi and edi at the element that faulted', (source, count, left, esi, edi) => {
    start()
    const from = 0x15000
    const usesDi = edi !== 0
    driver.set({ ecx: count, esi: usesDi ? from : end, edi: usesDi ? end : from, eax: 0x41 })
    expect(machine.attempt(source)).toMatch(/^#PF\(/)
    const before = { ecx: left, esi: (usesDi ? from : end) + esi, edi: (usesDi ? end : from) + edi }
    expect({ ecx: driver.get('ecx'), esi: driver.get('esi'), edi: driver.get('edi') }).toEqual(before)
    expect(machine.frame().eip).toBe(CODE)
    expect(cpu.st[S_CR2] >>> 0).toBe(MISSING)
  })

  it('goes on there once the page is mapped', () => {
    start()
    for (let i = 0; i < 32; i++) driver.mem.phys.write8(0x15000 + i, i + 1)
    driver.set({ ecx: 32, esi: 0x15000, edi: MISSING - 10 })
    driver.load('rep movsb\n end: nop')
    driver.run(1)
    expect(driver.get('ecx')).toBe(22)
    mapMissing()
    driver.loadBytes([0x83, 0xc4, 4, 0xcf], driver.eip) // add esp, 4; iretd
    driver.run(3)
    expect([driver.get('ecx'), driver.eip]).toEqual([0, CODE + 2])
    expect([...driver.mem.phys.readBytes(MISSING - 10, 32)]).toEqual(Array.from({ length: 32 }, (_, i) => i + 1))
  })

  // Found against silicon.
  it('CMPS and SCAS keep the flags they began with', () => {
    for (const source of ['repe cmpsb', 'repne scasb']) {
      start()
      driver.mem.phys.writeBytes(0x15000, new Uint8Array(16).fill(7))
      driver.mem.phys.writeBytes(MISSING - 4, new Uint8Array(4).fill(7))
      driver.set({ ecx: 10, esi: 0x15000, edi: MISSING - 4, eax: 0x80 })
      driver.eflags = 0x8d7
      expect(machine.attempt(source)).toBe('#PF(4)')
      expect(machine.frame().eflags).toBe(0x8d7 | FLAG_RF)
    }
  })

  it('a limit in the middle faults at its element', () => {
    machine.reset(3).descriptor(FREE, { kind: 'data', dpl: 3, base: DATA, limit: 0x0f })
    driver.set({ eax: FREE | 3, edi: 0, ecx: 100 })
    expect(machine.attempt('mov es, ax\n rep stosd')).toBe('#GP(0)')
    expect([driver.get('ecx'), driver.get('edi')]).toEqual([96, 16])
  })
})

describe('a long repetition', () => {
  const N = 100_000
  it('lets interrupts in, with EIP at itself and RF in the frame', () => {
    machine.reset(0)
    driver.eflags = 0x202
    driver.set({ ecx: N, esi: 0x100000, eax: 0 })
    driver.load('rep lodsb\n hlt')
    driver.run(1)
    const done = N - driver.get('ecx')
    expect(done).toBeGreaterThan(0)
    expect(done).toBeLessThan(N)
    driver.vectors.push(0x40)
    cpu.setPending(PENDING_INTR)
    driver.run(1)
    expect(driver.eip).toBe(HANDLERS + 0x40 * 16 + 1)
    expect(machine.frame(0x40)).toMatchObject({ eip: CODE, eflags: 0x202 | FLAG_RF })
    // And comes to its end afterwards.
    driver.loadBytes([0xcf], driver.eip)
    driver.runToHalt()
    expect([driver.get('ecx'), driver.get('esi')]).toEqual([0, 0x100000 + N])
  })

  it('of SCAS sets the flags at its end', () => {
    machine.reset(0)
    driver.mem.phys.write8(0x100000 + 50_000, 0x77)
    driver.set({ ecx: N, edi: 0x100000, eax: 0x77 })
    driver.load('repne scasb\n hlt')
    driver.runToHalt()
    expect([driver.get('edi'), driver.eflags & FLAG_ZF]).toEqual([0x100000 + 50_001, FLAG_ZF])
  })
})

// Found against silicon.
describe('CMPS reads its destination first', () => {
  it('when neither can be read, CR2 is of ES:EDI', () => {
    start()
    driver.set({ esi: MISSING + 4, edi: MISSING + 8, ecx: 1 })
    expect(machine.attempt('cmpsd')).toBe('#PF(4)')
    expect(cpu.st[S_CR2] >>> 0).toBe(MISSING + 8)
  })
})

describe('REP MOVS over overlapping memory', () => {
  it.each([1, 2, 4])('upwards by %d repeats the pattern', (distance) => {
    machine.reset(0)
    driver.mem.phys.writeBytes(DATA, Uint8Array.of(1, 2, 3, 4))
    driver.set({ ecx: 16, esi: DATA, edi: DATA + distance })
    expect(machine.attempt('rep movsb')).toBe('ok')
    const pattern = Array.from({ length: 16 + distance }, (_, i) => (i % distance) + 1)
    expect([...driver.mem.phys.readBytes(DATA, 16 + distance)]).toEqual(pattern)
  })
})

import { describe, expect, it } from 'vitest'
import { TR } from '../layout/x86.ts'
import { type DescriptorSpec, FREE, ProtectedMode, type Ring, TSS } from '../testing/protected-mode.ts'

const machine = new ProtectedMode()
const { driver } = machine

describe('LTR', () => {
  const table: [string, Ring, DescriptorSpec | null, number, string][] = [
    ['an available TSS', 0, { kind: 'system', type: 9 }, FREE, 'ok'],
    ['an available 16-bit TSS', 0, { kind: 'system', type: 1 }, FREE, 'ok'],
    ['a busy TSS', 0, { kind: 'system', type: 11 }, FREE, '#GP(60)'],
    ['null', 0, null, 0, '#GP(0)'],
    ['in the LDT', 0, null, 0x0c, '#GP(c)'],
    ['beyond the table', 0, null, 0x200, '#GP(200)'],
    ['an LDT', 0, { kind: 'system', type: 2 }, FREE, '#GP(60)'],
    ['data', 0, { kind: 'data' }, FREE, '#GP(60)'],
    ['not present', 0, { kind: 'system', type: 9, present: false }, FREE, '#NP(60)'],
    ['not in ring 0', 1, { kind: 'system', type: 9 }, FREE, '#GP(0)'],
  ]
  it.each(table)('%s', (_what, ring, spec, selector, outcome) => {
    machine.reset(ring)
    if (spec !== null) machine.descriptor(FREE, spec)
    driver.set({ eax: selector })
    expect(machine.attempt('ltr ax')).toBe(outcome)
    if (outcome !== 'ok') return
    expect(machine.selector(TR)).toBe(selector)
    // It is busy now, in memory too: a second LTR is refused.
    expect((machine.descriptorHigh(FREE) >>> 8) & 2).toBe(2)
    expect(machine.attempt('ltr ax')).toBe('#GP(60)')
  })
})

describe('LLDT', () => {
  const table: [string, Ring, DescriptorSpec | null, number, string][] = [
    ['an LDT', 0, { kind: 'system', type: 2 }, FREE, 'ok'],
    ['null', 0, null, 0, 'ok'],
    ['in the LDT', 0, null, 0x0c, '#GP(c)'],
    ['beyond the table', 0, null, 0x200, '#GP(200)'],
    ['a TSS', 0, { kind: 'system', type: 9 }, FREE, '#GP(60)'],
    ['not present', 0, { kind: 'system', type: 2, present: false }, FREE, '#NP(60)'],
    ['not in ring 0', 3, { kind: 'system', type: 2 }, FREE, '#GP(0)'],
  ]
  it.each(table)('%s', (_what, ring, spec, selector, outcome) => {
    machine.reset(ring)
    if (spec !== null) machine.descriptor(FREE, spec)
    driver.set({ eax: selector })
    expect(machine.attempt('lldt ax')).toBe(outcome)
    if (outcome !== 'ok') return
    expect(machine.attempt('sldt eax')).toBe('ok')
    expect(driver.get('eax')).toBe(selector)
  })
})

describe('the I/O permission bitmap', () => {
  const BITMAP = 0x70
  /** Ring 3 with a bitmap of 32 bytes behind the TSS that forbids all but ports 0x10 to 0x13 and 0x1f to 0x20. */
  const prepare = (ring: Ring, iopl: number, limit: number): void => {
    machine.reset(ring)
    const bytes = new Uint8Array(33).fill(0xff)
    bytes[2] = 0xf0
    bytes[3] = 0x7f
    bytes[4] = 0xfe
    driver.mem.phys.writeBytes(TSS + BITMAP, bytes)
    driver.write32(TSS + 100, BITMAP << 16)
    machine.descriptor(FREE, { kind: 'system', type: 9, base: TSS, limit })
    machine.enter(0)
    driver.set({ eax: FREE })
    machine.attempt('ltr ax')
    machine.enter(ring)
    driver.eflags = 2 | (iopl << 12)
  }
  const whole = BITMAP + 32
  /** [what, ring, IOPL, TSS limit, port, instruction, outcome] */
  const table: [string, Ring, number, number, number, string, string][] = [
    ['allowed byte', 3, 0, whole, 0x10, 'in al, dx', 'ok'],
    ['forbidden byte', 3, 0, whole, 0x14, 'in al, dx', '#GP(0)'],
    ['allowed dword', 3, 0, whole, 0x10, 'out dx, eax', 'ok'],
    ['dword with one forbidden byte', 3, 0, whole, 0x11, 'out dx, eax', '#GP(0)'],
    ['word over the end of a byte of the map', 3, 0, whole, 0x1f, 'in ax, dx', 'ok'],
    ['word, second half forbidden', 3, 0, whole, 0x20, 'in ax, dx', '#GP(0)'],
    ['beyond the TSS', 3, 0, whole, 0x108, 'in al, dx', '#GP(0)'],
    ['map cut off by the limit', 3, 0, BITMAP + 2, 0x10, 'in al, dx', '#GP(0)'],
    ['limit with the one byte more that is always read', 3, 0, BITMAP + 3, 0x10, 'in al, dx', 'ok'],
    ['ring 1', 1, 0, whole, 0x14, 'out dx, al', '#GP(0)'],
    ['CPL <= IOPL asks nobody', 3, 3, whole, 0x14, 'out dx, al', 'ok'],
    ['ring 0 asks nobody', 0, 0, whole, 0x14, 'out dx, al', 'ok'],
    ['IOPL of an inner ring does not help', 3, 2, whole, 0x14, 'out dx, al', '#GP(0)'],
    ['INS', 3, 0, whole, 0x14, 'insb', '#GP(0)'],
    ['OUTS', 3, 0, whole, 0x10, 'outsb', 'ok'],
    ['REP OUTS of nothing is checked all the same', 3, 0, whole, 0x14, 'rep outsb', '#GP(0)'],
  ]
  it.each(table)('%s', (_what, ring, iopl, limit, port, source, outcome) => {
    prepare(ring, iopl, limit)
    driver.set({ edx: port, ecx: 0, esi: 0x20000, edi: 0x20000 })
    expect(machine.attempt(source)).toBe(outcome)
  })

  it('forbids every port when the TSS has none, or is a 16-bit one', () => {
    machine.reset(3)
    driver.set({ edx: 0x10 })
    expect(machine.attempt('in al, dx')).toBe('#GP(0)')
    machine.reset(0).descriptor(FREE, { kind: 'system', type: 1, base: TSS, limit: 0xfff })
    driver.set({ eax: FREE })
    machine.attempt('ltr ax')
    // The 16-bit TSS's stack for ring 0, so that the fault can be delivered.
    driver.write32(TSS, 0x9000_0000)
    driver.write32(TSS + 4, 0x10)
    machine.enter(3)
    driver.set({ edx: 0x10 })
    expect(machine.attempt('in al, dx')).toBe('#GP(0)')
    expect(driver.get('esp')).toBe(0x9000 - 24)
  })
})

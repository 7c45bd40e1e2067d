import { describe, expect, it } from 'vitest'
import { FLAG_ZF } from '../../layout/x86.ts'
import { DATA, type DescriptorSpec, FREE, ProtectedMode, type Ring } from '../../testing/protected-mode.ts'

const machine = new ProtectedMode()
const { driver } = machine

/** Runs `source` on the selector in ax with ecx = 0x5555; "ZF" or "-", and ecx when it changed. */
function ask(source: string, ring: Ring, spec: DescriptorSpec | null, selector: number): string {
  machine.reset(ring)
  if (spec !== null) machine.descriptor(FREE, spec)
  driver.set({ eax: selector, ecx: 0x55555555 })
  expect(machine.attempt(source)).toBe('ok')
  const found = (driver.eflags & FLAG_ZF) !== 0 ? 'ZF' : '-'
  const ecx = driver.get('ecx')
  return ecx === 0x55555555 ? found : `${found} ${ecx.toString(16)}`
}

describe('LAR, LSL, VERR, VERW', () => {
  const call = { kind: 'gate', type: 12, selector: 8, offset: 0, dpl: 3 } as const
  /** [what, ring, descriptor, selector, LAR, LSL, VERR, VERW] */
  const table: [string, Ring, DescriptorSpec | null, number, string, string, string, string][] = [
    ['null', 0, null, 0, '-', '-', '-', '-'],
    ['beyond the table', 0, null, 0x200, '-', '-', '-', '-'],
    ['writable data', 3, { kind: 'data', dpl: 3 }, FREE | 3, 'ZF cff300', 'ZF ffffffff', 'ZF', 'ZF'],
    ['read-only data', 3, { kind: 'data', dpl: 3, rw: false, limit: 0x123 }, FREE | 3, 'ZF 40f100', 'ZF 123', 'ZF', '-'],
    ['readable code', 3, { kind: 'code', dpl: 3 }, FREE | 3, 'ZF cffb00', 'ZF ffffffff', 'ZF', '-'],
    ['execute-only code', 3, { kind: 'code', dpl: 3, rw: false }, FREE | 3, 'ZF cff900', 'ZF ffffffff', '-', '-'],
    ['data of an inner ring', 3, { kind: 'data' }, FREE, '-', '-', '-', '-'],
    ['a weaker RPL', 0, { kind: 'data' }, FREE | 3, '-', '-', '-', '-'],
    ['conforming code of an inner ring', 3, { kind: 'code', dc: true }, FREE | 3, 'ZF cf9f00', 'ZF ffffffff', 'ZF', '-'],
    ['not present: the descriptor is there', 0, { kind: 'data', present: false }, FREE, 'ZF cf1300', 'ZF ffffffff', 'ZF', 'ZF'],
    ['an LDT', 0, { kind: 'system', type: 2 }, FREE, 'ZF 8200', 'ZF ff', '-', '-'],
    ['a TSS', 0, { kind: 'system', type: 9 }, FREE, 'ZF 8900', 'ZF ff', '-', '-'],
    ['a 16-bit TSS', 0, { kind: 'system', type: 1 }, FREE, 'ZF 8100', 'ZF ff', '-', '-'],
    ['a call gate', 3, call, FREE | 3, 'ZF ec00', '-', '-', '-'],
    ['a task gate', 3, { ...call, type: 5 }, FREE | 3, 'ZF e500', '-', '-', '-'],
    ['an interrupt gate', 0, { ...call, type: 14 }, FREE, '-', '-', '-', '-'],
    ['a trap gate', 0, { ...call, type: 15 }, FREE, '-', '-', '-', '-'],
    ['a reserved type', 0, { kind: 'system', type: 8 }, FREE, '-', '-', '-', '-'],
  ] // prettier-ignore
  it.each(table)('%s', (_what, ring, spec, selector, lar, lsl, verr, verw) => {
    expect(ask('lar ecx, eax', ring, spec, selector)).toBe(lar)
    expect(ask('lsl ecx, eax', ring, spec, selector)).toBe(lsl)
    expect(ask('verr ax', ring, spec, selector)).toBe(verr)
    expect(ask('verw ax', ring, spec, selector)).toBe(verw)
  })

  it('with a 16-bit destination give the lower word', () => {
    expect(ask('lar cx, ax', 0, { kind: 'data' }, FREE)).toBe('ZF 55559300')
    expect(ask('lsl cx, ax', 0, { kind: 'data' }, FREE)).toBe('ZF 5555ffff')
  })
})

describe('ARPL', () => {
  it.each([
    [0x10, 3, 'ZF', 0x13],
    [0x11, 3, 'ZF', 0x13],
    [0x13, 3, '-', 0x13],
    [0x12, 1, '-', 0x12],
    [0x10, 0, '-', 0x10],
  ])('raises the RPL of %x to that of %x', (selector, rpl, zf, result) => {
    machine.reset(0)
    driver.set({ eax: selector, edx: rpl })
    expect(machine.attempt('arpl ax, dx')).toBe('ok')
    expect([(driver.eflags & FLAG_ZF) !== 0 ? 'ZF' : '-', driver.get('eax')]).toEqual([zf, result])
  })

  // Found against silicon.
  it('writes only a selector it changes: read-only memory will do for the others', () => {
    for (const [selector, outcome] of [[0x13, 'ok'], [0x10, '#GP(0)']] as const) {
      machine.reset(0).descriptor(FREE, { kind: 'data', rw: false })
      driver.write32(DATA, selector)
      driver.set({ eax: FREE, ebx: DATA, edx: 3 })
      expect(machine.attempt('mov es, ax\n arpl es:[ebx], dx')).toBe(outcome)
    }
  }) // prettier-ignore
})

import { describe, expect, it } from 'vitest'
import { CODE, DATA, FREE, ProtectedMode } from '../../testing/protected-mode.ts'

const machine = new ProtectedMode()
const { driver } = machine

describe('BOUND', () => {
  it.each([
    [5, 5, 9, 'ok'],
    [9, 5, 9, 'ok'],
    [4, 5, 9, '#BR'],
    [10, 5, 9, '#BR'],
    [-1, -3, 3, 'ok'],
    [-4, -3, 3, '#BR'],
  ])('%d in %d to %d: %s', (index, lower, upper, outcome) => {
    machine.reset(0)
    driver.set({ eax: index, ebx: DATA })
    driver.write32(DATA, lower)
    driver.write32(DATA + 4, upper)
    expect(machine.attempt([0x62, 0x03])).toBe(outcome) // bound eax, [ebx]
    driver.write32(DATA, (lower & 0xffff) | (upper << 16))
    expect(machine.attempt([0x66, 0x62, 0x03])).toBe(outcome)
    if (outcome === '#BR') expect(machine.frame().eip).toBe(CODE)
  })

  // Found against silicon.
  it('does not read the upper limit when the index is below the lower', () => {
    machine.reset(0).descriptor(FREE, { kind: 'data', base: DATA, limit: 3 })
    driver.write32(DATA, 5)
    driver.set({ ecx: FREE, ebx: 0, eax: 4 })
    expect(machine.attempt('mov es, cx')).toBe('ok')
    expect(machine.attempt([0x26, 0x62, 0x03])).toBe('#BR')
    driver.set({ eax: 6 })
    expect(machine.attempt([0x26, 0x62, 0x03])).toBe('#GP(0)')
  })
})

describe('an instruction', () => {
  it('may have 15 bytes, not 16', () => {
    machine.reset(0)
    const prefixes = (n: number): number[] => new Array<number>(n).fill(0x66)
    expect(machine.attempt([...prefixes(14), 0x90])).toBe('ok')
    expect(machine.attempt([...prefixes(15), 0x90])).toBe('#GP(0)')
    expect(machine.frame().eip).toBe(CODE)
  })
})

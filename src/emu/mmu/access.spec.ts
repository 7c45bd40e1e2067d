import { describe, expect, it } from 'vitest'
import { S_CR0 } from '../layout/cpu-state.ts'
import { CR0_AM, FLAG_AC } from '../layout/x86.ts'
import { DATA, ProtectedMode, type Ring } from '../testing/protected-mode.ts'

const machine = new ProtectedMode()
const { driver, cpu } = machine

/** Attempts an instruction with EBX at DATA + `offset`, alignment checking as asked. */
function attempt(source: string | readonly number[], offset: number, ring: Ring = 3, am = true, ac = true): string {
  machine.reset(ring)
  if (am) cpu.st[S_CR0] |= CR0_AM
  driver.eflags = ac ? FLAG_AC | 2 : 2
  driver.set({ ebx: DATA + offset, esi: DATA + offset, edi: DATA + offset, ecx: 2 })
  driver.write32(DATA + 8, 0)
  return machine.attempt(source)
}

describe('alignment checking', () => {
  /** [operand, instruction, an offset that will not do, one that will] */
  const table: [string, string | number[], number, number][] = [
    ['byte', 'mov al, [ebx]', -1, 3],
    ['word, read', 'mov ax, [ebx]', 1, 2],
    ['word, written', 'mov [ebx], ax', 1, 2],
    ['doubleword, read', 'mov eax, [ebx]', 2, 4],
    ['doubleword, written', 'mov [ebx], eax', 2, 4],
    ['read-modify-write', 'inc dword ptr [ebx]', 2, 4],
    ['string', 'rep movsd', 2, 4],
    ['stack', 'lea esp, [ebx]\n push eax', 2, 4],
    ['48-bit pointer: its parts', 'mov word ptr [ebx + 4], 0\n lfs eax, [ebx]', 2, 4],
    ['descriptor table register: its parts', 'sgdt [ebx]', 4, 2],
    ['single-precision number', [0xd9, 0x03], 2, 4],
    ['double-precision number, read', [0xdd, 0x03], 4, 8],
    ['double-precision number, written', [0xd9, 0xe8, 0xdd, 0x1b], 4, 8],
    ['64-bit integer', [0xdf, 0x2b], 4, 8],
    ['80-bit number, read', [0xdb, 0x2b], 4, 8],
    ['80-bit number, written', [0xd9, 0xe8, 0xdb, 0x3b], 4, 8],
    ['environment of 28 bytes', [0xd9, 0x33], 2, 4],
    ['environment of 14 bytes', [0x66, 0xd9, 0x33], 1, 2],
    ['CMPXCHG8B', [0x0f, 0xc7, 0x0b], 4, 8],
  ]
  it.each(table)('%s', (_what, source, wrong, right) => {
    if (wrong >= 0) expect(attempt(source, wrong)).toBe('#AC(0)')
    expect(attempt(source, right)).toBe('ok')
  })

  it('is off outside ring 3, without EFLAGS.AC, without CR0.AM', () => {
    for (const ring of [0, 1, 2] as const) expect(attempt('mov eax, [ebx]', 1, ring)).toBe('ok')
    expect(attempt('mov eax, [ebx]', 1, 3, true, false)).toBe('ok')
    expect(attempt('mov eax, [ebx]', 1, 3, false, true)).toBe('ok')
    expect(attempt([0xdd, 0x03], 4, 3, false, true)).toBe('ok')
  })

  it('changes nothing when it refuses', () => {
    expect(attempt('add [ebx], ecx', 2)).toBe('#AC(0)')
    expect(driver.read32(DATA)).toBe(0)
    expect(attempt('lea esp, [ebx]\n push eax', 2)).toBe('#AC(0)')
    expect(machine.frame().esp).toBe(DATA + 2)
  })
})

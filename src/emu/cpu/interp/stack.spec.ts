import { describe, expect, it } from 'vitest'
import { CODE, DATA, FREE, ProtectedMode, STACK_TOPS } from '../../testing/protected-mode.ts'

const machine = new ProtectedMode()
const { driver } = machine
const ESP = STACK_TOPS[0]

/** A 16-bit stack segment: SP is 16 bits wide and wraps, the upper half of ESP stays. */
function start16(sp: number): void {
  machine.reset(0).descriptor(FREE, { kind: 'data', base: DATA, limit: 0xffff, big: false })
  driver.set({ eax: FREE, esp: 0x7777_0000 | sp })
  machine.attempt('mov ss, ax')
}

describe('a 16-bit stack', () => {
  it('PUSH and POP wrap within 64 KiB', () => {
    start16(0)
    driver.set({ eax: 0x11223344, ebx: 0 })
    expect(machine.attempt('push eax')).toBe('ok')
    expect([driver.get('esp'), driver.read32(DATA + 0xfffc)]).toEqual([0x7777fffc, 0x11223344])
    expect(machine.attempt('pop ebx')).toBe('ok')
    expect([driver.get('esp'), driver.get('ebx')]).toEqual([0x77770000, 0x11223344])
  })

  it('PUSHA, POPA, CALL, RET, ENTER, LEAVE use SP and BP', () => {
    start16(0x100)
    driver.set({ ebp: 0x5555_0040, ecx: 3 })
    expect(machine.attempt('pushad\n xor ecx, ecx\n popad\n call next\n next: pop edx\n enter 8, 0')).toBe('ok')
    expect([driver.get('ecx'), driver.get('esp'), driver.get('ebp')]).toEqual([3, 0x7777_00f4, 0x7777_00fc])
    expect(machine.attempt('leave')).toBe('ok')
    expect([driver.get('esp'), driver.get('ebp')]).toEqual([0x7777_0100, 0x5555_0040])
  })

  // Found against silicon.
  it('ENTER takes all of ESP as the frame with a 32-bit operand, SP with a 16-bit one', () => {
    start16(0x100)
    driver.set({ ebp: 0x5555_0040 })
    expect(machine.attempt('enter 4, 1')).toBe('ok')
    expect([driver.read32(DATA + 0xf8), driver.get('ebp')]).toEqual([0x7777_00fc, 0x7777_00fc])
    start16(0x100)
    driver.set({ ebp: 0x5555_0040 })
    expect(machine.attempt([0x66, 0xc8, 4, 0, 1])).toBe('ok')
    expect([driver.read32(DATA + 0xfc), driver.get('ebp')]).toEqual([0x0040_00fe, 0x5555_00fe])
  })

  it('a word that does not fit is #SS(0), and ESP stays', () => {
    machine.reset(3).descriptor(FREE, { kind: 'data', dpl: 3, base: DATA, limit: 0xfffd, big: false })
    driver.set({ eax: FREE | 3, esp: 0 })
    expect(machine.attempt('mov ss, ax\n push eax')).toBe('#SS(0)')
    expect(machine.frame().esp).toBe(0)
  })
})

describe('a fault in the middle leaves ESP', () => {
  it.each([
    ['pushad', 8, '#SS(0)'],
    ['popad', 0xfffc, '#SS(0)'],
    ['enter 0, 2', 4, '#SS(0)'],
    ['pop dword ptr [ebx]', 0x100, '#GP(0)'],
    ['call [ebx]', 0x100, '#GP(0)'],
  ])('%s', (source, esp, outcome) => {
    machine.reset(3).descriptor(FREE, { kind: 'data', dpl: 3, base: DATA, limit: 0xffff })
    driver.set({ eax: FREE | 3, edx: 0, ebp: 0x80, ebx: 0x10, esp })
    expect(machine.attempt(`mov ss, ax\n mov ds, dx\n ${source}`)).toBe(outcome)
    expect(machine.frame()).toMatchObject({ esp, eip: CODE + 4 })
  })
})

describe('addresses with ESP', () => {
  it('PUSH stores the value of ESP from before, POP to [esp] uses the one from after', () => {
    machine.reset(0)
    expect(machine.attempt('push esp')).toBe('ok')
    expect(machine.stack(1)).toEqual([ESP])
    machine.push(0x1234)
    expect(machine.attempt('pop dword ptr [esp]')).toBe('ok')
    expect(machine.stack(1)).toEqual([0x1234])
  })
})

// Found against silicon.
describe('POPA', () => {
  it('loads each register as it is read: those before a fault have changed, ESP has not', () => {
    machine.reset(3).descriptor(FREE, { kind: 'data', dpl: 3, base: DATA, limit: 0x10b })
    driver.set({ eax: FREE | 3, esp: 0x100, edi: 1, esi: 2, ebp: 3, ebx: 4 })
    for (let i = 0; i < 3; i++) driver.write32(DATA + 0x100 + i * 4, 0x10 + i)
    expect(machine.attempt('mov ss, ax\n popad')).toBe('#SS(0)')
    expect(['edi', 'esi', 'ebp', 'ebx'].map((name) => driver.get(name as 'edi'))).toEqual([0x10, 0x11, 0x12, 4])
    expect(machine.frame().esp).toBe(0x100)
  })
})

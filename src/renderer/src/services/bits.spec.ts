import { describe, expect, it } from 'vitest'
import { debugCondition, registerBits } from './bits'

const setBits = (...args: Parameters<typeof registerBits>): string[] =>
  registerBits(...args)
    .filter((bit) => bit.set)
    .map((bit) => bit.name)

describe('register bits', () => {
  it('are named as the manual names them', () => {
    expect(setBits('cr0', 0x8005003b)).toEqual(['PE', 'MP', 'TS', 'ET', 'NE', 'WP', 'AM', 'PG'])
    expect(setBits('cr4', 0x690)).toEqual(['PSE', 'PGE', 'OSFXSR', 'OSXMM'])
    expect(setBits('eflags', 0x00200246)).toEqual(['PF', 'ZF', 'IF', 'ID'])
    expect(setBits('dr6', 0xffff4ff1)).toEqual(['B0', 'BS'])
    expect(setBits('cr3', 0x00101018)).toEqual(['PWT', 'PCD'])
  })
  it('list clear bits too', () => {
    expect(registerBits('dr7', 0).length).toBe(11)
  })
})

describe('a debug register', () => {
  it.each([
    [0x1, 'stops at execution at c0100000'],
    [0x000d0002, 'stops at writes of 4 bytes at c0100000'],
    [0x00030001, 'stops at reads and writes of 1 byte at c0100000'],
    [0x000f0000, null],
  ])('with DR7 = %i says %j', (dr7, text) => {
    expect(debugCondition([0xc0100000, 0, 0, 0, 0, 0, 0, dr7], 0)).toBe(text)
  })
  it('has its own bits of DR7', () => {
    expect(debugCondition([0, 0, 0, 0x2000, 0, 0, 0, 0x50000040], 3)).toBe('stops at writes of 2 bytes at 00002000')
  })
})

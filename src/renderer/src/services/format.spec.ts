import { describe, expect, it } from 'vitest'
import { describeCr0, describeEflags, hex, parseAddress, rate, trapName } from './format'

describe('format', () => {
  it('writes registers and flags as the manual does', () => {
    expect(hex(0xc0100000)).toBe('c0100000')
    expect(hex(-1)).toBe('ffffffff')
    expect(describeEflags(0x246)).toBe('PF ZF IF')
    expect(describeEflags(0x3002)).toBe('IOPL=3')
    expect(describeCr0(0x80010031)).toBe('PE ET NE WP PG')
  })
  it('names traps', () => {
    expect(trapName(31)).toBe('hypercall')
    expect(trapName(239)).toBe('timer interrupt')
    expect(trapName(240)).toBe('interrupt 240')
    expect(trapName(256)).toContain('Switcher')
  })
  it.each([
    ['0xC0100000', 0xc0100000],
    ['c0100000', 0xc0100000],
    [' 10 ', 16],
    ['123456789', null],
    ['hello', null],
    ['', null],
  ])('reads the address %j', (text, value) => {
    expect(parseAddress(text)).toBe(value)
  })
  it('shortens rates', () => {
    expect([rate(7), rate(1.25), rate(12_345), rate(2_500_000)]).toEqual(['7', '1.3', '12.3 k', '2.5 M'])
  })
})

/** Descriptors in words. The words themselves are the Intel manual's (volume 3A, chapters 3.4.5, 5.11, 6.2). */
import { describe, expect, it } from 'vitest'
import { describeAttributes, describeDescriptor, describeEntry, describeGate } from './descriptors.ts'

describe('a GDT entry', () => {
  it.each([
    ['nothing', 0, 0, 'empty'],
    ['flat code of ring 0', 0x0000ffff, 0x00cf9b00, 'code r-x 32-bit DPL 0, base 0x0, limit 0xffffffff'],
    ['flat data of ring 3', 0x0000ffff, 0x00cff300, 'data rw- 32-bit DPL 3, base 0x0, limit 0xffffffff'],
    ['a guest’s code at ring 1', 0x0000ffff, 0x00cfba00, 'code r-x 32-bit DPL 1, base 0x0, limit 0xffffffff'],
    ['16-bit code that cannot be read', 0x0000ffff, 0x00009800, 'code --x 16-bit DPL 0, base 0x0, limit 0xffff'],
    ['conforming code', 0x0000ffff, 0x00cf9e00, 'code r-x 32-bit DPL 0 conforming, base 0x0, limit 0xffffffff'],
    ['data to read only', 0x0000ffff, 0x00cf9000, 'data r-- 32-bit DPL 0, base 0x0, limit 0xffffffff'],
    ['a stack that grows down', 0x00000fff, 0x00c09600, 'data rw- 32-bit DPL 0 expand-down, base 0x0, limit 0xffffff'],
    ['a base in three parts', 0x5678000f, 0x1240f234, 'data rw- 32-bit DPL 3, base 0x12345678, limit 0xf'],
    ['a limit in bytes', 0x00001234, 0x004f9200, 'data rw- 32-bit DPL 0, base 0x0, limit 0xf1234'],
    ['the highest base', 0x8000ffff, 0xff4f92ff, 'data rw- 32-bit DPL 0, base 0xffff8000, limit 0xfffff'],
    ['a task state segment', 0x20000067, 0xff008bc0, 'TSS (busy) DPL 0, base 0xffc02000, limit 0x67'],
    ['an available one', 0x20000067, 0xff0089c0, 'TSS (available) DPL 0, base 0xffc02000, limit 0x67'],
    ['an LDT', 0x10000007, 0x00008200, 'LDT DPL 0, base 0x1000, limit 0x7'],
    ['a call gate', 0x00601234, 0xc010ec00, 'call gate DPL 3 to 0x60:0xc0101234'],
    ['what is not there', 0x0000ffff, 0x00cf1a00, 'not present, base 0x0, limit 0xffffffff'],
    ['a type that is none', 0x00000000, 0x00008a00, 'system type 10 DPL 0, base 0x0, limit 0x0'],
  ])('%s', (_, low, high, text) => {
    expect(describeDescriptor(low, high)).toBe(text)
    // The same words, signed.
    expect(describeDescriptor(low | 0, high | 0)).toBe(text)
  })
})

describe('an IDT entry', () => {
  it.each([
    ['nothing', 0, 0, 'empty'],
    ['an interrupt gate', 0x00600123, 0xffc08e00, 'interrupt gate DPL 0 to 0x60:0xffc00123'],
    ['a trap gate that ring 3 may call', 0x00611060, 0xc010ef00, 'trap gate DPL 3 to 0x61:0xc0101060'],
    ['a task gate', 0x00f80000, 0x00008500, 'task gate DPL 0 to 0xf8:0x0'],
    ['one that is not there', 0x00600123, 0xffc00e00, 'not present'],
    ['16-bit gates', 0x00600123, 0x00008600, '16-bit interrupt gate DPL 0 to 0x60:0x123'],
    ['a type that is none', 0x00600123, 0x00008800, 'reserved type DPL 0 to 0x60:0x123'],
  ])('%s', (_, low, high, text) => {
    expect(describeGate(low, high)).toBe(text)
    expect(describeGate(low | 0, high | 0)).toBe(text)
  })
})

describe('the hidden part of a segment register', () => {
  it.each([
    [0, 'unusable'],
    [0x4001, 'not present'],
    [0xc09b, 'code r-x 32-bit DPL 0'],
    [0xc0f3, 'data rw- 32-bit DPL 3'],
    [0x0082, 'LDT DPL 0'],
    [0x008b, 'TSS (busy) DPL 0'],
  ])('0x%s', (attr, text) => {
    expect(describeAttributes(attr)).toBe(text)
  })
})

describe('a page-table entry', () => {
  it.each([
    [0, false, 'not present'],
    [0xfffff000, false, 'not present (marked by software)'],
    [0x00001067, false, 'P RW US A D'],
    [0x00001027, true, 'P RW US A'],
    [0x000000e3, true, 'P RW A D PS'],
    [0x000000e3, false, 'P RW A D PAT'],
    [0xfffff1ff, false, 'P RW US PWT PCD A D PAT G'],
    [1, true, 'P'],
  ])('0x%s (directory: %s)', (value, directory, text) => {
    expect(describeEntry(value, directory)).toBe(text)
  })
})

import { describe, expect, it } from 'vitest'
import { DS, ES, FS, SS } from '../layout/x86.ts'
import {
  CODE_SELECTOR,
  DATA,
  DATA_SELECTOR,
  type DescriptorSpec,
  FREE,
  type Ring,
  ProtectedMode,
} from '../testing/protected-mode.ts'

const machine = new ProtectedMode()
const { driver } = machine

describe('loading a data segment register', () => {
  /** [what, ring, descriptor at FREE (or none), selector, outcome of MOV DS, outcome of MOV SS] */
  const table: [string, Ring, DescriptorSpec | null, number, string, string][] = [
    ['null', 0, null, 0, 'ok', '#GP(0)'],
    ['null with an RPL', 3, null, 3, 'ok', '#GP(0)'],
    ['beyond the GDT', 0, null, 0x200, '#GP(200)', '#GP(200)'],
    ['just within the GDT, but not there', 0, null, 0x1f8, '#GP(1f8)', '#GP(1f8)'],
    ['beyond the LDT', 0, null, 0x44, '#GP(44)', '#GP(44)'],
    ['writable data', 0, { kind: 'data' }, FREE, 'ok', 'ok'],
    ['read-only data', 0, { kind: 'data', rw: false }, FREE, 'ok', '#GP(60)'],
    ['expand-down data', 0, { kind: 'data', dc: true, limit: 0xfff }, FREE, 'ok', 'ok'],
    ['readable code', 0, { kind: 'code' }, FREE, 'ok', '#GP(60)'],
    ['execute-only code', 0, { kind: 'code', rw: false }, FREE, '#GP(60)', '#GP(60)'],
    ['conforming code of an inner ring', 3, { kind: 'code', dc: true }, FREE | 3, 'ok', '#GP(60)'],
    ['a TSS', 0, { kind: 'system', type: 9 }, FREE, '#GP(60)', '#GP(60)'],
    ['an LDT', 0, { kind: 'system', type: 2 }, FREE, '#GP(60)', '#GP(60)'],
    ['a call gate', 0, { kind: 'gate', type: 12, selector: 8, offset: 0 }, FREE, '#GP(60)', '#GP(60)'],
    ['data of an inner ring', 3, { kind: 'data' }, FREE | 3, '#GP(60)', '#GP(60)'],
    ['data of an outer ring', 0, { kind: 'data', dpl: 3 }, FREE, 'ok', '#GP(60)'],
    ['an RPL weaker than the DPL', 0, { kind: 'data' }, FREE | 3, '#GP(60)', '#GP(60)'],
    ['an RPL that is no weaker', 1, { kind: 'data', dpl: 2 }, FREE | 2, 'ok', '#GP(60)'],
    ['ring 3, all the same', 3, { kind: 'data', dpl: 3 }, FREE | 3, 'ok', 'ok'],
    ['ring 3 with RPL 0', 3, { kind: 'data', dpl: 3 }, FREE, 'ok', '#GP(60)'],
    ['not present', 0, { kind: 'data', present: false }, FREE, '#NP(60)', '#SS(60)'],
    ['not present and not allowed', 3, { kind: 'data', present: false }, FREE | 3, '#GP(60)', '#GP(60)'],
  ]
  it.each(table)('%s', (_what, ring, spec, selector, ds, ss) => {
    machine.reset(ring)
    if (spec !== null) machine.descriptor(FREE, spec)
    driver.set({ eax: selector })
    expect(machine.attempt('mov ds, ax')).toBe(ds)
    expect(machine.selector(DS)).toBe(ds === 'ok' ? selector : DATA_SELECTOR[ring])
    machine.enter(ring)
    driver.set({ eax: selector })
    expect(machine.attempt('mov ss, ax')).toBe(ss)
    if (ss === 'ok') expect(machine.selector(SS)).toBe(selector)
  })

  it('takes the descriptor from the LDT when the selector says so', () => {
    machine.reset(3).descriptor(0x0c, { kind: 'data', dpl: 3, base: DATA, limit: 0xff })
    driver.write32(DATA + 0xfc, 0x12345678)
    driver.set({ eax: 0x0f, ebx: 0xfc })
    expect(machine.attempt('mov es, ax\n mov ecx, es:[ebx]')).toBe('ok')
    expect(driver.get('ecx')).toBe(0x12345678)
  })

  it('raises #GP(selector) for an LDT selector without an LDT', () => {
    machine.reset()
    driver.set({ eax: 0, ecx: 0x0c })
    expect(machine.attempt('lldt ax\n mov es, cx')).toBe('#GP(c)')
  })

  it('sets the accessed bit, once', () => {
    machine.reset().descriptor(FREE, { kind: 'data', accessed: false })
    expect(machine.descriptorHigh(FREE) & 0x100).toBe(0)
    driver.set({ eax: FREE })
    expect(machine.attempt('mov es, ax')).toBe('ok')
    expect(machine.descriptorHigh(FREE) & 0x100).toBe(0x100)
  })

  it('keeps the hidden part when the table changes under it', () => {
    machine.reset().descriptor(FREE, { kind: 'data', base: DATA })
    driver.write32(DATA, 77)
    driver.set({ eax: FREE, ebx: 0 })
    machine.attempt('mov es, ax')
    machine.descriptor(FREE, { kind: 'data', present: false })
    expect(machine.attempt('mov ecx, es:[ebx]')).toBe('ok')
    expect(driver.get('ecx')).toBe(77)
  })

  it('refuses MOV to CS and to the registers 6 and 7', () => {
    machine.reset()
    for (const modrm of [0xc8, 0xf0, 0xf8]) expect(machine.attempt([0x8e, modrm])).toBe('#UD')
  })

  it.each([
    ['les ecx, [ebx]', ES],
    ['lds ecx, [ebx]', DS],
    ['lfs ecx, [ebx]', FS],
    ['lss ecx, [ebx]', SS],
  ])('%s loads both, or neither', (source, seg) => {
    machine.reset().descriptor(FREE, { kind: 'data' })
    driver.write32(DATA, 0x11223344)
    driver.write32(DATA + 4, FREE)
    driver.set({ ebx: DATA, ecx: 5 })
    expect(machine.attempt(source)).toBe('ok')
    expect([driver.get('ecx'), machine.selector(seg)]).toEqual([0x11223344, FREE])
    machine.reset()
    driver.write32(DATA, 0x11223344)
    driver.write32(DATA + 4, CODE_SELECTOR[0] + 0x1f8)
    driver.set({ ebx: DATA, ecx: 5 })
    expect(machine.attempt(source)).toBe('#GP(200)')
    expect([driver.get('ecx'), machine.selector(seg)]).toEqual([5, DATA_SELECTOR[0]])
  })

  it('POP SS and MOV SS hold interrupts off for one instruction', () => {
    machine.reset()
    driver.eflags = 0x202
    driver.vectors.push(0x40)
    driver.set({ eax: DATA_SELECTOR[0], ecx: 0 })
    // The first INC is still done; the interrupt comes before the second.
    driver.load('mov ss, ax\n inc ecx\n inc ecx\n hlt')
    driver.run(1)
    machine.cpu.setPending(1)
    driver.run(3)
    expect(driver.get('ecx')).toBe(1)
  })
})

describe('the limit of a segment', () => {
  const load = 'mov es, ax'
  /** [what, descriptor, instruction, ebx, outcome] */
  const table: [string, DescriptorSpec, string, number, string][] = [
    ['last byte', { kind: 'data', limit: 0xff }, 'mov cl, es:[ebx]', 0xff, 'ok'],
    ['one byte too far', { kind: 'data', limit: 0xff }, 'mov cl, es:[ebx]', 0x100, '#GP(0)'],
    ['last dword', { kind: 'data', limit: 0xff }, 'mov ecx, es:[ebx]', 0xfc, 'ok'],
    ['dword that sticks out', { kind: 'data', limit: 0xff }, 'mov ecx, es:[ebx]', 0xfd, '#GP(0)'],
    ['page granularity', { kind: 'data', limit: 0, granular: true }, 'mov ecx, es:[ebx]', 0xffc, 'ok'],
    ['page granularity, too far', { kind: 'data', limit: 0, granular: true }, 'mov ecx, es:[ebx]', 0xffd, '#GP(0)'],
    ['expand down, the limit itself', { kind: 'data', dc: true, limit: 0xff }, 'mov cl, es:[ebx]', 0xff, '#GP(0)'],
    ['expand down, above', { kind: 'data', dc: true, limit: 0xff }, 'mov cl, es:[ebx]', 0x100, 'ok'],
    ['expand down 16-bit, top', { kind: 'data', dc: true, limit: 0xff, big: false }, 'mov cl, es:[ebx]', 0xffff, 'ok'],
    ['expand down 16-bit, beyond', { kind: 'data', dc: true, limit: 0xff, big: false }, 'mov cl, es:[ebx]', 0x10000, '#GP(0)'],
    ['write to read-only data', { kind: 'data', rw: false }, 'mov es:[ebx], cl', DATA, '#GP(0)'],
    ['read of read-only data', { kind: 'data', rw: false }, 'mov cl, es:[ebx]', DATA, 'ok'],
    ['write to code', { kind: 'code' }, 'mov es:[ebx], cl', DATA, '#GP(0)'],
  ] // prettier-ignore
  it.each(table)('%s', (_what, spec, source, ebx, outcome) => {
    machine.reset().descriptor(FREE, spec)
    driver.set({ eax: FREE, ebx })
    expect(machine.attempt(`${load}\n ${source}`)).toBe(outcome)
  })

  it('raises #SS(0) for the stack segment', () => {
    machine.reset(3).descriptor(FREE, { kind: 'data', dpl: 3, limit: 0xfff })
    driver.set({ eax: FREE | 3, esp: 0x1000, ebx: 0xffd })
    expect(machine.attempt('mov ss, ax\n push ecx\n pop ecx')).toBe('ok')
    expect(machine.attempt('mov ecx, ss:[ebx]')).toBe('#SS(0)')
    machine.enter(3)
    driver.set({ eax: FREE | 3, esp: 2 })
    expect(machine.attempt('mov ss, ax\n push ecx')).toBe('#SS(0)')
  })

  it('raises #GP(0) for use of a null segment', () => {
    machine.reset(3)
    driver.set({ eax: 0, ebx: DATA })
    expect(machine.attempt('mov es, ax\n mov cl, es:[ebx]')).toBe('#GP(0)')
  })

  it('raises #GP(0) for running past the limit of CS', () => {
    machine.reset(3).descriptor(CODE_SELECTOR[3], { kind: 'code', dpl: 3, limit: 0x10003 })
    machine.enter(3)
    expect(machine.attempt('nop\n nop\n nop\n nop\n nop')).toBe('#GP(0)')
    expect(machine.frame().eip).toBe(0x10004)
  })
})

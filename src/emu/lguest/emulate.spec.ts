import { describe, expect, it } from 'vitest'
import { fakeHypervisor, newGuestA, newGuestC, trap } from '../testing/fake-host.ts'
import { initGuest } from '../testing/guest-memory.ts'
import type { Guest } from './guest.ts'
import { guestStatistics } from './stats.ts'

const { hv } = fakeHypervisor(1)

/** Executes `code` at 0x1500 of an era C Guest, as #GP with `errcode`; returns eax and how far eip went, or -1 if reflected. */
function gp(code: number[], change: Record<string, number> = {}): { eax: number; moved: number } {
  const lg = newGuestC(hv)
  trap(lg, 32, { esp: 0x9000 })
  initGuest(lg)
  lg.setIdtEntry(13, 0x00613333, 0x8e00)
  lg.s.esp1 = 0x9000
  code.forEach((byte, i) => lg.memory.write8(0x1500 + i, byte))
  trap(lg, 13, { eip: 0x1500, eax: 0x12345600, errcode: 0, ...change })
  return { eax: lg.regs.eax, moved: lg.regs.eip === 0x3333 ? -1 : lg.regs.eip - 0x1500 }
}

describe('emulateInsn', () => {
  it.each([
    ['in al, 0x64', [0xe4, 0x64], 0x123456ff, 2],
    ['in eax, 0x64', [0xe5, 0x64], 0xffffffff, 2],
    ['in ax, 0x64', [0x66, 0xe5, 0x64], 0x1234ffff, 3],
    ['in al, dx', [0xec], 0x123456ff, 1],
    ['in eax, dx', [0xed], 0xffffffff, 1],
    ['in ax, dx', [0x66, 0xed], 0x1234ffff, 2],
    ['66 in al, dx', [0x66, 0xec], 0x123456ff, 2],
    ['out 0x80, al', [0xe6, 0x80], 0x12345600, 2],
    ['out dx, eax', [0xef], 0x12345600, 1],
    ['out dx, ax', [0x66, 0xef], 0x12345600, 2],
    ['cli', [0xfa], 0x12345600, 1],
    ['mov eax, dr0', [0x0f, 0x21, 0xc0], 0, 3],
    ['mov eax, dr6', [0x0f, 0x21, 0xf0], 0xffff0ff0, 3],
    ['mov eax, dr7', [0x0f, 0x21, 0xf8], 0x400, 3],
    ['mov ebx, dr7', [0x0f, 0x21, 0xfb], 0x12345600, 3],
    ['mov dr7, eax', [0x0f, 0x23, 0xf8], 0x12345600, 3],
  ])('%s', (_, code, eax, moved) => {
    expect(gp(code)).toEqual({ eax, moved })
  })

  it.each([
    ['sti', [0xfb]],
    ['hlt', [0xf4]],
    ['mov cr0, eax', [0x0f, 0x22, 0xc0]],
    ['insb', [0x6c]],
    ['66 cli', [0x66, 0xfa]],
    ['66 66 in al, dx', [0x66, 0x66, 0xec]],
  ])('reflects %s', (_, code) => {
    expect(gp(code).moved).toBe(-1)
  })

  it('reflects errors with a code, and everything from user mode', () => {
    expect(gp([0xec], { errcode: 0x50 }).moved).toBe(-1)
    expect(gp([0xec], { cs: 0x73, ss: 0x7b }).moved).toBe(-1)
  })

  it('moves a debug register to each general register, esp as well', () => {
    const names = ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi'] as const
    const lg = newGuestC(hv)
    trap(lg, 32)
    initGuest(lg)
    names.forEach((name, number) => {
      ;[0x0f, 0x21, 0xf8 + number].forEach((byte, i) => lg.memory.write8(0x1500 + i, byte))
      trap(lg, 13, { eip: 0x1500, errcode: 0 })
      expect([name, lg.regs[name]]).toEqual([name, 0x400])
    })
  })

  it('era A: in the direct mapping, and no cli', () => {
    const lg: Guest = newGuestA(hv)
    lg.setIdtEntry(13, 0x00613333, (0xc0008e00 | 0) >>> 0)
    lg.memory.write8(0x1500, 0xec)
    lg.memory.write8(0x1501, 0xfa)
    trap(lg, 13, { eip: 0xc0001500, esp: 0xc0009000, errcode: 0, eax: 0 })
    expect([lg.regs.eax, lg.regs.eip]).toEqual([0xff, 0xc0001501])
    trap(lg, 13, { eip: 0xc0001501, errcode: 0 })
    expect(lg.regs.eip).toBe(0xc0003333)
    ;[0x0f, 0x21, 0xf8].forEach((byte, i) => lg.memory.write8(0x1500 + i, byte))
    trap(lg, 13, { eip: 0xc0001500, errcode: 0 })
    expect(lg.regs.eip).toBe(0xc0003333)
    expect(guestStatistics(lg).emulatedInstructions).toBe(1)
  })
})

import { describe, expect, it } from 'vitest'
import { fakeHypervisor, newGuestC } from '../testing/fake-host.ts'
import {
  deadReason,
  hex,
  killGuest,
  lgread,
  lgread32,
  lgreadString,
  lguestAddressOk,
  lgwrite,
  lgwrite32,
  tryWrite32,
} from './guest.ts'

const { host, hv } = fakeHypervisor(1)
const END = 64 * 4096

describe('Guest-physical memory', () => {
  it('ends at pfn_limit, whatever is added', () => {
    const lg = newGuestC(hv)
    expect(lguestAddressOk(lg, END - 4, 4)).toBe(true)
    expect(lguestAddressOk(lg, END - 3, 4)).toBe(false)
    expect(lguestAddressOk(lg, 0xfffffffc, 8)).toBe(false)
    expect(lguestAddressOk(lg, END, 0)).toBe(true)
  })

  it('is the launcher memory, page by page, and appears when touched', () => {
    const lg = newGuestC(hv)
    expect(host.peekUserPage(lg.s.mm, lg.s.mem_base + 0x5000)).toBe(0)
    expect(lgread32(lg, 0x5ffc)).toBe(0)
    lgwrite(lg, 0x5ffe, Uint8Array.of(1, 2, 3, 4))
    const page = host.peekUserPage(lg.s.mm, lg.s.mem_base + 0x6000)
    expect(hv.mem.read16(page)).toBe(0x0403)
    expect(lgread32(lg, 0x5ffe)).toBe(0x04030201)
    expect([...lgread(lg, 0x5ffd, 6)]).toEqual([0, 1, 2, 3, 4, 0])
    expect(host.references(page)).toBe(1) // we keep none
    lgwrite32(lg, 0x5ffe, 0x55667788)
    expect(lgread32(lg, 0x5ffe)).toBe(0x55667788)
    lg.memory.write16(0x5fff, 0xabcd)
    expect(lg.memory.read16(0x5fff)).toBe(0xabcd)
  })

  it('kills for reads and writes outside, with address and length', () => {
    const reader = newGuestC(hv)
    expect(lgread32(reader, END - 2)).toBe(0)
    expect(deadReason(reader)).toBe(`bad read address ${hex(END - 2)} len 4`)
    const writer = newGuestC(hv)
    expect(lgwrite(writer, 0xfffffff0, new Uint8Array(32))).toBe(false)
    expect(deadReason(writer)).toBe('bad write address 0xfffffff0 len 32')
  })

  it('tryWrite32 only says no', () => {
    const lg = newGuestC(hv)
    expect(tryWrite32(lg, 0x5ffe, 0x11223344)).toBe(true)
    expect(lgread32(lg, 0x5ffe)).toBe(0x11223344)
    expect(tryWrite32(lg, END - 2, 1)).toBe(false)
    expect(lg.dead).toBe(false)
  })

  it('strings end at NUL or at the size', () => {
    const lg = newGuestC(hv)
    lgwrite(lg, 0x5000, Uint8Array.from([...'hello\0world'].map((c) => c.charCodeAt(0))))
    expect(lgreadString(lg, 0x5000, 32)).toBe('hello')
    expect(lgreadString(lg, 0x5000, 4)).toBe('hel')
  })
})

describe('killGuest', () => {
  it('keeps the first reason and cuts a long one', () => {
    const lg = newGuestC(hv)
    expect(deadReason(lg)).toBe('')
    killGuest(lg, 'x'.repeat(1000))
    killGuest(lg, 'second')
    expect(deadReason(lg)).toBe('x'.repeat(255))
  })

  it('tells the tracer once', () => {
    const lg = newGuestC(hv)
    const seen: string[] = []
    hv.tracer = { switched: () => {}, hypercall: () => {}, killed: (_, reason) => seen.push(reason) }
    killGuest(lg, 'one')
    killGuest(lg, 'two')
    hv.tracer = undefined
    expect(seen).toEqual(['one'])
  })
})

describe('the view', () => {
  it('can be built again from the address', () => {
    const lg = newGuestC(hv)
    lg.regs.eax = 0x1234
    hv.forget(lg.address)
    const again = hv.guestAt(lg.address)
    expect(again).not.toBe(lg)
    expect(again.regs.eax).toBe(0x1234)
    expect(again.s.guestid).toBe(lg.s.guestid)
  })
})

/** Memory in four address spaces, compared with the bytes of RAM behind it. Looking must change nothing. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { S_CR3 } from '../../emu/layout/cpu-state.ts'
import { LHCALL } from '../../emu/layout/lguest-data.ts'
import { MIB } from '../../emu/layout/memory.ts'
import { findBrokenInvariants } from '../../emu/lguest/invariants.ts'
import type { MemorySpace } from '../../shared/inspect.ts'
import type { EmulatedHost } from '../emulated-host.ts'
import { TestEngine, type TestPup } from '../testing/test-engine.ts'
import { guestPhysical, peekGuestVirtual, readSpace, resolveAddress } from './memory-spaces.ts'

const RAM = 64 * MIB
const GUEST_MEMORY = 16 * MIB
const PAGE_OFFSET = 0xc0000000

let test: TestEngine
let pup: TestPup

beforeEach(async () => {
  test = await TestEngine.start({ cpus: 2, hostRam: 64 })
  pup = await test.pup()
  await test.front.request('debug.pause', {})
})
afterEach(() => test.dispose())

const host = (): EmulatedHost => test.engine.host
const ram = (hpa: number, length: number): Buffer => Buffer.from(host().machine.phys.readBytes(hpa, length))
const word = (hpa: number): number => host().machine.phys.read32(hpa) >>> 0
async function memory(
  space: MemorySpace,
  address: number,
  length: number,
): Promise<{ bytes: Buffer; mapped: boolean[] }> {
  const chunk = await test.front.request('inspect.memory', { space, address, length })
  expect(chunk.address).toBe(address)
  return { bytes: Buffer.from(chunk.bytes, 'base64'), mapped: chunk.mapped }
}
const physical: MemorySpace = { kind: 'hostPhysical' }
const guestPhysicalSpace = (): MemorySpace => ({ kind: 'guestPhysical', guestId: pup.guestId })
const guestVirtual = (): MemorySpace => ({ kind: 'guestVirtual', guestId: pup.guestId })

describe('host-physical memory', () => {
  it('is RAM, byte for byte', async () => {
    const { bytes, mapped } = await memory(physical, 0x1ffe, 0x1004)
    expect(bytes.equals(ram(0x1ffe, 0x1004))).toBe(true)
    expect(mapped).toEqual([true, true, true])
  })

  it('ends where RAM ends', async () => {
    const { bytes, mapped } = await memory(physical, RAM - 8, 16)
    expect(bytes.equals(Buffer.concat([ram(RAM - 8, 8), Buffer.alloc(8)]))).toBe(true)
    expect(mapped).toEqual([true, false])
    expect((await memory(physical, 0xfee00000, 4)).mapped).toEqual([false])
  })

  it('does not begin again at the end of the address space', async () => {
    expect((await memory(physical, 0xffffff00, 0x200)).mapped).toEqual([false, false])
  })
})

describe('a CPU’s memory', () => {
  it('is what its page tables of now lead to', async () => {
    for (const cpu of [0, 1]) {
      const pages = host().hypervisor.cpu(cpu)
      const linear = test.engine.host.machine.cpus[cpu].st[S_CR3]
      expect(linear).not.toBe(0)
      const { lguest } = await test.front.request('inspect.cpu', { cpu })
      const at = (lguest?.pagesLinear ?? 0) + 4096
      const { bytes, mapped } = await memory({ kind: 'cpuVirtual', cpu }, at, 4096)
      expect(mapped).toEqual([true])
      expect(bytes.equals(ram(pages.page1, 4096))).toBe(true)
    }
  })

  it('has gaps, which are marked and read as zeros', async () => {
    const { kernel } = host().computer
    const text = PAGE_OFFSET + kernel.layout.text.hpa
    const { bytes, mapped } = await memory({ kind: 'cpuVirtual', cpu: 0 }, text, 64)
    expect(mapped).toEqual([true])
    expect(bytes.equals(ram(kernel.layout.text.hpa, 64))).toBe(true)
    const gap = await memory({ kind: 'cpuVirtual', cpu: 0 }, 0x70000000 - 4, 8)
    expect(gap.mapped).toEqual([false, false])
    expect(gap.bytes.equals(Buffer.alloc(8))).toBe(true)
  })

  it('goes round at 4 GiB', async () => {
    const { mapped } = await memory({ kind: 'cpuVirtual', cpu: 0 }, 0xffffe000, 0x3000)
    expect(mapped).toHaveLength(3)
    const first = await memory({ kind: 'cpuVirtual', cpu: 0 }, 0, 4096)
    expect(mapped[2]).toBe(first.mapped[0])
  })

  it('needs a CPU that is there', async () => {
    await expect(memory({ kind: 'cpuVirtual', cpu: 5 }, 0, 4)).rejects.toThrow('The host has no CPU 5.')
  })
})

describe('a guest’s memory', () => {
  it('is its launcher’s, page by page where the Host has put it', async () => {
    const start = pup.address('_start') - PAGE_OFFSET
    const { bytes, mapped } = await memory(guestPhysicalSpace(), start, 3 * 4096)
    expect(mapped).toEqual([true, true, true])
    const { lguest } = pup
    for (let page = 0; page < 3; page++) {
      const hpa = lguest.hv.host.peekUserPage(lguest.s.mm, lguest.s.mem_base + start + page * 4096)
      expect(hpa).toBeGreaterThan(0)
      expect(guestPhysical(lguest, start + page * 4096 + 5)).toBe(hpa + 5)
      expect(bytes.subarray(page * 4096, (page + 1) * 4096).equals(ram(hpa, 4096))).toBe(true)
    }
  })

  it('has pages nobody has touched, which looking does not make', async () => {
    const before = { free: host().computer.kernel.allocator.freePages, hash: host().computer.stateHash() }
    const { bytes, mapped } = await memory(guestPhysicalSpace(), GUEST_MEMORY / 2, 65536)
    expect(mapped).toContain(false)
    for (const [page, there] of mapped.entries()) {
      const part = bytes.subarray(page * 4096, (page + 1) * 4096)
      if (!there) expect(part.equals(Buffer.alloc(4096))).toBe(true)
    }
    expect(host().computer.kernel.allocator.freePages).toBe(before.free)
    expect(host().computer.stateHash()).toBe(before.hash)
  })

  it('ends where it ends', async () => {
    // Above its memory are the pages of its devices, and no more.
    const end = pup.lguest.s.pfn_limit * 4096
    expect(end).toBeGreaterThan(GUEST_MEMORY)
    expect(resolveAddress(host(), guestPhysicalSpace(), GUEST_MEMORY)).toBeGreaterThan(0)
    expect((await memory(guestPhysicalSpace(), end, 4)).mapped).toEqual([false])
    expect(guestPhysical(pup.lguest, end)).toBe(-1)
    expect((await memory(guestPhysicalSpace(), 0xfffffffc, 8)).mapped).toEqual([false, false])
  })

  it('at virtual addresses is found by the guest’s own page tables', async () => {
    const lguestData = pup.address('lguest_data')
    const { bytes, mapped } = await memory(guestVirtual(), lguestData - 2, 8)
    expect(mapped).toEqual([true, true])
    const gpa = lguestData - 2 - PAGE_OFFSET
    expect(bytes.equals((await memory(guestPhysicalSpace(), gpa, 8)).bytes)).toBe(true)
    expect(peekGuestVirtual(pup.lguest, lguestData)).toBe(lguestData - PAGE_OFFSET)
    // By the tables as they are in RAM.
    const { gpgdir } = pup.lguest.s.pgdirs.at(pup.lguest.s.pgdidx)
    const pde = word(guestPhysical(pup.lguest, gpgdir) + (lguestData >>> 22) * 4)
    const pte = word(guestPhysical(pup.lguest, pde & ~0xfff) + ((lguestData >>> 12) & 0x3ff) * 4)
    expect(pte & ~0xfff).toBe(lguestData - PAGE_OFFSET - (lguestData & 0xfff))
    const hpa = resolveAddress(host(), guestVirtual(), lguestData)
    expect(hpa).toBe(guestPhysical(pup.lguest, pte & ~0xfff) + (lguestData & 0xfff))
  })

  it('at virtual addresses nothing leads to is marked', async () => {
    expect(await memory(guestVirtual(), 0x80000000, 8)).toEqual({ bytes: Buffer.alloc(8), mapped: [false] })
    expect(peekGuestVirtual(pup.lguest, 0x80000000)).toBe(-1)
    expect((await memory(guestVirtual(), 0xffc00000, 4)).mapped).toEqual([false])
  })

  it('is not made or killed by any look at it', async () => {
    const { lguest } = pup
    const hash = host().computer.stateHash()
    for (const space of [guestVirtual(), guestPhysicalSpace()]) {
      for (let address = 0; address < 2 ** 32; address += 0x00fff000) readSpace(host(), space, address, 8192)
    }
    // A directory that leads outside the guest's memory.
    const pgdir = lguest.s.pgdirs.at(lguest.s.pgdidx)
    const { gpgdir } = pgdir
    pgdir.gpgdir = 0xfffff000
    expect(peekGuestVirtual(lguest, PAGE_OFFSET)).toBe(-1)
    pgdir.gpgdir = gpgdir
    expect(host().computer.stateHash()).toBe(hash)
    expect(lguest.dead).toBe(false)
    expect(findBrokenInvariants(host().hypervisor)).toEqual([])
    await test.front.request('debug.resume', {})
    pup.console.type('echo alive\n')
    await pup.console.until('alive\r\n')
  })

  it('is nobody else’s', async () => {
    await test.front.request('debug.resume', {})
    const two = await test.pup('two')
    await test.front.request('debug.pause', {})
    const data = pup.address('procs')
    const places = [pup, two].map(({ guestId }) => resolveAddress(host(), { kind: 'guestVirtual', guestId }, data))
    expect(new Set(places).size).toBe(2)
    expect(Math.min(...places)).toBeGreaterThan(0)
  })

  it('before the guest has page tables is the same at virtual and physical addresses', async () => {
    await test.front.request('debug.resume', {})
    const spec = { kind: 'hypercall' as const, number: LHCALL.LGUEST_INIT, scope: {} }
    await test.front.request('debug.addBreakpoint', { spec })
    const { guestId } = await test.front.request('guests.create', {
      config: { name: 'early', kind: 'pup', memory: 16 },
      start: true,
    })
    await test.stopped()
    const start = pup.address('_start') - PAGE_OFFSET
    const spaces = ['guestVirtual', 'guestPhysical'] as const
    const [virtual, real] = spaces.map((kind) => resolveAddress(host(), { kind, guestId }, start))
    expect(virtual).toBe(real)
    expect(real).toBeGreaterThan(0)
    expect(resolveAddress(host(), { kind: 'guestVirtual', guestId }, PAGE_OFFSET + start)).toBe(-1)
  })

  it('is not there when the guest does not run', async () => {
    await test.front.request('debug.resume', {})
    await test.front.request('guests.act', { guestId: pup.guestId, action: 'forceOff' })
    await test.front.untilState(pup.guestId, 'stopped')
    const sentence = 'That guest is not running, so it has no memory to look at.'
    await expect(memory(guestVirtual(), PAGE_OFFSET, 4)).rejects.toThrow(sentence)
    await expect(memory({ kind: 'guestPhysical', guestId: 'nobody' }, 0, 4)).rejects.toThrow(sentence)
  })
})

describe('disassembly', () => {
  it('ends where memory ends', async () => {
    const lines = await test.front.request('inspect.disassemble', { space: physical, address: RAM - 3, count: 100 })
    expect(lines.length).toBeGreaterThan(0)
    const last = lines[lines.length - 1]
    expect(last.address + last.bytes.split(' ').length).toBe(RAM)
    const nothing = { space: guestVirtual(), address: 0x80000000, count: 10 }
    expect(await test.front.request('inspect.disassemble', nothing)).toEqual([])
  })

  it('names what the guest calls it', async () => {
    const at = pup.address('sys_fork')
    const [line] = await test.front.request('inspect.disassemble', { space: guestVirtual(), address: at, count: 1 })
    expect(line).toMatchObject({ address: at, symbol: 'sys_fork' })
    const hpa = resolveAddress(host(), guestVirtual(), at)
    const length = line.bytes.split(' ').length
    expect(line.bytes.replaceAll(' ', '')).toBe(ram(hpa, length).toString('hex'))
  })
})

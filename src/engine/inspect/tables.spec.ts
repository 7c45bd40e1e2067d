/** GDT, IDT and TSS as a CPU has them, compared with the bytes in RAM; and which entries the last switch copied. */
import { afterEach, describe, expect, it } from 'vitest'
import { S_CR3, S_GDT_BASE, S_IDT_BASE, S_SEG_BASE } from '../../emu/layout/cpu-state.ts'
import { LHCALL } from '../../emu/layout/lguest-data.ts'
import { LguestRoState, Tss } from '../../emu/layout/lguest-pages.ts'
import { TR } from '../../emu/layout/x86.ts'
import type { TablesSnapshot } from '../../shared/inspect.ts'
import type { EmulatedHost } from '../emulated-host.ts'
import { TestEngine, type TestPup } from '../testing/test-engine.ts'
import { describeDescriptor, describeGate } from './descriptors.ts'

let test: TestEngine
afterEach(() => test.dispose())

const host = (): EmulatedHost => test.engine.host
const tables = (cpu = 0): Promise<TablesSnapshot> => test.front.request('inspect.tables', { cpu })
const word = (hpa: number): number => host().machine.phys.read32(hpa) >>> 0
const page1 = (cpu = 0): number => host().hypervisor.cpu(cpu).page1

async function start(settings: { copy?: 'elide' | 'always' } = {}): Promise<TestPup> {
  test = await TestEngine.start({ cpus: 1, hostRam: 64, ...settings })
  return test.pup()
}

/** Runs until the guest makes hypercall `number`, and then into the guest again, where its tables are the CPU's. */
async function afterHypercall(number: number, console: { type(text: string): void }, text: string): Promise<void> {
  const { id } = await test.front.request('debug.addBreakpoint', { spec: { kind: 'hypercall', number, scope: {} } })
  console.type(text)
  await test.stopped()
  await test.front.request('debug.removeBreakpoint', { breakpointId: id })
  await intoGuest()
}

/** Instruction by instruction, with time standing still. */
async function intoGuest(): Promise<void> {
  for (let n = 0; (await test.front.request('inspect.cpu', { cpu: 0 })).world.kind !== 'guest'; n++) {
    expect(n).toBeLessThan(1000)
    await test.front.request('debug.step', { cpu: 0 })
  }
}

const copied = (entries: TablesSnapshot['gdt']): number[] => entries.filter((e) => e.copied).map(({ index }) => index)
const numbers = (from: number, to: number, ...without: number[]): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i).filter((n) => !without.includes(n))

/** All of the GDT but the Host's own entries; the traps that may go straight to the guest, and system calls. */
const GUEST_GDT = numbers(0, 32, 10, 11, 16, 31)
const DIRECT = [...numbers(0, 32, 7, 13, 14, 31), 0x80]

describe('in a guest', () => {
  it('the tables are those of the CPU’s own pages', async () => {
    const { console } = await start()
    await afterHypercall(LHCALL.NEW_PGTABLE, console, 'uname\n')
    const { gdt, idt, tss } = await tables()
    expect([gdt.length, idt.length]).toEqual([32, 256])
    for (const { index, low, high, description } of gdt) {
      const at = page1() + LguestRoState.offset.guest_gdt + index * 8
      expect([index, low, high]).toEqual([index, word(at), word(at + 4)])
      expect(description).toBe(describeDescriptor(low, high))
    }
    for (const { index, low, high, description } of idt) {
      const at = page1() + LguestRoState.offset.guest_idt + index * 8
      expect([index, low, high]).toEqual([index, word(at), word(at + 4)])
      expect(description).toBe(describeGate(low, high))
    }
    expect(gdt[16].description).toMatch(/^TSS \(busy\) DPL 0, base 0xff/)
    expect(idt[0x80].description).toMatch(/^trap gate DPL 3 to 0x61:0xc010/)
    expect(idt[14].description).toMatch(/^interrupt gate DPL 0 to 0x50:0xffc0/)
    const at = page1() + LguestRoState.offset.guest_tss
    expect(tss.map(({ name, offset }) => [name, offset])).toEqual(Object.entries(Tss.offset))
    for (const { name, offset, value } of tss) {
      const half = name === 'trace' || name === 'io_bitmap_base'
      const bytes = word(at + (offset & ~3)) >>> (8 * (offset & 3))
      expect([name, value]).toEqual([name, half ? bytes & 0xffff : bytes])
    }
    expect(tss.find(({ name }) => name === 'io_bitmap_base')?.value).toBe(104)
    expect(tss.find(({ name }) => name === 'ss0')?.value).toBe(0x58)
  })

  it('the direct gates are those the guest asked for', async () => {
    const { console, address, lguest } = await start()
    await afterHypercall(LHCALL.NEW_PGTABLE, console, 'uname\n')
    const { idt } = await tables()
    const stubs = address('trap_stubs')
    for (const trap of [0, 3, 6, 0x80]) {
      const target = ((idt[trap].low & 0xffff) | (idt[trap].high & 0xffff0000)) >>> 0
      expect([trap, target]).toEqual([trap, stubs + trap * 16])
      expect(idt[trap].high >>> 0).toBe(lguest.s.idt.at(trap).b)
    }
  })
})

describe('what the last switch copied', () => {
  it('is nothing when nothing changed', async () => {
    const { console } = await start()
    await afterHypercall(LHCALL.SET_PTE, console, 'uname\n')
    const { gdt, idt } = await tables()
    expect([copied(gdt), copied(idt)]).toEqual([[], []])
  })

  it('is all of the guest’s in the way before the patch', async () => {
    const { console } = await start({ copy: 'always' })
    await afterHypercall(LHCALL.SET_PTE, console, 'uname\n')
    const { gdt, idt } = await tables()
    expect(copied(gdt)).toEqual(GUEST_GDT)
    expect(copied(idt)).toEqual(DIRECT)
  })

  it('is the IDT when the guest has loaded an entry, and the Host’s tables never', async () => {
    test = await TestEngine.start({ cpus: 1, hostRam: 64 })
    const spec = { kind: 'hypercall' as const, number: LHCALL.LOAD_IDT_ENTRY, scope: {} }
    await test.front.request('debug.addBreakpoint', { spec })
    await test.front.request('guests.create', { config: { name: 'pup', kind: 'pup', memory: 16 }, start: true })
    await test.stopped()
    // Copied already, but the CPU has not left the Host's tables.
    const { st } = host().machine.cpus[0]
    const seen: [boolean, boolean, number[], number[]][] = []
    const own = { gdt: st[S_GDT_BASE], idt: st[S_IDT_BASE] }
    const look = async (): Promise<void> => {
      const { gdt, idt } = await tables()
      const now = [st[S_GDT_BASE] === own.gdt, st[S_IDT_BASE] === own.idt, copied(gdt), copied(idt)] as const
      if (JSON.stringify(seen.at(-1)) !== JSON.stringify(now)) seen.push([...now])
    }
    for (let n = 0; (await test.front.request('inspect.cpu', { cpu: 0 })).world.kind !== 'guest'; n++) {
      expect(n).toBeLessThan(1000)
      await look()
      await test.front.request('debug.step', { cpu: 0 })
    }
    await look()
    expect(seen[0]).toEqual([true, true, [], []])
    expect(seen.at(-1)).toEqual([false, false, [], DIRECT])
    expect(seen).toHaveLength(3)
  })

  it('is the thread-local entries when the guest has loaded those', async () => {
    const { console } = await start()
    await afterHypercall(LHCALL.LOAD_TLS, console, 'selftest tls\n')
    const { gdt, idt } = await tables()
    expect(copied(gdt)).toEqual([6, 7, 8])
    expect(copied(idt)).toEqual([])
  })

  it('is everything when another guest ran in between', async () => {
    const { console, address } = await start()
    const other = await test.pup('two')
    other.console.type('uname\n')
    await other.console.until('$ ')
    await test.quiet()
    const { id } = await test.front.request('debug.addBreakpoint', {
      spec: { kind: 'address', address: address('trap'), scope: {} },
    })
    console.type('uname\n')
    await test.stopped()
    await test.front.request('debug.removeBreakpoint', { breakpointId: id })
    const { gdt, idt } = await tables()
    expect(copied(gdt)).toEqual(GUEST_GDT)
    expect(copied(idt)).toEqual(DIRECT)
  })
})

describe('in the Host', () => {
  it('the tables are the Host’s own, of which nothing is copied', async () => {
    test = await TestEngine.start({ cpus: 2, hostRam: 64, copy: 'always' })
    const { guestId, console } = await test.pup()
    for (const cpu of [0, 1]) {
      await test.front.request('host.migrate', { guestId, cpu })
      console.type('uname\n')
      await console.until('$ ')
    }
    await test.quiet()
    await test.front.request('debug.pause', {})
    for (const cpu of [0, 1]) {
      const { st } = host().machine.cpus[cpu]
      const { gdt, idt, tss } = await tables(cpu)
      expect([...copied(gdt), ...copied(idt)]).toEqual([])
      const space = { kind: 'cpuVirtual' as const, cpu }
      const read = async (address: number, length: number): Promise<Buffer> =>
        Buffer.from((await test.front.request('inspect.memory', { space, address, length })).bytes, 'base64')
      const words = async (base: number, entries: TablesSnapshot['gdt']): Promise<void> => {
        const bytes = await read(base, entries.length * 8)
        for (const { index, low, high } of entries) {
          expect([low, high]).toEqual([bytes.readUInt32LE(index * 8), bytes.readUInt32LE(index * 8 + 4)])
        }
      }
      await words(st[S_GDT_BASE] >>> 0, gdt)
      await words(st[S_IDT_BASE] >>> 0, idt)
      expect(gdt[0].description).toBe('empty')
      expect(idt.some(({ description }) => description.startsWith('interrupt gate DPL 0'))).toBe(true)
      const task = await read(st[S_SEG_BASE + TR] >>> 0, 104)
      expect(tss.find(({ name }) => name === 'esp0')?.value).toBe(task.readUInt32LE(Tss.offset.esp0))
    }
  })

  it('tables that are not in memory are shown as empty, and cost no more than real ones', async () => {
    test = await TestEngine.start({ cpus: 1, hostRam: 64 })
    await test.front.request('debug.pause', {})
    const { fields, st } = host().machine.cpus[0]
    fields.gdt_limit = 0xffff
    fields.idt_limit = 0xffff
    fields.gdt_base = 0x70000000
    st[S_CR3] = 0x00100000
    const { gdt, idt } = await tables()
    expect([gdt.length, idt.length]).toEqual([8192, 256])
    expect(gdt.every(({ description }) => description === 'empty')).toBe(true)
  })
})

/** What the inspector says of a CPU, compared with the bytes of the machine it looks at. */
import { afterEach, describe, expect, it } from 'vitest'
import { S_FPU_REG, S_FPU_STATUS, S_FPU_TAG, S_SEG_ATTR } from '../../emu/layout/cpu-state.ts'
import { LguestRoState, TSS_SELECTOR } from '../../emu/layout/lguest-pages.ts'
import { LguestRegs } from '../../emu/layout/lguest-regs.ts'
import { LHCALL } from '../../emu/layout/lguest-data.ts'
import { CHANGED_IDT } from '../../emu/lguest/guest.ts'
import { cpuStatistics } from '../../emu/lguest/stats.ts'
import type { CpuSnapshot, LguestCpuState } from '../../shared/inspect.ts'
import type { EmulatedHost } from '../emulated-host.ts'
import { TestEngine, type TestPup } from '../testing/test-engine.ts'
import { cpuSnapshot } from './cpu-snapshot.ts'
import { describeAttributes, describeDescriptor } from './descriptors.ts'

let test: TestEngine
afterEach(() => test.dispose())

const host = (): EmulatedHost => test.engine.host
const inspect = (cpu: number): Promise<CpuSnapshot> => test.front.request('inspect.cpu', { cpu })
const pause = (): Promise<unknown> => test.front.request('debug.pause', {})
const word = (hpa: number): number => host().machine.phys.read32(hpa) >>> 0

/** Bytes of registers, in and out, of 29 gates and of 28 descriptors: what the pre-patch way copies. */
const FULL_BYTES = 2 * LguestRegs.size + 29 * 8 + 28 * 8

function lguestOf(snapshot: CpuSnapshot): LguestCpuState {
  if (snapshot.lguest === null) throw new Error('there is no lguest state')
  return snapshot.lguest
}

/** Through the tables at cr3 as they are in RAM; -1 when a page is not there. */
function walk(cr3: number, linear: number): number {
  const pde = word((cr3 & ~0xfff) + (linear >>> 22) * 4)
  if ((pde & 1) === 0) return -1
  if ((pde & 0x80) !== 0) return (pde & 0xffc00000) + (linear & 0x3fffff)
  const pte = word((pde & ~0xfff) + ((linear >>> 12) & 0x3ff) * 4)
  return (pte & 1) === 0 ? -1 : ((pte & 0xfffff000) >>> 0) + (linear & 0xfff)
}

/** A host that stands still in the middle of a program of pup's, on CPU 0. */
async function insideGuest(settings: { copy?: 'elide' | 'always' } = {}): Promise<TestPup> {
  test = await TestEngine.start({ cpus: 1, hostRam: 64, ...settings })
  const pup = await test.pup()
  // Two that compete: a lone one would never come back to the Host.
  pup.console.type('loop 60 &\nloop 60 &\n')
  await pup.console.until('$ ')
  await pup.console.until('$ ')
  for (;;) {
    await pause()
    const { world } = await inspect(0)
    if (world.kind === 'guest' && world.ring === 3) return pup
    await test.front.request('debug.resume', {})
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

describe('the registers', () => {
  it('are those of the state block', async () => {
    const { guestId } = await insideGuest()
    const cpu = host().machine.cpus[0]
    const snapshot = await inspect(0)
    const bytes = new DataView(host().machine.mem.buffer, cpu.stateAddress)
    expect(snapshot.gpr).toEqual(Array.from({ length: 8 }, (_, i) => bytes.getUint32(4 * i, true)))
    expect(snapshot.gpr.some((value) => value > 0x7fffffff)).toBe(true)
    const { eip, cr0, cr2, cr3, cr4, dr, gdt_base, gdt_limit, idt_base, idt_limit } = cpu.fields
    expect(snapshot).toMatchObject({
      cpu: 0,
      time: host().machine.clock.now(),
      retired: cpu.retired,
      world: { kind: 'guest', guestId, guestName: 'pup', ring: cpu.fields.cpl },
      halted: false,
      eip,
      cr: { cr0, cr2, cr3, cr4 },
      dr: Array.from({ length: 8 }, (_, i) => dr.get(i)),
      gdtr: { base: gdt_base, limit: gdt_limit },
      idtr: { base: idt_base, limit: idt_limit },
      counters: cpuStatistics(host().hypervisor, 0),
    })
    expect(snapshot.cr.cr0).toBeGreaterThan(0x7fffffff)
    // Interrupts are on in a guest whatever it thinks, and bit 1 always is.
    expect(snapshot.eflags & 0x202).toBe(0x202)
  })

  it('change with the instruction that is executed', async () => {
    await insideGuest()
    const before = await inspect(0)
    await test.front.request('debug.step', { cpu: 0 })
    const after = await inspect(0)
    expect(after.retired).toBe(before.retired + 1)
    expect(after.eip).not.toBe(before.eip)
  })

  it('have the hidden parts of the descriptors they were loaded from', async () => {
    await insideGuest()
    const { pagesPhysical } = lguestOf(await inspect(0))
    const gdt = pagesPhysical[1] + LguestRoState.offset.guest_gdt
    const { segments } = await inspect(0)
    expect(segments.map(({ name }) => name)).toEqual(['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'])
    for (const { name, selector, base, limit, description } of segments) {
      if (selector === 0) continue
      const [low, high] = [word(gdt + (selector & ~7)), word(gdt + (selector & ~7) + 4)]
      expect([name, `${description}, base 0x${base.toString(16)}, limit 0x${limit.toString(16)}`]).toEqual([
        name,
        describeDescriptor(low, high),
      ])
    }
    const [, cs, , , , , ldtr, tr] = segments
    expect(cs.description).toMatch(/^code r-x 32-bit DPL [13]$/)
    expect(ldtr).toMatchObject({ selector: 0, description: 'unusable' })
    const { pagesLinear } = lguestOf(await inspect(0))
    const tss = pagesLinear + 4096 + LguestRoState.offset.guest_tss
    expect(tr).toMatchObject({ selector: TSS_SELECTOR, base: tss, limit: 103, description: 'TSS (busy) DPL 0' })
  })

  it('are unusable where the state block says so', async () => {
    await insideGuest()
    const { st } = host().machine.cpus[0]
    st[S_SEG_ATTR + 5] = 0
    const [, , , , , gs] = (await inspect(0)).segments
    expect(gs.description).toBe(describeAttributes(0))
  })

  it('of the FPU are numbers a person can read', async () => {
    await insideGuest()
    const { st } = host().machine.cpus[0]
    /** Register of the file, mantissa and sign with exponent. */
    const put = (register: number, high: number, low: number, top: number): void => {
      st.set([low, high, top], S_FPU_REG + register * 4)
    }
    st[S_FPU_STATUS] = 6 << 11
    st[S_FPU_TAG] = 0xc000
    put(6, 0xc0000000, 0, 16383)
    put(7, 0x90000000, 0, 0x8000 | 16384)
    put(0, 0x80000000, 0, 0x7fff)
    put(1, 0x80000000, 0, 0xffff)
    put(2, 0xc0000000, 0, 0x7fff)
    put(3, 0, 0, 0)
    put(4, 0x80000000, 1, 16383 + 63)
    put(5, 0x80000000, 0, 16383 - 10)
    const { fpu } = await inspect(0)
    expect(fpu).toMatchObject({ status: 6 << 11, tag: 0xc000 })
    // ST(0) is register 6; register 7 is tagged empty.
    const expected = ['1.5', 'empty', 'infinity', '-infinity', 'NaN', '0', '9223372036854775809', '0.0009765625']
    expect(fpu.st.map((text) => (text.startsWith('92233720368547') ? '9223372036854775809' : text))).toEqual(expected)
    st[S_FPU_TAG] = 0
    expect((await inspect(0)).fpu.st[1]).toBe('-2.25')
  })
})

describe('whose world a CPU is in', () => {
  it('is the guest’s between the switches, and the Host’s else', async () => {
    const { guestId } = await insideGuest()
    expect((await inspect(0)).world).toEqual({ kind: 'guest', guestId, guestName: 'pup', ring: 3 })
    await test.front.request('debug.stepSwitch', { cpu: 0 })
    await test.stopped()
    expect((await inspect(0)).world.kind).toBe('host')
  })

  it('is nobody’s while it is halted', async () => {
    test = await TestEngine.start({ cpus: 2, hostRam: 64 })
    await test.pup()
    await test.quiet()
    for (const cpu of [0, 1]) {
      expect(await inspect(cpu)).toMatchObject({ halted: true, world: { kind: 'host', where: 'idle' } })
    }
  })

  it('is the guest’s on that CPU only to which it has moved', async () => {
    test = await TestEngine.start({ cpus: 2, hostRam: 64 })
    const { guestId, console } = await test.pup()
    console.type('loop 60 &\n')
    await console.until('$ ')
    for (const [n, cpu] of [1, 0, 1].entries()) {
      await test.front.request('host.migrate', { guestId, cpu })
      await expect.poll(async () => (await inspect(cpu)).world.kind).toBe('guest')
      await pause()
      const other = await inspect(1 - cpu)
      expect(other.world).toEqual({ kind: 'host', where: 'idle' })
      if (n > 0) expect(lguestOf(other).lastGuest).toBe(guestId)
      if (n > 0) expect(lguestOf(other).lastPages).toBe(lguestOf(await inspect(cpu)).pagesLinear)
      await test.front.request('debug.resume', {})
    }
  })
})

describe('what lguest keeps for a CPU', () => {
  it('is the pair of pages, which the page tables show', async () => {
    const { lguest, guestId } = await insideGuest()
    const snapshot = await inspect(0)
    const { pagesLinear, pagesPhysical, regsPage, regsPte, hostCr3, ...rest } = lguestOf(snapshot)
    // In the guest's world the guest's own registers are over page 0, and page 1 cannot be written.
    expect(walk(snapshot.cr.cr3, pagesLinear)).toBe(regsPage)
    expect(walk(snapshot.cr.cr3, pagesLinear + 4096)).toBe(pagesPhysical[1])
    expect(regsPage).toBe(lguest.s.regs_page)
    expect(regsPage).not.toBe(pagesPhysical[0])
    const table = word((snapshot.cr.cr3 & ~0xfff) + 1023 * 4) & ~0xfff
    expect(word(table + ((pagesLinear >>> 12) & 0x3ff) * 4)).toBe(regsPte)
    expect(word(table + (((pagesLinear >>> 12) & 0x3ff) + 1) * 4) & 2).toBe(0)
    // In the Host's world it is page 0.
    expect(hostCr3).toBe(word(pagesPhysical[1] + LguestRoState.offset.host_cr3))
    expect(walk(hostCr3, pagesLinear)).toBe(pagesPhysical[0])
    expect(walk(hostCr3, pagesLinear + 4096)).toBe(pagesPhysical[1])
    expect(rest).toMatchObject({
      lastGuest: guestId,
      lastGuestAddress: lguest.address,
      lastPages: pagesLinear,
      changed: { idt: false, gdt: false, tls: false, bits: 0 },
    })
    await test.front.request('debug.stepSwitch', { cpu: 0 })
    await test.stopped()
    expect((await inspect(0)).cr.cr3).toBe(hostCr3)
  })

  it('is a pair of its own for each CPU', async () => {
    test = await TestEngine.start({ cpus: 3, hostRam: 64 })
    const states = [0, 1, 2].map((cpu) => lguestOf(cpuSnapshot(host(), cpu)))
    const linear = states.map(({ pagesLinear }) => pagesLinear)
    expect(linear.map((pages) => pages - linear[0])).toEqual([0, 8192, 16384])
    expect(new Set(states.flatMap(({ pagesPhysical }) => pagesPhysical)).size).toBe(6)
    for (const state of states) {
      expect(state).toMatchObject({ lastGuest: null, lastGuestAddress: 0, lastPages: 0, lastSwitch: null })
    }
  })

  it('has the registers of a guest that came out at the end of its page', async () => {
    test = await TestEngine.start({ cpus: 1, hostRam: 64 })
    const { console, address } = await test.pup()
    const spec = { kind: 'address' as const, address: address('sys_fork'), scope: {} }
    const { id } = await test.front.request('debug.addBreakpoint', { spec })
    console.type('uname\n')
    await test.stopped()
    await test.front.request('debug.removeBreakpoint', { breakpointId: id })
    // To the last instruction of the guest, and on to the end of the Switcher.
    let inside = cpuSnapshot(host(), 0)
    let now = inside
    for (let n = 0; now.cr.cr3 !== lguestOf(now).hostCr3; n++) {
      expect(n).toBeLessThan(100_000)
      if (now.world.kind === 'guest') inside = now
      host().step(0, 1)
      now = cpuSnapshot(host(), 0)
    }
    const regs = LguestRegs.at(host().machine.phys, lguestOf(now).regsPage + 4096 - LguestRegs.size)
    const [eax, ecx, edx, ebx, esp, ebp, esi, edi] = inside.gpr
    const [es, cs, ss, ds, fs, gs] = inside.segments.map(({ selector }) => selector)
    const general = { eax, ecx, edx, ebx, ebp, esi, edi }
    for (const [name, value] of Object.entries(general)) {
      expect([name, regs[name as keyof typeof general]]).toEqual([name, value])
    }
    expect([regs.esp, regs.eflags & ~0x10000]).toEqual([esp, inside.eflags & ~0x10000])
    expect([regs.es, regs.ds, regs.fs, regs.gs].map((selector) => selector & 0xffff)).toEqual([es, ds, fs, gs])
    expect([regs.cs, regs.ss].map((selector) => selector & 0xffff)).toEqual([cs, ss])
    // A fault comes back to its instruction, a hypercall to the one after it.
    expect([inside.eip, inside.eip + 2]).toContain(regs.eip)
    expect(now.gpr[3]).toBe(regs.trapnum)
  })

  it('forgets the guest when it is gone', async () => {
    test = await TestEngine.start({ cpus: 1, hostRam: 64 })
    const { guestId } = await test.pup()
    await test.front.request('guests.act', { guestId, action: 'forceOff' })
    await test.front.untilState(guestId, 'stopped')
    expect(lguestOf(await inspect(0))).toMatchObject({ lastGuest: null, lastPages: 0, lastSwitch: null })
  })
})

describe('the last switch', () => {
  it('copied what the hypervisor counted, and avoided the rest', async () => {
    test = await TestEngine.start({ cpus: 1, hostRam: 64 })
    const { console } = await test.pup()
    const seen = new Set<number>()
    for (const line of ['uname', 'echo a | cat', 'ls', 'selftest tls']) {
      console.type(`${line}\n`)
      await console.until('$ ')
      await test.quiet()
      const { next } = host().timeline
      const [event] = host().timeline.read(next - 1, 1).events
      const { lastSwitch } = lguestOf(await inspect(0))
      expect(lastSwitch).toEqual({
        trap: event.trap,
        copied: {
          idt: (event.copied & 1) !== 0,
          gdt: (event.copied & 2) !== 0,
          tls: (event.copied & 4) !== 0,
          regs: false,
          bytes: event.bytes,
        },
        avoidedBytes: FULL_BYTES - event.bytes,
      })
      seen.add(event.copied)
    }
    expect(seen.size).toBeGreaterThan(0)
  })

  it('copied everything in the way before the patch', async () => {
    await insideGuest({ copy: 'always' })
    await test.front.request('debug.stepSwitch', { cpu: 0 })
    await test.stopped()
    const { lastSwitch, regsPage, pagesPhysical, pagesLinear } = lguestOf(await inspect(0))
    expect(lastSwitch?.copied).toMatchObject({ idt: true, gdt: true, tls: false, regs: true })
    const { next } = host().timeline
    expect(host().timeline.read(next - 1, 1).events[0]).toMatchObject({ copied: 11, bytes: FULL_BYTES })
    // Then the registers are in page 0 itself, in both worlds.
    expect(regsPage).toBe(pagesPhysical[0])
    expect(walk((await inspect(0)).lguest?.hostCr3 ?? 0, pagesLinear)).toBe(pagesPhysical[0])
  })

  it('follows a change of the IDT by the guest', async () => {
    test = await TestEngine.start({ cpus: 1, hostRam: 64 })
    const changes: { seen: LguestCpuState['changed']; bits: number }[] = []
    const { hypervisor } = host()
    const { tracer } = hypervisor
    let loading = false
    hypervisor.tracer = {
      switched: (...event) => {
        loading = false
        tracer?.switched(...event)
      },
      killed: () => {},
      hypercall: (lg, number) => {
        // Between that one and the next of the queue.
        if (loading) changes.push({ seen: lguestOf(cpuSnapshot(host(), 0)).changed, bits: lg.s.changed })
        loading = number === LHCALL.LOAD_IDT_ENTRY
        tracer?.hypercall(lg, number)
      },
    }
    const breakpoint = { kind: 'hypercall' as const, number: LHCALL.LOAD_IDT_ENTRY, scope: {} }
    const { id } = await test.front.request('debug.addBreakpoint', { spec: breakpoint })
    const { guestId } = await test.front.request('guests.create', {
      config: { name: 'pup', kind: 'pup', memory: 16 },
      start: true,
    })
    expect(await test.stopped()).toMatchObject({ kind: 'breakpoint', id, guestId })
    // The guest is about to be entered again, with what it changed.
    const { lastSwitch, changed } = lguestOf(await inspect(0))
    expect(lastSwitch?.copied.idt).toBe(true)
    expect(changed.bits).toBe(0)
    await test.front.request('debug.removeBreakpoint', { breakpointId: id })
    await test.front.request('debug.resume', {})
    await (await test.front.openConsole(guestId)).until('$ ')
    expect(changes[0].seen.idt).toBe(true)
    for (const { seen, bits } of changes) {
      expect(seen).toEqual({ idt: (bits & CHANGED_IDT) !== 0, gdt: false, tls: false, bits })
    }
  })
})

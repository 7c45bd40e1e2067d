/** The boot for real: CPUs run the Host text from reset, through paging and segments, to idle, and take interrupts there. */
import { beforeEach, describe, expect, it } from 'vitest'
import { Cpu, type CpuBus, type GateFunction } from '../cpu/cpu.ts'
import { run } from '../cpu/run.ts'
import {
  PENDING_INTR,
  PENDING_NMI,
  S_CR0,
  S_CR3,
  S_CR4,
  S_EFLAGS,
  S_EIP,
  S_GDT_BASE,
  S_HALTED,
  S_IDT_BASE,
  S_SEG_ATTR,
  S_SEG_LIMIT,
  S_SEG_SELECTOR,
} from '../layout/cpu-state.ts'
import { LGUEST_CS, TSS_SELECTOR } from '../layout/lguest-pages.ts'
import { MachineMemory, MIB } from '../layout/memory.ts'
import {
  CR0_PG,
  CR0_WP,
  CR4_PSE,
  CS,
  DS,
  EAX,
  EBX,
  EDX,
  ES,
  ESP,
  FLAG_IF,
  FS,
  GS,
  LDTR,
  SS,
  TR,
} from '../layout/x86.ts'
import { readSys32 } from '../mmu/access.ts'
import { peekTranslate } from '../mmu/walk.ts'
import { bootHost, type HostLayout, mapRegionPage } from './boot.ts'
import {
  FRAME_CS,
  FRAME_EFLAGS,
  FRAME_EIP,
  FRAME_ERROR_CODE,
  FRAME_VECTOR,
  HOST_GATES,
  KERNEL_CS,
  KERNEL_DS,
} from './text.ts'

interface Frame {
  cpu: number
  vector: number
  error: number
  eip: number
  cs: number
  eflags: number
}

const mem = new MachineMemory({ cpus: 2, ramSize: 16 * MIB })
const gates = new Map<number, GateFunction>()
const vectors: number[] = []
const bus: CpuBus = {
  acknowledgeInterrupt: (cpu) => {
    const vector = vectors.shift() as number
    if (vectors.length === 0) cpu.clearPending(PENDING_INTR)
    return vector
  },
  readTsc: () => 0,
  portIn: () => -1,
  portOut: () => {},
  mmioRead: () => -1,
  mmioWrite: () => {},
  gateAt: (hpa) => gates.get(hpa),
  shutdown: (cpu) => {
    throw new Error(`triple fault at 0x${(cpu.st[S_EIP] >>> 0).toString(16)}`)
  },
}
const cpus = [0, 1].map((id) => new Cpu(mem, id, bus))
let layout: HostLayout
/** Gates entered, in order. */
let entered: string[]
let frames: Frame[]
/** What a gate does beside being noted. */
let onGate: (name: string, cpu: Cpu) => void

beforeEach(() => {
  gates.clear()
  vectors.length = 0
  entered = []
  frames = []
  onGate = () => {}
  mem.phys.fill(0, 4 * MIB, 0xa5) // RAM is not clean when a computer starts
  layout = bootHost({ mem, phys: mem.phys, cpus })
  for (const name of HOST_GATES) {
    gates.set(layout.gateAddress(name), (cpu) => {
      entered.push(name)
      if (name === 'gate_interrupt') noteFrame(cpu)
      onGate(name, cpu)
    })
  }
})

function noteFrame(cpu: Cpu): void {
  const word = (n: number): number => readSys32(cpu, (cpu.r[ESP] + n * 4) | 0) >>> 0
  frames.push({
    cpu: cpu.id,
    vector: word(FRAME_VECTOR),
    error: word(FRAME_ERROR_CODE),
    eip: word(FRAME_EIP),
    cs: word(FRAME_CS),
    eflags: word(FRAME_EFLAGS),
  })
}

const eip = (cpu: Cpu): number => cpu.st[S_EIP] >>> 0
const selector = (cpu: Cpu, seg: number): number => cpu.st[S_SEG_SELECTOR + seg]

/** Runs until the CPU sleeps in idle. */
function settle(cpu: Cpu): void {
  for (let i = 0; i < 10; i++) {
    run(cpu, 1000)
    if (cpu.st[S_HALTED] !== 0) return
  }
  throw new Error(`CPU ${cpu.id} does not come to rest; it is at 0x${eip(cpu).toString(16)}`)
}

describe('startup', () => {
  it('brings each CPU to gate_booted with its own tables and stack', () => {
    const seen: number[] = []
    onGate = (name, cpu) => {
      if (name !== 'gate_booted') return
      seen.push(cpu.id)
      const own = layout.cpus[cpu.id]
      expect(selector(cpu, CS)).toBe(KERNEL_CS)
      for (const seg of [DS, ES, SS, FS, GS]) expect(selector(cpu, seg)).toBe(KERNEL_DS)
      expect(selector(cpu, TR)).toBe(TSS_SELECTOR)
      expect(cpu.st[S_SEG_ATTR + TR] & 0xf).toBe(0xb) // busy
      expect(cpu.st[S_CR0] & (CR0_PG | CR0_WP)).toBe(CR0_PG | CR0_WP)
      expect(cpu.st[S_CR0] & 0x60000000).toBe(0)
      expect(cpu.st[S_CR3]).toBe(layout.pgd)
      expect(cpu.st[S_CR4]).toBe(CR4_PSE)
      expect(cpu.st[S_GDT_BASE] >>> 0).toBe(own.gdt.base)
      expect(cpu.st[S_IDT_BASE] >>> 0).toBe(layout.idt.base)
      expect(cpu.r[ESP] >>> 0).toBe(own.stackTop)
      expect(eip(cpu)).toBe(layout.text.labels['idle'])
      cpu.requestStop()
    }
    for (const cpu of cpus) run(cpu, 1000)
    expect(seen).toEqual([0, 1])
    expect(layout.cpus[0].stackTop).not.toBe(layout.cpus[1].stackTop)
    expect(layout.cpus[0].gdt.base).not.toBe(layout.cpus[1].gdt.base)
  })

  it("leaves no LDT, which would be in the Guests' memory", () => {
    const [cpu] = cpus
    // As real processors are after a reset (manual 3A, table 9-1): base 0, limit 0xffff, present.
    cpu.st[S_SEG_LIMIT + LDTR] = 0xffff
    cpu.st[S_SEG_ATTR + LDTR] = 0x82
    settle(cpu)
    expect([selector(cpu, LDTR), cpu.st[S_SEG_ATTR + LDTR]]).toEqual([0, 0])
  })

  it('leaves no mapping below 3 GiB, and all of RAM above', () => {
    settle(cpus[0])
    const translate = (linear: number): number => peekTranslate(mem, layout.pgd, CR4_PSE, linear | 0)
    expect(translate(0x1000)).toBe(-1)
    expect(translate(0xc0001234)).toBe(0x1234)
    expect(translate(0xc0000000 + 16 * MIB - 1)).toBe(16 * MIB - 1)
    expect(translate(0xc0000000 + 16 * MIB)).toBe(-1)
  })

  it('goes to idle when the gates say nothing', () => {
    settle(cpus[0])
    expect(entered).toEqual(['gate_booted'])
    expect(eip(cpus[0])).toBe(layout.text.labels['gate_idle'] - 1) // behind hlt, before cli
    expect(cpus[0].st[S_EFLAGS] & FLAG_IF).toBe(FLAG_IF)
  })
})

describe('an interrupt', () => {
  it('in idle comes to gate_interrupt, returns, and the scheduler is asked', () => {
    for (const cpu of cpus) {
      settle(cpu)
      const registers = [...cpu.r]
      entered = []
      vectors.push(0x40)
      cpu.setPending(PENDING_INTR)
      onGate = (name) => {
        if (name !== 'gate_interrupt') return
        expect(selector(cpu, CS)).toBe(LGUEST_CS)
        expect(selector(cpu, DS)).toBe(KERNEL_DS)
        cpu.r[EAX] = 0x1234 // a gate may change registers: the interrupted code must not see it
        expect(cpu.st[S_EFLAGS] & FLAG_IF).toBe(0)
      }
      settle(cpu)
      expect(entered).toEqual(['gate_interrupt', 'gate_idle'])
      expect(frames.at(-1)).toMatchObject({ cpu: cpu.id, vector: 0x40, error: 0, cs: KERNEL_CS })
      expect(selector(cpu, CS)).toBe(KERNEL_CS)
      expect([...cpu.r]).toEqual(registers)
    }
  })

  it('of any vector has its own stub', () => {
    settle(cpus[0])
    for (const vector of [32, 127, 128, 255]) {
      vectors.push(vector)
      cpus[0].setPending(PENDING_INTR)
      settle(cpus[0])
    }
    cpus[0].setPending(PENDING_NMI)
    settle(cpus[0])
    expect(frames.map((frame) => frame.vector)).toEqual([32, 127, 128, 255, 2])
  })

  it('waits in the kernel, and all come in at breathe before gate_breathe', () => {
    settle(cpus[0])
    entered = []
    vectors.push(0x30, 0x31)
    cpus[0].setPending(PENDING_INTR)
    cpus[0].st[S_HALTED] = 0
    cpus[0].st[S_EFLAGS] &= ~FLAG_IF
    cpus[0].st[S_EIP] = layout.text.labels['breathe']
    settle(cpus[0])
    expect(entered).toEqual(['gate_interrupt', 'gate_interrupt', 'gate_breathe'])
    expect(frames.map((frame) => frame.vector)).toEqual([0x30, 0x31])
  })
})

describe('an exception of the Host', () => {
  it('has the same frame, with the error code of the CPU', () => {
    settle(cpus[0])
    const cpu = cpus[0]
    // run_guest_once with a bad far pointer: a read of a page that is not there.
    cpu.r[EDX] = 0x5000
    cpu.st[S_HALTED] = 0
    cpu.st[S_EFLAGS] &= ~FLAG_IF
    cpu.st[S_EIP] = layout.text.labels['run_guest_once']
    onGate = (name) => {
      if (name === 'gate_interrupt') cpu.requestStop()
    }
    run(cpu, 100)
    expect(frames).toHaveLength(1)
    expect(frames[0]).toMatchObject({ vector: 14, error: 0, eip: layout.text.labels['run_guest_once'] + 1 })
  })
})

describe('run_guest_once', () => {
  it('makes a far call whose frame an iretd takes, with eax and ebx as they were, and goes on to breathe', () => {
    settle(cpus[1])
    const cpu = cpus[1]
    entered = []
    // A Switcher that does nothing: iretd, in the hypervisor's region.
    const hpa = layout.allocator.allocZeroedPage(layout.kernelOwner)
    mem.phys.write8(hpa, 0xcf)
    mapRegionPage(layout, mem.phys, 7, hpa, 0x63)
    const { farPointer, stackTop } = layout.cpus[1]
    mem.phys.write32(farPointer, 0xffc07000)
    cpu.r[EDX] = layout.toVirtual(farPointer)
    cpu.r[EAX] = 0x11
    cpu.r[EBX] = 0x22
    cpu.r[ESP] = stackTop
    cpu.st[S_HALTED] = 0
    cpu.st[S_EFLAGS] &= ~FLAG_IF
    cpu.st[S_EIP] = layout.text.labels['run_guest_once']
    const atReturn: number[] = []
    onGate = (name) => {
      if (name === 'gate_guest_returned') {
        atReturn.push(cpu.r[EAX], cpu.r[EBX], cpu.r[ESP] >>> 0, selector(cpu, CS), cpu.st[S_EFLAGS] & FLAG_IF)
      }
    }
    settle(cpu)
    expect(atReturn).toEqual([0x11, 0x22, stackTop, KERNEL_CS, 0])
    expect(entered).toEqual(['gate_guest_returned', 'gate_breathe'])
  })
})

describe('accounting', () => {
  it('charges all the boot has used to the kernel', () => {
    const { allocator, kernelOwner } = layout
    expect(allocator.ownerPages(kernelOwner) + allocator.freePages).toBe(allocator.totalPages)
    expect(allocator.pageOwner(layout.pgd)).toBe(kernelOwner)
    expect(allocator.pageOwner(0)).toBe(kernelOwner)
  })
})

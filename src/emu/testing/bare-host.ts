/**
 * A Host with nothing but what a world switch needs, for the tests of the Switcher: real page tables, GDT, IDT, TSS and a page of i386
 * text, put into RAM by hand; the rest is FakeHost's. The CPU really executes: run_guest_once, the Switcher, the Guest.
 *
 *      0xC0000000   all RAM, by 4 MiB pages           0xFFC00000   the hypervisor's region
 *
 * Host text: run_guest_once calls far through the pointer edx names; its gate gives the CPU back to TypeScript. Each of the 256
 * handlers saves all registers and enters a gate that records the vector.
 */
import { assemble } from '../asm/assembler.ts'
import type { Cpu, CpuBus, GateFunction } from '../cpu/cpu.ts'
import { Cpu as CpuClass } from '../cpu/cpu.ts'
import { run } from '../cpu/run.ts'
import {
  ATTR_BIG,
  ATTR_GRANULARITY,
  ATTR_PRESENT,
  ATTR_RW,
  S_CR0,
  S_CR3,
  S_CR4,
  S_EFLAGS,
  S_EIP,
  S_FLAG_OP,
  S_GDT_BASE,
  S_GDT_LIMIT,
  S_IDT_BASE,
  S_IDT_LIMIT,
  S_SEG_ATTR,
  S_SEG_BASE,
  S_SEG_LIMIT,
  S_SEG_SELECTOR,
} from '../layout/cpu-state.ts'
import { GDT_ENTRIES, GDT_ENTRY_TSS, LGUEST_CS, Tss, TSS_SELECTOR } from '../layout/lguest-pages.ts'
import { CR0_MP, CR0_PG, CR0_WP, CR4_PSE, CS, EAX, EBX, EDX, ESP, PAGE_SIZE, TR } from '../layout/x86.ts'
import { readSys32 } from '../mmu/access.ts'
import { createHypervisor, resumeGuest, runGuest, type RunOutcome } from '../lguest/core.ts'
import type { Guest } from '../lguest/guest.ts'
import type { Hypervisor } from '../lguest/hypervisor.ts'
import { PAGE_KERNEL } from '../lguest/page-tables.ts'
import { FakeHost } from './fake-host.ts'

export const HOST_DIRECT_MAP = 0xc000_0000
const HOST_KERNEL_CS = 0x60
const HOST_KERNEL_DS = 0x68
const DIRECT_MAP_FLAGS = 0xe3 // present, writable, accessed, dirty, 4 MiB
const STACK_TOP = PAGE_SIZE

const HOST_TEXT = `
run_guest_once:
    pushfd
    call far [edx]
run_guest_return:
    gate
host_irq:
    pushad
irq_gate:
    gate
    popad
    add esp, 4
    iretd
stubs:
  .rept 256
stub_\\i:
    push \\i
    jmp host_irq
  .endr
`

export class BareHost extends FakeHost {
  readonly hv: Hypervisor
  readonly pgd: number
  readonly regionTable: number
  readonly gdts: number[]
  readonly idt: number
  readonly text: number
  readonly labels: Readonly<Record<string, number>>
  /** Vectors the Host's handlers saw, in order, and on which CPU. */
  readonly handled: { cpu: number; vector: number }[]
  /** Called by the Host's handlers. */
  onInterrupt: ((cpu: Cpu, vector: number) => void) | undefined
  /** Vector the next interrupt acknowledge gives. */
  interruptVector: number
  /** The Guest a CPU runs, and how its read() ended. */
  readonly current: (Guest | undefined)[]
  readonly outcomes: (RunOutcome | undefined)[]
  /** Called before each time the Guest would be entered again; false stops the CPU instead. */
  onReturn: ((lg: Guest, cpu: Cpu) => boolean) | undefined
  private readonly gates: Map<number, GateFunction>
  private readonly farPointers: number[]
  private readonly stacks: number[]

  constructor(cpus = 1) {
    super(cpus)
    this.handled = []
    this.interruptVector = 0x40
    this.current = []
    this.outcomes = []
    this.gates = new Map()
    const bus: CpuBus = {
      acknowledgeInterrupt: (cpu) => {
        cpu.clearPending(1)
        return this.interruptVector
      },
      readTsc: (cpu) => cpu.fields.retired,
      portIn: () => -1,
      portOut: () => {},
      mmioRead: () => -1,
      mmioWrite: () => {},
      gateAt: (hpa) => this.gates.get(hpa),
      shutdown: (cpu) => {
        throw new Error(`triple fault on CPU ${cpu.id} at 0x${(cpu.st[S_EIP] >>> 0).toString(16)}`)
      },
    }
    this.cpus.splice(0, cpus, ...Array.from({ length: cpus }, (_, id) => new CpuClass(this.machine, id, bus)))

    const owner = this.newOwner()
    const page = (): number => this.allocZeroedPage(owner)
    this.pgd = page()
    this.regionTable = page()
    this.idt = page()
    // Two pages that follow each other, for the text.
    const pages = [page(), page(), page()].sort((a, b) => a - b)
    this.text = pages[0]
    for (let hpa = 0; hpa < this.mem.size; hpa += 0x40_0000) {
      this.mem.write32(this.pgd + ((HOST_DIRECT_MAP + hpa) >>> 22) * 4, hpa | DIRECT_MAP_FLAGS)
    }
    this.mem.write32(this.pgd + 1023 * 4, this.regionTable | PAGE_KERNEL)

    const { bytes, labels } = assemble(HOST_TEXT, { origin: HOST_DIRECT_MAP + this.text })
    this.labels = labels
    this.mem.writeBytes(this.text, bytes)
    this.gates.set(labels['run_guest_return'] - HOST_DIRECT_MAP, (cpu) => this.returned(cpu))
    this.gates.set(labels['irq_gate'] - HOST_DIRECT_MAP, (cpu) => this.interrupted(cpu))
    for (let vector = 0; vector < 256; vector++) {
      const handler = labels[`stub_${vector}`]
      this.mem.write32(this.idt + vector * 8, (LGUEST_CS << 16) | (handler & 0xffff))
      this.mem.write32(this.idt + vector * 8 + 4, (handler & 0xffff0000) | 0x8e00)
    }

    this.gdts = []
    this.farPointers = []
    this.stacks = []
    for (const cpu of this.cpus) this.bootCpu(cpu, page)
    this.hv = createHypervisor(this)
  }

  /** The state a real boot would have reached. */
  private bootCpu(cpu: Cpu, page: () => number): void {
    const gdt = page()
    const tss = page()
    this.gdts.push(gdt)
    this.farPointers.push(tss + 2048)
    this.stacks.push(page())
    const set = (index: number, a: number, b: number): void => {
      this.mem.write32(gdt + index * 8, a)
      this.mem.write32(gdt + index * 8 + 4, b)
    }
    const flatCode = 0x00cf9b00
    const flatData = 0x00cf9300
    for (const index of [10, 12]) set(index, 0xffff, flatCode)
    for (const index of [11, 13]) set(index, 0xffff, flatData)
    const tssLinear = (HOST_DIRECT_MAP + tss) >>> 0
    set(
      GDT_ENTRY_TSS,
      ((tssLinear << 16) | (Tss.size - 1)) >>> 0,
      ((tssLinear & 0xff000000) | 0x8b00 | ((tssLinear >>> 16) & 0xff)) >>> 0, // busy: it is loaded
    )
    cpu.reset(this.labels['run_guest_once'])
    const { st } = cpu
    st[S_CR3] = this.pgd
    st[S_CR4] = CR4_PSE
    st[S_CR0] = 1 | CR0_MP | CR0_WP | CR0_PG
    st[S_GDT_BASE] = HOST_DIRECT_MAP + gdt
    st[S_GDT_LIMIT] = GDT_ENTRIES * 8 - 1
    st[S_IDT_BASE] = HOST_DIRECT_MAP + this.idt
    st[S_IDT_LIMIT] = 2047
    for (let seg = 0; seg < 6; seg++) st[S_SEG_SELECTOR + seg] = seg === CS ? HOST_KERNEL_CS : HOST_KERNEL_DS
    st[S_SEG_SELECTOR + TR] = TSS_SELECTOR
    st[S_SEG_BASE + TR] = tssLinear
    st[S_SEG_LIMIT + TR] = Tss.size - 1
    st[S_SEG_ATTR + TR] = ATTR_PRESENT | 0xb
    st[S_SEG_ATTR + CS] |= ATTR_BIG | ATTR_GRANULARITY | ATTR_RW
  }

  /** Pages whose contents below the stack pointer mean nothing. */
  get stackPages(): number[] {
    return this.stacks
  }

  override mapRegionPage(index: number, hpa: number, flags = PAGE_KERNEL): void {
    super.mapRegionPage(index, hpa)
    this.mem.write32(this.regionTable + index * 4, hpa | flags)
  }

  override mmPgd(): number {
    return this.pgd
  }

  override hostGdt(cpu: number): { base: number; limit: number } {
    return { base: (HOST_DIRECT_MAP + this.gdts[cpu]) >>> 0, limit: GDT_ENTRIES * 8 - 1 }
  }

  override hostIdt(): { base: number; limit: number } {
    return { base: (HOST_DIRECT_MAP + this.idt) >>> 0, limit: 2047 }
  }

  override enterSwitcher(cpu: Cpu, entry: number, eax: number, ebx: number): void {
    super.enterSwitcher(cpu, entry, eax, ebx)
    const pointer = this.farPointers[cpu.id]
    this.mem.write32(pointer, entry)
    this.mem.write16(pointer + 4, LGUEST_CS)
    cpu.r[EAX] = eax
    cpu.r[EBX] = ebx
    cpu.r[EDX] = HOST_DIRECT_MAP + pointer
    cpu.r[ESP] = HOST_DIRECT_MAP + this.stacks[cpu.id] + STACK_TOP
    cpu.st[S_EIP] = this.labels['run_guest_once']
    cpu.st[S_FLAG_OP] = 0
    cpu.st[S_EFLAGS] = 2
  }

  private returned(cpu: Cpu): void {
    const lg = this.current[cpu.id]
    if (lg === undefined) throw new Error(`CPU ${cpu.id} returned from no Guest`)
    const outcome = resumeGuest(lg, cpu)
    this.outcomes[cpu.id] = outcome
    const go = outcome.kind === 'run' && (this.onReturn?.(lg, cpu) ?? true)
    if (!go) cpu.requestStop()
  }

  private interrupted(cpu: Cpu): void {
    // The stack is the Host's, or, when the Switcher was interrupted, page 0 of the pair.
    const vector = readSys32(cpu, (cpu.r[ESP] + 32) | 0)
    this.handled.push({ cpu: cpu.id, vector })
    this.onInterrupt?.(cpu, vector)
  }

  /** Begins a read(): the CPU is about to execute run_guest_once, unless the Guest had nothing to run for. */
  start(lg: Guest, cpuId = 0): RunOutcome {
    this.current[cpuId] = lg
    const outcome = runGuest(lg, this.cpus[cpuId])
    this.outcomes[cpuId] = outcome
    return outcome
  }

  /** Runs until read() ends, or `budget` instructions are over; returns how it ended. */
  runToEnd(lg: Guest, cpuId = 0, budget = 1_000_000): RunOutcome {
    const cpu = this.cpus[cpuId]
    let outcome = this.start(lg, cpuId)
    for (let done = 0; outcome.kind === 'run' && done < budget;) {
      const ran = run(cpu, Math.min(1000, budget - done))
      done += Math.max(ran, 1)
      outcome = this.outcomes[cpuId] as RunOutcome
    }
    return outcome
  }
}

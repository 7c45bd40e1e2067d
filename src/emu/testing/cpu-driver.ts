/**
 * A machine of one CPU for tests: flat protected mode, code at CODE, a stack below STACK_TOP, optionally identity paging
 * with 4 KiB pages. Tests speak of registers and memory, so that the same case can run on another engine.
 */
import { assemble } from '../asm/assembler.ts'
import { Cpu, type CpuBus, type GateFunction } from '../cpu/cpu.ts'
import { getEflags, setEflags } from '../cpu/flags.ts'
import { run } from '../cpu/run.ts'
import { S_CR0, S_CR3, S_EIP, S_HALTED } from '../layout/cpu-state.ts'
import { MachineMemory, MIB } from '../layout/memory.ts'
import { CR0_PG, CR0_WP } from '../layout/x86.ts'

export const CODE = 0x10000
export const DATA = 0x20000
export const STACK_TOP = 0x40000
/** Page directory and tables of the identity mapping (16 MiB). */
export const PAGE_DIRECTORY = 0x80000
const REGISTERS = ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi'] as const
export type RegisterName = (typeof REGISTERS)[number]

export class CpuDriver {
  readonly mem: MachineMemory
  readonly cpu: Cpu
  readonly gates = new Map<number, GateFunction>()
  /** Set by a triple fault. */
  shutDown = false
  /** Answers of interrupt acknowledge, next first. */
  readonly vectors: number[] = []
  /** Port writes, oldest first. */
  readonly portWrites: { port: number; size: number; value: number }[] = []
  ticks = 0

  constructor(ramSize = 16 * MIB) {
    this.mem = new MachineMemory({ cpus: 1, ramSize })
    const bus: CpuBus = {
      acknowledgeInterrupt: (cpu) => {
        const vector = this.vectors.shift() ?? 0xff
        if (this.vectors.length === 0) cpu.clearPending(1)
        return vector
      },
      readTsc: () => this.ticks++,
      portIn: (_cpu, _port, size) => (size === 4 ? -1 : (1 << (8 * size)) - 1),
      portOut: (_cpu, port, size, value) => this.portWrites.push({ port, size, value }),
      mmioRead: () => -1,
      mmioWrite: () => {},
      shutdown: (cpu) => {
        this.shutDown = true
        cpu.st[S_HALTED] = 1
      },
      gateAt: (hpa) => this.gates.get(hpa),
    }
    this.cpu = new Cpu(this.mem, 0, bus)
    this.reset()
  }

  reset(): void {
    this.cpu.reset(CODE)
    this.cpu.r[4] = STACK_TOP
    this.shutDown = false
    setEflags(this.cpu, 2)
  }

  /** Assembles `source` at `at` and puts it there; EIP is set when it is CODE. Returns the labels. */
  load(source: string, at = CODE, symbols: Record<string, number> = {}): Readonly<Record<string, number>> {
    const { bytes, labels } = assemble(source, { origin: at, symbols })
    this.mem.phys.writeBytes(at, bytes)
    if (at === CODE) this.eip = CODE
    return labels
  }

  loadBytes(bytes: readonly number[], at = CODE): void {
    this.mem.phys.writeBytes(at, Uint8Array.from(bytes))
  }

  /** Identity-maps all RAM with 4 KiB pages, present, writable, user; paging on. */
  enablePaging(): void {
    const { phys, ramSize } = this.mem
    const tables = ramSize / (4 * MIB)
    for (let t = 0; t < tables; t++) {
      const table = PAGE_DIRECTORY + 0x1000 * (t + 1)
      phys.write32(PAGE_DIRECTORY + 4 * t, table | 7)
      for (let p = 0; p < 1024; p++) phys.write32(table + 4 * p, (t * 1024 + p) * 0x1000 + 7)
    }
    this.cpu.st[S_CR3] = PAGE_DIRECTORY
    this.cpu.st[S_CR0] |= CR0_PG | CR0_WP
  }

  get(register: RegisterName): number {
    return this.cpu.r[REGISTERS.indexOf(register)] >>> 0
  }
  set(values: Partial<Record<RegisterName, number>>): void {
    for (const [name, value] of Object.entries(values)) this.cpu.r[REGISTERS.indexOf(name as RegisterName)] = value
  }
  get eip(): number {
    return this.cpu.st[S_EIP] >>> 0
  }
  set eip(value: number) {
    this.cpu.st[S_EIP] = value
  }
  get eflags(): number {
    return getEflags(this.cpu)
  }
  set eflags(value: number) {
    setEflags(this.cpu, value)
  }
  read32(hpa: number): number {
    return this.mem.phys.read32(hpa) >>> 0
  }
  write32(hpa: number, value: number): void {
    this.mem.phys.write32(hpa, value)
  }

  /** Runs `count` instructions. */
  run(count: number): number {
    return run(this.cpu, count)
  }

  /** Runs until HLT; fails loudly when that takes more than `limit` instructions. */
  runToHalt(limit = 10_000_000): number {
    const done = run(this.cpu, limit)
    if (this.cpu.st[S_HALTED] === 0) throw new Error(`no HLT after ${done} instructions; eip ${this.eip.toString(16)}`)
    this.cpu.st[S_HALTED] = 0
    return done
  }
}

/**
 * The machine: memory, CPUs, their local APICs, the clock, and the gates. It is hardware only; what it runs is src/emu/host's.
 *
 * A gate is a place in the Host kernel's text where a CPU calls a TypeScript function (ARCHITECTURE.md). The table of gates is
 * part of the text and rebuilt with it, so it is not state.
 */
import { assert } from '../bits/assert.ts'
import { Cpu, type CpuBus, type GateFunction } from '../cpu/cpu.ts'
import { S_CR2, S_CR3, S_EIP } from '../layout/cpu-state.ts'
import { MachineMemory, type PhysMemory } from '../layout/memory.ts'
import { PAGE_SIZE } from '../layout/x86.ts'
import { APIC_BASE, LocalApic } from './apic.ts'
import { type Clock, tscAt } from './clock.ts'

export interface MachineOptions {
  /** 1 to 8. */
  readonly cpus: number
  /** Bytes of RAM, a multiple of 4 MiB. */
  readonly ramSize: number
  readonly clock: Clock
}

/** Named gates, by host-physical address. */
interface Gate {
  readonly name: string
  readonly call: GateFunction
}

export class Machine {
  readonly mem: MachineMemory
  readonly phys: PhysMemory
  readonly cpus: readonly Cpu[]
  readonly apics: readonly LocalApic[]
  readonly clock: Clock
  /** A CPU met a fault it could not deliver. The default ends the machine. */
  onShutdown: (cpu: Cpu) => void
  private readonly gates: Map<number, Gate>

  constructor(options: MachineOptions) {
    this.mem = new MachineMemory(options)
    this.phys = this.mem.phys
    this.clock = options.clock
    this.gates = new Map()
    this.onShutdown = (cpu) => {
      throw new MachineCheck(`CPU ${cpu.id} stopped by a triple fault (${whereIs(cpu)})`)
    }
    const apics: LocalApic[] = []
    const bus = this.bus(apics)
    this.cpus = Array.from({ length: options.cpus }, (_, id) => new Cpu(this.mem, id, bus))
    for (const cpu of this.cpus) apics.push(new LocalApic(cpu, this.clock, apics))
    this.apics = apics
  }

  private bus(apics: readonly LocalApic[]): CpuBus {
    const inApic = (hpa: number): boolean => hpa >= APIC_BASE && hpa < APIC_BASE + PAGE_SIZE
    return {
      acknowledgeInterrupt: (cpu) => apics[cpu.id].acknowledge(),
      readTsc: () => tscAt(this.clock.now()),
      // Nothing is at any port: the Host kernel uses none.
      portIn: (_cpu, _port, size) => (size === 4 ? -1 : (1 << (8 * size)) - 1),
      portOut: () => {},
      mmioRead: (cpu, hpa, size) => {
        if (!inApic(hpa)) return size === 4 ? -1 : (1 << (8 * size)) - 1
        const value = apics[cpu.id].read(hpa - APIC_BASE) >>> (8 * (hpa & 3))
        return size === 4 ? value | 0 : value & ((1 << (8 * size)) - 1)
      },
      mmioWrite: (cpu, hpa, size, value) => {
        // The registers take whole words only (manual 3A, 8.4.1).
        if (inApic(hpa) && size === 4 && (hpa & 3) === 0) apics[cpu.id].write(hpa - APIC_BASE, value)
      },
      shutdown: (cpu) => this.onShutdown(cpu),
      gateAt: (hpa) => this.gates.get(hpa)?.call,
    }
  }

  /** Makes the gate instruction at `hpa` call `call`. */
  registerGate(hpa: number, name: string, call: GateFunction): void {
    assert(!this.gates.has(hpa), `two gates at 0x${hpa.toString(16)}`)
    this.gates.set(hpa, { name, call })
  }

  /** The name of the gate at `hpa`, for the inspector. */
  gateName(hpa: number): string | undefined {
    return this.gates.get(hpa)?.name
  }

  /** The next time a timer expires, ns of the clock; Infinity when none is set. */
  nextAlarm(): number {
    let next = Infinity
    for (const apic of this.apics) next = Math.min(next, apic.deadline)
    return next
  }

  /** Lets all timers expire whose time has come. */
  tick(): void {
    const now = this.clock.now()
    for (const apic of this.apics) apic.tick(now)
  }
}

/** The machine cannot go on. The message says which CPU and where. */
export class MachineCheck extends Error {
  override readonly name = 'MachineCheck'
}

/** A CPU's place, for messages. */
export function whereIs(cpu: Cpu): string {
  const hex = (word: number): string => `0x${(cpu.st[word] >>> 0).toString(16)}`
  return `eip ${hex(S_EIP)}, cr2 ${hex(S_CR2)}, cr3 ${hex(S_CR3)}`
}

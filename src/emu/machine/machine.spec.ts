import { beforeEach, describe, expect, it } from 'vitest'
import { assemble } from '../asm/assembler.ts'
import { EAX, EBX, ECX, EDX, ESP } from '../layout/x86.ts'
import {
  S_IDT_BASE,
  S_IDT_LIMIT,
  S_GDT_BASE,
  S_GDT_LIMIT,
  S_SEG_SELECTOR,
  S_HALTED,
  S_NMI_BLOCKED,
} from '../layout/cpu-state.ts'
import { MIB } from '../layout/memory.ts'
import { APIC_BASE } from './apic.ts'
import { VirtualClock, WallClock } from './clock.ts'
import { LockstepExecutor } from './lockstep.ts'
import { Machine } from './machine.ts'
import { stateHash } from './state-hash.ts'

const CODE = 0x1000
const GDT = 0x8000
const IDT = 0x9000
const DATA = 0xa000

/** A handler counts its vector in memory at DATA + 4 * vector and ends the interrupt by the APIC's register. */
const HANDLERS = `
  .rept 256
handler_\\i:
    push eax
    inc dword [${DATA} + \\i * 4]
    mov eax, ${APIC_BASE + 0xb0}
    mov dword [eax], 0
    pop eax
    iretd
  .endr
`

function machineWith(cpus: number, source: string, clock = new VirtualClock()): Machine {
  const machine = new Machine({ cpus, ramSize: 8 * MIB, clock })
  const { phys } = machine
  const handlers = assemble(HANDLERS, { origin: 0x20000 })
  phys.writeBytes(0x20000, handlers.bytes)
  for (let vector = 0; vector < 256; vector++) {
    const handler = handlers.labels[`handler_${vector}`]
    phys.write32(IDT + vector * 8, (8 << 16) | (handler & 0xffff))
    phys.write32(IDT + vector * 8 + 4, (handler & 0xffff0000) | 0x8e00)
  }
  phys.write32(GDT + 8, 0x0000ffff)
  phys.write32(GDT + 12, 0x00cf9b00)
  phys.write32(GDT + 16, 0x0000ffff)
  phys.write32(GDT + 20, 0x00cf9300)
  const { bytes, labels } = assemble(source, { origin: CODE, symbols: { APIC: APIC_BASE } })
  phys.writeBytes(CODE, bytes)
  for (const cpu of machine.cpus) {
    cpu.reset(labels[`cpu${cpu.id}`] ?? labels['all'])
    cpu.st[S_GDT_BASE] = GDT
    cpu.st[S_GDT_LIMIT] = 23
    cpu.st[S_IDT_BASE] = IDT
    cpu.st[S_IDT_LIMIT] = 2047
    for (let seg = 0; seg < 6; seg++) cpu.st[S_SEG_SELECTOR + seg] = seg === 1 ? 8 : 16
    cpu.r[ESP] = 0x7000 - cpu.id * 0x400
  }
  return machine
}

const counted = (machine: Machine, vector: number): number => machine.phys.read32(DATA + 4 * vector)

describe('lockstep', () => {
  it('gives each CPU the same number of instructions', () => {
    const machine = machineWith(2, 'all: inc eax\n jmp all')
    new LockstepExecutor(machine, 1000).runSlice(10_000)
    expect(machine.cpus.map((cpu) => cpu.fields.retired)).toEqual([10_000, 10_000])
    expect(machine.cpus[1].r[EAX]).toBe(5000)
    expect(machine.clock.now()).toBe(100_000)
  })

  it('gives equal hashes for equal runs and different ones for different runs', () => {
    const source = 'all: rdtsc\n add ebx, eax\n lock xadd [0xb000], ebx\n jmp all'
    const hashes = [5000, 5000, 6000].map((length) => {
      const machine = machineWith(2, source)
      new LockstepExecutor(machine, 100).runSlice(length)
      return stateHash(machine)
    })
    expect(hashes[1]).toBe(hashes[0])
    expect(hashes[2]).not.toBe(hashes[0])
  })

  it('stops in the middle of a round and takes up there', () => {
    const machine = machineWith(2, 'cpu0: inc eax\n jmp cpu0\ncpu1: inc eax\n gate\n jmp cpu1')
    let stops = 0
    machine.registerGate(CODE + 4, 'stop', (cpu) => {
      if (++stops === 3) cpu.requestStop()
    })
    const executor = new LockstepExecutor(machine, 300)
    expect(executor.runSlice(600)).toEqual({ kind: 'stopped', cpu: 1 })
    expect(machine.cpus[1].r[EAX]).toBe(3)
    expect(machine.cpus[0].fields.retired).toBe(300)
    executor.runSlice(300)
    expect(machine.cpus[1].r[EAX]).toBe(100)
    expect(machine.cpus[0].fields.retired).toBe(300)
  })

  it('goes the same way however often a debugger stops it', () => {
    // Each CPU counts, tells the time, sends the other one interrupts; its timer interrupts it all the while.
    const source = `
      cpu0: mov ebp, 0x01000000
        jmp all
      cpu1: mov ebp, 0
      all: mov esi, APIC
        mov dword [esi + 0x320], 0x20060
        mov dword [esi + 0x380], 777
        sti
      again: mov [esi + 0x310], ebp
        mov dword [esi + 0x300], 0x4050
      step: rdtsc
        lock xadd [0xb000], eax
        mov ecx, 5
        mov edi, 0xb100
        rep stosd
        jmp again`
    const end = 1_000_000
    const state = (stops: boolean): string => {
      const machine = machineWith(2, source)
      const at = assemble(source, { origin: CODE, symbols: { APIC: APIC_BASE } }).labels
      const where = [at['step'], at['step'] + 2, at['again']]
      let stopped = 0
      for (const cpu of stops ? machine.cpus : []) {
        let passed = -1
        cpu.debug = {
          mayStop: (linear, bytes) => where.some((stop) => stop >= linear && stop < linear + bytes),
          stopBefore: (_cpu, linear) => {
            if (cpu.retired === passed || !where.includes(linear)) return false
            passed = cpu.retired
            return true
          },
        }
      }
      const executor = new LockstepExecutor(machine, 100)
      while (executor.runWhile(() => machine.clock.now() < end).kind === 'stopped') stopped++
      expect(stopped > 1000).toBe(stops)
      expect(counted(machine, 0x60)).toBeGreaterThan(100)
      return stateHash(machine)
    }
    expect(state(true)).toBe(state(false))
  })

  it('sleeps on when a CPU halted in its NMI handler gets another NMI, and wakes by an interrupt', () => {
    const machine = machineWith(1, 'all: sti\n wait: hlt\n jmp wait')
    const cpu = machine.cpus[0]
    cpu.st[S_NMI_BLOCKED] = 1
    const executor = new LockstepExecutor(machine, 10)
    machine.apics[0].sendNmi()
    expect(executor.runSlice(100)).toEqual({ kind: 'idle', alarm: Infinity })
    machine.apics[0].request(0x50)
    expect(executor.runSlice(100)).toEqual({ kind: 'idle', alarm: Infinity })
    // The handler's IRET ended the blocking, too.
    expect([counted(machine, 0x50), counted(machine, 2)]).toEqual([1, 1])
  })

  it('has no INIT: a CPU that sleeps sleeps on', () => {
    const machine = machineWith(1, 'all: hlt\n jmp all')
    const executor = new LockstepExecutor(machine, 10)
    expect(executor.runSlice(100).kind).toBe('idle')
    machine.apics[0].write(0x300, 0x40500)
    expect(executor.runSlice(100).kind).toBe('idle')
  })

  it('skips the time when all CPUs sleep', () => {
    const machine = machineWith(1, 'all: sti\n hlt\n inc ebx\n jmp all')
    const apic = machine.apics[0]
    apic.setDeadline(50_000_000, 0x40)
    const executor = new LockstepExecutor(machine)
    expect(executor.runSlice(10_000)).toEqual({ kind: 'idle', alarm: Infinity })
    expect(machine.cpus[0].r[EBX]).toBe(1)
    expect(counted(machine, 0x40)).toBe(1)
    expect(machine.clock.now()).toBeGreaterThanOrEqual(50_000_000)
    expect(machine.cpus[0].st[S_HALTED]).toBe(1)
  })

  it('waits for the alarm when time is real', () => {
    let now = 1000
    const machine = new Machine({ cpus: 1, ramSize: 4 * MIB, clock: new WallClock(() => now) })
    machine.cpus[0].st[S_HALTED] = 1
    machine.apics[0].setDeadline(500, 0x40)
    const executor = new LockstepExecutor(machine)
    expect(executor.runSlice(10_000)).toEqual({ kind: 'idle', alarm: 500 })
    now += 600
    machine.cpus[0].st[S_HALTED] = 1
    executor.runSlice(1)
    expect(machine.apics[0].state.requested.get(2)).toBe(1)
  })
})

describe('local APIC', () => {
  let machine: Machine
  beforeEach(() => {
    machine = machineWith(2, 'all: sti\nl: inc ecx\n jmp l')
  })

  it('takes interrupts by priority, one class at a time', () => {
    const [apic] = machine.apics
    for (const vector of [0x41, 0x72, 0x43]) apic.request(vector)
    expect(apic.acknowledge()).toBe(0x72)
    apic.request(0x75) // the class in service: waits
    expect(apic.acknowledge()).toBe(0xff)
    apic.request(0x80)
    expect(apic.acknowledge()).toBe(0x80)
    apic.eoi()
    apic.eoi()
    expect(
      [0, 0, 0].map(() => {
        const vector = apic.acknowledge()
        apic.eoi()
        return vector
      }),
    ).toEqual([0x75, 0x43, 0x41])
  })

  it('holds back what is not above the task priority', () => {
    const [apic] = machine.apics
    apic.write(0x80, 0x50)
    apic.request(0x51)
    const executor = new LockstepExecutor(machine, 100)
    executor.runSlice(100)
    expect(counted(machine, 0x51)).toBe(0)
    apic.write(0x80, 0)
    executor.runSlice(100)
    expect(counted(machine, 0x51)).toBe(1)
  })

  it('refuses illegal vectors', () => {
    machine.apics[0].request(15)
    expect(machine.apics[0].read(0x280)).toBe(0x40)
  })

  it('sends interrupts and NMIs to other CPUs, by its registers', () => {
    machine = machineWith(
      2,
      `cpu0:
        mov eax, APIC + 0x310
        mov dword [eax], 0x01000000
        mov eax, APIC + 0x300
        mov dword [eax], 0x4050
        mov dword [eax], 0x4400
        mov dword [eax], 0xc4060
      a: hlt
        jmp a
      cpu1: sti
      b: inc ecx
        jmp b`,
    )
    new LockstepExecutor(machine, 1000).runSlice(2000)
    expect([0x50, 2, 0x60].map((vector) => counted(machine, vector))).toEqual([1, 1, 1])
    expect(machine.cpus[1].r[ECX]).toBeGreaterThan(100)
  })

  it('counts down once or for ever', () => {
    const executor = new LockstepExecutor(machine, 100)
    const [apic] = machine.apics
    apic.write(0x3e0, 0xb)
    apic.write(0x320, 0x44)
    apic.write(0x380, 10_000)
    executor.runSlice(500)
    expect(apic.read(0x390)).toBe(5000)
    executor.runSlice(5000)
    expect(counted(machine, 0x44)).toBe(1)
    expect(apic.read(0x390)).toBe(0)
    apic.write(0x320, 0x20045)
    apic.write(0x380, 10_000)
    executor.runSlice(10_500)
    expect(counted(machine, 0x45)).toBe(10)
    apic.write(0x320, 0x10045)
    executor.runSlice(5000)
    expect(counted(machine, 0x45)).toBe(10)
  })

  it('shows what is in service, and its own number', () => {
    machine.apics[1].request(0x61)
    machine.apics[1].acknowledge()
    expect(machine.apics[1].read(0x100 + 3 * 16)).toBe(2)
    expect(machine.apics[1].read(0x20)).toBe(1 << 24)
  })

  it('is in the machine at its address for the CPU that asks', () => {
    machine = machineWith(2, `all: mov eax, APIC + 0x20\n mov edx, [eax]\n hlt`)
    new LockstepExecutor(machine).runSlice(100)
    expect(machine.cpus.map((cpu) => cpu.r[EDX])).toEqual([0, 1 << 24])
  })
})

describe('machine', () => {
  it('says where a triple fault was', () => {
    const machine = machineWith(1, 'all: ud2')
    machine.cpus[0].st[S_IDT_LIMIT] = 0
    expect(() => new LockstepExecutor(machine).runSlice(10)).toThrow(/CPU 0 stopped by a triple fault \(eip 0x1000/)
  })

  it('refuses two gates at one address', () => {
    const machine = machineWith(1, 'all: hlt')
    machine.registerGate(CODE, 'one', () => {})
    expect(machine.gateName(CODE)).toBe('one')
    expect(() => machine.registerGate(CODE, 'two', () => {})).toThrow(/two gates/)
  })
})

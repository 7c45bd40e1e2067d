/**
 * A CPU in protected mode with everything a test of the system side needs: a GDT with segments of all four rings, an LDT, a
 * TSS with inner stacks, and an IDT whose 256 gates lead to handlers that do nothing but wait to be looked at. A test changes
 * one thing, attempts an instruction, and reads the outcome as text: "ok", "#GP(28)", "int 30".
 *
 *     0x1000  GDT (see the selectors below, free from 0x60)     0x4000  handlers, 16 bytes each
 *     0x2000  IDT                                               0x8000 - 0xc000  stacks, tops of rings 0 to 3
 *     0x3000  TSS    0x3800  LDT                                0xd000  landing: where far transfers go
 *     0x10000 the code under test                               0x20000 data
 *
 * No paging unless asked. Numbers in outcomes are hexadecimal. Structures: manual 3A, figures 3-8, 5-8, 6-2, 7-2.
 */
import { loadLdt, loadSegment, newDescriptor, readDescriptor, setCodeSegment, setSegment } from '../cpu/segmentation.ts'
import { loadTaskRegister } from '../cpu/task-segment.ts'
import {
  S_CPL,
  S_GDT_BASE,
  S_GDT_LIMIT,
  S_HALTED,
  S_IDT_BASE,
  S_IDT_LIMIT,
  S_SEG_SELECTOR,
} from '../layout/cpu-state.ts'
import { CS, DS, ES, ESP, FS, GS, SS, TRAP_GP, trapHasErrorCode } from '../layout/x86.ts'
import { CODE, CpuDriver, DATA } from './cpu-driver.ts'

export const GDT = 0x1000
export const IDT = 0x2000
export const TSS = 0x3000
export const LDT = 0x3800
export const HANDLERS = 0x4000
export const LANDING = 0xd000
export { CODE, DATA }
/** By ring. */
export const CODE_SELECTOR = [0x08, 0x19, 0x2a, 0x3b] as const
export const DATA_SELECTOR = [0x10, 0x21, 0x32, 0x43] as const
export const STACK_TOPS = [0x9000, 0xa000, 0xb000, 0xc000] as const
export const TSS_SELECTOR = 0x48
export const LDT_SELECTOR = 0x50
/** Descriptors for tests to fill: 0x60, 0x68, ... */
export const FREE = 0x60
const GDT_LIMIT = 0x1ff
const LDT_LIMIT = 0x3f
const NOP = 0x90

export type Ring = 0 | 1 | 2 | 3

export interface SegmentSpec {
  readonly kind: 'data' | 'code'
  readonly dpl?: Ring
  readonly base?: number
  /** In bytes, or in pages with granular. Default: all 4 GiB. */
  readonly limit?: number
  readonly granular?: boolean
  readonly present?: boolean
  /** Data: writable. Code: readable. */
  readonly rw?: boolean
  /** Data: expand down. Code: conforming. */
  readonly dc?: boolean
  readonly accessed?: boolean
  /** D/B. */
  readonly big?: boolean
}

export interface SystemSpec {
  readonly kind: 'system'
  readonly type: number
  readonly dpl?: Ring
  readonly base?: number
  readonly limit?: number
  readonly present?: boolean
}

export interface GateSpec {
  readonly kind: 'gate'
  /** DESC_CALL_GATE32, DESC_INT_GATE32, ... */
  readonly type: number
  readonly selector: number
  readonly offset: number
  readonly dpl?: Ring
  readonly present?: boolean
  /** Parameters a call gate copies. */
  readonly count?: number
}

export type DescriptorSpec = SegmentSpec | SystemSpec | GateSpec

/** A frame on the stack of a handler. esp and ss only when the ring changed. */
export interface Frame {
  readonly error: number | undefined
  readonly eip: number
  readonly cs: number
  readonly eflags: number
  readonly esp: number | undefined
  readonly ss: number | undefined
}

const FAULT_NAMES: Readonly<Record<number, string>> = {
  0: '#DE', 1: '#DB', 2: 'NMI', 3: '#BP', 4: '#OF', 5: '#BR', 6: '#UD', 7: '#NM', 8: '#DF', 10: '#TS', 11: '#NP', 12: '#SS',
  13: '#GP', 14: '#PF', 16: '#MF', 17: '#AC', 18: '#MC',
} // prettier-ignore

/** The two words of a descriptor. */
export function encodeDescriptor(spec: DescriptorSpec): [low: number, high: number] {
  const access = (spec.present === false ? 0 : 0x8000) | ((spec.dpl ?? 0) << 13)
  if (spec.kind === 'gate') {
    const { offset, selector, type, count = 0 } = spec
    return [(selector << 16) | (offset & 0xffff), (offset & 0xffff0000) | access | (type << 8) | count]
  }
  const { base = 0 } = spec
  if (spec.kind === 'system') {
    const { limit = 0xff, type } = spec
    return words(base, limit, access | (type << 8))
  }
  const { limit, rw = true, dc = false, accessed = true, big = true } = spec
  const granular = spec.granular ?? limit === undefined
  const type = (spec.kind === 'code' ? 8 : 0) | (dc ? 4 : 0) | (rw ? 2 : 0) | (accessed ? 1 : 0)
  return words(base, limit ?? 0xfffff, access | 0x1000 | (type << 8) | (big ? 0x400000 : 0) | (granular ? 0x800000 : 0))
}

function words(base: number, limit: number, rest: number): [number, number] {
  return [(base << 16) | (limit & 0xffff), rest | (limit & 0xf0000) | ((base >>> 16) & 0xff) | (base & 0xff000000)]
}

export class ProtectedMode {
  readonly driver = new CpuDriver(4 * 1024 * 1024)
  readonly cpu = this.driver.cpu

  constructor() {
    this.reset()
  }

  /** Everything as the drawing has it, the CPU in `ring` with interrupts off, IOPL 0, data segments of its own ring. */
  reset(ring: Ring = 0): this {
    const { driver, cpu } = this
    driver.mem.phys.writeBytes(0, new Uint8Array(0x30000))
    for (const page of [HANDLERS, LANDING]) driver.mem.phys.writeBytes(page, new Uint8Array(0x1000).fill(NOP))
    driver.vectors.length = 0
    driver.portWrites.length = 0
    driver.reset()
    for (const dpl of [0, 1, 2, 3] as const) {
      this.descriptor(CODE_SELECTOR[dpl], { kind: 'code', dpl })
      this.descriptor(DATA_SELECTOR[dpl], { kind: 'data', dpl })
      if (dpl < 3) {
        driver.write32(TSS + 4 + dpl * 8, STACK_TOPS[dpl])
        driver.write32(TSS + 8 + dpl * 8, DATA_SELECTOR[dpl])
      }
    }
    driver.write32(TSS + 100, 0x680000) // the I/O map begins at the TSS's end: no port is allowed
    this.descriptor(TSS_SELECTOR, { kind: 'system', type: 9, base: TSS, limit: 0x67 })
    this.descriptor(LDT_SELECTOR, { kind: 'system', type: 2, base: LDT, limit: LDT_LIMIT })
    for (let vector = 0; vector < 256; vector++) {
      this.interruptGate(vector, { dpl: vector < 32 ? 0 : 3 })
    }
    cpu.st[S_GDT_BASE] = GDT
    cpu.st[S_GDT_LIMIT] = GDT_LIMIT
    cpu.st[S_IDT_BASE] = IDT
    cpu.st[S_IDT_LIMIT] = 0x7ff
    loadTaskRegister(cpu, TSS_SELECTOR)
    loadLdt(cpu, LDT_SELECTOR)
    this.enter(ring)
    return this
  }

  /** Puts the CPU into a ring by hand, as if it had always been there. */
  enter(ring: Ring): this {
    const { cpu } = this
    const d = newDescriptor()
    readDescriptor(cpu, CODE_SELECTOR[ring], TRAP_GP, d)
    setCodeSegment(cpu, CODE_SELECTOR[ring], d, ring)
    readDescriptor(cpu, DATA_SELECTOR[ring], TRAP_GP, d)
    setSegment(cpu, SS, DATA_SELECTOR[ring], d)
    for (const seg of [DS, ES, FS, GS]) loadSegment(cpu, seg, DATA_SELECTOR[ring])
    cpu.r[ESP] = STACK_TOPS[ring]
    return this
  }

  /** Writes a descriptor into the GDT, or into the LDT when the selector says so. */
  descriptor(selector: number, spec: DescriptorSpec): this {
    const at = ((selector & 4) !== 0 ? LDT : GDT) + (selector & 0xfff8)
    const [low, high] = encodeDescriptor(spec)
    this.driver.write32(at, low)
    this.driver.write32(at + 4, high)
    return this
  }

  /** The second word of a descriptor as it stands in memory. */
  descriptorHigh(selector: number): number {
    return this.driver.read32(((selector & 4) !== 0 ? LDT : GDT) + (selector & 0xfff8) + 4)
  }

  /** Writes a gate into the IDT; by default a 32-bit interrupt gate to the vector's handler in ring 0. */
  interruptGate(vector: number, spec: Partial<Omit<GateSpec, 'kind'>> | SegmentSpec): this {
    const [low, high] =
      'kind' in spec
        ? encodeDescriptor(spec)
        : encodeDescriptor({
            kind: 'gate',
            type: 14,
            selector: CODE_SELECTOR[0],
            offset: HANDLERS + vector * 16,
            ...spec,
          })
    this.driver.write32(IDT + vector * 8, low)
    this.driver.write32(IDT + vector * 8 + 4, high)
    return this
  }

  /**
   * Assembles `source` (or takes machine code) and runs it until it ends, arrives in a handler or at LANDING, or the CPU shuts
   * down. Registers stay as they are; several attempts can follow each other.
   */
  attempt(source: string | readonly number[], symbols: Record<string, number> = {}): string {
    const { driver } = this
    this.cpu.st[S_HALTED] = 0
    if (typeof source === 'string') {
      const { end } = driver.load(`${source}\nend: hlt`, CODE, symbols)
      return this.runTo(end as number)
    }
    driver.loadBytes(source)
    driver.eip = CODE
    return this.runTo(CODE + source.length)
  }

  private runTo(end: number): string {
    const { driver } = this
    for (let i = 0; i < 1000; i++) {
      driver.run(1)
      const { eip } = driver
      if (driver.shutDown) return 'shutdown'
      if (eip === end) return 'ok'
      if (eip >= HANDLERS && eip < HANDLERS + 0x1000) return this.describeHandler((eip - HANDLERS) >> 4)
      if (eip >= LANDING && eip < LANDING + 0x1000) return `at ${eip.toString(16)}`
    }
    throw new Error(`the attempt did not end; eip ${driver.eip.toString(16)}`)
  }

  private describeHandler(vector: number): string {
    const name = FAULT_NAMES[vector]
    if (name === undefined) return `int ${vector.toString(16)}`
    return trapHasErrorCode(vector) ? `${name}(${this.frame(vector).error?.toString(16)})` : name
  }

  /** The frame of the handler just reached. `vector` tells whether there is an error code (16-bit gates: no). */
  frame(vector = (this.driver.eip - HANDLERS) >> 4): Frame {
    const { driver } = this
    let at = driver.get('esp')
    const next = (): number => driver.read32((at += 4) - 4)
    const error = trapHasErrorCode(vector) ? next() : undefined
    const [eip, cs, eflags] = [next(), next() & 0xffff, next()]
    const outer = (cs & 3) !== this.cpl
    return { error, eip, cs, eflags, esp: outer ? next() : undefined, ss: outer ? next() & 0xffff : undefined }
  }

  get cpl(): number {
    return this.cpu.st[S_CPL]
  }

  /** A segment register's selector. */
  selector(seg: number): number {
    return this.cpu.st[S_SEG_SELECTOR + seg] & 0xffff
  }

  /** "cs:eip ss:esp", to compare where a transfer arrived. */
  get place(): string {
    const { driver } = this
    const hex = (value: number): string => value.toString(16)
    return `${hex(this.selector(CS))}:${hex(driver.eip)} ${hex(this.selector(SS))}:${hex(driver.get('esp'))}`
  }

  /** The stack from its top, `count` words of 32 bits. */
  stack(count: number): number[] {
    return Array.from({ length: count }, (_, i) => this.driver.read32(this.driver.get('esp') + 4 * i))
  }

  /** Pushes 32-bit words by hand, the last one on top. */
  push(...values: number[]): this {
    const { driver } = this
    for (const value of values) {
      driver.set({ esp: driver.get('esp') - 4 })
      driver.write32(driver.get('esp'), value)
    }
    return this
  }
}

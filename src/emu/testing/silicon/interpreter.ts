/**
 * The interpreter as a test subject: one CPU set up as the operating system below the oracle has it (guests/silicon/oracle.c
 * draws the pages) - the same selectors, flat user segments, nothing else mapped for the user - with 256 gates that end in HLT.
 * What the oracle learns from its signal frame is read here from the exception frame on the inner stack.
 *
 *     0x40000000  supervisor, linear to physical 0x10000: GDT and LDT, IDT, TSS, 256 handlers 16 bytes apart, stack
 *     0x200000, 0x300000  user: the code page and the data page, physical the same
 */
import { Cpu, type CpuBus } from '../../cpu/cpu.ts'
import { getEflags, setEflags } from '../../cpu/flags.ts'
import { run } from '../../cpu/run.ts'
import { loadSegment } from '../../cpu/segmentation.ts'
import {
  S_CR0,
  S_CR2,
  S_CR3,
  S_EIP,
  S_GDT_BASE,
  S_GDT_LIMIT,
  S_HALTED,
  S_IDT_BASE,
  S_IDT_LIMIT,
  S_SEG_ATTR,
  S_SEG_BASE,
  S_SEG_LIMIT,
  S_SEG_SELECTOR,
} from '../../layout/cpu-state.ts'
import { MachineMemory, MIB } from '../../layout/memory.ts'
import { CR0_PG, CR0_WP, CS, DS, ES, FS, GS, LDTR, SS, TR, trapHasErrorCode } from '../../layout/x86.ts'
import {
  CODE16,
  CODE_PAGE,
  CODE_START,
  DATA_PAGE,
  MAX_INSTRUCTION,
  MEMORY,
  MEMORY_SIZE,
  normalise,
  OPTION_BASED,
  OPTION_CODE16,
  OPTION_STACK16,
  type Selectors,
  STACK16,
  type TestCase,
  type TestResult,
} from './protocol.ts'

const SYSTEM = 0x40000000
const SYSTEM_PHYSICAL = 0x10000
const GDT = 0x0000
const LDT = 0x0800
const IDT = 0x1000
const TSS = 0x2000
const HANDLERS = 0x3000
const STACK_TOP = 0x5000
const SYSTEM_PAGES = 5
const PAGE_DIRECTORY = 0x1000
const LOW_TABLE = 0x2000
const SYSTEM_TABLE = 0x3000
const KERNEL_CS = 0x10
const KERNEL_DS = 0x18
const TSS_SELECTOR = 0x40
const LDT_SELECTOR = 0x48
/** Instructions a case may take: itself, the INT3 behind it, the HLT of the handler. */
const INSTRUCTIONS = 3
const INT3 = 0xcc

const FLAT_CODE_3: Segment = { attr: 0xc0fb, base: 0, limit: 0xfffff }
const FLAT_DATA_3: Segment = { attr: 0xc0f3, base: 0, limit: 0xfffff }
const CODE16_3: Segment = { attr: 0x80fb, base: 0, limit: 0xfffff }
const STACK16_3: Segment = { attr: 0x00f3, base: DATA_PAGE, limit: 0xfff }
interface Segment {
  attr: number
  base: number
  limit: number
}

const bus: CpuBus = {
  acknowledgeInterrupt: () => 0xff,
  readTsc: () => 0,
  portIn: () => -1,
  portOut: () => {},
  mmioRead: () => -1,
  mmioWrite: () => {},
  shutdown: (cpu) => {
    throw new Error(`a case of the silicon tests shut the CPU down at ${(cpu.st[S_EIP] >>> 0).toString(16)}`)
  },
  gateAt: () => undefined,
}

export class InterpreterSubject {
  private readonly mem = new MachineMemory({ cpus: 1, ramSize: 4 * MIB })
  private readonly cpu = new Cpu(this.mem, 0, bus)
  private readonly selectors: Selectors
  /** The state block before a case, by its options. */
  private readonly start: readonly Int32Array[]
  private codeLength = MAX_INSTRUCTION
  private readonly code = new Uint8Array(MAX_INSTRUCTION)

  constructor(selectors: Selectors) {
    this.selectors = selectors
    this.buildTables()
    this.start = Array.from({ length: 8 }, (_, options) => this.startState(options))
  }

  run(test: TestCase): TestResult {
    const { cpu } = this
    const { phys } = this.mem
    this.placeCode(test.code)
    phys.writeBytes(MEMORY, test.memory)
    cpu.st.set(this.start[test.options])
    cpu.r.set(test.gpr)
    setEflags(cpu, test.eflags)
    cpu.refresh()
    for (let left = INSTRUCTIONS; cpu.st[S_HALTED] === 0; left--) {
      if (left < 0) throw new Error('a case of the silicon tests did not come to an end')
      run(cpu, 1)
    }
    return this.result(test)
  }

  /** The instruction, INT3 behind it: a code page is decoded anew after a write, so equal code is left alone. */
  private placeCode(code: Uint8Array): void {
    if (code.length === this.codeLength && code.every((byte, i) => byte === this.code[i])) return
    const bytes = new Uint8Array(MAX_INSTRUCTION).fill(INT3)
    bytes.set(code)
    this.code.set(code)
    this.codeLength = code.length
    this.mem.phys.writeBytes(CODE_START, bytes)
  }

  private result(test: TestCase): TestResult {
    const { cpu } = this
    const { phys } = this.mem
    const vector = ((cpu.st[S_EIP] >>> 0) - SYSTEM - HANDLERS) >> 4
    const hasCode = trapHasErrorCode(vector)
    let at = SYSTEM_PHYSICAL + STACK_TOP - (hasCode ? 24 : 20)
    const errorCode = hasCode ? phys.read32(at) >>> 0 : 0
    if (hasCode) at += 4
    const gpr = Uint32Array.from(cpu.r)
    gpr[4] = phys.read32(at + 12)
    const st = cpu.st
    return normalise(test, {
      gpr,
      eflags: phys.read32(at + 8) >>> 0,
      eip: phys.read32(at) >>> 0,
      vector,
      errorCode,
      cr2: st[S_CR2] >>> 0,
      selectors: Uint32Array.of(...[ES, DS, FS, GS].map((seg) => st[S_SEG_SELECTOR + seg] & 0xffff)),
      memory: phys.readBytes(MEMORY, MEMORY_SIZE),
    })
  }

  private buildTables(): void {
    const { phys } = this.mem
    const { cs, ss, based } = this.selectors
    phys.write32(PAGE_DIRECTORY, LOW_TABLE | 7)
    phys.write32(PAGE_DIRECTORY + (SYSTEM >>> 22) * 4, SYSTEM_TABLE | 3)
    for (const page of [CODE_PAGE, DATA_PAGE]) phys.write32(LOW_TABLE + (page >>> 12) * 4, page | 7)
    for (let i = 0; i < SYSTEM_PAGES; i++) phys.write32(SYSTEM_TABLE + i * 4, (SYSTEM_PHYSICAL + i * 0x1000) | 3)
    phys.writeBytes(CODE_PAGE, new Uint8Array(0x1000).fill(INT3))
    this.writeDescriptor(KERNEL_CS, { attr: 0xc09b, base: 0, limit: 0xfffff })
    this.writeDescriptor(KERNEL_DS, { attr: 0xc093, base: 0, limit: 0xfffff })
    this.writeDescriptor(cs, FLAT_CODE_3)
    this.writeDescriptor(ss, FLAT_DATA_3)
    this.writeDescriptor(based, { attr: 0x50f3, base: DATA_PAGE, limit: 0xfff })
    this.writeDescriptor(TSS_SELECTOR, { attr: 0x008b, base: SYSTEM + TSS, limit: 0x67 })
    this.writeDescriptor(LDT_SELECTOR, { attr: 0x0082, base: SYSTEM + LDT, limit: 0xf })
    this.writeDescriptor(CODE16, CODE16_3)
    this.writeDescriptor(STACK16, STACK16_3)
    phys.write32(SYSTEM_PHYSICAL + TSS + 4, SYSTEM + STACK_TOP)
    phys.write32(SYSTEM_PHYSICAL + TSS + 8, KERNEL_DS)
    phys.write32(SYSTEM_PHYSICAL + TSS + 0x64, 0x680000) // no I/O permission bitmap
    for (let vector = 0; vector < 256; vector++) {
      const handler = SYSTEM + HANDLERS + vector * 16
      // Open to INT n are #BP, #OF and the system call, as on the oracle's operating system.
      const attr = vector === 3 || vector === 4 || vector === 0x80 ? 0xee00 : 0x8e00
      phys.write32(SYSTEM_PHYSICAL + IDT + vector * 8, (KERNEL_CS << 16) | (handler & 0xffff))
      phys.write32(SYSTEM_PHYSICAL + IDT + vector * 8 + 4, (handler & 0xffff0000) | attr)
      phys.writeBytes(SYSTEM_PHYSICAL + HANDLERS + vector * 16, Uint8Array.of(0xf4))
    }
  }

  private writeDescriptor(selector: number, { attr, base, limit }: Segment): void {
    const at = SYSTEM_PHYSICAL + ((selector & 4) !== 0 ? LDT : GDT) + (selector & 0xfff8)
    this.mem.phys.write32(at, (base << 16) | (limit & 0xffff))
    this.mem.phys.write32(at + 4, (base & 0xff000000) | (attr << 8) | (limit & 0xf0000) | ((base >>> 16) & 0xff))
  }

  /** The state block of a user program about to run at CODE_START. */
  private startState(options: number): Int32Array {
    const { cpu } = this
    const { st } = cpu
    const { cs, ss, based } = this.selectors
    const data = options & OPTION_BASED ? based : ss
    cpu.reset(CODE_START)
    st[S_CR3] = PAGE_DIRECTORY
    st[S_CR0] |= CR0_PG | CR0_WP
    st[S_GDT_BASE] = SYSTEM + GDT
    st[S_GDT_LIMIT] = 0x7f
    st[S_IDT_BASE] = SYSTEM + IDT
    st[S_IDT_LIMIT] = 0x7ff
    const hidden = (seg: number, selector: number, { attr, base, limit }: Segment): void => {
      st[S_SEG_SELECTOR + seg] = selector
      st[S_SEG_BASE + seg] = base
      st[S_SEG_LIMIT + seg] = limit
      st[S_SEG_ATTR + seg] = attr
    }
    if (options & OPTION_CODE16) hidden(CS, CODE16, { ...CODE16_3, limit: -1 })
    else hidden(CS, cs, { ...FLAT_CODE_3, limit: -1 })
    if (options & OPTION_STACK16) hidden(SS, STACK16, STACK16_3)
    else hidden(SS, ss, { ...FLAT_DATA_3, limit: -1 })
    hidden(LDTR, LDT_SELECTOR, { attr: 0x82, base: SYSTEM + LDT, limit: 0xf })
    hidden(TR, TSS_SELECTOR, { attr: 0x8b, base: SYSTEM + TSS, limit: 0x67 })
    cpu.setCpl(3)
    cpu.refresh()
    loadSegment(cpu, DS, data)
    loadSegment(cpu, ES, data)
    loadSegment(cpu, FS, based)
    loadSegment(cpu, GS, 0)
    getEflags(cpu)
    return st.slice()
  }
}

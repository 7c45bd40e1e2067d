/**
 * The decode cache: basic blocks by host-physical address, shared by all CPUs of a machine. A block is a run of decoded
 * instructions within one page, up to the first that may change EIP, privilege or paging. TLB flushes and CR3 loads do
 * not touch it; writes to the page do, by 64-byte granules: a write beside code costs a slow write, a write into code
 * drops the page's blocks. Dropping empties a block's list, so a block that modifies itself ends after the instruction.
 *
 * An instruction that crosses a page is a block of its own and belongs to both pages: a write to either drops it, and it is used
 * again only where both are mapped as they were.
 */
import type { CpuState } from '../layout/cpu-state.ts'
import { S_CPL, S_EIP, S_SEG_BASE } from '../layout/cpu-state.ts'
import type { MachineMemory } from '../layout/memory.ts'
import { CS, TRAP_GP, TRAP_UD } from '../layout/x86.ts'
import { translateExec } from '../mmu/access.ts'
import { raiseFault, raiseFaultWithCode } from '../mmu/fault.ts'
import { protectCodePage } from '../mmu/tlb.ts'
import { decode, type Decoded, OPCODE_GATE, TOO_LONG } from './decode.ts'
import type { Handler, Insn } from './insn.ts'

export interface Block {
  readonly insns: Insn[]
  /** Bytes of all instructions. */
  bytes: number
  /** Where the second page begins in RAM when its one instruction crosses into it, else -1. */
  readonly second: number
  /** Where control went last time, and the block there: valid while the generation is the CPU's. */
  nextLinear: number
  nextGeneration: number
  next: Block | null
  /** A second one, for conditional jumps. */
  otherLinear: number
  otherGeneration: number
  other: Block | null
}

interface CodePage {
  readonly blocks32: (Block | undefined)[]
  readonly blocks16: (Block | undefined)[]
  /** The same blocks one after the other: the arrays above are mostly holes. */
  readonly all: Block[]
  /** Instructions that cross into this page from another, whose blocks they are. */
  readonly entering: Set<Block>
  /** One byte a 64-byte granule: some block has bytes there. */
  readonly granules: Uint8Array
}

const MAX_INSNS = 64
/**
 * WRMSR, RDTSC, RDMSR and gates ask what time it is, and virtual time is counted in whole blocks (RunProgress). So each begins a
 * block: what it is told must not depend on where a debugger, or the end of a quantum, has cut the block before it.
 */
const ASKS_TIME: ReadonlySet<number> = new Set([OPCODE_GATE, 0x0f30, 0x0f31, 0x0f32])
/** Thrown by the reader at the page's end. */
const PAGE_END = { kind: 'page end' }

export class CodeCache {
  private readonly mem: MachineMemory
  private readonly pages: (CodePage | undefined)[]
  /** Pages dropped because their code was written. */
  invalidations = 0

  constructor(mem: MachineMemory) {
    this.mem = mem
    this.pages = new Array<CodePage | undefined>(mem.ramSize >>> 12)
    mem.phys.onCodeWrite = (hpa) => this.written(hpa)
    mem.phys.onCodePageWrite = (hpa) => this.dropPage(hpa >>> 12)
  }

  /** The block at the CPU's EIP, decoded if need be. Raises what fetching raises. */
  lookup(cpu: CpuState, linear: number): Block {
    const hpa = translateExec(cpu, linear)
    if (hpa >= this.mem.ramSize) raiseFault(cpu, TRAP_UD)
    const page = this.pages[hpa >>> 12]
    if (page) {
      const block = (cpu.code32 ? page.blocks32 : page.blocks16)[hpa & 0xfff]
      if (block && (block.second < 0 || stillCrosses(cpu, linear, block))) return block
    }
    return this.build(cpu, linear, hpa)
  }

  private build(cpu: CpuState, linear: number, hpa: number): Block {
    const insns: Insn[] = []
    const pageEnd = (hpa | 0xfff) + 1
    let at = hpa
    let second = -1
    while (insns.length < MAX_INSNS && at < pageEnd) {
      let decoded: Decoded
      try {
        decoded = this.decodeAt(cpu, at, pageEnd)
      } catch (end) {
        if (end === TOO_LONG && insns.length > 0) break
        if (end === TOO_LONG) raiseFaultWithCode(cpu, TRAP_GP, 0)
        if (end !== PAGE_END) throw end
        if (insns.length > 0) break
        decoded = this.decodeCrossing(cpu, linear, at, pageEnd)
        second = translateExec(cpu, ((linear | 0xfff) + 1) | 0)
      }
      if (insns.length > 0 && ASKS_TIME.has(decoded.insn.opcode)) break
      insns.push(decoded.insn)
      decoded.insn.back = hpa - at
      at += decoded.insn.length
      if (decoded.endsBlock || second >= 0) break
    }
    const last = insns[insns.length - 1]
    last.back = last.length
    const block: Block = {
      insns,
      bytes: at - hpa,
      second,
      nextLinear: -1,
      nextGeneration: -1,
      next: null,
      otherLinear: -1,
      otherGeneration: -1,
      other: null,
    }
    this.enter(cpu, hpa, Math.min(at, pageEnd), block)
    return block
  }

  /** The page at `hpa`, from now on one with code in the bytes up to `end`. */
  private codePage(hpa: number, end: number): CodePage {
    const number = hpa >>> 12
    let page = this.pages[number]
    if (!page) {
      page = { blocks32: [], blocks16: [], all: [], entering: new Set(), granules: new Uint8Array(64) }
      this.pages[number] = page
      this.mem.phys.codePages[number] = 1
      protectCodePage(this.mem, hpa)
    }
    for (let g = (hpa & 0xfff) >>> 6; g <= ((end - 1) & 0xfff) >>> 6; g++) page.granules[g] = 1
    return page
  }

  private enter(cpu: CpuState, hpa: number, end: number, block: Block): void {
    const page = this.codePage(hpa, end)
    const blocks = cpu.code32 ? page.blocks32 : page.blocks16
    const before = blocks[hpa & 0xfff]
    blocks[hpa & 0xfff] = block
    page.all.push(block)
    if (before) this.forget(page, before)
    if (block.second >= 0) this.codePage(block.second, block.second + block.bytes - (end - hpa)).entering.add(block)
  }

  /** Takes back a crossing instruction that led into another second page, or one that has been written. */
  private forget(page: CodePage, block: Block): void {
    block.insns.length = 0
    page.all.splice(page.all.indexOf(block), 1)
    this.pages[block.second >>> 12]?.entering.delete(block)
  }

  private decodeAt(cpu: CpuState, hpa: number, pageEnd: number): Decoded {
    const phys = this.mem.phys
    const read = (n: number): number => {
      if (hpa + n >= pageEnd) throw PAGE_END
      return phys.read8(hpa + n)
    }
    return finish(decode(read, cpu.code32), hpa)
  }

  /** The one instruction whose bytes go on in the next linear page. */
  private decodeCrossing(cpu: CpuState, linear: number, hpa: number, pageEnd: number): Decoded {
    const phys = this.mem.phys
    const inFirst = pageEnd - hpa
    let second = -1
    const read = (n: number): number => {
      if (n < inFirst) return phys.read8(hpa + n)
      if (second < 0) second = translateExec(cpu, (linear + inFirst) | 0)
      if (second >= this.mem.ramSize) raiseFault(cpu, TRAP_UD)
      return phys.read8(second + n - inFirst)
    }
    try {
      return finish(decode(read, cpu.code32), hpa)
    } catch (error) {
      if (error === TOO_LONG) raiseFaultWithCode(cpu, TRAP_GP, 0)
      throw error
    }
  }

  private written(hpa: number): void {
    const page = this.pages[hpa >>> 12]
    if (page && page.granules[(hpa & 0xfff) >>> 6] !== 0) this.dropPage(hpa >>> 12)
  }

  private dropPage(number: number): void {
    const page = this.pages[number]
    if (!page) return
    this.invalidations++
    for (const block of page.all) {
      block.insns.length = 0
      if (block.second >= 0) this.pages[block.second >>> 12]?.entering.delete(block)
    }
    for (const block of page.entering) block.insns.length = 0
    this.pages[number] = undefined
    this.mem.phys.codePages[number] = 0
  }
}

/** Whether a crossing instruction is as it was: neither page written, the second one mapped as then. Raises #PF. */
function stillCrosses(cpu: CpuState, linear: number, { insns, second }: Block): boolean {
  return insns.length !== 0 && translateExec(cpu, ((linear | 0xfff) + 1) | 0) === second
}

/** A GATE remembers where it is. */
function finish(decoded: Decoded, hpa: number): Decoded {
  if (decoded.insn.opcode === OPCODE_GATE) {
    decoded.insn.exec = gate
    decoded.insn.name = 'gate'
    decoded.insn.imm = hpa
  }
  return decoded
}

const gate: Handler = (cpu, insn) => {
  const call = cpu.st[S_CPL] === 0 ? cpu.bus.gateAt(insn.imm) : undefined
  if (!call) raiseFault(cpu, TRAP_UD)
  call(cpu)
}

/** Linear address of the next instruction. */
export function fetchAddress(cpu: CpuState): number {
  return (cpu.st[S_SEG_BASE + CS] + cpu.st[S_EIP]) | 0
}

const caches = new WeakMap<MachineMemory, CodeCache>()

/** The code cache of a machine's memory. */
export function codeCacheOf(mem: MachineMemory): CodeCache {
  let cache = caches.get(mem)
  if (!cache) caches.set(mem, (cache = new CodeCache(mem)))
  return cache
}

/**
 * A test case in the making: registers, flags and memory with edge values, and the addressing forms. The one hard rule is that a
 * case may touch no memory but its own 64 bytes and what is surely not mapped, on silicon as on the subject.
 *
 *      ModRM 32-bit   [disp32] [r] [r+d8] [r+d32] [r+r*s] [r+r*s+d8] [r+r*s+d32] [r*s+d32] [r] by SIB, esp included
 *      ModRM 16-bit   all eight, through a based segment (FS, or DS and ES with OPTION_BASED)
 *
 * What one instruction needs on top (a stack pointer, a code address in memory, ...) is tuning.ts.
 */
import { AF, CF, DF, OF, PF, SF, ZF } from './compare.ts'
import {
  CODE_PAGE,
  DATA_PAGE,
  EBP,
  EBX,
  EDI,
  ESI,
  ESP,
  MAX_INSTRUCTION,
  MEMORY,
  MEMORY_SIZE,
  OPTION_BASED,
  type Selectors,
  type TestCase,
} from './protocol.ts'
import type { Random } from './random.ts'

export const PREFIX_FS = 0x64
export const PREFIX_GS = 0x65
export const PREFIX_OPERAND = 0x66
export const PREFIX_ADDRESS = 0x67
const OTHER_SEGMENTS = [0x26, 0x2e, 0x36, 0x3e]

const FLAGS_ALWAYS = 0x202
const STATUS_FLAGS = [CF, PF, AF, ZF, SF, OF]

/** Where a memory operand is: the linear address its first byte has, or should have. */
export interface MemoryPlan {
  /** Bytes of the access. */
  readonly bytes: number
  /** Registers the instruction uses besides: not to be part of the address. */
  readonly avoid: readonly number[]
}

export class Draft {
  readonly random: Random
  readonly selectors: Selectors
  readonly opcode: number
  readonly operandSize: 16 | 32
  readonly gpr: Uint32Array
  readonly memory: Uint8Array
  readonly prefixes: number[]
  /** Registers an address is made of: their values may not change any more. */
  readonly locked: Set<number>
  eflags: number
  options: number
  addressSize: 16 | 32
  mod: number
  reg: number
  rm: number
  /** SIB and displacement. */
  tail: number[]
  immediate: number[]
  /** Linear address of the memory operand, -1 without one. */
  address: number

  constructor(random: Random, selectors: Selectors, opcode: number, operandSize: 16 | 32) {
    this.random = random
    this.selectors = selectors
    this.opcode = opcode
    this.operandSize = operandSize
    this.gpr = Uint32Array.from({ length: 8 }, () => random.operand())
    this.gpr[ESP] = MEMORY + random.between(4, 12) * 4
    this.memory = Uint8Array.from({ length: MEMORY_SIZE }, () => random.bits())
    // Whole operands with edge values, so that memory operands are as nasty as registers.
    for (let at = 0; at < MEMORY_SIZE; at += 8) if (random.oneIn(2)) this.store(MEMORY + at, 4, random.operand())
    this.eflags = FLAGS_ALWAYS | (random.oneIn(8) ? DF : 0)
    for (const flag of STATUS_FLAGS) if (random.oneIn(2)) this.eflags |= flag
    this.options = 0
    this.prefixes = operandSize === 16 ? [PREFIX_OPERAND] : []
    this.locked = new Set()
    this.addressSize = 32
    this.mod = -1
    this.reg = 0
    this.rm = 0
    this.tail = []
    this.immediate = []
    this.address = -1
  }

  /** Stores a little-endian value into the case's memory; bytes outside it are dropped. */
  store(address: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) {
      const at = address - MEMORY + i
      if (at >= 0 && at < MEMORY_SIZE) this.memory[at] = value >>> (8 * i)
    }
  }

  load(address: number, size: number): number {
    let value = 0
    for (let i = size - 1; i >= 0; i--) value = ((value << 8) | (this.memory[address - MEMORY + i] ?? 0)) >>> 0
    return value
  }

  /** Sets a register unless an address depends on it; tells whether it did. */
  setRegister(register: number, value: number): boolean {
    if (this.locked.has(register)) return false
    this.gpr[register] = value >>> 0
    return true
  }

  /** An address in the code page well away from the instruction, where INT3 waits. */
  codeAddress(): number {
    return CODE_PAGE + this.random.pick([this.random.between(0, 0x7c0), this.random.between(0x840, 0xfff)])
  }

  setImmediate(value: number, size: number): void {
    for (let i = 0; i < size; i++) this.immediate.push((value >>> (8 * i)) & 0xff)
  }

  useRegisterOperand(rm: number): void {
    this.mod = 3
    this.rm = rm
  }

  /** Chooses an address, a way to write it, and the registers' values that make it so. */
  useMemoryOperand(plan: MemoryPlan, narrow: boolean): void {
    const { random } = this
    const last = MEMORY_SIZE - plan.bytes
    // Now and then over the end of the page, into the one that is not there.
    this.address = MEMORY + (random.oneIn(24) ? last + random.between(1, plan.bytes + 3) : random.between(0, last))
    if (narrow) this.useNarrowAddress(plan)
    else this.useWideAddress(plan)
  }

  private useNarrowAddress(plan: MemoryPlan): void {
    const { random } = this
    this.addressSize = 16
    this.prefixes.push(PREFIX_ADDRESS)
    this.mod = random.below(3)
    this.rm = random.below(8)
    const usesBp = this.rm === 2 || this.rm === 3 || (this.rm === 6 && this.mod !== 0)
    // bp-based addresses are in SS, which is flat: those need an override. The others may go through a based DS.
    if (!usesBp && random.oneIn(3)) this.options |= OPTION_BASED
    else if (random.oneIn(3)) {
      this.options |= OPTION_BASED
      this.prefixes.push(random.pick([0x26, 0x3e]))
    } else this.prefixes.push(PREFIX_FS)
    const offset = this.address - DATA_PAGE
    if (this.mod === 0 && this.rm === 6) {
      this.pushDisplacement(offset, 2)
      return
    }
    const registers = [[EBX, ESI], [EBX, EDI], [EBP, ESI], [EBP, EDI], [ESI], [EDI], [EBP], [EBX]][this.rm] as number[]
    if (registers.some((register) => plan.avoid.includes(register))) {
      // Too rarely in the way to look for another form: bare displacement instead.
      this.mod = 0
      this.rm = 6
      if (usesBp && this.options === 0) this.prefixes[this.prefixes.length - 1] = PREFIX_FS
      this.pushDisplacement(offset, 2)
      return
    }
    const displacement = this.mod === 0 ? 0 : this.mod === 1 ? random.between(-128, 127) : random.operand()
    if (this.mod !== 0) this.pushDisplacement(displacement, this.mod)
    const [first, second] = registers as [number, number?]
    const other = second === undefined ? 0 : (this.gpr[second] as number)
    const value = (offset - displacement - other) & 0xffff
    this.gpr[first] = ((this.gpr[first] as number) & 0xffff0000) | value
    for (const register of registers) this.locked.add(register)
  }

  private useWideAddress(plan: MemoryPlan): void {
    const { random } = this
    let origin = 0
    const segment = random.below(40)
    if (segment < 5) {
      this.prefixes.push(PREFIX_FS)
      origin = DATA_PAGE
    } else if (segment === 5) this.prefixes.push(PREFIX_GS)
    else if (segment < 9) this.prefixes.push(random.pick(OTHER_SEGMENTS))
    const offset = (this.address - origin) >>> 0
    const free = [0, 1, 2, 3, 5, 6, 7].filter((register) => !plan.avoid.includes(register))
    const style = random.below(9)
    this.mod = style % 3 === 0 ? 0 : style % 3
    if (style === 0 || free.length === 0) {
      this.mod = 0
      this.rm = 5
      this.pushDisplacement(offset, 4)
    } else if (style < 4) this.useBase(offset, random.pick(free))
    else if (style < 7) this.useIndexed(offset, free)
    else if (style === 7) {
      // index * scale + disp32, no base
      const index = random.pick(free)
      const scale = random.below(4)
      this.mod = 0
      this.rm = 4
      this.tail.push((scale << 6) | (index << 3) | 5)
      this.pushDisplacement(offset - ((this.gpr[index] as number) << scale), 4)
      this.locked.add(index)
    } else {
      this.useSibWithoutIndex(offset, random.oneIn(2) ? ESP : random.pick(free))
    }
  }

  /** [r] by a SIB byte with index 4: the only way to write esp as a base. Its value stays, the displacement does the work. */
  private useSibWithoutIndex(offset: number, base: number): void {
    const { random } = this
    this.tail.push((random.below(4) << 6) | 0x20 | base)
    if (base === ESP) {
      const displacement = (offset - (this.gpr[ESP] as number)) | 0
      this.mod = displacement >= -128 && displacement <= 127 && random.oneIn(2) ? 1 : 2
      this.pushDisplacement(displacement, this.mod === 1 ? 1 : 4)
      this.locked.add(ESP)
    } else {
      this.mod = random.below(3)
      this.useBase(offset, base)
    }
    this.rm = 4
  }

  private useBase(offset: number, base: number): void {
    if (this.mod === 0 && base === EBP) this.mod = 1
    this.rm = base
    this.gpr[base] = offset - this.chooseDisplacement()
    this.locked.add(base)
  }

  private useIndexed(offset: number, free: readonly number[]): void {
    const { random } = this
    const base = random.pick(free)
    const index = random.pick(free)
    const scale = random.below(4)
    this.rm = 4
    if (this.mod === 0 && base === EBP) this.mod = 2
    this.tail.push((scale << 6) | (index << 3) | base)
    const displacement = this.chooseDisplacement()
    if (base === index) {
      // [r + r*s]: solve r * (1 + s) = offset - disp by moving the rest into a 32-bit displacement.
      this.mod = 2
      this.tail.length = 1
      this.pushDisplacement(offset - (this.gpr[base] as number) - ((this.gpr[base] as number) << scale), 4)
    } else this.gpr[base] = offset - displacement - ((this.gpr[index] as number) << scale)
    this.locked.add(base)
    this.locked.add(index)
  }

  private chooseDisplacement(): number {
    if (this.mod === 0) return 0
    const displacement = this.mod === 1 ? this.random.between(-128, 127) : this.random.operand() | 0
    this.pushDisplacement(displacement, this.mod === 1 ? 1 : 4)
    return displacement
  }

  private pushDisplacement(value: number, size: number): void {
    for (let i = 0; i < size; i++) this.tail.push((value >>> (8 * i)) & 0xff)
  }

  /** Repeats `prefix` until the instruction has 15 bytes. */
  pad(prefix: number): void {
    for (let length = this.bytes().length; length < MAX_INSTRUCTION; length++) this.prefixes.push(prefix)
  }

  private bytes(): number[] {
    const opcode = this.opcode >= 0x100 ? [0x0f, this.opcode & 0xff] : [this.opcode]
    const modrm = this.mod < 0 ? [] : [(this.mod << 6) | (this.reg << 3) | this.rm]
    return [...this.prefixes, ...opcode, ...modrm, ...this.tail, ...this.immediate]
  }

  /** The case, its bytes in order: prefixes, opcode, ModRM, SIB, displacement, immediate. Undefined when longer than 15. */
  finish(): TestCase | undefined {
    const code = Uint8Array.from(this.bytes())
    if (code.length > MAX_INSTRUCTION) return undefined
    return { gpr: this.gpr, eflags: this.eflags, options: this.options, code, memory: this.memory }
  }
}

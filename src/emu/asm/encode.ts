/**
 * Turns a mnemonic with operands into bytes: picks the first form of the instruction table that fits, then writes prefixes,
 * opcode, ModRM, SIB, displacement and immediates.
 *
 *      7   6 5       3 2     0        7     6 5     3 2    0
 *     ┌─────┬─────────┬───────┐      ┌───────┬───────┬──────┐
 *     │ mod │ reg / n │  r/m  │ModRM │ scale │ index │ base │SIB
 *     └─────┴─────────┴───────┘      └───────┴───────┴──────┘
 *
 * Values that depend on labels always take the long form of immediates and displacements, so that only branches change
 * length while assembler.ts settles the addresses. Follows the Intel manual, volume 2, chapter 2.
 */
import { type Expression } from './expression.ts'
import { type Form, formsOf } from './instructions.ts'
import { type MemoryOperand, type Operand, SEGMENT_REGISTERS } from './operands.ts'

/** What an instruction is encoded against; `fail` throws with the statement's line. */
export interface EncodeContext {
  /** Address of the instruction's first byte. */
  readonly address: number
  /** True when a branch may not use its 8-bit form. */
  readonly near: boolean
  /** False while label addresses are still unknown; ranges are then not checked. */
  readonly settled: boolean
  value(expression: Expression): number
  isConstant(expression: Expression): boolean
  /** Called for a branch whose 8-bit form does not reach, when a longer form exists. */
  tooFar(): void
  fail(problem: string): never
}

const SEGMENT_PREFIXES = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]
const BYTE_NUMBERS = /^[0-9a-f]{2}$/

/** Operand size of a matched form's `v` operands: 16, 32, or 0 when it has none. */
type OperandSize = 0 | 16 | 32

/** Encodes one instruction; `prefixes` are the bytes of prefixes written before the mnemonic. */
export function encodeInstruction(
  mnemonic: string,
  prefixes: readonly number[],
  operands: readonly Operand[],
  context: EncodeContext,
): number[] {
  const forms = formsOf(mnemonic)
  if (forms === undefined) return context.fail(`unknown instruction "${mnemonic}"`)
  let ambiguous = false
  for (const form of forms) {
    const size = matchForm(form, operands, context)
    if (size === 'ambiguous') ambiguous = true
    else if (size !== undefined) return emit(form, operands, size, prefixes, context)
  }
  if (ambiguous) return context.fail(`${mnemonic}: say byte, word or dword: the operand size is not known`)
  const given = operands.map(describeOperand).join(', ')
  return context.fail(`${mnemonic} does not take ${given === '' ? 'no operands' : `(${given})`}`)
}

function describeOperand(operand: Operand): string {
  if (operand.kind === 'register') return `${operand.size}-bit register`
  if (operand.kind === 'memory') return operand.size === 0 ? 'memory' : `${operand.size}-bit memory`
  if (operand.kind === 'far') return 'selector:offset'
  return operand.kind === 'immediate' ? 'immediate' : `${operand.kind} register`
}

/** Whether the operands fit the form: undefined, or the operand size, or 'ambiguous' when only the size is missing. */
function matchForm(
  form: Form,
  operands: readonly Operand[],
  context: EncodeContext,
): OperandSize | 'ambiguous' | undefined {
  if (form.operands.length !== operands.length) return undefined
  const wantsSize = form.operands.some((pattern) => pattern.endsWith('v'))
  let size = 0
  let unsized = false
  let unsizedByte = false
  let byteKnown = false
  for (const [i, pattern] of form.operands.entries()) {
    const operand = operands[i] as Operand
    const own = operandSize(operand)
    if (own === 8 && /^(r8|rm8|al|imm8)$/.test(pattern)) byteKnown = true
    if (operand.kind === 'memory' && own === 0) {
      if (pattern.endsWith('v')) unsized = true
      if (/^r?m8$/.test(pattern)) unsizedByte = true
    }
    if (pattern.endsWith('v') && own !== 0) {
      if (own !== 16 && own !== 32 && !(operand.kind === 'immediate' && own === 8)) return undefined
      if (size !== 0 && own !== 8 && own !== size) return undefined
      if (own !== 8) size = own
    }
  }
  // A constant picks its form by value at the operand size, so sizes are settled before patterns are tried.
  const effective: OperandSize = wantsSize ? (size === 16 ? 16 : 32) : 0
  for (const [i, pattern] of form.operands.entries()) {
    if (!matchPattern(pattern, operands[i] as Operand, effective, context)) return undefined
  }
  if ((unsized && size === 0) || (unsizedByte && !byteKnown)) return 'ambiguous'
  return effective
}

function operandSize(operand: Operand): number {
  return 'size' in operand ? operand.size : 0
}

function matchPattern(pattern: string, operand: Operand, size: OperandSize, context: EncodeContext): boolean {
  const segment = SEGMENT_REGISTERS.indexOf(pattern)
  if (segment >= 0) return operand.kind === 'segment' && operand.number === segment
  switch (pattern) {
    case 'al':
      return isRegister(operand, 8, 0)
    case 'ax':
      return isRegister(operand, 16, 0)
    case 'eax':
      return isRegister(operand, 32, 0)
    case 'accv':
      return isRegister(operand, size, 0)
    case 'cl':
      return isRegister(operand, 8, 1)
    case 'dx':
      return isRegister(operand, 16, 2)
    case 'sreg':
      return operand.kind === 'segment'
    case 'creg':
      return operand.kind === 'control'
    case 'dreg':
      return operand.kind === 'debug'
    case 'st':
      return operand.kind === 'st'
    case 'far':
      return operand.kind === 'far'
    case 'mfar':
      return operand.kind === 'memory' && operand.far
    case 'm':
      return operand.kind === 'memory'
    case '1':
      return operand.kind === 'immediate' && context.isConstant(operand.value) && context.value(operand.value) === 1
    case 'rel8':
      return operand.kind === 'immediate' && operand.reach !== 'near' && !context.near
    case 'rel32':
      return operand.kind === 'immediate' && operand.reach !== 'short'
    case 'moffs8':
      return isPlainAddress(operand) && (operandSize(operand) === 8 || operandSize(operand) === 0)
    case 'moffsv':
      return isPlainAddress(operand) && (operandSize(operand) === size || operandSize(operand) === 0)
  }
  return matchSized(pattern, operand, size, context)
}

const SIZED_PATTERN = /^(r|m|rm|imm|simm)(8|16|32|64|80|v)(\??)$/

function matchSized(pattern: string, operand: Operand, size: OperandSize, context: EncodeContext): boolean {
  const [, kind, width, optional] = SIZED_PATTERN.exec(pattern) ?? []
  const bits = width === 'v' ? size : Number(width)
  if (kind === 'simm') return isSignedByte(operand, size, context)
  if (kind === 'imm') return operand.kind === 'immediate' && operand.reach === undefined
  if (operand.kind === 'register') return kind !== 'm' && operand.size === bits
  if (operand.kind !== 'memory' || kind === 'r' || operand.far) return false
  if (operand.size === bits) return true
  // Unsaid: allowed where it does not matter (`?`), or where another operand gives the size (checked by the caller).
  return operand.size === 0 && (optional === '?' || width === 'v' || width === '8')
}

function isRegister(operand: Operand, size: number, number: number): boolean {
  return operand.kind === 'register' && operand.size === size && operand.number === number
}

/** A bare displacement: `mov eax, [1234]` has a form without ModRM. */
function isPlainAddress(operand: Operand): boolean {
  return (
    operand.kind === 'memory' && operand.base === undefined && operand.index === undefined && operand.addressSize === 32
  )
}

/** A constant that survives being cut to a byte and sign-extended to the operand size (32 where the form has none). */
function isSignedByte(operand: Operand, size: OperandSize, context: EncodeContext): boolean {
  if (operand.kind !== 'immediate' || operand.reach !== undefined || !context.isConstant(operand.value)) return false
  if (operand.size === 16 && size === 0) return false
  const value = context.value(operand.value)
  const extended = size === 16 ? (value << 16) >> 16 : value | 0
  return extended >= -128 && extended <= 127
}

/** Writes the bytes of a form that fits. */
function emit(
  form: Form,
  operands: readonly Operand[],
  size: OperandSize,
  prefixes: readonly number[],
  context: EncodeContext,
): number[] {
  const memory = operands.find((operand) => operand.kind === 'memory')
  const before = new Set(prefixes)
  if (memory?.segment !== undefined && memory.segment !== defaultSegment(memory))
    before.add(SEGMENT_PREFIXES[memory.segment] as number)
  if (memory?.addressSize === 16) before.add(0x67)
  if (size === 16 || form.bytes.includes('o16')) before.add(0x66)
  const bytes = orderPrefixes(before)
  const immediates = operands.filter(
    (operand, i) => operand.kind === 'immediate' && !['1'].includes(form.operands[i] as string),
  )
  const immediate = (bits: number): void => {
    const operand = immediates.shift() as Extract<Operand, { kind: 'immediate' }>
    emitValue(bytes, context.value(operand.value), bits, context)
  }
  for (const token of form.bytes) {
    if (BYTE_NUMBERS.test(token)) bytes.push(parseInt(token, 16))
    else if (token === '+r')
      bytes[bytes.length - 1] = (bytes[bytes.length - 1] as number) | plusRegister(form, operands)
    else if (token === '/r') emitModrm(bytes, rmOperand(form, operands), regNumber(form, operands), context)
    else if (token === '/rr') emitModrm(bytes, operands[0] as Operand, numberOf(operands[0]), context)
    else if (token.startsWith('/')) emitModrm(bytes, rmOperand(form, operands), Number(token[1]), context)
    else if (token === 'ib') immediate(8)
    else if (token === 'iw') immediate(16)
    else if (token === 'iv') immediate(size === 16 ? 16 : 32)
    else if (token === 'mo') emitValue(bytes, displacementOf(memory as MemoryOperand, context), 32, context)
    else if (token === 'rb') emitShort(bytes, form, operands, context)
    else if (token === 'rd') {
      const operand = operands[0] as Extract<Operand, { kind: 'immediate' }>
      const distance = context.value(operand.value) - (context.address + bytes.length + 4)
      emitValue(bytes, distance | 0, 32, context)
    } else if (token === 'fp') {
      const operand = operands[0] as Extract<Operand, { kind: 'far' }>
      emitValue(bytes, context.value(operand.offset), 32, context)
      emitValue(bytes, context.value(operand.selector), 16, context)
    }
  }
  return bytes
}

/** Segment, address size, operand size, repeat, lock: the order GNU as uses. */
function orderPrefixes(prefixes: ReadonlySet<number>): number[] {
  const rank = (prefix: number): number => [0x67, 0x66, 0xf2, 0xf3, 0xf0].indexOf(prefix)
  return [...prefixes].sort((a, b) => rank(a) - rank(b))
}

function emitShort(bytes: number[], form: Form, operands: readonly Operand[], context: EncodeContext): void {
  const operand = operands[0] as Extract<Operand, { kind: 'immediate' }>
  const distance = context.value(operand.value) - (context.address + bytes.length + 1)
  if (context.settled && (distance < -128 || distance > 127)) {
    // loop and jecxz have no longer form, and `short` asks for this one: those fail, the others grow in the next pass.
    const first = form.bytes[0] as string
    if (operand.reach === 'short' || /^(67|e[0-3])$/.test(first))
      context.fail(`branch target is ${distance} bytes away`)
    context.tooFar()
  }
  bytes.push(distance & 0xff)
}

function numberOf(operand: Operand | undefined): number {
  return operand !== undefined && 'number' in operand ? operand.number : 0
}

function plusRegister(form: Form, operands: readonly Operand[]): number {
  // `xchg eax, ecx` names two registers; the one that is not the accumulator's pattern goes into the opcode.
  const at = form.operands.findIndex((pattern) => /^(r(8|16|32|v)|st)$/.test(pattern))
  return numberOf(operands[at])
}

/** The reg field: a special register when the form has one, else the register that is not the r/m operand. */
function regNumber(form: Form, operands: readonly Operand[]): number {
  const special = form.operands.findIndex((pattern) => /^(sreg|creg|dreg)$/.test(pattern))
  if (special >= 0) return numberOf(operands[special])
  const rm = rmIndex(form)
  const at = form.operands.findIndex((pattern, i) => /^r(8|16|32|v)$/.test(pattern) && i !== rm)
  return numberOf(operands[at])
}

/**
 * The r/m operand: memory or the `rm` pattern; with two plain registers the second, except arpl, whose first is the
 * destination and which the table writes `r16,r16`.
 */
function rmIndex(form: Form): number {
  const at = form.operands.findIndex((pattern) => /^(rm|m)/.test(pattern))
  if (at >= 0) return at
  const registers = form.operands.flatMap((pattern, i) => (/^r(8|16|32|v)$/.test(pattern) ? [i] : []))
  const arpl = form.bytes[0] === '63'
  return (arpl ? registers[0] : registers[registers.length - 1]) as number
}

function rmOperand(form: Form, operands: readonly Operand[]): Operand {
  return operands[rmIndex(form)] as Operand
}

/** Number of ss for addresses based on the stack registers, else of ds: an override naming it would say nothing. */
function defaultSegment(memory: MemoryOperand): number {
  return memory.base === 4 || memory.base === 5 ? 2 : 3
}

function displacementOf(memory: MemoryOperand, context: EncodeContext): number {
  return memory.displacement === undefined ? 0 : context.value(memory.displacement)
}

function emitModrm(bytes: number[], operand: Operand, reg: number, context: EncodeContext): void {
  if (operand.kind !== 'memory') {
    bytes.push(0xc0 | (reg << 3) | numberOf(operand))
    return
  }
  if (operand.addressSize === 16) emitModrm16(bytes, operand, reg, context)
  else emitModrm32(bytes, operand, reg, context)
}

/** 0, 8 or the full width: how many bits of displacement a memory operand needs. */
function displacementBits(memory: MemoryOperand, full: 16 | 32, needsOne: boolean, context: EncodeContext): number {
  if (memory.displacement === undefined) return needsOne ? 8 : 0
  if (!context.isConstant(memory.displacement)) return full
  const value = context.value(memory.displacement)
  const signed = full === 16 ? (value << 16) >> 16 : value | 0
  if (signed === 0 && !needsOne) return 0
  return signed >= -128 && signed <= 127 ? 8 : full
}

function emitModrm32(bytes: number[], memory: MemoryOperand, reg: number, context: EncodeContext): void {
  const displacement = displacementOf(memory, context)
  const scale = [1, 2, 4, 8].indexOf(memory.scale) << 6
  if (memory.base === undefined) {
    if (memory.index === undefined) bytes.push((reg << 3) | 5)
    else bytes.push((reg << 3) | 4, scale | (memory.index << 3) | 5)
    emitValue(bytes, displacement, 32, context)
    return
  }
  const bits = displacementBits(memory, 32, memory.base === 5, context)
  const mod = (bits === 0 ? 0 : bits === 8 ? 1 : 2) << 6
  if (memory.index === undefined && memory.base !== 4) bytes.push(mod | (reg << 3) | memory.base)
  else bytes.push(mod | (reg << 3) | 4, scale | ((memory.index ?? 4) << 3) | memory.base)
  if (bits === 8) bytes.push(displacement & 0xff)
  else if (bits === 32) emitValue(bytes, displacement, 32, context)
}

/** r/m codes of 16-bit addressing: bx+si bx+di bp+si bp+di si di bp bx. */
function emitModrm16(bytes: number[], memory: MemoryOperand, reg: number, context: EncodeContext): void {
  const { base, index } = memory
  let rm: number
  if (base === undefined) rm = index === 6 ? 4 : 5
  else if (index === undefined) rm = base === 5 ? 6 : 7
  else rm = (base === 5 ? 2 : 0) | (index === 7 ? 1 : 0)
  const bits = displacementBits(memory, 16, rm === 6, context)
  bytes.push(((bits === 0 ? 0 : bits === 8 ? 1 : 2) << 6) | (reg << 3) | rm)
  if (bits !== 0) emitValue(bytes, displacementOf(memory, context), bits === 8 ? -8 : 16, context)
}

/** Appends a little-endian value of 8, 16 or 32 bits after a range check; -8 is a byte already known to fit. */
export function emitValue(
  bytes: number[],
  value: number,
  bits: number,
  context: { readonly settled: boolean; fail(problem: string): never },
): void {
  const width = Math.abs(bits)
  if (!Number.isInteger(value)) context.fail(`${value} is not a whole number`)
  const outside = value < -(2 ** (width - 1)) || value >= 2 ** width
  if (bits > 0 && context.settled && outside && !isSignExtendedByte(value, width)) {
    context.fail(`${value} does not fit in ${width} bits`)
  }
  for (let shift = 0; shift < width; shift += 8) bytes.push((value >>> shift) & 0xff)
}

/** 0xFFFFFFF0 as an 8-bit immediate: the table's simm8 form has already proved that it sign-extends back. */
function isSignExtendedByte(value: number, width: number): boolean {
  return width === 8 && ((value >= 0xffffff80 && value <= 0xffffffff) || (value >= 0xff80 && value <= 0xffff))
}

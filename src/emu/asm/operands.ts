/**
 * Operands of the assembler: registers, immediates, far pointers and memory, parsed from Intel syntax.
 *
 *     [dword [ptr]] [es:] [base + index*scale + displacement]      NASM order [es:ebx] is understood too
 *     offset label | short label | near label | selector:offset | far [m16:32]
 *
 * A name on its own is an immediate (the label's address), never a memory access: memory always has brackets.
 * Which operands an instruction takes is instructions.ts; how they become bytes is encode.ts.
 */
import { type Expression, parseExpression, parseTerm, type TokenStream } from './expression.ts'

/** Operand sizes in bits; 0 where the source does not say. 48 is m16:32, 80 is an x87 extended real. */
export type Size = 0 | 8 | 16 | 32 | 48 | 64 | 80

export interface RegisterOperand {
  readonly kind: 'register'
  readonly size: 8 | 16 | 32
  readonly number: number
}
/** Segment, control, debug or x87 stack register. */
export interface SpecialOperand {
  readonly kind: 'segment' | 'control' | 'debug' | 'st'
  readonly number: number
}
export interface MemoryOperand {
  readonly kind: 'memory'
  readonly size: Size
  readonly far: boolean
  readonly segment: number | undefined
  readonly addressSize: 16 | 32
  readonly base: number | undefined
  readonly index: number | undefined
  readonly scale: number
  readonly displacement: Expression | undefined
}
export interface ImmediateOperand {
  readonly kind: 'immediate'
  readonly size: Size
  readonly reach: 'short' | 'near' | undefined
  readonly value: Expression
}
export interface FarOperand {
  readonly kind: 'far'
  readonly selector: Expression
  readonly offset: Expression
}
export type Operand = RegisterOperand | SpecialOperand | MemoryOperand | ImmediateOperand | FarOperand

const REGISTERS_8 = ['al', 'cl', 'dl', 'bl', 'ah', 'ch', 'dh', 'bh']
const REGISTERS_16 = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di']
const REGISTERS_32 = ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi']
/** Segment registers in the order of their numbers in ModRM. */
export const SEGMENT_REGISTERS: readonly string[] = ['es', 'cs', 'ss', 'ds', 'fs', 'gs']
const SIZES: Readonly<Record<string, Size>> = {
  byte: 8,
  word: 16,
  dword: 32,
  fword: 48,
  qword: 64,
  tbyte: 80,
}

const REGISTERS = buildRegisters()

function buildRegisters(): Map<string, RegisterOperand | SpecialOperand> {
  const registers = new Map<string, RegisterOperand | SpecialOperand>()
  for (const [names, size] of [
    [REGISTERS_8, 8],
    [REGISTERS_16, 16],
    [REGISTERS_32, 32],
  ] as const) {
    names.forEach((name, number) => registers.set(name, { kind: 'register', size, number }))
  }
  SEGMENT_REGISTERS.forEach((name, number) => registers.set(name, { kind: 'segment', number }))
  for (let number = 0; number < 8; number++) {
    registers.set(`cr${number}`, { kind: 'control', number })
    registers.set(`dr${number}`, { kind: 'debug', number })
    registers.set(`st${number}`, { kind: 'st', number })
  }
  return registers
}

/** True when the name is a register, so that it cannot be a label. */
export function isRegisterName(name: string): boolean {
  return name === 'st' || REGISTERS.has(name)
}

/** Parses a comma-separated operand list up to the end of the statement. */
export function parseOperands(stream: TokenStream): Operand[] {
  const operands: Operand[] = []
  if (stream.done) return operands
  do operands.push(parseOperand(stream))
  while (stream.take(','))
  if (!stream.done) stream.fail(`unexpected ${stream.describe()} after an operand`)
  return operands
}

function parseOperand(stream: TokenStream): Operand {
  let size: Size = 0
  let far = false
  let reach: 'short' | 'near' | undefined
  for (;;) {
    const word = stream.word()
    if (SIZES[word] !== undefined) size = SIZES[word]
    else if (word === 'far') far = true
    else if (word === 'short' || word === 'near') reach = word
    else if (word !== 'ptr' && word !== 'offset') break
    stream.at++
  }
  const register = REGISTERS.get(stream.word())
  if (register?.kind === 'segment' && stream.sees(':', 1)) {
    stream.at += 2
    return parseMemory(stream, size, far, register.number)
  }
  if (stream.sees('[')) return parseMemory(stream, size, far, undefined)
  if (stream.word() === 'st') return parseStackRegister(stream)
  if (register !== undefined) {
    stream.at++
    return register
  }
  const value = parseExpression(stream)
  if (stream.take(':')) return { kind: 'far', selector: value, offset: parseExpression(stream) }
  return { kind: 'immediate', size, reach, value }
}

/** st or st(i). */
function parseStackRegister(stream: TokenStream): SpecialOperand {
  stream.at++
  if (!stream.take('(')) return { kind: 'st', number: 0 }
  const token = stream.peek()
  if (token?.kind !== 'number' || token.value > 7) stream.fail('st() takes a number from 0 to 7')
  stream.at++
  stream.expect(')')
  return { kind: 'st', number: token.value }
}

interface Address {
  registers: { register: RegisterOperand; scale: number }[]
  displacement: Expression | undefined
}

function parseMemory(stream: TokenStream, size: Size, far: boolean, override: number | undefined): MemoryOperand {
  let segment = override
  stream.expect('[')
  const inner = REGISTERS.get(stream.word())
  if (inner?.kind === 'segment' && stream.sees(':', 1)) {
    stream.at += 2
    segment = inner.number
  }
  const address: Address = { registers: [], displacement: undefined }
  let negative = stream.take('-')
  for (;;) {
    addTerm(stream, address, negative)
    if (stream.take('+')) negative = false
    else if (stream.take('-')) negative = true
    else break
  }
  stream.expect(']')
  const narrow = address.registers.some((part) => part.register.size === 16)
  const registers = narrow ? arrange16(stream, address) : arrange32(stream, address)
  return {
    kind: 'memory',
    size,
    far: far || size === 48,
    segment,
    addressSize: narrow ? 16 : 32,
    displacement: address.displacement,
    ...registers,
  }
}

/** One term between + and -: a register, register*scale, scale*register or a number. */
function addTerm(stream: TokenStream, address: Address, negative: boolean): void {
  let register = REGISTERS.get(stream.word())
  let scale = 1
  const number = stream.peek()
  if (register === undefined && number?.kind === 'number' && stream.sees('*', 1)) {
    register = REGISTERS.get(stream.word(2))
    if (register !== undefined) {
      scale = number.value
      stream.at += 3
    }
  } else if (register !== undefined) {
    stream.at++
    if (stream.take('*')) {
      const factor = stream.peek()
      if (factor?.kind !== 'number') stream.fail('the scale of an index must be a number')
      scale = factor.value
      stream.at++
    }
  }
  if (register !== undefined) {
    if (register.kind !== 'register' || register.size === 8) stream.fail('not a register an address can be made of')
    if (negative) stream.fail('a register cannot be subtracted in an address')
    address.registers.push({ register, scale })
    return
  }
  const term = parseTerm(stream)
  const signed: Expression = negative ? { op: 'unary', operator: '-', operand: term } : term
  address.displacement =
    address.displacement === undefined
      ? signed
      : { op: 'binary', operator: '+', left: address.displacement, right: signed }
}

type Registers = Pick<MemoryOperand, 'base' | 'index' | 'scale'>

/** Chooses base and index; %esp can only be a base, so it swaps with an unscaled index. */
function arrange32(stream: TokenStream, address: Address): Registers {
  let base: number | undefined
  let index: number | undefined
  let scale = 1
  for (const part of address.registers) {
    if (part.register.size !== 32) stream.fail('an address cannot mix 16-bit and 32-bit registers')
    if (part.scale === 1 && base === undefined) base = part.register.number
    else if (index === undefined) {
      index = part.register.number
      scale = part.scale
    } else stream.fail('an address has at most a base and an index')
  }
  if (index === 4 && scale === 1 && base !== 4) [base, index] = [index, base]
  if (index === 4) stream.fail('esp cannot be an index')
  if (![1, 2, 4, 8].includes(scale)) stream.fail(`a scale is 1, 2, 4 or 8, not ${scale}`)
  return { base, index, scale }
}

const BX = 3
const BP = 5
const SI = 6
const DI = 7

/** 16-bit addresses: one of bx, bp as base, one of si, di as index. */
function arrange16(stream: TokenStream, address: Address): Registers {
  let base: number | undefined
  let index: number | undefined
  for (const { register, scale } of address.registers) {
    if (register.size !== 16) stream.fail('an address cannot mix 16-bit and 32-bit registers')
    if (scale !== 1) stream.fail('a 16-bit address has no scale')
    if ((register.number === BX || register.number === BP) && base === undefined) base = register.number
    else if ((register.number === SI || register.number === DI) && index === undefined) index = register.number
    else stream.fail('a 16-bit address is made of one of bx, bp and one of si, di')
  }
  return { base, index, scale: 1 }
}

/**
 * Generates test cases for one form of an instruction: every operand size, register and memory operands, both address sizes,
 * prefixes that are allowed, ignored or refused. The forms come from the CPU's opcode table (forms.ts); what makes a case a good
 * one for its instruction is in tuning.ts.
 */
import { hasModrm, immediateOf, isByteForm, isString, operandBytes } from './encoding.ts'
import { Draft } from './draft.ts'
import type { Form } from './forms.ts'
import { FLAG_TF } from '../../layout/x86.ts'
import { MAX_INSTRUCTION, type Selectors, type TestCase } from './protocol.ts'
import { Random, seedOf } from './random.ts'
import { implicitRegisters, tune } from './tuning.ts'

/** One way to run a form: recordings have a few cases of each, the live comparison many. */
export interface Variant {
  readonly operandSize: 16 | 32
  readonly operand: 'none' | 'register' | 'memory' | 'memory16'
  readonly lock: boolean
}

export interface GeneratedCase {
  readonly form: Form
  readonly variant: Variant
  readonly test: TestCase
}

/** The variants a form has. */
export function variantsOf(form: Form): Variant[] {
  const operands: Variant['operand'][] = !hasModrm(form.opcode)
    ? ['none']
    : form.operand === 'register'
      ? ['register']
      : form.operand === 'memory'
        ? ['memory', 'memory16']
        : ['register', 'memory', 'memory16']
  // MOVZX and MOVSX have a byte source, but a destination of either size.
  const oneSize = isByteForm(form.opcode) && form.opcode !== 0x0fb6 && form.opcode !== 0x0fbe
  const sizes: (16 | 32)[] = oneSize ? [32] : [32, 16]
  const variants = sizes.flatMap((operandSize) => operands.map((operand) => ({ operandSize, operand, lock: false })))
  return [
    ...variants,
    { operandSize: 32, operand: operands[operands.length > 1 ? 1 : 0] as Variant['operand'], lock: true },
  ]
}

/** `count` cases of one variant. The same arguments always give the same cases. */
export function generateCases(
  form: Form,
  variant: Variant,
  selectors: Selectors,
  count: number,
  seed: number,
): GeneratedCase[] {
  const name = `${form.opcode}/${form.digit}/${variant.operandSize}/${variant.operand}/${variant.lock}/${seed}`
  const random = new Random(seedOf(name))
  const cases: GeneratedCase[] = []
  while (cases.length < count) {
    const test = generateCase(form, variant, selectors, random)
    if (test !== undefined) cases.push({ form, variant, test })
  }
  return cases
}

function generateCase(form: Form, variant: Variant, selectors: Selectors, random: Random): TestCase | undefined {
  const draft = new Draft(random, selectors, form.opcode, variant.operandSize)
  draft.reg = form.digit >= 0 ? form.digit : random.pick(form.regs)
  if (variant.operand === 'register') draft.useRegisterOperand(random.below(8))
  else if (variant.operand !== 'none') {
    const bytes = operandBytes(form.opcode, form.digit, variant.operandSize)
    const avoid = implicitRegisters(form.opcode, form.digit, draft.reg)
    draft.useMemoryOperand({ bytes, avoid }, variant.operand === 'memory16')
  }
  addImmediate(draft, form)
  tune(draft, form.digit)
  addPrefixes(draft, variant)
  if (random.oneIn(16)) draft.eflags |= FLAG_TF
  return draft.finish()
}

function addImmediate(draft: Draft, form: Form): void {
  const { random } = draft
  switch (immediateOf(form.opcode, form.digit)) {
    case 'ib':
    case 'rel8':
      draft.setImmediate(random.operand(), 1)
      break
    case 'iw':
      draft.setImmediate(random.oneIn(2) ? random.below(32) : random.operand(), 2)
      break
    case 'iv':
    case 'relv':
      draft.setImmediate(random.operand(), draft.operandSize / 8)
      break
    case 'iw ib':
      draft.setImmediate(0, 3)
      break
    case 'far':
      draft.setImmediate(0, draft.operandSize / 8 + 2)
      break
    case 'moffs':
      addOffset(draft)
      break
    case 'none':
  }
}

/** The address of MOV A0-A3, as a memory operand with nothing but a displacement would have it. */
function addOffset(draft: Draft): void {
  const { random } = draft
  const bytes = isByteForm(draft.opcode) ? 1 : draft.operandSize / 8
  const offset = 0xfc0 + random.between(0, 64 - bytes + (random.oneIn(8) ? bytes : 0))
  if (random.oneIn(2)) {
    draft.prefixes.push(0x67, 0x64)
    draft.setImmediate(offset, 2)
  } else if (random.oneIn(2)) {
    draft.prefixes.push(0x64)
    draft.setImmediate(offset, 4)
  } else draft.setImmediate(0x300000 + offset, 4)
}

/** LOCK where asked for; else now and then prefixes that change nothing, and the given ones in any order. */
function addPrefixes(draft: Draft, variant: Variant): void {
  const { random, prefixes, opcode } = draft
  if (variant.lock) prefixes.push(0xf0)
  else if (random.oneIn(20)) {
    // Ignored: a second operand-size prefix, or REP before an instruction it means nothing to. Two-byte opcodes are left alone,
    // because REP made new instructions of many of them.
    const plain = opcode < 0x100 && !isString(opcode) && ![0x90, 0xe8, 0xe9].includes(opcode)
    if (prefixes.includes(0x66)) prefixes.push(0x66)
    else if (plain) prefixes.push(random.pick([0xf2, 0xf3]))
  }
  // Two segment prefixes never occur, so the order means nothing.
  for (let i = prefixes.length - 1; i > 0; i--) {
    const other = random.below(i + 1)
    const prefix = prefixes[i] as number
    prefixes[i] = prefixes[other] as number
    prefixes[other] = prefix
  }
  // A prefix may be repeated as long as the instruction has room: up to 15 bytes in all.
  if (prefixes.length > 0 && random.oneIn(32)) draft.pad(prefixes[0] as number)
}

const PREFIXES = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3])

/**
 * The same instruction as a 16-bit code segment has it, where the size prefixes mean the opposite. Undefined when it becomes too
 * long.
 */
export function codeFor16Bit(code: Uint8Array): Uint8Array | undefined {
  const end = code.findIndex((byte) => !PREFIXES.has(byte))
  const sizes = [0x66, 0x67]
  const added = sizes.filter((size) => !code.subarray(0, end).includes(size))
  const kept = code.subarray(0, end).filter((byte) => !sizes.includes(byte))
  const turned = Uint8Array.of(...added, ...kept, ...code.subarray(end))
  return turned.length <= MAX_INSTRUCTION ? turned : undefined
}

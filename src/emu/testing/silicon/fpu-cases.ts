/**
 * Cases for the x87: single instructions with a whole FPU state, run by the interpreter and by real silicon (guests/silicon/fpu-oracle.c).
 * A case is 640 bytes, in the layout of `struct fpu_case` there; running one gives a record of the same shape.
 *
 *      0   instruction, 8 bytes      8   eflags      12   eax      16   FSAVE image, 108 bytes      128   memory operand, 512 bytes
 *
 * What a record is compared by, and what of it is left out because processors differ, is fpu-differences.ts.
 */
import { getEflags, setEflags } from '../../cpu/flags.ts'
import { fpuHandler } from '../../cpu/fpu/index.ts'
import { run } from '../../cpu/run.ts'
import { EAX, ECX } from '../../layout/x86.ts'
import { CODE, CpuDriver } from '../cpu-driver.ts'

export const CASE_SIZE = 640
export const CASE_EFLAGS = 8
export const CASE_EAX = 12
export const CASE_STATE = 16
export const CASE_MEMORY = 128
export const MEMORY_SIZE = CASE_SIZE - CASE_MEMORY
/** FSAVE image: where control, status and tag word, the pointers and ST(0) are. */
export const STATE_STATUS = CASE_STATE + 4
export const STATE_TAG = CASE_STATE + 8
export const STATE_IP = CASE_STATE + 12
export const STATE_OPCODE = CASE_STATE + 18
export const STATE_DP = CASE_STATE + 20
export const STATE_REGISTERS = CASE_STATE + 28
export const STATUS_FLAGS = 0x8d5
const CODE_SIZE = 8

/** One encoding's bytes, its memory operand at (ecx) where it has one. */
export type FpuForm = readonly number[]

/** Environments of 14 bytes: FLDENV, FNSTENV, FRSTOR, FNSAVE with an operand-size prefix. */
const SHORT_ENVIRONMENTS: readonly FpuForm[] = [
  [0x66, 0xd9, 0x21],
  [0x66, 0xd9, 0x31],
  [0x66, 0xdd, 0x21],
  [0x66, 0xdd, 0x31],
]
/** FXSAVE; FXRSTOR; and the one after the other, which shows MXCSR and the XMM registers. */
export const FXSAVE: FpuForm = [0x0f, 0xae, 0x01]
const FXRSTOR: FpuForm = [0x0f, 0xae, 0x09]
export const FXRSTOR_FXSAVE: FpuForm = [...FXRSTOR, ...FXSAVE]

/** Every x87 encoding there is. */
export function fpuForms(): FpuForm[] {
  const forms: FpuForm[] = []
  for (let opcode = 0xd8; opcode <= 0xdf; opcode++) {
    const modrms = [
      ...Array.from({ length: 8 }, (_, reg) => (reg << 3) | 1),
      ...Array.from({ length: 64 }, (_, i) => 0xc0 + i),
    ]
    for (const modrm of modrms) if (fpuHandler(opcode, modrm) !== undefined) forms.push([opcode, modrm])
  }
  return [...forms, ...SHORT_ENVIRONMENTS, FXSAVE, FXRSTOR, FXRSTOR_FXSAVE]
}

export function formName(form: FpuForm): string {
  return form.map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
}

/** The form a case was made for. */
export function formOf(input: Uint8Array): FpuForm {
  const length = input.subarray(0, CODE_SIZE).indexOf(0x90)
  return [...input.subarray(0, length)]
}

/** The instructions that do not wait, so that an exception may be pending when they come. */
const NO_WAIT = new Set(
  [
    [0xd9, 0x31],
    [0xd9, 0x39],
    [0xdb, 0xe2],
    [0xdb, 0xe3],
    [0xdd, 0x31],
    [0xdd, 0x39],
    [0xdf, 0xe0],
    [0x66, 0xd9, 0x31],
    [0x66, 0xdd, 0x31],
    FXSAVE,
    FXRSTOR,
    FXRSTOR_FXSAVE,
  ].map(formName),
)

/** A generator of 32-bit numbers that is the same for the same seed. */
export class Numbers {
  private state: number

  constructor(seed: number) {
    this.state = (seed * 2654435761) | 1
  }
  word(): number {
    this.state ^= this.state << 13
    this.state ^= this.state >>> 17
    this.state ^= this.state << 5
    return this.state >>> 0
  }
  below(n: number): number {
    return this.word() % n
  }
  pick<T>(of: readonly T[]): T {
    return of[this.below(of.length)]
  }
}

const EXPONENTS = [0, 1, 2, 0x3fbf, 0x3fc0, 0x3ff0, 0x3ffe, 0x3fff, 0x4000, 0x401e, 0x403d, 0x403e, 0x403f, 0x43fe]
const MORE_EXPONENTS = [0x3c01, 0x3c00, 0x3bcc, 0x3f81, 0x3f80, 0x3f69, 0x407e, 0x407f, 0x7ffe, 0x7fff]
const FRACTIONS = [0, 1, 0x3ff, 0x400, 0x401, 0x7ff, 0x800, 0xff, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffff800]

/** Ten bytes of an 80-bit number, mostly near where something changes. */
function writeFloat80(view: DataView, at: number, n: Numbers): void {
  const kind = n.below(16)
  let exponent = n.pick([...EXPONENTS, ...MORE_EXPONENTS])
  let high = n.pick([0x80000000, 0xffffffff, 0xc0000000, (n.word() | 0x80000000) >>> 0])
  let low = n.pick(FRACTIONS)
  if (kind < 6) {
    exponent = 0x3fff + n.below(40) - 20
    high = (n.word() | 0x80000000) >>> 0
    low = n.word()
  } else if (kind === 6) exponent = n.below(0x8000)
  else if (kind === 7) [exponent, high, low] = [0, 0, 0]
  else if (kind === 8)
    [exponent, high, low] = [0x7fff, n.pick([0x80000000, 0xc0000000, 0xa0000000, 0x80000001]), n.pick([0, 1])]
  else if (kind === 9) [exponent, high, low] = [0, n.word() >>> 1, n.word()]
  else if (kind === 10)
    high = n.word() >>> n.below(8) // perhaps unsupported
  else if (kind === 11) [exponent, high, low] = [0x3fff + n.below(64), (n.below(1 << 16) | 0x8000) << 16, 0]
  view.setUint32(at, low >>> 0, true)
  view.setUint32(at + 4, high >>> 0, true)
  view.setUint16(at + 8, exponent | (n.below(2) << 15), true)
}

/** Memory operand: a number of the format the instruction reads, or anything. */
function writeMemory(view: DataView, n: Numbers): void {
  for (let i = 0; i < MEMORY_SIZE; i += 4) view.setUint32(CASE_MEMORY + i, n.word(), true)
  const kind = n.below(8)
  if (kind < 2)
    view.setFloat32(CASE_MEMORY, n.pick([1, -1, 0.5, 3, 1e-40, 1e38, -1e-45, NaN, Infinity, 0, -0, 1234.5]), true)
  else if (kind < 4) {
    view.setFloat64(CASE_MEMORY, n.pick([1, -1, 0.1, 3e300, 5e-324, -1e-310, NaN, -Infinity, 0, -0, 98765.4321]), true)
  } else if (kind === 4) writeFloat80(view, CASE_MEMORY, n)
  else if (kind === 5) {
    // Packed decimal.
    for (let i = 0; i < 9; i++) view.setUint8(CASE_MEMORY + i, n.below(10) | (n.below(10) << 4))
    view.setUint8(CASE_MEMORY + 9, n.below(2) << 7)
  } else if (kind === 6)
    view.setUint32(CASE_MEMORY, n.pick([0x7fc00000, 0x7f800001, 0x80000000, 1, 0x7fffff, 0x7fffffff]), true)
}

/** A case for `form`. Only for an instruction that does not wait an exception may be pending in it. */
export function fpuCase(form: FpuForm, n: Numbers): Uint8Array {
  const bytes = new Uint8Array(CASE_SIZE)
  const view = new DataView(bytes.buffer)
  bytes.fill(0x90, 0, CODE_SIZE)
  bytes.set(form)
  view.setUint32(CASE_EFLAGS, 0x202 | (n.word() & STATUS_FLAGS), true)
  view.setUint32(CASE_EAX, n.word(), true)
  const precision = n.pick([0, 2, 3, 3, 3])
  const masks = n.below(3) === 0 ? n.below(64) : 0x3f
  const control = 0x40 | masks | (precision << 8) | (n.below(4) << 10)
  const status = (n.word() & 0x7f40) | (n.word() & (NO_WAIT.has(formName(form)) ? 0x3f : masks))
  view.setUint32(CASE_STATE, 0xffff0000 | control, true)
  view.setUint32(STATE_STATUS, (0xffff0000 | status) >>> 0, true)
  let tags = 0
  for (let register = 0; register < 8; register++) if (n.below(8) === 0) tags |= 3 << (2 * register)
  // Pushes need room: mostly the register above the top is free.
  const top = (status >>> 11) & 7
  if (n.below(4) !== 0) tags |= 3 << (2 * ((top + 7) & 7))
  view.setUint32(STATE_TAG, (0xffff0000 | tags) >>> 0, true)
  view.setUint32(STATE_IP, n.word(), true)
  view.setUint16(STATE_OPCODE, n.word() & 0x7ff, true)
  view.setUint32(STATE_DP, n.word(), true)
  for (let i = 0; i < 8; i++) writeFloat80(view, STATE_REGISTERS + i * 10, n)
  writeMemory(view, n)
  // FXRSTOR takes no MXCSR with reserved bits.
  if (form[0] === 0x0f) view.setUint32(CASE_MEMORY + 24, n.word() & 0xffff, true)
  return bytes
}

const AT = 0x20000

/** The interpreter, as an oracle. */
export class FpuInterpreter {
  private readonly driver = new CpuDriver()

  run(input: Uint8Array): Uint8Array {
    const { driver } = this
    const { cpu, mem } = driver
    const view = new DataView(input.buffer, input.byteOffset, CASE_SIZE)
    driver.reset()
    mem.phys.writeBytes(AT, input)
    const absolute = (opcode: number, reg: number): number[] => {
      const at = AT + CASE_STATE
      return [opcode, (reg << 3) | 5, at & 0xff, (at >> 8) & 0xff, (at >> 16) & 0xff, 0]
    }
    const frstor = absolute(0xdd, 4)
    driver.loadBytes([...frstor, ...input.subarray(0, CODE_SIZE), ...absolute(0xdd, 6)])
    driver.eip = CODE
    run(cpu, 1)
    setEflags(cpu, view.getUint32(CASE_EFLAGS, true))
    cpu.r[EAX] = view.getUint32(CASE_EAX, true)
    cpu.r[ECX] = AT + CASE_MEMORY
    const start = CODE + frstor.length
    // A fault goes elsewhere and never gets to the end.
    for (let i = 0; i < CODE_SIZE && driver.eip !== start + CODE_SIZE; i++) run(cpu, 1)
    const flags = getEflags(cpu)
    run(cpu, 1)
    const output = mem.phys.readBytes(AT, CASE_SIZE)
    const result = new DataView(output.buffer)
    result.setUint32(CASE_EFLAGS, flags, true)
    result.setUint32(CASE_EAX, cpu.r[EAX], true)
    makeRelative(result, STATE_IP, start, CODE_SIZE)
    makeRelative(result, STATE_DP, AT + CASE_MEMORY, MEMORY_SIZE)
    return output
  }
}

/** A pointer into the instruction or its operand becomes relative to them, as fpu-oracle.c does it. */
function makeRelative(record: DataView, at: number, base: number, size: number): void {
  const offset = (record.getUint32(at, true) - base) >>> 0
  if (offset < size) record.setUint32(at, offset, true)
}

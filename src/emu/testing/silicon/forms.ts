/**
 * The instruction forms that user mode can run on any i686 and today's processors alike, from the opcode maps of the Intel manual
 * (volume 2, appendix A), with their mnemonics: what the generator makes cases for. silicon.spec.ts compares this list with the
 * CPU's opcode table, so neither can have a form the other lacks without a reason written down in EXEMPT.
 */
import { hasModrm } from './encoding.ts'

export interface Form {
  readonly name: string
  /** 0x00-0xFF, or 0x0F00 | byte. */
  readonly opcode: number
  /** The reg field when it is part of the opcode, else -1. */
  readonly digit: number
  /** What ModRM may name. `register` and `memory` forms are also refused or have another meaning the other way. */
  readonly operand: 'any' | 'register' | 'memory'
  /** Values of the reg field worth trying, when it is an operand. */
  readonly regs: readonly number[]
}

const ALL_REGISTERS = [0, 1, 2, 3, 4, 5, 6, 7]
const CONDITIONS = ['o', 'no', 'b', 'nb', 'z', 'nz', 'be', 'nbe', 's', 'ns', 'p', 'np', 'l', 'nl', 'le', 'nle']

/** Forms no case is made for, and why; keys are opcode or opcode/digit in hexadecimal. */
export const EXEMPT: Readonly<Record<string, string>> = {
  '9b': 'x87: compared by the FPU tests',
  d8: 'x87: compared by the FPU tests',
  d9: 'x87: compared by the FPU tests',
  da: 'x87: compared by the FPU tests',
  db: 'x87: compared by the FPU tests',
  dc: 'x87: compared by the FPU tests',
  dd: 'x87: compared by the FPU tests',
  de: 'x87: compared by the FPU tests',
  df: 'x87: compared by the FPU tests',
  'fae/0': 'FXSAVE: 512 bytes of x87 state, compared by the FPU tests',
  'fae/1': 'FXRSTOR: compared by the FPU tests',
  'f00/0': 'SLDT: operating systems hide the value from user mode (UMIP)',
  'f00/1': 'STR: hidden by UMIP',
  'f01/0': 'SGDT: hidden by UMIP',
  'f01/1': 'SIDT: hidden by UMIP',
  'f01/4': 'SMSW: hidden by UMIP',
  f31: 'RDTSC: the value is time',
  f34: 'SYSENTER: enters the operating system below the oracle',
  f33: 'RDPMC: whether user mode may is up to the operating system',
  fa2: 'CPUID: the values describe another processor',
}

export const forms: readonly Form[] = buildForms()

function buildForms(): Form[] {
  const list: Form[] = []
  const add = (name: string, opcode: number, options: Partial<Form> = {}): void => {
    list.push({ name, opcode, digit: -1, operand: 'any', regs: ALL_REGISTERS, ...options })
  }
  const group = (opcode: number, names: readonly string[], options: Partial<Form> = {}): void => {
    names.forEach((name, digit) => {
      if (name !== '') add(name, opcode, { digit, ...options })
    })
  }
  const arithmetic = ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp']
  arithmetic.forEach((name, i) => {
    for (let form = 0; form < 6; form++) add(name, i * 8 + form)
  })
  for (const opcode of [0x80, 0x81, 0x82, 0x83]) group(opcode, arithmetic)
  for (const [name, opcode] of [
    ['daa', 0x27],
    ['das', 0x2f],
    ['aaa', 0x37],
    ['aas', 0x3f],
    ['pusha', 0x60],
    ['popa', 0x61],
    ['arpl', 0x63],
    ['push', 0x68],
    ['imul', 0x69],
    ['push', 0x6a],
    ['imul', 0x6b],
    ['test', 0x84],
    ['test', 0x85],
    ['xchg', 0x86],
    ['xchg', 0x87],
    ['mov', 0x88],
    ['mov', 0x89],
    ['mov', 0x8a],
    ['mov', 0x8b],
    ['cbw', 0x98],
    ['cwd', 0x99],
    ['callf', 0x9a],
    ['pushf', 0x9c],
    ['popf', 0x9d],
    ['sahf', 0x9e],
    ['lahf', 0x9f],
    ['test', 0xa8],
    ['test', 0xa9],
    ['ret', 0xc2],
    ['ret', 0xc3],
    ['enter', 0xc8],
    ['leave', 0xc9],
    ['retf', 0xca],
    ['retf', 0xcb],
    ['int3', 0xcc],
    ['int', 0xcd],
    ['into', 0xce],
    ['iret', 0xcf],
    ['aam', 0xd4],
    ['aad', 0xd5],
    ['salc', 0xd6],
    ['xlat', 0xd7],
    ['loopne', 0xe0],
    ['loope', 0xe1],
    ['loop', 0xe2],
    ['jcxz', 0xe3],
    ['call', 0xe8],
    ['jmp', 0xe9],
    ['jmpf', 0xea],
    ['jmp', 0xeb],
    ['int1', 0xf1],
    ['cmc', 0xf5],
    ['clc', 0xf8],
    ['stc', 0xf9],
    ['cld', 0xfc],
    ['std', 0xfd],
    ['ud2', 0x0f0b],
    ['imul', 0x0faf],
    ['shld', 0x0fa4],
    ['shld', 0x0fa5],
    ['shrd', 0x0fac],
    ['shrd', 0x0fad],
    ['bt', 0x0fa3],
    ['bts', 0x0fab],
    ['btr', 0x0fb3],
    ['btc', 0x0fbb],
    ['cmpxchg', 0x0fb0],
    ['cmpxchg', 0x0fb1],
    ['movzx', 0x0fb6],
    ['movzx', 0x0fb7],
    ['bsf', 0x0fbc],
    ['bsr', 0x0fbd],
    ['movsx', 0x0fbe],
    ['movsx', 0x0fbf],
    ['xadd', 0x0fc0],
    ['xadd', 0x0fc1],
    ['lar', 0x0f02],
    ['lsl', 0x0f03],
    // At privilege level 3 these raise #GP(0).
    ['hlt', 0xf4],
    ['cli', 0xfa],
    ['sti', 0xfb],
    ['clts', 0x0f06],
    ['invd', 0x0f08],
    ['wbinvd', 0x0f09],
    ['wrmsr', 0x0f30],
    ['rdmsr', 0x0f32],
    ['sysexit', 0x0f35],
    // Not for software (the machine's own gate); undefined at privilege level 3.
    ['gate', 0x0f04],
  ] as const) {
    add(name, opcode)
  }
  for (let i = 0; i < 8; i++) {
    add('inc', 0x40 + i)
    add('dec', 0x48 + i)
    add('push', 0x50 + i)
    add('pop', 0x58 + i)
    add(i === 0 ? 'nop' : 'xchg', 0x90 + i)
    add('mov', 0xb0 + i)
    add('mov', 0xb8 + i)
    add('bswap', 0x0fc8 + i)
  }
  for (const opcode of [0xa0, 0xa1, 0xa2, 0xa3]) add('mov', opcode)
  for (const [name, opcode] of [
    ['ins', 0x6c],
    ['outs', 0x6e],
    ['movs', 0xa4],
    ['cmps', 0xa6],
    ['stos', 0xaa],
    ['lods', 0xac],
    ['scas', 0xae],
    ['in', 0xe4],
    ['out', 0xe6],
    ['in', 0xec],
    ['out', 0xee],
  ] as const) {
    add(name, opcode)
    add(name, opcode + 1)
  }
  CONDITIONS.forEach((condition, i) => {
    add(`j${condition}`, 0x70 + i)
    add(`j${condition}`, 0x0f80 + i)
    add(`set${condition}`, 0x0f90 + i)
    add(`cmov${condition}`, 0x0f40 + i)
  })
  for (const [name, opcode] of [
    ['push', 0x06],
    ['pop', 0x07],
    ['push', 0x0e],
    ['push', 0x16],
    ['pop', 0x17],
    ['push', 0x1e],
    ['pop', 0x1f],
    ['push', 0x0fa0],
    ['pop', 0x0fa1],
    ['push', 0x0fa8],
    ['pop', 0x0fa9],
  ] as const) {
    add(name, opcode)
  }
  add('mov', 0x8c)
  // Loading SS holds off interrupts until after the next instruction, which INT3 is not subject to.
  add('mov', 0x8e)
  add('lea', 0x8d)
  add('bound', 0x62, { operand: 'memory' })
  add('les', 0xc4, { operand: 'memory' })
  add('lds', 0xc5, { operand: 'memory' })
  add('lss', 0x0fb2)
  add('lfs', 0x0fb4)
  add('lgs', 0x0fb5)
  for (const opcode of [0xc0, 0xc1, 0xd0, 0xd1, 0xd2, 0xd3]) {
    group(opcode, ['rol', 'ror', 'rcl', 'rcr', 'shl', 'shr', 'shl', 'sar'])
  }
  for (const opcode of [0xf6, 0xf7]) group(opcode, ['test', 'test', 'not', 'neg', 'mul', 'imul', 'div', 'idiv'])
  group(0xfe, ['inc', 'dec'])
  group(0xff, ['inc', 'dec', 'call', 'callf', 'jmp', 'jmpf', 'push'])
  add('pop', 0x8f, { digit: 0 })
  for (const opcode of [0xc6, 0xc7]) add('mov', opcode, { digit: 0 })
  group(0x0fba, ['', '', '', '', 'bt', 'bts', 'btr', 'btc'])
  add('cmpxchg8b', 0x0fc7, { digit: 1, operand: 'memory' })
  for (let hint = 0x0f18; hint <= 0x0f1f; hint++) add('nop', hint)
  group(0x0f00, ['', '', 'lldt', 'ltr', 'verr', 'verw'])
  group(0x0f01, ['', '', 'lgdt', 'lidt'], { operand: 'memory' })
  add('lmsw', 0x0f01, { digit: 6 })
  add('invlpg', 0x0f01, { digit: 7, operand: 'memory' })
  for (const opcode of [0x0f20, 0x0f22]) add('mov', opcode, { operand: 'register', regs: [0, 2, 3, 4] })
  for (const opcode of [0x0f21, 0x0f23]) add('mov', opcode, { operand: 'register', regs: [0, 1, 2, 3, 6, 7] })
  // Undefined on every processor: #UD.
  group(0xfe, ['', '', 'ud', 'ud', 'ud', 'ud', 'ud', 'ud'])
  add('ud', 0xff, { digit: 7 })
  group(0x0fba, ['ud', 'ud', 'ud', 'ud'])
  group(0x0f00, ['', '', '', '', '', '', 'ud', 'ud'])
  return list
}

/** "f7/3" or "0fa2": how EXEMPT and messages name a form. */
export function formKey(form: Pick<Form, 'opcode' | 'digit'>): string {
  const opcode = form.opcode.toString(16).padStart(2, '0')
  return form.digit >= 0 && hasModrm(form.opcode) ? `${opcode}/${form.digit}` : opcode
}

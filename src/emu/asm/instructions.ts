/**
 * The instruction table of the assembler: every mnemonic with its forms, in the Intel manual's notation (volume 2).
 *
 *     operands | bytes            first form that fits wins, so short forms stand first
 *
 * Operand patterns: a class (r register, m memory, rm either, imm, simm immediate that is sign-extended, acc accumulator,
 * moffs, rel branch target) and a size in bits; `v` is the operand size, 16 or 32, the same for all operands of the form, and
 * 16 emits the 66 prefix. `?` lets memory of unsaid size through. sreg, creg, dreg, st, mfar, far, m (any), al, ax, eax, cl, dx,
 * 1, 3 and the segment register names stand for themselves.
 * Byte patterns: hexadecimal bytes; +r register number in the byte before; /r and /0../7 a ModRM; ib iw id iv immediates (iv by
 * operand size); rb rd relative targets; mo moffs; fp ptr16:32; o16 the 66 prefix whatever the operands.
 * Chosen to agree with GNU as where one instruction has two encodings. encode.ts turns a form and operands into bytes.
 */

export interface Form {
  readonly operands: readonly string[]
  readonly bytes: readonly string[]
}

/** Condition names in the order of the low four bits of Jcc, SETcc and CMOVcc. */
const CONDITIONS: readonly (readonly string[])[] = [
  ['o'],
  ['no'],
  ['b', 'c', 'nae'],
  ['nb', 'nc', 'ae'],
  ['z', 'e'],
  ['nz', 'ne'],
  ['be', 'na'],
  ['nbe', 'a'],
  ['s'],
  ['ns'],
  ['p', 'pe'],
  ['np', 'po'],
  ['l', 'nge'],
  ['nl', 'ge'],
  ['le', 'ng'],
  ['nle', 'g'],
]

const table = new Map<string, readonly Form[]>()

/** The forms of a lower-case mnemonic, or undefined when there is no such instruction. */
export function formsOf(mnemonic: string): readonly Form[] | undefined {
  return table.get(mnemonic)
}

/** Prefix bytes that may stand, by name, before a mnemonic. */
export const PREFIXES: Readonly<Record<string, number>> = {
  lock: 0xf0,
  rep: 0xf3,
  repe: 0xf3,
  repz: 0xf3,
  repne: 0xf2,
  repnz: 0xf2,
  es: 0x26,
  cs: 0x2e,
  ss: 0x36,
  ds: 0x3e,
  fs: 0x64,
  gs: 0x65,
  o16: 0x66,
  data16: 0x66,
  a16: 0x67,
  addr16: 0x67,
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0')
}

/** Enters forms under one or more mnemonics ("sal shl"). */
function define(mnemonics: string, ...lines: readonly string[]): void {
  const forms = lines.map((line) => {
    const [operands, bytes] = line.split('|') as [string, string]
    return { operands: operands.trim() === '' ? [] : operands.trim().split(','), bytes: bytes.trim().split(' ') }
  })
  for (const mnemonic of mnemonics.split(' ')) table.set(mnemonic, [...(table.get(mnemonic) ?? []), ...forms])
}

// --- moving data ---------------------------------------------------------------------------------------------------
define(
  'mov',
  'moffs8,al | a2 mo',
  'moffsv,accv | a3 mo',
  'al,moffs8 | a0 mo',
  'accv,moffsv | a1 mo',
  'rm8,r8 | 88 /r',
  'rmv,rv | 89 /r',
  'r8,m8 | 8a /r',
  'rv,mv | 8b /r',
  'r8,imm8 | b0 +r ib',
  'rv,immv | b8 +r iv',
  'm8,imm8 | c6 /0 ib',
  'mv,immv | c7 /0 iv',
  'rv,sreg | 8c /r',
  'm16?,sreg | 8c /r',
  'sreg,r32 | 8e /r',
  'sreg,r16 | 8e /r',
  'sreg,m16? | 8e /r',
  'r32,creg | 0f 20 /r',
  'r32,dreg | 0f 21 /r',
  'creg,r32 | 0f 22 /r',
  'dreg,r32 | 0f 23 /r',
)
define(
  'push',
  'rv | 50 +r',
  'simm8 | 6a ib',
  'immv | 68 iv',
  'es | 06',
  'cs | 0e',
  'ss | 16',
  'ds | 1e',
  'fs | 0f a0',
  'gs | 0f a8',
  'm32? | ff /6',
  'm16 | o16 ff /6',
)
define(
  'pop',
  'rv | 58 +r',
  'es | 07',
  'ss | 17',
  'ds | 1f',
  'fs | 0f a1',
  'gs | 0f a9',
  'm32? | 8f /0',
  'm16 | o16 8f /0',
)
define('pushad pusha', '| 60')
define('popad popa', '| 61')
define('pushaw', '| o16 60')
define('popaw', '| o16 61')
define('pushfd pushf', '| 9c')
define('popfd popf', '| 9d')
define('pushfw', '| o16 9c')
define('popfw', '| o16 9d')
define(
  'xchg',
  'accv,rv | 90 +r',
  'rv,accv | 90 +r',
  'rm8,r8 | 86 /r',
  'rmv,rv | 87 /r',
  'r8,m8 | 86 /r',
  'rv,mv | 87 /r',
)
define('lea', 'rv,m | 8d /r')
define('movzx', 'rv,rm8 | 0f b6 /r', 'r32,r16 | 0f b7 /r', 'r32,m16 | 0f b7 /r')
define('movsx', 'rv,rm8 | 0f be /r', 'r32,r16 | 0f bf /r', 'r32,m16 | 0f bf /r')
define('les', 'rv,m | c4 /r')
define('lds', 'rv,m | c5 /r')
define('lss', 'rv,m | 0f b2 /r')
define('lfs', 'rv,m | 0f b4 /r')
define('lgs', 'rv,m | 0f b5 /r')
define('bswap', 'r32 | 0f c8 +r')
define('cmpxchg', 'rm8,r8 | 0f b0 /r', 'rmv,rv | 0f b1 /r')
define('xadd', 'rm8,r8 | 0f c0 /r', 'rmv,rv | 0f c1 /r')
define('cmpxchg8b', 'm | 0f c7 /1')
define('xlat xlatb', '| d7')
define('cbw', '| o16 98')
define('cwde', '| 98')
define('cwd', '| o16 99')
define('cdq', '| 99')
define('lahf', '| 9f')
define('sahf', '| 9e')
define('salc', '| d6')

// --- arithmetic and logic ------------------------------------------------------------------------------------------
;['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp'].forEach((name, digit) => {
  const base = digit * 8
  define(
    name,
    `rm8,r8 | ${hex(base)} /r`,
    `rmv,rv | ${hex(base + 1)} /r`,
    `r8,m8 | ${hex(base + 2)} /r`,
    `rv,mv | ${hex(base + 3)} /r`,
    `al,imm8 | ${hex(base + 4)} ib`,
    `rm8,imm8 | 80 /${digit} ib`,
    `rmv,simm8 | 83 /${digit} ib`,
    `accv,immv | ${hex(base + 5)} iv`,
    `rmv,immv | 81 /${digit} iv`,
  )
})
define(
  'test',
  'rm8,r8 | 84 /r',
  'rmv,rv | 85 /r',
  'r8,m8 | 84 /r',
  'rv,mv | 85 /r',
  'al,imm8 | a8 ib',
  'accv,immv | a9 iv',
  'rm8,imm8 | f6 /0 ib',
  'rmv,immv | f7 /0 iv',
)
define('inc', 'rv | 40 +r', 'rm8 | fe /0', 'rmv | ff /0')
define('dec', 'rv | 48 +r', 'rm8 | fe /1', 'rmv | ff /1')
;['not', 'neg', 'mul', 'imul', 'div', 'idiv'].forEach((name, i) => {
  define(name, `rm8 | f6 /${i + 2}`, `rmv | f7 /${i + 2}`)
})
define(
  'imul',
  'rv,rmv | 0f af /r',
  'rv,rmv,simm8 | 6b /r ib',
  'rv,rmv,immv | 69 /r iv',
  'rv,simm8 | 6b /rr ib',
  'rv,immv | 69 /rr iv',
)
;['rol', 'ror', 'rcl', 'rcr', 'shl sal', 'shr', '', 'sar'].forEach((names, digit) => {
  if (names === '') return
  define(
    names,
    `rm8,1 | d0 /${digit}`,
    `rmv,1 | d1 /${digit}`,
    `rm8,cl | d2 /${digit}`,
    `rmv,cl | d3 /${digit}`,
    `rm8,imm8 | c0 /${digit} ib`,
    `rmv,imm8 | c1 /${digit} ib`,
    `rm8 | d0 /${digit}`,
    `rmv | d1 /${digit}`,
  )
})
define('shld', 'rmv,rv,imm8 | 0f a4 /r ib', 'rmv,rv,cl | 0f a5 /r')
define('shrd', 'rmv,rv,imm8 | 0f ac /r ib', 'rmv,rv,cl | 0f ad /r')
;['bt', 'bts', 'btr', 'btc'].forEach((name, i) => {
  define(name, `rmv,rv | 0f ${hex(0xa3 + i * 8)} /r`, `rmv,imm8 | 0f ba /${i + 4} ib`)
})
define('bsf', 'rv,rmv | 0f bc /r')
define('bsr', 'rv,rmv | 0f bd /r')
define('daa', '| 27')
define('das', '| 2f')
define('aaa', '| 37')
define('aas', '| 3f')
define('aam', '| d4 0a', 'imm8 | d4 ib')
define('aad', '| d5 0a', 'imm8 | d5 ib')

// --- control flow --------------------------------------------------------------------------------------------------
CONDITIONS.forEach((names, code) => {
  for (const name of names) {
    define(`j${name}`, `rel8 | ${hex(0x70 + code)} rb`, `rel32 | 0f ${hex(0x80 + code)} rd`)
    define(`set${name}`, `rm8? | 0f ${hex(0x90 + code)} /0`)
    define(`cmov${name}`, `rv,rmv | 0f ${hex(0x40 + code)} /r`)
  }
})
define(
  'jmp',
  'rel8 | eb rb',
  'rel32 | e9 rd',
  'far | ea fp',
  'mfar | ff /5',
  'r32 | ff /4',
  'm32? | ff /4',
  'r16 | o16 ff /4',
  'm16 | o16 ff /4',
)
define(
  'call',
  'rel32 | e8 rd',
  'far | 9a fp',
  'mfar | ff /3',
  'r32 | ff /2',
  'm32? | ff /2',
  'r16 | o16 ff /2',
  'm16 | o16 ff /2',
)
define('ret retn', '| c3', 'imm16 | c2 iw')
define('retf', '| cb', 'imm16 | ca iw')
define('iretd iret', '| cf')
define('iretw', '| o16 cf')
define('loopne loopnz', 'rel8 | e0 rb')
define('loope loopz', 'rel8 | e1 rb')
define('loop', 'rel8 | e2 rb')
define('jecxz', 'rel8 | e3 rb')
define('jcxz', 'rel8 | 67 e3 rb')
define('int', 'imm8 | cd ib')
define('int1 icebp', '| f1')
define('int3', '| cc')
define('into', '| ce')
define('bound', 'rv,m | 62 /r')
define('enter', 'imm16,imm8 | c8 iw ib')
define('leave', '| c9')

// --- strings -------------------------------------------------------------------------------------------------------
for (const [name, opcode] of [
  ['ins', 0x6c],
  ['outs', 0x6e],
  ['movs', 0xa4],
  ['cmps', 0xa6],
  ['stos', 0xaa],
  ['lods', 0xac],
  ['scas', 0xae],
] as const) {
  define(`${name}b`, `| ${hex(opcode)}`)
  define(`${name}w`, `| o16 ${hex(opcode + 1)}`)
  define(`${name}d`, `| ${hex(opcode + 1)}`)
}

// --- ports, flags, system ------------------------------------------------------------------------------------------
define('in', 'al,imm8 | e4 ib', 'accv,imm8 | e5 ib', 'al,dx | ec', 'accv,dx | ed')
define('out', 'imm8,al | e6 ib', 'imm8,accv | e7 ib', 'dx,al | ee', 'dx,accv | ef')
for (const [name, opcode] of [
  ['hlt', 'f4'],
  ['cmc', 'f5'],
  ['clc', 'f8'],
  ['stc', 'f9'],
  ['cli', 'fa'],
  ['sti', 'fb'],
  ['cld', 'fc'],
  ['std', 'fd'],
  ['pause', 'f3 90'],
  ['gate', '0f 04'],
  ['clts', '0f 06'],
  ['invd', '0f 08'],
  ['wbinvd', '0f 09'],
  ['ud2', '0f 0b'],
  ['wrmsr', '0f 30'],
  ['rdtsc', '0f 31'],
  ['rdmsr', '0f 32'],
  ['rdpmc', '0f 33'],
  ['sysenter', '0f 34'],
  ['sysexit', '0f 35'],
  ['cpuid', '0f a2'],
] as const) {
  define(name, `| ${opcode}`)
}
define('nop', '| 90', 'rmv | 0f 1f /0')
define('sldt', 'rv | 0f 00 /0', 'm16? | 0f 00 /0')
define('str', 'rv | 0f 00 /1', 'm16? | 0f 00 /1')
define('lldt', 'r16 | 0f 00 /2', 'r32 | 0f 00 /2', 'm16? | 0f 00 /2')
define('ltr', 'r16 | 0f 00 /3', 'r32 | 0f 00 /3', 'm16? | 0f 00 /3')
define('verr', 'r16 | 0f 00 /4', 'r32 | 0f 00 /4', 'm16? | 0f 00 /4')
define('verw', 'r16 | 0f 00 /5', 'r32 | 0f 00 /5', 'm16? | 0f 00 /5')
define('sgdt', 'm | 0f 01 /0')
define('sidt', 'm | 0f 01 /1')
define('lgdt', 'm | 0f 01 /2')
define('lidt', 'm | 0f 01 /3')
define('smsw', 'rv | 0f 01 /4', 'm16? | 0f 01 /4')
define('lmsw', 'r16 | 0f 01 /6', 'r32 | 0f 01 /6', 'm16? | 0f 01 /6')
define('invlpg', 'm | 0f 01 /7')
define('lar', 'rv,rv | 0f 02 /r', 'rv,m16? | 0f 02 /r', 'rv,mv | 0f 02 /r')
define('lsl', 'rv,rv | 0f 03 /r', 'rv,m16? | 0f 03 /r', 'rv,mv | 0f 03 /r')
define('arpl', 'r16,r16 | 63 /r', 'm16?,r16 | 63 /r')

// --- x87: what boot code and lazy-FPU tests need -------------------------------------------------------------------
for (const [name, opcode] of [
  ['fwait wait', '9b'],
  ['fninit', 'db e3'],
  ['finit', '9b db e3'],
  ['fnclex', 'db e2'],
  ['fclex', '9b db e2'],
  ['fnop', 'd9 d0'],
  ['fchs', 'd9 e0'],
  ['fabs', 'd9 e1'],
  ['fld1', 'd9 e8'],
  ['fldpi', 'd9 eb'],
  ['fldz', 'd9 ee'],
  ['fsqrt', 'd9 fa'],
] as const) {
  define(name, `| ${opcode}`)
}
define('fld', 'm32 | d9 /0', 'm64 | dd /0', 'm80 | db /5', 'st | d9 c0 +r')
define('fst', 'm32 | d9 /2', 'm64 | dd /2', 'st | dd d0 +r')
define('fstp', 'm32 | d9 /3', 'm64 | dd /3', 'm80 | db /7', 'st | dd d8 +r')
define('fild', 'm16 | df /0', 'm32 | db /0', 'm64 | df /5')
define('fistp', 'm16 | df /3', 'm32 | db /3', 'm64 | df /7')
define('fxch', 'st | d9 c8 +r', '| d9 c9')
define('faddp', '| de c1')
define('fmulp', '| de c9')
define('fldcw', 'm16? | d9 /5')
define('fnstcw', 'm16? | d9 /7')
define('fnstsw', 'ax | df e0', 'm16? | dd /7')
define('fnsave', 'm | dd /6')
define('frstor', 'm | dd /4')
define('fnstenv', 'm | d9 /6')
define('fldenv', 'm | d9 /4')
define('fxsave', 'm | 0f ae /0')
define('fxrstor', 'm | 0f ae /1')

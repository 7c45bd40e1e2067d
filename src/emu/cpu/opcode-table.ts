/**
 * The opcode table: every encoding of the i686, once. The decoder reads it, and with it the translator, the coverage test
 * and the support page will. Opcodes are 0x00-0xff, two-byte ones 0x0f00-0x0fff; `digit` is the ModRM reg field where it
 * selects the instruction, else -1.
 *
 * Operand kinds (manual 2B, appendix A.2; only what this CPU needs):
 *   E general r/m   G reg of ModRM   M memory only   S segment register   C control   D debug register   R rm as register
 *   Z register in the opcode's low bits   O offset without ModRM   I immediate   J relative   A far pointer
 *   suffix b byte   v operand size   w word   z operand size (immediate)   s sign-extended byte
 *
 * Not there: MMX, SSE, PAE (they come with the Linux guests), hardware task switching, virtual-8086 mode.
 */
import type { Handler } from './insn.ts'
import { fpuHandler, fxrstor, fxsave, waitHandler } from './fpu/index.ts'
import * as arith from './interp/arith.ts'
import * as bcd from './interp/bcd.ts'
import * as bits from './interp/bit.ts'
import * as control from './interp/control.ts'
import * as data from './interp/data.ts'
import * as misc from './interp/misc.ts'
import * as muldiv from './interp/muldiv.ts'
import * as shift from './interp/shift.ts'
import * as stack from './interp/stack.ts'
import * as string from './interp/string.ts'
import * as system from './interp/system.ts'
import * as verify from './interp/verify.ts'

export type OperandKind =
  | 'Eb' | 'Ev' | 'Ew' | 'Gb' | 'Gv' | 'Gw' | 'M' | 'Sw' | 'Cd' | 'Dd' | 'Rd' | 'Zb' | 'Zv' | 'Ob' | 'Ov'
  | 'Ib' | 'Is' | 'Iw' | 'Iz' | 'Jb' | 'Jz' | 'Ap' | 'One' | 'CL' | 'Fpu' // prettier-ignore

export interface OpcodeEntry {
  readonly opcode: number
  readonly digit: number
  readonly name: string
  readonly operands: readonly OperandKind[]
  /** Handlers for 16- and 32-bit operand size. */
  readonly op16: Handler
  readonly op32: Handler
  /** Faster 32-bit handlers where the operand is a register / in memory. */
  readonly reg32?: Handler | undefined
  readonly mem32?: Handler | undefined
  /** May be the last of a block: it can change EIP, privilege, paging or interruptibility. */
  readonly endsBlock: boolean
  /** LOCK is allowed (with a memory operand). */
  readonly lockable: boolean
  /** For pushes and pops of segment registers: the register. */
  readonly sreg?: number
}

const table: OpcodeEntry[] = []

interface Extra {
  digit?: number
  ends?: boolean
  lock?: boolean
  reg32?: Handler | undefined
  mem32?: Handler | undefined
  sreg?: number
}

function op(
  opcode: number,
  name: string,
  operands: readonly OperandKind[],
  op16: Handler,
  op32: Handler,
  extra: Extra = {},
): void {
  table.push({
    opcode,
    digit: extra.digit ?? -1,
    name,
    operands,
    op16,
    op32,
    endsBlock: extra.ends ?? false,
    lockable: extra.lock ?? false,
    ...(extra.reg32 ? { reg32: extra.reg32 } : {}),
    ...(extra.mem32 ? { mem32: extra.mem32 } : {}),
    ...(extra.sreg === undefined ? {} : { sreg: extra.sreg }),
  })
}
/** The same handler for both operand sizes. */
function both(
  opcode: number,
  name: string,
  operands: readonly OperandKind[],
  handler: Handler,
  extra: Extra = {},
): void {
  op(opcode, name, operands, handler, handler, extra)
}
const ENDS = { ends: true }

// --- 00-3F: the ALU ---------------------------------------------------------------------------------------------------------
const ALU_NAMES = ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp']
const aluForms = ALU_NAMES.map((_, n) => arith.binaryForms(arith.ALU[n], n !== arith.ALU_CMP))
aluForms.forEach((f, n) => {
  const base = n * 8
  const name = ALU_NAMES[n]
  const lock = n !== arith.ALU_CMP
  both(base, name, ['Eb', 'Gb'], f.EbGb, { lock })
  op(base + 1, name, ['Ev', 'Gv'], f.Ev16Gv, f.Ev32Gv, { lock, reg32: arith.REG_REG_32[n] })
  both(base + 2, name, ['Gb', 'Eb'], f.GbEb)
  op(base + 3, name, ['Gv', 'Ev'], f.Gv16Ev, f.Gv32Ev)
  both(base + 4, name, ['Ib'], f.AlIb)
  op(base + 5, name, ['Iz'], f.AxIz, f.EaxIz)
  both(0x80, name, ['Eb', 'Ib'], f.EbIb, { digit: n, lock })
  op(0x81, name, ['Ev', 'Iz'], f.Ev16Iz, f.Ev32Iz, { digit: n, lock, reg32: arith.REG_IMM_32[n] })
  both(0x82, name, ['Eb', 'Ib'], f.EbIb, { digit: n, lock })
  op(0x83, name, ['Ev', 'Is'], f.Ev16Iz, f.Ev32Iz, { digit: n, lock, reg32: arith.REG_IMM_32[n] })
})
const SREG_PUSH: [number, number][] = [[0x06, 0], [0x0e, 1], [0x16, 2], [0x1e, 3], [0x0fa0, 4], [0x0fa8, 5]] // prettier-ignore
for (const [opcode, sreg] of SREG_PUSH) both(opcode, 'push', [], system.pushSreg, { sreg })
const SREG_POP: [number, number][] = [[0x07, 0], [0x17, 2], [0x1f, 3], [0x0fa1, 4], [0x0fa9, 5]] // prettier-ignore
for (const [opcode, sreg] of SREG_POP) both(opcode, 'pop', [], system.popSreg, { sreg, ends: sreg === 2 })
both(0x27, 'daa', [], bcd.daa)
both(0x2f, 'das', [], bcd.das)
both(0x37, 'aaa', [], bcd.aaa)
both(0x3f, 'aas', [], bcd.aas)

// --- 40-6F ------------------------------------------------------------------------------------------------------------------
for (let r = 0; r < 8; r++) {
  op(0x40 + r, 'inc', ['Zv'], arith.INC.Ev16, arith.inc32Reg)
  op(0x48 + r, 'dec', ['Zv'], arith.DEC.Ev16, arith.dec32Reg)
  op(0x50 + r, 'push', ['Zv'], stack.push16Reg, stack.push32Reg)
  op(0x58 + r, 'pop', ['Zv'], stack.pop16Reg, stack.pop32Reg)
  if (r > 0) op(0x90 + r, 'xchg', ['Zv'], data.xchgAxR16, data.xchgEaxR32)
  both(0xb0 + r, 'mov', ['Zb', 'Ib'], data.movR8Ib)
  op(0xb8 + r, 'mov', ['Zv', 'Iz'], data.movR16Iz, data.movR32Iz)
  op(0x0fc8 + r, 'bswap', ['Zv'], data.bswap16, data.bswap32)
}
op(0x60, 'pusha', [], stack.pusha16, stack.pusha32)
op(0x61, 'popa', [], stack.popa16, stack.popa32)
op(0x62, 'bound', ['Gv', 'M'], misc.bound16, misc.bound32)
both(0x63, 'arpl', ['Ew', 'Gw'], verify.arpl)
op(0x68, 'push', ['Iz'], stack.push16Imm, stack.push32Imm)
op(0x69, 'imul', ['Gv', 'Ev', 'Iz'], muldiv.imulGv16Imm, muldiv.imulGv32Imm)
op(0x6a, 'push', ['Is'], stack.push16Imm, stack.push32Imm)
op(0x6b, 'imul', ['Gv', 'Ev', 'Is'], muldiv.imulGv16Imm, muldiv.imulGv32Imm)
both(0x6c, 'insb', [], string.insb, ENDS)
both(0x6d, 'ins', [], string.insv, ENDS)
both(0x6e, 'outsb', [], string.outsb, ENDS)
both(0x6f, 'outs', [], string.outsv, ENDS)

// --- 70-8F ------------------------------------------------------------------------------------------------------------------
const CONDITIONS = ['o', 'no', 'b', 'ae', 'z', 'nz', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g']
CONDITIONS.forEach((cc, n) => {
  const j32 = control.JCC_32[n] ?? control.jcc32
  op(0x70 + n, `j${cc}`, ['Jb'], control.jcc16, j32, ENDS)
  op(0x0f80 + n, `j${cc}`, ['Jz'], control.jcc16, j32, ENDS)
  both(0x0f90 + n, `set${cc}`, ['Eb'], data.setcc)
  op(0x0f40 + n, `cmov${cc}`, ['Gv', 'Ev'], data.cmov16, data.cmov32)
})
const testForms = arith.binaryForms(arith.TEST, false)
both(0x84, 'test', ['Eb', 'Gb'], testForms.EbGb)
op(0x85, 'test', ['Ev', 'Gv'], testForms.Ev16Gv, testForms.Ev32Gv, { reg32: arith.test32RegReg })
both(0x86, 'xchg', ['Eb', 'Gb'], data.xchgEbGb, { lock: true })
op(0x87, 'xchg', ['Ev', 'Gv'], data.xchgEv16Gv, data.xchgEv32Gv, { lock: true })
both(0x88, 'mov', ['Eb', 'Gb'], data.movEbGb)
op(0x89, 'mov', ['Ev', 'Gv'], data.movEv16Gv, data.movEv32Gv, { reg32: data.mov32RegReg, mem32: data.mov32ToMem })
both(0x8a, 'mov', ['Gb', 'Eb'], data.movGbEb)
op(0x8b, 'mov', ['Gv', 'Ev'], data.movGv16Ev, data.movGv32Ev, {
  reg32: data.mov32RegRegReverse,
  mem32: data.mov32FromMem,
})
both(0x8c, 'mov', ['Ew', 'Sw'], system.movFromSreg)
op(0x8d, 'lea', ['Gv', 'M'], data.lea16, data.lea32)
both(0x8e, 'mov', ['Sw', 'Ew'], system.movToSreg, ENDS)
op(0x8f, 'pop', ['Ev'], stack.pop16Ev, stack.pop32Ev, { digit: 0 })

// --- 90-BF ------------------------------------------------------------------------------------------------------------------
both(0x90, 'nop', [], misc.nop)
op(0x98, 'cbw', [], misc.cbw, misc.cwde)
op(0x99, 'cwd', [], misc.cwd, misc.cdq)
both(0x9a, 'callf', ['Ap'], system.callFarPointer, ENDS)
both(0x9b, 'wait', [], waitHandler)
both(0x9c, 'pushf', [], system.pushf)
both(0x9d, 'popf', [], system.popf, ENDS)
both(0x9e, 'sahf', [], misc.sahf)
both(0x9f, 'lahf', [], misc.lahf)
both(0xa0, 'mov', ['Ob'], data.movAlOb)
op(0xa1, 'mov', ['Ov'], data.movAxOv, data.movEaxOv)
both(0xa2, 'mov', ['Ob'], data.movObAl)
op(0xa3, 'mov', ['Ov'], data.movOvAx, data.movOvEax)
// A repeated string instruction may pause with EIP set back to itself, so it ends its block.
both(0xa4, 'movsb', [], string.movsb, ENDS)
both(0xa5, 'movs', [], string.movsv, ENDS)
both(0xa6, 'cmpsb', [], string.cmpsb, ENDS)
both(0xa7, 'cmps', [], string.cmpsv, ENDS)
both(0xa8, 'test', ['Ib'], testForms.AlIb)
op(0xa9, 'test', ['Iz'], testForms.AxIz, testForms.EaxIz)
both(0xaa, 'stosb', [], string.stosb, ENDS)
both(0xab, 'stos', [], string.stosv, ENDS)
both(0xac, 'lodsb', [], string.lodsb, ENDS)
both(0xad, 'lods', [], string.lodsv, ENDS)
both(0xae, 'scasb', [], string.scasb, ENDS)
both(0xaf, 'scas', [], string.scasv, ENDS)

// --- C0-DF ------------------------------------------------------------------------------------------------------------------
const SHIFT_NAMES = ['rol', 'ror', 'rcl', 'rcr', 'shl', 'shr', 'sal', 'sar']
SHIFT_NAMES.forEach((name, digit) => {
  const imm = shift.SHIFT_BY_IMM[digit]
  const one = shift.SHIFT_BY_1[digit]
  const cl = shift.SHIFT_BY_CL[digit]
  const reg32 = digit === 4 ? shift.shl32RegImm : digit === 5 ? shift.shr32RegImm : undefined
  both(0xc0, name, ['Eb', 'Ib'], imm.Eb, { digit })
  op(0xc1, name, ['Ev', 'Ib'], imm.Ev16, imm.Ev32, { digit, reg32 })
  both(0xd0, name, ['Eb', 'One'], one.Eb, { digit })
  op(0xd1, name, ['Ev', 'One'], one.Ev16, one.Ev32, { digit })
  both(0xd2, name, ['Eb', 'CL'], cl.Eb, { digit })
  op(0xd3, name, ['Ev', 'CL'], cl.Ev16, cl.Ev32, { digit })
})
op(0xc2, 'ret', ['Iw'], control.ret16Imm, control.ret32Imm, ENDS)
op(0xc3, 'ret', [], control.ret16, control.ret32, ENDS)
both(0xc4, 'les', ['Gv', 'M'], system.les)
both(0xc5, 'lds', ['Gv', 'M'], system.lds)
both(0xc6, 'mov', ['Eb', 'Ib'], data.movEbIb, { digit: 0 })
op(0xc7, 'mov', ['Ev', 'Iz'], data.movEv16Iz, data.movEv32Iz, { digit: 0 })
op(0xc8, 'enter', ['Iw', 'Ib'], stack.enter16, stack.enter32)
op(0xc9, 'leave', [], stack.leave16, stack.leave32)
both(0xca, 'retf', ['Iw'], system.retFarImm, ENDS)
both(0xcb, 'retf', [], system.retFar, ENDS)
both(0xcc, 'int3', [], system.int3, ENDS)
both(0xcd, 'int', ['Ib'], system.intN, ENDS)
both(0xce, 'into', [], system.into, ENDS)
both(0xcf, 'iret', [], system.iret, ENDS)
both(0xd4, 'aam', ['Ib'], bcd.aam)
both(0xd5, 'aad', ['Ib'], bcd.aad)
both(0xd6, 'salc', [], misc.salc)
both(0xd7, 'xlat', [], data.xlat)
for (let escape = 0xd8; escape <= 0xdf; escape++) {
  // The decoder asks fpuHandler() with the ModRM byte; this entry only says that there is one.
  both(escape, 'fpu', ['Fpu'], system.undefinedOpcode)
}

// --- E0-FF ------------------------------------------------------------------------------------------------------------------
both(0xe0, 'loopnz', ['Jb'], control.loopnz, ENDS)
both(0xe1, 'loopz', ['Jb'], control.loopz, ENDS)
both(0xe2, 'loop', ['Jb'], control.loop, ENDS)
both(0xe3, 'jecxz', ['Jb'], control.jecxz, ENDS)
both(0xe4, 'in', ['Ib'], system.inAlImm)
both(0xe5, 'in', ['Ib'], system.inAxImm)
both(0xe6, 'out', ['Ib'], system.outImmAl)
both(0xe7, 'out', ['Ib'], system.outImmAx)
op(0xe8, 'call', ['Jz'], control.callRel16, control.callRel32, ENDS)
op(0xe9, 'jmp', ['Jz'], control.jmpRel16, control.jmpRel32, ENDS)
both(0xea, 'jmpf', ['Ap'], system.jmpFar, ENDS)
op(0xeb, 'jmp', ['Jb'], control.jmpRel16, control.jmpRel32, ENDS)
both(0xec, 'in', [], system.inAlDx)
both(0xed, 'in', [], system.inAxDx)
both(0xee, 'out', [], system.outDxAl)
both(0xef, 'out', [], system.outDxAx)
both(0xf1, 'int1', [], system.int1, ENDS)
both(0xf4, 'hlt', [], system.hlt, ENDS)
both(0xf5, 'cmc', [], misc.cmc)
both(0xf6, 'test', ['Eb', 'Ib'], testForms.EbIb, { digit: 0 })
both(0xf6, 'test', ['Eb', 'Ib'], testForms.EbIb, { digit: 1 })
op(0xf7, 'test', ['Ev', 'Iz'], testForms.Ev16Iz, testForms.Ev32Iz, { digit: 0 })
op(0xf7, 'test', ['Ev', 'Iz'], testForms.Ev16Iz, testForms.Ev32Iz, { digit: 1 })
both(0xf6, 'not', ['Eb'], arith.NOT.Eb, { digit: 2, lock: true })
op(0xf7, 'not', ['Ev'], arith.NOT.Ev16, arith.NOT.Ev32, { digit: 2, lock: true })
both(0xf6, 'neg', ['Eb'], arith.NEG.Eb, { digit: 3, lock: true })
op(0xf7, 'neg', ['Ev'], arith.NEG.Ev16, arith.NEG.Ev32, { digit: 3, lock: true })
both(0xf6, 'mul', ['Eb'], muldiv.mul8, { digit: 4 })
op(0xf7, 'mul', ['Ev'], muldiv.mul16, muldiv.mul32, { digit: 4 })
both(0xf6, 'imul', ['Eb'], muldiv.imul8, { digit: 5 })
op(0xf7, 'imul', ['Ev'], muldiv.imul16, muldiv.imul32, { digit: 5 })
both(0xf6, 'div', ['Eb'], muldiv.div8, { digit: 6 })
op(0xf7, 'div', ['Ev'], muldiv.div16, muldiv.div32, { digit: 6 })
both(0xf6, 'idiv', ['Eb'], muldiv.idiv8, { digit: 7 })
op(0xf7, 'idiv', ['Ev'], muldiv.idiv16, muldiv.idiv32, { digit: 7 })
both(0xf8, 'clc', [], misc.clc)
both(0xf9, 'stc', [], misc.stc)
both(0xfa, 'cli', [], system.cli)
both(0xfb, 'sti', [], system.sti, ENDS)
both(0xfc, 'cld', [], misc.cld)
both(0xfd, 'std', [], misc.std)
both(0xfe, 'inc', ['Eb'], arith.INC.Eb, { digit: 0, lock: true })
both(0xfe, 'dec', ['Eb'], arith.DEC.Eb, { digit: 1, lock: true })
op(0xff, 'inc', ['Ev'], arith.INC.Ev16, arith.INC.Ev32, { digit: 0, lock: true })
op(0xff, 'dec', ['Ev'], arith.DEC.Ev16, arith.DEC.Ev32, { digit: 1, lock: true })
op(0xff, 'call', ['Ev'], control.callEv16, control.callEv32, { digit: 2, ends: true })
both(0xff, 'callf', ['M'], system.callFarM, { digit: 3, ends: true })
op(0xff, 'jmp', ['Ev'], control.jmpEv16, control.jmpEv32, { digit: 4, ends: true })
both(0xff, 'jmpf', ['M'], system.jmpFarM, { digit: 5, ends: true })
op(0xff, 'push', ['Ev'], stack.push16Ev, stack.push32Ev, { digit: 6 })

// --- 0F ---------------------------------------------------------------------------------------------------------------------
const SYSTEM_GROUPS: [number, number, string, OperandKind, Handler, boolean][] = [
  [0x0f00, 0, 'sldt', 'Ew', system.sldt, false],
  [0x0f00, 1, 'str', 'Ew', system.str, false],
  [0x0f00, 2, 'lldt', 'Ew', system.lldt, false],
  [0x0f00, 3, 'ltr', 'Ew', system.ltr, false],
  [0x0f00, 4, 'verr', 'Ew', verify.verr, false],
  [0x0f00, 5, 'verw', 'Ew', verify.verw, false],
  [0x0f01, 0, 'sgdt', 'M', system.sgdt, false],
  [0x0f01, 1, 'sidt', 'M', system.sidt, false],
  [0x0f01, 2, 'lgdt', 'M', system.lgdt, false],
  [0x0f01, 3, 'lidt', 'M', system.lidt, false],
  [0x0f01, 4, 'smsw', 'Ew', system.smsw, false],
  [0x0f01, 6, 'lmsw', 'Ew', system.lmsw, true],
  [0x0f01, 7, 'invlpg', 'M', system.invlpg, true],
  [0x0fae, 0, 'fxsave', 'M', fxsave, false],
  [0x0fae, 1, 'fxrstor', 'M', fxrstor, false],
]
for (const [opcode, digit, name, kind, handler, ends] of SYSTEM_GROUPS)
  both(opcode, name, [kind], handler, { digit, ends })
both(0x0f02, 'lar', ['Gv', 'Ew'], verify.lar)
both(0x0f03, 'lsl', ['Gv', 'Ew'], verify.lsl)
both(0x0f06, 'clts', [], system.clts)
both(0x0f08, 'invd', [], system.invd)
both(0x0f09, 'wbinvd', [], system.wbinvd)
both(0x0f0b, 'ud2', [], system.undefinedOpcode, ENDS)
for (let hint = 0x0f18; hint <= 0x0f1f; hint++) both(hint, 'nop', ['Ev'], misc.nop)
both(0x0f20, 'mov', ['Rd', 'Cd'], system.movFromCr)
both(0x0f21, 'mov', ['Rd', 'Dd'], system.movFromDr)
both(0x0f22, 'mov', ['Cd', 'Rd'], system.movToCr, ENDS)
both(0x0f23, 'mov', ['Dd', 'Rd'], system.movToDr, ENDS)
both(0x0f30, 'wrmsr', [], system.wrmsr, ENDS)
both(0x0f31, 'rdtsc', [], system.rdtsc)
both(0x0f32, 'rdmsr', [], system.rdmsr)
both(0x0f33, 'rdpmc', [], system.rdpmc)
both(0x0f34, 'sysenter', [], system.sysenter, ENDS)
both(0x0f35, 'sysexit', [], system.sysexit, ENDS)
both(0x0fa2, 'cpuid', [], system.cpuid)
const BIT_OPS: [string, bits.BitForms, number][] = [
  ['bt', bits.BT, 4],
  ['bts', bits.BTS, 5],
  ['btr', bits.BTR, 6],
  ['btc', bits.BTC, 7],
]
for (const [name, f, digit] of BIT_OPS) {
  const lock = digit !== 4
  op(0x0f83 + digit * 8, name, ['Ev', 'Gv'], f.Ev16Gv, f.Ev32Gv, { lock })
  op(0x0fba, name, ['Ev', 'Ib'], f.Ev16Ib, f.Ev32Ib, { digit, lock })
}
op(0x0fa4, 'shld', ['Ev', 'Gv', 'Ib'], shift.SHLD.imm.Ev16, shift.SHLD.imm.Ev32)
op(0x0fa5, 'shld', ['Ev', 'Gv', 'CL'], shift.SHLD.cl.Ev16, shift.SHLD.cl.Ev32)
op(0x0fac, 'shrd', ['Ev', 'Gv', 'Ib'], shift.SHRD.imm.Ev16, shift.SHRD.imm.Ev32)
op(0x0fad, 'shrd', ['Ev', 'Gv', 'CL'], shift.SHRD.cl.Ev16, shift.SHRD.cl.Ev32)
op(0x0faf, 'imul', ['Gv', 'Ev'], muldiv.imulGv16, muldiv.imulGv32)
both(0x0fb0, 'cmpxchg', ['Eb', 'Gb'], data.cmpxchgEbGb, { lock: true })
op(0x0fb1, 'cmpxchg', ['Ev', 'Gv'], data.cmpxchgEv16Gv, data.cmpxchgEv32Gv, { lock: true })
both(0x0fb2, 'lss', ['Gv', 'M'], system.lss, ENDS)
both(0x0fb4, 'lfs', ['Gv', 'M'], system.lfs)
both(0x0fb5, 'lgs', ['Gv', 'M'], system.lgs)
op(0x0fb6, 'movzx', ['Gv', 'Eb'], data.movzxGv16Eb, data.movzxGv32Eb)
op(0x0fb7, 'movzx', ['Gv', 'Ew'], data.movzxGv16Ew, data.movzxGv32Ew)
op(0x0fbc, 'bsf', ['Gv', 'Ev'], bits.bsf16, bits.bsf32)
op(0x0fbd, 'bsr', ['Gv', 'Ev'], bits.bsr16, bits.bsr32)
op(0x0fbe, 'movsx', ['Gv', 'Eb'], data.movsxGv16Eb, data.movsxGv32Eb)
op(0x0fbf, 'movsx', ['Gv', 'Ew'], data.movsxGv16Ew, data.movsxGv32Ew)
both(0x0fc0, 'xadd', ['Eb', 'Gb'], data.xaddEbGb, { lock: true })
op(0x0fc1, 'xadd', ['Ev', 'Gv'], data.xaddEv16Gv, data.xaddEv32Gv, { lock: true })
both(0x0fc7, 'cmpxchg8b', ['M'], data.cmpxchg8b, { digit: 1, lock: true })

/** Every encoding. */
export const OPCODE_TABLE: readonly OpcodeEntry[] = table

/** Entries by opcode (0x0fxx at 0x100 + xx), then by digit; a plain entry stands at all eight digits. */
const index: (OpcodeEntry | undefined)[][] = Array.from({ length: 0x200 }, () => [])
for (const entry of table) {
  const at = entry.opcode >= 0x0f00 ? 0x100 + (entry.opcode & 0xff) : entry.opcode
  if (entry.digit >= 0) index[at][entry.digit] = entry
  else for (let digit = 0; digit < 8; digit++) index[at][digit] = entry
}

/** Kinds that are followed by a ModRM byte. */
const MODRM_KINDS = new Set<OperandKind>(['Eb', 'Ev', 'Ew', 'Gb', 'Gv', 'Gw', 'M', 'Sw', 'Cd', 'Dd', 'Rd', 'Fpu'])
const hasModrmAt: boolean[] = index.map((entries) =>
  entries.some((e) => e?.operands.some((k) => MODRM_KINDS.has(k)) === true),
)

/** True when a ModRM byte follows the opcode, whatever its digit. */
export function opcodeHasModrm(opcode: number): boolean {
  return hasModrmAt[opcode >= 0x0f00 ? 0x100 + (opcode & 0xff) : opcode]
}

/** The entry of an opcode and ModRM reg field; undefined = #UD. */
export function findOpcode(opcode: number, digit: number): OpcodeEntry | undefined {
  return index[opcode >= 0x0f00 ? 0x100 + (opcode & 0xff) : opcode][digit]
}

export { fpuHandler }

/**
 * The x87's instructions by opcode: the door between the opcode table and the handlers (manual volume 2B, tables ). An encoding
 * without an instruction is #UD. FISTTP is SSE3's and not here.
 */
import type { Handler } from '../insn.ts'
import {
  compareToFlags,
  conditionalMove,
  ftst,
  fxam,
  memoryOperation,
  type SourceFormat,
  stackCompare,
  stackOperation,
} from './arith-handlers.ts'
import {
  fldcw,
  fldenv,
  fnclex,
  fninit,
  fnop,
  fnsave,
  fnstcw,
  fnstenv,
  fnstsw,
  fnstswAx,
  frstor,
  leftover,
} from './environment.ts'
import {
  f2xm1,
  fabs,
  fchs,
  fcos,
  fpatan,
  fprem,
  fprem1,
  fptan,
  frndint,
  fscale,
  fsin,
  fsincos,
  fsqrt,
  fxtract,
  fyl2x,
  fyl2xp1,
} from './function-handlers.ts'
import {
  constant,
  fbld,
  fildInt16,
  fildInt32,
  fildInt64,
  fldFloat32,
  fldFloat64,
  fldFloat80,
  fldSt,
  free,
  fstpNoException,
  fxch,
  rotate,
  storeBcd,
  storeFloat32,
  storeFloat64,
  storeFloat80,
  storeInt16,
  storeInt32,
  storeInt64,
  storeSt,
} from './load-store.ts'

export { fxrstor, fxsave, waitHandler } from './environment.ts'

type Row = readonly (Handler | undefined)[]

const operations = (format: SourceFormat): Row => Array.from({ length: 8 }, (_, op) => memoryOperation(op, format))

/** Memory forms, by opcode and the reg field. */
const MEMORY: Readonly<Record<number, Row>> = {
  0xd8: operations('float32'),
  0xd9: [fldFloat32, undefined, storeFloat32(false), storeFloat32(true), fldenv, fldcw, fnstenv, fnstcw],
  0xda: operations('int32'),
  0xdb: [fildInt32, undefined, storeInt32(false), storeInt32(true), undefined, fldFloat80, undefined, storeFloat80],
  0xdc: operations('float64'),
  0xdd: [fldFloat64, undefined, storeFloat64(false), storeFloat64(true), frstor, undefined, fnsave, fnstsw],
  0xde: operations('int16'),
  0xdf: [fildInt16, undefined, storeInt16(false), storeInt16(true), fbld, fildInt64, storeBcd, storeInt64],
}

const fcom = stackCompare(false, 0)
const fcomp = stackCompare(false, 1)
const fcompp = stackCompare(false, 2)
const fucom = stackCompare(true, 0)
const fucomp = stackCompare(true, 1)
const fucompp = stackCompare(true, 2)
const fst = storeSt(false)
const fstp = storeSt(true)

const stack = (toI: boolean, pops: boolean): Row =>
  Array.from({ length: 8 }, (_, op) => {
    if (op === 2) return pops ? fcomp : fcom
    if (op === 3) return fcomp
    return stackOperation(op, toI, pops)
  })

// Condition codes of Jcc: B 2, E 4, BE 6, P (unordered) 10; the odd ones are their opposites.
const moves = (invert: 0 | 1): Row => [2, 4, 6, 10].map((cc) => conditionalMove(cc | invert))

/** Register forms by opcode and the reg field; where the rm field decides too there is a row in SINGLES. */
const REGISTERS: Readonly<Record<number, Row>> = {
  0xd8: stack(false, false),
  // D9 /3, DC /2 /3, DD /1, DE /2, DF /1-/3: undocumented second encodings that every CPU has.
  0xd9: [fldSt, fxch, undefined, fstpNoException],
  0xda: moves(0),
  0xdb: [...moves(1), undefined, compareToFlags(true, false), compareToFlags(false, false)],
  0xdc: stack(true, false),
  0xdd: [free(false), fxch, fst, fstp, fucom, fucomp],
  0xde: stack(true, true),
  0xdf: [free(true), fxch, fstp, fstp, undefined, compareToFlags(true, true), compareToFlags(false, true)],
}

/** Encodings of their own: opcode and ModRM. */
const SINGLES: Readonly<Record<number, Handler>> = {
  0xd9d0: fnop,
  0xd9e0: fchs,
  0xd9e1: fabs,
  0xd9e4: ftst,
  0xd9e5: fxam,
  0xd9e8: constant(0),
  0xd9e9: constant(1),
  0xd9ea: constant(2),
  0xd9eb: constant(3),
  0xd9ec: constant(4),
  0xd9ed: constant(5),
  0xd9ee: constant(6),
  0xd9f0: f2xm1,
  0xd9f1: fyl2x,
  0xd9f2: fptan,
  0xd9f3: fpatan,
  0xd9f4: fxtract,
  0xd9f5: fprem1,
  0xd9f6: rotate(-1),
  0xd9f7: rotate(1),
  0xd9f8: fprem,
  0xd9f9: fyl2xp1,
  0xd9fa: fsqrt,
  0xd9fb: fsincos,
  0xd9fc: frndint,
  0xd9fd: fscale,
  0xd9fe: fsin,
  0xd9ff: fcos,
  0xdae9: fucompp,
  0xdbe0: leftover,
  0xdbe1: leftover,
  0xdbe2: fnclex,
  0xdbe3: fninit,
  0xdbe4: leftover,
  0xded9: fcompp,
  0xdfe0: fnstswAx,
}

/** The handler of opcode D8-DF with a ModRM byte; undefined when there is no such instruction. */
export function fpuHandler(opcode: number, modrm: number): Handler | undefined {
  const reg = (modrm >> 3) & 7
  if (modrm < 0xc0) return MEMORY[opcode][reg]
  const single = SINGLES[(opcode << 8) | modrm]
  if (single !== undefined) return single
  // Only D9 of DE's reg 3 is an instruction.
  if (opcode === 0xde && reg === 3) return undefined
  return REGISTERS[opcode][reg]
}

/**
 * The decoder: bytes to Insn, driven by the opcode table (manual 2A, chapter 2). It reads through a function, so it knows
 * neither paging nor caches; the reader raises the fault when a byte cannot be had.
 *
 *   | prefixes 0-14 | opcode 1-2 | ModRM | SIB | displacement 0-4 | immediate 0-6 |     15 bytes at most, else #GP(0)
 */
import { DS, EBP, EBX, EDI, ESI, ESP, SS } from '../layout/x86.ts'
import type { OpcodeEntry } from './opcode-table.ts'
import { findOpcode, fpuHandler, opcodeHasModrm } from './opcode-table.ts'
import { type Handler, type Insn, REP, REP_NONE, REPNE } from './insn.ts'
import { undefinedOpcode } from './interp/system.ts'

/** Byte number `n` of the instruction, 0-14. */
export type ReadByte = (n: number) => number

export const MAX_LENGTH = 15

/** Thrown by decode() when the instruction is longer than 15 bytes; the caller raises #GP(0). */
export const TOO_LONG = { kind: 'instruction too long' }

export interface Decoded {
  insn: Insn
  endsBlock: boolean
}

function newInsn(): Insn {
  return {
    exec: undefinedOpcode,
    name: '(bad)',
    length: 1,
    back: 1,
    opcode: 0,
    size: 4,
    addressSize: 4,
    mod: 0,
    reg: 0,
    rm: 0,
    seg: DS,
    base: -1,
    index: -1,
    scale: 0,
    disp: 0,
    imm: 0,
    imm2: 0,
    rep: REP_NONE,
    lock: false,
    segOverride: -1,
  }
}

const SEGMENT_PREFIXES: Readonly<Record<number, number>> = { 0x26: 0, 0x2e: 1, 0x36: 2, 0x3e: 3, 0x64: 4, 0x65: 5 }

/** GATE's opcode, 0F 04: undefined on every i386, Kennel's way into TypeScript. */
export const OPCODE_GATE = 0x0f04

class Cursor {
  at = 0
  private readonly read: ReadByte
  constructor(read: ReadByte) {
    this.read = read
  }
  byte(): number {
    if (this.at >= MAX_LENGTH) throw TOO_LONG
    return this.read(this.at++)
  }
  s8(): number {
    return (this.byte() << 24) >> 24
  }
  u16(): number {
    const low = this.byte()
    return low | (this.byte() << 8)
  }
  s16(): number {
    return (this.u16() << 16) >> 16
  }
  s32(): number {
    const low = this.u16()
    return low | (this.u16() << 16)
  }
}

/** Decodes one instruction. `code32` is CS.D. Throws TOO_LONG, and whatever `read` throws. */
export function decode(read: ReadByte, code32: boolean): Decoded {
  const c = new Cursor(read)
  const insn = newInsn()
  let operand32 = code32
  let address32 = code32
  let byte = c.byte()
  for (;;) {
    const seg = SEGMENT_PREFIXES[byte]
    if (seg !== undefined) insn.segOverride = seg
    else if (byte === 0x66) operand32 = !code32
    else if (byte === 0x67) address32 = !code32
    else if (byte === 0xf0) insn.lock = true
    else if (byte === REP || byte === REPNE) insn.rep = byte
    else break
    byte = c.byte()
  }
  insn.size = operand32 ? 4 : 2
  insn.addressSize = address32 ? 4 : 2
  const opcode = byte === 0x0f ? 0x0f00 | c.byte() : byte
  insn.opcode = opcode
  let modrm = 0
  const hasModrm = opcodeHasModrm(opcode)
  if (hasModrm) {
    modrm = c.byte()
    insn.mod = modrm >>> 6
    insn.reg = (modrm >>> 3) & 7
    insn.rm = modrm & 7
  }
  const entry = findOpcode(opcode, insn.reg)
  if (!entry) return bad(insn, c)
  // MOV to and from control and debug registers: the mod bits are ignored, the operand is always a register.
  const registerOnly = entry.operands.includes('Rd')
  if (registerOnly) insn.mod = 3
  else if (hasModrm && insn.mod !== 3) decodeMemory(insn, c)
  if (insn.mod !== 3 || !hasModrm) insn.seg = insn.segOverride >= 0 ? insn.segOverride : insn.seg
  readImmediates(insn, entry, c)
  if (entry.sreg !== undefined) insn.reg = entry.sreg
  insn.name = entry.name
  insn.length = c.at
  if (insn.lock && !(entry.lockable && insn.mod !== 3 && hasModrm)) return bad(insn, c)
  insn.exec = chooseHandler(insn, entry, modrm)
  return { insn, endsBlock: entry.endsBlock }
}

function bad(insn: Insn, c: Cursor): Decoded {
  insn.exec = undefinedOpcode
  insn.name = '(bad)'
  insn.length = c.at
  return { insn, endsBlock: true }
}

function chooseHandler(insn: Insn, entry: OpcodeEntry, modrm: number): Handler {
  if (entry.name === 'fpu') return fpuHandler(insn.opcode, modrm) ?? undefinedOpcode
  if (insn.size === 2) return entry.op16
  if (insn.mod === 3) return entry.reg32 ?? entry.op32
  return entry.mem32 ?? entry.op32
}

function decodeMemory(insn: Insn, c: Cursor): void {
  if (insn.addressSize === 2) decodeMemory16(insn, c)
  else decodeMemory32(insn, c)
}

const BASE_16 = [EBX, EBX, EBP, EBP, ESI, EDI, EBP, EBX]
const INDEX_16 = [ESI, EDI, ESI, EDI, -1, -1, -1, -1]

function decodeMemory16(insn: Insn, c: Cursor): void {
  const { mod, rm } = insn
  if (mod === 0 && rm === 6) {
    insn.disp = c.u16()
    return
  }
  insn.base = BASE_16[rm]
  insn.index = INDEX_16[rm]
  if (insn.base === EBP) insn.seg = SS
  if (mod === 1) insn.disp = c.s8()
  else if (mod === 2) insn.disp = c.s16()
}

function decodeMemory32(insn: Insn, c: Cursor): void {
  const { mod, rm } = insn
  if (rm === 4) {
    const sib = c.byte()
    insn.scale = sib >>> 6
    const index = (sib >>> 3) & 7
    insn.index = index === ESP ? -1 : index
    const base = sib & 7
    if (base === EBP && mod === 0) {
      insn.disp = c.s32()
      return
    }
    insn.base = base
  } else if (rm === 5 && mod === 0) {
    insn.disp = c.s32()
    return
  } else insn.base = rm
  if (insn.base === ESP || insn.base === EBP) insn.seg = SS
  if (mod === 1) insn.disp = c.s8()
  else if (mod === 2) insn.disp = c.s32()
}

function readImmediates(insn: Insn, entry: OpcodeEntry, c: Cursor): void {
  for (const kind of entry.operands) {
    switch (kind) {
      case 'Zb':
      case 'Zv':
        insn.rm = insn.opcode & 7
        insn.mod = 3
        break
      case 'Ob':
      case 'Ov':
        insn.disp = insn.addressSize === 4 ? c.s32() : c.u16()
        break
      case 'Ib':
        if (entry.name === 'enter') insn.imm2 = c.byte()
        else insn.imm = c.byte()
        break
      case 'Is':
      case 'Jb':
        insn.imm = c.s8()
        break
      case 'Iw':
        insn.imm = c.u16()
        break
      case 'Iz':
      case 'Jz':
        insn.imm = insn.size === 4 ? c.s32() : c.s16()
        break
      case 'Ap':
        insn.imm = insn.size === 4 ? c.s32() : c.u16()
        insn.imm2 = c.u16()
        break
    }
  }
}

/**
 * Insn: one decoded instruction, as the decoder makes it and every handler reads it. Decoding happens once a physical
 * address (see code-cache.ts); handlers must never look at the instruction's bytes again.
 */
import type { Cpu } from './cpu.ts'

/**
 * Executes one instruction. For the last of a block EIP points after it; for the others EIP stays at the block's start, so only what
 * ends its block may read EIP as it is (insn.back finds the instruction's own address). After a fault the run loop puts EIP right.
 */
export type Handler = (cpu: Cpu, insn: Insn) => void

export const REP_NONE = 0
export const REPNE = 0xf2
export const REP = 0xf3

export interface Insn {
  exec: Handler
  /** Mnemonic from the opcode table, for traces and errors. */
  name: string
  /** Length in bytes, 1 to 15. */
  length: number
  /** What S_EIP is ahead of the instruction's own address while it executes: its length, or minus what is before it in its block. */
  back: number
  /** Last opcode byte; two-byte opcodes are 0x0f00 | byte. */
  opcode: number
  /** Operand size in bytes as the prefix and CS.D say: 2 or 4. Byte forms have handlers of their own. */
  size: 2 | 4
  /** Address size in bytes: 2 or 4. */
  addressSize: 2 | 4
  /** ModRM fields; mod is 3 for a register operand. All 0 when the instruction has none. */
  mod: number
  reg: number
  rm: number
  /** Memory operand: segment register index (override already applied), base and index register or -1, shift, disp. */
  seg: number
  base: number
  index: number
  scale: number
  disp: number
  /** Immediate, sign-extended where the instruction says so; moffs address; relative displacement. */
  imm: number
  /** Second immediate: ENTER's level, the selector of a far pointer. */
  imm2: number
  /** REP_NONE, REPNE or REP. */
  rep: number
  lock: boolean
  /** Segment override register, or -1 (string instructions need it). */
  segOverride: number
}

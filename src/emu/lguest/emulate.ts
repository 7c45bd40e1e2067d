/**
 * emulateInsn (x86/core.c, emulate_insn; reference 3.3): the few privileged instructions a Guest kernel executes for good reason. Kernels probe
 * ports that are not there and, early in boot, disable interrupts the hard way. Each of them raised #GP with error code 0.
 *
 *      [66]  E4 ib  E5 ib  in al/eax, imm8     EC  ED  in al/eax, dx
 *      [66]  E6 ib  E7 ib  out                 EE  EF  out
 *            FA            cli (later eras)
 *            0F 21 /r      mov r32, dr               0F 23 /r  mov dr, r32 (later eras)
 *
 * Nobody answers at any port: in gives ones, as wide as the access, and out goes nowhere. Debug registers hold what they hold after
 * a reset, and keep it. lguest does not emulate those two, but Linux up to 3.11 reads the registers when it prints an oops: that the
 * read faults is another oops, and so on for ever, and nobody learns what the first was.
 */
import { type Guest, lgread, lguestAddressOk } from './guest.ts'
import { countEmulated } from './stats.ts'

const PREFIX_OPERAND_SIZE = 0x66
const CLI = 0xfa
const TWO_BYTES = 0x0f
const MOV_FROM_DR = 0x21
const MOV_TO_DR = 0x23
/** Bit 0 of the opcode: word or doubleword, not byte. */
const WIDE = 1

/** General registers as ModR/M numbers them. */
const GENERAL = ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi'] as const
/** DR0 to DR7 after a reset (manual 3A, table 9-1); 4 and 5 mean 6 and 7. */
const DEBUG_REGISTERS = [0, 0, 0, 0, 0xffff0ff0, 0x400, 0xffff0ff0, 0x400] as const

/** The byte of the instruction at eip + n, or -1. Each has its own translation: the next may be on another page. */
function fetch(lg: Guest, n: number): number {
  const gpa = lg.abi.guestPa(lg, (lg.regs.eip + n) >>> 0)
  if (gpa < 0 || !lguestAddressOk(lg, gpa, 1)) return -1
  return lgread(lg, gpa, 1)[0]
}

/** True when the instruction at eip was one of ours: done, and eip is after it. */
export function emulateInsn(lg: Guest): boolean {
  const { regs } = lg
  if (!lg.abi.mayEmulate(lg)) return false
  let length = 0
  let insn = fetch(lg, 0)
  if (insn === CLI && lg.abi.skipsCli) {
    // The real flag stays on; the Guest's own it clears itself.
    regs.eip = (regs.eip + 1) >>> 0
    countEmulated(lg)
    return true
  }
  if (insn === TWO_BYTES && lg.abi.hidesDebugRegisters) return moveDebugRegister(lg)
  let small = false
  if (insn === PREFIX_OPERAND_SIZE) {
    small = true
    length = 1
    insn = fetch(lg, 1)
  }
  let input = false
  switch (insn & ~WIDE) {
    case 0xe4: // in, imm8
      length += 2
      input = true
      break
    case 0xec: // in, dx
      length += 1
      input = true
      break
    case 0xe6: // out, imm8
      length += 2
      break
    case 0xee: // out, dx
      length += 1
      break
    default:
      return false
  }
  if (insn < 0) return false
  if (input) {
    if ((insn & WIDE) === 0) regs.eax |= 0xff
    else if (small) regs.eax |= 0xffff
    else regs.eax = 0xffffffff
  }
  regs.eip = (regs.eip + length) >>> 0
  countEmulated(lg)
  return true
}

/** A move from or to a debug register. The CPU does not look at the mod bits of its ModR/M: it is always a register. */
function moveDebugRegister(lg: Guest): boolean {
  const { regs } = lg
  const insn = fetch(lg, 1)
  const modrm = insn === MOV_FROM_DR || insn === MOV_TO_DR ? fetch(lg, 2) : -1
  if (modrm < 0) return false
  if (insn === MOV_FROM_DR) regs[GENERAL[modrm & 7]] = DEBUG_REGISTERS[(modrm >> 3) & 7]
  regs.eip = (regs.eip + 3) >>> 0
  countEmulated(lg)
  return true
}

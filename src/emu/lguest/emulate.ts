/**
 * emulateInsn (x86/core.c, emulate_insn; reference 3.3): the few privileged instructions a Guest kernel executes for good reason. Kernels probe
 * ports that are not there and, early in boot, disable interrupts the hard way. Each of them raised #GP with error code 0.
 *
 *      [66]  E4 ib  E5 ib  in al/eax, imm8     EC  ED  in al/eax, dx
 *      [66]  E6 ib  E7 ib  out                 EE  EF  out
 *            FA            cli (later eras)
 *
 * Nobody answers at any port: in gives ones, as wide as the access, and out goes nowhere.
 */
import { type Guest, lgread, lguestAddressOk } from './guest.ts'
import { countEmulated } from './stats.ts'

const PREFIX_OPERAND_SIZE = 0x66
const CLI = 0xfa
/** Bit 0 of the opcode: word or doubleword, not byte. */
const WIDE = 1

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

/**
 * What the Intel manual leaves undefined, by instruction (volume 2, "Flags affected" of each; volume 1, appendix A), and the
 * little that processors are known to do differently. Nothing else is excused in a comparison.
 */
import { TRAP_DB } from '../../layout/x86.ts'
import { AF, CF, OF, PF, SF, ZF } from './compare.ts'
import { immediateOf, isByteForm } from './encoding.ts'
import type { Form } from './forms.ts'
import type { GeneratedCase } from './generate.ts'
import { ECX, NO_FAULT, type TestCase, type TestResult } from './protocol.ts'

const STATUS = CF | PF | AF | ZF | SF | OF

const BY_NAME: Readonly<Record<string, number>> = {
  aaa: OF | SF | ZF | PF,
  aas: OF | SF | ZF | PF,
  aam: OF | AF | CF,
  aad: OF | AF | CF,
  daa: OF,
  das: OF,
  and: AF,
  or: AF,
  xor: AF,
  test: AF,
  mul: SF | ZF | AF | PF,
  imul: SF | ZF | AF | PF,
  div: STATUS,
  idiv: STATUS,
  bt: OF | SF | AF | PF,
  bts: OF | SF | AF | PF,
  btr: OF | SF | AF | PF,
  btc: OF | SF | AF | PF,
  bsf: CF | OF | SF | AF | PF,
  bsr: CF | OF | SF | AF | PF,
}

/** The bits of EFLAGS a comparison leaves out. An instruction that faults has changed none, so then they all count. */
export function ignoredFlags({ form, variant, test }: GeneratedCase, result: TestResult): number {
  if (result.vector !== NO_FAULT && result.vector !== TRAP_DB) return 0
  const bits = isByteForm(form.opcode) ? 8 : variant.operandSize
  switch (form.name) {
    case 'rol':
    case 'ror':
    case 'rcl':
    case 'rcr':
      return shiftCountOf(form, test) > 1 ? OF : 0
    case 'shl':
    case 'shr':
    case 'sar': {
      const count = shiftCountOf(form, test)
      if (count === 0) return 0
      return AF | (count > 1 ? OF : 0) | (count >= bits && form.name !== 'sar' ? CF : 0)
    }
    case 'shld':
    case 'shrd': {
      const count = shiftCountOf(form, test)
      if (count > bits) return STATUS
      return count === 0 ? 0 : AF | (count > 1 ? OF : 0)
    }
    default:
      return BY_NAME[form.name] ?? 0
  }
}

/** The count a shift sees: five bits of its immediate or CL. */
export function shiftCountOf(form: Form, test: TestCase): number {
  if (immediateOf(form.opcode, form.digit) === 'ib') return (test.code[test.code.length - 1] as number) & 31
  if (form.opcode === 0xd0 || form.opcode === 0xd1) return 1
  return (test.gpr[ECX] as number) & 31
}

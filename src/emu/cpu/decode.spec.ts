import { describe, expect, it } from 'vitest'
import { forms } from '../testing/silicon/forms.ts'
import { codeFor16Bit, generateCases, variantsOf } from '../testing/silicon/generate.ts'
import { decode } from './decode.ts'
import type { Insn } from './insn.ts'

const SELECTORS = { cs: 0x23, ss: 0x2b, based: 0x63 }

function decoded(code: ArrayLike<number>, code32: boolean): Insn {
  return decode((n) => code[n] ?? 0x90, code32).insn
}

describe('a 16-bit code segment', () => {
  // What each form does with 32- and 16-bit operands and addresses is proved against silicon in a 32-bit segment.
  it.each([...new Set(forms.map(({ name }) => name))])('has the sizes of %s the other way round', (name) => {
    let compared = 0
    for (const form of forms.filter((one) => one.name === name)) {
      for (const variant of variantsOf(form)) {
        for (const { test } of generateCases(form, variant, SELECTORS, 8, 1986)) {
          const other = codeFor16Bit(test.code)
          if (other === undefined) continue
          const { length, ...insn } = decoded(test.code, true)
          const { length: otherLength, ...otherInsn } = decoded(other, false)
          expect(otherInsn).toEqual(insn)
          expect(otherLength - length).toBe(other.length - test.code.length)
          compared++
        }
      }
    }
    expect(compared).toBeGreaterThan(0)
  })

  it('without prefixes: 16-bit operand, address of BX, SI, immediate of a word', () => {
    // ADD word [BX + SI - 2], 0x1234, as the opcode map has it (manual 2A, table 2-1).
    expect(decoded([0x81, 0x40, 0xfe, 0x34, 0x12], false)).toMatchObject({
      name: 'add', length: 5, size: 2, addressSize: 2, base: 3, index: 6, disp: -2, imm: 0x1234,
    }) // prettier-ignore
  })
})

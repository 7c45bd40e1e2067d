import { describe, expect, it } from 'vitest'
import { forms } from '../testing/silicon/forms.ts'
import { generateCases, variantsOf } from '../testing/silicon/generate.ts'
import { decode } from './decode.ts'
import type { Insn } from './insn.ts'

const PREFIXES = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3])
const SELECTORS = { cs: 0x23, ss: 0x2b, based: 0x63 }
const MAX_LENGTH = 15

/** The same instruction as a 16-bit code segment has it: the size prefixes mean the opposite there. */
function turned(code: readonly number[]): number[] {
  const end = code.findIndex((byte) => !PREFIXES.has(byte))
  const [prefixes, rest] = [code.slice(0, end), code.slice(end)]
  const sizes = [0x66, 0x67].filter((size) => !prefixes.includes(size))
  return [...sizes, ...prefixes.filter((byte) => byte !== 0x66 && byte !== 0x67), ...rest]
}

function decoded(code: readonly number[], code32: boolean): Insn {
  return decode((n) => code[n] ?? 0x90, code32).insn
}

describe('a 16-bit code segment', () => {
  // What each form does with 32- and 16-bit operands and addresses is proved against silicon in a 32-bit segment.
  it.each([...new Set(forms.map(({ name }) => name))])('has the sizes of %s the other way round', (name) => {
    let compared = 0
    for (const form of forms.filter((one) => one.name === name)) {
      for (const variant of variantsOf(form)) {
        for (const { test } of generateCases(form, variant, SELECTORS, 8, 1986)) {
          const code = [...test.code]
          const other = turned(code)
          if (other.length > MAX_LENGTH) continue
          const { length, ...insn } = decoded(code, true)
          const { length: otherLength, ...otherInsn } = decoded(other, false)
          expect(otherInsn).toEqual(insn)
          expect(otherLength - length).toBe(other.length - code.length)
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

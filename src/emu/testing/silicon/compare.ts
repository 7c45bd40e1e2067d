/**
 * Compares what two subjects made of one case, and says in words what differs.
 *
 * Every register, selector, memory byte and flag counts, but for the flags the Intel manual leaves undefined (undefined.ts).
 */
import { type TestCase, type TestResult, CODE_START, MEMORY, NO_FAULT } from './protocol.ts'

export const CF = 1 << 0
export const PF = 1 << 2
export const AF = 1 << 4
export const ZF = 1 << 6
export const SF = 1 << 7
export const DF = 1 << 10
export const OF = 1 << 11

const FLAG_NAMES: readonly (readonly [string, number])[] = [
  ['CF', CF],
  ['PF', PF],
  ['AF', AF],
  ['ZF', ZF],
  ['SF', SF],
  ['TF', 1 << 8],
  ['IF', 1 << 9],
  ['DF', DF],
  ['OF', OF],
  ['IOPL', 3 << 12],
  ['NT', 1 << 14],
  ['RF', 1 << 16],
  ['VM', 1 << 17],
  ['AC', 1 << 18],
  ['VIF', 1 << 19],
  ['VIP', 1 << 20],
  ['ID', 1 << 21],
]
const GPR_NAMES = ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi']
const SELECTOR_NAMES = ['es', 'ds', 'fs', 'gs']

const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`

/** Names of the flags set in a mask. */
export function flagNames(mask: number): string {
  const names = FLAG_NAMES.filter(([, bits]) => (mask & bits) !== 0).map(([name]) => name)
  return names.length === 0 ? '-' : names.join(' ')
}

/** One line a difference, expected first; none when the results agree. `ignoredFlags` is a mask of EFLAGS bits. */
export function differences(expected: TestResult, actual: TestResult, ignoredFlags = 0): string[] {
  const found: string[] = []
  const check = (name: string, a: number, b: number): void => {
    if (a !== b) found.push(`${name}: expected ${hex(a)}, got ${hex(b)}`)
  }
  if (expected.vector !== actual.vector) {
    found.push(`exception: expected ${describeVector(expected)}, got ${describeVector(actual)}`)
  } else {
    check('error code', expected.errorCode, actual.errorCode)
    check('cr2', expected.cr2, actual.cr2)
  }
  check('eip', expected.eip, actual.eip)
  GPR_NAMES.forEach((name, i) => check(name, expected.gpr[i] as number, actual.gpr[i] as number))
  SELECTOR_NAMES.forEach((name, i) => check(name, expected.selectors[i] as number, actual.selectors[i] as number))
  const flags = (expected.eflags ^ actual.eflags) & ~ignoredFlags
  for (const [name, bits] of FLAG_NAMES) {
    if ((flags & bits) === 0) continue
    found.push(
      `${name}: expected ${(expected.eflags & bits) === 0 ? 0 : 1}, got ${(actual.eflags & bits) === 0 ? 0 : 1}`,
    )
  }
  expected.memory.forEach((byte, i) => check(`memory ${hex(MEMORY + i)}`, byte, actual.memory[i] as number))
  return found
}

function describeVector(result: TestResult): string {
  return result.vector === NO_FAULT
    ? 'none'
    : `${result.vector} (error code ${hex(result.errorCode)}, cr2 ${hex(result.cr2)})`
}

/** A case in one paragraph, for failure messages. */
export function describeCase(test: TestCase): string {
  const code = [...test.code].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
  const registers = GPR_NAMES.map((name, i) => `${name}=${hex(test.gpr[i] as number)}`).join(' ')
  const memory = [...test.memory].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  return `${code} at ${hex(CODE_START)} | ${registers} | flags ${flagNames(test.eflags)} | options ${test.options} | memory ${memory}`
}

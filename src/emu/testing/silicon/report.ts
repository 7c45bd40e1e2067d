/** Runs cases on a subject and says which come out otherwise than silicon has them. */
import { describeCase, differences } from './compare.ts'
import type { GeneratedCase } from './generate.ts'
import type { TestCase, TestResult } from './protocol.ts'
import { groupName } from './recording.ts'
import { ignoredFlags } from './undefined.ts'
import { differsByVendor, RECORDED_VENDOR } from './vendor.ts'

export interface Subject {
  run(test: TestCase): TestResult
}

/**
 * At most `limit` failures, each a paragraph: the form, the case, what differs. Empty when all agree.
 * `vendor`: whose processor made the results, as CPUID names it.
 */
export function findDifferences(
  subject: Subject,
  cases: readonly GeneratedCase[],
  results: readonly TestResult[],
  limit = 10,
  vendor = RECORDED_VENDOR,
): string[] {
  const found: string[] = []
  for (let i = 0; i < cases.length && found.length < limit; i++) {
    const made = cases[i] as GeneratedCase
    const expected = results[i] as TestResult
    if (vendor !== RECORDED_VENDOR && differsByVendor(made, expected)) continue
    const lines = differences(expected, subject.run(made.test), ignoredFlags(made, expected))
    if (lines.length > 0) found.push([groupName(made), describeCase(made.test), ...lines].join('\n  '))
  }
  return found
}

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
 * What differs in one case, a line each; empty when all agrees. `vendor`: whose processor made the result, as CPUID names it.
 */
export function differencesOf(
  subject: Subject,
  made: GeneratedCase,
  expected: TestResult,
  vendor = RECORDED_VENDOR,
): string[] {
  if (vendor !== RECORDED_VENDOR && differsByVendor(made, expected)) return []
  return differences(expected, subject.run(made.test), ignoredFlags(made, expected))
}

/** A failure as a paragraph: the form, the case, what differs. */
export function describeFailure(made: GeneratedCase, lines: readonly string[]): string {
  return [groupName(made), describeCase(made.test), ...lines].join('\n  ')
}

/** At most `limit` failures, described. Empty when all cases agree. */
export function findDifferences(
  subject: Subject,
  cases: readonly GeneratedCase[],
  results: readonly TestResult[],
  limit = 10,
): string[] {
  const found: string[] = []
  for (let i = 0; i < cases.length && found.length < limit; i++) {
    const lines = differencesOf(subject, cases[i], results[i])
    if (lines.length > 0) found.push(describeFailure(cases[i], lines))
  }
  return found
}

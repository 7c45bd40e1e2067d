/**
 * The interpreter against the processor below, with other cases than the recorded ones. KENNEL_SILICON_SEED (a number, or "new"
 * for cases nobody has seen before) and KENNEL_SILICON_CASES choose the seed and the number of cases a variant of a form gets.
 *
 * Skipped, by name, where the oracle cannot be built or run.
 */
import { afterAll, describe, expect, it } from 'vitest'
import { type Form, forms } from './forms.ts'
import { codeFor16Bit, generateCases, variantsOf } from './generate.ts'
import { InterpreterSubject } from './interpreter.ts'
import { startOracle } from './native.ts'
import { OPTION_CODE16, OPTION_STACK16, type TestCase } from './protocol.ts'
import { describeFailure, differencesOf } from './report.ts'
import { settle } from './settle.ts'
import { vendorHere } from './vendor.ts'

const oracle = startOracle()
const vendor = vendorHere()
const wanted = process.env['KENNEL_SILICON_SEED'] ?? '1987'
const seed = wanted === 'new' ? Date.now() % 0x1_0000_0000 : Number(wanted)
const casesPerGroup = Number(process.env['KENNEL_SILICON_CASES'] ?? 10)
/** Forms whose cases go to the oracle together. */
const BATCH = 64

if (typeof oracle === 'string') {
  describe.skip(`live silicon: ${oracle}`, () => {
    it('agrees with the interpreter', () => {})
  })
} else {
  describe(`live silicon of ${vendor}, seed ${seed}`, () => {
    const subject = new InterpreterSubject(oracle.selectors)
    afterAll(() => oracle.close())

    /** What differs in the cases of some forms, as `change` makes them; undefined leaves one out. */
    const compare = (batch: readonly Form[], count: number, change: (test: TestCase) => TestCase | undefined): void => {
      const cases = batch
        .flatMap((form) =>
          variantsOf(form).flatMap((variant) => generateCases(form, variant, oracle.selectors, count, seed)),
        )
        .flatMap((made) => {
          const test = change(made.test)
          return test === undefined ? [] : [{ ...made, test }]
        })
      const { differences } = settle(
        cases,
        (made) => oracle.run(made.map(({ test }) => test)),
        (made, result) => differencesOf(subject, made, result, vendor),
      )
      const described = differences.slice(0, 10).map(({ index, lines }) => describeFailure(cases[index], lines))
      expect(described.join('\n'), `${differences.length} differences`).toBe('')
    }

    for (let first = 0; first < forms.length; first += BATCH) {
      const batch = forms.slice(first, first + BATCH)
      it(`forms ${first} to ${first + batch.length - 1}`, () => compare(batch, casesPerGroup, (test) => test))
    }

    describe.skipIf(!oracle.has16Bit)('in 16-bit segments', () => {
      it('on the stack', () => {
        compare(forms, casesPerGroup, (test) => ({ ...test, options: test.options | OPTION_STACK16 }))
      })

      it('in the code', () => {
        compare(forms, casesPerGroup, (test) => {
          const code = codeFor16Bit(test.code)
          return code && { ...test, code, options: test.options | OPTION_CODE16 }
        })
      })
    })
  })
}

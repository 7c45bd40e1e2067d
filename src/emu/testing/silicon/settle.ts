/**
 * What silicon does, told from what happens to a program on it. A processor's answer to one case is not always the instruction's
 * doing: AMD's XSAVE keeps the x87 instruction and data pointers only while an exception is pending (AMD manual, volume 4, XSAVE),
 * so they are gone when the kernel, or a hypervisor below it, takes the processor away between the instruction and the look at its
 * result. Such a thing does not happen to the same case again and again; a wrong interpreter does.
 */

/** How often a case that differs is put to the processor again. */
export const ROUNDS = 6

export interface Settled<Answer> {
  /** One a case: the first that agrees, or else the last. */
  readonly answers: Answer[]
  /** Cases that differed in every round, in order, with what differed in the last one. */
  readonly differences: { readonly index: number; readonly lines: string[] }[]
}

/**
 * Puts `cases` to the processor, and those whose answer differs again, up to ROUNDS times: only a difference that is there every
 * time counts. `compare` says in words what is wrong with an answer; nothing is wrong when it is empty.
 */
export function settle<Case, Answer>(
  cases: readonly Case[],
  ask: (cases: readonly Case[]) => readonly Answer[],
  compare: (test: Case, answer: Answer) => string[],
): Settled<Answer> {
  const answers = [...ask(cases)]
  let differences = differing(cases.keys())
  for (let round = 0; round < ROUNDS && differences.length > 0; round++) {
    const again = differences.map(({ index }) => index)
    const given = ask(again.map((index) => cases[index]))
    again.forEach((index, i) => (answers[index] = given[i]))
    differences = differing(again)
  }
  return { answers, differences }

  function differing(indices: Iterable<number>): { index: number; lines: string[] }[] {
    return [...indices]
      .map((index) => ({ index, lines: compare(cases[index], answers[index]) }))
      .filter(({ lines }) => lines.length > 0)
  }
}

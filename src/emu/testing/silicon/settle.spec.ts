import { describe, expect, it } from 'vitest'
import { ROUNDS, settle } from './settle.ts'

const compare = (test: number, answer: number): string[] => (answer === test * 2 ? [] : [`${test}: ${answer}`])

describe('settling what a processor answers', () => {
  it('asks once when all agree', () => {
    let asked = 0
    const ask = (cases: readonly number[]): number[] => {
      asked += cases.length
      return cases.map((n) => n * 2)
    }
    expect(settle([1, 2, 3], ask, compare)).toEqual({ answers: [2, 4, 6], differences: [] })
    expect(asked).toBe(3)
  })

  it('does not count a difference that goes away, and keeps the answer that agrees', () => {
    let round = 0
    const ask = (cases: readonly number[]): number[] => {
      const unlucky = round++
      return cases.map((n) => (n === 2 && unlucky < ROUNDS ? unlucky : n * 2))
    }
    expect(settle([1, 2, 3], ask, compare)).toEqual({ answers: [2, 4, 6], differences: [] })
  })

  it('counts a difference that is there every time, even another one each time', () => {
    const asked: number[][] = []
    const ask = (cases: readonly number[]): number[] => {
      asked.push([...cases])
      return cases.map((n) => (n === 2 ? 100 + asked.length : n * 2))
    }
    const { differences } = settle([1, 2, 3], ask, compare)
    expect(differences).toEqual([{ index: 1, lines: [`2: ${101 + ROUNDS}`] }])
    expect(asked).toEqual([[1, 2, 3], ...Array.from({ length: ROUNDS }, () => [2])])
  })
})

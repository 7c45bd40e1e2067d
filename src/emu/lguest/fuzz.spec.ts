import { describe, expect, it } from 'vitest'
import { fuzzGuests } from '../testing/fuzz-guests.ts'
import { fuzzHypercalls } from '../testing/fuzz-hypercalls.ts'

/** KENNEL_FUZZ_CALLS makes the run longer: CI does a million. */
const CALLS = Number(process.env['KENNEL_FUZZ_CALLS'] ?? 60_000)

describe('random hypercalls', () => {
  it('hurt nobody but their Guest', () => {
    const { guests, reasons } = fuzzHypercalls(20070308, CALLS)
    expect(guests).toBeGreaterThan(20)
    // The fuzzer is worth nothing if its Guests all die of the same thing.
    expect(Object.keys(reasons).length).toBeGreaterThan(10)
  }, 600_000)

  it('are the same for the same seed', () => {
    expect(fuzzHypercalls(7, 2000)).toEqual(fuzzHypercalls(7, 2000))
  })
})

describe('Guests of random code', () => {
  it('hurt nobody but themselves, and are the same for the same seed', () => {
    const first = fuzzGuests(20070308, 8)
    expect(first.switches).toBeGreaterThan(500)
    expect(first.looks).toBeGreaterThan(0)
    expect(Object.keys(first.reasons).length).toBeGreaterThan(2)
    expect(fuzzGuests(20070308, 8)).toEqual(first)
  }, 300_000)
})

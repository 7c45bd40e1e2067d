import { describe, expect, it } from 'vitest'
import type { SwitchEvent } from '@shared/inspect'
import {
  blocks,
  copiedText,
  duration,
  endAt,
  firstAfter,
  fit,
  lanesOf,
  pan,
  roundDuration,
  switchAt,
  zoom,
} from './timeline-view'

const at = (start: number, end: number, copied = 0, cpu = 0): SwitchEvent => ({
  cpu,
  guestId: 'a',
  start,
  end,
  trap: 14,
  copied,
  bytes: copied ? 24 : 0,
})
const LANE = [at(100, 200), at(300, 400, 4), at(1000, 1001), at(1002, 1003, 1)]

describe('the window', () => {
  it('zooms around a time, which stays where it is', () => {
    const near = zoom({ from: 0, to: 1000 }, 0.5, 250)
    expect(near).toEqual({ from: 125, to: 625 })
    expect((250 - near.from) / (near.to - near.from)).toBe(0.25)
  })
  it('is never shorter than 200 ns', () => {
    const near = zoom({ from: 0, to: 300 }, 0.01, 0)
    expect(near.to - near.from).toBe(200)
  })
  it('moves, and follows an end', () => {
    expect(pan({ from: 0, to: 10 }, 5)).toEqual({ from: 5, to: 15 })
    expect(endAt({ from: 0, to: 10 }, 100)).toEqual({ from: 90, to: 100 })
  })
  it('fits everything, in whatever order it came', () => {
    expect(fit([])).toBeNull()
    const all = fit([at(5000, 6000), at(1000, 2000)])
    expect(all).toEqual({ from: 800, to: 6200 })
  })
})

describe('what is drawn', () => {
  it('goes into a lane a CPU; CPUs that are not there are left out', () => {
    expect(lanesOf([at(1, 2), at(3, 4, 0, 1), at(5, 6, 0, 7)], 2).map((lane) => lane.length)).toEqual([1, 1])
  })
  it('finds the first switch that ends later', () => {
    expect([0, 199, 200, 400, 1003].map((time) => firstAfter(LANE, time))).toEqual([0, 0, 1, 2, 4])
  })
  it('places switches by their times', () => {
    expect(blocks(LANE, { from: 0, to: 500 }, 500)).toEqual([
      { x: 100, width: 100, guestId: 'a', copied: false },
      { x: 300, width: 100, guestId: 'a', copied: true },
    ])
  })
  it('cuts what begins before the window', () => {
    expect(blocks(LANE, { from: 150, to: 250 }, 100)[0]).toMatchObject({ x: 0, width: 50 })
  })
  it('joins what is shorter than a pixel, and keeps that something was copied', () => {
    const joined = blocks(LANE, { from: 0, to: 100_000 }, 100)
    expect(joined.length).toBeLessThan(LANE.length)
    expect(joined.some((block) => block.copied)).toBe(true)
    const many = Array.from({ length: 5000 }, (_, i) => at(i * 10, i * 10 + 5))
    expect(blocks(many, { from: 0, to: 50_000 }, 200).length).toBeLessThanOrEqual(200)
  })
})

describe('pointing', () => {
  it('finds the switch at a time, or one that is near enough', () => {
    expect(switchAt(LANE, 350, 0)).toBe(LANE[1])
    expect(switchAt(LANE, 205, 10)).toBe(LANE[0])
    expect(switchAt(LANE, 295, 10)).toBe(LANE[1])
    expect(switchAt(LANE, 250, 10)).toBeNull()
    expect(switchAt([], 250, 10)).toBeNull()
  })
})

describe('words', () => {
  it('have units that fit', () => {
    expect([812, 3400, 12_500_000, 2.5e9].map(duration)).toEqual(['812 ns', '3.40 µs', '12.50 ms', '2.50 s'])
  })
  it('leave out zeros that say nothing', () => {
    expect([100, 1e4, 2500, 2.5e6, 1e8].map(roundDuration)).toEqual(['100 ns', '10 µs', '2.5 µs', '2.5 ms', '100 ms'])
  })
  it('name what was copied', () => {
    expect(copiedText({ ...at(0, 1), copied: 9, bytes: 140 })).toBe('IDT, registers: 140 bytes')
    expect(copiedText(at(0, 1))).toBe('nothing')
  })
})

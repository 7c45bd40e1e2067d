import { describe, expect, it } from 'vitest'
import { Timeline } from './timeline.ts'

const event = (start: number) => ({ cpu: 0, guestId: 'a', start, end: start + 1, trap: 14, copied: 0, bytes: 0 })
const starts = (timeline: Timeline, since: number, max = 100) => timeline.read(since, max).events.map((e) => e.start)

describe('timeline', () => {
  it('gives only what is new', () => {
    const timeline = new Timeline(10)
    for (let i = 0; i < 4; i++) timeline.add(event(i))
    expect(timeline.read(0, 100)).toMatchObject({ next: 4, dropped: 0 })
    timeline.add(event(4))
    expect(starts(timeline, 4)).toEqual([4])
    expect(starts(timeline, 5)).toEqual([])
  })

  it('says how many it could not keep', () => {
    const timeline = new Timeline(10)
    for (let i = 0; i < 25; i++) timeline.add(event(i))
    expect(timeline.read(3, 100)).toMatchObject({ next: 25, dropped: 12 })
    expect(starts(timeline, 3)).toEqual([15, 16, 17, 18, 19, 20, 21, 22, 23, 24])
    expect(starts(timeline, 0, 2)).toEqual([23, 24])
  })

  it('survives a front that asks for the future or the past', () => {
    const timeline = new Timeline(10)
    timeline.add(event(0))
    expect(timeline.read(99, 5)).toEqual({ next: 1, dropped: 0, events: [] })
    expect(starts(timeline, -5)).toEqual([0])
  })
})

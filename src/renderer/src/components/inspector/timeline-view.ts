/**
 * The arithmetic of the timeline: the window of time it shows, and what of the switches lies where. Times are host ns.
 * Switches of one CPU come in order and never overlap; those of different CPUs are mixed.
 */
import type { SwitchEvent } from '@shared/inspect'
import { number, t } from '../../i18n'

export interface TimeWindow {
  from: number
  to: number
}

const SHORTEST = 200
const LONGEST = 60e9

export function zoom(window: TimeWindow, factor: number, around: number): TimeWindow {
  const length = Math.min(LONGEST, Math.max(SHORTEST, (window.to - window.from) * factor))
  const share = (around - window.from) / (window.to - window.from)
  const from = around - share * length
  return { from, to: from + length }
}

export function pan(window: TimeWindow, by: number): TimeWindow {
  return { from: window.from + by, to: window.to + by }
}

/** The same length of time, with `end` at its right border. */
export function endAt(window: TimeWindow, end: number): TimeWindow {
  return pan(window, end - window.to)
}

/** Everything that is known, with a little room. */
export function fit(events: readonly SwitchEvent[]): TimeWindow | null {
  if (events.length === 0) return null
  let [from, to] = [Infinity, -Infinity]
  for (const e of events) {
    from = Math.min(from, e.start)
    to = Math.max(to, e.end)
  }
  const room = Math.max(SHORTEST, (to - from) * 0.02)
  return { from: from - room, to: to + room }
}

/** One list a CPU, in order. */
export function lanesOf(events: readonly SwitchEvent[], cpus: number): SwitchEvent[][] {
  const lanes: SwitchEvent[][] = Array.from({ length: cpus }, () => [])
  for (const e of events) lanes[e.cpu]?.push(e)
  return lanes
}

/** Index of the first switch of a lane that ends after `time`. */
export function firstAfter(lane: readonly SwitchEvent[], time: number): number {
  let [low, high] = [0, lane.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (lane[middle].end > time) high = middle
    else low = middle + 1
  }
  return low
}

export interface Block {
  x: number
  width: number
  guestId: string
  copied: boolean
}

/**
 * What of a lane is drawn on `width` pixels. Switches shorter than a pixel are joined with their neighbours, so that there
 * are never more blocks than pixels; a joined block belongs to the guest that came first in it.
 */
export function blocks(lane: readonly SwitchEvent[], window: TimeWindow, width: number): Block[] {
  const scale = width / (window.to - window.from)
  const out: Block[] = []
  for (let i = firstAfter(lane, window.from); i < lane.length && lane[i].start < window.to; i++) {
    const e = lane[i]
    const x = Math.max(0, (e.start - window.from) * scale)
    const right = Math.min(width, Math.max((e.end - window.from) * scale, x + 1))
    const last = out.at(-1)
    if (last && x < last.x + last.width && right - last.x < 2) last.copied ||= e.copied !== 0
    else out.push({ x, width: right - x, guestId: e.guestId, copied: e.copied !== 0 })
  }
  return out
}

/** The switch at a time of a lane, or the nearest one within `slack` ns. */
export function switchAt(lane: readonly SwitchEvent[], time: number, slack: number): SwitchEvent | null {
  const i = firstAfter(lane, time)
  const [before, after] = [lane[i - 1], lane[i]]
  if (after && after.start <= time) return after
  const gapAfter = after ? after.start - time : Infinity
  const gapBefore = before ? time - before.end : Infinity
  if (Math.min(gapAfter, gapBefore) > slack) return null
  return gapAfter <= gapBefore ? after : before
}

/** "812 ns", "3.40 µs", "12.5 ms". */
export function duration(ns: number): string {
  return inUnits(ns, 'hundredths')
}

function inUnits(ns: number, format: 'hundredths' | 'short'): string {
  if (ns < 1e3) return t('units.nanoseconds', { n: number(ns, 'whole') })
  if (ns < 1e6) return t('units.microseconds', { n: number(ns / 1e3, format) })
  if (ns < 1e9) return t('units.milliseconds', { n: number(ns / 1e6, format) })
  return t('units.seconds', { n: number(ns / 1e9, format) })
}

/** A round duration without the zeros: "10 ms", "2.5 µs". */
export function roundDuration(ns: number): string {
  return inUnits(ns, 'short')
}

/** What a switch copied: "IDT GDT, 2304 bytes", or "nothing". */
export function copiedText(e: SwitchEvent): string {
  const parts = ['IDT', 'GDT', 'TLS', t('timeline.registers')].filter((_, bit) => (e.copied >>> bit) & 1)
  if (parts.length === 0) return t('timeline.nothing')
  return t('timeline.copied', { parts: parts.join(', '), n: e.bytes }, e.bytes)
}

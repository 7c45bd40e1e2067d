/** Where the main window was: kept in a JSON file, and believed only as far as the displays of today allow. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Rectangle } from 'electron'
import * as v from 'valibot'

/** In device-independent pixels. Smaller, the side bar and a console of 80 columns no longer fit. */
export const MIN_WIDTH = 640
export const MIN_HEIGHT = 420
const DEFAULT_SIZE = { width: 1280, height: 800 }

const pixels = v.pipe(v.number(), v.integer(), v.minValue(-100_000), v.maxValue(100_000))
const WindowStateSchema = v.object({
  bounds: v.object({ x: pixels, y: pixels, width: pixels, height: pixels }),
  maximized: v.boolean(),
})
export type WindowState = v.InferOutput<typeof WindowStateSchema>

/** The kept state, or null when there is none or it is not one. */
export function readWindowState(file: string): WindowState | null {
  try {
    const parsed = v.safeParse(WindowStateSchema, JSON.parse(readFileSync(file, 'utf8')))
    return parsed.success ? parsed.output : null
  } catch {
    return null
  }
}

/** Written in one piece while the window closes, so it cannot wait. Losing it is no loss worth a message. */
export function writeWindowState(file: string, state: WindowState): void {
  try {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(`${file}.tmp`, JSON.stringify(state))
    renameSync(`${file}.tmp`, file)
  } catch {
    // The next start uses the last place that could be written.
  }
}

/**
 * The bounds to open with: the kept ones moved and shrunk into the work area they overlap most; the default size in
 * the middle of the first work area when they overlap none (a display was unplugged). `workAreas` begins with the
 * primary display's.
 */
export function placeWindow(kept: Rectangle | null, workAreas: readonly Rectangle[]): Rectangle {
  let area: Rectangle | undefined
  let most = 0
  for (const candidate of workAreas) {
    const overlap = kept ? overlapOf(kept, candidate) : 0
    if (overlap > most) {
      most = overlap
      area = candidate
    }
  }
  if (kept && area) return fit(kept, area)
  const [primary = { x: 0, y: 0, ...DEFAULT_SIZE }] = workAreas
  const width = Math.min(DEFAULT_SIZE.width, primary.width)
  const height = Math.min(DEFAULT_SIZE.height, primary.height)
  return {
    x: primary.x + Math.floor((primary.width - width) / 2),
    y: primary.y + Math.floor((primary.height - height) / 2),
    width,
    height,
  }
}

function overlapOf(a: Rectangle, b: Rectangle): number {
  const width = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x)
  const height = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y)
  return width > 0 && height > 0 ? width * height : 0
}

function fit(bounds: Rectangle, area: Rectangle): Rectangle {
  const width = clamp(bounds.width, Math.min(MIN_WIDTH, area.width), area.width)
  const height = clamp(bounds.height, Math.min(MIN_HEIGHT, area.height), area.height)
  return {
    x: clamp(bounds.x, area.x, area.x + area.width - width),
    y: clamp(bounds.y, area.y, area.y + area.height - height),
    width,
    height,
  }
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high)
}

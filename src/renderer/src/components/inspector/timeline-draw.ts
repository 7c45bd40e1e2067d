/** Draws the timeline on its canvas. Colours are the tokens of the theme. */
import type { SwitchEvent } from '@shared/inspect'
import { t } from '../../i18n'
import { blocks, roundDuration, type TimeWindow } from './timeline-view'

export const LABEL_WIDTH = 52
export const LANE_HEIGHT = 30
export const SCALE_HEIGHT = 20
const LANE_GAP = 6
const TICK_PIXELS = 110

export interface TimelinePicture {
  width: number
  height: number
  window: TimeWindow
  /** When the newest switch ended. */
  newest: number
  lanes: SwitchEvent[][]
  /** A guest's colour: a CSS variable. */
  colourOf: (guestId: string) => string
  selected: SwitchEvent | null
  /** The CPU that is looked at; its label is bold. */
  cpu: number
}

export function drawTimeline(canvas: HTMLCanvasElement, picture: TimelinePicture): void {
  const context = canvas.getContext('2d')
  if (!context) return
  const density = window.devicePixelRatio || 1
  canvas.width = Math.round(picture.width * density)
  canvas.height = Math.round(picture.height * density)
  context.setTransform(density, 0, 0, density, 0, 0)
  context.clearRect(0, 0, picture.width, picture.height)
  const style = getComputedStyle(canvas)
  const colours = new Map<string, string>()
  const css = (variable: string): string => {
    const name = variable.replace(/^var\(|\)$/g, '')
    let value = colours.get(name)
    if (value === undefined) colours.set(name, (value = style.getPropertyValue(name).trim()))
    return value
  }
  drawScale(context, picture, css)
  picture.lanes.forEach((lane, cpu) => drawLane(context, picture, css, lane, cpu))
}

type Css = (variable: string) => string

/** Times are told from the newest switch back: a host's own would not fit. */
function drawScale(context: CanvasRenderingContext2D, picture: TimelinePicture, css: Css): void {
  const { width, height, window: shown, newest } = picture
  const span = shown.to - shown.from
  const plot = width - LABEL_WIDTH
  const step = niceStep((span / plot) * TICK_PIXELS)
  context.font = '11px sans-serif'
  context.textBaseline = 'top'
  for (let n = Math.ceil((newest - shown.to) / step); newest - n * step > shown.from; n++) {
    const x = LABEL_WIDTH + ((newest - n * step - shown.from) / span) * plot
    context.fillStyle = css('--border')
    context.fillRect(x, 0, 1, height)
    context.fillStyle = css('--text-2')
    const sign = n > 0 ? '−' : '+'
    const label = n === 0 ? t('timeline.newest') : sign + roundDuration(Math.abs(n) * step)
    context.textAlign = x > width - 48 ? 'right' : 'left'
    context.fillText(label, context.textAlign === 'right' ? x - 3 : x + 3, 2)
  }
  context.textAlign = 'left'
}

/** 1, 2 or 5 times a power of ten, not below `least`. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)))
  return ([1, 2, 5, 10].find((n) => n * power >= least) ?? 10) * power
}

function drawLane(
  context: CanvasRenderingContext2D,
  { width, window: shown, colourOf, selected, cpu: current }: TimelinePicture,
  css: Css,
  lane: SwitchEvent[],
  cpu: number,
): void {
  const top = SCALE_HEIGHT + cpu * LANE_HEIGHT
  const height = LANE_HEIGHT - LANE_GAP
  context.fillStyle = css(cpu === current ? '--text' : '--text-2')
  context.font = `${cpu === current ? 'bold ' : ''}12px sans-serif`
  context.textBaseline = 'middle'
  context.fillText(t('common.cpu', { n: cpu }), 4, top + height / 2)
  context.fillStyle = css('--surface-2')
  context.fillRect(LABEL_WIDTH, top, width - LABEL_WIDTH, height)
  for (const block of blocks(lane, shown, width - LABEL_WIDTH)) {
    context.fillStyle = css(colourOf(block.guestId))
    context.fillRect(LABEL_WIDTH + block.x, top, block.width, height)
    if (!block.copied) continue
    context.fillStyle = css('--text')
    context.fillRect(LABEL_WIDTH + block.x, top + height, Math.max(1, block.width), 3)
  }
  if (selected?.cpu !== cpu) return
  const scale = (width - LABEL_WIDTH) / (shown.to - shown.from)
  const x = Math.max(0, (selected.start - shown.from) * scale)
  const right = Math.min(width - LABEL_WIDTH, (selected.end - shown.from) * scale)
  if (right < 0 || x > width) return
  context.strokeStyle = css('--text')
  context.lineWidth = 2
  context.strokeRect(LABEL_WIDTH + x - 1, top - 1, Math.max(3, right - x + 2), height + 2)
}

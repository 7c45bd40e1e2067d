#!/usr/bin/env node
/**
 * Draws the app's icon, a kennel with a prompt in its door, from one list of shapes: as icon.svg, as the sizes Linux
 * desktops want (icons/), and as icon.png, icon.ico and icon.icns. Needs nothing but Node. Run it after changing a
 * shape, and commit what it writes.
 *
 *   node build/draw-icon.mjs
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32, deflateSync } from 'node:zlib'

/** Shapes are in a square of this side, y downwards, painted in order. */
const SIDE = 512
/** Each pixel is the mean of this many points a side. */
const SAMPLES = 4

const rectangle = (x, y, width, height, radius, fill) => ({ kind: 'rectangle', x, y, width, height, radius, fill })
const polygon = (points, fill) => ({ kind: 'polygon', points, fill })

/** A fill is one colour, or two: at the top and at the bottom of the square. */
const SHAPES = [
  rectangle(0, 0, 512, 512, 112, ['#3b7de0', '#173f86']),
  // Walls.
  polygon(
    [
      [256, 150],
      [380, 256],
      [380, 420],
      [132, 420],
      [132, 256],
    ],
    ['#f6f7f9'],
  ),
  // Roof.
  polygon(
    [
      [256, 84],
      [444, 244],
      [410, 284],
      [256, 153],
      [102, 284],
      [68, 244],
    ],
    ['#f2c265'],
  ),
  // Door: its arch, and its lower half down to the ground.
  rectangle(188, 256, 136, 160, 68, ['#15181e']),
  rectangle(188, 330, 136, 90, 0, ['#15181e']),
  // The prompt.
  polygon(
    [
      [212, 318],
      [228, 304],
      [262, 340],
      [228, 376],
      [212, 362],
      [232, 340],
    ],
    ['#6fd08c'],
  ),
  rectangle(258, 366, 44, 16, 0, ['#6fd08c']),
]

function inside(shape, x, y) {
  if (shape.kind === 'rectangle') {
    const { radius } = shape
    // Distance from the rectangle within, whose corners are the centres of the arcs.
    const dx = Math.max(shape.x + radius - x, x - (shape.x + shape.width - radius), 0)
    const dy = Math.max(shape.y + radius - y, y - (shape.y + shape.height - radius), 0)
    return radius === 0 ? dx === 0 && dy === 0 : dx * dx + dy * dy <= radius * radius
  }
  let odd = false
  const { points } = shape
  for (let i = 0, j = points.length - 1; i < points.length; j = i++) {
    const [xi, yi] = points[i]
    const [xj, yj] = points[j]
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) odd = !odd
  }
  return odd
}

const channels = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16))

function colourAt(fill, y) {
  const top = channels(fill[0])
  if (fill.length === 1) return top
  return channels(fill[1]).map((bottom, i) => top[i] + (bottom - top[i]) * (y / SIDE))
}

/** RGBA, `size` pixels a side. */
export function render(size) {
  const pixels = Buffer.alloc(size * size * 4)
  const step = SIDE / size / SAMPLES
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const sum = [0, 0, 0]
      let covered = 0
      for (let i = 0; i < SAMPLES * SAMPLES; i++) {
        const x = (column * SAMPLES + (i % SAMPLES) + 0.5) * step
        const y = (row * SAMPLES + Math.floor(i / SAMPLES) + 0.5) * step
        const shape = SHAPES.findLast((s) => inside(s, x, y))
        if (!shape) continue
        covered++
        colourAt(shape.fill, y).forEach((value, channel) => (sum[channel] += value))
      }
      if (covered === 0) continue
      const colour = sum.map((value) => Math.round(value / covered))
      pixels.set([...colour, Math.round((covered * 255) / (SAMPLES * SAMPLES))], (row * size + column) * 4)
    }
  }
  return pixels
}

/** PNG (W3C Recommendation): 8-bit RGBA, each row unfiltered. */
export function png(size) {
  const pixels = render(size)
  const rows = Buffer.alloc(size * (size * 4 + 1))
  for (let row = 0; row < size; row++) pixels.copy(rows, row * (size * 4 + 1) + 1, row * size * 4, (row + 1) * size * 4)
  const header = Buffer.alloc(13)
  header.writeUInt32BE(size, 0)
  header.writeUInt32BE(size, 4)
  header.set([8, 6, 0, 0, 0], 8)
  const chunk = (type, data) => {
    const out = Buffer.alloc(data.length + 12)
    out.writeUInt32BE(data.length, 0)
    out.write(type, 4, 'latin1')
    data.copy(out, 8)
    out.writeUInt32BE(crc32(out.subarray(4, data.length + 8)), data.length + 8)
    return out
  }
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows, { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

/** Windows: a directory of PNGs; a side of 256 is written as 0. */
function ico(images) {
  const directory = Buffer.alloc(6 + 16 * images.length)
  directory.writeUInt16LE(1, 2)
  directory.writeUInt16LE(images.length, 4)
  let offset = directory.length
  images.forEach(({ size, data }, i) => {
    const at = 6 + 16 * i
    directory.set([size & 0xff, size & 0xff, 0, 0, 1, 0, 32, 0], at)
    directory.writeUInt32LE(data.length, at + 8)
    directory.writeUInt32LE(offset, at + 12)
    offset += data.length
  })
  return Buffer.concat([directory, ...images.map(({ data }) => data)])
}

/** macOS: typed PNGs. ic11-ic14 are 16, 32, 128 and 256 points at two pixels a point. */
function icns(images) {
  const types = {
    32: ['ic11'],
    64: ['ic12'],
    128: ['ic07'],
    256: ['ic08', 'ic13'],
    512: ['ic09', 'ic14'],
    1024: ['ic10'],
  }
  const entries = images.flatMap(({ size, data }) =>
    (types[size] ?? []).map((type) => {
      const head = Buffer.from(`${type}\0\0\0\0`, 'latin1')
      head.writeUInt32BE(data.length + 8, 4)
      return Buffer.concat([head, data])
    }),
  )
  const body = Buffer.concat(entries)
  const head = Buffer.from('icns\0\0\0\0', 'latin1')
  head.writeUInt32BE(body.length + 8, 4)
  return Buffer.concat([head, body])
}

function svg() {
  const gradients = []
  const paint = (fill) => {
    if (fill.length === 1) return fill[0]
    gradients.push(
      `<linearGradient id="g${gradients.length}" gradientUnits="userSpaceOnUse" x1="0" y1="0" x2="0" y2="${SIDE}">` +
        `<stop offset="0" stop-color="${fill[0]}"/><stop offset="1" stop-color="${fill[1]}"/></linearGradient>`,
    )
    return `url(#g${gradients.length - 1})`
  }
  const drawn = SHAPES.map((s) =>
    s.kind === 'rectangle'
      ? `<rect x="${s.x}" y="${s.y}" width="${s.width}" height="${s.height}" rx="${s.radius}" fill="${paint(s.fill)}"/>`
      : `<polygon points="${s.points.map((point) => point.join(',')).join(' ')}" fill="${paint(s.fill)}"/>`,
  )
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${SIDE} ${SIDE}">\n${[...gradients, ...drawn].join('\n')}\n</svg>\n`
}

if (import.meta.filename === process.argv[1]) {
  const here = import.meta.dirname
  const images = [16, 24, 32, 48, 64, 128, 256, 512, 1024].map((size) => ({ size, data: png(size) }))
  mkdirSync(join(here, 'icons'), { recursive: true })
  for (const { size, data } of images.filter(({ size }) => size <= 512)) {
    writeFileSync(join(here, 'icons', `${size}x${size}.png`), data)
  }
  writeFileSync(join(here, 'icon.png'), images[images.length - 1].data)
  writeFileSync(join(here, 'icon.ico'), ico(images.filter(({ size }) => size <= 256)))
  writeFileSync(join(here, 'icon.icns'), icns(images))
  writeFileSync(join(here, 'icon.svg'), svg())
}

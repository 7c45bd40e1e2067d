import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { placeWindow, readWindowState, writeWindowState } from './window-state.ts'

const LEFT = { x: 0, y: 30, width: 1920, height: 1050 }
const RIGHT = { x: 1920, y: 0, width: 1280, height: 720 }

describe('the place of a window', () => {
  it('is the kept one when it is on a display', () => {
    const kept = { x: 100, y: 60, width: 900, height: 700 }
    expect(placeWindow(kept, [LEFT, RIGHT])).toEqual(kept)
    const second = { x: 2000, y: 10, width: 800, height: 600 }
    expect(placeWindow(second, [LEFT, RIGHT])).toEqual(second)
  })

  it('is moved into the work area that shows most of it', () => {
    expect(placeWindow({ x: -300, y: -200, width: 900, height: 700 }, [LEFT, RIGHT])).toEqual({
      x: 0,
      y: 30,
      width: 900,
      height: 700,
    })
    expect(placeWindow({ x: 1800, y: 500, width: 900, height: 700 }, [LEFT, RIGHT])).toEqual({
      x: 1920,
      y: 20,
      width: 900,
      height: 700,
    })
  })

  it('has a size that fits the work area and is no smaller than can be used', () => {
    expect(placeWindow({ x: 1920, y: 0, width: 3000, height: 2000 }, [LEFT, RIGHT])).toEqual(RIGHT)
    expect(placeWindow({ x: 100, y: 100, width: 50, height: 20 }, [LEFT])).toEqual({
      x: 100,
      y: 100,
      width: 640,
      height: 420,
    })
    const tiny = { x: 0, y: 0, width: 500, height: 400 }
    expect(placeWindow({ x: 10, y: 10, width: 900, height: 900 }, [tiny])).toEqual(tiny)
  })

  it('is the middle of the primary display when the kept one is on a display no longer there', () => {
    const middle = { x: 320, y: 155, width: 1280, height: 800 }
    expect(placeWindow({ x: 4000, y: 0, width: 900, height: 700 }, [LEFT, RIGHT])).toEqual(middle)
    expect(placeWindow({ x: 50, y: 50, width: 0, height: 0 }, [LEFT])).toEqual(middle)
    expect(placeWindow(null, [LEFT])).toEqual(middle)
    expect(placeWindow(null, [{ x: 0, y: 0, width: 1024, height: 600 }])).toEqual({
      x: 0,
      y: 0,
      width: 1024,
      height: 600,
    })
  })
})

describe('the file', () => {
  let folder: string
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'kennel-state-'))))
  afterEach(() => rmSync(folder, { recursive: true }))

  it('keeps the state', () => {
    const file = join(folder, 'new', 'window-state.json')
    const state = { bounds: { x: 1, y: 2, width: 800, height: 600 }, maximized: true }
    writeWindowState(file, state)
    expect(readWindowState(file)).toEqual(state)
    expect(readdirSync(join(folder, 'new'))).toEqual(['window-state.json'])
  })

  it.each([
    '',
    '{',
    'null',
    '[]',
    '{"bounds":{"x":0,"y":0,"width":"800","height":600},"maximized":false}',
    '{"bounds":{"x":0,"y":0,"width":1e9,"height":600},"maximized":false}',
    '{"bounds":{"x":0.5,"y":0,"width":800,"height":600},"maximized":false}',
    '{"bounds":{"x":0,"y":0,"width":800,"height":600}}',
  ])('is not believed when it has %j', (text) => {
    const file = join(folder, 'window-state.json')
    writeFileSync(file, text)
    expect(readWindowState(file)).toBeNull()
  })

  it('may be missing, and may be impossible to write', () => {
    expect(readWindowState(join(folder, 'none.json'))).toBeNull()
    writeFileSync(join(folder, 'file'), '')
    const inFile = join(folder, 'file', 'state.json')
    writeWindowState(inFile, { bounds: { x: 0, y: 0, width: 1, height: 1 }, maximized: false })
    expect(readWindowState(inFile)).toBeNull()
  })
})

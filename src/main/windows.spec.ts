import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { FakeElectron, type FakeWindow } from './testing/fake-electron.ts'
import { readWindowState } from './window-state.ts'
import { Windows } from './windows.ts'

let folder: string
let stateFile: string
let fake: FakeElectron
let windows: Windows

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kennel-windows-'))
  stateFile = join(folder, 'window-state.json')
  fake = new FakeElectron(folder)
  windows = new Windows(fake.module, { preload: '/app/preload/index.cjs', stateFile })
})
afterEach(() => {
  vi.useRealTimers()
  rmSync(folder, { recursive: true })
})
const showMain = (): FakeWindow => windows.showMain() as unknown as FakeWindow
const openConsole = (guestId: string): FakeWindow => windows.openConsole(guestId) as unknown as FakeWindow

describe('every window', () => {
  it.each([
    ['the main window', () => showMain()],
    ['a console', () => openConsole('pup')],
  ])('is locked down: %s', async (_which, open) => {
    const window = open()
    expect(window.options.webPreferences).toEqual({
      preload: '/app/preload/index.cjs',
      sandbox: true,
      contextIsolation: true,
      nodeIntegration: false,
      nodeIntegrationInWorker: false,
      nodeIntegrationInSubFrames: false,
      webSecurity: true,
      allowRunningInsecureContent: false,
      experimentalFeatures: false,
      webviewTag: false,
      navigateOnDragDrop: false,
      spellcheck: false,
    })
    expect(window.webContents.mainFrame.url).toMatch(/^app:\/\/kennel\//)
    expect([window.options.show, window.visible]).toEqual([false, false])
    await Promise.resolve()
    expect(window.visible).toBe(true)
  })
})

describe('the main window', () => {
  it('is there once: showing it again brings it to the front', () => {
    const window = showMain()
    window.minimized = true
    expect(showMain()).toBe(window)
    expect([window.minimized, window.focused, fake.windows.length]).toEqual([false, true, 1])
    window.close()
    expect(showMain()).not.toBe(window)
  })

  it('opens where it was, as far as the displays allow', () => {
    writeFileSync(stateFile, '{"bounds":{"x":1500,"y":200,"width":900,"height":5000},"maximized":true}')
    const window = showMain()
    expect(window.bounds).toEqual({ x: 1020, y: 0, width: 900, height: 1040 })
    expect(window.maximized).toBe(true)
  })

  it('opens in the middle of the primary display when its display is gone', () => {
    fake.workAreas = [{ x: 0, y: 25, width: 1440, height: 875 }]
    writeFileSync(stateFile, '{"bounds":{"x":2500,"y":200,"width":900,"height":600},"maximized":false}')
    expect(showMain().bounds).toEqual({ x: 80, y: 62, width: 1280, height: 800 })
  })

  it('keeps its place when it closes, and half a second after it was moved', () => {
    vi.useFakeTimers()
    const window = showMain()
    window.bounds = { x: 10, y: 20, width: 1000, height: 700 }
    window.emit('move')
    vi.advanceTimersByTime(499)
    expect(readWindowState(stateFile)).toBeNull()
    vi.advanceTimersByTime(1)
    expect(readWindowState(stateFile)?.bounds).toEqual(window.bounds)
    window.bounds = { x: 30, y: 40, width: 1000, height: 700 }
    window.maximized = true
    window.emit('resize')
    window.close()
    vi.runAllTimers()
    expect(readWindowState(stateFile)).toEqual({ bounds: { x: 30, y: 40, width: 1000, height: 700 }, maximized: true })
  })
})

describe('consoles', () => {
  it('have a window for each guest, told apart by its id', () => {
    const first = openConsole('pup')
    const second = openConsole('a&b=c/../#?')
    expect(openConsole('pup')).toBe(first)
    expect(first.focused).toBe(true)
    expect(first.webContents.mainFrame.url).toBe('app://kennel/?detached=pup')
    const { searchParams, pathname } = new URL(second.webContents.mainFrame.url)
    expect([searchParams.get('detached'), pathname]).toEqual(['a&b=c/../#?', '/'])
    first.close()
    expect(openConsole('pup')).not.toBe(first)
  })
})

describe('menu commands', () => {
  it('go to the main window’s page, also from a console', () => {
    const main = showMain()
    const console = openConsole('pup')
    windows.listens(windows.showMain())
    console.focus()
    windows.command('go.host', false)
    expect(main.controls).toEqual([{ control: 'menu', command: 'go.host' }])
    expect(console.controls).toEqual([])
    expect(main.focused).toBe(true)
  })

  it('that belong anywhere go to the window in front', () => {
    const main = showMain()
    windows.listens(windows.showMain())
    const console = openConsole('pup')
    console.focus()
    windows.command('palette', true)
    main.focus()
    windows.command('shortcuts', true)
    expect(console.controls).toEqual([{ control: 'menu', command: 'palette' }])
    expect(main.controls).toEqual([{ control: 'menu', command: 'shortcuts' }])
  })

  it('wait for a main window that has to be opened first, until its page listens', () => {
    windows.command('new', false)
    const [main] = fake.windows
    expect(main.controls).toEqual([])
    windows.listens(windows.showMain())
    expect(main.controls).toEqual([{ control: 'menu', command: 'new' }])
    windows.listens(windows.showMain())
    expect(main.controls).toHaveLength(1)
  })
})

describe('closing', () => {
  it('asks whether it may, and says when it is the last', () => {
    const main = showMain()
    const console = openConsole('pup')
    const asked: boolean[] = []
    windows.onClose = (last) => {
      asked.push(last)
      return last
    }
    console.close()
    main.close()
    expect(asked).toEqual([false, true])
    expect(fake.windows).toEqual([main])
  })

  it('leaves windows that are gone out of broadcasts', () => {
    const main = showMain()
    const console = openConsole('pup')
    console.close()
    windows.broadcast({ control: 'engineResponsive', responsive: false })
    expect(main.controls).toEqual([{ control: 'engineResponsive', responsive: false }])
    expect(console.controls).toEqual([])
    expect(windows.of(main.webContents as never)).toBe(main)
    expect(windows.of(console.webContents as never)).toBeNull()
  })
})

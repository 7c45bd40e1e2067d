import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Engine } from './engine.ts'
import { Ipc } from './ipc.ts'
import { Quit, quitQuestion } from './quit.ts'
import { FakeElectron, type FakeWindow } from './testing/fake-electron.ts'
import { Windows } from './windows.ts'

let folder: string
let fake: FakeElectron
let engine: Engine
let windows: Windows
let main: FakeWindow

async function setUp(platform: NodeJS.Platform = 'linux'): Promise<void> {
  folder = mkdtempSync(join(tmpdir(), 'kennel-quit-'))
  fake = new FakeElectron(folder)
  const log = { write: () => undefined }
  const ipc = new Ipc(fake.module, log)
  windows = new Windows(fake.module, { preload: '', stateFile: join(folder, 'state.json') })
  engine = new Engine(fake.module, { entry: 'engine.js', log })
  new Quit(fake.module, engine, windows).setUp(ipc, platform)
  main = windows.showMain() as unknown as FakeWindow
  await engine.start()
}
beforeEach(() => setUp())
afterEach(() => {
  vi.useRealTimers()
  rmSync(folder, { recursive: true })
})

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const running = (...names: string[]): void => fake.ipcMain.send(main.webContents, 'kennel:setRunningGuests', [names])
const wasAsked = (): boolean => fake.engines[0].received.some(({ message }) => message.type === 'shutdown')

describe('quitting', () => {
  it('without running guests asks nothing; the engine finishes first', async () => {
    fake.app.quit()
    expect(fake.app.hasQuit).toBe(false)
    await settle()
    expect(fake.dialog.questions).toEqual([])
    expect([wasAsked(), fake.engines[0].running, fake.app.hasQuit]).toEqual([true, false, true])
    expect(fake.windows).toEqual([])
  })

  it('with running guests asks once, with their names; Cancel keeps everything as it is', async () => {
    running('pup', 'Debian')
    fake.app.quit()
    fake.app.quit()
    await settle()
    expect(fake.dialog.questions).toEqual([quitQuestion(['pup', 'Debian'])])
    fake.dialog.answer(1)
    await settle()
    expect([wasAsked(), fake.engines[0].running, fake.app.hasQuit]).toEqual([false, true, false])
    expect(fake.windows).toHaveLength(1)
    fake.app.quit()
    expect(fake.dialog.questions).toHaveLength(2)
  })

  it('stops them and quits when told to', async () => {
    running('pup')
    fake.dialog.answers.push(0)
    fake.app.quit()
    await settle()
    expect([wasAsked(), fake.engines[0].running, fake.app.hasQuit]).toEqual([true, false, true])
  })

  it('asks about the guests that run now', async () => {
    running('pup')
    running()
    fake.app.quit()
    await settle()
    expect(fake.dialog.questions).toEqual([])
    expect(fake.app.hasQuit).toBe(true)
  })

  it('asks nothing when the engine died, and its guests with it', async () => {
    running('pup')
    fake.engines[0].exit(1)
    fake.app.quit()
    await settle()
    expect(fake.dialog.questions).toEqual([])
    expect(fake.app.hasQuit).toBe(true)
  })

  it('does not wait for ever for an engine that does not finish', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    fake.engines[0].habits.obeys = false
    fake.app.quit()
    await settle()
    expect(fake.app.hasQuit).toBe(false)
    vi.advanceTimersByTime(5000)
    await settle()
    vi.useRealTimers()
    expect(fake.app.hasQuit).toBe(true)
  })
})

describe('closing windows', () => {
  it('the last one is quitting: it stays until the question is answered', async () => {
    running('pup')
    main.close()
    await settle()
    expect(fake.dialog.questions).toHaveLength(1)
    expect(main.isDestroyed()).toBe(false)
    fake.dialog.answer(1)
    await settle()
    expect([main.isDestroyed(), fake.app.hasQuit]).toEqual([false, false])
    fake.dialog.answers.push(0)
    main.close()
    await settle()
    expect([main.isDestroyed(), fake.app.hasQuit]).toEqual([true, true])
  })

  it('another one is only closing', async () => {
    running('pup')
    const console = windows.openConsole('pup') as unknown as FakeWindow
    console.close()
    await settle()
    expect([console.isDestroyed(), fake.dialog.questions.length, fake.engines[0].running]).toEqual([true, 0, true])
  })

  it('on macOS leaves the app and its guests running; its icon brings the window back', async () => {
    rmSync(folder, { recursive: true })
    await setUp('darwin')
    running('pup')
    main.close()
    await settle()
    expect([main.isDestroyed(), fake.app.hasQuit, fake.engines[0].running]).toEqual([true, false, true])
    fake.app.emit('activate')
    expect(fake.windows).toHaveLength(1)
  })
})

describe('the computer’s shutdown', () => {
  it.each([
    ['on Linux and macOS', () => fake.powerMonitor.emit('shutdown')],
    ['on Windows', () => main.emit('session-end')],
  ])('stops the engine and quits without asking: %s', async (_where, shutDown) => {
    running('pup')
    shutDown()
    await settle()
    expect(fake.dialog.questions).toEqual([])
    expect([wasAsked(), fake.app.hasQuit]).toEqual([true, true])
  })

  it('does not wait for an answer to the question, which no longer counts', async () => {
    running('pup')
    fake.engines[0].habits.obeys = false
    fake.app.quit()
    await settle()
    fake.powerMonitor.emit('shutdown')
    expect(wasAsked()).toBe(true)
    fake.dialog.answer(1)
    await settle()
    fake.app.quit()
    await settle()
    expect(fake.dialog.questions).toHaveLength(1)
    fake.engines[0].exit(0)
    await settle()
    expect(fake.app.hasQuit).toBe(true)
  })
})

describe('the question', () => {
  it('says what quitting would do, and does nothing by accident', () => {
    expect(quitQuestion(['pup', 'Debian'])).toEqual({
      type: 'warning',
      message: '2 guests are running.',
      detail: '• pup\n• Debian\n\nQuitting stops them.',
      buttons: ['Stop them and quit', 'Cancel'],
      defaultId: 1,
      cancelId: 1,
      noLink: true,
    })
    expect(quitQuestion(['pup'])).toMatchObject({
      message: '1 guest is running.',
      detail: '• pup\n\nQuitting stops it.',
    })
  })

  it('counts guests beyond ten', () => {
    const names = Array.from({ length: 12 }, (_unused, i) => `g${i}`)
    expect(quitQuestion(names).detail).toContain('• g9\nand 2 more\n')
    expect(quitQuestion(names).message).toBe('12 guests are running.')
  })
})

describe('closing the last window while guests run', () => {
  it('can leave them running without a window, from where Kennel comes back', async () => {
    running('pup')
    await settle()
    main.close()
    main.close()
    expect(fake.dialog.questions).toEqual([quitQuestion(['pup'], true)])
    expect(fake.dialog.questions[0].buttons).toEqual(['Stop it and quit', 'Keep it running', 'Cancel'])
    fake.dialog.answer(1)
    await settle()
    expect([main.visible, fake.windows.length, fake.app.hasQuit, wasAsked()]).toEqual([false, 1, false, false])
    // Its page lives and tells on.
    running()
    running('pup', 'rex')
    windows.showMain()
    expect([main.visible, main.focused]).toEqual([true, true])
    fake.app.quit()
    expect(fake.dialog.questions[1]).toEqual(quitQuestion(['pup', 'rex']))
    expect(fake.dialog.questions[1].buttons).toEqual(['Stop them and quit', 'Cancel'])
  })

  it('keeps the window when cancelled', async () => {
    running('pup')
    await settle()
    main.close()
    fake.dialog.answer(2)
    await settle()
    expect([main.visible, fake.app.hasQuit]).toEqual([true, false])
  })

  it('counts only windows that can be seen', async () => {
    running('pup')
    await settle()
    main.close()
    fake.dialog.answer(1)
    await settle()
    const console = windows.openConsole('pup') as unknown as FakeWindow
    console.close()
    expect(fake.dialog.questions).toHaveLength(2)
  })
})

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { setUpCrash } from './crash.ts'
import { Engine, ENGINE_SERVICE } from './engine.ts'
import { FakeElectron, FakeWindow } from './testing/fake-electron.ts'
import { Windows } from './windows.ts'

let folder: string
let fake: FakeElectron
let engine: Engine
let main: FakeWindow
let lines: string[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kennel-crash-'))
  fake = new FakeElectron(folder)
  lines = []
  const log = { write: (level: string, text: string) => void lines.push(`${level} ${text}`) }
  const windows = new Windows(fake.module, { preload: '', stateFile: join(folder, 'state.json') })
  engine = new Engine(fake.module, { entry: 'engine.js', log })
  setUpCrash(fake.module, { log, engine, windows })
  main = windows.showMain() as unknown as FakeWindow
})
afterEach(() => {
  process.removeAllListeners('uncaughtExceptionMonitor')
  rmSync(folder, { recursive: true })
})
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

it('keeps crash reports on this computer', () => {
  expect(fake.crashReports).toEqual({ uploadToServer: false })
})

describe('a page that died', () => {
  it.each([
    ['crashed', 'it crashed'],
    ['oom', 'it ran out of memory'],
    ['killed', 'it was ended from outside'],
    ['integrity-failure', 'its files are not what they were when installed'],
  ])('(%s) is named, and loaded again when the user wants it', async (reason, words) => {
    fake.dialog.answers.push(0)
    main.webContents.die(reason)
    await settle()
    expect(fake.dialog.questions[0]).toMatchObject({
      message: `This window’s page stopped: ${words}.`,
      buttons: ['Load it again', 'Close the window'],
    })
    expect(lines).toEqual([`error A window’s page stopped: ${words} (status 5).`])
    expect([main.webContents.reloads, main.isDestroyed()]).toEqual([1, false])
  })

  it('is asked about once, and takes its window along when the user wants that', async () => {
    main.webContents.die('crashed')
    main.webContents.die('crashed')
    expect(fake.dialog.questions).toHaveLength(1)
    fake.dialog.answer(1)
    await settle()
    expect([main.webContents.reloads, main.isDestroyed()]).toEqual([0, true])
  })

  it('is nobody’s concern when it ended as it should, or its window is gone', async () => {
    main.webContents.die('clean-exit')
    expect(lines).toEqual([])
    new FakeWindow(fake).webContents.die('crashed')
    expect(lines).toHaveLength(1)
    main.webContents.die('crashed')
    main.close()
    fake.dialog.answer(0)
    await settle()
    expect(main.webContents.reloads).toBe(0)
    expect(fake.dialog.questions).toHaveLength(1)
  })
})

describe('a page that does not answer', () => {
  it('is ended and loaded again when the user wants it, without a second question', async () => {
    main.webContents.emit('unresponsive')
    main.webContents.emit('unresponsive')
    expect(fake.dialog.questions).toHaveLength(1)
    expect(fake.dialog.questions[0]).toMatchObject({ buttons: ['Load it again', 'Wait'], cancelId: 1 })
    fake.dialog.answer(0)
    await settle()
    await settle()
    expect([main.webContents.crashes, main.webContents.reloads]).toEqual([1, 1])
    expect(fake.dialog.questions).toHaveLength(1)
    main.webContents.die('crashed')
    expect(fake.dialog.questions).toHaveLength(2)
  })

  it('is left alone otherwise', async () => {
    fake.dialog.answers.push(1)
    main.webContents.emit('unresponsive')
    await settle()
    expect([main.webContents.crashes, main.webContents.reloads]).toEqual([0, 0])
  })
})

describe('a child process that died', () => {
  const gone = (details: object): void => void fake.app.emit('child-process-gone', {}, details)

  it('is written down', () => {
    gone({ type: 'GPU', reason: 'crashed', exitCode: 139 })
    gone({ type: 'Utility', name: 'Network Service', reason: 'clean-exit', exitCode: 0 })
    expect(lines).toEqual(['error The process “GPU” stopped: it crashed (status 139).'])
  })

  it('explains the engine’s death when it is the engine', async () => {
    const deaths: string[] = []
    engine.onDeath = (reason) => deaths.push(reason)
    await engine.start()
    gone({ type: 'Utility', name: 'Network Service', reason: 'killed', exitCode: 9 })
    gone({ type: 'Utility', name: ENGINE_SERVICE, reason: 'oom', exitCode: 5 })
    fake.engines[0].exit(5)
    expect(deaths).toEqual(['it ran out of memory'])
    await engine.start()
    gone({ type: 'Utility', name: ENGINE_SERVICE, reason: 'abnormal-exit', exitCode: 7 })
    fake.engines[1].exit(7)
    expect(deaths[1]).toBe('it ended with status 7')
  })
})

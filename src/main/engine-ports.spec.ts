import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { setUpEnginePorts } from './engine-ports.ts'
import { Engine } from './engine.ts'
import { Ipc } from './ipc.ts'
import { FakeElectron, type FakeWindow } from './testing/fake-electron.ts'
import { Windows } from './windows.ts'

let folder: string
let fake: FakeElectron
let engine: Engine
let main: FakeWindow
let console: FakeWindow

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kennel-ports-'))
  fake = new FakeElectron(folder)
  const log = { write: () => undefined }
  const windows = new Windows(fake.module, { preload: '', stateFile: join(folder, 'state.json') })
  engine = new Engine(fake.module, { entry: 'engine.js', log })
  setUpEnginePorts(engine, windows, new Ipc(fake.module, log))
  main = windows.showMain() as unknown as FakeWindow
  console = windows.openConsole('pup') as unknown as FakeWindow
})
afterEach(async () => {
  await engine.stop()
  rmSync(folder, { recursive: true })
})

/** Lets what was started come to its end: promises only, no timers. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
async function ask(window: FakeWindow, what: 'requestEngine' | 'restartEngine'): Promise<void> {
  fake.ipcMain.send(window.webContents, `kennel:${what}`)
  await settle()
}

describe('a page', () => {
  it('gets a port of its own when it asks; the engine is started for the first', async () => {
    await ask(main, 'requestEngine')
    expect(fake.engines).toHaveLength(1)
    expect([main.webContents.ports.length, console.webContents.ports.length]).toEqual([1, 0])
    await ask(console, 'requestEngine')
    expect(fake.engines).toHaveLength(1)
    expect([main.webContents.ports.length, console.webContents.ports.length]).toEqual([1, 1])
    expect(main.webContents.sent.at(-1)).toEqual({ channel: 'kennel:enginePort', message: null })
    expect(main.webContents.ports[0]).not.toBe(console.webContents.ports[0])
  })

  it('gets another port after it was loaded again', async () => {
    await ask(main, 'requestEngine')
    await ask(main, 'requestEngine')
    expect(main.webContents.ports).toHaveLength(2)
    expect(fake.engines[0].ports).toHaveLength(2)
  })

  it('that closed while the engine started gets nothing', async () => {
    fake.ipcMain.send(console.webContents, 'kennel:requestEngine')
    console.close()
    await settle()
    expect(fake.engines[0].ports).toHaveLength(0)
  })
})

describe('after the engine’s death', () => {
  beforeEach(async () => {
    await ask(main, 'requestEngine')
    await ask(console, 'requestEngine')
    fake.engines[0].exit(134)
  })

  it('every page is told why', () => {
    const told = { control: 'engineDied', reason: 'The engine stopped: it ended with status 134.' }
    expect(main.controls).toEqual([told])
    expect(console.controls).toEqual([told])
  })

  it('one page’s wish starts it again, for all pages, once', async () => {
    await ask(console, 'restartEngine')
    expect(fake.engines).toHaveLength(2)
    expect([main.webContents.ports.length, console.webContents.ports.length]).toEqual([2, 2])
    await ask(main, 'restartEngine')
    expect(fake.engines).toHaveLength(2)
    expect([main.webContents.ports.length, console.webContents.ports.length]).toEqual([2, 2])
  })

  it('an engine that cannot start says why, and can be tried again', async () => {
    fake.engineHabits.ready = false
    fake.ipcMain.send(main.webContents, 'kennel:restartEngine')
    fake.engines[1].exit(3)
    await settle()
    expect(main.controls.at(-1)).toEqual({
      control: 'engineDied',
      reason: 'The engine could not start: another Kennel, perhaps “kennel serve”, has your guests open.',
    })
    expect(main.controls).toHaveLength(2)
    fake.engineHabits.ready = true
    await ask(main, 'restartEngine')
    expect(main.webContents.ports).toHaveLength(2)
  })
})

it('an engine that does not answer is a message to every page', async () => {
  await ask(main, 'requestEngine')
  engine.onResponsive(false)
  expect(main.controls).toEqual([{ control: 'engineResponsive', responsive: false }])
  expect(console.controls).toEqual([{ control: 'engineResponsive', responsive: false }])
})

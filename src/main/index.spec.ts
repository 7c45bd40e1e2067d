/** The whole list of set-up calls, run against the fake Electron. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { CALLS, SENDS } from './ipc.ts'
import { outsideArchive } from './paths.ts'
import { FakeElectron, type FakeWindow } from './testing/fake-electron.ts'

let folder: string
let fake: FakeElectron

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kennel-index-'))
  fake = new FakeElectron(folder)
  vi.resetModules()
  vi.doMock('electron', () => fake.module)
  vi.stubEnv('KENNEL_HOME', '')
  vi.spyOn(console, 'error').mockImplementation(() => undefined)
})
afterEach(() => {
  for (const engine of fake.engines) engine.exit(0)
  process.removeAllListeners('uncaughtExceptionMonitor')
  vi.unstubAllEnvs()
  vi.restoreAllMocks()
  rmSync(folder, { recursive: true })
})

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
/** Starts the app as Electron does: the file first, then "ready". */
async function start(): Promise<FakeWindow> {
  await import('./index.ts')
  fake.app.becomeReady()
  await settle()
  return fake.windows[0]
}

describe('before Electron is ready', () => {
  it('the scheme and the sandbox are set, and nothing is opened', async () => {
    await import('./index.ts')
    await settle()
    expect(fake.app.sandboxed).toBe(true)
    expect(fake.schemes.map(({ scheme }) => scheme)).toEqual(['app'])
    expect(fake.app.userModelId).toBe(process.platform === 'win32' ? 'org.kennel.app' : '')
    expect([fake.windows.length, fake.engines.length, fake.handlers.size]).toEqual([0, 0, 0])
  })
})

describe('a start', () => {
  it('opens the main window on the app’s own page, locked down', async () => {
    const window = await start()
    expect(fake.windows).toHaveLength(1)
    expect(window.visible).toBe(true)
    expect(window.webContents.mainFrame.url).toBe('app://kennel/')
    expect(window.options.webPreferences).toMatchObject({
      sandbox: true,
      contextIsolation: true,
      nodeIntegration: false,
    })
    expect(window.options.webPreferences?.preload).toBe(join(import.meta.dirname, '../preload/index.cjs'))
    expect(window.webContents.navigate('will-navigate', 'https://example.org/')).toBe(false)
    expect(fake.defaultSession.grants('media', 'app://kennel/')).toBe(false)
    expect(fake.defaultSession.loads('https://example.org/')).toBe(false)
    expect([...fake.handlers.keys()]).toEqual(['app'])
  })

  it('listens to every channel of the bridge, and to no other', async () => {
    await start()
    expect(fake.ipcMain.channels).toEqual([...Object.keys(SENDS), ...Object.keys(CALLS)].sort())
  })

  it('starts the engine when the page asks, and sends menu commands to the page', async () => {
    const window = await start()
    expect(fake.engines).toHaveLength(0)
    fake.ipcMain.send(window.webContents, 'kennel:requestEngine')
    await settle()
    expect(fake.engines[0].entry).toBe(join(import.meta.dirname, 'engine.js'))
    expect(window.webContents.ports).toHaveLength(1)
    const file = fake.menu.find((item) => item.label === 'File')?.submenu as Electron.MenuItemConstructorOptions[]
    ;(file[0].click as unknown as () => void)()
    expect(window.controls).toEqual([{ control: 'menu', command: 'new' }])
  })

  it('has an icon in the tray that says what runs', async () => {
    const window = await start()
    fake.ipcMain.send(window.webContents, 'kennel:setRunningGuests', [['pup']])
    expect(fake.trays.map(({ image, toolTip }) => [image.path, toolTip])).toEqual([
      [join(import.meta.dirname, '../../build/icons/32x32.png'), 'Kennel: 1 guest is running'],
    ])
  })

  it('imports an exported guest it was started with', async () => {
    const { argv } = process
    process.argv = ['kennel', '/home/me/rex.kennel']
    const window = await start()
    process.argv = argv
    fake.ipcMain.send(window.webContents, 'kennel:requestEngine')
    await settle()
    expect(window.controls).toEqual([{ control: 'openFile', path: '/home/me/rex.kennel' }])
  })

  it('has developer tools in a checkout only', async () => {
    fake.app.isPackaged = false
    await start()
    expect(JSON.stringify(fake.menu)).toContain('toggleDevTools')
  })

  it('opens consoles in windows of their own, and asks about links from either way', async () => {
    const window = await start()
    fake.ipcMain.send(window.webContents, 'kennel:openConsoleWindow', ['pup'])
    expect(fake.windows[1].webContents.mainFrame.url).toBe('app://kennel/?detached=pup')
    fake.dialog.answers.push(0, 1)
    fake.ipcMain.send(window.webContents, 'kennel:openExternal', ['https://example.org/'])
    expect(fake.windows[1].webContents.openWindow('https://example.com/')).toBe(false)
    await settle()
    expect(fake.dialog.questions.map(({ detail }) => detail)).toEqual(['https://example.org/', 'https://example.com/'])
    expect(fake.openedLinks).toEqual(['https://example.org/'])
  })

  it('tells the pages of the engine’s death, and starts it again for them', async () => {
    const window = await start()
    fake.ipcMain.send(window.webContents, 'kennel:requestEngine')
    await settle()
    fake.app.emit('child-process-gone', {}, { type: 'Utility', name: 'Kennel engine', reason: 'oom', exitCode: 5 })
    fake.engines[0].exit(5)
    expect(window.controls).toEqual([{ control: 'engineDied', reason: 'The engine stopped: it ran out of memory.' }])
    fake.ipcMain.send(window.webContents, 'kennel:restartEngine')
    await settle()
    expect([fake.engines.length, window.webContents.ports.length]).toEqual([2, 2])
  })

  it('quits after asking about running guests', async () => {
    const window = await start()
    fake.ipcMain.send(window.webContents, 'kennel:requestEngine')
    await settle()
    fake.ipcMain.send(window.webContents, 'kennel:setRunningGuests', [['pup']])
    fake.dialog.answers.push(1, 0)
    fake.app.quit()
    await settle()
    expect(fake.app.hasQuit).toBe(false)
    fake.app.quit()
    await settle()
    expect(fake.app.hasQuit).toBe(true)
    expect(fake.dialog.questions.map(({ detail }) => detail)).toEqual(Array(2).fill('• pup\n\nQuitting stops it.'))
  })
})

describe('a second start', () => {
  it('ends at once and sets up nothing', async () => {
    fake.app.hasLock = false
    await start()
    expect(fake.app.hasQuit).toBe(true)
    expect([fake.windows.length, fake.ipcMain.channels.length, fake.handlers.size]).toEqual([0, 0, 0])
  })

  it('brings the first one’s window to the front', async () => {
    const window = await start()
    window.minimized = true
    fake.app.emit('second-instance', {}, ['kennel'], '/')
    await settle()
    expect([fake.windows.length, window.minimized, window.focused]).toEqual([1, false, true])
  })

  it('with a home of its own is an app of its own', async () => {
    vi.stubEnv('KENNEL_HOME', join(folder, 'other'))
    await start()
    expect(fake.app.getPath('userData')).toBe(join(folder, 'other', 'app'))
  })
})

describe('the engine’s file', () => {
  it('is the unpacked one in a package', () => {
    expect(outsideArchive('/opt/Kennel/resources/app.asar/out/main/engine.js')).toBe(
      '/opt/Kennel/resources/app.asar.unpacked/out/main/engine.js',
    )
    expect(outsideArchive('/src/kennel/out/main/engine.js')).toBe('/src/kennel/out/main/engine.js')
  })
})

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Ipc } from './ipc.ts'
import { filesIn, setUpOpenFiles } from './open-files.ts'
import { FakeElectron, type FakeWindow } from './testing/fake-electron.ts'
import { Windows } from './windows.ts'

describe('a command line', () => {
  it.each([
    ['a guest, by its whole path', ['kennel', '/home/me/rex.kennel'], ['/home/me/rex.kennel']],
    ['one beside where it was called', ['kennel', 'rex.kennel'], ['/home/me/guests/rex.kennel']],
    ['one above it', ['kennel', '../Rex 2.KENNEL'], ['/home/me/Rex 2.KENNEL']],
    [
      'several, among switches',
      ['kennel', '--no-sandbox', 'a.kennel', '--x=b.kennel', 'c.kennel'],
      ['/home/me/guests/a.kennel', '/home/me/guests/c.kennel'],
    ],
    ['something else', ['kennel', '.', '/etc/passwd', 'https://example.org/', ''], []],
    ['a program of that name', ['/opt/x.kennel'], []],
    ['no path', ['kennel', 'a\0.kennel', `${'x'.repeat(5000)}.kennel`], []],
  ])('names %s', (_what, argv, files) => {
    expect(filesIn(argv, '/home/me/guests')).toEqual(files)
  })
})

describe('a file that is opened', () => {
  let folder: string
  let fake: FakeElectron
  let windows: Windows
  const argv = process.argv
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  const [main] = [(): FakeWindow => fake.windows[0]]
  const listen = (): void => windows.listens(main() as unknown as Parameters<Windows['listens']>[0])

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'kennel-open-'))
    fake = new FakeElectron(folder)
    windows = new Windows(fake.module, { preload: '', stateFile: join(folder, 'state.json') })
    windows.listen(new Ipc(fake.module, { write: () => undefined }))
  })
  afterEach(() => {
    process.argv = argv
    vi.restoreAllMocks()
    rmSync(folder, { recursive: true })
  })

  it('with the start of the app waits for the page, and is told to it once', async () => {
    process.argv = ['kennel', '/home/me/rex.kennel']
    setUpOpenFiles(fake.module, windows)
    await settle()
    expect(fake.windows).toEqual([])
    fake.app.becomeReady()
    await settle()
    expect(main().controls).toEqual([])
    listen()
    listen()
    expect(main().controls).toEqual([{ control: 'openFile', path: '/home/me/rex.kennel' }])
  })

  it('by a second start, or by macOS, is shown in the first one’s window', async () => {
    process.argv = ['kennel']
    setUpOpenFiles(fake.module, windows)
    fake.app.becomeReady()
    windows.showMain()
    listen()
    windows.hide()
    fake.app.emit('second-instance', {}, ['kennel', 'rex.kennel'], '/home/me')
    fake.app.emit('second-instance', {}, ['kennel'], '/home/me')
    let prevented = false
    fake.app.emit('open-file', { preventDefault: () => (prevented = true) }, '/home/me/bella.kennel')
    fake.app.emit('open-file', { preventDefault: () => {} }, '/etc/passwd')
    await settle()
    expect(prevented).toBe(true)
    expect(main().visible).toBe(true)
    expect(main().controls).toEqual([
      { control: 'openFile', path: '/home/me/rex.kennel' },
      { control: 'openFile', path: '/home/me/bella.kennel' },
    ])
  })
})

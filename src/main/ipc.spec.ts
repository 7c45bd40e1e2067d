import { beforeEach, describe, expect, it, vi } from 'vitest'
import { CALLS, Ipc, SENDS } from './ipc.ts'
import { setUpDialogs } from './dialogs.ts'
import { FakeElectron, FakeWindow } from './testing/fake-electron.ts'
import { FakeWebContents } from './testing/fake-contents.ts'

let fake: FakeElectron
let ipc: Ipc
let page: FakeWebContents
let lines: string[]

beforeEach(() => {
  fake = new FakeElectron('/nowhere')
  lines = []
  ipc = new Ipc(fake.module, { write: (level, text) => lines.push(`${level} ${text}`) })
  const window = new FakeWindow(fake)
  page = window.webContents
  page.mainFrame.url = 'app://kennel/'
})

describe('messages', () => {
  it('come with the window they are from', () => {
    const heard = vi.fn()
    ipc.on('kennel:openConsoleWindow', heard)
    fake.ipcMain.send(page, 'kennel:openConsoleWindow', ['pup'])
    expect(heard.mock.calls).toEqual([[fake.windows[0], 'pup']])
    expect(lines).toEqual([])
  })

  it('are refused from other pages, from frames within ours, from frames that are gone and from no window', () => {
    const heard = vi.fn()
    ipc.on('kennel:openConsoleWindow', heard)
    const send = (frame: { url: string; parent: null | typeof page.mainFrame } | null): void =>
      fake.ipcMain.send(page, 'kennel:openConsoleWindow', ['pup'], frame)
    send({ url: 'https://example.org/', parent: null })
    send({ url: 'file:///tmp/x.html', parent: null })
    send({ url: 'app://kennel/', parent: page.mainFrame })
    send(null)
    const stray = new FakeWebContents()
    stray.mainFrame.url = 'app://kennel/'
    fake.ipcMain.send(stray, 'kennel:openConsoleWindow', ['pup'])
    expect(heard).not.toHaveBeenCalled()
    expect(lines).toEqual([
      'warn kennel:openConsoleWindow was refused: it came from https://example.org/',
      'warn kennel:openConsoleWindow was refused: it came from file:///tmp/x.html',
      'warn kennel:openConsoleWindow was refused: it came from app://kennel/',
      'warn kennel:openConsoleWindow was refused: it came from a frame that is gone',
      'warn kennel:openConsoleWindow was refused: it came from app://kennel/',
    ])
  })

  it.each([
    ['kennel:openConsoleWindow', []],
    ['kennel:openConsoleWindow', ['']],
    ['kennel:openConsoleWindow', [7]],
    ['kennel:openConsoleWindow', ['x'.repeat(129)]],
    ['kennel:openConsoleWindow', ['pup', 'more']],
    ['kennel:setRunningGuests', ['pup']],
    ['kennel:setRunningGuests', [[null]]],
    ['kennel:openExternal', [`https://${'x'.repeat(2048)}`]],
    ['kennel:requestEngine', [1]],
  ] as const)('%s is refused with %j', (channel, args) => {
    const heard = vi.fn()
    ipc.on(channel, heard)
    fake.ipcMain.send(page, channel, [...args])
    expect(heard).not.toHaveBeenCalled()
    expect(lines).toHaveLength(1)
    expect(lines[0]).toContain(`${channel} was refused: `)
  })
})

describe('choosing files', () => {
  beforeEach(() => setUpDialogs(fake.module, ipc))
  const choose = (options: unknown, frame = page.mainFrame): Promise<unknown> =>
    fake.ipcMain.invoke(page, 'kennel:chooseFiles', [options], frame)

  it('answers with what was chosen, or with nothing', async () => {
    fake.dialog.chosen = ['/home/me/vmlinux']
    expect(await choose({ title: 'Choose a kernel', multiple: false })).toEqual(['/home/me/vmlinux'])
    expect(fake.dialog.opened[0]).toEqual({ title: 'Choose a kernel', properties: ['openFile'] })
    fake.dialog.chosen = null
    expect(await choose({ title: 'Choose disks', multiple: true })).toEqual([])
    expect(fake.dialog.opened[1].properties).toEqual(['openFile', 'multiSelections'])
  })

  it('is refused to others and with other arguments: no dialog opens', async () => {
    const foreign = { url: 'https://example.org/', parent: null }
    await expect(choose({ title: 'x', multiple: true }, foreign)).rejects.toThrow('kennel:chooseFiles was refused.')
    await expect(choose({ title: 'x', multiple: true, defaultPath: '/etc' })).rejects.toThrow('refused')
    await expect(choose(undefined)).rejects.toThrow('refused')
    expect(fake.dialog.opened).toEqual([])
  })
})

describe('the lists of channels', () => {
  it('name each channel once, under one prefix', () => {
    const all = [...Object.keys(SENDS), ...Object.keys(CALLS)]
    expect(new Set(all).size).toBe(all.length)
    for (const channel of all) expect(channel).toMatch(/^kennel:[a-zA-Z]+$/)
  })
})

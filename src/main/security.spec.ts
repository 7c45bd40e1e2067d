import { beforeEach, describe, expect, it } from 'vitest'
import type { BrowserWindow } from 'electron'
import { APP_URL, askAndOpenExternal, isOurs, lockDownApp, lockDownSession } from './security.ts'
import { FakeElectron, FakeWindow } from './testing/fake-electron.ts'

let fake: FakeElectron
const wanted: string[] = []

beforeEach(() => {
  fake = new FakeElectron('/nowhere')
  wanted.length = 0
  lockDownApp(fake.module, (_from, url) => wanted.push(url))
  lockDownSession(fake.module.session.defaultSession)
})

describe('pages', () => {
  it('are sandboxed, and are told apart by scheme and host together', () => {
    expect(fake.app.sandboxed).toBe(true)
    expect(isOurs('app://kennel/index.html?detached=a')).toBe(true)
    for (const url of [
      'https://kennel/',
      'app://kennel.example/',
      'app://kennel@evil/',
      'file:///kennel',
      'kennel',
      '',
    ]) {
      expect(isOurs(url), url).toBe(false)
    }
  })

  it.each(['will-navigate', 'will-redirect', 'will-frame-navigate', 'will-attach-webview'] as const)(
    'are kept from %s, wherever to',
    (way) => {
      const page = new FakeWindow(fake).webContents
      expect(page.navigate(way, 'https://example.org/')).toBe(false)
      expect(page.navigate(way, APP_URL)).toBe(false)
    },
  )

  it('get no windows; the address they wanted is passed on to be asked about', () => {
    const page = new FakeWindow(fake).webContents
    expect(page.openWindow('https://example.org/')).toBe(false)
    expect(page.openWindow(APP_URL)).toBe(false)
    expect(wanted).toEqual(['https://example.org/', APP_URL])
  })
})

describe('permissions', () => {
  it('are the clipboard, for our own pages only', () => {
    for (const permission of ['clipboard-read', 'clipboard-sanitized-write']) {
      expect(fake.defaultSession.grants(permission, APP_URL)).toBe(true)
      expect(fake.defaultSession.has(permission, APP_URL)).toBe(true)
      expect(fake.defaultSession.grants(permission, 'https://example.org/')).toBe(false)
      expect(fake.defaultSession.has(permission, 'https://example.org')).toBe(false)
    }
  })

  it.each(['media', 'geolocation', 'midi', 'openExternal', 'fileSystem', 'display-capture', 'hid', 'usb', 'unknown'])(
    'do not include %s',
    (permission) => {
      expect(fake.defaultSession.grants(permission, APP_URL)).toBe(false)
      expect(fake.defaultSession.has(permission, APP_URL)).toBe(false)
      expect(fake.defaultSession.givesDevice()).toBe(false)
    },
  )
})

describe('requests', () => {
  it('stay inside the app', () => {
    for (const url of ['app://kennel/assets/a.js', 'blob:app://kennel/1', 'data:image/png;base64,']) {
      expect(fake.defaultSession.loads(url), url).toBe(true)
    }
    for (const url of [
      'https://example.org/a.js',
      'http://127.0.0.1/',
      'ws://a/',
      'file:///etc/passwd',
      'ftp://a/',
      'x',
    ]) {
      expect(fake.defaultSession.loads(url), url).toBe(false)
    }
  })
})

describe('links', () => {
  const ask = (url: string): Promise<void> =>
    askAndOpenExternal(fake.module, new FakeWindow(fake) as unknown as BrowserWindow, url)

  it('are opened when the user says so, and shown in the form the browser would get', async () => {
    fake.dialog.answers.push(0)
    await ask('https://münchen.example/a b')
    expect(fake.dialog.questions[0].detail).toBe('https://xn--mnchen-3ya.example/a%20b')
    expect(fake.openedLinks).toEqual(['https://xn--mnchen-3ya.example/a%20b'])
  })

  it('are not opened when the user cancels, which is what Enter and Escape do', async () => {
    fake.dialog.answers.push(1)
    await ask('https://example.org/')
    expect(fake.openedLinks).toEqual([])
    expect(fake.dialog.questions[0]).toMatchObject({ buttons: ['Open', 'Cancel'], defaultId: 1, cancelId: 1 })
  })

  it.each([
    'http://example.org/',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'smb://server/share',
    'https://user:secret@example.org/',
    'https://example.org@evil.example/',
    'app://kennel/',
    'https://',
    'nonsense',
  ])('are refused with a reason: %s', async (url) => {
    fake.dialog.answers.push(0)
    await ask(url)
    expect(fake.openedLinks).toEqual([])
    expect(fake.dialog.questions[0].message).toBe('Kennel does not open this address.')
    expect(fake.dialog.questions[0].detail).toContain(url)
  })
})

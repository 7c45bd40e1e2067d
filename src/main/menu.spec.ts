import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { MenuItemConstructorOptions } from 'electron'
import { describe, expect, it } from 'vitest'
import { menuTemplate, setUpMenu } from './menu.ts'
import { FakeElectron } from './testing/fake-electron.ts'

const PLATFORMS = ['linux', 'win32', 'darwin'] as const

function items(template: MenuItemConstructorOptions[]): MenuItemConstructorOptions[] {
  return template.flatMap((item) => [item, ...(Array.isArray(item.submenu) ? items(item.submenu) : [])])
}
function menuOf(platform: NodeJS.Platform, developer = false): MenuItemConstructorOptions[] {
  return items(menuTemplate({ platform, developer, command: () => undefined }))
}

/** The page's commands and their keys, read from its source, which main may not import. */
function pageCommands(): Map<string, string> {
  const source = readFileSync(join(import.meta.dirname, '../renderer/src/composables/useCommands.ts'), 'utf8')
  const found = source.matchAll(/\bid: '([\w.]+)',\s+title: t\('[^']*'\),\s+keys: '([^']*)'/g)
  return new Map([...found].map(([, id, keys]) => [id, keys]))
}

/** tinykeys notation as Electron writes it. */
function accelerator(keys: string): string | undefined {
  if (keys === '') return undefined
  return keys
    .replace('$mod', 'CmdOrCtrl')
    .replace(/Key|Digit/, '')
    .replace('Slash', '/')
    .replace('Comma', ',')
}

describe.each(PLATFORMS)('the menu on %s', (platform) => {
  it('has every command of the page, with the page’s keys, which it leaves to the page', () => {
    const commands = pageCommands()
    expect(commands.size).toBeGreaterThanOrEqual(14)
    const shown = menuOf(platform).filter((item) => item.id !== undefined)
    expect(shown.map((item) => item.id).sort()).toEqual([...commands.keys()].sort())
    for (const item of shown) {
      const keys = accelerator(commands.get(item.id ?? '') ?? '')
      expect(item.accelerator, item.id).toBe(keys)
      if (keys) expect(item.registerAccelerator, item.id).toBe(false)
    }
  })

  it('uses no key twice', () => {
    const keys = menuOf(platform, true).flatMap((item) => (item.accelerator ? [item.accelerator] : []))
    expect(new Set(keys).size).toBe(keys.length)
  })

  it('has the developer tools in a checkout only', () => {
    const roles = (developer: boolean): unknown[] => menuOf(platform, developer).map((item) => item.role)
    expect(roles(true)).toEqual(expect.arrayContaining(['toggleDevTools', 'reload']))
    expect(roles(false)).not.toContain('toggleDevTools')
    expect(roles(false)).not.toContain('reload')
  })
})

describe.each(['linux', 'win32'] as const)('keys on %s', (platform) => {
  it('leave Ctrl and a letter to the console', () => {
    /** What Electron gives to roles that name no key of their own (its documentation, "MenuItem", roles). */
    const defaults: Record<string, string> = { close: 'Ctrl+W', quit: 'Ctrl+Q', minimize: 'Ctrl+M', reload: 'Ctrl+R' }
    for (const item of menuOf(platform, true)) {
      if (item.registerAccelerator === false) continue
      const keys = String(item.accelerator ?? defaults[item.role ?? ''] ?? '')
      expect(keys, item.role ?? item.label).not.toMatch(/^(Ctrl|Control|CmdOrCtrl|CommandOrControl)\+[A-Za-z]$/)
      expect(keys).not.toBe('F11')
    }
  })
})

describe('an item', () => {
  it('sends its command; those of the window in front say so', () => {
    const fake = new FakeElectron('/nowhere')
    const sent: [string, boolean][] = []
    setUpMenu(fake.module, { platform: 'linux', developer: false, command: (id, any) => sent.push([id, any]) })
    for (const item of items(fake.menu)) if (item.id) (item.click as unknown as () => void)()
    expect(sent).toContainEqual(['new', false])
    expect(sent).toContainEqual(['debug.step', false])
    expect(sent.filter(([, anywhere]) => anywhere).map(([id]) => id)).toEqual(['palette', 'shortcuts'])
  })
})

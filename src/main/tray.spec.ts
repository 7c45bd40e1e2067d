import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { FakeElectron } from './testing/fake-electron.ts'
import { TrayIcon, trayTemplate } from './tray.ts'

let folder: string
let fake: FakeElectron
let shown: number
const made = (platform: NodeJS.Platform): TrayIcon =>
  new TrayIcon(fake.module, { icon: '/app/tray.png', platform, show: () => shown++ })

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kennel-tray-'))
  fake = new FakeElectron(folder)
  shown = 0
})
afterEach(() => rmSync(folder, { recursive: true }))

it('leads back to the windows, and out', async () => {
  made('linux')
  const [tray] = fake.trays
  expect([tray.image.path, tray.image.width, tray.toolTip]).toEqual(['/app/tray.png', undefined, 'Kennel'])
  tray.emit('click')
  const click = (label: string): void => (tray.menu.find((item) => item.label === label)?.click as () => void)()
  click('Show Kennel')
  expect(shown).toBe(2)
  click('Quit Kennel')
  await Promise.resolve()
  expect(fake.app.hasQuit).toBe(true)
})

it('says what runs', () => {
  const icon = made('darwin')
  const [tray] = fake.trays
  expect(tray.image.width).toBe(18)
  icon.update(['pup', 'Debian'])
  expect(tray.toolTip).toBe('Kennel: 2 guests are running')
  expect(tray.menu.map(({ label }) => label)).toEqual([
    'Show Kennel',
    undefined,
    '2 guests are running:',
    'pup',
    'Debian',
    undefined,
    'Quit Kennel',
  ])
  icon.update([])
  expect([tray.toolTip, tray.menu[2].label]).toEqual(['Kennel', 'No guest is running'])
})

it('lists ten and counts the rest', () => {
  const names = Array.from({ length: 12 }, (_, i) => `pup ${i}`)
  const labels = trayTemplate(
    names,
    () => {},
    () => {},
  ).map(({ label }) => label)
  expect(labels.filter((label) => label?.startsWith('pup'))).toHaveLength(10)
  expect(labels).toContain('and 2 more')
})

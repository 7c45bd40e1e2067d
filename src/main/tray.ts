/**
 * The icon in the system's tray (macOS: the menu bar): says what runs, and leads back to it. Where a desktop shows no tray, starting
 * Kennel again does the same.
 */
import type { MenuItemConstructorOptions, Tray } from 'electron'
import type { Electron } from './electron.ts'

/** Names listed; more are counted. */
const MAX_NAMES = 10

export interface TrayOptions {
  /** A PNG of 32 by 32 pixels. */
  icon: string
  platform: NodeJS.Platform
  show: () => void
}

export class TrayIcon {
  private readonly electron: Pick<Electron, 'app' | 'Menu' | 'Tray' | 'nativeImage'>
  private readonly options: TrayOptions
  private readonly tray: Tray

  /** Electron must be ready. */
  constructor(electron: Pick<Electron, 'app' | 'Menu' | 'Tray' | 'nativeImage'>, options: TrayOptions) {
    this.electron = electron
    this.options = options
    const image = electron.nativeImage.createFromPath(options.icon)
    // The menu bar is 22 points high and takes an image as it is.
    this.tray = new electron.Tray(options.platform === 'darwin' ? image.resize({ width: 18, height: 18 }) : image)
    this.tray.on('click', options.show)
    this.update([])
  }

  /** Tells what runs. */
  update(names: readonly string[]): void {
    this.tray.setToolTip(names.length === 0 ? 'Kennel' : `Kennel: ${count(names.length)}`)
    const template = trayTemplate(names, this.options.show, () => this.electron.app.quit())
    this.tray.setContextMenu(this.electron.Menu.buildFromTemplate(template))
  }
}

export function trayTemplate(
  names: readonly string[],
  show: () => void,
  quit: () => void,
): MenuItemConstructorOptions[] {
  const line: MenuItemConstructorOptions = { type: 'separator' }
  const listed = names.slice(0, MAX_NAMES).map((label): MenuItemConstructorOptions => ({ label, click: show }))
  const more = names.length - listed.length
  return [
    { label: 'Show Kennel', click: show },
    line,
    { label: names.length === 0 ? 'No guest is running' : `${count(names.length)}:`, enabled: false },
    ...listed,
    ...(more > 0 ? [{ label: `and ${more} more`, enabled: false }] : []),
    line,
    { label: 'Quit Kennel', click: quit },
  ]
}

function count(guests: number): string {
  return guests === 1 ? '1 guest is running' : `${guests} guests are running`
}

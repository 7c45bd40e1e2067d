/** The app's windows: the main one, and consoles in windows of their own. All are locked down alike (security.ts). */
import type { BrowserWindow, BrowserWindowConstructorOptions, WebContents } from 'electron'
import type { ControlMessage } from '../shared/preload-api.ts'
import type { Electron } from './electron.ts'
import type { Ipc, PageChannel } from './ipc.ts'
import { APP_URL, lockedDown } from './security.ts'
import { MIN_HEIGHT, MIN_WIDTH, placeWindow, readWindowState, writeWindowState } from './window-state.ts'

/** A console of 80 by 24 at the default font size, and its bar. */
const CONSOLE_SIZE = { width: 820, height: 560 }
const STATE_DELAY_MS = 500
const CONTROL: PageChannel = 'kennel:control'
/** The renderer's --bg, so that a window does not flash before its first paint. */
const BACKGROUND = { light: '#f6f7f9', dark: '#14171c' }

export interface WindowsOptions {
  preload: string
  /** The file that keeps the main window's place. */
  stateFile: string
}

export class Windows {
  private readonly electron: Pick<Electron, 'BrowserWindow' | 'screen' | 'nativeTheme'>
  private readonly options: WindowsOptions
  private main: BrowserWindow | null = null
  private readonly consoles = new Map<string, BrowserWindow>()
  private readonly hidden = new WeakSet<BrowserWindow>()
  /** Messages for a main window whose page does not listen yet. */
  private readonly waiting: ControlMessage[] = []
  private mainListens = false
  /** Called before a window closes; true keeps it open. `last` when no other that can be seen would be left. */
  onClose: (last: boolean) => boolean = () => false

  constructor(electron: Pick<Electron, 'BrowserWindow' | 'screen' | 'nativeTheme'>, options: WindowsOptions) {
    this.electron = electron
    this.options = options
  }

  listen(ipc: Ipc): void {
    ipc.on('kennel:openConsoleWindow', (_from, guestId) => this.openConsole(guestId))
  }

  get all(): BrowserWindow[] {
    return [...(this.main ? [this.main] : []), ...this.consoles.values()]
  }

  /** The window a question belongs to. */
  get front(): BrowserWindow | null {
    const shown = this.all.filter((window) => !this.hidden.has(window))
    return shown.find((window) => window.isFocused()) ?? shown[0] ?? null
  }

  /** Takes all windows from the screen. Their pages go on, so that they can still tell of what happens. */
  hide(): void {
    for (const window of this.all) {
      this.hidden.add(window)
      window.hide()
    }
  }

  /** Brings a window to the front. */
  private present(window: BrowserWindow): void {
    this.hidden.delete(window)
    if (window.isMinimized()) window.restore()
    window.show()
    window.focus()
  }

  of(contents: WebContents): BrowserWindow | null {
    return this.all.find((window) => window.webContents === contents) ?? null
  }

  /** Opens the main window where it was, or brings it to the front. */
  showMain(): BrowserWindow {
    if (this.main) {
      this.present(this.main)
      return this.main
    }
    const kept = readWindowState(this.options.stateFile)
    const primary = this.electron.screen.getPrimaryDisplay()
    const others = this.electron.screen.getAllDisplays().filter((display) => display.id !== primary.id)
    const areas = [primary, ...others].map((display) => display.workArea)
    const window = this.open({
      ...placeWindow(kept?.bounds ?? null, areas),
      minWidth: MIN_WIDTH,
      minHeight: MIN_HEIGHT,
    })
    this.main = window
    if (kept?.maximized) window.maximize()
    this.keepState(window)
    window.on('closed', () => {
      this.main = null
      this.mainListens = false
      this.waiting.length = 0
    })
    void window.loadURL(APP_URL)
    return window
  }

  /** Opens a guest's console in a window of its own, or brings that window to the front. */
  openConsole(guestId: string): BrowserWindow {
    const open = this.consoles.get(guestId)
    if (open) {
      this.present(open)
      return open
    }
    const window = this.open({ ...CONSOLE_SIZE, minWidth: 320, minHeight: 200 })
    this.consoles.set(guestId, window)
    window.on('closed', () => this.consoles.delete(guestId))
    void window.loadURL(`${APP_URL}?detached=${encodeURIComponent(guestId)}`)
    return window
  }

  send(window: BrowserWindow, message: ControlMessage): void {
    if (!window.isDestroyed()) window.webContents.send(CONTROL, message)
  }

  broadcast(message: ControlMessage): void {
    for (const window of this.all) this.send(window, message)
  }

  /**
   * A command of the application menu, to the main window's page: a console's window has no other views. Commands
   * that belong to whatever is in front (`anywhere`) go to the window in front.
   */
  command(command: string, anywhere: boolean): void {
    const front = this.front
    if (anywhere && front && front !== this.main) {
      this.send(front, { control: 'menu', command })
      return
    }
    this.toMain({ control: 'menu', command })
  }

  /** A message to the main window's page, which is shown, and opened when it is not there. */
  toMain(message: ControlMessage): void {
    const main = this.showMain()
    if (this.mainListens) this.send(main, message)
    else this.waiting.push(message)
  }

  /** The page of a window has run and listens to control messages. */
  listens(window: BrowserWindow): void {
    if (window !== this.main) return
    this.mainListens = true
    for (const message of this.waiting.splice(0)) this.send(window, message)
  }

  private open(options: BrowserWindowConstructorOptions): BrowserWindow {
    const window = new this.electron.BrowserWindow({
      ...options,
      title: 'Kennel',
      show: false,
      backgroundColor: this.electron.nativeTheme.shouldUseDarkColors ? BACKGROUND.dark : BACKGROUND.light,
      webPreferences: lockedDown(this.options.preload),
    })
    window.once('ready-to-show', () => window.show())
    window.on('close', (event) => {
      const others = this.all.filter((each) => each !== window && !this.hidden.has(each))
      if (this.onClose(others.length === 0)) event.preventDefault()
    })
    return window
  }

  private keepState(window: BrowserWindow): void {
    let timer: NodeJS.Timeout | null = null
    const write = (): void => {
      if (timer) clearTimeout(timer)
      timer = null
      if (window.isDestroyed()) return
      writeWindowState(this.options.stateFile, {
        bounds: window.getNormalBounds(),
        maximized: window.isMaximized(),
      })
    }
    const later = (): void => {
      timer ??= setTimeout(write, STATE_DELAY_MS)
    }
    window.on('resize', later)
    window.on('move', later)
    window.on('close', write)
    window.on('closed', () => {
      if (timer) clearTimeout(timer)
    })
  }
}

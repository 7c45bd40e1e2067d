/**
 * Electron for tests: what the shell uses of it, behaving as documented as far as the shell can see. What the shell did
 * is kept in plain fields; what a person or the system does is a method in the imperative. It is cast to Electron's
 * type in one place (`module`).
 */
import { EventEmitter } from 'node:events'
import type {
  BrowserWindowConstructorOptions,
  CustomScheme,
  Display,
  ForkOptions,
  MenuItemConstructorOptions,
  MessageBoxOptions,
  OpenDialogOptions,
  Rectangle,
} from 'electron'
import type { ControlMessage } from '../../shared/preload-api.ts'
import type { Electron } from '../electron.ts'
import { FakeIpcMain, FakeWebContents, PreventableEvent } from './fake-contents.ts'
import { FakePort, FakeUtilityProcess } from './fake-engine.ts'
import { FakeSession } from './fake-session.ts'

export class FakeWindow extends EventEmitter {
  readonly options: BrowserWindowConstructorOptions
  readonly webContents = new FakeWebContents()
  bounds: Rectangle
  visible = false
  focused = false
  minimized = false
  maximized = false
  private destroyed = false
  private readonly fake: FakeElectron

  constructor(fake: FakeElectron, options: BrowserWindowConstructorOptions = {}) {
    super()
    this.fake = fake
    this.options = options
    this.bounds = { x: options.x ?? 0, y: options.y ?? 0, width: options.width ?? 800, height: options.height ?? 600 }
    fake.windows.push(this)
    this.webContents.on('render-process-gone', (event, details) =>
      fake.app.emit('render-process-gone', event, this.webContents, details),
    )
    fake.app.emit('web-contents-created', new PreventableEvent(), this.webContents)
    fake.app.emit('browser-window-created', new PreventableEvent(), this)
  }

  loadURL(url: string): Promise<void> {
    this.webContents.mainFrame.url = url
    queueMicrotask(() => this.emit('ready-to-show'))
    return Promise.resolve()
  }
  show(): void {
    this.visible = true
  }
  hide(): void {
    this.visible = false
    this.focused = false
  }
  focus(): void {
    for (const window of this.fake.windows) window.focused = false
    this.focused = true
  }
  isFocused(): boolean {
    return this.focused
  }
  isMinimized(): boolean {
    return this.minimized
  }
  restore(): void {
    this.minimized = false
  }
  maximize(): void {
    this.maximized = true
  }
  isMaximized(): boolean {
    return this.maximized
  }
  getNormalBounds(): Rectangle {
    return { ...this.bounds }
  }
  isDestroyed(): boolean {
    return this.destroyed
  }
  /** As the title bar's button does: listeners of "close" may keep it open. */
  close(): void {
    const event = new PreventableEvent()
    this.emit('close', event)
    if (event.defaultPrevented || this.destroyed) return
    this.destroyed = true
    this.fake.windows.splice(this.fake.windows.indexOf(this), 1)
    this.emit('closed')
    if (this.fake.windows.length === 0 && !this.fake.app.quitting) this.fake.app.emit('window-all-closed')
  }

  /** Control messages main sent to the page. */
  get controls(): ControlMessage[] {
    return this.webContents.sent.filter((m) => m.channel === 'kennel:control').map((m) => m.message as ControlMessage)
  }
}

export class FakeApp extends EventEmitter {
  isPackaged = true
  sandboxed = false
  hasLock = true
  /** Inside quit(): closing windows are part of it. */
  quitting = false
  hasQuit = false
  userModelId = ''
  readonly paths: Record<string, string>
  private readonly fake: FakeElectron
  private readonly ready: Promise<void>
  becomeReady: () => void = () => {}

  constructor(fake: FakeElectron, userData: string) {
    super()
    this.fake = fake
    this.paths = { userData }
    this.ready = new Promise((resolve) => (this.becomeReady = resolve))
  }

  enableSandbox(): void {
    this.sandboxed = true
  }
  whenReady(): Promise<void> {
    return this.ready
  }
  requestSingleInstanceLock(): boolean {
    return this.hasLock
  }
  setAppUserModelId(id: string): void {
    this.userModelId = id
  }
  getPath(name: string): string {
    return this.paths[name] ?? `${this.paths['userData']}/${name}`
  }
  setPath(name: string, path: string): void {
    this.paths[name] = path
  }
  /** Asks the listeners, then closes the windows, any of which may say no; then it is over. */
  quit(): void {
    const event = new PreventableEvent()
    this.emit('before-quit', event)
    if (event.defaultPrevented) return
    this.quitting = true
    for (const window of [...this.fake.windows]) window.close()
    this.quitting = false
    if (this.fake.windows.length === 0) this.hasQuit = true
  }
}

export class FakeDialog {
  /** Buttons to press, in order; without one the question stays open. */
  readonly answers: number[] = []
  readonly questions: MessageBoxOptions[] = []
  readonly opened: OpenDialogOptions[] = []
  chosen: string[] | null = null
  private readonly open: ((answer: { response: number; checkboxChecked: boolean }) => void)[] = []

  showMessageBox(...args: unknown[]): Promise<{ response: number; checkboxChecked: boolean }> {
    this.questions.push(args.at(-1) as MessageBoxOptions)
    return new Promise((resolve) => {
      this.open.push(resolve)
      const answer = this.answers.shift()
      if (answer !== undefined) this.answer(answer)
    })
  }
  showOpenDialog(...args: unknown[]): Promise<{ canceled: boolean; filePaths: string[] }> {
    this.opened.push(args.at(-1) as OpenDialogOptions)
    return Promise.resolve({ canceled: this.chosen === null, filePaths: this.chosen ?? [] })
  }
  /** Presses a button of the oldest open question. */
  answer(response: number): void {
    this.open.shift()?.({ response, checkboxChecked: false })
  }
}

export class FakeTray extends EventEmitter {
  readonly image: { path: string; width?: number }
  toolTip = ''
  menu: MenuItemConstructorOptions[] = []

  constructor(image: { path: string; width?: number }) {
    super()
    this.image = image
  }
  setToolTip(text: string): void {
    this.toolTip = text
  }
  setContextMenu(menu: MenuItemConstructorOptions[]): void {
    this.menu = menu
  }
}

export class FakeElectron {
  readonly trays: FakeTray[] = []
  readonly windows: FakeWindow[] = []
  readonly app: FakeApp
  readonly ipcMain = new FakeIpcMain()
  readonly dialog = new FakeDialog()
  readonly defaultSession = new FakeSession()
  readonly powerMonitor = new EventEmitter()
  readonly engines: FakeUtilityProcess[] = []
  /** What a new engine does; a test changes it before one starts. */
  readonly engineHabits = { ready: true, answers: true, obeys: true }
  readonly openedLinks: string[] = []
  readonly schemes: CustomScheme[] = []
  readonly handlers = new Map<string, (request: Request) => Promise<Response>>()
  workAreas: Rectangle[] = [{ x: 0, y: 0, width: 1920, height: 1040 }]
  menu: MenuItemConstructorOptions[] = []
  crashReports: unknown = null

  constructor(userData: string) {
    this.app = new FakeApp(this, userData)
  }

  /** The `electron` module. */
  get module(): Electron {
    // eslint-disable-next-line @typescript-eslint/no-this-alias
    const fake = this
    class BrowserWindow extends FakeWindow {
      constructor(options?: BrowserWindowConstructorOptions) {
        super(fake, options)
      }
      static fromWebContents(contents: FakeWebContents): FakeWindow | null {
        return fake.windows.find((window) => window.webContents === contents) ?? null
      }
    }
    class Tray extends FakeTray {
      constructor(image: { path: string; width?: number }) {
        super(image)
        fake.trays.push(this)
      }
    }
    class MessageChannelMain {
      readonly port1 = new FakePort()
      readonly port2 = new FakePort()
    }
    return {
      app: this.app,
      BrowserWindow,
      Tray,
      nativeImage: {
        createFromPath: (path: string) => ({ path, resize: ({ width }: { width: number }) => ({ path, width }) }),
      },
      MessageChannelMain,
      ipcMain: this.ipcMain,
      dialog: this.dialog,
      powerMonitor: this.powerMonitor,
      session: { defaultSession: this.defaultSession },
      nativeTheme: { shouldUseDarkColors: true },
      shell: { openExternal: (url: string) => Promise.resolve(void this.openedLinks.push(url)) },
      screen: {
        getPrimaryDisplay: () => this.displays[0],
        getAllDisplays: () => this.displays,
      },
      protocol: {
        registerSchemesAsPrivileged: (schemes: CustomScheme[]) => void this.schemes.push(...schemes),
        handle: (scheme: string, handler: (request: Request) => Promise<Response>) =>
          void this.handlers.set(scheme, handler),
      },
      Menu: {
        buildFromTemplate: (template: MenuItemConstructorOptions[]) => template,
        setApplicationMenu: (menu: MenuItemConstructorOptions[]) => (this.menu = menu),
      },
      utilityProcess: {
        fork: (entry: string, _args: string[], options: ForkOptions) => {
          const engine = new FakeUtilityProcess(entry, options, { ...this.engineHabits })
          this.engines.push(engine)
          return engine
        },
      },
      crashReporter: { start: (options: unknown) => (this.crashReports = options) },
    } as unknown as Electron
  }

  private get displays(): Pick<Display, 'id' | 'workArea'>[] {
    return this.workAreas.map((workArea, id) => ({ id, workArea }))
  }
}

/**
 * Quitting: asks once when it would stop running guests, lets the engine stop them, then ends. Whoever only closed the last window can also
 * let them run: the windows go, the app stays in the tray, and starting Kennel again brings it back.
 */
import type { MessageBoxOptions } from 'electron'
import type { Electron } from './electron.ts'
import type { Engine } from './engine.ts'
import type { Ipc } from './ipc.ts'
import type { Windows } from './windows.ts'

/** Names listed in the question; more are counted. */
const MAX_NAMES = 10
/** At the computer's shutdown there is less time than the engine would otherwise get. */
const SHUTDOWN_PATIENCE_MS = 2000

type Stage = 'running' | 'asking' | 'stopping' | 'ready'

export class Quit {
  private readonly electron: Pick<Electron, 'app' | 'dialog' | 'powerMonitor'>
  private readonly engine: Engine
  private readonly windows: Windows
  private stage: Stage = 'running'
  private guests: string[] = []
  /** Called with the names of the guests that run, whenever that changes. */
  onGuests: (names: readonly string[]) => void = () => {}

  constructor(electron: Pick<Electron, 'app' | 'dialog' | 'powerMonitor'>, engine: Engine, windows: Windows) {
    this.electron = electron
    this.engine = engine
    this.windows = windows
  }

  /** `platform`: on macOS an application lives on without windows. */
  setUp(ipc: Ipc, platform: NodeJS.Platform): void {
    const { app, powerMonitor } = this.electron
    ipc.on('kennel:setRunningGuests', (_window, names) => {
      this.guests = names
      this.onGuests(names)
    })
    this.windows.onClose = (last) => {
      if (!last || platform === 'darwin' || this.stage === 'ready') return false
      // Closing the last window is quitting: the window stays until the question is answered.
      if (this.stage === 'running') void this.quit(true)
      return true
    }
    app.on('window-all-closed', () => {
      if (platform !== 'darwin') app.quit()
    })
    app.on('activate', () => this.windows.showMain())
    app.on('before-quit', (event) => {
      if (this.stage === 'ready') return
      event.preventDefault()
      if (this.stage === 'running') void this.quit()
    })
    const shutDown = (): void => void this.stop(SHUTDOWN_PATIENCE_MS)
    powerMonitor.on('shutdown', shutDown)
    app.on('browser-window-created', (_event, window) => window.on('session-end', shutDown))
  }

  /** `closing`: a window was closed, which is less than asking to quit. */
  private async quit(closing = false): Promise<void> {
    if (this.engine.alive && this.guests.length > 0) {
      this.stage = 'asking'
      const parent = this.windows.front
      const question = quitQuestion(this.guests, closing)
      const { dialog } = this.electron
      const { response } = await (parent ? dialog.showMessageBox(parent, question) : dialog.showMessageBox(question))
      // The computer may be shutting down by now, which did not wait for the answer.
      if (this.stage !== 'asking') return
      if (response !== 0) {
        this.stage = 'running'
        if (closing && response === KEEP_RUNNING) this.windows.hide()
        return
      }
    }
    await this.stop()
  }

  private async stop(patienceMs?: number): Promise<void> {
    if (this.stage === 'stopping' || this.stage === 'ready') return
    this.stage = 'stopping'
    await this.engine.stop(patienceMs)
    this.stage = 'ready'
    this.electron.app.quit()
  }
}

/** The button by which guests run on without a window. */
const KEEP_RUNNING = 1

export function quitQuestion(names: readonly string[], closing = false): MessageBoxOptions {
  const listed = names.slice(0, MAX_NAMES).map((name) => `• ${name}`)
  if (names.length > MAX_NAMES) listed.push(`and ${names.length - MAX_NAMES} more`)
  const them = names.length === 1 ? 'it' : 'them'
  const buttons = [`Stop ${them} and quit`, ...(closing ? [`Keep ${them} running`] : []), 'Cancel']
  const background = closing ? '\nKept running, Kennel stays in the tray. Start it again to come back.' : ''
  return {
    type: 'warning',
    message: names.length === 1 ? '1 guest is running.' : `${names.length} guests are running.`,
    detail: `${listed.join('\n')}\n\nQuitting stops ${them}.${background}`,
    buttons,
    defaultId: buttons.length - 1,
    cancelId: buttons.length - 1,
    noLink: true,
  }
}

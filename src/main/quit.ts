/** Quitting: asks once when it would stop running guests, lets the engine stop them, then ends. */
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

  constructor(electron: Pick<Electron, 'app' | 'dialog' | 'powerMonitor'>, engine: Engine, windows: Windows) {
    this.electron = electron
    this.engine = engine
    this.windows = windows
  }

  /** `platform`: on macOS an application lives on without windows. */
  setUp(ipc: Ipc, platform: NodeJS.Platform): void {
    const { app, powerMonitor } = this.electron
    ipc.on('kennel:setRunningGuests', (_window, names) => (this.guests = names))
    this.windows.onClose = (last) => {
      if (!last || platform === 'darwin' || this.stage === 'ready') return false
      // Closing the last window is quitting: the window stays until the question is answered.
      app.quit()
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

  private async quit(): Promise<void> {
    if (this.engine.alive && this.guests.length > 0) {
      this.stage = 'asking'
      const parent = this.windows.front
      const question = quitQuestion(this.guests)
      const { dialog } = this.electron
      const { response } = await (parent ? dialog.showMessageBox(parent, question) : dialog.showMessageBox(question))
      // The computer may be shutting down by now, which did not wait for the answer.
      if (this.stage !== 'asking') return
      if (response !== 0) {
        this.stage = 'running'
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

export function quitQuestion(names: readonly string[]): MessageBoxOptions {
  const listed = names.slice(0, MAX_NAMES).map((name) => `• ${name}`)
  if (names.length > MAX_NAMES) listed.push(`and ${names.length - MAX_NAMES} more`)
  return {
    type: 'warning',
    message: names.length === 1 ? '1 guest is running.' : `${names.length} guests are running.`,
    detail: `${listed.join('\n')}\n\nQuitting stops ${names.length === 1 ? 'it' : 'them'}.`,
    buttons: [names.length === 1 ? 'Stop it and quit' : 'Stop them and quit', 'Cancel'],
    defaultId: 1,
    cancelId: 1,
    noLink: true,
  }
}

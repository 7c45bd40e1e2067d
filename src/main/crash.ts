/** Processes of the app that die: each is written to the log; a window whose page died or hangs offers to load it again. */
import type { BrowserWindow, RenderProcessGoneDetails } from 'electron'
import type { Electron } from './electron.ts'
import { ENGINE_SERVICE, type Engine } from './engine.ts'
import type { MainLog } from './log.ts'
import type { Windows } from './windows.ts'

/** What a process's end is called, as the second half of a sentence. */
const REASONS: Record<RenderProcessGoneDetails['reason'], string> = {
  'clean-exit': 'it ended',
  'abnormal-exit': 'it ended with an error',
  killed: 'it was ended from outside',
  crashed: 'it crashed',
  oom: 'it ran out of memory',
  'launch-failed': 'it could not be started',
  'integrity-failure': 'its files are not what they were when installed',
  'memory-eviction': 'the computer is short of memory',
}

export interface CrashParts {
  log: MainLog
  engine: Engine
  windows: Windows
}

export function setUpCrash(electron: Pick<Electron, 'app' | 'dialog' | 'crashReporter'>, parts: CrashParts): void {
  const { app, dialog, crashReporter } = electron
  const { log, engine, windows } = parts
  /** Windows with a question on them, which is not asked twice. */
  const asking = new Set<BrowserWindow>()

  // Reports stay on this computer.
  crashReporter.start({ uploadToServer: false })
  process.on('uncaughtExceptionMonitor', (error) => log.write('error', `main: ${error.stack ?? error.message}`))

  async function ask(window: BrowserWindow, message: string, otherwise: string): Promise<boolean> {
    asking.add(window)
    try {
      const { response } = await dialog.showMessageBox(window, {
        type: 'error',
        message,
        detail: 'Guests are not part of it: they run on.',
        buttons: ['Load it again', otherwise],
        defaultId: 0,
        cancelId: 1,
        noLink: true,
      })
      return response === 0
    } finally {
      asking.delete(window)
    }
  }

  app.on('render-process-gone', (_event, contents, details) => {
    if (details.reason === 'clean-exit') return
    const reason = REASONS[details.reason]
    log.write('error', `A window’s page stopped: ${reason} (status ${details.exitCode}).`)
    const window = windows.of(contents)
    if (!window || asking.has(window)) return
    void ask(window, `This window’s page stopped: ${reason}.`, 'Close the window').then((again) => {
      if (window.isDestroyed()) return
      if (again) window.webContents.reload()
      else window.close()
    })
  })

  app.on('web-contents-created', (_event, contents) => {
    contents.on('unresponsive', () => {
      const window = windows.of(contents)
      if (!window || asking.has(window)) return
      log.write('warn', 'A window’s page does not answer.')
      void ask(window, 'This window’s page does not answer.', 'Wait').then((again) => {
        if (!again || window.isDestroyed()) return
        // A page in an endless loop does not let itself be reloaded. Its end is expected here, so it is not asked about.
        asking.add(window)
        contents.once('render-process-gone', () => setImmediate(() => asking.delete(window)))
        contents.forcefullyCrashRenderer()
        contents.reload()
      })
    })
  })

  app.on('child-process-gone', (_event, details) => {
    const name = details.name ?? details.serviceName ?? details.type
    if (name === ENGINE_SERVICE && details.reason !== 'clean-exit' && details.reason !== 'abnormal-exit') {
      engine.explain(REASONS[details.reason])
    }
    if (details.reason === 'clean-exit') return
    log.write('error', `The process “${name}” stopped: ${REASONS[details.reason]} (status ${details.exitCode}).`)
  })
}

/** Which page has a port to which engine: one is handed over when a page asks, and to all pages after a new start. */
import type { BrowserWindow } from 'electron'
import type { Engine } from './engine.ts'
import type { Ipc, PageChannel } from './ipc.ts'
import type { Windows } from './windows.ts'

const ENGINE_PORT: PageChannel = 'kennel:enginePort'

export function setUpEnginePorts(engine: Engine, windows: Windows, ipc: Ipc): void {
  /** Pages that want a port, and the engine (its generation) they have one to. */
  const held = new WeakMap<BrowserWindow, number>()

  async function supply(start: () => Promise<void>): Promise<void> {
    try {
      await start()
    } catch (error) {
      if (!engine.stopping) windows.broadcast({ control: 'engineDied', reason: (error as Error).message })
      return
    }
    for (const window of windows.all) {
      const generation = held.get(window)
      if (generation === undefined || generation === engine.generation) continue
      held.set(window, engine.generation)
      window.webContents.postMessage(ENGINE_PORT, null, [engine.connect()])
    }
  }

  ipc.on('kennel:requestEngine', (window) => {
    windows.listens(window)
    // A page that asks has none, also when the window's page before it had one.
    held.set(window, 0)
    void supply(() => engine.start())
  })
  ipc.on('kennel:restartEngine', () => void supply(() => engine.restart()))
  engine.onDeath = (reason) => windows.broadcast({ control: 'engineDied', reason: `The engine stopped: ${reason}.` })
  engine.onResponsive = (responsive) => windows.broadcast({ control: 'engineResponsive', responsive })
}

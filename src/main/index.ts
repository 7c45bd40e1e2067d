/** Electron's main process: an ordered list of set-up calls, nothing else. */
import { join } from 'node:path'
import * as electron from 'electron'
import { registerAppScheme, serveApp } from './app-protocol.ts'
import { setUpCrash } from './crash.ts'
import { setUpDialogs } from './dialogs.ts'
import { setUpEnginePorts } from './engine-ports.ts'
import { Engine } from './engine.ts'
import { Ipc } from './ipc.ts'
import { FileLog } from './log.ts'
import { setUpMenu } from './menu.ts'
import { setUpOpenFiles } from './open-files.ts'
import { APP_ID, followHome, outsideArchive } from './paths.ts'
import { Quit } from './quit.ts'
import { askAndOpenExternal, lockDownApp, lockDownSession } from './security.ts'
import { takeSingleInstance } from './single-instance.ts'
import { TrayIcon } from './tray.ts'
import { Windows } from './windows.ts'

const { app } = electron
const { platform } = process
const here = import.meta.dirname
followHome(electron, process.env['KENNEL_HOME'])
const log = new FileLog(app.getPath('logs'))
const windows = new Windows(electron, {
  preload: join(here, '../preload/index.cjs'),
  stateFile: join(app.getPath('userData'), 'window-state.json'),
})
const engine = new Engine(electron, { entry: outsideArchive(join(here, 'engine.js')), log })
const ipc = new Ipc(electron, log)

// Windows alone has this: it ties windows and notifications to the installed shortcut.
if (platform === 'win32') app.setAppUserModelId(APP_ID)
registerAppScheme(electron)
lockDownApp(electron, (from, url) => {
  const window = windows.of(from)
  if (window) void askAndOpenExternal(electron, window, url)
})

if (takeSingleInstance(electron, () => void app.whenReady().then(() => windows.showMain()))) {
  setUpCrash(electron, { log, engine, windows })
  setUpOpenFiles(electron, windows)
  void app.whenReady().then(() => {
    lockDownSession(electron.session.defaultSession)
    serveApp(electron, join(here, '../renderer'))
    setUpMenu(electron, {
      platform,
      developer: !app.isPackaged,
      command: (id, anywhere) => windows.command(id, anywhere),
    })
    setUpDialogs(electron, ipc)
    setUpEnginePorts(engine, windows, ipc)
    const quit = new Quit(electron, engine, windows)
    quit.setUp(ipc, platform)
    const icon = join(here, '../../build/icons/32x32.png')
    const tray = new TrayIcon(electron, { icon, platform, show: () => windows.showMain() })
    quit.onGuests = (names) => tray.update(names)
    windows.listen(ipc)
    ipc.on('kennel:openExternal', (window, url) => void askAndOpenExternal(electron, window, url))
    windows.showMain()
  })
}

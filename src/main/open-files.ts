/**
 * Files the user opens with Kennel: exported guests, double-clicked, dropped on the icon or named on the command line, before or after the
 * app has started. They go to the main window's page, which imports them as it imports any: the engine alone judges what is in them,
 * and nothing imported is ever started by itself.
 */
import { isAbsolute, resolve } from 'node:path'
import type { Electron } from './electron.ts'
import type { Windows } from './windows.ts'

const ENDING = /\.kennel$/i
/** As much as a protocol message takes. */
const LONGEST = 4096

/** The guests' files among the words of a command line. The first word is the program; switches are Chromium's or ours. */
export function filesIn(argv: readonly string[], folder: string): string[] {
  return argv.slice(1).flatMap((word) => (word.startsWith('-') ? [] : asFile(word, folder)))
}

function asFile(word: string, folder: string): string[] {
  if (!ENDING.test(word) || word.includes('\0')) return []
  const path = isAbsolute(word) ? word : resolve(folder, word)
  return path.length <= LONGEST ? [path] : []
}

/** Must run before Electron is ready: macOS tells of a file that started the app at once. */
export function setUpOpenFiles(electron: Pick<Electron, 'app'>, windows: Windows): void {
  const { app } = electron
  const open = (files: readonly string[]): void => {
    if (files.length === 0) return
    void app.whenReady().then(() => {
      for (const path of files) windows.toMain({ control: 'openFile', path })
    })
  }
  app.on('open-file', (event, path) => {
    event.preventDefault()
    open(asFile(path, '/'))
  })
  app.on('second-instance', (_event, argv, folder) => open(filesIn(argv, folder)))
  open(filesIn(process.argv, process.cwd()))
}

/** Names and places of the installed app. */
import { join, sep } from 'node:path'
import type { Electron } from './electron.ts'

/** The same as `appId` in electron-builder.yml. */
export const APP_ID = 'org.kennel.app'

/**
 * The place of a file that electron-builder unpacks (asarUnpack): a process of its own is started from a real file, not
 * from inside the archive. Outside a package the path stays as it is.
 */
export function outsideArchive(path: string): string {
  return path.replace(`${sep}app.asar${sep}`, `${sep}app.asar.unpacked${sep}`)
}

/** With guests in a folder of their own (KENNEL_HOME) the app is one of its own too: its lock, windows and logs are there. */
export function followHome(electron: Pick<Electron, 'app'>, home: string | undefined): void {
  if (home) electron.app.setPath('userData', join(home, 'app'))
}

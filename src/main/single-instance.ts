/** One Kennel at a time: two would write the same guests. A second start shows the first one's window and ends. */
import type { Electron } from './electron.ts'

/** False when another Kennel runs already: this one is on its way out and must set up nothing. */
export function takeSingleInstance(electron: Pick<Electron, 'app'>, show: () => void): boolean {
  if (!electron.app.requestSingleInstanceLock()) {
    electron.app.quit()
    return false
  }
  electron.app.on('second-instance', show)
  return true
}

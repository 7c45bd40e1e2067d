/** Native dialogs the page may ask for. */
import type { Electron } from './electron.ts'
import type { Ipc } from './ipc.ts'

export function setUpDialogs(electron: Pick<Electron, 'dialog'>, ipc: Ipc): void {
  ipc.handle('kennel:chooseFiles', async (window, { title, multiple }) => {
    const { canceled, filePaths } = await electron.dialog.showOpenDialog(window, {
      title,
      properties: multiple ? ['openFile', 'multiSelections'] : ['openFile'],
    })
    return canceled ? [] : filePaths
  })
}

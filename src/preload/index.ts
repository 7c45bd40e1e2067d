/**
 * The preload: exposes KennelBridge to the page and contains no logic. The engine's port cannot cross the bridge as a
 * value, so it goes to the page as a window message.
 */
import { contextBridge, ipcRenderer } from 'electron'
import type { CallChannel, PageChannel, SendChannel } from '../main/ipc.ts'
import type { ControlMessage, KennelBridge } from '../shared/preload-api.ts'

/** The page's window, as far as it is used here. */
declare const window: { postMessage(message: string, targetOrigin: string, transfer: readonly MessagePort[]): void }

const send = (channel: SendChannel, ...args: unknown[]): void => ipcRenderer.send(channel, ...args)
const call = (channel: CallChannel, ...args: unknown[]): Promise<unknown> => ipcRenderer.invoke(channel, ...args)
const CONTROL: PageChannel = 'kennel:control'
const ENGINE_PORT: PageChannel = 'kennel:enginePort'

const bridge: KennelBridge = {
  platform: process.platform,
  onControl: (listener) => void ipcRenderer.on(CONTROL, (_event, message: ControlMessage) => listener(message)),
  requestEngine: () => send('kennel:requestEngine'),
  restartEngine: () => send('kennel:restartEngine'),
  chooseFiles: (options) => call('kennel:chooseFiles', options) as Promise<string[]>,
  openConsoleWindow: (guestId) => send('kennel:openConsoleWindow', guestId),
  setRunningGuests: (names) => send('kennel:setRunningGuests', names),
  openExternal: (url) => send('kennel:openExternal', url),
}

contextBridge.exposeInMainWorld('kennel', bridge)
ipcRenderer.on(ENGINE_PORT, (event) => window.postMessage('kennel-engine-port', '*', event.ports))

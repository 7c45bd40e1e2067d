/**
 * What a page may ask of main: one list of channels with the schema of their arguments. A message is dropped, and said
 * so in the log, unless it comes from the top frame of one of our own pages and its arguments fit.
 */
import type { BrowserWindow, IpcMainEvent, IpcMainInvokeEvent } from 'electron'
import * as v from 'valibot'
import type { Electron } from './electron.ts'
import type { MainLog } from './log.ts'
import { isOurs } from './security.ts'

const guestId = v.pipe(v.string(), v.minLength(1), v.maxLength(128))
const title = v.pipe(v.string(), v.maxLength(200))
const name = v.pipe(v.string(), v.maxLength(64))
const url = v.pipe(v.string(), v.maxLength(2048))

/** Page to main, without an answer. */
export const SENDS = {
  'kennel:requestEngine': v.strictTuple([]),
  'kennel:restartEngine': v.strictTuple([]),
  'kennel:openConsoleWindow': v.strictTuple([guestId]),
  'kennel:setRunningGuests': v.strictTuple([v.pipe(v.array(name), v.maxLength(1000))]),
  'kennel:openExternal': v.strictTuple([url]),
} as const

/** Page to main, with an answer. */
export const CALLS = {
  'kennel:chooseFiles': v.strictTuple([v.strictObject({ title, multiple: v.boolean() })]),
} as const

export type SendChannel = keyof typeof SENDS
export type CallChannel = keyof typeof CALLS
/** Main to page: a ControlMessage; and the engine's port, which comes as the message's one port. */
export type PageChannel = 'kennel:control' | 'kennel:enginePort'

type SendArguments<C extends SendChannel> = v.InferOutput<(typeof SENDS)[C]>
type CallArguments<C extends CallChannel> = v.InferOutput<(typeof CALLS)[C]>

export class Ipc {
  private readonly electron: Pick<Electron, 'ipcMain' | 'BrowserWindow'>
  private readonly log: MainLog

  constructor(electron: Pick<Electron, 'ipcMain' | 'BrowserWindow'>, log: MainLog) {
    this.electron = electron
    this.log = log
  }

  on<C extends SendChannel>(channel: C, listener: (window: BrowserWindow, ...args: SendArguments<C>) => void): void {
    this.electron.ipcMain.on(channel, (event, ...args: unknown[]) => {
      const window = this.sender(channel, event)
      const checked = window && this.check(channel, SENDS[channel], args)
      if (checked) listener(window, ...(checked as SendArguments<C>))
    })
  }

  handle<C extends CallChannel>(
    channel: C,
    answer: (window: BrowserWindow, ...args: CallArguments<C>) => Promise<unknown>,
  ): void {
    this.electron.ipcMain.handle(channel, async (event, ...args: unknown[]) => {
      const window = this.sender(channel, event)
      const checked = window && this.check(channel, CALLS[channel], args)
      if (!checked) throw new Error(`${channel} was refused.`)
      return answer(window, ...(checked as CallArguments<C>))
    })
  }

  /** The window a message is from, or null when it is not from one of our pages. */
  private sender(channel: string, event: IpcMainEvent | IpcMainInvokeEvent): BrowserWindow | null {
    const frame = event.senderFrame
    const window = this.electron.BrowserWindow.fromWebContents(event.sender)
    if (frame && frame.parent === null && isOurs(frame.url) && window) return window
    this.log.write('warn', `${channel} was refused: it came from ${frame?.url ?? 'a frame that is gone'}`)
    return null
  }

  private check(channel: string, schema: v.GenericSchema, args: unknown[]): unknown[] | null {
    const parsed = v.safeParse(schema, args)
    if (parsed.success) return parsed.output as unknown[]
    this.log.write('warn', `${channel} was refused: ${parsed.issues[0].message}`)
    return null
  }
}

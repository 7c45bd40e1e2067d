/** What the preload puts on `window.kennel` in the Electron app. In the web front there is none. */
export interface KennelBridge {
  readonly platform: string
  /** Control messages about the engine, and the port to it each time one is (re)connected. */
  onControl(listener: (message: ControlMessage) => void): void
  /** Asks main for a connection to the engine, and after its death to start it again. */
  requestEngine(): void
  restartEngine(): void
  /** Native dialogs. Paths the user chose, or none. */
  chooseFiles(options: { title: string; multiple: boolean }): Promise<string[]>
  /** Opens a console in a window of its own. */
  openConsoleWindow(guestId: string): void
  /** Tells main what quitting would stop, so that it can ask. */
  setRunningGuests(names: string[]): void
  /** Opens an https address in the user's browser, after main asked. */
  openExternal(url: string): void
}

/** About the connection itself; both fronts have the same. In Electron the engine's port comes as a window message. */
export type ControlMessage =
  | { control: 'connected' }
  | { control: 'engineDied'; reason: string }
  | { control: 'engineResponsive'; responsive: boolean }
  | { control: 'menu'; command: string }
  /** The user opened an exported guest with Kennel: it is to be imported. */
  | { control: 'openFile'; path: string }

export function asControlMessage(text: string): ControlMessage | null {
  if (!text.startsWith('{"control":')) return null
  return JSON.parse(text) as ControlMessage
}

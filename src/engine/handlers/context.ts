/** What the handlers of requests work with. */
import type { Events, EventName, Settings } from '../../shared/protocol.ts'
import type { Connection } from '../connection.ts'
import type { EmulatedHost } from '../emulated-host.ts'
import type { GuestLibrary } from '../guest-library.ts'
import type { GuestManager } from '../guest-manager.ts'
import type { Jobs } from '../jobs.ts'
import type { Log } from '../log.ts'
import type { SettingsFile } from '../settings-file.ts'
import type { Transfers } from '../transfers.ts'

export interface EngineContext {
  readonly home: string
  readonly version: string
  readonly engineId: string
  readonly log: Log
  readonly jobs: Jobs
  readonly library: GuestLibrary
  readonly transfers: Transfers
  readonly guests: GuestManager
  readonly settings: SettingsFile
  /** The host that runs now. */
  readonly host: EmulatedHost
  broadcast<E extends EventName>(event: E, data: Events[E]): void
  applySettings(before: Settings, after: Settings): void
  /** Switches the host off and on again, with the settings of now. */
  restartHost(): Promise<void>
  /** Does something again and again. A fault in it, which only looks at the host, is logged and ends no guest. */
  every(ms: number, work: () => void): NodeJS.Timeout
  /** Something to be undone when the connection closes; a second one with the same key replaces the first. */
  subscription(connection: Connection, key: string, stop: (() => void) | null): void
}

/** Longer than this is no time at all for setInterval. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

/** Milliseconds between the events of a subscription. */
export function periodOf(hz: number): number {
  return Math.min(1000 / hz, LONGEST_TIMER_MS)
}

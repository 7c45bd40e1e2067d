/**
 * The engine: the emulated host, the library of guests, and everything a front can ask of them. Fronts connect by a Duplex; there may
 * be any number. Nothing here knows whether it runs in Electron's utility process, a forked Node process, or a test.
 */
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Duplex } from '../shared/duplex.ts'
import type { EventName, Events, HostInfo, Settings } from '../shared/protocol.ts'
import { Connection, type Handlers } from './connection.ts'
import { EmulatedHost } from './emulated-host.ts'
import { GuestFiles } from './guest-files.ts'
import { GuestLibrary } from './guest-library.ts'
import { GuestManager } from './guest-manager.ts'
import type { EngineContext } from './handlers/context.ts'
import { guestHandlers } from './handlers/guests.ts'
import { hostHandlers } from './handlers/host.ts'
import { inspectHandlers } from './handlers/inspect.ts'
import { Jobs } from './jobs.ts'
import { Log } from './log.ts'
import { SettingsFile } from './settings-file.ts'
import { Sampler, updateLiveFigures } from './statistics.ts'
import { Transfers } from './transfers.ts'

const LIVE_FIGURES_MS = 1000

export interface EngineOptions {
  /** Kennel's folder of this user; made when it is not there. */
  home: string
  version: string
}

export class Engine implements EngineContext {
  readonly home: string
  readonly version: string
  readonly engineId = randomBytes(8).toString('hex')
  readonly log = new Log()
  readonly jobs: Jobs
  readonly library: GuestLibrary
  readonly files: GuestFiles
  readonly transfers: Transfers
  readonly settings: SettingsFile
  guests!: GuestManager
  host!: EmulatedHost
  private handlers!: Handlers
  private readonly connections = new Set<Connection>()
  private readonly subscriptions = new Map<Connection, Map<string, () => void>>()
  private readonly sampler = new Sampler()
  private liveTimer: NodeJS.Timeout | null = null
  private restarting: Promise<void> | null = null

  private constructor(options: EngineOptions) {
    this.home = options.home
    this.version = options.version
    this.settings = new SettingsFile(options.home)
    this.library = new GuestLibrary({ library: join(options.home, 'library'), trash: join(options.home, 'trash') })
    this.files = new GuestFiles(this.library, join(options.home, 'staging'))
    this.transfers = new Transfers(this.files)
    this.jobs = new Jobs((job) => this.broadcast('job', job))
    this.log.onLine((line) => this.broadcast('log', line))
  }

  /** Reads settings and library, and switches the host on. Throws when the home folder cannot be used. */
  static async start(options: EngineOptions): Promise<Engine> {
    await mkdir(options.home, { recursive: true, mode: 0o700 })
    const engine = new Engine(options)
    await engine.settings.load()
    await engine.library.load()
    await engine.files.prepare()
    engine.guests = new GuestManager(
      {
        library: engine.library,
        files: engine.files,
        jobs: engine.jobs,
        log: engine.log,
        host: () => engine.host,
        scrollback: engine.settings.settings.scrollback,
      },
      {
        changed: (guest) => engine.broadcast('guest', guest),
        removed: (guestId) => engine.broadcast('guest.removed', { guestId }),
        notice: (level, text, guestId) => engine.broadcast('notice', { level, text, guestId }),
        bell: (guestId) => engine.broadcast('bell', { guestId }),
      },
    )
    engine.switchOn()
    engine.handlers = {
      ...guestHandlers(engine),
      ...inspectHandlers(engine),
      ...hostHandlers(engine, () => engine.hostInfo()),
    }
    engine.liveTimer = engine.every(LIVE_FIGURES_MS, () => engine.live())
    for (const { folder, problem } of engine.library.quarantined()) {
      engine.log.warn('library', `The guest in “${folder}” cannot be used: ${problem}`)
    }
    if (engine.settings.problem !== null) engine.log.warn('settings', engine.settings.problem)
    engine.log.info('engine', `Kennel ${engine.version} is ready`)
    return engine
  }

  /** A front comes. It goes by closing its end. */
  connect(duplex: Duplex): void {
    const connection = new Connection(duplex, this.handlers)
    this.connections.add(connection)
    connection.onClose(() => {
      this.connections.delete(connection)
      for (const stop of this.subscriptions.get(connection)?.values() ?? []) stop()
      this.subscriptions.delete(connection)
    })
  }

  broadcast<E extends EventName>(event: E, data: Events[E]): void {
    for (const connection of this.connections) connection.emit(event, data)
  }

  subscription(connection: Connection, key: string, stop: (() => void) | null): void {
    const own = this.subscriptions.get(connection) ?? new Map<string, () => void>()
    own.get(key)?.()
    if (stop === null) own.delete(key)
    else own.set(key, stop)
    this.subscriptions.set(connection, own)
    if (connection.closed) stop?.()
  }

  every(ms: number, work: () => void): NodeJS.Timeout {
    return setInterval(() => {
      try {
        work()
      } catch (error) {
        this.log.error('engine', error instanceof Error ? (error.stack ?? error.message) : String(error))
      }
    }, ms)
  }

  applySettings(before: Settings, after: Settings): void {
    if (after.copy !== before.copy) {
      this.host.computer.copyMode = after.copy
      this.log.info('host', `Copy mode is now ${after.copy}`)
    }
    if (after.scrollback !== before.scrollback) this.guests.setScrollback(after.scrollback)
    this.broadcast('settings', after)
    this.broadcast('host', this.hostInfo())
  }

  hostInfo(): HostInfo {
    const { cpus, hostRam } = this.settings.settings
    const running = this.host.settings
    return { ...this.host.info(), restartNeeded: cpus !== running.cpus || hostRam !== running.hostRam }
  }

  restartHost(): Promise<void> {
    this.restarting ??= this.restart().finally(() => (this.restarting = null))
    return this.restarting
  }

  /** Turns the guests off and ends. */
  async shutdown(): Promise<void> {
    if (this.liveTimer !== null) clearInterval(this.liveTimer)
    this.host.resume()
    await this.guests.stopAll()
    this.host.dispose()
    for (const machine of this.guests.list()) await machine.buffer.dispose()
    for (const own of this.subscriptions.values()) for (const stop of own.values()) stop()
  }

  private async restart(): Promise<void> {
    this.host.resume()
    await this.guests.stopAll()
    this.host.dispose()
    this.switchOn()
    this.log.info('host', 'The host was started again')
    this.broadcast('host', this.hostInfo())
    this.broadcast('breakpoints', [])
  }

  private switchOn(): void {
    const random = (length: number): Uint8Array => randomBytes(length)
    this.host = new EmulatedHost(
      this.settings.settings,
      this.guests,
      { changed: () => this.broadcast('host', this.hostInfo()), failed: (error) => this.hostFailed(error) },
      random,
    )
  }

  /** A fault of the emulator, which no guest should be able to cause: everything in the host is over, the engine goes on. */
  private hostFailed(error: Error): void {
    this.log.error('host', error.stack ?? error.message)
    const reason = `The emulated host stopped: ${error.message}`
    this.switchOn()
    this.guests.hostFailed(reason)
    this.broadcast('notice', { level: 'error', text: `${reason}. It was started again.`, guestId: null })
    this.broadcast('host', this.hostInfo())
    this.broadcast('breakpoints', [])
  }

  private live(): void {
    const machines = this.guests.list()
    updateLiveFigures(machines, this.sampler.sample(this.host, machines))
    for (const machine of machines) if (machine.alive) this.broadcast('guest', machine.summary())
  }
}

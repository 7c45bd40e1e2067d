/**
 * The engine as Electron's utility process: started, given a port for each window's page, watched by a heartbeat, and
 * started again when a page asks after its death. Main is not in the way of the data: page and engine hold the two
 * ends of one channel.
 */
import type { MessagePortMain, UtilityProcess } from 'electron'
import { isProcessMessage, type ProcessMessage } from '../engine/process-channel.ts'
import type { Electron } from './electron.ts'
import type { MainLog } from './log.ts'

export const ENGINE_SERVICE = 'Kennel engine'

/** Silence is counted in pings, not in time, because a computer that slept was silent for long without harm. */
export const HEARTBEAT_MS = 250
/** Unanswered pings: with a third, and the quarter of a second before it, silence is noticed within a second. */
const UNRESPONSIVE_AFTER = 3
/** Unanswered pings (10 s): it hangs, and is ended. Less may be a computer under load. */
const HUNG_AFTER = 40
const START_LIMIT_MS = 30_000
const STOP_PATIENCE_MS = 5000
/** The engine's status when another one has the same folder of guests (src/engine/entry.ts). */
const ALREADY_RUNNING = 3

export interface EngineOptions {
  /** The engine's built entry, outside the asar archive. */
  entry: string
  log: MainLog
  /** Ends a process that no longer listens. */
  killHard?: (pid: number) => void
}

export class Engine {
  private readonly electron: Pick<Electron, 'utilityProcess' | 'MessageChannelMain'>
  private readonly options: EngineOptions
  private child: UtilityProcess | null = null
  private ready: Promise<void> = Promise.resolve()
  private heartbeat: NodeJS.Timeout | null = null
  private unanswered = 0
  private wasReady = false
  private nextConnection = 1
  private explanation: string | null = null
  /** Counts the engines started: a port belongs to one of them. */
  generation = 0
  responsive = true
  /** It was asked to finish, so its end is no accident. */
  stopping = false
  /** Called when a running engine died without being asked to. (One that could not start rejects its start.) */
  onDeath: (reason: string) => void = () => {}
  onResponsive: (responsive: boolean) => void = () => {}

  constructor(electron: Pick<Electron, 'utilityProcess' | 'MessageChannelMain'>, options: EngineOptions) {
    this.electron = electron
    this.options = options
  }

  get alive(): boolean {
    return this.child !== null
  }

  /** Starts the process unless there is one; resolves when the engine is ready. Rejects with why it could not start. */
  start(): Promise<void> {
    if (this.child) return this.ready
    const child = this.electron.utilityProcess.fork(this.options.entry, [], {
      serviceName: ENGINE_SERVICE,
      stdio: ['ignore', 'inherit', 'pipe'],
    })
    this.child = child
    this.generation++
    this.stopping = false
    this.wasReady = false
    this.explanation = null
    child.stderr?.on('data', (text: Buffer) => this.options.log.write('warn', `engine: ${text.toString()}`))
    child.on('error', (type, location) => this.explain(`it met a ${type} in ${location || 'its own code'}`))
    this.ready = new Promise((resolve, reject) => {
      const limit = setTimeout(() => this.end('it did not start within 30 seconds'), START_LIMIT_MS)
      child.on('message', (message: unknown) => {
        if (child !== this.child || !isProcessMessage(message)) return
        if (message.type === 'pong') this.answered()
        else if (message.type === 'failed') this.explain(String(message.reason))
        else if (message.type === 'ready') {
          clearTimeout(limit)
          this.wasReady = true
          this.startHeartbeat(child)
          resolve()
        }
      })
      child.once('exit', (code) => {
        clearTimeout(limit)
        const reason = this.explanation ?? describeStatus(code)
        reject(new Error(`The engine could not start: ${reason}.`))
        this.died(reason)
      })
    })
    this.ready.catch(() => undefined)
    return this.ready
  }

  /** A new connection: its other end, for a page. The engine must be ready. */
  connect(): MessagePortMain {
    const { port1, port2 } = new this.electron.MessageChannelMain()
    this.post({ type: 'open', connection: this.nextConnection++ }, [port1])
    return port2
  }

  /** What another observer knows about how the engine ended; the first to know is believed. */
  explain(reason: string): void {
    this.explanation ??= reason
  }

  /** Asks the engine to finish (guests are stopped), and ends it when it does not within `patienceMs`. */
  async stop(patienceMs = STOP_PATIENCE_MS): Promise<void> {
    const child = this.child
    if (!child) return
    this.stopping = true
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    this.post({ type: 'shutdown' })
    const timer = setTimeout(() => this.end('it did not finish when asked to'), patienceMs)
    await gone
    clearTimeout(timer)
  }

  /** Starts a dead engine, or another in place of one that does not answer. */
  async restart(): Promise<void> {
    if (this.child && !this.responsive) {
      const child = this.child
      const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
      this.end('it did not answer')
      await gone
    }
    await this.start()
  }

  private post(message: ProcessMessage, ports: MessagePortMain[] = []): void {
    this.child?.postMessage(message, ports)
  }

  /** Ends the process now. One that hangs may have taken over the polite signal, so it gets the other. */
  private end(reason: string): void {
    this.explain(reason)
    const pid = this.child?.pid
    if (pid === undefined) this.child?.kill()
    else (this.options.killHard ?? killHard)(pid)
  }

  private startHeartbeat(child: UtilityProcess): void {
    this.unanswered = 0
    let sequence = 0
    this.heartbeat = setInterval(() => {
      if (this.unanswered >= UNRESPONSIVE_AFTER) this.setResponsive(false)
      if (this.unanswered >= HUNG_AFTER) this.end('it did not answer for 10 seconds')
      this.unanswered++
      child.postMessage({ type: 'ping', sequence: sequence++ } satisfies ProcessMessage)
    }, HEARTBEAT_MS)
  }

  private answered(): void {
    this.unanswered = 0
    this.setResponsive(true)
  }

  private setResponsive(responsive: boolean): void {
    if (responsive === this.responsive) return
    this.responsive = responsive
    this.onResponsive(responsive)
  }

  private died(reason: string): void {
    this.child = null
    this.responsive = true
    if (this.heartbeat) clearInterval(this.heartbeat)
    this.heartbeat = null
    this.options.log.write(this.stopping ? 'info' : 'error', `The engine stopped: ${reason}.`)
    if (this.wasReady && !this.stopping) this.onDeath(reason)
  }
}

function describeStatus(code: number): string {
  if (code === ALREADY_RUNNING) return 'another Kennel, perhaps “kennel serve”, has your guests open'
  return `it ended with status ${code}`
}

function killHard(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It is gone already.
  }
}

/**
 * The engine as a forked Node process, seen from its parent (the web front): connections to it, its heartbeat, its
 * death and its being started again. A dead or hung engine is noticed within a second.
 */
import { fork, type ChildProcess } from 'node:child_process'
import type { Duplex } from '../shared/duplex.ts'
import { ChannelEnd, isProcessMessage, type ProcessMessage } from '../engine/process-channel.ts'

const HEARTBEAT_MS = 250
/**
 * Pings without an answer. They are counted, not timed: a computer that slept has missed none. With a third, and the quarter of a
 * second before it, silence is noticed within a second.
 */
const SILENT_PINGS = 3
/** A machine under load may stall any process; only this long a silence is a hang rather than a busy engine. */
const HUNG_PINGS = 40

export interface EngineProcessOptions {
  /** The engine's built entry. */
  entry: string
  env: NodeJS.ProcessEnv
  execPath?: string
}

export class EngineProcess {
  private readonly options: EngineProcessOptions
  private child: ChildProcess | null = null
  private readonly ends = new Map<number, ChannelEnd>()
  private nextConnection = 1
  private heartbeat: NodeJS.Timeout | null = null
  private unanswered = 0
  private ready: Promise<void> = Promise.resolve()
  private stopping = false
  /** Why it ends, as it said itself. */
  private explanation: string | null = null
  /** Called when the engine died without being asked to. */
  onDeath: (reason: string) => void = () => {}
  /** Called when the engine stops or resumes answering its heartbeat. */
  onResponsive: (responsive: boolean) => void = () => {}
  private responsive = true

  constructor(options: EngineProcessOptions) {
    this.options = options
  }

  get alive(): boolean {
    return this.child !== null
  }

  get pid(): number | undefined {
    return this.child?.pid
  }

  /** Starts the process; resolves when the engine says it is ready. Rejects with why it could not start. */
  start(): Promise<void> {
    if (this.child) return this.ready
    this.stopping = false
    this.explanation = null
    const child = fork(this.options.entry, [], {
      env: this.options.env,
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      ...(this.options.execPath === undefined ? {} : { execPath: this.options.execPath }),
    })
    this.child = child
    this.ready = new Promise((resolve, reject) => {
      child.on('message', (message: unknown) => {
        if (!isProcessMessage(message)) return
        if (message.type === 'ready') {
          this.startHeartbeat(child)
          resolve()
        } else this.receive(message)
      })
      // Writing to a child that has just died is an error too; its end is told by 'exit'. One that never began has no end.
      child.on('error', (error) => {
        reject(error)
        if (child.pid === undefined) this.died(child, error.message)
      })
      child.once('exit', (code, signal) => {
        const status = signal ? `it was ended by ${signal}` : `it ended with status ${code ?? 'unknown'}`
        const reason = this.explanation ?? status
        reject(new Error(`The engine could not start: ${reason}.`))
        this.died(child, reason)
      })
    })
    this.ready.catch(() => undefined)
    return this.ready
  }

  /** A new connection to the engine. */
  connect(): Duplex {
    const connection = this.nextConnection++
    const end = new ChannelEnd(connection, (message) => this.post(message))
    end.onClose(() => this.ends.delete(connection))
    if (!this.child) {
      queueMicrotask(() => end.closedByPeer())
      return end
    }
    this.ends.set(connection, end)
    this.post({ type: 'open', connection })
    return end
  }

  /** Asks the engine to finish (guests are stopped), and ends it after `patienceMs` if it does not. */
  async stop(patienceMs = 5000): Promise<void> {
    const child = this.child
    if (!child) return
    this.stopping = true
    const gone = new Promise<void>((resolve) => {
      child.once('exit', () => resolve())
      if (child.pid === undefined) child.once('error', () => resolve())
    })
    this.post({ type: 'shutdown' })
    const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs)
    await gone
    clearTimeout(timer)
  }

  /** Starts a dead engine, or another in place of one that does not answer. */
  async restart(): Promise<void> {
    const { child } = this
    if (child && !this.responsive) {
      const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
      this.explanation ??= 'it did not answer'
      child.kill('SIGKILL')
      await gone
    }
    await this.start()
  }

  private post(message: ProcessMessage): void {
    if (this.child?.connected) this.child.send(message)
  }

  private receive(message: ProcessMessage): void {
    if (message.type === 'data') this.ends.get(message.connection)?.receive(message.frame)
    else if (message.type === 'close') this.ends.get(message.connection)?.closedByPeer()
    else if (message.type === 'pong') this.unanswered = 0
    else if (message.type === 'failed' && typeof message.reason === 'string') this.explanation ??= message.reason
  }

  private startHeartbeat(child: ChildProcess): void {
    this.unanswered = 0
    let sequence = 0
    this.heartbeat = setInterval(() => {
      this.setResponsive(this.unanswered < SILENT_PINGS)
      if (this.unanswered > HUNG_PINGS) {
        this.explanation ??= 'it did not answer for 10 seconds'
        child.kill('SIGKILL')
      } else {
        this.unanswered++
        this.post({ type: 'ping', sequence: sequence++ })
      }
    }, HEARTBEAT_MS)
    this.heartbeat.unref()
  }

  private setResponsive(responsive: boolean): void {
    if (responsive === this.responsive) return
    this.responsive = responsive
    this.onResponsive(responsive)
  }

  private died(child: ChildProcess, reason: string): void {
    if (this.child !== child) return
    this.child = null
    this.setResponsive(true)
    if (this.heartbeat) clearInterval(this.heartbeat)
    for (const end of [...this.ends.values()]) end.closedByPeer()
    this.ends.clear()
    if (!this.stopping) this.onDeath(reason)
  }
}

/** The engine's process in the fake Electron (fake-electron.ts). */
import { EventEmitter } from 'node:events'
import type { ForkOptions } from 'electron'
import type { ProcessMessage } from '../../engine/process-channel.ts'

export class FakePort {
  closed = false
  close(): void {
    this.closed = true
  }
}

export interface EngineHabits {
  /** Says that it is ready, soon after its start. */
  ready: boolean
  /** Answers pings. */
  answers: boolean
  /** Ends when it is asked to. */
  obeys: boolean
}

export class FakeUtilityProcess extends EventEmitter {
  readonly entry: string
  readonly options: ForkOptions
  readonly habits: EngineHabits
  readonly stderr = new EventEmitter()
  readonly received: { message: ProcessMessage; ports: FakePort[] }[] = []
  /** Without one, so that nothing real can be ended. */
  pid: number | undefined
  killed = false
  running = true

  constructor(entry: string, options: ForkOptions, habits: EngineHabits) {
    super()
    this.entry = entry
    this.options = options
    this.habits = habits
    if (habits.ready) queueMicrotask(() => this.say({ type: 'ready' }))
  }

  postMessage(message: ProcessMessage, ports: FakePort[] = []): void {
    this.received.push({ message, ports })
    if (message.type === 'ping' && this.habits.answers) this.say({ type: 'pong', sequence: message.sequence })
    if (message.type === 'shutdown' && this.habits.obeys) queueMicrotask(() => this.exit(0))
  }
  kill(): boolean {
    this.killed = true
    queueMicrotask(() => this.exit(9))
    return true
  }

  say(message: ProcessMessage): void {
    if (this.running) this.emit('message', message)
  }
  exit(code: number): void {
    if (!this.running) return
    this.running = false
    this.pid = undefined
    this.emit('exit', code)
  }
  /** Ports handed to it, oldest first. */
  get ports(): FakePort[] {
    return this.received.filter(({ message }) => message.type === 'open').flatMap(({ ports }) => ports)
  }
}

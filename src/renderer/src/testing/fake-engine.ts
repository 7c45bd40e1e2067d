/**
 * An engine for mount tests: the real EngineClient over a transport that answers from a table of functions and keeps what
 * was asked. Events are sent as the engine would send them.
 */
import type { Frame } from '@shared/duplex'
import type { ControlMessage } from '@shared/preload-api'
import {
  PROTOCOL_VERSION,
  SettingsSchema,
  type EventName,
  type Events,
  type HostInfo,
  type Method,
  type Params,
  type Results,
} from '@shared/protocol'
import { flushPromises } from '@vue/test-utils'
import * as v from 'valibot'
import { EngineClient } from '../services/client'

export type Answers = { [M in Method]?: (params: Params<M>) => Results[M] }

export interface SentRequest {
  method: Method
  params: unknown
}

export const HOST: HostInfo = {
  cpus: 2,
  ram: 512 * 1024 * 1024,
  ramUsed: 40 * 1024 * 1024,
  copy: 'elide',
  executor: 'lockstep',
  paused: false,
  stop: null,
  uptime: 12,
  restartNeeded: false,
}

export class FakeEngine {
  readonly client: EngineClient
  readonly sent: SentRequest[] = []
  answers: Answers
  host: HostInfo = { ...HOST }
  private deliver: (frame: Frame) => void = () => {}
  private control: (message: ControlMessage) => void = () => {}

  constructor(answers: Answers = {}) {
    const ownHost = (): HostInfo => this.host
    this.answers = {
      hello: () => ({
        protocol: PROTOCOL_VERSION,
        version: '0.1.0',
        engineId: 'one',
        settings: v.parse(SettingsSchema, {}),
      }),
      'host.get': ownHost,
      'guests.list': () => ({ guests: [], quarantined: [] }),
      'jobs.list': () => [],
      'debug.breakpoints': () => [],
      'debug.pause': () => this.stop({ kind: 'paused' }),
      'debug.step': () => this.stop({ kind: 'step' }),
      'debug.stepSwitch': ownHost,
      'debug.runTo': ownHost,
      'debug.resume': () => (this.host = { ...this.host, paused: false, stop: null }),
      'inspect.subscribe': () => null,
      'inspect.timeline': () => ({ next: 0, dropped: 0, events: [] }),
      'stats.subscribe': () => null,
      ...answers,
    }
    this.client = new EngineClient({
      send: (frame) => this.receive(frame),
      onFrame: (listener) => (this.deliver = listener),
      onControl: (listener) => (this.control = listener),
      restartEngine: () => {},
    })
  }

  stop(stop: NonNullable<HostInfo['stop']>): HostInfo {
    return (this.host = { ...this.host, paused: true, stop })
  }

  async connect(): Promise<void> {
    this.control({ control: 'connected' })
    await flushPromises()
  }

  async emit<E extends EventName>(event: E, data: Events[E]): Promise<void> {
    this.deliver(JSON.stringify({ event, data }))
    await flushPromises()
  }

  /** Parameters of every request of a method, oldest first. */
  asked<M extends Method>(method: M): Params<M>[] {
    return this.sent.filter((r) => r.method === method).map((r) => r.params as Params<M>)
  }

  private receive(frame: Frame): void {
    if (typeof frame !== 'string') return
    const { id, method, params } = JSON.parse(frame) as { id: number; method: Method; params: never }
    this.sent.push({ method, params })
    const answer = this.answers[method] as ((params: never) => unknown) | undefined
    void Promise.resolve().then(() => {
      try {
        if (!answer) throw new Error(`no answer to ${method}`)
        this.deliver(JSON.stringify({ id, result: answer(params) ?? null }))
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error)
        this.deliver(JSON.stringify({ id, error: { code: 'internal', message } }))
      }
    })
  }
}

/** Pages of the fake Electron (fake-electron.ts), and the messages they send to main. */
import { EventEmitter } from 'node:events'
import type { WindowOpenHandlerResponse } from 'electron'
import type { FakePort } from './fake-engine.ts'

export class PreventableEvent {
  defaultPrevented = false
  preventDefault(): void {
    this.defaultPrevented = true
  }
}

export interface FakeFrame {
  url: string
  parent: FakeFrame | null
}

export class FakeWebContents extends EventEmitter {
  readonly mainFrame: FakeFrame = { url: '', parent: null }
  readonly sent: { channel: string; message: unknown }[] = []
  /** Ports that were posted to the page, oldest first. */
  readonly ports: FakePort[] = []
  reloads = 0
  crashes = 0
  private openHandler: ((details: { url: string }) => WindowOpenHandlerResponse) | null = null

  send(channel: string, message: unknown): void {
    this.sent.push({ channel, message })
  }
  postMessage(channel: string, message: unknown, ports: FakePort[]): void {
    this.sent.push({ channel, message })
    this.ports.push(...ports)
  }
  setWindowOpenHandler(handler: (details: { url: string }) => WindowOpenHandlerResponse): void {
    this.openHandler = handler
  }
  reload(): void {
    this.reloads++
  }
  forcefullyCrashRenderer(): void {
    this.crashes++
    this.die('killed')
  }

  /** The page calls window.open. True when it got a window. */
  openWindow(url: string): boolean {
    return this.openHandler?.({ url }).action !== 'deny'
  }
  /** The page tries to go elsewhere. True when it gets there. */
  navigate(
    by: 'will-navigate' | 'will-redirect' | 'will-frame-navigate' | 'will-attach-webview',
    url: string,
  ): boolean {
    const event = Object.assign(new PreventableEvent(), { url })
    this.emit(by, event, url)
    return !event.defaultPrevented
  }
  /** The page's process ends. */
  die(reason: string): void {
    this.emit('render-process-gone', new PreventableEvent(), { reason, exitCode: 5 })
  }
}

type Listener = (event: unknown, ...args: unknown[]) => unknown

export class FakeIpcMain {
  private readonly listeners = new Map<string, Listener>()
  private readonly answers = new Map<string, Listener>()

  on(channel: string, listener: Listener): void {
    this.listeners.set(channel, listener)
  }
  handle(channel: string, answer: Listener): void {
    this.answers.set(channel, answer)
  }

  get channels(): string[] {
    return [...this.listeners.keys(), ...this.answers.keys()].sort()
  }

  /** A page sends a message. It is from the page's top frame unless another frame is given. */
  send(from: FakeWebContents, channel: string, args: unknown[] = [], frame: FakeFrame | null = from.mainFrame): void {
    this.listeners.get(channel)?.({ sender: from, senderFrame: frame }, ...args)
  }
  /** A page asks and gets an answer. */
  async invoke(
    from: FakeWebContents,
    channel: string,
    args: unknown[] = [],
    frame: FakeFrame | null = from.mainFrame,
  ): Promise<unknown> {
    return this.answers.get(channel)?.({ sender: from, senderFrame: frame }, ...args)
  }
}

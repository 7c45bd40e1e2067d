import { safeParse } from 'valibot'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { CALLS, SENDS } from '../main/ipc.ts'
import type { ControlMessage, KennelBridge } from '../shared/preload-api.ts'

const exposed: Record<string, unknown> = {}
const messages: { channel: string; args: unknown[] }[] = []
const listeners = new Map<string, (event: { ports: unknown[] }, message?: unknown) => void>()
const posted: unknown[][] = []

vi.mock('electron', () => ({
  contextBridge: { exposeInMainWorld: (name: string, value: unknown) => (exposed[name] = value) },
  ipcRenderer: {
    send: (channel: string, ...args: unknown[]) => void messages.push({ channel, args }),
    invoke: (channel: string, ...args: unknown[]) => {
      messages.push({ channel, args })
      return Promise.resolve(['/a'])
    },
    on: (channel: string, listener: (event: { ports: unknown[] }, message?: unknown) => void) =>
      void listeners.set(channel, listener),
  },
}))
vi.stubGlobal('window', { postMessage: (...args: unknown[]) => void posted.push(args) })
await import('./index.ts')

const bridge = (): KennelBridge => exposed['kennel'] as KennelBridge

beforeEach(() => {
  messages.length = 0
})

describe('the bridge', () => {
  it('is KennelBridge and nothing more: no way to name a channel', () => {
    expect(Object.keys(exposed)).toEqual(['kennel'])
    expect(Object.keys(bridge()).sort()).toEqual([
      'chooseFiles',
      'onControl',
      'openConsoleWindow',
      'openExternal',
      'platform',
      'requestEngine',
      'restartEngine',
      'setRunningGuests',
    ])
    expect(bridge().platform).toBe(process.platform)
  })

  it('sends on the channels main listens to, with arguments main accepts', async () => {
    bridge().requestEngine()
    bridge().restartEngine()
    bridge().openConsoleWindow('pup')
    bridge().setRunningGuests(['pup', 'linux'])
    bridge().openExternal('https://example.org/')
    expect(await bridge().chooseFiles({ title: 'Choose', multiple: true })).toEqual(['/a'])
    const schemas = { ...SENDS, ...CALLS }
    expect(messages.map(({ channel }) => channel).sort()).toEqual(Object.keys(schemas).sort())
    for (const { channel, args } of messages) {
      expect(safeParse(schemas[channel as keyof typeof schemas], args).success, channel).toBe(true)
    }
  })

  it('hands control messages on', () => {
    const heard: ControlMessage[] = []
    bridge().onControl((message) => heard.push(message))
    listeners.get('kennel:control')?.({ ports: [] }, { control: 'menu', command: 'new' })
    expect(heard).toEqual([{ control: 'menu', command: 'new' }])
  })

  it('passes the engine’s port to the page as the window message that the page expects', () => {
    const port = { port: 1 }
    listeners.get('kennel:enginePort')?.({ ports: [port] })
    expect(posted).toEqual([['kennel-engine-port', '*', [port]]])
  })
})

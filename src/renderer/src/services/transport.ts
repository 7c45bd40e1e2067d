/**
 * How this page reaches the engine: through a MessagePort that Electron's main handed over, or, in a browser, through
 * the web front's WebSocket. Both look the same from here: a Duplex to the engine, and control messages about it.
 */
import type { Frame } from '@shared/duplex'
import { asControlMessage, type ControlMessage, type KennelBridge } from '@shared/preload-api'
import { t } from '../i18n'

declare global {
  interface Window {
    kennel?: KennelBridge
  }
}

export interface Transport {
  send(frame: Frame): void
  onFrame(listener: (frame: Frame) => void): void
  onControl(listener: (message: ControlMessage) => void): void
  restartEngine(): void
}

const RECONNECT_MS = 500

export function openTransport(): Transport {
  return window.kennel ? portTransport(window.kennel) : socketTransport()
}

function listeners<T>(): { add: (l: (value: T) => void) => void; call: (value: T) => void } {
  const all: ((value: T) => void)[] = []
  return { add: (l) => all.push(l), call: (value) => all.forEach((l) => l(value)) }
}

/** Electron: main posts the port to this window each time an engine is there. */
function portTransport(bridge: KennelBridge): Transport {
  const frames = listeners<Frame>()
  const controls = listeners<ControlMessage>()
  let port: MessagePort | null = null
  window.addEventListener('message', (event) => {
    if (event.source !== window || event.data !== 'kennel-engine-port') return
    port?.close()
    port = event.ports[0]
    port.onmessage = (message: MessageEvent<Frame>) => frames.call(message.data)
    controls.call({ control: 'connected' })
  })
  bridge.onControl((message) => controls.call(message))
  bridge.requestEngine()
  return {
    send: (frame) => port?.postMessage(frame),
    onFrame: frames.add,
    onControl: controls.add,
    restartEngine: () => bridge.restartEngine(),
  }
}

/** Web front: token from the address's fragment, one socket, reconnecting while the server is away. */
function socketTransport(): Transport {
  const frames = listeners<Frame>()
  const controls = listeners<ControlMessage>()
  const token = new URLSearchParams(location.hash.slice(1)).get('token') ?? sessionStorage.getItem('kennel-token') ?? ''
  if (token !== '') sessionStorage.setItem('kennel-token', token)
  let socket: WebSocket | null = null
  const open = (): void => {
    const ws = new WebSocket(`ws://${location.host}/ws`)
    ws.binaryType = 'arraybuffer'
    socket = ws
    ws.onopen = () => ws.send(JSON.stringify({ token }))
    ws.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
      if (typeof event.data !== 'string') {
        frames.call(new Uint8Array(event.data))
        return
      }
      const control = asControlMessage(event.data)
      if (control) controls.call(control)
      else frames.call(event.data)
    }
    ws.onclose = (event) => {
      if (socket !== ws) return
      socket = null
      if (event.code === 4003) {
        controls.call({
          control: 'engineDied',
          reason: t('transport.unknownToken'),
        })
        return
      }
      controls.call({ control: 'engineDied', reason: t('transport.lost') })
      setTimeout(open, RECONNECT_MS)
    }
  }
  open()
  return {
    send: (frame) => {
      if (socket?.readyState === WebSocket.OPEN) socket.send(frame as string | Uint8Array<ArrayBuffer>)
    },
    onFrame: frames.add,
    onControl: controls.add,
    restartEngine: () => {
      if (socket?.readyState === WebSocket.OPEN) socket.send('{"control":"restartEngine"}')
    },
  }
}

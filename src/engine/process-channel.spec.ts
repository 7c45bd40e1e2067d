import { beforeEach, describe, expect, it } from 'vitest'
import type { Frame } from '../shared/duplex.ts'
import { ChannelEnd, isProcessMessage, type ProcessMessage } from './process-channel.ts'

let posted: ProcessMessage[]
let end: ChannelEnd
let frames: Frame[]
let closed: number

beforeEach(() => {
  posted = []
  frames = []
  closed = 0
  end = new ChannelEnd(7, (message) => posted.push(message))
  end.onMessage((frame) => frames.push(frame))
  end.onClose(() => closed++)
})

describe('one connection of many', () => {
  it('says whose its frames are', () => {
    end.send('text')
    end.send(Uint8Array.of(1))
    expect(posted).toEqual([
      { type: 'data', connection: 7, frame: 'text' },
      { type: 'data', connection: 7, frame: Uint8Array.of(1) },
    ])
  })

  it('delivers to everybody who listens, in order', () => {
    const second: Frame[] = []
    end.onMessage((frame) => second.push(frame))
    end.receive('one')
    end.receive(Uint8Array.of(2))
    expect(frames).toEqual(['one', Uint8Array.of(2)])
    expect(second).toEqual(frames)
  })

  it('closed here tells the other side once, and is closed for everything', () => {
    end.close()
    end.close()
    end.closedByPeer()
    end.send('late')
    end.receive('late')
    expect(posted).toEqual([{ type: 'close', connection: 7 }])
    expect(frames).toEqual([])
    expect(closed).toBe(1)
  })

  it('closed there is not told back', () => {
    end.closedByPeer()
    end.closedByPeer()
    end.close()
    end.send('late')
    expect(posted).toEqual([])
    expect(closed).toBe(1)
  })

  it('can close while it is delivering', () => {
    end.onMessage(() => end.close())
    end.receive('last')
    end.receive('never')
    expect(frames).toEqual(['last'])
    expect(closed).toBe(1)
  })

  it('lets two ends talk', () => {
    const ends: ChannelEnd[] = []
    const carry = (to: number) => (message: ProcessMessage) => {
      if (message.type === 'data') ends[to].receive(message.frame)
      if (message.type === 'close') ends[to].closedByPeer()
    }
    ends.push(new ChannelEnd(1, carry(1)), new ChannelEnd(1, carry(0)))
    ends[1].onMessage((frame) => ends[1].send(`${String(frame)}!`))
    const heard: Frame[] = []
    let over = false
    ends[0].onMessage((frame) => heard.push(frame))
    ends[0].onClose(() => (over = true))
    ends[0].send('wuff')
    ends[1].close()
    ends[0].send('anybody?')
    expect(heard).toEqual(['wuff!'])
    expect(over).toBe(true)
  })
})

describe('what comes over the channel', () => {
  it.each([{ type: 'ping', sequence: 1 }, { type: 'ready' }, { type: 'close', connection: 3 }])(
    '%j is a message',
    (m) => {
      expect(isProcessMessage(m)).toBe(true)
    },
  )
  it.each([null, undefined, 'ready', 7, [], {}, { type: 7 }])('%j is none', (message) => {
    expect(isProcessMessage(message)).toBe(false)
  })
})

import { describe, expect, it } from 'vitest'
import { MemoryDisk } from './block-backend.ts'
import { EthernetSwitch } from './switch.ts'
import { TrafficCounter } from './traffic.ts'

describe('traffic', () => {
  it('counts what disks and the card really moved', () => {
    const traffic = new TrafficCounter()
    const memory = new MemoryDisk(new Uint8Array(4096))
    const disk = traffic.disk(memory)
    disk.write(512, new Uint8Array(1024).fill(7))
    expect([...disk.read(1024, 2)]).toEqual([7, 7])
    disk.flush()
    expect(memory.flushes).toBe(1)
    const network = new EthernetSwitch()
    const port = network.attach(() => {})
    const other = network.attach(() => {})
    traffic.network(port)
    port.send(new Uint8Array(60).fill(0xff))
    other.send(new Uint8Array(100).fill(0xff))
    expect(traffic.now).toEqual({ diskRead: 2, diskWritten: 1024, netSent: 60, netReceived: 100 })
  })

  it('does not count what failed', () => {
    const traffic = new TrafficCounter()
    const failing = { ...new MemoryDisk(new Uint8Array(512)), size: 512, readOnly: false, flush: () => {} }
    const disk = traffic.disk({
      ...failing,
      read: () => {
        throw new Error('broken')
      },
      write: () => {
        throw new Error('broken')
      },
    })
    expect(() => disk.read(0, 512)).toThrow('broken')
    expect(() => disk.write(0, new Uint8Array(512))).toThrow('broken')
    expect(traffic.now).toEqual({ diskRead: 0, diskWritten: 0, netSent: 0, netReceived: 0 })
  })
})

import { describe, expect, it } from 'vitest'
import { string, text } from '../testing/virtio-driver.ts'
import { MemoryDisk } from './block-backend.ts'

describe('MemoryDisk', () => {
  it('has the size of its bytes, and can be written unless told otherwise', () => {
    expect(new MemoryDisk(new Uint8Array(1536))).toMatchObject({ size: 1536, readOnly: false, flushes: 0 })
    expect(new MemoryDisk(new Uint8Array(0), true)).toMatchObject({ size: 0, readOnly: true })
  })

  it('reads what was written, and leaves the rest', () => {
    const disk = new MemoryDisk(text('................'))
    disk.write(4, text('abcd'))
    expect(string(disk.read(2, 8))).toBe('..abcd..')
    expect(string(disk.bytes)).toBe('....abcd........')
  })

  it('hands out copies: what was read does not change with the disk, nor the other way round', () => {
    const disk = new MemoryDisk(text('before'))
    const read = disk.read(0, 6)
    disk.write(0, text('after!'))
    expect(string(read)).toBe('before')
    read.fill(0)
    expect(string(disk.read(0, 6))).toBe('after!')
    const bytes = text('mine..')
    disk.write(0, bytes)
    bytes.fill(0)
    expect(string(disk.read(0, 6))).toBe('mine..')
  })

  it('counts flushes', () => {
    const disk = new MemoryDisk(new Uint8Array(512))
    disk.flush()
    disk.flush()
    expect(disk.flushes).toBe(2)
  })
})

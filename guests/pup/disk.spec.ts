/**
 * pup's file system on disks of every kind: read-only, too small, foreign, and damaged at random. Whatever is on a disk, pup says what is
 * wrong and goes on. On the whole computer, in virtual time.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { Computer, type GuestExit } from '../../src/emu/index.ts'
import { MemoryDisk } from '../../src/emu/launcher/block-backend.ts'
import { MIB } from '../../src/emu/layout/memory.ts'

// Only for what would never end: there are slow machines.
vi.setConfig({ testTimeout: 1_000_000 })

const file = (name: string) => ({ name, bytes: readFileSync(join(import.meta.dirname, name)) })
const kernel = file('pup.elf')
const initrd = file('initrd.img')
const BLOCK = 4096

/** Boots pup with the disk, types the commands and poweroff; what it printed and how it ended. */
function pup(disk: MemoryDisk, commands: readonly string[]): { text: string; exit: GuestExit | undefined } {
  const computer = new Computer({ cpus: 1, ramSize: 64 * MIB, clock: 'virtual' })
  let text = ''
  let exit: GuestExit | undefined
  const guest = computer.startGuest({
    name: 'pup',
    kernel,
    initrd,
    memory: 8 * MIB,
    disks: [disk],
    console: { write: (bytes) => (text += String.fromCharCode(...bytes).replaceAll('\r', '')) },
    onExit: (end) => (exit = end),
  })
  guest.type(new TextEncoder().encode([...commands, 'poweroff', ''].join('\n')))
  computer.runSlice(1_000_000_000)
  return { text, exit }
}

const POWERED_OFF = { kind: 'poweroff', reason: 'powered off' }
const blank = (bytes: number) => new MemoryDisk(new Uint8Array(bytes))

/** A disk of 1 MiB with files in it: short ones, one with an indirect block, and the gap of one that was removed. */
function filledDisk(): MemoryDisk {
  const disk = blank(MIB)
  const { exit } = pup(disk, [
    'write short a few words',
    'write gone and forgotten',
    'cat /bin/sh /bin/sh /bin/selftest /bin/bench /bin/sh /bin/net > long',
    'write last the last one',
    'rm gone',
  ])
  expect(exit).toEqual(POWERED_OFF)
  return disk
}

let kept: Uint8Array | undefined
/** That disk's bytes, made once. */
const whole = () => (kept ??= filledDisk().bytes)

describe('pup, given a disk', () => {
  it('that is read-only: reads from it, says so when it should write, and changes nothing', () => {
    const before = whole()
    const disk = new MemoryDisk(before.slice(), true)
    const { text, exit } = pup(disk, [
      'cat short',
      'write short x',
      'write more x',
      'rm short',
      'echo x >> last',
      'mkfs',
      'echo x > /dev/vda',
    ])
    expect(text).toContain('virtio: disk vda, 1024 KiB, read-only')
    expect(text).toMatch(/cat short\na few words\n/)
    for (const line of ['short', 'more', 'rm: short', 'last', 'mkfs']) expect(text).toContain(`\n${line}: read-only\n`)
    expect(text).not.toContain('cannot write to the disk')
    expect(exit).toEqual(POWERED_OFF)
    expect(Buffer.compare(disk.bytes, before)).toBe(0)
  })

  it.each([
    ['of one sector', blank(512), 'is smaller than one block'],
    ['of three blocks', blank(3 * BLOCK), 'is too small for a file system'],
    ['that is blank and read-only', new MemoryDisk(new Uint8Array(MIB), true), 'is blank, and nothing can be written'],
    ['with something else on it', new MemoryDisk(new Uint8Array(MIB).fill(0x55)), 'has something else on it'],
  ])('%s: leaves it alone, says why, and keeps files in memory', (_, disk, why) => {
    const before = disk.bytes.slice()
    const { text, exit } = pup(disk, ['write note here', 'cat note'])
    expect(text).toContain(`pupfs: vda ${why}`)
    expect(text).toMatch(/cat note\nhere\n/)
    expect(exit).toEqual(POWERED_OFF)
    expect(Buffer.compare(disk.bytes, before)).toBe(0)
  })

  it('that is foreign: takes it over when told to', () => {
    const disk = new MemoryDisk(new Uint8Array(MIB).fill(0x55))
    expect(pup(disk, ['mkfs', 'write note mine now']).exit).toEqual(POWERED_OFF)
    expect(pup(disk, ['cat note']).text).toMatch(/cat note\nmine now\n/)
  })

  it('as small as can be: fills it, says that it is full, and can use again what is removed', () => {
    const { text, exit } = pup(blank(6 * BLOCK), [
      'cat /bin/sh > a; free',
      'cat /bin/sh > b',
      'rm a b',
      'write c there is room again',
      'cat c',
    ])
    expect(text).toMatch(/\n[ab]: no space left\n|\n.*: no space left\n/)
    expect(text).toMatch(/cat c\nthere is room again\n/)
    expect(exit).toEqual(POWERED_OFF)
  })

  it('with more files than it has room for names', () => {
    // 64 inodes, of which the root has one.
    const lines = Array.from({ length: 70 }, (_, i) => `write file${i} ${i}`)
    const { text, exit } = pup(blank(MIB), [...lines, 'ls | wc', 'rm file7', 'write again x', 'cat again file62'])
    expect(text.match(/file\d+: no space left/g)).toHaveLength(7)
    expect(text).toMatch(/cat again file62\nx\n62\n/)
    expect(exit).toEqual(POWERED_OFF)
  })

  const COMMANDS = [
    'ls -l',
    'cat short long last > /dev/null',
    'write short other words',
    'write fresh new',
    'cat /bin/net >> long',
    'cat fresh short',
    'rm short',
    'rm long',
    'rm last',
    'cat /bin/sh > fresh2',
    'ls; free',
    'echo alive',
  ]
  const survives = (disk: MemoryDisk, what: string): void => {
    const { text, exit } = pup(disk, COMMANDS)
    expect(exit, `${what}:\n${text}`).toEqual(POWERED_OFF)
    expect(text, what).toMatch(/echo alive\nalive\n/)
  }

  // Words of the super block at 0 (magic, blocks, inodes, bitmap, inode table, data), of inodes (links, size, changed, -, direct[11],
  // indirect), of the directory (inode, name). Inode 0 is the root; 1, 3 and 4 are in the order the files were made, less what was removed.
  const INODE = (number: number, word: number) => 2 * BLOCK + number * 64 + word * 4
  it.each([
    ['more blocks than the disk has', 8, 0xffffffff],
    ['fewer blocks than its own tables', 8, 2],
    ['inodes without end', 12, 0xffffffff],
    ['no inode', 12, 0],
    ['the bitmap in the super block', 16, 0],
    ['a bitmap that says that all is free, the tables too', BLOCK, 0],
    ['a root without links', INODE(0, 0), 0],
    ['a directory without end', INODE(0, 1), 0xffffffe0],
    ['a directory in the super block', INODE(0, 4), 0],
    ['a directory behind the disk', INODE(0, 4), 0xfffffffe],
    ['a directory in the inodes', INODE(0, 4), 2],
    ['a file of 4 GiB', INODE(1, 1), 0xffffffff],
    ['a file in the bitmap', INODE(1, 4), 1],
    ['a file behind the disk', INODE(3, 4), 0x7fffffff],
    ['an indirect block in the super block', INODE(3, 15), 0xffffffff],
    ['an indirect block in the inodes', INODE(3, 15), 2],
    ['a free inode with a name', INODE(1, 0), 0],
  ])('whose file system has %s: prints messages, and never panics', (what, at, value) => {
    const disk = new MemoryDisk(whole().slice())
    new DataView(disk.bytes.buffer).setUint32(at, value, true)
    survives(disk, what)
  })

  it('that is damaged at random: prints messages, and never panics', () => {
    const root = new DataView(whole().buffer).getUint32(INODE(0, 4), true)
    for (let seed = 1; seed <= 12; seed++) {
      let state = seed
      const random = (below: number): number => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
        return Math.floor((state / 2 ** 32) * below)
      }
      // A word of the super block, the bitmap, the first inodes, the directory; or anywhere.
      const places = [
        () => random(7),
        () => BLOCK / 4 + random(8),
        () => INODE(0, 0) / 4 + random(5 * 16),
        () => INODE(0, 0) / 4 + random(5 * 16),
        () => (root * BLOCK) / 4 + random(5 * 8),
        () => random(MIB / 4),
      ]
      const values = [() => 0, () => 0xffffffff, () => 0x80000000, () => random(300), () => random(2 ** 32)]
      const disk = new MemoryDisk(whole().slice())
      const view = new DataView(disk.bytes.buffer)
      for (let n = 1 + random(6); n > 0; n--) {
        view.setUint32(4 * places[random(places.length)](), values[random(values.length)](), true)
      }
      survives(disk, `seed ${seed}`)
    }
  })
})

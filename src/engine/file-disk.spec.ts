/** The disk behind `--disk FILE[,ro]` (engine/file-disk.ts), on real files. */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { EngineError } from './errors.ts'
import { FileDisk } from './file-disk.ts'

let folder: string
const open: FileDisk[] = []

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kennel-disk-'))
})
afterEach(() => open.splice(0).forEach((disk) => disk.close()))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A new file: each byte is the number of its sector plus 1. */
function image(name: string, size: number): string {
  const file = join(folder, name)
  writeFileSync(
    file,
    Uint8Array.from({ length: size }, (_, i) => (i >> 9) + 1),
  )
  return file
}

function disk(file: string, readOnly = false): FileDisk {
  const made = new FileDisk(file, readOnly)
  open.push(made)
  return made
}

function refusal(file: string, readOnly = false): string {
  try {
    disk(file, readOnly)
  } catch (error) {
    expect(error).toBeInstanceOf(EngineError)
    expect((error as EngineError).code).toBe('unusable')
    return (error as Error).message
  }
  throw new Error(`${file} was accepted`)
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

describe('a disk in a file', () => {
  it('has the size of the file, and reads any part of it', () => {
    const made = disk(image('read.img', 4 * 512))
    expect([made.size, made.readOnly]).toEqual([2048, false])
    expect([...made.read(0, 2)]).toEqual([1, 1])
    expect([...made.read(1022, 4)]).toEqual([2, 2, 3, 3])
    expect([...made.read(2047, 1)]).toEqual([4])
    expect(made.read(512, 0)).toHaveLength(0)
  })

  it('writes where it is told, leaves the rest, and keeps the file’s size', () => {
    const file = image('write.img', 4 * 512)
    const made = disk(file)
    made.write(1020, Buffer.from('across two'))
    expect(text(made.read(1020, 10))).toBe('across two')
    // Others see it at once, flushed or not.
    const after = readFileSync(file)
    expect(after).toHaveLength(2048)
    expect(text(after.subarray(1020, 1030))).toBe('across two')
    expect([after[1019], after[1030]]).toEqual([2, 3])
    expect([after[0], after[2047]]).toEqual([1, 4])
  })

  it('still has everything when it is opened again', () => {
    const file = image('again.img', 1024)
    const first = new FileDisk(file, false)
    first.write(512, Buffer.from('kept'))
    first.flush()
    first.close()
    expect(text(disk(file).read(512, 4))).toBe('kept')
  })

  it('cannot be used when it is closed', () => {
    const closed = new FileDisk(image('closed.img', 512), false)
    closed.close()
    expect(() => closed.read(0, 1)).toThrow('EBADF')
    expect(() => closed.flush()).toThrow('EBADF')
  })

  it('reads zeros where the file has become shorter', () => {
    const file = image('shrunk.img', 2048)
    const made = disk(file)
    truncateSync(file, 600)
    expect([...made.read(598, 4)]).toEqual([2, 2, 0, 0])
    expect([...made.read(1536, 3)]).toEqual([0, 0, 0])
  })

  it('takes a file that ends in the middle of a sector as it is', () => {
    const file = image('odd.img', 1000)
    const made = disk(file)
    expect(made.size).toBe(1000)
    expect([...made.read(998, 4)]).toEqual([2, 2, 0, 0])
    made.write(0, new Uint8Array(512))
    expect(statSync(file).size).toBe(1000)
  })

  it('does not write to a read-only one, whatever is asked', () => {
    const file = image('ro.img', 1024)
    const made = disk(file, true)
    expect(made.readOnly).toBe(true)
    expect([...made.read(512, 1)]).toEqual([2])
    expect(() => made.write(0, Buffer.from('no'))).toThrow('EBADF')
    made.flush()
    expect(readFileSync(file)[0]).toBe(1)
  })

  it('may be open twice for reading', () => {
    const file = image('twice.img', 512)
    expect(disk(file, true).read(0, 1)).toEqual(disk(file, true).read(0, 1))
  })
})

describe('what is no disk, in a sentence', () => {
  it.each([false, true])('a file that is not there (read-only: %s)', (readOnly) => {
    const file = join(folder, 'none.img')
    expect(refusal(file, readOnly)).toBe(
      `The disk ${file} does not exist. Make one, for example with “truncate -s 8M ${file}”.`,
    )
    // Looking for it has not made it.
    expect(() => statSync(file)).toThrow('ENOENT')
  })

  it('a folder', () => {
    expect(refusal(folder)).toBe(`The disk ${folder} is a folder, not a file.`)
    expect(refusal(folder, true)).toBe(`The disk ${folder} is not a file.`)
  })

  it('a pipe, without waiting for its other end', (context) => {
    const file = join(folder, 'pipe')
    if (spawnSync('mkfifo', [file]).status !== 0) return context.skip('no mkfifo here')
    expect(refusal(file, true)).toBe(`The disk ${file} is not a file.`)
  })

  it('something below a file', () => {
    const file = join(image('file.img', 512), 'below')
    expect(refusal(file)).toMatch(/^The disk .*below cannot be opened: ENOTDIR.*\.$/)
  })

  it('less than one sector', () => {
    for (const size of [0, 511]) {
      const file = image(`small-${size}.img`, size)
      expect(refusal(file)).toBe(
        `The disk ${file} is smaller than one sector of 512 bytes. Make it larger, for example with “truncate -s 8M ${file}”.`,
      )
    }
    expect(disk(image('one.img', 512)).size).toBe(512)
  })

  it.skipIf(process.getuid?.() === 0)('a file that may not be written (not as root, who may)', () => {
    const file = image('forbidden.img', 512)
    chmodSync(file, 0o444)
    expect(refusal(file)).toBe(
      `You may not write to the disk ${file}. Use it read-only (“--disk ${file},ro”), or choose another.`,
    )
    expect(disk(file, true).size).toBe(512)
    chmodSync(file, 0)
    expect(refusal(file, true)).toBe(`You may not read the disk ${file}.`)
  })
})

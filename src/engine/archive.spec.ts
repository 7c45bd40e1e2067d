/** Archives: what goes in comes out, and nothing that comes from outside is believed. */
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { unzipSync, zipSync } from 'fflate'
import * as v from 'valibot'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { ZipFile } from 'yazl'
import { GuestConfigSchema } from '../shared/guest.ts'
import { GuestArchive, packGuest } from './archive.ts'

const MEBIBYTE = 1024 * 1024
const config = v.parse(GuestConfigSchema, {
  name: 'rex',
  kind: 'pup',
  disks: [{ file: 'disk.img' }],
  notes: 'good dog',
})
const text = (s: string): Uint8Array => new TextEncoder().encode(s)
const manifest = (more: object = {}): Uint8Array =>
  text(JSON.stringify({ kennel: 1, config: { name: 'rex', kind: 'pup' }, ...more }))

let folder: string
let file: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kennel-archive-'))
  file = join(folder, 'rex.kennel')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function packed(disk: Uint8Array): Promise<Buffer> {
  await writeFile(join(folder, 'disk'), disk)
  await packGuest(file, { config, files: [{ name: 'disk.img', path: join(folder, 'disk') }] })
  return readFile(file)
}

async function extracted(name: string): Promise<Buffer> {
  const archive = await GuestArchive.open(file)
  const pieces: Uint8Array[] = []
  try {
    await archive.extract(name, (piece) => Promise.resolve(void pieces.push(piece)))
  } finally {
    await archive.close()
  }
  return Buffer.concat(pieces)
}

describe('guest archive', () => {
  it('comes back as it was', async () => {
    const disk = Buffer.alloc(3 * MEBIBYTE, 'wuff')
    const bytes = await packed(disk)
    const archive = await GuestArchive.open(file)
    expect([archive.config, archive.files.map(({ name, size }) => [name, size])]).toEqual([
      config,
      [['disk.img', disk.length]],
    ])
    await archive.close()
    expect((await extracted('disk.img')).equals(disk)).toBe(true)
    // And another reader of zip files sees the same.
    const other = unzipSync(bytes)
    expect(Object.keys(other)).toEqual(['guest.json', 'disk.img'])
    expect(Buffer.from(other['disk.img']).equals(disk)).toBe(true)
  })

  it('is read when another program packed it, with or without compression', async () => {
    await writeFile(
      file,
      zipSync({ 'guest.json': manifest(), 'a.bin': [text('stored'), { level: 0 }], 'b.bin': text('') }),
    )
    expect(String(await extracted('a.bin'))).toBe('stored')
    expect(String(await extracted('b.bin'))).toBe('')
  })

  it('leaves nothing when it cannot be finished', async () => {
    await writeFile(join(folder, 'disk'), Buffer.alloc(8 * MEBIBYTE, 'x'))
    const guest = { config, files: [{ name: 'disk.img', path: join(folder, 'disk') }] }
    const stop = new AbortController()
    const options = { signal: stop.signal, copied: () => stop.abort() }
    await expect(packGuest(file, guest, options)).rejects.toThrow('It was cancelled.')
    const gone = { config, files: [{ name: 'disk.img', path: join(folder, 'gone') }] }
    await expect(packGuest(file, gone)).rejects.toThrow('ENOENT')
    expect(await readdir(folder)).toEqual(['disk'])
  })

  it.each([
    ['a text', () => text('hello'), 'is not a Kennel guest'],
    ['nothing', () => text(''), 'is not a Kennel guest'],
    ['another zip', () => zipSync({ 'a.txt': text('a') }), 'guest.json is missing'],
    ['a bad manifest', () => zipSync({ 'guest.json': text('{') }), 'is damaged'],
    ['a manifest that is null', () => zipSync({ 'guest.json': text('null') }), 'cannot be used'],
    ['an endless manifest', () => zipSync({ 'guest.json': new Uint8Array(2 * MEBIBYTE) }), 'is damaged'],
    [
      'a bad configuration',
      () => zipSync({ 'guest.json': text('{"kennel":1,"config":{"name":"","kind":"pup"}}') }),
      'A guest needs a name',
    ],
    ['one of a later version', () => zipSync({ 'guest.json': manifest({ kennel: 2 }) }), 'by a newer Kennel'],
    ['a file outside', () => zipSync({ 'guest.json': manifest(), '../evil': text('x') }), 'outside itself'],
    ['a hidden file', () => zipSync({ 'guest.json': manifest(), '.evil': text('x') }), 'outside itself'],
    ['a folder', () => zipSync({ 'guest.json': manifest(), a: { b: text('x') } }), 'outside itself'],
    ['Windows’ slashes', () => zipSync({ 'guest.json': manifest(), 'a\\b': text('x') }), 'outside itself'],
    [
      'too many files',
      () =>
        zipSync({
          'guest.json': manifest(),
          ...Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`f${i}`, text('')])),
        }),
      'too large',
    ],
    [
      'a kernel that is not inside',
      () => zipSync({ 'guest.json': manifest({ config: { name: 'rex', kind: 'kernel', kernel: '/etc/passwd' } }) }),
      'does not hold “/etc/passwd”',
    ],
  ])('refuses %s with a clear sentence', async (_what, bytes, sentence) => {
    await writeFile(file, bytes())
    await expect(GuestArchive.open(file)).rejects.toThrow(sentence)
  })

  /** Alters the directory's record of `name`: a field of 32 bits at an offset in it. */
  async function forge(archive: Uint8Array, name: string, at: number, value: number): Promise<void> {
    const bytes = Buffer.from(archive)
    const record = bytes.lastIndexOf(name) - 46
    expect(bytes.readUInt32LE(record)).toBe(0x02014b50)
    bytes.writeUInt32LE(value, record + at)
    await writeFile(file, bytes)
  }

  it('unpacks no more than was promised: a bomb is cut off at its first byte too much', async () => {
    const bomb = zipSync({ 'guest.json': manifest(), bomb: new Uint8Array(16 * MEBIBYTE) })
    await forge(bomb, 'bomb', 24, 1000)
    await expect(extracted('bomb')).rejects.toThrow('is damaged')
  })

  it('refuses entries that share their bytes, which is how small archives become endless', async () => {
    const twice = zipSync({ 'guest.json': manifest(), one: text('wuff'), two: text('wuff') })
    const bytes = Buffer.from(twice)
    await forge(twice, 'two', 42, bytes.readUInt32LE(bytes.lastIndexOf('one') - 46 + 42))
    await expect(GuestArchive.open(file)).rejects.toThrow('is damaged')
  })

  /** An archive in the form for more than 4 GiB, by another program's hand: manifest and one file. */
  async function zip64(): Promise<Buffer> {
    const zip = new ZipFile()
    for (const [name, bytes] of [
      ['guest.json', manifest()],
      ['one', text('wuff')],
    ] as const) {
      zip.addBuffer(Buffer.from(bytes), name, { forceZip64Format: true })
    }
    zip.end({ forceZip64Format: true, comment: '' })
    return buffer(zip.outputStream)
  }

  it('is read in the form for more than 4 GiB', async () => {
    await writeFile(file, await zip64())
    expect(String(await extracted('one'))).toBe('wuff')
  })

  it('refuses more than 64 GiB, promised or real', async () => {
    await writeFile(join(folder, 'disk'), '')
    await truncate(join(folder, 'disk'), 2 ** 36 + 1)
    const guest = { config, files: [{ name: 'disk.img', path: join(folder, 'disk') }] }
    await expect(packGuest(file, guest)).rejects.toThrow('more than 64 GiB')
    expect(await readdir(folder)).toEqual(['disk'])
    const bytes = await zip64()
    // The record's last field, before the end records: size, packed size, place.
    bytes.writeBigUInt64LE(2n ** 36n, bytes.lastIndexOf('PK\x06\x06') - 24)
    await writeFile(file, bytes)
    await expect(GuestArchive.open(file)).rejects.toThrow('too large')
  })

  it.each([
    ['an end record', 'PK\x06\x07', 8],
    ['a directory', 'PK\x06\x06', 48],
    ['an entry', 'PK\x06\x06', -8],
  ])('refuses %s at a place no file has', async (_what, signature, at) => {
    const whole = await zip64()
    for (const place of [2n ** 64n - 1n, 2n ** 53n, 2n ** 40n]) {
      const bytes = Buffer.from(whole)
      bytes.writeBigUInt64LE(place, bytes.lastIndexOf(signature) + at)
      await writeFile(file, bytes)
      await expect(GuestArchive.open(file)).rejects.toThrow('is not a Kennel guest')
    }
  })

  it.each([
    ['encrypted', 8, 0x01, 'is encrypted'],
    ['encrypted strongly', 8, 0x41, 'is encrypted'],
    ['packed by LZMA', 10, 14, '“one” is packed in a way Kennel does not know'],
  ])('refuses what is %s', async (_what, at, value, sentence) => {
    const bytes = Buffer.from(zipSync({ 'guest.json': manifest(), one: text('wuff') }))
    const record = bytes.lastIndexOf('one') - 46
    bytes.writeUInt16LE(value, record + at)
    await writeFile(file, bytes)
    await expect(GuestArchive.open(file)).rejects.toThrow(sentence)
  })

  it('is the same for the same guest, whenever it is packed', async () => {
    const disk = Buffer.alloc(MEBIBYTE, 'wuff')
    const first = await packed(disk)
    await rm(file)
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 86_400_000 })
    try {
      expect((await packed(disk)).equals(first)).toBe(true)
    } finally {
      vi.useRealTimers()
    }
  })

  it('leaves a file alone that is there already', async () => {
    await writeFile(file, 'mine')
    await expect(packGuest(file, { config, files: [] })).rejects.toThrow('EEXIST')
    expect(await readFile(file, 'utf8')).toBe('mine')
  })

  it('gives up unpacking when asked to, and tells the writer’s errors as they are', async () => {
    await packed(Buffer.alloc(3 * MEBIBYTE, 'wuff'))
    const archive = await GuestArchive.open(file)
    try {
      const stop = new AbortController()
      const cancel = (): Promise<void> => Promise.resolve(stop.abort())
      await expect(archive.extract('disk.img', cancel, stop.signal)).rejects.toThrow('It was cancelled.')
      const full = (): Promise<void> => Promise.reject(new Error('full'))
      await expect(archive.extract('disk.img', full)).rejects.toThrow(/^full$/)
    } finally {
      await archive.close()
    }
  })

  it('finds out that a byte was changed on the way', async () => {
    const bytes = await packed(Buffer.from('a disk that matters'))
    const at = bytes.indexOf('disk.img') + 'disk.img'.length + 4
    bytes[at] ^= 0x10
    await writeFile(file, bytes)
    await expect(extracted('disk.img')).rejects.toThrow('is damaged')
  })

  it('finds that out where nothing but the checksum tells', async () => {
    const bytes = Buffer.from(zipSync({ 'guest.json': manifest(), one: [text('wuff'), { level: 0 }] }))
    bytes.write('miau', bytes.indexOf('wuff'))
    await writeFile(file, bytes)
    await expect(extracted('one')).rejects.toThrow('is damaged')
  })

  it('of which any part is missing is no guest', async () => {
    const { length } = await packed(Buffer.from('a disk that matters'))
    for (let size = 0; size < length; size += 7) {
      await packGuest(`${file}.2`, { config, files: [{ name: 'disk.img', path: join(folder, 'disk') }] })
      await truncate(`${file}.2`, size)
      await expect(GuestArchive.open(`${file}.2`)).rejects.toThrow('is not a Kennel guest')
      await rm(`${file}.2`)
    }
  })
})

import { mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import { beforeEach, describe, expect, it } from 'vitest'
import { GuestConfigSchema, type GuestConfig } from '../shared/guest.ts'
import { GuestLibrary } from './guest-library.ts'

const config = (name: string): GuestConfig => v.parse(GuestConfigSchema, { name, kind: 'pup' })

let root: string
let library: GuestLibrary
const open = async (): Promise<GuestLibrary> => {
  const opened = new GuestLibrary({ library: join(root, 'guests'), trash: join(root, 'trash') })
  await opened.load()
  return opened
}

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'kennel-'))
  library = await open()
})

describe('GuestLibrary', () => {
  it('keeps guests over a restart', async () => {
    const { id } = await library.create(config('rex'))
    expect((await open()).get(id).config.name).toBe('rex')
  })

  it('gives every guest a name and a colour of its own', async () => {
    const guests = [
      await library.create(config('pup')),
      await library.create(config('pup')),
      await library.create(config('PUP')),
    ]
    expect(guests.map((g) => g.config.name)).toEqual(['pup', 'pup 2', 'PUP 3'])
    expect(new Set(guests.map((g) => g.colour)).size).toBe(3)
  })

  it('refuses to rename a guest to a name that is taken', async () => {
    await library.create(config('rex'))
    const { id } = await library.create(config('bella'))
    await expect(library.update(id, config('REX'))).rejects.toThrow('Another guest is already called “REX”')
    expect(library.get(id).config.name).toBe('bella')
  })

  it.each([
    ['half a file', '{ "schema": 1, "id"', 'not valid JSON'],
    ['a future schema', JSON.stringify({ schema: 2 }), 'bad value at “schema”'],
    ['an empty folder', null, 'guest.json is missing'],
  ])('sets %s aside by name and lists the rest', async (_what, text, problem) => {
    const good = await library.create(config('good'))
    await mkdir(join(root, 'guests', 'broken-1'))
    if (text !== null) await writeFile(join(root, 'guests', 'broken-1', 'guest.json'), text)
    const again = await open()
    expect(again.list().map((g) => g.id)).toEqual([good.id])
    expect(again.quarantined()).toEqual([{ folder: 'broken-1', problem: expect.stringContaining(problem) as string }])
    expect(await readdir(join(root, 'guests'))).toContain('broken-1')
  })

  it('brings a deleted guest back with its files', async () => {
    const { id } = await library.create(config('rex'))
    const file = await library.addFile(id, 'disk.img', new Uint8Array([1, 2, 3]))
    await library.remove(id)
    expect(library.list()).toEqual([])
    expect((await library.trash()).map((t) => t.name)).toEqual(['rex'])
    await library.restore(id)
    expect([...(await readFile(library.resolveFile(id, file)))]).toEqual([1, 2, 3])
    expect((await open()).list().map((g) => g.config.name)).toEqual(['rex'])
  })

  it('removes from the trash only what Kennel made', async () => {
    const { id } = await library.create(config('rex'))
    await library.addFile(id, 'disk.img', new Uint8Array(10))
    await writeFile(join(library.folderOf(id), 'mine.txt'), 'my notes')
    await library.remove(id)
    expect(await library.emptyTrash()).toBe(1)
    expect(await readdir(join(root, 'trash', id))).toEqual(['mine.txt'])
    expect(await library.trash()).toEqual([])
  })

  it.each(['../evil', 'a/b', '..', '', 'a\\b'])('refuses the file name %j', async (name) => {
    const { id } = await library.create(config('rex'))
    await expect(library.addFile(id, name, new Uint8Array(1))).rejects.toThrow('is not a plain file name')
  })

  it('never overwrites a file it made', async () => {
    const { id } = await library.create(config('rex'))
    expect(await library.addFile(id, 'disk.img', new Uint8Array([1]))).toBe('disk.img')
    expect(await library.addFile(id, 'disk.img', new Uint8Array([2]))).toBe('disk-2.img')
    expect(await library.addFile(id, 'guest.json', new Uint8Array([2]))).toBe('guest-2.json')
  })
})

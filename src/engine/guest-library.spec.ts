import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { GuestConfigSchema, type GuestConfig } from '../shared/guest.ts'
import * as atomic from './atomic-file.ts'
import { GuestLibrary } from './guest-library.ts'

vi.mock('./atomic-file.ts', { spy: true })

const config = (name: string): GuestConfig => v.parse(GuestConfigSchema, { name, kind: 'pup' })

let root: string
let library: GuestLibrary
/** A file of Kennel's in a guest's folder; its name there. */
async function addFile(id: string, name: string, data: number[]): Promise<string> {
  const file = await library.newFile(id, name)
  await writeFile(file.path, Uint8Array.from(data))
  return file.name
}
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
    ['a future schema', JSON.stringify({ schema: 2 }), 'written by a newer Kennel'],
    ['a bad schema', JSON.stringify({ schema: 'x' }), 'bad value at “schema”'],
    ['null', 'null', 'bad value'],
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
    const file = await addFile(id, 'disk.img', [1, 2, 3])
    await library.remove(id)
    expect(library.list()).toEqual([])
    expect((await library.trash()).map((t) => t.name)).toEqual(['rex'])
    await library.restore(id)
    expect([...(await readFile(library.resolveFile(id, file)))]).toEqual([1, 2, 3])
    expect((await open()).list().map((g) => g.config.name)).toEqual(['rex'])
  })

  it('removes from the trash only what Kennel made', async () => {
    const { id } = await library.create(config('rex'))
    await addFile(id, 'disk.img', [1])
    await writeFile(join(library.folderOf(id), 'mine.txt'), 'my notes')
    await library.remove(id)
    expect(await library.emptyTrash()).toBe(1)
    expect(await readdir(join(root, 'trash', id))).toEqual(['mine.txt'])
    expect(await library.trash()).toEqual([])
  })

  it.each(['../evil', 'a/b', '..', '', 'a\\b'])('refuses the file name %j', async (name) => {
    const { id } = await library.create(config('rex'))
    await expect(library.newFile(id, name)).rejects.toThrow('is not a plain file name')
  })

  it('never overwrites a file it made', async () => {
    const { id } = await library.create(config('rex'))
    expect(await addFile(id, 'disk.img', [1])).toBe('disk.img')
    expect(await addFile(id, 'disk.img', [2])).toBe('disk-2.img')
    expect(await addFile(id, 'guest.json', [2])).toBe('guest-2.json')
  })

  it('leaves alone what others put into a guest’s folder, also under the same name', async () => {
    const { id } = await library.create(config('rex'))
    await writeFile(join(library.folderOf(id), 'disk.img'), 'not Kennel’s')
    expect(await addFile(id, 'disk.img', [1])).toBe('disk-2.img')
    expect(await readFile(join(library.folderOf(id), 'disk.img'), 'utf8')).toBe('not Kennel’s')
    expect(library.get(id).files).toEqual(['disk-2.img'])
  })

  it('remembers every file when several are made at once', async () => {
    const { id } = await library.create(config('rex'))
    const made = await Promise.all(Array.from({ length: 8 }, () => library.newFile(id, 'disk.img')))
    const names = made.map(({ name }) => name).sort()
    expect(new Set(names).size).toBe(8)
    expect([...library.get(id).files].sort()).toEqual(names)
    expect([...(await open()).get(id).files].sort()).toEqual(names)
  })

  it('lists the rest when an entry leads nowhere, and ignores files', async () => {
    const { id } = await library.create(config('rex'))
    await symlink(join(root, 'nowhere'), join(root, 'guests', 'away'))
    await writeFile(join(root, 'guests', 'note.txt'), 'mine')
    const again = await open()
    expect(again.list().map((guest) => guest.id)).toEqual([id])
    expect(again.quarantined().map(({ folder }) => folder)).toEqual(['away'])
  })

  it('clears away what a crash left of a file that was being written, and nothing like it', async () => {
    const { id } = await library.create(config('rex'))
    await writeFile(join(library.folderOf(id), '.0123456789ab.tmp'), '{ "schema": 1, "id"')
    await writeFile(join(library.folderOf(id), '.mine.tmp'), 'mine')
    await open()
    expect((await readdir(library.folderOf(id))).sort()).toEqual(['.mine.tmp', 'guest.json'])
  })

  it('empties the rest of the trash when one entry cannot be removed, and says why', async () => {
    const [one, two] = [await library.create(config('rex')), await library.create(config('bella'))]
    const name = await addFile(one.id, 'disk.img', [1])
    for (const { id } of [one, two]) await library.remove(id)
    await rm(join(root, 'trash', one.id, name))
    await mkdir(join(root, 'trash', one.id, name))
    await expect(library.emptyTrash()).rejects.toThrow(/directory/)
    expect((await library.trash()).map(({ id }) => id)).toEqual([one.id])
  })

  it('makes nothing when a guest cannot be written', async () => {
    await rm(join(root, 'guests'), { recursive: true })
    await expect(library.create(config('rex'))).rejects.toThrow('ENOENT')
    expect(library.list()).toEqual([])
  })

  it('deletes also when the disk is full, and knows about when', async () => {
    const { id } = await library.create(config('rex'))
    // As on a full disk: no file can be written, a folder can be moved.
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
    const write = vi.spyOn(atomic, 'writeFileAtomic').mockRejectedValue(full)
    try {
      expect((await library.remove(id)).name).toBe('rex')
    } finally {
      write.mockRestore()
    }
    expect(library.list()).toEqual([])
    const [entry] = await library.trash()
    expect([entry.id, Number.isNaN(Date.parse(entry.deletedAt))]).toEqual([id, false])
    expect(await library.emptyTrash()).toBe(1)
  })
})

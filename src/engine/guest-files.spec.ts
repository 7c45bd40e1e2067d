/** Files of guests, from the upload to the start, the archive and the copy. */
import { existsSync, statSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import * as v from 'valibot'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { duplexPair } from '../shared/duplex.ts'
import { GuestConfigSchema, type GuestConfig, type GuestConfigInput } from '../shared/guest.ts'
import { GuestArchive, packGuest } from './archive.ts'
import { Engine } from './engine.ts'
import { GuestFiles } from './guest-files.ts'
import { GuestLibrary } from './guest-library.ts'
import { TestFront } from './testing/test-front.ts'

const config = (more: Partial<GuestConfigInput> = {}): GuestConfig =>
  v.parse(GuestConfigSchema, { name: 'rex', kind: 'kernel', ...more })
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (data: Uint8Array): string => new TextDecoder().decode(data)

let home: string
let library: GuestLibrary
let files: GuestFiles

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'kennel-files-'))
  library = new GuestLibrary({ library: join(home, 'library'), trash: join(home, 'trash') })
  await library.load()
  files = new GuestFiles(library, join(home, 'staging'))
  await files.prepare()
})
afterEach(() => rm(home, { recursive: true, force: true }))

/** A file that was sent by a front. */
async function upload(name: string, data: Uint8Array): Promise<string> {
  const path = await files.stage(name)
  await writeFile(path, data)
  return path
}

/** A guest whose configuration names what was uploaded for it. */
async function adopted(more: Partial<GuestConfigInput>): Promise<string> {
  const { id } = await library.create(config())
  await library.update(id, await files.adopt(id, config(more)))
  return id
}

describe('an upload', () => {
  it('waits in a folder of its own, for the user alone', async () => {
    const one = await upload('vmlinux', bytes('one'))
    const two = await upload('vmlinux', bytes('two'))
    expect(one).not.toBe(two)
    expect(dirname(dirname(one))).toBe(join(home, 'staging'))
    expect(text(await readFile(one))).toBe('one')
    expect(text(await readFile(two))).toBe('two')
    expect(statSync(dirname(one)).mode & 0o777).toBe(0o700)
    expect(await files.waiting()).toBe(2)
  })

  it.each(['', '.', '..', '../evil', 'a/b.img', '/etc/passwd', 'a\\b', '..\\evil', 'nul\0', 'line\n', '\u007f'])(
    'called %j is refused, and leaves nothing',
    async (name) => {
      await expect(upload(name, bytes('x'))).rejects.toThrow(`“${name}” is not a plain file name.`)
      expect(await files.waiting()).toBe(0)
      expect((await readdir(home)).sort()).toEqual(['library', 'staging', 'trash'])
    },
  )

  it('whose name no disk can keep gets one that can be kept', async () => {
    const file = await upload('ü'.repeat(200), bytes('x'))
    expect(basename(file)).toBe('ü'.repeat(100))
  })

  it('that nobody used is forgotten when the engine starts', async () => {
    await upload('vmlinux', bytes('one'))
    await files.prepare()
    expect(await files.waiting()).toBe(0)
  })
})

describe('a configuration that names uploads', () => {
  it('has them moved into the guest’s folder', async () => {
    const kernel = await upload('vmlinux', bytes('kernel'))
    const initrd = await upload('initrd.img', bytes('initrd'))
    const symbols = await upload('System.map', bytes('symbols'))
    const disk = await upload('root.img', bytes('disk'))
    const id = await adopted({ kernel, initrd, symbols, disks: [{ file: disk, readOnly: true }] })
    expect(library.get(id).config).toMatchObject({
      kernel: 'vmlinux',
      initrd: 'initrd.img',
      symbols: 'System.map',
      disks: [{ file: 'root.img', readOnly: true }],
    })
    const names = ['System.map', 'initrd.img', 'root.img', 'vmlinux']
    expect((await readdir(library.folderOf(id))).sort()).toEqual([...names, 'guest.json'].sort())
    expect([...library.get(id).files].sort()).toEqual(names)
    expect(text(await readFile(join(library.folderOf(id), 'root.img')))).toBe('disk')
    expect(await files.waiting()).toBe(0)
  })

  it('keeps apart two of the same name', async () => {
    const one = await upload('disk.img', bytes('one'))
    const two = await upload('disk.img', bytes('two'))
    const id = await adopted({ disks: [{ file: one }, { file: two }] })
    expect(library.get(id).config.disks.map(({ file }) => file)).toEqual(['disk.img', 'disk-2.img'])
    expect(text(await readFile(library.resolveFile(id, 'disk-2.img')))).toBe('two')
  })

  it('may name one twice', async () => {
    const kernel = await upload('vmlinux', bytes('both'))
    const id = await adopted({ kernel, symbols: kernel })
    expect(library.get(id).config).toMatchObject({ kernel: 'vmlinux', symbols: 'vmlinux' })
    expect(library.get(id).files).toEqual(['vmlinux'])
  })

  it('leaves the user’s own files, and those that look like uploads, where they are', async () => {
    const own = join(home, 'vmlinux')
    await writeFile(own, 'own')
    const deeper = join(home, 'staging', 'x', 'y', 'file')
    const id = await adopted({ kernel: own, initrd: deeper, symbols: 'inside' })
    expect(library.get(id).config).toMatchObject({ kernel: own, initrd: deeper, symbols: 'inside' })
    expect(library.get(id).files).toEqual([])
    expect(existsSync(own)).toBe(true)
  })

  it('is not itself changed', async () => {
    const file = await upload('disk.img', bytes('one'))
    const { id } = await library.create(config())
    const given = config({ disks: [{ file }] })
    await files.adopt(id, given)
    expect(given.disks[0].file).toBe(file)
  })
})

describe('a start', () => {
  it('of pup needs nothing of the user’s', async () => {
    const { id } = await library.create(config({ kind: 'pup' }))
    const boot = await files.bootFiles(id)
    expect(boot.kernel.bytes.subarray(0, 4)).toEqual(Buffer.from('\x7fELF', 'latin1'))
    expect(boot.initrd?.bytes.length).toBeGreaterThan(0)
    expect(boot.symbols?.addressOf('_start')).toBeGreaterThan(0xc0000000)
  })

  it('reads kernel and initrd, from the guest’s folder and from anywhere', async () => {
    const own = join(home, 'my initrd')
    await writeFile(own, 'my initrd’s bytes')
    const id = await adopted({ kernel: await upload('vmlinux', bytes('kernel')), initrd: own })
    const boot = await files.bootFiles(id)
    expect([boot.kernel.name, text(boot.kernel.bytes)]).toEqual(['vmlinux', 'kernel'])
    expect([boot.initrd?.name, text(boot.initrd?.bytes ?? bytes(''))]).toEqual(['my initrd', 'my initrd’s bytes'])
  })

  it('takes the symbols from their own file, else from the kernel', async () => {
    const map = (name: string): Uint8Array => bytes(`c0100000 T ${name}\n`)
    const kernel = await upload('vmlinux', map('in_kernel'))
    const id = await adopted({ kernel })
    expect((await files.bootFiles(id)).symbols?.addressOf('in_kernel')).toBe(0xc0100000)
    const symbols = await upload('System.map', map('in_map'))
    await library.update(id, await files.adopt(id, { ...library.get(id).config, symbols }))
    const found = (await files.bootFiles(id)).symbols
    expect([found?.addressOf('in_map'), found?.addressOf('in_kernel')]).toEqual([0xc0100000, null])
  })

  it.each(['kernel', 'initrd', 'symbols'] as const)('whose %s is missing names it', async (field) => {
    const kernel = join(home, 'vmlinux')
    const gone = join(home, 'gone')
    await writeFile(kernel, 'kernel')
    const { id } = await library.create(config({ kernel, [field]: gone }))
    await expect(files.bootFiles(id)).rejects.toThrow(
      `The ${field} file ${gone} does not exist any more. Edit the guest and choose another.`,
    )
  })

  it('whose kernel is a folder, or none, says so', async () => {
    const { id } = await library.create(config({ kernel: home }))
    await expect(files.bootFiles(id)).rejects.toThrow(`The kernel file ${home} cannot be read.`)
    await library.update(id, config())
    await expect(files.bootFiles(id)).rejects.toThrow('“rex” has no kernel. Edit it and choose one.')
  })

  it.each(['../other/disk', 'a/b', '..'])('never leaves the guest’s folder by the name %j', async (kernel) => {
    const { id } = await library.create(config({ kernel }))
    await expect(files.bootFiles(id)).rejects.toThrow(`“${kernel}” is not a plain file name.`)
    await expect(files.toPack(id)).rejects.toThrow(`“${kernel}” is not a plain file name.`)
  })
})

describe('the archive', () => {
  /** What comes out of the file that goes in. */
  async function packed(id: string): Promise<Record<string, string> & { config: GuestConfig }> {
    const file = join(home, 'rex.kennel')
    await packGuest(file, await files.toPack(id))
    const archive = await GuestArchive.open(file)
    const contents: Record<string, string> = {}
    for (const { name } of archive.files) {
      contents[name] = ''
      await archive.extract(name, (piece) => Promise.resolve(void (contents[name] += text(piece))))
    }
    await archive.close()
    return { ...contents, config: archive.config } as Record<string, string> & { config: GuestConfig }
  }

  it('holds the guest’s own files and those from anywhere, by plain names', async () => {
    await mkdir(join(home, 'a'))
    await mkdir(join(home, 'b'))
    for (const folder of ['a', 'b']) await writeFile(join(home, folder, 'disk.img'), `disk ${folder}`)
    const id = await adopted({
      kernel: await upload('vmlinux', bytes('kernel')),
      disks: [{ file: join(home, 'a', 'disk.img') }, { file: join(home, 'b', 'disk.img'), readOnly: true }],
    })
    const { config: inside, ...contents } = await packed(id)
    expect(contents).toEqual({ vmlinux: 'kernel', 'disk.img': 'disk a', '2-disk.img': 'disk b' })
    expect(inside).toEqual(
      config({ kernel: 'vmlinux', disks: [{ file: 'disk.img' }, { file: '2-disk.img', readOnly: true }] }),
    )
    expect(JSON.stringify(inside)).not.toContain(home)
    expect(library.get(id).config.disks[0].file).toBe(join(home, 'a', 'disk.img'))
  })

  it.each([
    ['guest.json', '2-guest.json'],
    ['.vmlinux', 'vmlinux'],
    ['...', 'file'],
    ['back\\slash', 'back_slash'],
  ])('can be opened again when a file is called %j', async (name, inside) => {
    await writeFile(join(home, name), 'contents')
    const { id } = await library.create(config({ kernel: join(home, name), append: 'mine' }))
    expect(await packed(id)).toEqual({ [inside]: 'contents', config: config({ kernel: inside, append: 'mine' }) })
  })

  it('is not made when a file is missing', async () => {
    const gone = join(home, 'gone.img')
    const { id } = await library.create(config({ disks: [{ file: gone }] }))
    await expect(files.toPack(id)).rejects.toThrow(`The disk file ${gone} does not exist any more.`)
  })

  it('is not made of a file the user may not read', async () => {
    const locked = join(home, 'locked.img')
    await writeFile(locked, 'x')
    await chmod(locked, 0)
    const { id } = await library.create(config({ disks: [{ file: locked }] }))
    // Nothing is locked to the superuser.
    const readable = await readFile(locked).catch(() => null)
    if (readable === null) await expect(files.toPack(id)).rejects.toThrow(`The disk file ${locked} cannot be read.`)
    else expect((await files.toPack(id)).files).toHaveLength(1)
  })
})

describe('through the engine', () => {
  let engine: Engine
  let front: TestFront

  beforeEach(async () => {
    engine = await Engine.start({ home, version: '0.0.0-test' })
    const [ours, theirs] = duplexPair()
    engine.connect(theirs)
    front = new TestFront(ours)
  })
  afterEach(() => engine.shutdown())

  const send = (name: string, data: string): Promise<string> => front.upload(name, bytes(data))
  const folders = (): Promise<string[]> => readdir(join(home, 'library'))
  const names = async (): Promise<string[]> =>
    (await front.request('guests.list', {})).guests.map(({ config: { name } }) => name)

  it('a clone has copies of what is Kennel’s, and shares what is the user’s', async () => {
    const own = join(home, 'own.img')
    await writeFile(own, 'own')
    const disk = await send('disk.img', 'first')
    const disks = [{ file: disk }, { file: own, readOnly: true }]
    const { guestId } = await front.request('guests.create', { config: { name: 'rex', kind: 'pup', disks } })
    const clone = await front.clone(guestId)
    const file = (id: string): string => join(home, 'library', id, 'disk.img')
    await writeFile(file(guestId), 'changed')
    expect(await readFile(file(clone), 'utf8')).toBe('first')
    expect(engine.library.get(clone).config).toEqual({
      ...engine.library.get(guestId).config,
      name: 'rex 2',
    })
    expect(engine.library.get(clone).files).toEqual(['disk.img'])
    await front.request('guests.delete', { guestId })
    await front.request('trash.empty', {})
    expect(await readFile(file(clone), 'utf8')).toBe('first')
    expect(await readFile(own, 'utf8')).toBe('own')
  })

  it('a guest whose upload is gone is not made', async () => {
    const kernel = await send('vmlinux', 'x')
    await rm(kernel)
    await expect(front.request('guests.create', { config: { name: 'rex', kind: 'kernel', kernel } })).rejects.toThrow(
      `${kernel} does not exist.`,
    )
    expect(await names()).toEqual([])
    expect(await folders()).toEqual([])
    expect(engine.library.list()).toEqual([])
  })

  it('and those of its uploads that are there can be used again', async () => {
    const kernel = await send('vmlinux', 'kernel')
    const initrd = await send('initrd', 'initrd')
    await rm(initrd)
    const guest = { name: 'rex', kind: 'kernel' as const, kernel }
    await expect(front.request('guests.create', { config: { ...guest, initrd } })).rejects.toThrow(initrd)
    const { guestId } = await front.request('guests.create', { config: guest })
    expect(await readFile(join(home, 'library', guestId, 'vmlinux'), 'utf8')).toBe('kernel')
  })

  it('an archive brings files of odd names, under names that can be kept', async () => {
    const own = join(home, 'a:b? c.img')
    await writeFile(own, 'own')
    const made = { name: 'rex', kind: 'pup' as const, disks: [{ file: own }] }
    const { guestId } = await front.request('guests.create', { config: made })
    const imported = await front.import(await front.export(guestId))
    expect(engine.library.get(imported).config.disks).toEqual([{ file: 'a_b_ c.img', readOnly: false }])
    expect(await readFile(join(home, 'library', imported, 'a_b_ c.img'), 'utf8')).toBe('own')
  })

  it.each(['', 'a/b', 'x'.repeat(65), 'line\nbreak'])('no guest gets the name %j', async (name) => {
    const { guestId } = await front.request('guests.create', { config: { name: 'rex', kind: 'pup' } })
    const archive = await front.export(guestId)
    await expect(front.request('guests.clone', { guestId, name })).rejects.toThrow(/name/)
    await expect(front.import(archive, name)).rejects.toThrow(/name/)
    expect(await names()).toEqual(['rex'])
  })

  it('copies of the longest name have names that can be read again', async () => {
    const { guestId } = await front.request('guests.create', { config: { name: 'x'.repeat(64), kind: 'pup' } })
    await front.clone(guestId)
    await front.import(await front.export(guestId))
    const expected = ['x'.repeat(64), `${'x'.repeat(62)} 2`, `${'x'.repeat(62)} 3`]
    expect(await names()).toEqual(expected)
    const again = new GuestLibrary({ library: join(home, 'library'), trash: join(home, 'trash') })
    await again.load()
    expect(again.quarantined()).toEqual([])
    expect(again.list().map(({ config: { name } }) => name)).toEqual(expected)
  })

  it('an edit that is refused for its name can be sent again with its uploads', async () => {
    await front.request('guests.create', { config: { name: 'rex', kind: 'pup' } })
    const { guestId } = await front.request('guests.create', { config: { name: 'bella', kind: 'pup' } })
    const edited = { name: 'rex', kind: 'kernel' as const, kernel: await send('vmlinux', 'kernel') }
    await expect(front.request('guests.update', { guestId, config: edited })).rejects.toThrow('already called “rex”')
    const { config: kept } = await front.request('guests.update', { guestId, config: { ...edited, name: 'lassie' } })
    expect(kept).toMatchObject({ name: 'lassie', kernel: 'vmlinux' })
    expect(engine.library.get(guestId).files).toEqual(['vmlinux'])
  })

  it('a disk of which most is empty takes no more room in its archive, its copy and its import', async () => {
    const { guestId } = await front.request('guests.create', {
      config: { name: 'rex', kind: 'pup', disks: [{ file: 'disk.img', create: 64 }] },
    })
    const disk = (id: string): string => join(home, 'library', id, 'disk.img')
    const handle = await open(disk(guestId), 'r+')
    await handle.write('wuff', 40 * 1024 * 1024)
    await handle.close()
    const archive = await front.export(guestId)
    expect(archive.length).toBeLessThan(1024 * 1024)
    for (const id of [await front.clone(guestId), await front.import(archive)]) {
      const { size, blocks } = statSync(disk(id))
      expect([size, blocks * 512 < 1024 * 1024]).toEqual([64 * 1024 * 1024, true])
      expect((await readFile(disk(id))).indexOf('wuff')).toBe(40 * 1024 * 1024)
    }
  })

  it.each(['guests.clone', 'guests.export'] as const)('%s can be cancelled, and leaves nothing', async (method) => {
    const own = join(home, 'own.img')
    await writeFile(own, Buffer.alloc(64 * 1024 * 1024, 'a disk of the user’s, and long'))
    const disk = await send('disk.img', 'x')
    await writeFile(disk, await readFile(own))
    const { guestId } = await front.request('guests.create', {
      config: { name: 'rex', kind: 'pup', disks: [{ file: disk }] },
    })
    const { job } = await front.request(method, { guestId })
    await front.untilEvent('job', ({ id, progress }) => id === job.id && progress !== null && progress > 0)
    await front.request('jobs.cancel', { jobId: job.id })
    expect(await front.request('jobs.wait', { jobId: job.id })).toMatchObject({ state: 'cancelled', error: null })
    expect([await names(), await folders()]).toEqual([['rex'], [guestId]])
    front.close()
    await expect.poll(() => readdir(join(home, 'staging'))).toEqual([])
  })

  it('an import that fails or is of a damaged file leaves nothing', async () => {
    await expect(front.import(bytes('no archive'))).rejects.toThrow('is not a Kennel guest')
    await expect(
      front.request('guests.import', { file: join(home, 'gone.kennel') }).then((started) => front.done(started)),
    ).rejects.toThrow('gone.kennel does not exist any more.')
    await expect(front.request('guests.import', { file: 'rex.kennel' })).rejects.toThrow('by its whole path')
    expect([await names(), await folders(), await readdir(join(home, 'staging'))]).toEqual([[], [], []])
  })

  it('transfers end with their connection, and are nobody else’s', async () => {
    const { upload } = await front.request('files.begin', { name: 'disk.img' })
    await front.request('files.append', { upload, data: 'AAAA' })
    const [ours, theirs] = duplexPair()
    engine.connect(theirs)
    const other = new TestFront(ours)
    await expect(other.request('files.append', { upload, data: 'AAAA' })).rejects.toThrow('That upload is over.')
    await expect(other.request('files.finish', { upload })).rejects.toThrow('That upload is over.')
    await other.request('files.cancel', { upload })
    await front.request('files.append', { upload, data: 'AAAA' })
    const { guestId } = await front.request('guests.create', { config: { name: 'rex', kind: 'pup' } })
    const exported = await front.request('guests.export', { guestId })
    await front.done(exported)
    const { download } = exported
    await expect(other.request('files.read', { download, offset: 0 })).rejects.toThrow('not offered any more')
    expect((await front.request('files.read', { download, offset: 2 ** 40 })).data).toBe('')
    front.close()
    await expect.poll(() => readdir(join(home, 'staging'))).toEqual([])
  })
})

/**
 * The files of guests: uploads wait in the staging folder until a configuration names them, then move into the guest's folder; a start
 * reads kernel, initrd and symbols and opens the disks.
 */
import { randomBytes } from 'node:crypto'
import { copyFile, link, mkdir, open, readdir, rename, rm, statfs, truncate, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { GuestConfig } from '../shared/guest.ts'
import type { GuestFile } from '../emu/index.ts'
import { MANIFEST, type GuestArchive, type GuestToPack } from './archive.ts'
import { temporaryFor } from './atomic-file.ts'
import { builtinPup, builtinPupSymbols } from './builtin.ts'
import { EngineError } from './errors.ts'
import { assertNotAborted, copyInto, openRegular, SparseWriter, type CopyOptions } from './file-copy.ts'
import { assertPlainName, portableName } from './file-names.ts'
import type { GuestLibrary } from './guest-library.ts'
import { readSymbols, type SymbolTable } from './symbols.ts'

const MEBIBYTE = 1 << 20
const FILE_FIELDS = ['kernel', 'initrd', 'symbols'] as const
/** A guest has at most as much memory. Whatever is longer is no kernel. */
const LONGEST_BOOT_FILE = 1024 * MEBIBYTE

export interface BootFiles {
  kernel: GuestFile
  initrd: GuestFile | undefined
  symbols: SymbolTable | null
}

export class GuestFiles {
  private readonly library: GuestLibrary
  private readonly staging: string

  constructor(library: GuestLibrary, staging: string) {
    this.library = library
    this.staging = staging
  }

  /** Forgets uploads that nobody used. */
  async prepare(): Promise<void> {
    await rm(this.staging, { recursive: true, force: true })
    await mkdir(this.staging, { recursive: true, mode: 0o700 })
  }

  /** A new folder for one file of that name, to be filled by the caller; its path. */
  async stage(name: string): Promise<string> {
    assertPlainName(name)
    const folder = join(this.staging, randomBytes(8).toString('hex'))
    await mkdir(folder, { mode: 0o700 })
    return join(folder, portableName(name))
  }

  /** Forgets a staged file. */
  async unstage(file: string): Promise<void> {
    if (this.isStaged(file)) await rm(dirname(file), { recursive: true, force: true })
  }

  isStaged(file: string): boolean {
    return dirname(dirname(file)) === this.staging
  }

  /**
   * Moves staged files that `config` names into the guest's folder; the configuration with their new names. When one cannot be moved all
   * stay staged.
   */
  async adopt(guestId: string, config: GuestConfig): Promise<GuestConfig> {
    const next: GuestConfig = { ...config, disks: config.disks.map((disk) => ({ ...disk })) }
    const taken = new Map<string, string>()
    const made: string[] = []
    const make = async (name: string, fill: (path: string) => Promise<void>): Promise<string> => {
      const file = await this.library.newFile(guestId, name)
      made.push(file.name)
      await fill(file.path)
      return file.name
    }
    const take = async (file: string): Promise<string> => {
      if (!this.isStaged(file)) return file
      const name = taken.get(file) ?? (await make(basename(file), (path) => linkOver(file, path)))
      taken.set(file, name)
      return name
    }
    try {
      for (const field of FILE_FIELDS) if (next[field] !== '') next[field] = await take(next[field])
      for (const disk of next.disks) {
        const { create } = disk
        if (create === undefined) disk.file = await take(disk.file)
        // It takes no room on the disk until it is written.
        else disk.file = await make(disk.file, (path) => truncate(path, create * MEBIBYTE))
        delete disk.create
      }
    } catch (error) {
      for (const name of made) await this.library.removeFile(guestId, name)
      throw error
    }
    for (const file of taken.keys()) await this.unstage(file)
    return next
  }

  /** Everything a start needs. Throws EngineError naming the file that is missing or unusable. */
  async bootFiles(guestId: string, signal?: AbortSignal): Promise<BootFiles> {
    const { config } = this.library.get(guestId)
    if (config.kind === 'pup') {
      const pup = builtinPup()
      return { kernel: pup.kernel, initrd: pup.initrd, symbols: readSymbols(builtinPupSymbols()) }
    }
    if (config.kernel === '')
      throw new EngineError('unusable', `“${config.name}” has no kernel. Edit it and choose one.`)
    const kernel = await this.read(guestId, 'kernel', config.kernel, signal)
    const initrd = config.initrd === '' ? undefined : await this.read(guestId, 'initrd', config.initrd, signal)
    const symbols = config.symbols === '' ? kernel : await this.read(guestId, 'symbols', config.symbols, signal)
    return { kernel, initrd, symbols: readSymbols(symbols.bytes) }
  }

  /** The guest as an archive has it: every file its configuration names, under a plain name. */
  async toPack(guestId: string): Promise<GuestToPack & { size: number }> {
    const { config } = this.library.get(guestId)
    const next: GuestConfig = { ...config, disks: config.disks.map((disk) => ({ ...disk })) }
    const files: { name: string; path: string }[] = []
    let size = 0
    const add = async (what: string, file: string): Promise<string> => {
      const path = this.library.resolveFile(guestId, file)
      size += await this.sizeOf(what, path)
      const plain = portableName(basename(path))
      let name = plain
      for (let n = 2; taken(name, files); n++) name = `${n}-${plain}`
      files.push({ name, path })
      return name
    }
    for (const field of FILE_FIELDS) if (next[field] !== '') next[field] = await add(field, next[field])
    for (const disk of next.disks) disk.file = await add('disk', disk.file)
    return { config: next, files, size }
  }

  /** Unpacks an archive's files into a guest's folder; the configuration with their names there. */
  async unpack(guestId: string, archive: GuestArchive, { signal, copied }: CopyOptions = {}): Promise<GuestConfig> {
    await assertRoom(this.library.folderOf(guestId), archive.size)
    const names = new Map<string, string>()
    for (const { name } of archive.files) {
      const made = await this.library.newFile(guestId, name)
      names.set(name, made.name)
      const target = await open(made.path, 'r+')
      try {
        const writer = new SparseWriter(target)
        const write = async (piece: Uint8Array): Promise<void> => {
          await writer.write(piece)
          copied?.(piece.length)
        }
        await archive.extract(name, write, signal)
        await writer.finish()
      } finally {
        await target.close()
      }
    }
    return renamed(archive.config, names)
  }

  /** Copies what Kennel made for one guest into another's folder; `config` with the names there. */
  async copyFiles(from: string, to: string, config: GuestConfig, options: CopyOptions = {}): Promise<GuestConfig> {
    const names = new Map<string, string>()
    for (const name of this.library.get(from).files) {
      assertNotAborted(options.signal)
      const made = await this.library.newFile(to, name)
      names.set(name, made.name)
      await copyInto(join(this.library.folderOf(from), name), made.path, options)
    }
    return renamed(config, names)
  }

  /** Bytes of the files Kennel made for a guest. */
  async ownSize(guestId: string): Promise<number> {
    let size = 0
    for (const name of this.library.get(guestId).files) {
      size += await this.sizeOf('own', join(this.library.folderOf(guestId), name))
    }
    return size
  }

  private async sizeOf(what: string, path: string): Promise<number> {
    return this.opened(what, path, async (file) => (await file.stat()).size)
  }

  private async read(guestId: string, what: string, file: string, signal?: AbortSignal): Promise<GuestFile> {
    const path = this.library.resolveFile(guestId, file)
    const bytes = await this.opened(what, path, async (handle) => {
      if ((await handle.stat()).size > LONGEST_BOOT_FILE) {
        throw new EngineError('unusable', `The ${what} file ${path} is too large: it has more than 1 GiB.`)
      }
      return handle.readFile(signal === undefined ? {} : { signal })
    })
    return { name: basename(path), bytes }
  }

  private async opened<T>(what: string, path: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
    try {
      const handle = await openRegular(path)
      try {
        return await work(handle)
      } finally {
        await handle.close()
      }
    } catch (error) {
      if (error instanceof Error && error.name === 'AbortError') throw new EngineError('cancelled', 'It was cancelled.')
      if (error instanceof EngineError && !error.message.endsWith('is not a file.')) throw error
      const missing = (error as { code?: string }).code === 'ENOENT'
      const problem = missing ? 'does not exist any more' : 'cannot be read'
      throw new EngineError('unusable', `The ${what} file ${path} ${problem}. Edit the guest and choose another.`)
    }
  }

  /** Number of uploads nobody has used yet. */
  async waiting(): Promise<number> {
    return (await readdir(this.staging)).length
  }
}

function taken(name: string, files: readonly { name: string }[]): boolean {
  const same = (other: string): boolean => other.toLowerCase() === name.toLowerCase()
  return same(MANIFEST) || files.some((each) => same(each.name))
}

/** `config` with the files it names by their new names. */
function renamed(config: GuestConfig, names: ReadonlyMap<string, string>): GuestConfig {
  const now = (file: string): string => names.get(file) ?? file
  return {
    ...config,
    kernel: now(config.kernel),
    initrd: now(config.initrd),
    symbols: now(config.symbols),
    disks: config.disks.map(({ file, readOnly }) => ({ file: now(file), readOnly })),
  }
}

/** Puts a staged file in the place of an empty one, and leaves it staged too. */
async function linkOver(staged: string, path: string): Promise<void> {
  const temporary = temporaryFor(path)
  try {
    await link(staged, temporary)
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') throw error
    // Another disk, or a file system without links.
    return copyFile(staged, path)
  }
  await rename(temporary, path)
}

/** Refuses what would fill the disk. */
async function assertRoom(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  if (bytes <= bavail * bsize) return
  const needed = numberOf(bytes)
  throw new EngineError(
    'io',
    `There is not enough room: the guest needs ${needed}, ${numberOf(bavail * bsize)} are free.`,
  )
}

function numberOf(bytes: number): string {
  return `${Math.ceil(bytes / MEBIBYTE)} MiB`
}

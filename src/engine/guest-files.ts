/**
 * The files of guests: uploads wait in the staging folder until a configuration names them, then move into the guest's folder; a start
 * reads kernel, initrd and symbols and opens the disks.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { GuestConfig } from '../shared/guest.ts'
import type { GuestFile } from '../emu/index.ts'
import { MANIFEST, type ArchivedGuest } from './archive.ts'
import { builtinPup, builtinPupSymbols } from './builtin.ts'
import { EngineError } from './errors.ts'
import { writeFileAtomic } from './atomic-file.ts'
import type { GuestLibrary } from './guest-library.ts'
import { readSymbols, type SymbolTable } from './symbols.ts'

/** Folders and control characters: in no file's name. */
const NO_FILE_NAME = /[/\\\u0000-\u001f\u007f]/
const MEBIBYTE = 1 << 20
const FILE_FIELDS = ['kernel', 'initrd', 'symbols'] as const

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

  /** Keeps an uploaded file; returns the path to name in a configuration. */
  async upload(name: string, data: Uint8Array): Promise<string> {
    if (name === '' || name === '.' || name === '..' || NO_FILE_NAME.test(name)) {
      throw new EngineError('invalid', `“${name}” is not a file name.`)
    }
    const folder = join(this.staging, randomBytes(8).toString('hex'))
    await mkdir(folder, { mode: 0o700 })
    try {
      await writeFileAtomic(join(folder, name), data)
    } catch (error) {
      await rm(folder, { recursive: true, force: true })
      throw error
    }
    return join(folder, name)
  }

  /**
   * Moves staged files that `config` names into the guest's folder; the configuration with their new names. When one cannot be moved all
   * stay staged.
   */
  async adopt(guestId: string, config: GuestConfig): Promise<GuestConfig> {
    const next: GuestConfig = { ...config, disks: config.disks.map((disk) => ({ ...disk })) }
    const taken = new Map<string, string>()
    const take = async (file: string): Promise<string> => {
      if (dirname(dirname(file)) !== this.staging) return file
      const name = taken.get(file) ?? (await this.library.addFile(guestId, basename(file), await readFile(file)))
      taken.set(file, name)
      return name
    }
    for (const field of FILE_FIELDS) if (next[field] !== '') next[field] = await take(next[field])
    for (const disk of next.disks) {
      if (disk.create === undefined) disk.file = await take(disk.file)
      else disk.file = await this.library.addEmptyFile(guestId, disk.file, disk.create * MEBIBYTE)
      delete disk.create
    }
    for (const file of taken.keys()) await rm(dirname(file), { recursive: true, force: true })
    return next
  }

  /** Everything a start needs. Throws EngineError naming the file that is missing or unusable. */
  async bootFiles(guestId: string): Promise<BootFiles> {
    const { config } = this.library.get(guestId)
    if (config.kind === 'pup') {
      const pup = builtinPup()
      return { kernel: pup.kernel, initrd: pup.initrd, symbols: readSymbols(builtinPupSymbols()) }
    }
    if (config.kernel === '')
      throw new EngineError('unusable', `“${config.name}” has no kernel. Edit it and choose one.`)
    const kernel = await this.read(guestId, 'kernel', config.kernel)
    const initrd = config.initrd === '' ? undefined : await this.read(guestId, 'initrd', config.initrd)
    const symbols = config.symbols === '' ? kernel : await this.read(guestId, 'symbols', config.symbols)
    return { kernel, initrd, symbols: readSymbols(symbols.bytes) }
  }

  /** The guest as an archive has it: every file its configuration names is inside. */
  async pack(guestId: string): Promise<ArchivedGuest> {
    const { config } = this.library.get(guestId)
    const next: GuestConfig = { ...config, disks: config.disks.map((disk) => ({ ...disk })) }
    const files: ArchivedGuest['files'] = []
    const add = async (what: string, file: string): Promise<string> => {
      const { bytes } = await this.read(guestId, what, file)
      const plain = archiveName(basename(file))
      let name = plain
      for (let n = 2; name === MANIFEST || files.some((each) => each.name === name); n++) name = `${n}-${plain}`
      files.push({ name, data: bytes })
      return name
    }
    for (const field of FILE_FIELDS) if (next[field] !== '') next[field] = await add(field, next[field])
    for (const disk of next.disks) disk.file = await add('disk', disk.file)
    return { config: next, files }
  }

  /** Copies what Kennel made for one guest into another's folder. */
  async copyFiles(from: string, to: string): Promise<void> {
    for (const name of this.library.get(from).files) {
      await this.library.addFile(to, name, await readFile(join(this.library.folderOf(from), name)))
    }
  }

  private async read(guestId: string, what: string, file: string): Promise<GuestFile> {
    const path = this.library.resolveFile(guestId, file)
    try {
      return { name: basename(path), bytes: await readFile(path) }
    } catch (error) {
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

/** A name that unpackGuest takes: no hidden file, no folder of any system. */
function archiveName(name: string): string {
  return name.replace(/^\.+/, '').replaceAll('\\', '_') || 'file'
}

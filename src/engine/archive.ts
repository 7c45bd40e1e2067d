/**
 * A guest as one file, NAME.kennel: a zip of guest.json and the files its configuration names. What comes in is checked like anything
 * from outside: names without folders, sizes limited, the configuration validated; nothing imported is ever started by itself.
 */
import { rm } from 'node:fs/promises'
import * as v from 'valibot'
import { GuestConfigSchema, type GuestConfig } from '../shared/guest.ts'
import { EngineError } from './errors.ts'
import { openRegular, type CopyOptions } from './file-copy.ts'
import { DamagedZip, ZipReader, type ZipEntry } from './zip-reader.ts'
import { ZipWriter } from './zip-writer.ts'

/** The configuration's name in an archive. */
export const MANIFEST = 'guest.json'
const MAX_FILES = 64
/** All files together, unpacked. */
const MAX_BYTES = 64 * 1024 * 1024 * 1024
const MAX_MANIFEST = 1024 * 1024

const ManifestSchema = v.object({ kennel: v.literal(1), config: GuestConfigSchema })

/** Where the files of a guest that is to be packed are. `config` calls them by `name`. */
export interface GuestToPack {
  readonly config: GuestConfig
  readonly files: readonly { readonly name: string; readonly path: string }[]
}

/** Writes the archive; when that fails nothing is left. */
export async function packGuest(archive: string, guest: GuestToPack, options: CopyOptions = {}): Promise<void> {
  const zip = await ZipWriter.create(archive)
  try {
    const manifest = JSON.stringify({ kennel: 1, config: guest.config }, null, 2)
    await zip.add(MANIFEST, new TextEncoder().encode(manifest))
    let bytes = 0
    for (const { name, path } of guest.files) {
      const file = await openRegular(path)
      try {
        bytes += (await file.stat()).size
        // Nobody could import it.
        if (bytes > MAX_BYTES) throw new EngineError('unusable', 'The guest has more than 64 GiB of files.')
        await zip.add(name, file, options)
      } finally {
        await file.close()
      }
    }
    await zip.finish()
  } catch (error) {
    await zip.abandon()
    await rm(archive, { force: true })
    throw error
  }
}

/** An archive whose directory and configuration were read and found good; its files are still packed. */
export class GuestArchive {
  readonly config: GuestConfig
  readonly files: readonly { readonly name: string; readonly size: number }[]
  private readonly zip: ZipReader

  private constructor(zip: ZipReader, config: GuestConfig) {
    this.zip = zip
    this.config = config
    this.files = zip.entries.filter(({ name }) => name !== MANIFEST)
  }

  /** Throws EngineError 'unusable' with a sentence naming what is wrong. */
  static async open(path: string): Promise<GuestArchive> {
    const zip = await asGuest(() => ZipReader.open(path))
    try {
      checkEntries(zip.entries)
      const config = await asGuest(() => readManifest(zip))
      const archive = new GuestArchive(zip, config)
      archive.assertComplete()
      return archive
    } catch (error) {
      await zip.close()
      throw error
    }
  }

  /** Bytes of all files, unpacked. */
  get size(): number {
    return this.files.reduce((sum, { size }) => sum + size, 0)
  }

  async extract(name: string, write: (piece: Uint8Array) => Promise<void>, signal?: AbortSignal): Promise<void> {
    const entry = this.zip.entries.find((each) => each.name === name)
    if (!entry) throw new EngineError('notFound', `The archive has no “${name}”.`)
    await asGuest(() => this.zip.extract(entry, write, signal))
  }

  async close(): Promise<void> {
    await this.zip.close()
  }

  private assertComplete(): void {
    const { kernel, initrd, symbols, disks } = this.config
    const inside = new Set(this.files.map(({ name }) => name))
    const missing = [kernel, initrd, symbols, ...disks.map(({ file }) => file)].find((f) => f !== '' && !inside.has(f))
    if (missing === undefined) return
    const text = `The archive does not hold “${missing}”, which its guest needs; it was not imported.`
    throw new EngineError('unusable', text)
  }
}

function checkEntries(entries: readonly ZipEntry[]): void {
  const names = new Set<string>()
  let bytes = 0
  for (const { name, size } of entries) {
    if (name === '' || /[/\\\u0000-\u001f\u007f]/.test(name) || name.startsWith('.')) {
      throw new EngineError('unusable', `The archive names a file outside itself (“${name}”); it was not imported.`)
    }
    if (names.has(name)) throw new EngineError('unusable', `The archive has “${name}” twice; it was not imported.`)
    names.add(name)
    bytes += size
  }
  if (entries.length > MAX_FILES || bytes > MAX_BYTES) throw new EngineError('unusable', 'The archive is too large.')
}

async function readManifest(zip: ZipReader): Promise<GuestConfig> {
  const entry = zip.entries.find(({ name }) => name === MANIFEST)
  if (!entry) throw new EngineError('unusable', 'That file is not a Kennel guest: guest.json is missing in it.')
  if (entry.size > MAX_MANIFEST) throw new EngineError('unusable', 'The guest.json of that file is damaged.')
  const pieces: Uint8Array[] = []
  await zip.extract(entry, (piece) => Promise.resolve(void pieces.push(piece)))
  let parsed: unknown
  try {
    parsed = JSON.parse(Buffer.concat(pieces).toString('utf8'))
  } catch {
    throw new EngineError('unusable', 'The guest.json of that file is damaged.')
  }
  const newer = (parsed as { kennel?: unknown } | null)?.kennel
  if (typeof newer === 'number' && newer > 1) {
    throw new EngineError('unusable', 'That guest was exported by a newer Kennel than this one.')
  }
  const result = v.safeParse(ManifestSchema, parsed)
  if (result.success) return result.output.config
  throw new EngineError('unusable', `The guest in that file cannot be used: ${result.issues[0].message}`)
}

/** Damage is told in the words of the one who wanted a guest. */
async function asGuest<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof DamagedZip)) throw error
    throw new EngineError('unusable', 'That file is not a Kennel guest, or it is damaged.')
  }
}

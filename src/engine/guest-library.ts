/**
 * The guests on disk: one folder a guest, `guest.json` in it, and beside it only files that Kennel made (uploaded
 * kernels, imported disks, console logs). A folder that cannot be read is quarantined: named in the list with its
 * problem, and left alone. Deleting moves the folder to the trash, from where it can come back; emptying the trash
 * removes what Kennel made, and nothing it did not.
 *
 *   <library>/<id>/guest.json        { schema, id, colour, createdAt, config, files: [names Kennel made] }
 *   <trash>/<id>/...                 the same, with deletedAt
 */
import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, rmdir, stat } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import * as v from 'valibot'
import {
  GUEST_SCHEMA_VERSION,
  GuestConfigSchema,
  MAX_GUEST_NAME,
  type GuestConfig,
  type QuarantinedEntry,
  type TrashEntry,
} from '../shared/guest.ts'
import { EngineError } from './errors.ts'
import { isTemporary, writeFileAtomic } from './atomic-file.ts'
import { assertPlainName, numberedName, portableName } from './file-names.ts'

const MANIFEST = 'guest.json'

const RecordSchema = v.object({
  schema: v.literal(GUEST_SCHEMA_VERSION),
  id: v.pipe(v.string(), v.regex(/^[a-z0-9-]{1,80}$/)),
  colour: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(7)),
  createdAt: v.string(),
  deletedAt: v.optional(v.string()),
  config: GuestConfigSchema,
  /** Names inside the folder that Kennel created and may remove. */
  files: v.array(v.string()),
})

export type GuestRecord = v.InferOutput<typeof RecordSchema>

export interface LibraryFolders {
  library: string
  trash: string
}

export class GuestLibrary {
  private readonly folders: LibraryFolders
  private readonly records = new Map<string, GuestRecord>()
  private broken: QuarantinedEntry[] = []
  private readonly now: () => Date
  /** Changes of records are made one after another: each builds on the one before it. */
  private last: Promise<unknown> = Promise.resolve()

  constructor(folders: LibraryFolders, now: () => Date = () => new Date()) {
    this.folders = folders
    this.now = now
  }

  /** Reads the library. Never fails because of one entry. */
  async load(): Promise<void> {
    await mkdir(this.folders.library, { recursive: true, mode: 0o700 })
    await mkdir(this.folders.trash, { recursive: true, mode: 0o700 })
    this.records.clear()
    this.broken = []
    for (const folder of (await readdir(this.folders.library)).sort()) {
      const path = join(this.folders.library, folder)
      try {
        if (!(await stat(path)).isDirectory()) continue
        const record = await readRecord(path)
        if (record.id !== folder) throw new Error(`its folder is called ${folder} but guest.json says ${record.id}`)
        this.records.set(record.id, record)
        await sweep(path)
      } catch (error) {
        this.broken.push({ folder, problem: describeBroken(error) })
      }
    }
  }

  list(): GuestRecord[] {
    return [...this.records.values()].sort((a, b) =>
      a.createdAt < b.createdAt ? -1 : a.createdAt > b.createdAt ? 1 : 0,
    )
  }

  quarantined(): QuarantinedEntry[] {
    return this.broken
  }

  /** The record of a guest. Throws notFound. */
  get(id: string): GuestRecord {
    const record = this.records.get(id)
    if (!record) throw new EngineError('notFound', `There is no guest with the id ${id}.`)
    return record
  }

  folderOf(id: string): string {
    return join(this.folders.library, this.get(id).id)
  }

  /** Absolute path of a file a configuration names: absolute, or inside the guest's own folder. */
  resolveFile(id: string, file: string): string {
    if (isAbsolute(file)) return file
    assertPlainName(file)
    return join(this.folderOf(id), file)
  }

  async create(config: GuestConfig): Promise<GuestRecord> {
    const record: GuestRecord = {
      schema: GUEST_SCHEMA_VERSION,
      id: this.newId(config.name),
      colour: this.freeColour(),
      createdAt: this.now().toISOString(),
      config: { ...config, name: this.freeName(config.name) },
      files: [],
    }
    const folder = join(this.folders.library, record.id)
    await mkdir(folder, { mode: 0o700 })
    // The name is taken from now on.
    this.records.set(record.id, record)
    try {
      await this.save(record)
    } catch (error) {
      this.records.delete(record.id)
      await rm(folder, { recursive: true, force: true })
      throw error
    }
    return record
  }

  async update(id: string, config: GuestConfig): Promise<GuestRecord> {
    return this.change(id, (record) => {
      this.assertNameFree(config.name, id)
      return { ...record, config }
    })
  }

  /** Throws 'invalid' when another guest has the name. */
  assertNameFree(name: string, id: string): void {
    if (name === this.get(id).config.name || !this.nameTaken(name, id)) return
    throw new EngineError('invalid', `Another guest is already called “${name}”. Choose another name.`)
  }

  /**
   * A new, empty file in a guest's folder, remembered as made by Kennel; its name there is like `name`. Whatever is in the folder already,
   * also what Kennel knows nothing of, stays as it is.
   */
  async newFile(id: string, name: string): Promise<{ name: string; path: string }> {
    assertPlainName(name)
    const folder = this.folderOf(id)
    for (let n = 1; ; n++) {
      const free = numberedName(portableName(name), n)
      if (free.toLowerCase() === MANIFEST) continue
      const path = join(folder, free)
      const file = await open(path, 'wx', 0o600).catch((error: unknown) => {
        if ((error as { code?: string }).code === 'EEXIST') return null
        throw error
      })
      if (file === null) continue
      await file.close()
      try {
        await this.change(id, (record) => ({ ...record, files: [...record.files, free] }))
      } catch (error) {
        await rm(path, { force: true })
        throw error
      }
      return { name: free, path }
    }
  }

  /** Removes a file that newFile() made. */
  async removeFile(id: string, name: string): Promise<void> {
    await rm(join(this.folderOf(id), name), { force: true })
    await this.change(id, (record) => ({ ...record, files: record.files.filter((each) => each !== name) }))
  }

  /** Takes back create(): a guest of which something could not be made leaves nothing. */
  async discard(id: string): Promise<void> {
    const folder = this.folderOf(id)
    this.records.delete(id)
    await rm(folder, { recursive: true, force: true })
  }

  /** Moves a guest to the trash. */
  async remove(id: string): Promise<TrashEntry> {
    const deletedAt = this.now().toISOString()
    // A full disk must not keep anybody from deleting. Without the date the trash has the folder's own.
    const record = await this.change(id, (before) => ({ ...before, deletedAt })).catch((error: unknown) => {
      if ((error as { code?: string }).code === 'ENOSPC') return this.get(id)
      throw error
    })
    await rename(this.folderOf(id), join(this.folders.trash, id))
    this.records.delete(id)
    return { id, name: record.config.name, deletedAt }
  }

  async restore(id: string): Promise<GuestRecord> {
    assertPlainName(id)
    const path = join(this.folders.trash, id)
    const { deletedAt: _gone, ...record } = await readRecord(path).catch(() => {
      throw new EngineError('notFound', 'That guest is no longer in the trash.')
    })
    if (record.id !== id) throw new EngineError('notFound', 'That guest is no longer in the trash.')
    const name = this.freeName(record.config.name)
    const back: GuestRecord = { ...record, config: { ...record.config, name } }
    await rename(path, join(this.folders.library, id))
    this.records.set(id, back)
    await this.save(back)
    return back
  }

  async trash(): Promise<TrashEntry[]> {
    const entries: TrashEntry[] = []
    for (const name of await readdir(this.folders.trash)) {
      const folder = join(this.folders.trash, name)
      const record = await readRecord(folder).catch(() => null)
      if (record?.id !== name) continue
      const deletedAt = record.deletedAt ?? (await stat(folder)).ctime.toISOString()
      entries.push({ id: name, name: record.config.name, deletedAt })
    }
    return entries.sort((a, b) => (a.deletedAt < b.deletedAt ? 1 : -1))
  }

  /**
   * Removes what Kennel made of every guest in the trash. Folders with other files in them stay. What cannot be removed stays in the
   * trash, and the first reason is thrown when everything else is gone.
   */
  async emptyTrash(): Promise<number> {
    let removed = 0
    const problems: unknown[] = []
    for (const { id } of await this.trash()) {
      const path = join(this.folders.trash, id)
      try {
        await removeOwn(path)
        removed++
      } catch (error) {
        problems.push(error)
      }
    }
    if (problems.length > 0) throw problems[0]
    return removed
  }

  /** A name no guest has: "pup", "pup 2", "pup 3" ... */
  freeName(wanted: string): string {
    if (!this.nameTaken(wanted)) return wanted
    const stem = wanted.replace(/ \d+$/, '')
    for (let n = 2; ; n++) {
      // Half a character is none.
      const cut = stem.slice(0, MAX_GUEST_NAME - ` ${n}`.length).replace(/[\ud800-\udbff]$/, '')
      const name = `${cut} ${n}`
      if (!this.nameTaken(name)) return name
    }
  }

  private nameTaken(name: string, except?: string): boolean {
    return this.list().some((r) => r.id !== except && r.config.name.toLowerCase() === name.toLowerCase())
  }

  private freeColour(): number {
    const used = this.list().map((r) => r.colour)
    for (let colour = 0; colour < 8; colour++) if (!used.includes(colour)) return colour
    return used.length % 8
  }

  private newId(name: string): string {
    const stem =
      name
        .toLowerCase()
        .replace(/[^a-z0-9]+/g, '-')
        .replace(/^-|-$/g, '')
        .slice(0, 40) || 'guest'
    return `${stem}-${randomBytes(4).toString('hex')}`
  }

  private change(id: string, alter: (record: GuestRecord) => GuestRecord): Promise<GuestRecord> {
    const changed = this.last.then(async () => {
      const next = alter(this.get(id))
      await this.save(next)
      this.records.set(id, next)
      return next
    })
    this.last = changed.catch(() => undefined)
    return changed
  }

  private async save(record: GuestRecord): Promise<void> {
    await writeFileAtomic(join(this.folders.library, record.id, MANIFEST), JSON.stringify(record, null, 2) + '\n')
  }
}

/** Removes what Kennel made in a folder of the trash, and the folder when nothing else is in it. */
async function removeOwn(folder: string): Promise<void> {
  const { files } = await readRecord(folder)
  for (const file of files) {
    assertPlainName(file)
    await rm(join(folder, file), { force: true })
  }
  await sweep(folder)
  await rm(join(folder, MANIFEST), { force: true })
  await rmdir(folder).catch(() => undefined) // somebody else's file is in it: it stays
}

/** Removes what a crash left of files that were being written. */
async function sweep(folder: string): Promise<void> {
  for (const name of await readdir(folder)) if (isTemporary(name)) await rm(join(folder, name), { force: true })
}

async function readRecord(folder: string): Promise<GuestRecord> {
  const text = await readFile(join(folder, MANIFEST), 'utf8')
  const parsed = JSON.parse(text) as unknown
  const { schema } = (parsed ?? {}) as { schema?: unknown }
  if (typeof schema === 'number' && schema > GUEST_SCHEMA_VERSION) {
    throw new Error('it was written by a newer Kennel than this one')
  }
  return v.parse(RecordSchema, parsed)
}

function describeBroken(error: unknown): string {
  if (error instanceof v.ValiError) {
    const issue = error.issues[0] as v.BaseIssue<unknown>
    return `guest.json has a bad value at “${v.getDotPath(issue) ?? 'its top'}”: ${issue.message}`
  }
  if (error instanceof SyntaxError) return `guest.json is not valid JSON: ${error.message}`
  if ((error as { code?: string }).code === 'ENOENT') return 'guest.json is missing'
  return error instanceof Error ? error.message : String(error)
}

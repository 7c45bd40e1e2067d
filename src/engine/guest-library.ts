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
import { basename, isAbsolute, join } from 'node:path'
import * as v from 'valibot'
import {
  GuestConfigSchema,
  MAX_GUEST_NAME,
  type GuestConfig,
  type QuarantinedEntry,
  type TrashEntry,
} from '../shared/guest.ts'
import { EngineError } from './errors.ts'
import { writeFileAtomic } from './atomic-file.ts'

const RecordSchema = v.object({
  schema: v.literal(1),
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
      if (!(await stat(path)).isDirectory()) continue
      try {
        const record = await readRecord(path)
        if (record.id !== folder) throw new Error(`its folder is called ${folder} but guest.json says ${record.id}`)
        this.records.set(record.id, record)
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
    return isAbsolute(file) ? file : join(this.folderOf(id), plainName(file))
  }

  async create(config: GuestConfig): Promise<GuestRecord> {
    const record: GuestRecord = {
      schema: 1,
      id: this.newId(config.name),
      colour: this.freeColour(),
      createdAt: this.now().toISOString(),
      config: { ...config, name: this.freeName(config.name) },
      files: [],
    }
    await mkdir(join(this.folders.library, record.id), { mode: 0o700 })
    this.records.set(record.id, record)
    await this.save(record)
    return record
  }

  async update(id: string, config: GuestConfig): Promise<GuestRecord> {
    const record = this.get(id)
    if (config.name !== record.config.name && this.nameTaken(config.name, id)) {
      throw new EngineError('invalid', `Another guest is already called “${config.name}”. Choose another name.`)
    }
    const next = { ...record, config }
    await this.save(next)
    this.records.set(id, next)
    return next
  }

  /** Writes a file into a guest's folder and remembers that Kennel made it. Returns its name there. */
  async addFile(id: string, name: string, data: Uint8Array): Promise<string> {
    const record = this.get(id)
    const plain = uniqueName(plainName(name), new Set([...record.files, 'guest.json']))
    await writeFileAtomic(join(this.folderOf(id), plain), data)
    const next = { ...record, files: [...record.files, plain] }
    await this.save(next)
    this.records.set(id, next)
    return plain
  }

  /** A new file of `size` zero bytes in a guest's folder; it takes no room on the disk until it is written. Returns its name there. */
  async addEmptyFile(id: string, name: string, size: number): Promise<string> {
    const record = this.get(id)
    const plain = uniqueName(plainName(name), new Set([...record.files, 'guest.json']))
    const file = await open(join(this.folderOf(id), plain), 'wx', 0o600)
    try {
      await file.truncate(size)
    } finally {
      await file.close()
    }
    const next = { ...record, files: [...record.files, plain] }
    await this.save(next)
    this.records.set(id, next)
    return plain
  }

  /** Takes back create(): a guest of which something could not be made leaves nothing. */
  async discard(id: string): Promise<void> {
    const folder = this.folderOf(id)
    this.records.delete(id)
    await rm(folder, { recursive: true, force: true })
  }

  /** Moves a guest to the trash. */
  async remove(id: string): Promise<TrashEntry> {
    const record = { ...this.get(id), deletedAt: this.now().toISOString() }
    await this.save(record)
    await rename(this.folderOf(id), join(this.folders.trash, id))
    this.records.delete(id)
    return { id, name: record.config.name, deletedAt: record.deletedAt }
  }

  async restore(id: string): Promise<GuestRecord> {
    const path = join(this.folders.trash, plainName(id))
    const { deletedAt: _gone, ...record } = await readRecord(path).catch(() => {
      throw new EngineError('notFound', 'That guest is no longer in the trash.')
    })
    const name = this.freeName(record.config.name)
    const back: GuestRecord = { ...record, config: { ...record.config, name } }
    await rename(path, join(this.folders.library, id))
    this.records.set(id, back)
    await this.save(back)
    return back
  }

  async trash(): Promise<TrashEntry[]> {
    const entries: TrashEntry[] = []
    for (const folder of await readdir(this.folders.trash)) {
      const record = await readRecord(join(this.folders.trash, folder)).catch(() => null)
      if (record) entries.push({ id: record.id, name: record.config.name, deletedAt: record.deletedAt ?? '' })
    }
    return entries.sort((a, b) => (a.deletedAt < b.deletedAt ? 1 : -1))
  }

  /** Removes what Kennel made of every guest in the trash. Folders with other files in them stay. */
  async emptyTrash(): Promise<number> {
    let removed = 0
    for (const { id } of await this.trash()) {
      const path = join(this.folders.trash, id)
      const record = await readRecord(path)
      for (const file of record.files) await rm(join(path, plainName(file)), { force: true })
      await rm(join(path, 'guest.json'), { force: true })
      await rmdir(path).catch(() => undefined) // somebody else's file is in it: it stays
      removed++
    }
    return removed
  }

  /** A name no guest has: "pup", "pup 2", "pup 3" ... */
  freeName(wanted: string): string {
    if (!this.nameTaken(wanted)) return wanted
    const stem = wanted.replace(/ \d+$/, '')
    for (let n = 2; ; n++) {
      const name = `${stem.slice(0, MAX_GUEST_NAME - ` ${n}`.length)} ${n}`
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

  private async save(record: GuestRecord): Promise<void> {
    await writeFileAtomic(join(this.folders.library, record.id, 'guest.json'), JSON.stringify(record, null, 2) + '\n')
  }
}

/** A name without any folder; refuses what would leave the guest's folder. */
function plainName(name: string): string {
  const plain = basename(name.replaceAll('\\', '/'))
  if (plain === '' || plain === '.' || plain === '..' || plain !== name) {
    throw new EngineError('invalid', `“${name}” is not a plain file name.`)
  }
  return plain
}

function uniqueName(name: string, taken: Set<string>): string {
  if (!taken.has(name)) return name
  const dot = name.lastIndexOf('.')
  const [stem, ending] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, '']
  for (let n = 2; ; n++) if (!taken.has(`${stem}-${n}${ending}`)) return `${stem}-${n}${ending}`
}

async function readRecord(folder: string): Promise<GuestRecord> {
  const text = await readFile(join(folder, 'guest.json'), 'utf8')
  return v.parse(RecordSchema, JSON.parse(text))
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

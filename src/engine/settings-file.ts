/**
 * settings.json: read once, written atomically at every change. What cannot be used is kept aside and named, and one bad value costs no
 * other. Settings of a later Kennel that this one does not know stay in the file, for when it is started again.
 */
import { copyFile, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { SettingsSchema, type Settings } from '../shared/protocol.ts'
import { writeFileAtomic } from './atomic-file.ts'

export class SettingsFile {
  private readonly path: string
  private current: Settings = v.parse(SettingsSchema, {})
  /** What the file has besides. */
  private unknown: Record<string, unknown> = {}
  /** Changes are made one after another: each builds on the one before it. */
  private last: Promise<unknown> = Promise.resolve()
  /** What was wrong with the file, for a notice; null when nothing. */
  problem: string | null = null

  constructor(home: string) {
    this.path = join(home, 'settings.json')
  }

  get settings(): Settings {
    return { ...this.current }
  }

  /** Never fails: what cannot be read is replaced by what a new installation has. */
  async load(): Promise<void> {
    const text = await readFile(this.path, 'utf8').catch(() => null)
    if (text === null) return
    const aside = `${this.path}.broken`
    const kept = asObject(text)
    if (kept === null) {
      await rename(this.path, aside).catch(() => undefined)
      this.problem = `The settings could not be read; they are as new now. The old file is ${aside}.`
      return
    }
    const good: Record<string, unknown> = {}
    const bad: string[] = []
    for (const [key, value] of Object.entries(kept)) {
      if (!Object.hasOwn(SettingsSchema.entries, key)) this.unknown[key] = value
      else if (v.safeParse(SettingsSchema, { [key]: value }).success) good[key] = value
      else bad.push(key)
    }
    this.current = v.parse(SettingsSchema, good)
    if (bad.length === 0) return
    await copyFile(this.path, aside).catch(() => undefined)
    const names = bad.map((key) => `“${key}”`).join(', ')
    this.problem = `Settings with values Kennel does not know are as new now: ${names}. The old file is ${aside}.`
  }

  change(part: Partial<Settings>): Promise<Settings> {
    const changed = this.last.then(() => this.write(part))
    this.last = changed.catch(() => undefined)
    return changed
  }

  private async write(part: Partial<Settings>): Promise<Settings> {
    const next = v.parse(SettingsSchema, { ...this.current, ...part })
    await writeFileAtomic(this.path, `${JSON.stringify({ ...this.unknown, ...next }, null, 2)}\n`)
    this.current = next
    return this.settings
  }
}

/** The object in a JSON text, or null when it is none. */
function asObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null
  } catch {
    return null
  }
}

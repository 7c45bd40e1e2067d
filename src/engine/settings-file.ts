/** settings.json: read once, written atomically at every change. A file that cannot be used is kept aside and named. */
import { readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { SettingsSchema, type Settings } from '../shared/protocol.ts'
import { writeFileAtomic } from './atomic-file.ts'

export class SettingsFile {
  private readonly path: string
  private current: Settings = v.parse(SettingsSchema, {})
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
    try {
      this.current = v.parse(SettingsSchema, JSON.parse(text))
    } catch {
      const aside = `${this.path}.broken`
      await rename(this.path, aside).catch(() => undefined)
      this.problem = `The settings could not be read; they are as new now. The old file is ${aside}.`
    }
  }

  change(part: Partial<Settings>): Promise<Settings> {
    const changed = this.last.then(() => this.write(part))
    this.last = changed.catch(() => undefined)
    return changed
  }

  private async write(part: Partial<Settings>): Promise<Settings> {
    const next = v.parse(SettingsSchema, { ...this.current, ...part })
    await writeFileAtomic(this.path, `${JSON.stringify(next, null, 2)}\n`)
    this.current = next
    return this.settings
  }
}

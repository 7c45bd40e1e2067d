/**
 * A guest as one file, NAME.kennel: a zip (by fflate, MIT, no dependencies) of guest.json and the files its
 * configuration names inside its folder. What comes in is checked like anything from outside: names without folders,
 * sizes limited, the configuration validated; nothing imported is ever started by itself.
 */
import { unzipSync, zipSync, type UnzipFileInfo } from 'fflate'
import * as v from 'valibot'
import { GuestConfigSchema, type GuestConfig } from '../shared/guest.ts'
import { EngineError } from './errors.ts'

/** The configuration's name in an archive. */
export const MANIFEST = 'guest.json'
const MAX_FILES = 64
const MAX_BYTES = 2 * 1024 * 1024 * 1024 - 1

export interface ArchivedGuest {
  config: GuestConfig
  files: { name: string; data: Uint8Array }[]
}

const ManifestSchema = v.object({ kennel: v.literal(1), config: GuestConfigSchema })

export function packGuest(guest: ArchivedGuest): Uint8Array {
  const manifest = JSON.stringify({ kennel: 1, config: guest.config }, null, 2)
  return zipSync(
    Object.fromEntries([[MANIFEST, new TextEncoder().encode(manifest)], ...guest.files.map((f) => [f.name, f.data])]),
    { level: 6 },
  )
}

/** Throws EngineError 'unusable' with a sentence naming what is wrong. */
export function unpackGuest(archive: Uint8Array): ArchivedGuest {
  let bytes = 0
  let count = 0
  const check = (file: UnzipFileInfo): boolean => {
    if (/[/\\]/.test(file.name) || file.name.startsWith('.')) {
      throw new EngineError(
        'unusable',
        `The archive names a file outside itself (“${file.name}”); it was not imported.`,
      )
    }
    bytes += file.originalSize
    if (++count > MAX_FILES || bytes > MAX_BYTES) throw new EngineError('unusable', 'The archive is too large.')
    return true
  }
  let files: Record<string, Uint8Array>
  try {
    files = unzipSync(archive, { filter: check })
  } catch (error) {
    if (error instanceof EngineError) throw error
    throw new EngineError('unusable', 'That file is not a Kennel guest, or it is damaged.')
  }
  const manifest = files[MANIFEST]
  if (!manifest) throw new EngineError('unusable', 'That file is not a Kennel guest: guest.json is missing in it.')
  let parsed: unknown
  try {
    parsed = JSON.parse(new TextDecoder().decode(manifest))
  } catch {
    throw new EngineError('unusable', 'The guest.json of that file is damaged.')
  }
  const result = v.safeParse(ManifestSchema, parsed)
  if (!result.success) {
    throw new EngineError('unusable', `The guest in that file cannot be used: ${result.issues[0].message}`)
  }
  return {
    config: result.output.config,
    files: Object.entries(files)
      .filter(([name]) => name !== MANIFEST)
      .map(([name, data]) => ({ name, data })),
  }
}

/** Writing a file so that a crash leaves the old contents or the new, never half: temporary file, fsync, rename, fsync of the folder. */
import { randomBytes } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'

export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  const temporary = temporaryFor(path)
  try {
    const file = await open(temporary, 'wx', 0o600)
    try {
      await file.writeFile(data)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    await syncFolder(dirname(path))
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/** A name beside `path` that nobody uses. */
export function temporaryFor(path: string): string {
  return join(dirname(path), `.${randomBytes(6).toString('hex')}.tmp`)
}

/** Whether it is such a name: a crash leaves one behind. */
export function isTemporary(name: string): boolean {
  return /^\.[0-9a-f]{12}\.tmp$/.test(name)
}

/** Without it the new name may be lost with the power. Where folders cannot be opened (Windows) the system does without. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => null)
  if (handle === null) return
  await handle.sync().catch(() => undefined)
  await handle.close()
}

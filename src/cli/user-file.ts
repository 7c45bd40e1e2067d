/** Files the user named. The built-in guest's are the engine's business (engine/builtin.ts). */
import { readFileSync } from 'node:fs'
import type { GuestFile } from '../emu/index.ts'
import { UsageError } from './messages.ts'

/** A file the user named. `what` begins the sentence when it cannot be read: "The kernel". */
export function readUserFile(what: string, file: string): GuestFile {
  try {
    return { name: file, bytes: readFileSync(file) }
  } catch (error) {
    const code = (error as { code?: string }).code
    if (code === 'ENOENT') throw new UsageError(`${what} ${file} does not exist. Check the path.`)
    if (code === 'EISDIR') throw new UsageError(`${what} ${file} is a folder. Name the file in it.`)
    if (code === 'EACCES') throw new UsageError(`You may not read ${what.toLowerCase()} ${file}.`)
    throw new UsageError(`${what} ${file} cannot be read: ${error instanceof Error ? error.message : String(error)}.`)
  }
}

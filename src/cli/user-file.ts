/** Files the user named. The built-in guest's are the engine's business (engine/builtin.ts). */
import { readFileSync, statSync } from 'node:fs'
import { FileDisk } from '../engine/file-disk.ts'
import type { GuestFile } from '../emu/index.ts'
import type { DiskArgument } from './arguments.ts'
import { UsageError } from './messages.ts'

/** A file the user named. `what` begins the sentence when it cannot be read: "The kernel". */
export function readUserFile(what: string, file: string): GuestFile {
  try {
    // Reading /dev/zero has no end.
    if (statSync(file).isCharacterDevice()) throw new UsageError(`${what} ${file} is a device. Name a file.`)
    return { name: file, bytes: readFileSync(file) }
  } catch (error) {
    if (error instanceof UsageError) throw error
    const code = (error as { code?: string }).code
    if (code === 'ENOENT') throw new UsageError(`${what} ${file} does not exist. Check the path.`)
    if (code === 'EISDIR') throw new UsageError(`${what} ${file} is a folder. Name the file in it.`)
    if (code === 'EACCES') throw new UsageError(`You may not read ${what.toLowerCase()} ${file}.`)
    throw new UsageError(`${what} ${file} cannot be read: ${error instanceof Error ? error.message : String(error)}.`)
  }
}

const SECTOR = 512

/** Opens disks. Two names of one file count as one disk, which can be given twice only to be read. */
export function openDisks(disks: readonly DiskArgument[]): FileDisk[] {
  const seen = new Map<string, boolean>()
  return disks.map(({ file, readOnly }) => {
    const disk = new FileDisk(file, readOnly)
    if (disk.size % SECTOR !== 0) {
      throw new UsageError(
        `The disk ${file} has ${disk.size} bytes, which are no whole sectors of ${SECTOR}. ` +
          `Make it larger, for example with “truncate -s %${SECTOR} ${file}”.`,
      )
    }
    const { dev, ino } = statSync(file, { bigint: true })
    const before = seen.get(`${dev}:${ino}`)
    if (before === false || (before === true && !readOnly)) {
      throw new UsageError(`The disk ${file} is given twice, and would be written from two sides. Give it once.`)
    }
    seen.set(`${dev}:${ino}`, readOnly)
    return disk
  })
}

/** The built-in guest's files, which come with Kennel: in a checkout and in an installed application alike. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { GuestFile } from '../emu/index.ts'

const PUP_KERNEL = join('guests', 'pup', 'pup.elf')
const PUP_INITRD = join('guests', 'pup', 'initrd.img')
const PUP_SYMBOLS = join('guests', 'pup', 'pup.sym')

/** The folder Kennel is installed in: the nearest one above this file that has the built-in guest. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, PUP_KERNEL))) {
    const above = dirname(folder)
    if (above === folder) throw new Error('the built-in guest is missing from this installation (guests/pup/pup.elf)')
    folder = above
  }
  return folder
}

export function builtinPup(): { kernel: GuestFile; initrd: GuestFile } {
  const root = packageRoot()
  return {
    kernel: { name: 'pup', bytes: readFileSync(join(root, PUP_KERNEL)) },
    initrd: { name: 'pup’s initrd', bytes: readFileSync(join(root, PUP_INITRD)) },
  }
}

/** pup's symbols, in the format of a System.map. */
export function builtinPupSymbols(): Uint8Array {
  return readFileSync(join(packageRoot(), PUP_SYMBOLS))
}

/** Version of this Kennel, from its package.json. */
export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as { version: string }
  return version
}

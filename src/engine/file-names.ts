/**
 * Names of files and folders that come from outside: from a browser, an archive, a person. What is refused could lead out of a folder;
 * the rest is made into a name that every system Kennel runs on can keep, because guests travel between them.
 */
import { EngineError } from './errors.ts'

/** File systems count 255 bytes; a number and a temporary ending must fit too. */
const LONGEST_BYTES = 200
/** Windows' devices, with any ending: https://learn.microsoft.com/windows/win32/fileio/naming-a-file */
const RESERVED = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)/i

/** Refuses a name that is no name in one folder: empty, with a slash of either kind, with control characters, `.` or `..`. */
export function assertPlainName(name: string): void {
  if (name === '' || name === '.' || name === '..' || /[/\\\u0000-\u001f\u007f]/.test(name)) {
    throw new EngineError('invalid', `“${name}” is not a plain file name.`)
  }
}

/** A name like `name` that every system can keep. */
export function portableName(name: string): string {
  let plain = name
    .normalize('NFC')
    .replace(/[<>:"/\\|?*\u0000-\u001f\u007f]/g, '_')
    .replace(/^\.+/, '')
    .replace(/[. ]+$/, '')
  if (plain === '') plain = 'file'
  if (RESERVED.test(plain)) plain = `_${plain}`
  const dot = plain.lastIndexOf('.')
  const ending = dot > 0 && plain.length - dot <= 16 ? plain.slice(dot) : ''
  const stem = [...plain.slice(0, plain.length - ending.length)]
  while (Buffer.byteLength(stem.join('') + ending) > LONGEST_BYTES) stem.pop()
  return stem.join('') + ending
}

/** The n-th name like `name`: "disk.img", "disk-2.img", "disk-3.img" ... */
export function numberedName(name: string, n: number): string {
  if (n === 1) return name
  const dot = name.lastIndexOf('.')
  const [stem, ending] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, '']
  return `${stem}-${n}${ending}`
}

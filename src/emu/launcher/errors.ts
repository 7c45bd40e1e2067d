/**
 * The two ways in which what a launcher is given can be wrong. UnusableImageError: a file or a setting, before there is a guest; a front
 * shows the sentence. GuestError: what a running guest did with its devices; it ends that guest, and the sentence becomes the reason.
 */

export type UnusableCode =
  | 'empty'
  | 'not-a-kernel'
  | 'truncated'
  | 'wrong-machine'
  | 'bad-header'
  | 'outside-memory'
  | 'memory-size'
  | 'no-entry'
  | 'initrd-too-large'
  | 'command-line'
  | 'too-many-devices'
  | 'host-memory'

/** The guest cannot be started with this. `message` is a whole sentence, naming the file and saying what to do. */
export class UnusableImageError extends Error {
  readonly code: UnusableCode

  constructor(code: UnusableCode, message: string) {
    super(message)
    this.name = 'UnusableImageError'
    this.code = code
  }
}

/** The guest broke its devices' rules. Thrown by a device, caught by the launcher, which ends the guest. */
export class GuestError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'GuestError'
  }
}

/** "0xc0101000": how addresses look in reasons. */
export function hex(value: number): string {
  return `0x${value.toString(16)}`
}

/** "64 MiB", "12 KiB", "100 bytes": sizes in sentences. */
export function sizeText(bytes: number): string {
  if (bytes >= 1 << 20 && bytes % (1 << 20) === 0) return `${bytes / (1 << 20)} MiB`
  if (bytes >= 10 * (1 << 20)) return `${(bytes / (1 << 20)).toFixed(1)} MiB`
  if (bytes >= 1024) return `${Math.ceil(bytes / 1024)} KiB`
  return `${bytes} bytes`
}

/** The most a guest can have, MiB (the command line and the library refuse more). */
export const MAX_GUEST_MEBIBYTES = 1024

/** What to do about a memory that should be `enough` MiB. */
export function memoryAdvice(enough: number): string {
  return enough <= MAX_GUEST_MEBIBYTES
    ? `give it more, --memory ${enough}M`
    : `no guest can have that much (${MAX_GUEST_MEBIBYTES}M at most), so use another`
}

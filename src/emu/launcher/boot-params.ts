/**
 * What a guest finds in its memory besides its kernel (reference 9.1, 9.3):
 *
 *      0        boot_params: one e820 entry, the initrd, the command line's address, "you are under lguest"
 *      0x1000   the command line
 *      ...      the kernel
 *      mem - n  the initrd, at a page; n is its size rounded up, and that is the size the guest is told
 *      mem      device page and rings (device-page.ts)
 *
 * Produces pieces like load-kernel.ts; writes nothing.
 */
import { Bytes } from '../bits/bytes.ts'
import {
  BOOT_PROTOCOL_SUBARCH,
  BootParams,
  E820_RAM,
  KEEP_SEGMENTS,
  KERNEL_ALIGNMENT,
  LOADER_UNDEFINED,
  SUBARCH_LGUEST,
} from '../layout/boot-params.ts'
import { PAGE_SIZE } from '../layout/x86.ts'
import { memoryAdvice, sizeText, UnusableImageError } from './errors.ts'
import type { KernelImage, KernelSegment } from './load-kernel.ts'

/** gpa of the command line, directly behind boot_params; longest command line, its NUL not counted (Linux: 2048). */
export const COMMAND_LINE_GPA = 0x1000
export const COMMAND_LINE_MAX = 2047

export interface BootOptions {
  /** Bytes of guest memory, a multiple of the page size. */
  readonly memory: number
  readonly commandLine: string
  readonly initrd?: { readonly name: string; readonly bytes: Uint8Array } | undefined
  /** Memory to leave free below the initrd (era A: the launcher's page tables). */
  readonly reserve?: number
}

const pageUp = (bytes: number): number => Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE

/** gpa of the initrd; `memory` without one. */
export function initrdAddress(options: BootOptions): number {
  return options.memory - pageUp(options.initrd?.bytes.length ?? 0)
}

/** boot_params, command line and initrd for `kernel`. Throws UnusableImageError when they do not fit. */
export function bootSegments(kernel: KernelImage, options: BootOptions): KernelSegment[] {
  const { memory, initrd } = options
  const commandLine = encode(options.commandLine)
  if (commandLine.length > COMMAND_LINE_MAX) {
    throw new UnusableImageError(
      'command-line',
      `The command line has ${commandLine.length} characters; a guest takes at most ${COMMAND_LINE_MAX}, so shorten --append.`,
    )
  }
  const image = initrdAddress(options)
  if (initrd !== undefined && initrd.bytes.length === 0) {
    throw new UnusableImageError('empty', `${initrd.name}: the file is empty; leave --initrd out or give another.`)
  }
  if (image - (options.reserve ?? 0) < kernel.end) {
    const enough = Math.ceil((kernel.end + memory - image + (options.reserve ?? 0)) / (1 << 20)) + 4
    throw new UnusableImageError(
      initrd === undefined ? 'outside-memory' : 'initrd-too-large',
      initrd === undefined
        ? `The kernel leaves no memory of the guest's ${sizeText(memory)}; ${memoryAdvice(enough)}.`
        : `${initrd.name}: ${sizeText(initrd.bytes.length)} do not fit beside the kernel in the guest's ${sizeText(memory)}; ` +
            `${memoryAdvice(enough)}.`,
    )
  }

  const bytes = new Uint8Array(BootParams.size)
  const params = BootParams.at(new Bytes(bytes), 0)
  params.e820_entries = 1
  const ram = params.e820_map.at(0)
  ram.addr = 0
  ram.size = memory
  ram.type = E820_RAM
  params.cmd_line_ptr = COMMAND_LINE_GPA
  params.version = BOOT_PROTOCOL_SUBARCH
  params.loadflags |= KEEP_SEGMENTS
  params.kernel_alignment = KERNEL_ALIGNMENT
  params.hardware_subarch = SUBARCH_LGUEST
  const segments: KernelSegment[] = []
  if (initrd !== undefined) {
    params.ramdisk_image = image
    params.ramdisk_size = memory - image
    params.type_of_loader = LOADER_UNDEFINED
    segments.push({ gpa: image, bytes: initrd.bytes, size: memory - image })
  }
  segments.push({ gpa: 0, bytes, size: bytes.length })
  segments.push({ gpa: COMMAND_LINE_GPA, bytes: commandLine, size: commandLine.length + 1 })
  return segments
}

/** UTF-8, as a shell would hand it on. The emulator's world has no TextEncoder. */
export function encode(text: string): Uint8Array {
  const bytes: number[] = []
  for (const character of text) {
    const code = character.codePointAt(0)!
    if (code < 0x80) bytes.push(code)
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 0x3f))
    else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f))
    else
      bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 0x3f), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f))
  }
  return Uint8Array.from(bytes)
}

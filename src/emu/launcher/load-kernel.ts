/**
 * Kernel files: which bytes go where in guest-physical memory, and where execution begins (reference 9.1). Two formats, told apart by
 * their magic numbers:
 *
 *   vmlinux   ELF, ET_EXEC for the 386. Each PT_LOAD goes to its p_paddr; entry is e_entry, a physical address (era C). Era A
 *             scans the image for the words "GenuineLguest" and enters right behind them, at a virtual address.
 *   bzImage   a setup part of (setup_sects + 1) * 512 bytes with "HdrS" at 0x202, then the payload, which goes to 1 MiB
 *             and is entered at code32_start. It unpacks the kernel itself, inside the guest.
 *
 * Nothing is written here: the result is a list of pieces. Every unusable file has its sentence.
 */
import { Bytes } from '../bits/bytes.ts'
import {
  BOOT_PROTOCOL_INIT_SIZE,
  BOOT_PROTOCOL_SYSSIZE,
  BOOT_PROTOCOL_XLOADFLAGS,
  BootParams,
  type BootParamsView,
  HDRS_MAGIC,
  KERNEL_ALIGNMENT,
  XLF_KERNEL_64,
} from '../layout/boot-params.ts'

import {
  EM_386,
  ELF_MAGIC,
  ELFCLASS32,
  ELFCLASS64,
  ELFDATA2LSB,
  Elf32Ehdr,
  Elf32Phdr,
  ET_EXEC,
  PT_LOAD,
} from '../layout/elf.ts'
import { hex, memoryAdvice, sizeText, UnusableImageError } from './errors.ts'

export interface KernelSegment {
  readonly gpa: number
  readonly bytes: Uint8Array
  /** Bytes it takes in memory; what is beyond `bytes` is zero. */
  readonly size: number
}

export interface KernelImage {
  readonly kind: 'elf' | 'bzImage'
  readonly segments: readonly KernelSegment[]
  /** First eip: physical in era C, virtual in era A. */
  readonly entry: number
  /** Virtual minus physical addresses of the image (era A); 0 for a bzImage. */
  readonly pageOffset: number
  /** First byte behind the image, and behind what it unpacks. */
  readonly end: number
}

export interface LoadOptions {
  /** The file's name, for messages. */
  readonly name: string
  /** Bytes of guest memory. */
  readonly memory: number
  readonly era: 'A' | 'C'
}

/** The payload of a bzImage goes here, and nothing of a kernel may lie below the boot parameters and command line. */
const BZIMAGE_LOAD = 0x10_0000
const LOWEST_GPA = 0x2000
const SECTOR = 512
/** Unit of syssize. */
const PARAGRAPH = 16
/** Offset of "HdrS" + 4: the least that a setup header is. */
const SETUP_HEADER_END = 0x238
const WRONG_SIZE = 'this is a 64-bit kernel; lguest runs 32-bit x86 kernels only.'
const ERA_A_MARKER = 'GenuineLguest'

type Fail = (code: UnusableImageError['code'], problem: string) => never

/**
 * Understands a kernel file. Throws UnusableImageError for: an empty, truncated or unknown file, another machine's kernel, bad
 * headers, and a kernel that does not fit `memory`.
 */
export function loadKernel(file: Uint8Array, options: LoadOptions): KernelImage {
  const fail: Fail = (code, problem) => {
    throw new UnusableImageError(code, `${options.name}: ${problem}`)
  }
  if (file.length === 0) fail('empty', 'the file is empty; give a vmlinux (ELF) or a bzImage.')
  const bytes = new Bytes(file)
  if (file.length >= 4 && bytes.read32(0) === ELF_MAGIC) return loadElf(bytes, options, fail)
  if (file.length >= BootParams.offset.header + 4 && bytes.read32(BootParams.offset.header) === HDRS_MAGIC) {
    return loadBzImage(bytes, options, fail)
  }
  return fail('not-a-kernel', `this is not a kernel${describe(file)}; give a vmlinux (ELF) or a bzImage.`)
}

/** What a file that is no kernel seems to be: people mix up their files. */
function describe(file: Uint8Array): string {
  const [a, b] = file
  if (a === 0x1f && b === 0x8b) return ' but a gzip archive (unpack it first)'
  if (a === 0xfd && b === 0x37) return ' but an xz archive (unpack it first)'
  if (a === 0x4d && b === 0x5a) return ' but a program for Windows or EFI'
  if (String.fromCharCode(...file.subarray(0, 6)) === '070701')
    return ' but a cpio archive (an initrd goes to --initrd)'
  if (file.length >= SECTOR && file[510] === 0x55 && file[511] === 0xaa) return ' but a disk (disks go to --disk)'
  return ''
}

function checkFits(segment: KernelSegment, memory: number, fail: Fail): void {
  const { gpa, size } = segment
  if (gpa < LOWEST_GPA) {
    fail('outside-memory', `a segment is to be loaded at ${hex(gpa)}, where the boot parameters are.`)
  }
  if (gpa + size > memory) {
    const enough = Math.ceil((gpa + size) / (1 << 20)) + 4
    const needs = `a segment of ${sizeText(size)} is to be loaded at ${hex(gpa)}`
    fail('outside-memory', `${needs}, outside the guest's ${sizeText(memory)}; ${memoryAdvice(enough)}.`)
  }
}

function loadElf(bytes: Bytes, options: LoadOptions, fail: Fail): KernelImage {
  const file = bytes.bytes
  const truncated = (what: string): never =>
    fail('truncated', `the file is cut off: its ${what} should be behind byte ${file.length}; get it again.`)
  if (file.length < 6) truncated('ELF header')
  const elf = Elf32Ehdr.at(bytes, 0)
  if (elf.class === ELFCLASS64) fail('wrong-machine', WRONG_SIZE)
  if (file.length < Elf32Ehdr.size) truncated('ELF header')
  if (elf.class !== ELFCLASS32 || elf.data !== ELFDATA2LSB || elf.machine !== EM_386) {
    fail(
      'wrong-machine',
      `this ELF file is for another machine (number ${elf.machine}); lguest runs 32-bit x86 kernels only.`,
    )
  }
  if (elf.type !== ET_EXEC) {
    fail('not-a-kernel', 'this ELF file is an object or a library; give the kernel itself, linked (vmlinux).')
  }
  const { phoff, phnum } = elf
  if (elf.phentsize !== Elf32Phdr.size || phnum < 1 || phnum > 0x10000 / Elf32Phdr.size) {
    fail(
      'bad-header',
      `the ELF header is damaged (${phnum} program headers of ${elf.phentsize} bytes); get the file again.`,
    )
  }
  if (phoff + phnum * Elf32Phdr.size > file.length) truncated('program headers')

  const segments: KernelSegment[] = []
  let pageOffset: number | undefined
  for (let i = 0; i < phnum; i++) {
    const ph = Elf32Phdr.at(bytes, phoff + i * Elf32Phdr.size)
    if (ph.type !== PT_LOAD) continue
    if (ph.filesz > ph.memsz)
      fail('bad-header', `segment ${i} is larger in the file than in memory; get the file again.`)
    if (ph.offset + ph.filesz > file.length) truncated(`segment ${i}`)
    if (ph.memsz === 0) continue
    const offset = (ph.vaddr - ph.paddr) >>> 0
    if (options.era === 'A' && pageOffset !== undefined && offset !== pageOffset) {
      fail('bad-header', 'its segments differ in virtual minus physical address, which this era of lguest cannot load.')
    }
    pageOffset ??= offset
    const segment = { gpa: ph.paddr, bytes: file.subarray(ph.offset, ph.offset + ph.filesz), size: ph.memsz }
    checkFits(segment, options.memory, fail)
    const other = segments.find(({ gpa, bytes }) => gpa < ph.paddr + ph.filesz && ph.paddr < gpa + bytes.length)
    if (other !== undefined) {
      fail('bad-header', `segment ${i} is to be loaded over another, at ${hex(other.gpa)}; get the file again.`)
    }
    segments.push(segment)
  }
  if (pageOffset === undefined)
    fail('bad-header', 'this ELF file has nothing to load (no PT_LOAD); give the kernel itself.')
  const entry = options.era === 'A' ? eraAEntry(segments, pageOffset!, fail) : elf.entry
  const inside = (gpa: number): boolean => segments.some((s) => gpa >= s.gpa && gpa < s.gpa + s.size)
  if (options.era === 'C' && !inside(entry)) {
    fail(
      'no-entry',
      `its entry point ${hex(entry)} is not a physical address inside the image; was it built with LGUEST_GUEST?`,
    )
  }
  return { kind: 'elf', segments, entry, pageOffset: pageOffset!, end: endOf(segments) }
}

/** Era A: execution begins behind the marker, wherever in the image it is. */
function eraAEntry(segments: readonly KernelSegment[], pageOffset: number, fail: Fail): number {
  const marker = Uint8Array.from(ERA_A_MARKER, (character) => character.charCodeAt(0))
  for (const { gpa, bytes } of segments) {
    for (let at = bytes.indexOf(marker[0]); at >= 0; at = bytes.indexOf(marker[0], at + 1)) {
      if (marker.every((byte, i) => bytes[at + i] === byte)) return (gpa + at + marker.length + pageOffset) >>> 0
    }
  }
  return fail(
    'no-entry',
    `there is no "${ERA_A_MARKER}" in it: this is not a guest of the 2007 interface; use --kernel without an era.`,
  )
}

function loadBzImage(bytes: Bytes, options: LoadOptions, fail: Fail): KernelImage {
  const file = bytes.bytes
  if (options.era === 'A') fail('not-a-kernel', 'the 2007 interface loads ELF files only; give the vmlinux.')
  if (file.length < SETUP_HEADER_END) fail('truncated', 'the file ends inside its setup header; get it again.')
  const header = BootParams.at(bytes, 0)
  // 0 means 4: the very first loaders left it out (boot protocol 2.00).
  const setup = ((header.setup_sects === 0 ? 4 : header.setup_sects) + 1) * SECTOR
  if (setup >= file.length) {
    fail('truncated', `the file is cut off: the kernel should begin at byte ${setup} of ${file.length}; get it again.`)
  }
  if (header.version >= BOOT_PROTOCOL_XLOADFLAGS && (header.xloadflags & XLF_KERNEL_64) !== 0) {
    fail('wrong-machine', WRONG_SIZE)
  }
  const whole = header.version >= BOOT_PROTOCOL_SYSSIZE ? setup + header.syssize * PARAGRAPH : 0
  if (file.length <= whole - PARAGRAPH) {
    fail('truncated', `the file is cut off: ${whole} bytes should be there, ${file.length} are; get it again.`)
  }
  const payload = file.subarray(setup)
  const segment = { gpa: BZIMAGE_LOAD, bytes: payload, size: payload.length }
  checkFits(segment, options.memory, fail)
  const entry = header.code32_start
  if (entry < BZIMAGE_LOAD || entry >= BZIMAGE_LOAD + payload.length) {
    fail('no-entry', `its entry point ${hex(entry)} is outside the image (a zImage, or damaged); give a bzImage.`)
  }
  const end = Math.max(endOf([segment]), unpackedEnd(header))
  if (end > options.memory) {
    const enough = Math.ceil(end / (1 << 20)) + 4
    fail(
      'outside-memory',
      `the kernel unpacks itself up to ${hex(end)}, outside the guest's ${sizeText(options.memory)}; ${memoryAdvice(enough)}.`,
    )
  }
  return { kind: 'bzImage', segments: [segment], entry, pageOffset: 0, end }
}

/** First byte behind the memory in which a bzImage unpacks itself; 0 when it does not say. */
function unpackedEnd(header: BootParamsView): number {
  if (header.version < BOOT_PROTOCOL_INIT_SIZE || header.init_size === 0) return 0
  const rounded = Math.ceil(BZIMAGE_LOAD / KERNEL_ALIGNMENT) * KERNEL_ALIGNMENT
  const start = header.relocatable_kernel === 0 ? header.pref_address : Math.max(rounded, header.pref_address)
  return start + header.init_size
}

function endOf(segments: readonly KernelSegment[]): number {
  return Math.max(...segments.map((segment) => segment.gpa + segment.size))
}

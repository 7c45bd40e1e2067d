import { describe, expect, it } from 'vitest'
import { Bytes } from '../bits/bytes.ts'
import { BootParams } from '../layout/boot-params.ts'
import { Elf32Ehdr, Elf32Phdr } from '../layout/elf.ts'
import { elfImage } from '../testing/elf-image.ts'
import { string, text } from '../testing/virtio-driver.ts'
import { sizeText, UnusableImageError } from './errors.ts'
import { type KernelImage, loadKernel, type LoadOptions } from './load-kernel.ts'

const MIB = 1 << 20
const LOAD = 0x10_0000
const OFFSET = 0xc000_0000
const options: LoadOptions = { name: 'vmlinux', memory: 16 * MIB, era: 'C' }

interface Segment {
  type?: number
  paddr: number
  vaddr?: number
  bytes?: Uint8Array
  memsz?: number
}

/** An ELF file of several segments, their bytes one behind the other. */
function elfOf(segments: readonly Segment[], entry = segments[0].paddr): Uint8Array {
  const headers = Elf32Ehdr.size + segments.length * Elf32Phdr.size
  const length = segments.reduce((sum, { bytes }) => sum + (bytes?.length ?? 0), headers)
  const file = new Uint8Array(length)
  file.set(elfImage(new Uint8Array(0), 0, 0, entry).subarray(0, Elf32Ehdr.size))
  Elf32Ehdr.at(new Bytes(file), 0).phnum = segments.length
  let at = headers
  segments.forEach(({ type = 1, paddr, vaddr = paddr, bytes = new Uint8Array(0), memsz = bytes.length }, i) => {
    const ph = Elf32Phdr.at(new Bytes(file), Elf32Ehdr.size + i * Elf32Phdr.size)
    Object.assign(ph, { type, offset: at, paddr, vaddr, filesz: bytes.length, memsz })
    file.set(bytes, at)
    at += bytes.length
  })
  return file
}

/** The file with fields of its ELF header changed. */
function changed(file: Uint8Array, fields: Partial<Record<keyof typeof Elf32Ehdr.offset, number>>): Uint8Array {
  const copy = file.slice()
  Object.assign(Elf32Ehdr.at(new Bytes(copy), 0), fields)
  return copy
}

/** A bzImage: `setup` sectors behind the first, then the payload. Offsets as in Linux' Documentation/x86/boot. */
function bzImage(setup: number, payload: Uint8Array, fields: { sects?: number; entry?: number } = {}): Uint8Array {
  const start = (setup + 1) * 512
  const file = new Bytes(new Uint8Array(start + payload.length))
  file.write8(0x1f1, fields.sects ?? setup)
  file.write32(0x1f4, Math.ceil(payload.length / 16))
  file.write16(0x1fe, 0xaa55)
  file.bytes.set(text('HdrS'), 0x202)
  file.write16(0x206, 0x020c)
  file.write32(0x214, fields.entry ?? LOAD)
  file.bytes.set(payload, start)
  return file.bytes
}

/** The error loadKernel throws, as [code, message]. */
function refusal(file: Uint8Array, change: Partial<LoadOptions> = {}): [string, string] {
  try {
    loadKernel(file, { ...options, ...change })
  } catch (error) {
    if (!(error instanceof UnusableImageError)) throw error
    return [error.code, error.message]
  }
  throw new Error('the file was taken')
}

/** Guest memory as a launcher makes it: zero, then the segments' bytes. */
function memoryOf(image: KernelImage): Uint8Array {
  const memory = new Uint8Array(image.end)
  for (const { gpa, bytes } of image.segments) memory.set(bytes, gpa)
  return memory
}

describe('vmlinux', () => {
  it('goes segment by segment to its physical addresses, whatever the virtual ones are', () => {
    const image = loadKernel(
      elfOf([
        { paddr: LOAD, vaddr: OFFSET + LOAD, bytes: text('text') },
        { paddr: 0x2345, vaddr: OFFSET + 0x2345, bytes: text('data') },
      ]),
      options,
    )
    expect(image.segments.map(({ gpa, size }) => [gpa, size])).toEqual([
      [LOAD, 4],
      [0x2345, 4],
    ])
    const memory = memoryOf(image)
    expect(string(memory.subarray(LOAD, LOAD + 4))).toBe('text')
    expect(string(memory.subarray(0x2345, 0x2349))).toBe('data')
    expect(image).toMatchObject({ kind: 'elf', entry: LOAD, pageOffset: OFFSET, end: LOAD + 4 })
  })

  it('has a bss: the memory beyond the bytes of the file belongs to the segment and is zero', () => {
    const image = loadKernel(
      elfOf([
        { paddr: LOAD, bytes: text('code') },
        { paddr: LOAD + 0x1000, bytes: text('data'), memsz: 0x3000 },
        { paddr: LOAD + 0x8000, memsz: 0x123 },
      ]),
      options,
    )
    expect(image.segments[1]).toMatchObject({ gpa: LOAD + 0x1000, size: 0x3000, bytes: text('data') })
    expect(image.segments[2]).toMatchObject({ gpa: LOAD + 0x8000, size: 0x123, bytes: new Uint8Array(0) })
    // The bytes are those of the segment alone, not what follows in the file, so everything behind them stays zero.
    expect(memoryOf(image).subarray(LOAD + 0x1004)).toEqual(new Uint8Array(0x7000 - 4 + 0x123))
    expect(image.end).toBe(LOAD + 0x8123)
  })

  it('loads nothing but PT_LOAD', () => {
    const note = { type: 4, paddr: 0, bytes: text('note') }
    const stack = { type: 0x6474e551, paddr: 0, memsz: 0x1000_0000 }
    const image = loadKernel(elfOf([note, { paddr: LOAD, bytes: text('code') }, stack], LOAD), options)
    expect(image.segments).toEqual([{ gpa: LOAD, bytes: text('code'), size: 4 }])
  })

  it('begins at e_entry, which may be anywhere in the image', () => {
    const file = elfOf(
      [
        { paddr: LOAD, bytes: text('code') },
        { paddr: LOAD + 0x1000, bytes: text('more code') },
      ],
      LOAD + 0x1008,
    )
    expect(loadKernel(file, options).entry).toBe(LOAD + 0x1008)
  })

  it('may have a segment of nothing, wherever it says', () => {
    const image = loadKernel(elfOf([{ paddr: 0 }, { paddr: LOAD, bytes: text('code') }], LOAD), options)
    expect(image.segments.map(({ gpa }) => gpa)).toEqual([LOAD])
  })

  it('may have bytes in the bss of another segment, but not over its bytes', () => {
    const file = (paddr: number): Uint8Array =>
      elfOf([
        { paddr: LOAD, bytes: text('code'), memsz: 0x100 },
        { paddr, bytes: text('data') },
      ])
    expect(loadKernel(file(LOAD + 4), options).segments).toHaveLength(2)
    const over = 'vmlinux: segment 1 is to be loaded over another, at 0x100000; get the file again.'
    for (const paddr of [LOAD - 3, LOAD, LOAD + 3]) expect(refusal(file(paddr))).toEqual(['bad-header', over])
  })

  it('may end with the last byte of memory', () => {
    const file = elfOf([{ paddr: LOAD, bytes: text('code'), memsz: 15 * MIB }])
    expect(loadKernel(file, options).end).toBe(16 * MIB)
  })
})

describe('vmlinux of 2007', () => {
  const old: LoadOptions = { ...options, era: 'A' }

  it('is entered behind the marker, at a virtual address', () => {
    const code = text('....GenuineLgues..GenuineLguest!')
    const image = loadKernel(elfImage(code, LOAD, OFFSET + LOAD, 0), old)
    expect(image).toMatchObject({ entry: OFFSET + LOAD + code.length - 1, pageOffset: OFFSET })
  })

  it('is one without a marker, or with uneven addresses: refused', () => {
    const plain = elfImage(text('GenuineLgues'), LOAD, OFFSET + LOAD)
    expect(refusal(plain, old)).toEqual([
      'no-entry',
      'vmlinux: there is no "GenuineLguest" in it: this is not a guest of the 2007 interface; use --kernel without an era.',
    ])
    const uneven = elfOf([
      { paddr: LOAD, vaddr: OFFSET + LOAD, bytes: text('GenuineLguest') },
      { paddr: LOAD + 0x1000, vaddr: LOAD + 0x1000, bytes: text('data') },
    ])
    expect(refusal(uneven, old)).toEqual([
      'bad-header',
      'vmlinux: its segments differ in virtual minus physical address, which this era of lguest cannot load.',
    ])
    expect(loadKernel(uneven, options).entry).toBe(LOAD)
  })

  it('is not a bzImage', () => {
    expect(refusal(bzImage(1, text('payload')), { ...old, name: 'bzImage' })).toEqual([
      'not-a-kernel',
      'bzImage: the 2007 interface loads ELF files only; give the vmlinux.',
    ])
  })
})

describe('bzImage', () => {
  const payload = Uint8Array.from({ length: 1000 }, (_, i) => i & 0xff)

  it.each([1, 4, 27])('is loaded from behind its %i setup sectors to 1 MiB, and entered at code32_start', (sects) => {
    const image = loadKernel(bzImage(sects, payload, { entry: LOAD + 0x10 }), options)
    expect(image.kind).toBe('bzImage')
    expect(image.segments).toEqual([{ gpa: LOAD, bytes: payload, size: 1000 }])
    expect(image).toMatchObject({ entry: LOAD + 0x10, pageOffset: 0, end: LOAD + 1000 })
  })

  it('has 4 setup sectors when it says 0', () => {
    expect(loadKernel(bzImage(4, payload, { sects: 0 }), options).segments[0].bytes).toEqual(payload)
  })

  it.each([
    ['below the image', 0x1000],
    ['behind the image', LOAD + 1000],
  ])('is refused with an entry point %s', (_, entry) => {
    const [code, message] = refusal(bzImage(4, payload, { entry }), { name: 'zImage' })
    expect(code).toBe('no-entry')
    expect(message).toBe(
      `zImage: its entry point 0x${entry.toString(16)} is outside the image (a zImage, or damaged); give a bzImage.`,
    )
  })

  it('is refused when its payload is larger than memory', () => {
    expect(refusal(bzImage(4, new Uint8Array(2 * MIB)), { memory: 2 * MIB, name: 'bzImage' })).toEqual([
      'outside-memory',
      "bzImage: a segment of 2 MiB is to be loaded at 0x100000, outside the guest's 2 MiB; give it more, --memory 7M.",
    ])
  })

  it.each([
    ['inside the setup header', 0x206, 'vmlinux: the file ends inside its setup header; get it again.'],
    [
      'inside the setup sectors',
      0x400,
      'vmlinux: the file is cut off: the kernel should begin at byte 2560 of 1024; get it again.',
    ],
    [
      'right before the payload',
      5 * 512,
      'vmlinux: the file is cut off: the kernel should begin at byte 2560 of 2560; get it again.',
    ],
    [
      'inside the payload',
      5 * 512 + 900,
      'vmlinux: the file is cut off: 3568 bytes should be there, 3460 are; get it again.',
    ],
  ])('cut off %s is refused', (_, length, message) => {
    expect(refusal(bzImage(4, payload).subarray(0, length))).toEqual(['truncated', message])
  })

  it('of 64 bits is refused: the host’s own kernel is the file one finds first', () => {
    const file = bzImage(4, payload)
    new Bytes(file).write16(0x236, 0x0001)
    expect(refusal(file)).toEqual([
      'wrong-machine',
      'vmlinux: this is a 64-bit kernel; lguest runs 32-bit x86 kernels only.',
    ])
    // The field is younger than the protocol.
    new Bytes(file).write16(0x206, 0x020b)
    expect(loadKernel(file, options).kind).toBe('bzImage')
  })

  it.each([
    ['at its address', 0, 0x0100_0000, 0x0130_2000],
    ['at another address', 0, 0x0040_0000, 0x0070_2000],
    ['relocatable: at 16 MiB', 1, 0x0040_0000, 0x0130_2000],
    ['relocatable: higher', 1, 0x0200_0000, 0x0230_2000],
  ])('needs the memory that it unpacks itself to, %s', (_, relocatable, address, end) => {
    const file = bzImage(4, payload)
    const words = new Bytes(file)
    words.write8(0x234, relocatable)
    words.write32(0x258, address)
    words.write32(0x260, 0x0030_2000)
    expect(loadKernel(file, { ...options, memory: end }).end).toBe(end)
    const memory = end - 4096
    expect(refusal(file, { memory })).toEqual([
      'outside-memory',
      `vmlinux: the kernel unpacks itself up to 0x${end.toString(16)}, outside the guest's ${sizeText(memory)}; ` +
        `give it more, --memory ${Math.ceil(end / MIB) + 4}M.`,
    ])
  })

  it('may say nothing of its size, or lack the last bytes of a paragraph', () => {
    const silent = bzImage(4, payload).slice(0, 3000)
    new Bytes(silent).write32(0x1f4, 0)
    expect(loadKernel(silent, options).end).toBe(LOAD + 3000 - 2560)
    // Before boot protocol 2.04 the field was something else.
    const old = bzImage(4, payload).slice(0, 3000)
    new Bytes(old).write16(0x206, 0x0203)
    expect(loadKernel(old, options).end).toBe(LOAD + 3000 - 2560)
    expect(payload.length % 16).not.toBe(0)
    expect(loadKernel(bzImage(4, payload), options).end).toBe(LOAD + 1000)
  })
})

describe('files that are no kernel', () => {
  const cases: [string, Uint8Array, string, string][] = [
    ['an empty file', new Uint8Array(0), 'empty', 'the file is empty; give a vmlinux (ELF) or a bzImage.'],
    ['a short text', text('hi'), 'not-a-kernel', 'this is not a kernel; give a vmlinux (ELF) or a bzImage.'],
    ['a long text', text('x'.repeat(5000)), 'not-a-kernel', 'this is not a kernel; give a vmlinux (ELF) or a bzImage.'],
    [
      'a gzip archive',
      Uint8Array.of(0x1f, 0x8b, 8, 0),
      'not-a-kernel',
      'this is not a kernel but a gzip archive (unpack it first); give a vmlinux (ELF) or a bzImage.',
    ],
    [
      'an xz archive',
      Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0),
      'not-a-kernel',
      'this is not a kernel but an xz archive (unpack it first); give a vmlinux (ELF) or a bzImage.',
    ],
    [
      'a program for EFI',
      text('MZ'),
      'not-a-kernel',
      'this is not a kernel but a program for Windows or EFI; give a vmlinux (ELF) or a bzImage.',
    ],
    [
      'an initrd',
      text('070701000000'),
      'not-a-kernel',
      'this is not a kernel but a cpio archive (an initrd goes to --initrd); give a vmlinux (ELF) or a bzImage.',
    ],
    [
      'a disk',
      (() => {
        const disk = new Uint8Array(1024)
        disk.set([0x55, 0xaa], 510)
        return disk
      })(),
      'not-a-kernel',
      'this is not a kernel but a disk (disks go to --disk); give a vmlinux (ELF) or a bzImage.',
    ],
  ]
  it.each(cases)('%s', (_, file, code, problem) => {
    expect(refusal(file, { name: 'my file' })).toEqual([code, `my file: ${problem}`])
  })
})

describe('ELF files that cannot be a guest', () => {
  const good = elfImage(text('some code'), LOAD)
  const cut = (what: string, length: number): string =>
    `vmlinux: the file is cut off: its ${what} should be behind byte ${length}; get it again.`

  it('is good before it is damaged', () => {
    expect(loadKernel(good, options).segments).toEqual([{ gpa: LOAD, bytes: text('some code'), size: 9 }])
  })

  it.each([
    ['in its magic number', 4, 'ELF header'],
    ['in its header', 51, 'ELF header'],
    ['before its program headers', 52, 'program headers'],
    ['in its program headers', 83, 'program headers'],
    ['before its segment', 84, 'segment 0'],
    ['in its segment', good.length - 1, 'segment 0'],
  ])('truncated %s', (_, length, what) => {
    expect(refusal(good.subarray(0, length))).toEqual(['truncated', cut(what, length)])
  })

  it.each([0xffff_ffff, 0x7fff_ffff])('with program headers at %i: truncated', (phoff) => {
    expect(refusal(changed(good, { phoff }))).toEqual(['truncated', cut('program headers', good.length)])
  })

  it.each([
    ['64-bit', { class: 2, machine: 62 }, 'this is a 64-bit kernel; lguest runs 32-bit x86 kernels only.'],
    ['ARM', { machine: 40 }, 'this ELF file is for another machine (number 40); lguest runs 32-bit x86 kernels only.'],
    [
      'of no known class',
      { class: 7 },
      'this ELF file is for another machine (number 3); lguest runs 32-bit x86 kernels only.',
    ],
  ])('%s: wrong machine', (_, fields, problem) => {
    expect(refusal(changed(good, fields))).toEqual(['wrong-machine', `vmlinux: ${problem}`])
  })

  it('big-endian: wrong machine', () => {
    expect(refusal(changed(good, { data: 2, type: 0x200, machine: 0x1400 }))[0]).toBe('wrong-machine')
    expect(refusal(changed(good, { data: 2 }))[0]).toBe('wrong-machine')
  })

  it('64-bit is told from its first six bytes', () => {
    expect(refusal(changed(good, { class: 2 }).subarray(0, 6))[0]).toBe('wrong-machine')
  })

  it.each([1, 3])('of type %i, an object or a library', (type) => {
    expect(refusal(changed(good, { type }))).toEqual([
      'not-a-kernel',
      'vmlinux: this ELF file is an object or a library; give the kernel itself, linked (vmlinux).',
    ])
  })

  it.each([
    [{ phentsize: 56 }, 1, 56],
    [{ phnum: 0 }, 0, 32],
    [{ phnum: 2049 }, 2049, 32],
  ])('with a damaged header: %o', (fields, phnum, phentsize) => {
    expect(refusal(changed(good, fields))).toEqual([
      'bad-header',
      `vmlinux: the ELF header is damaged (${phnum} program headers of ${phentsize} bytes); get the file again.`,
    ])
  })

  it('with nothing to load', () => {
    expect(refusal(elfOf([{ type: 4, paddr: LOAD, bytes: text('note') }]))).toEqual([
      'bad-header',
      'vmlinux: this ELF file has nothing to load (no PT_LOAD); give the kernel itself.',
    ])
  })

  it('with a segment larger in the file than in memory', () => {
    expect(refusal(elfOf([{ paddr: LOAD, bytes: text('data'), memsz: 3 }]))).toEqual([
      'bad-header',
      'vmlinux: segment 0 is larger in the file than in memory; get the file again.',
    ])
  })

  it('entered at a virtual address', () => {
    expect(refusal(elfImage(text('some code'), LOAD, OFFSET + LOAD, OFFSET + LOAD))).toEqual([
      'no-entry',
      'vmlinux: its entry point 0xc0100000 is not a physical address inside the image; was it built with LGUEST_GUEST?',
    ])
    expect(refusal(elfOf([{ paddr: LOAD, bytes: text('code') }], LOAD + 4))[0]).toBe('no-entry')
  })
})

describe('kernels that do not fit', () => {
  it('because it is linked for virtual addresses: no memory would be enough', () => {
    const file = elfOf([{ paddr: 0xc0100000, bytes: text('code') }])
    expect(refusal(file)[1]).toContain('no guest can have that much (1024M at most), so use another.')
  })

  it('because a segment reaches beyond memory: says how much would be enough', () => {
    const file = elfOf([
      { paddr: LOAD, bytes: text('code') },
      { paddr: 12 * MIB, memsz: 5 * MIB },
    ])
    const [code, message] = refusal(file)
    expect(code).toBe('outside-memory')
    expect(message).toBe(
      "vmlinux: a segment of 5 MiB is to be loaded at 0xc00000, outside the guest's 16 MiB; give it more, --memory 21M.",
    )
    expect(loadKernel(file, { ...options, memory: 21 * MIB }).end).toBe(17 * MIB)
  })

  it('by one byte', () => {
    expect(refusal(elfOf([{ paddr: LOAD, bytes: text('code'), memsz: 15 * MIB + 1 }]))[0]).toBe('outside-memory')
  })

  it('because they are linked to load at their virtual address', () => {
    const [code, message] = refusal(elfImage(text('code'), OFFSET + LOAD))
    expect(code).toBe('outside-memory')
    expect(message).toContain("vmlinux: a segment of 4 bytes is to be loaded at 0xc0100000, outside the guest's 16 MiB")
  })

  it('because an address and a size together go round 32 bits', () => {
    expect(refusal(elfOf([{ paddr: LOAD, memsz: 0xffff_f000 }]))[0]).toBe('outside-memory')
  })

  it.each([0, 0x1800, 0x1fff])('because a segment is where the boot parameters are, at %i', (paddr) => {
    expect(refusal(elfImage(text('code'), paddr))).toEqual([
      'outside-memory',
      `vmlinux: a segment is to be loaded at 0x${paddr.toString(16)}, where the boot parameters are.`,
    ])
  })

  it('but may begin right behind the boot parameters', () => {
    expect(loadKernel(elfImage(text('code'), 0x2000), options).segments[0].gpa).toBe(0x2000)
  })
})

it('never writes to the file, and reads it wherever it is in its buffer', () => {
  const file = elfImage(text('some code'), LOAD)
  const before = file.slice()
  const buffer = new Uint8Array(file.length + 77)
  buffer.set(file, 77)
  expect(loadKernel(buffer.subarray(77), options)).toEqual(loadKernel(file, options))
  expect(file).toEqual(before)
  expect(BootParams.offset.header).toBe(0x202)
})

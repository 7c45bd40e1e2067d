import { describe, expect, it } from 'vitest'
import { Bytes } from '../bits/bytes.ts'
import { string, text } from '../testing/virtio-driver.ts'
import { bootSegments, type BootOptions, COMMAND_LINE_MAX, encode, initrdAddress } from './boot-params.ts'
import { UnusableImageError } from './errors.ts'
import type { KernelImage } from './load-kernel.ts'

const MIB = 1 << 20
const PAGE = 4096

/** A kernel that ends at `end`. */
function kernelTo(end: number): KernelImage {
  const segments = [{ gpa: MIB, bytes: new Uint8Array(0), size: end - MIB }]
  return { kind: 'elf', segments, entry: MIB, pageOffset: 0, end }
}

const boot: BootOptions = { memory: 16 * MIB, commandLine: 'console=hvc0' }
const initrdOf = (length: number) => ({ name: 'initrd.img', bytes: new Uint8Array(length).fill(0xab) })

/** Guest memory after the segments were written, and how often each byte was. */
function written(kernel: KernelImage, options: BootOptions) {
  const memory = new Uint8Array(options.memory)
  const times = new Uint8Array(options.memory)
  for (const { gpa, bytes, size } of bootSegments(kernel, options)) {
    expect(size).toBeGreaterThanOrEqual(bytes.length)
    memory.set(bytes, gpa)
    for (let i = 0; i < size; i++) times[gpa + i]++
  }
  return { memory, times, words: new Bytes(memory) }
}

function refusal(kernel: KernelImage, options: BootOptions): [string, string] {
  try {
    bootSegments(kernel, options)
  } catch (error) {
    if (!(error instanceof UnusableImageError)) throw error
    return [error.code, error.message]
  }
  throw new Error('it fits')
}

/** Offsets and values as in reference 9.3, written down here a second time on purpose. */
describe('boot_params', () => {
  it('has one e820 entry for all of memory', () => {
    const { words } = written(kernelTo(2 * MIB), boot)
    expect(words.read8(0x1e8)).toBe(1)
    expect([0x2d0, 0x2d4, 0x2d8, 0x2dc, 0x2e0].map((at) => words.read32(at))).toEqual([0, 0, 16 * MIB, 0, 1])
  })

  it('says that this is lguest: subarch 1, in a boot protocol that knows subarchs', () => {
    const { words } = written(kernelTo(2 * MIB), boot)
    expect(words.read16(0x206)).toBe(0x0207)
    expect(words.read32(0x23c)).toBe(1)
    expect(words.read8(0x211)).toBe(0x40)
    expect(words.read32(0x230)).toBe(0x0100_0000)
  })

  it('points at the command line, which ends with a NUL', () => {
    const { words, memory } = written(kernelTo(2 * MIB), { ...boot, commandLine: 'root=/dev/vda quiet' })
    expect(words.read32(0x228)).toBe(0x1000)
    expect(string(memory.subarray(0x1000, 0x1014))).toBe('root=/dev/vda quiet\0')
  })

  it('has room for the NUL even when the command line is empty', () => {
    const segments = bootSegments(kernelTo(2 * MIB), { ...boot, commandLine: '' })
    expect(segments.find(({ gpa }) => gpa === 0x1000)).toMatchObject({ size: 1, bytes: new Uint8Array(0) })
  })

  it('names no initrd and no boot loader when there is none', () => {
    const { words } = written(kernelTo(2 * MIB), boot)
    expect([0x218, 0x21c].map((at) => words.read32(at))).toEqual([0, 0])
    expect(words.read8(0x210)).toBe(0)
  })

  it('has the initrd at the end of memory, at a page, its size in whole pages', () => {
    const initrd = initrdOf(2 * PAGE + 1)
    const { words, memory } = written(kernelTo(2 * MIB), { ...boot, initrd })
    const at = 16 * MIB - 3 * PAGE
    expect(words.read32(0x218)).toBe(at)
    expect(words.read32(0x21c)).toBe(3 * PAGE)
    expect(words.read8(0x210)).toBe(0xff)
    // All of it is RAM: the guest may use the initrd's once it is unpacked.
    expect(words.read32(0x2d8)).toBe(16 * MIB)
    expect(memory.subarray(at, at + initrd.bytes.length)).toEqual(initrd.bytes)
    expect(memory.subarray(at + initrd.bytes.length)).toEqual(new Uint8Array(PAGE - 1))
    expect(memory[at - 1]).toBe(0)
    expect(initrdAddress({ ...boot, initrd })).toBe(at)
    expect(initrdAddress(boot)).toBe(16 * MIB)
  })

  it('holds nothing else, the sentinel included', () => {
    const { memory } = written(kernelTo(2 * MIB), { ...boot, initrd: initrdOf(PAGE) })
    const set = [...memory.subarray(0, 0x1000).keys()].filter((at) => memory[at] !== 0)
    const fields = [
      [0x1e8, 1],
      [0x206, 2],
      [0x210, 2],
      [0x218, 8],
      [0x228, 4],
      [0x230, 4],
      [0x23c, 4],
      [0x2d0, 20],
    ]
    expect(set.filter((at) => !fields.some(([start, length]) => at >= start && at < start + length))).toEqual([])
    expect(memory[0x1ef]).toBe(0)
  })

  it('touches no byte twice, and none of the kernel', () => {
    const { times } = written(kernelTo(15 * MIB), { ...boot, initrd: initrdOf(MIB) })
    expect(times.indexOf(2)).toBe(-1)
    expect(times.subarray(0x2000, 15 * MIB).indexOf(1)).toBe(-1)
  })
})

describe('command line', () => {
  it('may have 2047 characters, which end below the kernel', () => {
    const line = 'x'.repeat(COMMAND_LINE_MAX)
    const { memory } = written(kernelTo(2 * MIB), { ...boot, commandLine: line })
    expect(string(memory.subarray(0x1000, 0x1800))).toBe(`${line}\0`)
    expect(COMMAND_LINE_MAX).toBe(2047)
  })

  it('of 2048 is refused', () => {
    expect(refusal(kernelTo(2 * MIB), { ...boot, commandLine: 'x'.repeat(2048) })).toEqual([
      'command-line',
      'The command line has 2048 characters; a guest takes at most 2047, so shorten --append.',
    ])
  })

  it('is UTF-8, and counted in bytes', () => {
    for (const line of ['', 'plain', 'näher', '你好', 'a 🐕 b', '\u07ff\u0800\uffff\u{10000}\u{20000}\u{10ffff}']) {
      expect(encode(line)).toEqual(Uint8Array.from(new TextEncoder().encode(line)))
    }
    expect(refusal(kernelTo(2 * MIB), { ...boot, commandLine: 'ä'.repeat(1024) })[0]).toBe('command-line')
  })
})

describe('an initrd', () => {
  it('may touch the kernel', () => {
    const segments = bootSegments(kernelTo(15 * MIB), { ...boot, initrd: initrdOf(MIB) })
    expect(segments[0]).toMatchObject({ gpa: 15 * MIB, size: MIB })
  })

  it.each([
    ['one byte too large', 15 * MIB, MIB + 1],
    ['as large as memory', 2 * MIB, 16 * MIB],
    ['larger than memory', 2 * MIB, 40 * MIB],
  ])('is refused when it is %s, and the advice helps', (_, end, length) => {
    const initrd = initrdOf(length)
    const [code, message] = refusal(kernelTo(end), { ...boot, initrd })
    expect(code).toBe('initrd-too-large')
    expect(message).toMatch(
      /^initrd\.img: .* do not fit beside the kernel in the guest's 16 MiB; give it more, --memory \d+M\.$/,
    )
    const enough = Number(/--memory (\d+)M/.exec(message)?.[1]) * MIB
    expect(bootSegments(kernelTo(end), { ...boot, initrd, memory: enough })).toHaveLength(3)
  })

  it('too large is told its size', () => {
    expect(refusal(kernelTo(2 * MIB), { ...boot, initrd: initrdOf(20 * MIB) })[1]).toBe(
      "initrd.img: 20 MiB do not fit beside the kernel in the guest's 16 MiB; give it more, --memory 26M.",
    )
  })

  it('is refused when it is empty', () => {
    expect(refusal(kernelTo(2 * MIB), { ...boot, initrd: initrdOf(0) })).toEqual([
      'empty',
      'initrd.img: the file is empty; leave --initrd out or give another.',
    ])
  })

  it('lies above the memory that is kept free for others', () => {
    const initrd = { name: 'initrd.img', bytes: text('small') }
    const options = { ...boot, initrd, reserve: 2 * MIB }
    expect(bootSegments(kernelTo(14 * MIB - PAGE), options)[0].gpa).toBe(16 * MIB - PAGE)
    expect(refusal(kernelTo(14 * MIB - PAGE + 1), options)[0]).toBe('initrd-too-large')
  })
})

it('without an initrd a kernel may fill memory, unless something else must fit', () => {
  expect(bootSegments(kernelTo(16 * MIB), boot)).toHaveLength(2)
  expect(refusal(kernelTo(16 * MIB), { ...boot, reserve: PAGE })).toEqual([
    'outside-memory',
    "The kernel leaves no memory of the guest's 16 MiB; give it more, --memory 21M.",
  ])
})

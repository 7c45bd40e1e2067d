/**
 * pup's committed images: that they are what the sources give, where a compiler is present, and that their form is what
 * the launcher and pup itself rely on. Running them is boot.spec.ts's part.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const directory = import.meta.dirname
const read = (name: string) => readFileSync(join(directory, name))
const PAGE = 4096

describe('pup.elf', () => {
  const elf = read('pup.elf')
  const headers = Array.from({ length: elf.readUInt16LE(44) }, (_, i) => {
    const at = elf.readUInt32LE(28) + i * elf.readUInt16LE(42)
    const [type, , vaddr, paddr, filesz, memsz] = Array.from({ length: 6 }, (_, k) => elf.readUInt32LE(at + 4 * k))
    return { type, vaddr, paddr, filesz, memsz }
  }).filter(({ type }) => type === 1)

  it('is an i386 executable entered at the physical address of its first byte', () => {
    expect(elf.subarray(0, 6).toString('latin1')).toBe('\x7fELF\x01\x01')
    expect([elf.readUInt16LE(16), elf.readUInt16LE(18)]).toEqual([2, 3])
    expect(elf.readUInt32LE(24)).toBe(0x100000)
    expect(headers[0].paddr).toBe(0x100000)
  })

  it('is linked 0xC0000000 above where it is loaded, and its boot tables stay in the first 4 MiB', () => {
    for (const { vaddr, paddr, memsz, filesz } of headers) {
      expect(vaddr - paddr).toBe(0xc0000000)
      expect(filesz).toBeLessThanOrEqual(memsz)
      expect(paddr + memsz).toBeLessThan(0x200000)
    }
  })

  it('has its noirq window around the iret, in pup.sym', () => {
    const symbols = read('pup.sym').toString().trimEnd().split('\n')
    const address = (name: string) => parseInt(symbols.find((line) => line.endsWith(` ${name}`)) ?? '', 16)
    const start = address('noirq_start')
    const end = address('noirq_end')
    const text = elf.subarray(elf.readUInt32LE(elf.readUInt32LE(28) + 4))
    expect(end - start).toBeLessThan(16)
    expect(text[end - 1 - headers[0].vaddr]).toBe(0xcf)
    const sorted = symbols.map((line) => parseInt(line, 16))
    expect(sorted).toEqual([...sorted].sort((a, b) => a - b))
  })
})

describe('initrd.img', () => {
  const archive = read('initrd.img')
  const files = Array.from({ length: archive.readUInt32LE(8) }, (_, i) => {
    const at = 12 + 32 * i
    const name = archive
      .subarray(at, at + 24)
      .toString('latin1')
      .replace(/\0+$/, '')
    return { name, offset: archive.readUInt32LE(at + 24), length: archive.readUInt32LE(at + 28) }
  })

  it('has the programs of the shell, each an ELF on a page border', () => {
    expect(archive.subarray(0, 8).toString()).toBe('pupinit1')
    const names =
      'init sh help ps kill free uptime dmesg uname ls cat echo write rm hexdump time loop fork-test ' +
      'reboot poweroff hv bench crash selftest'
    expect(files.map(({ name }) => name)).toEqual(expect.arrayContaining(names.split(' ')))
    for (const { name, offset, length } of files) {
      expect(offset % PAGE, name).toBe(0)
      expect(offset + length, name).toBeLessThanOrEqual(archive.length)
      expect(archive.subarray(offset, offset + 4).toString('latin1'), name).toBe('\x7fELF')
    }
  })
})

const build = spawnSync(process.execPath, [join(directory, '../../scripts/build-guests.mjs'), '--check'], {
  encoding: 'utf8',
})

it.skipIf(build.status === 77)('the committed images are what the sources give (needs gcc -m32)', () => {
  expect(build.stderr).toBe('')
  expect(build.status).toBe(0)
})

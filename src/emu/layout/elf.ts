/**
 * The parts of an ELF32 file that a loader looks at (System V ABI, i386 supplement): file header and program headers.
 */
import { struct } from '../bits/struct.ts'

export const ELF_MAGIC = 0x464c457f
export const ELFCLASS32 = 1
export const ELFCLASS64 = 2
export const ELFDATA2LSB = 1
export const ET_EXEC = 2
export const EM_386 = 3
export const PT_LOAD = 1

export const Elf32Ehdr = struct(
  'elf32_ehdr',
  {
    magic: 'u32',
    class: 'u8',
    data: 'u8',
    ident_version: 'u8',
    __ident: ['u8', 9],
    type: 'u16',
    machine: 'u16',
    version: 'u32',
    entry: 'u32',
    phoff: 'u32',
    shoff: 'u32',
    flags: 'u32',
    ehsize: 'u16',
    phentsize: 'u16',
    phnum: 'u16',
    shentsize: 'u16',
    shnum: 'u16',
    shstrndx: 'u16',
  },
  52,
)

export const Elf32Phdr = struct(
  'elf32_phdr',
  {
    type: 'u32',
    offset: 'u32',
    vaddr: 'u32',
    paddr: 'u32',
    filesz: 'u32',
    memsz: 'u32',
    flags: 'u32',
    align: 'u32',
  },
  32,
)

/** An ELF file of one segment around assembled code: the smallest kernel a launcher loads. */
import { Bytes } from '../bits/bytes.ts'
import { EM_386, ELF_MAGIC, ELFCLASS32, ELFDATA2LSB, Elf32Ehdr, Elf32Phdr, ET_EXEC, PT_LOAD } from '../layout/elf.ts'

/** Where the code is in the file. */
const FILE_OFFSET = 0x1000

/** `code` at gpa `paddr`, linked to run at `vaddr`; entered at `entry` (physical in era C). */
export function elfImage(code: Uint8Array, paddr: number, vaddr = paddr, entry = paddr): Uint8Array {
  const file = new Bytes(new Uint8Array(FILE_OFFSET + code.length))
  const elf = Elf32Ehdr.at(file, 0)
  file.write32(0, ELF_MAGIC)
  elf.class = ELFCLASS32
  elf.data = ELFDATA2LSB
  elf.type = ET_EXEC
  elf.machine = EM_386
  elf.entry = entry
  elf.phoff = Elf32Ehdr.size
  elf.phentsize = Elf32Phdr.size
  elf.phnum = 1
  const segment = Elf32Phdr.at(file, Elf32Ehdr.size)
  segment.type = PT_LOAD
  segment.offset = FILE_OFFSET
  segment.vaddr = vaddr
  segment.paddr = paddr
  segment.filesz = segment.memsz = code.length
  file.bytes.set(code, FILE_OFFSET)
  return file.bytes
}

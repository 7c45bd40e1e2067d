/**
 * Makes the seed guest: assembles seed.asm with the constants of the emulator's own layouts, and wraps it in an ELF file with one segment.
 * The image is small and quick to make, so it is not kept; whoever wants to run it calls buildSeed().
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { assemble } from '../../src/emu/asm/assembler.ts'
import { LGUEST_DMA_SECTIONS, LguestDma } from '../../src/emu/layout/lguest-dma.ts'
import { LguestDataEraA, LHCALL, LHCALL_ERA_A } from '../../src/emu/layout/lguest-data.ts'
import { GDT_ENTRIES, GUEST_KERNEL_CS, GUEST_KERNEL_DS, LGUEST_TRAP_ENTRY } from '../../src/emu/layout/lguest-pages.ts'

import { elfImage } from '../../src/emu/testing/elf-image.ts'

const PAGE_OFFSET = 0xc000_0000
/** gpa of the image. */
const LOAD_ADDRESS = 0x10_0000
/** pushad, ds, and the frame of an interrupt from ring 3. */
const TASK_FRAME = 8 * 4 + 4 + 5 * 4
/** Times each task must be interrupted before the guest powers off. */
const TURNS = 5

function symbols(): Record<string, number> {
  const table: Record<string, number> = {
    PAGE_OFFSET,
    TO_PHYSICAL: 2 ** 32 - PAGE_OFFSET,
    GDT_ENTRIES,
    LGUEST_TRAP_ENTRY,
    KERNEL_CS: GUEST_KERNEL_CS,
    KERNEL_DS: GUEST_KERNEL_DS,
    USER_CS: 0x73,
    USER_DS: 0x7b,
    TLS_SELECTOR: 0x33,
    TASK_FRAME,
    TURNS,
    LGUEST_DMA_size: LguestDma.size,
    LGUEST_DMA_SECTIONS,
  }
  for (const [name, number] of Object.entries({ ...LHCALL, ...LHCALL_ERA_A })) table[`LHCALL_${name}`] = number
  for (const [field, offset] of Object.entries(LguestDataEraA.offset)) table[`LGUEST_DATA_${field}`] = offset
  for (const [field, offset] of Object.entries(LguestDma.offset)) table[`LGUEST_DMA_${field}`] = offset
  return table
}

/** The guest as an ELF file for the launcher of era A; `source` is the text of seed.asm, from beside this file when not given. */
export function buildSeed(source = readFileSync(join(import.meta.dirname, 'seed.asm'), 'utf8')): Uint8Array {
  const code = assemble(source, { origin: PAGE_OFFSET + LOAD_ADDRESS, symbols: symbols() }).bytes
  return elfImage(code, LOAD_ADDRESS, PAGE_OFFSET + LOAD_ADDRESS)
}

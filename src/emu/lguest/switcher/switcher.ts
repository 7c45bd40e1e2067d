/**
 * Puts the Switcher into memory: assembles its text for both register orders, and knows every address of the hypervisor
 * region (reference 1.2, 1.3).
 *
 *   SWITCHER_ADDR  0xFFC00000   text for eras C and D (first register eax)
 *                  0xFFC01000   text for eras A and B (first register ebx)
 *                  0xFFC02000   CPU 0: page 0 (stack and registers), page 1 (state)
 *                  0xFFC04000   CPU 1: ...
 *
 * Each text page is complete: entry, both exits, NMI handling and 256 stubs. A Guest's era says through which page it is
 * entered and where its default IDT entries point. The text itself is switcher-text.ts.
 */
import { assemble, type Assembled } from '../../asm/assembler.ts'
import { assert } from '../../bits/assert.ts'
import {
  GDT_ENTRY_TSS,
  IDT_ENTRIES,
  LGUEST_DS,
  LGUEST_PAGES_regs,
  LGUEST_PAGES_size,
  LGUEST_PAGES_state,
  LguestRoState,
} from '../../layout/lguest-pages.ts'
import { LguestRegs } from '../../layout/lguest-regs.ts'
import { PAGE_SIZE } from '../../layout/x86.ts'
import { SWITCHER_TEXT } from './switcher-text.ts'

/** First linear address of the region: the last entry of every page directory. */
export const SWITCHER_ADDR = 0xffc00000
/** Which page-directory entry that is. */
export const SWITCHER_PGD_INDEX = 1023
/** Told to the Guest in lguest_data.reserve_mem: bytes at the top of the address space it must leave alone. */
export const RESERVE_MEM = 0x1_0000_0000 - SWITCHER_ADDR
export const SWITCHER_TEXT_PAGES = 2

/** Register orders, and the indices of their text pages. */
export const SWITCHER_ERA_C = 0
export const SWITCHER_ERA_A = 1
export type SwitcherVariant = typeof SWITCHER_ERA_C | typeof SWITCHER_ERA_A

/** Linear address of a CPU's lguest_pages pair. */
export function lguestPages(cpu: number): number {
  return SWITCHER_ADDR + SWITCHER_TEXT_PAGES * PAGE_SIZE + cpu * LGUEST_PAGES_size
}

/** Index of that pair's page 0 in the region's PTE page. */
export function lguestPagesPte(cpu: number): number {
  return (lguestPages(cpu) - SWITCHER_ADDR) / PAGE_SIZE
}

/** The offsets the text uses, in the spelling of lguest's asm-offsets: from the start of the pair. */
function generatedOffsets(): Record<string, number> {
  const offsets: Record<string, number> = {
    PAGE_SIZE,
    LGUEST_DS,
    GDT_ENTRY_TSS,
    LGUEST_PAGES_regs,
    LGUEST_PAGES_regs_trapnum: LGUEST_PAGES_regs + LguestRegs.offset.trapnum,
  }
  for (const [field, offset] of Object.entries(LguestRoState.offset)) {
    offsets[`LGUEST_PAGES_${field}`] = LGUEST_PAGES_state + offset
  }
  return offsets
}

/** One text page: its bytes and the addresses in it that the Host must know. */
export interface SwitcherText {
  readonly variant: SwitcherVariant
  readonly bytes: Uint8Array
  /** Linear addresses. */
  readonly labels: Readonly<Record<string, number>>
  /** Where run_guest_once calls. */
  readonly entry: number
  /** default_idt_entries: the stub of each vector. */
  readonly stubs: readonly number[]
}

function assembleVariant(variant: SwitcherVariant): SwitcherText {
  const assembled: Assembled = assemble(SWITCHER_TEXT, {
    origin: SWITCHER_ADDR + variant * PAGE_SIZE,
    symbols: { ...generatedOffsets(), ERA_A: variant === SWITCHER_ERA_A ? 1 : 0 },
  })
  assert(assembled.bytes.length <= PAGE_SIZE, `the Switcher is ${assembled.bytes.length} bytes, more than a page`)
  return {
    variant,
    bytes: assembled.bytes,
    labels: assembled.labels,
    entry: assembled.labels['switch_to_guest'] as number,
    stubs: Array.from({ length: IDT_ENTRIES }, (_, vector) => assembled.labels[`stub_${vector}`] as number),
  }
}

let texts: readonly SwitcherText[] | undefined

/** Both texts, by variant. Assembled once a process: the result is a constant. */
export function switcherTexts(): readonly SwitcherText[] {
  texts ??= [assembleVariant(SWITCHER_ERA_C), assembleVariant(SWITCHER_ERA_A)]
  return texts
}

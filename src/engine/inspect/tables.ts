/** GDT, IDT and TSS as a CPU sees them now, with what the last world switch copied. */
import {
  S_GDT_BASE,
  S_GDT_LIMIT,
  S_IDT_BASE,
  S_IDT_LIMIT,
  S_SEG_BASE,
  S_SEG_LIMIT,
} from '../../emu/layout/cpu-state.ts'
import {
  GDT_ENTRY_TLS_ENTRIES,
  GDT_ENTRY_TLS_MIN,
  LGUEST_PAGES_state,
  LguestRoState,
  Tss,
} from '../../emu/layout/lguest-pages.ts'
import { TR } from '../../emu/layout/x86.ts'
import { COPIED_GDT, COPIED_IDT, COPIED_TLS } from '../../emu/lguest/hypervisor.ts'
import { directTrap } from '../../emu/lguest/interrupts-and-traps.ts'
import { ignoredGdt } from '../../emu/lguest/segments.ts'
import { lguestPages } from '../../emu/lguest/switcher/switcher.ts'
import type { DescriptorState, TablesSnapshot } from '../../shared/inspect.ts'
import { describeDescriptor, describeGate } from './descriptors.ts'
import { readSpace } from './memory-spaces.ts'
import type { InspectionTarget } from './target.ts'

/** No table is larger than the architecture allows; a wild limit must not cost more than that. */
const MAX_GDT = 8192
const MAX_IDT = 256
/** Fields of the TSS that have 16 bits. */
const HALF_WORDS = new Set(['trace', 'io_bitmap_base'])

export function tablesSnapshot(target: InspectionTarget, number: number): TablesSnapshot {
  const { st } = target.machine.cpus[number]
  const vars = target.hypervisor.cpu(number)
  // Only the tables of a Guest's world are copied. In the Switcher a CPU may have the Host's or the Guest's.
  const state = lguestPages(number) + LGUEST_PAGES_state
  const copied = vars.last_copied
  const guestGdt = st[S_GDT_BASE] >>> 0 === state + LguestRoState.offset.guest_gdt
  const guestIdt = st[S_IDT_BASE] >>> 0 === state + LguestRoState.offset.guest_idt
  const isTls = (i: number): boolean => i >= GDT_ENTRY_TLS_MIN && i < GDT_ENTRY_TLS_MIN + GDT_ENTRY_TLS_ENTRIES
  const gdtCopied = (i: number): boolean =>
    ((copied & COPIED_GDT) !== 0 && !ignoredGdt(i)) || ((copied & COPIED_TLS) !== 0 && isTls(i))
  const read = (base: number, limit: number, most: number, describe: typeof describeGate) =>
    descriptors(target, number, st[base] >>> 0, Math.min(most, ((st[limit] >>> 0) + 1) >>> 3), describe)
  const gdt = read(S_GDT_BASE, S_GDT_LIMIT, MAX_GDT, describeDescriptor)
  const idt = read(S_IDT_BASE, S_IDT_LIMIT, MAX_IDT, describeGate)
  for (const entry of gdt) entry.copied = guestGdt && gdtCopied(entry.index)
  for (const entry of idt) entry.copied = guestIdt && (copied & COPIED_IDT) !== 0 && directTrap(entry.index)
  return { gdt, idt, tss: tss(target, number) }
}

function descriptors(
  target: InspectionTarget,
  cpu: number,
  base: number,
  count: number,
  describe: (low: number, high: number) => string,
): DescriptorState[] {
  const { bytes } = readSpace(target, { kind: 'cpuVirtual', cpu }, base, count * 8)
  const view = new DataView(bytes.buffer)
  return Array.from({ length: count }, (_, index) => {
    const low = view.getUint32(index * 8, true)
    const high = view.getUint32(index * 8 + 4, true)
    return { index, low, high, description: describe(low, high), copied: false }
  })
}

function tss(target: InspectionTarget, cpu: number): TablesSnapshot['tss'] {
  const { st } = target.machine.cpus[cpu]
  const length = Math.min(Tss.size, (st[S_SEG_LIMIT + TR] >>> 0) + 1)
  const { bytes } = readSpace(target, { kind: 'cpuVirtual', cpu }, st[S_SEG_BASE + TR] >>> 0, Math.max(1, length))
  const view = new DataView(bytes.buffer)
  return Object.entries(Tss.offset)
    .map(([name, offset]) => ({ name, offset, size: HALF_WORDS.has(name) ? 2 : 4 }))
    .filter(({ offset, size }) => offset + size <= bytes.length)
    .map(({ name, offset, size }) => {
      return { name, offset, value: size === 2 ? view.getUint16(offset, true) : view.getUint32(offset, true) }
    })
}

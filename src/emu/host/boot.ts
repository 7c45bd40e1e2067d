/**
 * Boot of the Host kernel's low half: what a boot loader and the first page of a kernel's C code would do. It lays RAM out,
 *
 *      0x0000   nothing (so that no page has address 0)
 *      0x1000   Host text
 *      ....     page allocator; then, from its first pages: page directories, region PTE page, IDT, and for each CPU its
 *               area (GDT, TSS, boot block), its stack and a page for the upper half
 *
 * and resets each CPU to begin at `startup`. From there real i386 text does the rest (text.ts). The caller registers the gates.
 *
 * Linear addresses: 0-3 GiB the launchers', 0xC0000000 all RAM up to 960 MiB by 4 MiB pages, 0xFFC00000 the hypervisor's region.
 */
import { assert } from '../bits/assert.ts'
import type { Cpu } from '../cpu/cpu.ts'
import { HostCpuArea } from '../layout/host-memory.ts'
import {
  GDT_ENTRIES,
  GDT_ENTRY_KERNEL_CS,
  GDT_ENTRY_KERNEL_DS,
  GDT_ENTRY_LGUEST_CS,
  GDT_ENTRY_LGUEST_DS,
  GDT_ENTRY_TSS,
  IDT_ENTRIES,
  LGUEST_CS,
  Tss,
} from '../layout/lguest-pages.ts'
import { type MachineMemory, MIB, type PhysMemory } from '../layout/memory.ts'
import { EBX, ESP, PAGE_PRESENT, PAGE_PSE, PAGE_RW, PAGE_SIZE, PTES_PER_PAGE } from '../layout/x86.ts'
import { KERNEL_OWNER, PageAllocator } from './page-allocator.ts'
import { DIRECT_MAP, HOST_GATES, type HostGate, hostText, KERNEL_DS } from './text.ts'

/** The part of a machine the boot needs. */
export interface HostMachine {
  readonly mem: MachineMemory
  readonly phys: PhysMemory
  readonly cpus: readonly Cpu[]
}

/** A descriptor-table register: linear base, limit in bytes. */
export interface TableRegister {
  readonly base: number
  readonly limit: number
}

export interface HostCpuLayout {
  readonly gdt: TableRegister
  /** hpa */
  readonly tss: number
  /** Linear address behind the kernel stack; the stack is empty when esp is this. */
  readonly stackTop: number
  /** hpa of the page the upper half has for this CPU; zeros at first. */
  readonly percpu: number
  /** hpa of the far pointer for run_guest_once: u32 offset, u16 selector (which is LGUEST_CS already). */
  readonly farPointer: number
}

export interface HostLayout {
  readonly allocator: PageAllocator
  readonly kernelOwner: number
  /** hpa of the kernel's page directory. */
  readonly pgd: number
  /** hpa of the region's PTE page, shared by all page directories. */
  readonly regionTable: number
  readonly idt: TableRegister
  readonly text: { readonly hpa: number; readonly labels: Readonly<Record<string, number>> }
  readonly cpus: readonly HostCpuLayout[]
  /** hpa of a gate, as the machine wants it registered. */
  gateAddress(name: HostGate): number
  /** Linear address of hpa in the direct map. */
  toVirtual(hpa: number): number
}

const TEXT = PAGE_SIZE
const BIG_PAGE = 4 * MIB
/** RAM the direct map reaches: up to where Linux's would end too. Pages beyond it serve launchers and Guests only. */
export const DIRECT_MAP_SIZE = 960 * MIB
const REGION_PDE = 1023
const FLAT_CODE = 0x00cf9b00
const FLAT_DATA = 0x00cf9300
const TSS_AVAILABLE = 0x8900
const INTERRUPT_GATE = 0x8e00
const KERNEL_PAGE = PAGE_PRESENT | PAGE_RW

/** Linear address of hpa in the direct map. */
export function toVirtual(hpa: number): number {
  if (!(hpa >= 0 && hpa < DIRECT_MAP_SIZE)) assert(false, `0x${hpa.toString(16)} is not in the direct map`)
  return DIRECT_MAP + hpa
}

/** Prepares RAM and resets the CPUs; they run as soon as the machine does. Calls nothing, registers nothing. */
export function bootHost(machine: HostMachine): HostLayout {
  const { phys } = machine
  const { bytes, labels } = hostText(DIRECT_MAP + TEXT)
  phys.writeBytes(TEXT, bytes)
  const firstFree = TEXT + Math.ceil(bytes.length / PAGE_SIZE) * PAGE_SIZE
  const allocator = new PageAllocator(phys, firstFree)
  const page = (): number => {
    const hpa = allocator.allocZeroedPage(KERNEL_OWNER)
    assert(hpa !== 0, 'no memory for the Host kernel: give the machine more RAM')
    return hpa
  }

  const regionTable = page()
  const pgd = page()
  mapAllRam(phys, pgd, DIRECT_MAP)
  phys.write32(pgd + REGION_PDE * 4, regionTable | KERNEL_PAGE)
  const bootPgd = page()
  mapAllRam(phys, bootPgd, 0)
  mapAllRam(phys, bootPgd, DIRECT_MAP)

  const idtPage = page()
  fillIdt(phys, idtPage, labels)
  const idt = { base: toVirtual(idtPage), limit: IDT_ENTRIES * 8 - 1 }

  const cpus = machine.cpus.map((cpu) =>
    bootCpu(phys, cpu, page, { pgd, bootPgd, idt, startup: labels['startup'] - DIRECT_MAP }),
  )
  for (const gate of HOST_GATES) assert(labels[gate] !== undefined, `the Host text has no ${gate}`)
  return {
    allocator,
    kernelOwner: KERNEL_OWNER,
    pgd,
    regionTable,
    idt,
    text: { hpa: TEXT, labels },
    cpus,
    gateAddress: (name) => labels[name] - DIRECT_MAP,
    toVirtual,
  }
}

/** Sets the region's PTE `index` (0-1023) for all CPUs and address spaces; hpa 0 with flags 0 clears it. Flushes no TLB: the caller
 *  changes only entries nobody has used since the last load of cr3. */
export function mapRegionPage(layout: HostLayout, mem: PhysMemory, index: number, hpa: number, flags: number): void {
  assert(index >= 0 && index < PTES_PER_PAGE, `the region has no page ${index}`)
  mem.write32(layout.regionTable + index * 4, hpa | flags)
}

/** Maps RAM, as far as the direct map goes, at linear address `at` by 4 MiB pages. */
function mapAllRam(mem: PhysMemory, pgd: number, at: number): void {
  for (let hpa = 0; hpa < Math.min(mem.size, DIRECT_MAP_SIZE); hpa += BIG_PAGE) {
    mem.write32(pgd + ((at + hpa) / BIG_PAGE) * 4, hpa | KERNEL_PAGE | PAGE_PSE)
  }
}

/** Every gate has LGUEST_CS, the one code selector that GDTs of Host and Guests share: the IDT serves while either is loaded. */
function fillIdt(mem: PhysMemory, idt: number, labels: Readonly<Record<string, number>>): void {
  for (let vector = 0; vector < IDT_ENTRIES; vector++) {
    const handler = labels[`stub_${vector}`]
    mem.write32(idt + vector * 8, (LGUEST_CS << 16) | (handler & 0xffff))
    mem.write32(idt + vector * 8 + 4, (handler & 0xffff0000) | INTERRUPT_GATE)
  }
}

interface Shared {
  readonly pgd: number
  readonly bootPgd: number
  readonly idt: TableRegister
  /** Physical. */
  readonly startup: number
}

function bootCpu(mem: PhysMemory, cpu: Cpu, page: () => number, shared: Shared): HostCpuLayout {
  const hpa = page()
  const area = HostCpuArea.at(mem, hpa)
  const { offset } = HostCpuArea
  const stackTop = toVirtual(page()) + PAGE_SIZE
  const gdt = { base: toVirtual(hpa + offset.gdt), limit: GDT_ENTRIES * 8 - 1 }
  const tss = hpa + offset.tss

  const setDescriptor = (index: number, a: number, b: number): void => {
    const descriptor = area.gdt.at(index)
    descriptor.a = a
    descriptor.b = b
  }
  for (const index of [GDT_ENTRY_LGUEST_CS, GDT_ENTRY_KERNEL_CS]) setDescriptor(index, 0xffff, FLAT_CODE)
  for (const index of [GDT_ENTRY_LGUEST_DS, GDT_ENTRY_KERNEL_DS]) setDescriptor(index, 0xffff, FLAT_DATA)
  const base = toVirtual(tss)
  setDescriptor(
    GDT_ENTRY_TSS,
    (base << 16) | (Tss.size - 1),
    (base & 0xff000000) | TSS_AVAILABLE | ((base >>> 16) & 0xff),
  )
  // No user code runs on the Host, so esp0 is never used; it is right all the same. No I/O bitmap: its base is behind the limit.
  area.tss.ss0 = KERNEL_DS
  area.tss.esp0 = stackTop
  area.tss.io_bitmap_base = Tss.size

  const { boot } = area
  boot.boot_cr3 = shared.bootPgd
  boot.host_cr3 = shared.pgd
  boot.stack_top = stackTop
  boot.gdt_desc.base = gdt.base
  boot.gdt_desc.limit = gdt.limit
  boot.idt_desc.base = shared.idt.base
  boot.idt_desc.limit = shared.idt.limit
  area.switcher.selector = LGUEST_CS

  cpu.reset(shared.startup)
  cpu.r[EBX] = hpa + offset.boot
  cpu.r[ESP] = 0
  return { gdt, tss, stackTop, percpu: page(), farPointer: hpa + offset.switcher }
}

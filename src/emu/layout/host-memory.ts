/**
 * What the low half of the Host kernel keeps in RAM: the page allocator's map and owner table, address spaces, and the page each
 * CPU's descriptor tables live in. Tasks and files have layouts of their own.
 */
import { struct, type ViewOf } from '../bits/struct.ts'
import { Desc, DescPtr, GDT_ENTRIES, Tss } from './lguest-pages.ts'

/** One a page of RAM, indexed by page frame number: the mem_map. */
export const Page = struct(
  'page',
  {
    /** Who is charged for the page; 0 when it is free. */
    owner: 'u16',
    __pad: 'u16',
    /** References; 0 when it is free. A Guest can map one page in each of its four million shadow entries. */
    count: 'u32',
    /** Page frame number of the next free page, 0 at the end; of no meaning while the page is in use. */
    next: 'u32',
  },
  12,
)

export const OWNER_NAME_BYTES = 56

/** Somebody who can be charged for pages: a Guest, a launcher, the kernel. Number 0 is nobody. */
export const PageOwner = struct(
  'page_owner',
  {
    pages: 'u32',
    in_use: 'u16',
    /** Next entry not in use, 0 at the end. */
    next: 'u16',
    /** ASCII, padded with zeros. */
    name: ['u8', OWNER_NAME_BYTES],
  },
  64,
)

/** The allocator's own variables. Page numbers are frame numbers. */
export const PageAllocatorState = struct('page_allocator', {
  lock: 'u32',
  free_head: 'u32',
  free_pages: 'u32',
  owner_free_head: 'u32',
  /** First page that is not part of the allocator or of what was there before it. */
  first_page: 'u32',
})

/** An address space. Has a page of its own, so that it can be charged. */
export const Mm = struct('mm', {
  lock: 'u32',
  references: 'u32',
  /** hpa of the page directory. */
  pgd: 'u32',
  owner: 'u32',
  /** User pages present. */
  pages: 'u32',
  /** MM_MAGIC: a stale number is found out at once. */
  magic: 'u32',
})
export const MM_MAGIC = 0x6d6d6d6d

/** What the startup text needs to know, found through ebx. */
export const BootBlock = struct('boot_block', {
  /** Page directory that has RAM both where it is and at the direct map, for the jump from one to the other. */
  boot_cr3: 'u32',
  host_cr3: 'u32',
  /** Linear. */
  stack_top: 'u32',
  gdt_desc: DescPtr,
  idt_desc: DescPtr,
})

/** Operand of a far call through memory. */
export const FarPointer = struct('far_pointer', { offset: 'u32', selector: 'u16' }, 6)

/** A CPU's page of the Host kernel: its descriptor tables and the operands of its few far instructions. */
export const HostCpuArea = struct('host_cpu_area', {
  gdt: [Desc, GDT_ENTRIES],
  tss: Tss,
  boot: BootBlock,
  /** Where run_guest_once calls to. */
  switcher: FarPointer,
})
export type HostCpuAreaView = ViewOf<typeof HostCpuArea>

/**
 * lguest_pages: the two pages each host CPU has for switching Guests (lg.h; reference 1.3 and 2.2).
 *
 *   page 0, writable   | slack (stack for a stray NMI) ........ | lguest_regs (72 bytes) |
 *   page 1, read-only  | host_cr3, descriptors, host_sp | guest TSS | guest IDT | guest GDT |
 *                        to the Guest
 *
 * In the Guest's address space the Guest's own regs page is mapped over page 0: that is the seed patch.
 */
import { struct, type ViewOf } from '../bits/struct.ts'
import { LguestRegs } from './lguest-regs.ts'
import { PAGE_SIZE } from './x86.ts'

/** A 6-byte operand of LGDT/LIDT/SGDT/SIDT. */
export const DescPtr = struct('desc_ptr', { limit: 'u16', base: 'u32' }, 6)

/** The i386 task state segment (manual 3A, figure 7-2); lguest uses esp0, ss0, esp1, ss1 and the I/O map base. */
export const Tss = struct(
  'tss',
  {
    back_link: 'u32',
    esp0: 'u32',
    ss0: 'u32',
    esp1: 'u32',
    ss1: 'u32',
    esp2: 'u32',
    ss2: 'u32',
    cr3: 'u32',
    eip: 'u32',
    eflags: 'u32',
    eax: 'u32',
    ecx: 'u32',
    edx: 'u32',
    ebx: 'u32',
    esp: 'u32',
    ebp: 'u32',
    esi: 'u32',
    edi: 'u32',
    es: 'u32',
    cs: 'u32',
    ss: 'u32',
    ds: 'u32',
    fs: 'u32',
    gs: 'u32',
    ldt: 'u32',
    trace: 'u16',
    io_bitmap_base: 'u16',
  },
  104,
)

/** An 8-byte descriptor or gate as two words, the way lguest handles them. */
export const Desc = struct('desc_struct', { a: 'u32', b: 'u32' }, 8)

export const IDT_ENTRIES = 256
export const GDT_ENTRIES = 32

/** Page 1 of the pair: read-only to the Guest. */
export const LguestRoState = struct(
  'lguest_ro_state',
  {
    host_cr3: 'u32',
    host_idt_desc: DescPtr,
    host_gdt_desc: DescPtr,
    host_sp: 'u32',
    guest_idt_desc: DescPtr,
    guest_gdt_desc: DescPtr,
    guest_tss: Tss,
    guest_idt: [Desc, IDT_ENTRIES],
    guest_gdt: [Desc, GDT_ENTRIES],
  },
  0x988,
)
export type LguestRoStateView = ViewOf<typeof LguestRoState>

/** Where lguest_regs starts inside page 0. */
export const LGUEST_PAGES_regs = PAGE_SIZE - LguestRegs.size
/** Where lguest_ro_state starts inside the pair. */
export const LGUEST_PAGES_state = PAGE_SIZE
/** Size of the pair. */
export const LGUEST_PAGES_size = 2 * PAGE_SIZE

/** GDT entries that belong to the Host (reference 2.3, 6.1). */
export const GDT_ENTRY_TLS_MIN = 6
export const GDT_ENTRY_TLS_ENTRIES = 3
export const GDT_ENTRY_LGUEST_CS = 10
export const GDT_ENTRY_LGUEST_DS = 11
export const GDT_ENTRY_KERNEL_CS = 12
export const GDT_ENTRY_KERNEL_DS = 13
export const GDT_ENTRY_TSS = 16
export const GDT_ENTRY_DOUBLEFAULT_TSS = 31
export const LGUEST_CS = GDT_ENTRY_LGUEST_CS * 8
export const LGUEST_DS = GDT_ENTRY_LGUEST_DS * 8
export const TSS_SELECTOR = GDT_ENTRY_TSS * 8

/** The Guest kernel runs at ring 1. */
export const GUEST_PL = 1
export const GUEST_KERNEL_CS = GDT_ENTRY_KERNEL_CS * 8 + GUEST_PL
export const GUEST_KERNEL_DS = GDT_ENTRY_KERNEL_DS * 8 + GUEST_PL

/** The trap a Guest makes hypercalls by. */
export const LGUEST_TRAP_ENTRY = 0x1f
export const SYSCALL_VECTOR = 0x80

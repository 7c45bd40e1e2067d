/*
 * entry.S - the first instructions of pup.
 *
 * The launcher put us at guest-physical 1 MiB and the host starts us there in "linear mode": there is no page table
 * of ours yet and virtual addresses are guest-physical ones. We are linked at PAGE_OFFSET + 1 MiB, so until the jump
 * at the end each symbol needs PAGE_OFFSET taken off. Registers: cs 0x61, ds es ss 0x69, esi the boot parameters
 * (address 0), esp useless. There is no IDT: a trap here ends us.
 *
 *    virtual                          guest-physical
 *    0xC0400000 +----------------+
 *               |  first 4 MiB   | --------> 0x400000 +------------+
 *    0xC0000000 +----------------+     +--->          | pup 0x100000|
 *                     ...              |           0  +------------+
 *    0x00400000 +----------------+     |
 *               |  first 4 MiB   | ----+   the same page table twice, so that the
 *             0 +----------------+         instructions after NEW_PGTABLE still exist
 */
#include "lguest.h"

#define PHYS(symbol) ((symbol) - PAGE_OFFSET)

        .section .text.entry, "ax"
        .globl  _start
_start:
        cld
        movl    $PHYS(__bss_start), %edi        /* the host gives zeroed memory; a restart might not */
        movl    $__bss_words, %ecx
        xorl    %eax, %eax
        rep stosl

        movl    $LHCALL_LGUEST_INIT, %eax
        movl    $PHYS(lguest_data), %ebx
        int     $LGUEST_TRAP_ENTRY

        movl    $PHYS(boot_ptes), %edi          /* 1024 entries: present, writable, accessed, dirty */
        movl    $0x63, %eax
1:      stosl
        addl    $0x1000, %eax
        cmpl    $0x400063, %eax
        jne     1b

        movl    $PHYS(boot_ptes) + 0x63, %eax
        movl    %eax, PHYS(swapper_pg_dir)
        movl    %eax, PHYS(swapper_pg_dir) + (PAGE_OFFSET >> 22) * 4

        movl    $LHCALL_NEW_PGTABLE, %eax       /* out of linear mode */
        movl    $PHYS(swapper_pg_dir), %ebx
        int     $LGUEST_TRAP_ENTRY

        movl    $boot_stack_top, %esp           /* from here on addresses are as linked */
        xorl    %ebp, %ebp
        movl    $kernel_main, %eax
        jmp     *%eax

        .section .noinit, "aw", @nobits
        .balign 4096
boot_ptes:
        .skip   4096
        .globl  boot_stack
boot_stack:
        .skip   4096
boot_stack_top:

/*
 * lguest.h - everything pup and its hypervisor agree on (lguest as of Linux 3.x): hypercall numbers, the page they
 * share, segment selectors. The part above __ASSEMBLER__ is read by the assembly files too.
 *
 * pup runs in ring 1 and its programs in ring 3. Nothing it may not do is emulated: where a kernel on bare metal would
 * load CR3 or write an IDT entry, pup asks, by `int $0x1f` with the number in eax and arguments in ebx, ecx, edx, esi.
 */
#ifndef PUP_LGUEST_H
#define PUP_LGUEST_H

#define LHCALL_FLUSH_ASYNC 0      /* does nothing, but queued calls are done first */
#define LHCALL_LGUEST_INIT 1      /* (gpa of lguest_data): the first call */
#define LHCALL_SHUTDOWN 2         /* (gpa of text, LGUEST_SHUTDOWN_) */
#define LHCALL_NEW_PGTABLE 4      /* (gpa of page directory): "load CR3" */
#define LHCALL_FLUSH_TLB 5        /* (0: user part of the current table; 1: all of all tables) */
#define LHCALL_LOAD_IDT_ENTRY 6   /* (vector, low word, high word) */
#define LHCALL_SET_STACK 7        /* (ss1, esp1, pages): the stack for traps from ring 3 */
#define LHCALL_TS 8               /* (0 or 8): "CR0.TS", trap 7 at the next FPU instruction */
#define LHCALL_SET_CLOCKEVENT 9   /* (nanoseconds): interrupt 0 after that time; 0 cancels */
#define LHCALL_HALT 10            /* sleep until an interrupt */
#define LHCALL_SET_PTE 14         /* (gpa of page directory, gva, entry) */
#define LHCALL_SET_PGD 15         /* (gpa of page directory, index) */
#define LHCALL_LOAD_TLS 16        /* (gpa of three descriptors): GDT entries 6 to 8 */
#define LHCALL_NOTIFY 17          /* (gpa): look at this ring, device or string */
#define LHCALL_LOAD_GDT_ENTRY 18  /* (index, low, high) */
#define LHCALL_SEND_INTERRUPTS 19 /* does nothing, but interrupts are delivered on return */

#define LGUEST_SHUTDOWN_POWEROFF 1
#define LGUEST_SHUTDOWN_RESTART 2

#define LGUEST_TRAP_ENTRY 0x1f
#define LGUEST_IRQS 32
#define FIRST_IRQ_VECTOR 32 /* interrupt n is vector 32 + n; 0 is the timer */
#define SYSCALL_VECTOR 0x80

/* Selectors: GDT index * 8 + ring. */
#define KERNEL_CS 0x61
#define KERNEL_DS 0x69
#define USER_CS 0x73
#define USER_DS 0x7b
#define GDT_TLS_FIRST 6
#define GDT_USER_CS 14
#define GDT_USER_DS 15

#define PAGE_OFFSET 0xc0000000
#define LHCALL_RING_SIZE 64
#define LGUEST_DATA_irq_enabled 0
#define EFLAGS_IF 0x200

#ifndef __ASSEMBLER__
#include "../include/types.h"

struct hcall_args {
    u32 arg0, arg1, arg2, arg3, arg4;
};

/*
 * The shared page. We set noirq_start to syscall_vec before LGUEST_INIT; the host sets reserve_mem, tsc_khz and time.
 *
 *      0 irq_enabled      EFLAGS.IF as pup sees it; the real one is always set
 *      4 blocked_interrupts
 *      8 cr2              of the page fault being reported
 *     12 time
 *     20 irq_pending      set by the host when it found interrupts off
 *     24 hcall_status[64] 0xff: slot free; 0: queued
 *     88 hcalls[64]       the queue of hypercalls that can wait
 *   1368 reserve_mem ...
 */
struct lguest_data {
    volatile u32 irq_enabled;
    volatile u32 blocked_interrupts;
    volatile u32 cr2;
    volatile s32 tv_sec, tv_nsec;
    volatile s32 irq_pending;
    volatile u8 hcall_status[LHCALL_RING_SIZE];
    struct hcall_args hcalls[LHCALL_RING_SIZE];
    u32 reserve_mem;
    u32 tsc_khz;
    u32 noirq_start, noirq_end;
    u32 kernel_address;
    u32 syscall_vec;
};
_Static_assert(sizeof(struct lguest_data) == 1392, "lguest_data is 1392 bytes in this version of the interface");

extern struct lguest_data lguest_data;

/* hypercall.c */
void hcall(u32 number, u32 a, u32 b, u32 c);
void hcall_lazy(u32 number, u32 a, u32 b, u32 c);
void lazy_begin(void);
void lazy_end(void);
bool lazy_active(void);
extern u32 hcalls_direct[], hcalls_queued[];

#endif
#endif

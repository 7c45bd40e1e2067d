/*
 * hypercall.c - asking the hypervisor: now, or in a moment.
 *
 * A hypercall is a world switch there and one back. Inside lazy_begin()/lazy_end() calls go into a ring in lguest_data
 * instead, and the host does them all, in order, before the next call that is made directly:
 *
 *      hcall_status   ff ff 00 00 00 ff ...      slots 2 to 4 are queued
 *      hcalls               ^        ^
 *              the host's cursor   ours: both go round and never jump
 *
 * What a lazy section asks for must not be needed before its end: new page table entries nobody touches yet, the
 * stack and TLS of the process that runs next.
 */
#include "pup.h"

extern char noirq_start[], noirq_end[];

struct lguest_data lguest_data aligned(2048) = {
    .hcall_status = {[0 ... LHCALL_RING_SIZE - 1] = 0xff},
    .blocked_interrupts = ~0u, /* each driver opens its own line */
    .noirq_start = (u32)noirq_start,
    .noirq_end = (u32)noirq_end,
    .kernel_address = PAGE_OFFSET,
    .syscall_vec = SYSCALL_VECTOR,
};

u32 hcalls_direct[HV_CALLS], hcalls_queued[HV_CALLS];
static u32 lazy, waiting, cursor;

void hcall(u32 number, u32 a, u32 b, u32 c)
{
    if (number < HV_CALLS)
        hcalls_direct[number]++;
    waiting = 0; /* whatever is queued goes first */
    /* eax is an output because a hypervisor may return something there; this version does not. */
    asm volatile("int %1" : "+a"(number) : "i"(LGUEST_TRAP_ENTRY), "b"(a), "c"(b), "d"(c) : "memory");
}

/* Interrupts stay off while a slot is filled: a handler that queued a call of its own would take the same slot. */
void hcall_lazy(u32 number, u32 a, u32 b, u32 c)
{
    if (!lazy) {
        hcall(number, a, b, c);
        return;
    }
    u32 flags = irq_save();
    if (lguest_data.hcall_status[cursor] != 0xff) {
        hcall(number, a, b, c); /* the ring is full: this call empties it */
    } else {
        lguest_data.hcalls[cursor] = (struct hcall_args){number, a, b, c, 0};
        asm volatile("" : : : "memory"); /* arguments before status */
        lguest_data.hcall_status[cursor] = 0;
        cursor = (cursor + 1) % LHCALL_RING_SIZE;
        hcalls_queued[number]++;
        waiting++;
    }
    irq_restore(flags);
}

/* Nothing may sleep in a lazy section: whoever ran instead would queue what it needs now. sched.c asks. */
bool lazy_active(void)
{
    return lazy > 0;
}

void lazy_begin(void)
{
    lazy++;
}

void lazy_end(void)
{
    assert(lazy > 0);
    if (--lazy == 0 && waiting)
        hcall(LHCALL_FLUSH_ASYNC, 0, 0, 0);
}

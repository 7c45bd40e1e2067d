/*
 * irq.c - virtual interrupts. The hypervisor has 32 of them: 0 is our timer, the others belong to virtqueues. Whether
 * one may come is up to two words in lguest_data: a bit for each in blocked_interrupts, and irq_enabled for all.
 * Writing those costs nothing, it is only memory; the price is that the host cannot see us turn interrupts on. If it
 * wanted to deliver one and could not, it leaves a note in irq_pending, and then we have to call it. We take the note
 * off ourselves before the call; if one still has to wait then, the host writes it again.
 */
#include "pup.h"

static struct {
    irq_handler handler;
    void *argument;
} lines[LGUEST_IRQS];
u32 irq_counts[LGUEST_IRQS];

void irq_request(int irq, irq_handler handler, void *argument)
{
    assert(irq >= 0 && irq < LGUEST_IRQS);
    lines[irq].argument = argument;
    lines[irq].handler = handler;
    lguest_data.blocked_interrupts &= ~(1u << irq);
}

/* Called by trap.c with interrupts off: the gates are interrupt gates. */
void irq_dispatch(int irq)
{
    if (irq >= LGUEST_IRQS || !lines[irq].handler) {
        printk("unexpected interrupt %d\n", irq);
        return;
    }
    irq_counts[irq]++;
    lines[irq].handler(lines[irq].argument);
}

void irq_enable(void)
{
    asm volatile("" : : : "memory");
    lguest_data.irq_enabled = EFLAGS_IF;
    asm volatile("" : : : "memory"); /* the flag before the question, or one arriving in between is forgotten */
    if (lguest_data.irq_pending) {
        lguest_data.irq_pending = 0;
        hcall(LHCALL_SEND_INTERRUPTS, 0, 0, 0);
    }
}

/*
 * sched.c - who runs: a first-come queue of ready processes, and the switch to the next one.
 *
 * A switch asks the host for up to five things, all through the ring and done with one world switch:
 *
 *      NEW_PGTABLE   the new process's address space
 *      SET_STACK     its kernel stack, for traps from ring 3
 *      LOAD_TLS      its three thread-local segments, if they differ
 *      TS            the FPU holds somebody else's registers: trap 7 at first use
 *      FLUSH_ASYNC   now
 *
 * The idle process never leaves the kernel. It needs none of that and changes none of it, so a process that only
 * waited for the disk continues without any hypercall.
 */
#include "proc.h"

struct proc *current = &procs[0];
bool need_resched;
u32 count_switches, runnable; /* in the queue, so without the one that runs */

static struct proc *ready_first, *ready_last;
static struct proc *loaded; /* whose address space, stack and TLS the host has */
static u64 switched_at;

/* Interrupts are off. */
void make_runnable(struct proc *p)
{
    p->state = RUNNABLE;
    p->chan = NULL;
    p->next_ready = NULL;
    if (ready_first)
        ready_last->next_ready = p;
    else
        ready_first = p;
    ready_last = p;
    runnable++;
    if (current != &procs[0])
        time_need_tick();
}

static struct proc *take_ready(void)
{
    struct proc *p = ready_first;
    if (!p)
        return &procs[0];
    ready_first = p->next_ready;
    runnable--;
    return p;
}

/* Makes `next` the process whose address space, stack, TLS and FPU rights the CPU has. */
void proc_load(struct proc *next)
{
    lazy_begin();
    pgdir_load(next->mm.pgdir);
    hcall_lazy(LHCALL_SET_STACK, KERNEL_DS, (u32)next->kstack + PAGE_SIZE, 1);
    tls_switch(next);
    fpu_switch(next);
    lazy_end();
    loaded = next;
}

/* Gives the CPU to the next process. Interrupts are off, and are off again when the caller gets the CPU back. */
void schedule(void)
{
    struct proc *previous = current, *next = take_ready();
    assert(!lazy_active());
    need_resched = false;
    next->state = RUNNING;
    if (next == previous)
        return;
    if (*previous->kstack != STACK_MAGIC)
        panic("the kernel stack of process %d overflowed", previous->pid);

    u64 now = uptime_ns();
    previous->cpu_ns += now - switched_at;
    switched_at = now;
    current = next;
    if (next != &procs[0]) {
        count_switches++;
        next->switches++;
        if (next != loaded && next->mm.pgdir)
            proc_load(next);
        if (runnable)
            time_need_tick();
    }
    swtch(&previous->context, next->context);
}

/* Lets the others go first. Interrupts are off. */
void yield(void)
{
    need_resched = false;
    if (!runnable)
        return;
    make_runnable(current);
    schedule();
}

/*
 * Sleeps until wakeup(chan). Interrupts must be off since the caller found that it has to wait, or the wakeup could
 * come before the sleep. A wakeup only says "look again": callers sleep in a loop around their condition.
 */
void sleep(void *chan, bool interruptible)
{
    assert(current != &procs[0]);
    current->chan = chan;
    current->interruptible = interruptible;
    current->state = SLEEPING;
    schedule();
}

void wakeup(void *chan)
{
    u32 flags = irq_save();
    for (struct proc *p = procs + 1; p < procs + NPROC; p++)
        if (p->state == SLEEPING && p->chan == chan)
            make_runnable(p);
    irq_restore(flags);
}

/* Before p's address space goes away: nobody may think that the host still has it. */
void proc_forget(struct proc *p)
{
    if (loaded == p)
        loaded = NULL;
    fpu_forget(p);
}

u64 proc_cpu_ns(struct proc *p)
{
    return p->cpu_ns + (p == current ? uptime_ns() - switched_at : 0);
}

/*
 * Process 0. HALT returns after an interrupt was delivered; it turns interrupts on by itself, so nothing is lost
 * between the look at the queue and the sleep.
 */
void noreturn idle(void)
{
    for (;;) {
        lguest_data.irq_enabled = 0;
        if (runnable)
            schedule();
        else
            hcall(LHCALL_HALT, 0, 0, 0);
        irq_enable();
    }
}

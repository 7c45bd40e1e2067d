/*
 * fpu.c - one FPU, many processes, lazily. Saving and loading 108 bytes at each switch would be wasted on the many
 * processes that never use it. So the registers stay where they are; a process that is not their owner gets the TS
 * bit, and its first FPU instruction traps (7, "device not available"). Then, and only then, they change hands.
 * The TS bit belongs to the hypervisor: we ask with a hypercall, and not again for what it is already.
 */
#include "proc.h"

static struct proc *owner;
static u32 ts; /* what the host was told last; it starts with TS off */
u32 fpu_switches;

static void set_ts(u32 value)
{
    if (value != ts)
        hcall_lazy(LHCALL_TS, value, 0, 0);
    ts = value;
}

static void save(struct proc *p)
{
    asm volatile("fnsave %0" : "=m"(p->fpu)); /* and resets the FPU */
}

/* Part of a process switch. */
void fpu_switch(struct proc *next)
{
    set_ts(owner == next ? 0 : 8);
}

/* Trap 7: the current process wants the FPU. */
void fpu_trap(void)
{
    set_ts(0);
    fpu_switches++;
    if (owner && owner != current)
        save(owner);
    if (current->fpu_used && owner != current)
        asm volatile("fnclex; frstor %0" : : "m"(current->fpu)); /* a dead owner may have left an exception waiting */
    else if (!current->fpu_used)
        asm volatile("fninit");
    current->fpu_used = true;
    owner = current;
}

/* The child begins with the parent's registers. */
void fpu_fork(struct proc *child)
{
    child->fpu_used = current->fpu_used;
    if (owner == current) {
        save(current);
        owner = NULL;
        set_ts(8);
    }
    if (child->fpu_used)
        memcpy(child->fpu, current->fpu, sizeof(child->fpu));
}

/* The process is gone, or begins a new program. */
void fpu_forget(struct proc *p)
{
    p->fpu_used = false;
    if (owner == p) {
        owner = NULL;
        set_ts(8);
    }
}

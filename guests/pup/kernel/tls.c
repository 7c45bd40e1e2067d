/*
 * tls.c - thread-local storage: three GDT entries, 6 to 8, that follow the process. A program loads their selector
 * (0x33, 0x3b, 0x43) into gs and finds its data at gs:0.
 *
 *      descriptor   31      24 23    20 19     16 15       8 7       0
 *      high word    | base   | G D 0 A | limit   | P DPL S T | base    |
 *      low word     | base 15..0                 | limit 15..0         |
 *
 * A segment register must never name an entry that is not there: the host reloads all of them on its way back to us,
 * and the fault would be in the Switcher, which ends the guest. So the selectors leave the registers first.
 */
#include "proc.h"

static void load(struct proc *p)
{
    hcall_lazy(LHCALL_LOAD_TLS, __pa(p->tls), 0, 0);
}

/* Part of a process switch: compares first, since hardly any program has TLS. */
void tls_switch(struct proc *next)
{
    static struct desc now[3];
    asm volatile("movl %0, %%fs; movl %0, %%gs" : : "r"(0));
    if (memcmp(now, next->tls, sizeof(now)) == 0)
        return;
    memcpy(now, next->tls, sizeof(now));
    load(next);
}

static void leave(u32 *reg, u32 selector, u32 instead)
{
    if ((*reg & 0xfffc) == (selector & 0xfffc))
        *reg = instead;
}

int sys_settls(u32 slot, u32 base, u32 limit)
{
    if (slot > 2)
        return -EINVAL;
    u32 selector = (GDT_TLS_FIRST + slot) * 8 | 3;
    struct trapframe *tf = current->tf;
    if (limit == 0) {
        leave(&tf->fs, selector, 0);
        leave(&tf->gs, selector, 0);
        leave(&tf->ds, selector, USER_DS);
        leave(&tf->es, selector, USER_DS);
        leave(&tf->ss, selector, USER_DS);
        current->tls[slot] = (struct desc){0, 0};
    } else {
        u32 last = limit - 1, granular = 0;
        if (last > 0xfffff) { /* in pages */
            last >>= 12;
            granular = 0x00800000;
        }
        current->tls[slot] = (struct desc){
            .low = base << 16 | (last & 0xffff),
            .high = (base & 0xff000000) | granular | 0x0040f300 | (last & 0xf0000) | ((base >> 16) & 0xff),
        };
    }
    tls_switch(current);
    return (int)selector;
}

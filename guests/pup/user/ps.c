/*
 * ps.c - the processes.
 */
#include "libpup.h"

int main(void)
{
    static struct proc_info procs[64];
    int n = sys(SYS_getprocs, procs, countof(procs));
    if (n < 0)
        fail("ps", n);
    printf("  PID  PPID S  MEMORY  SWITCHES      CPU ms  NAME\n");
    for (int i = 0; i < n; i++) {
        struct proc_info *p = &procs[i];
        u64 us = p->cpu_ns / 1000;
        printf("%5d %5d %c %5u K %9u %7u.%03u  %s\n", p->pid, p->parent, p->state, p->pages * 4, p->switches,
               (u32)(us / 1000), (u32)(us % 1000), p->name);
    }
    return 0;
}

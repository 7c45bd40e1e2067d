/*
 * uptime.c - how long pup has been up, and what it did in that time.
 */
#include "libpup.h"

int main(void)
{
    struct sysinfo s;
    sys(SYS_sysinfo, &s);
    u32 ms = (u32)(s.uptime_ns / 1000000), idle = (u32)(s.idle_ns / 1000000);
    printf("up %u.%03u s, idle %u.%03u s, %u processes, %u runnable\n", ms / 1000, ms % 1000, idle / 1000, idle % 1000,
           s.processes, s.runnable);
    printf("%u process switches, %u system calls, %u page faults, %u of them copy-on-write\n", s.switches, s.syscalls,
           s.page_faults, s.cow_faults);
    return 0;
}

/*
 * time.c - what time it is, and when to wake up.
 *
 * The clock is the time-stamp counter, scaled with a multiplication and a shift:
 *
 *      ns = ticks * 10^6 / tsc_khz  =  ticks * scale >> 22        scale = 10^6 * 2^22 / tsc_khz
 *
 * If the host says its counter is no good (tsc_khz is 0) there is lguest_data.time, which the host renews whenever it
 * delivers an interrupt.
 *
 * There is no periodic tick. The timer is set for the first sleeper, or 10 ms ahead while a process waits for the CPU
 * that another one has; a machine with nothing to do, or with one thing to do, is left in peace.
 */
#include "proc.h"

#define SHIFT 22
#define SLICE (10 * MS)

static u32 scale;
static u64 tsc_start, wall_start, armed;

static u64 host_time(void)
{
    s32 sec, nsec;
    do { /* the host writes both; read until nothing changed in between */
        sec = lguest_data.tv_sec;
        nsec = lguest_data.tv_nsec;
    } while (sec != lguest_data.tv_sec);
    return (u64)sec * 1000000000 + (u32)nsec;
}

u64 uptime_ns(void)
{
    if (!scale)
        return host_time() - wall_start;
    u64 ticks = rdtsc() - tsc_start;
    return (((u64)(u32)ticks * scale) >> SHIFT) + (((ticks >> 32) * scale) << (32 - SHIFT));
}

u64 wall_ns(void)
{
    return wall_start + uptime_ns();
}

/* Sets the timer for `deadline`, unless it goes off before that anyway. */
static void arm(u64 deadline)
{
    if (armed && armed <= deadline)
        return;
    u64 now = uptime_ns();
    u64 delay = deadline > now ? deadline - now : 0;
    if (delay < 1000)
        delay = 1000;
    if (delay > 0xffffffff)
        delay = 0xffffffff; /* the hypercall takes 32 bits; timer_irq sets it again */
    armed = deadline;
    hcall(LHCALL_SET_CLOCKEVENT, (u32)delay, 0, 0);
}

static void timer_irq(void *argument unused)
{
    u64 now = uptime_ns(), next = 0;
    armed = 0;
    for (struct proc *p = procs; p < procs + NPROC; p++) {
        if (!p->wake_at)
            continue;
        if (p->wake_at <= now) {
            p->wake_at = 0;
            if (p->state == SLEEPING)
                make_runnable(p);
        } else if (!next || p->wake_at < next) {
            next = p->wake_at;
        }
    }
    if (next)
        arm(next);
    if (runnable) {
        need_resched = true;
        arm(now + SLICE);
    }
}

/* Somebody waits for the CPU: its present owner has one slice. */
void time_need_tick(void)
{
    if (!armed || armed > uptime_ns() + SLICE)
        arm(uptime_ns() + SLICE);
}

/* Sleeps until `deadline` (uptime) or a signal. Interrupts are off. */
void sleep_until(u64 deadline)
{
    current->wake_at = deadline;
    arm(deadline);
    sleep(&current->wake_at, true);
    current->wake_at = 0;
}

void time_init(void)
{
    if (lguest_data.tsc_khz)
        scale = (u32)((1000000ull << SHIFT) / lguest_data.tsc_khz);
    tsc_start = rdtsc();
    wall_start = host_time();
    irq_request(0, timer_irq, NULL);
}

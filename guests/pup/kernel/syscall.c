/*
 * syscall.c - the system call table, and the calls that belong to no other file. Arguments arrive in registers as
 * plain numbers; each call checks its own pointers with vm_range or vm_string.
 */
#include "proc.h"

u32 count_syscalls;

static int sys_exit(u32 status)
{
    proc_exit((int)status & 0xff);
}

static int sys_exec(u32 path, u32 argv)
{
    char name[64];
    int n = vm_string(path, name, sizeof(name));
    return n < 0 ? n : exec(name, (char *const *)argv, true);
}

static int sys_getpid(void)
{
    return current->pid;
}

static int sys_sleep(u32 milliseconds)
{
    u64 deadline = uptime_ns() + (u64)milliseconds * MS;
    int error = 0;
    u32 flags = irq_save();
    while (uptime_ns() < deadline && !(error = signal_waiting() ? -EINTR : 0))
        sleep_until(deadline);
    irq_restore(flags);
    return error;
}

static int sys_yield(void)
{
    u32 flags = irq_save();
    yield();
    irq_restore(flags);
    return 0;
}

static int sys_gettime(u32 clock, u32 to)
{
    if (clock > TIME_CPU)
        return -EINVAL;
    if (!vm_range(to, sizeof(u64), true))
        return -EFAULT;
    *(u64 *)to = clock == TIME_BOOT ? uptime_ns() : clock == TIME_WALL ? wall_ns() : proc_cpu_ns(current);
    return 0;
}

static int sys_sysinfo(u32 to)
{
    if (!vm_range(to, sizeof(struct sysinfo), true))
        return -EFAULT;
    struct sysinfo *info = (struct sysinfo *)to;
    memset(info, 0, sizeof(*info));
    for (struct proc *p = procs + 1; p < procs + NPROC; p++)
        info->processes += p->state != UNUSED;
    info->page_size = PAGE_SIZE;
    info->total_pages = pages_total;
    info->free_pages = pages_free;
    info->kernel_pages = pages_kernel;
    info->cache_pages = cache_pages;
    info->runnable = runnable + 1;
    info->uptime_ns = uptime_ns();
    info->idle_ns = procs[0].cpu_ns;
    info->wall_ns = wall_ns();
    info->switches = count_switches;
    info->page_faults = count_page_faults;
    info->cow_faults = count_cow_faults;
    info->syscalls = count_syscalls;
    fs_usage(&info->disk_blocks, &info->disk_free_blocks, &info->disk_is_ram);
    strlcpy(info->command_line, command_line, sizeof(info->command_line));
    return 0;
}

static int sys_reboot(u32 kind)
{
    fs_sync();
    printk(kind == REBOOT_RESTART ? "restarting\n" : "power down\n");
    shutdown((int)kind);
}

/* Calls take the arguments they need; the ones they do not name are in registers nobody reads. */
static int (*const table[SYS_count])(u32, u32, u32, u32) = {
#define CALL(name) [SYS_##name] = (int (*)(u32, u32, u32, u32))(void (*)(void))sys_##name
    CALL(exit),    CALL(fork),    CALL(read),    CALL(write),     CALL(open),     CALL(close),   CALL(wait),
    CALL(exec),    CALL(unlink),  CALL(pipe),    CALL(dup2),      CALL(kill),     CALL(getpid),  CALL(sleep),
    CALL(yield),   CALL(gettime), CALL(brk),     CALL(signal),    CALL(sigreturn), CALL(readdir), CALL(lseek),
    CALL(getprocs), CALL(sysinfo), CALL(setpgid), CALL(ttyctl),   CALL(settls),   CALL(reboot),  CALL(crash),
    CALL(hvinfo),  CALL(hypercall),
#undef CALL
    [SYS_sync] = (int (*)(u32, u32, u32, u32))(void (*)(void))fs_sync,
    [SYS_mkfs] = (int (*)(u32, u32, u32, u32))(void (*)(void))fs_format,
};

void syscall(struct trapframe *tf)
{
    count_syscalls++;
    if (tf->eax >= SYS_count || !table[tf->eax])
        tf->eax = (u32)-ENOSYS;
    else
        tf->eax = (u32)table[tf->eax](tf->ebx, tf->ecx, tf->edx, tf->esi);
}

/*
 * abi.h - what a pup program and the pup kernel agree on: system call numbers, flags, errors, structures.
 *
 * A system call is `int $0x80` with the number in eax and up to four arguments in ebx, ecx, edx, esi. The result comes
 * back in eax; values from -1 to -4095 are errors (the negative of an E number below). Under lguest vector 0x80 is a
 * "direct trap": the CPU goes from ring 3 to ring 1 by itself and the hypervisor never hears of it.
 */
#ifndef PUP_ABI_H
#define PUP_ABI_H

#include "types.h"

#define SYS_exit 1      /* (status) */
#define SYS_fork 2      /* () -> pid, 0 in the child */
#define SYS_read 3      /* (fd, buffer, n) -> bytes, 0 at the end */
#define SYS_write 4     /* (fd, buffer, n) -> bytes */
#define SYS_open 5      /* (path, O_ flags) -> fd */
#define SYS_close 6     /* (fd) */
#define SYS_wait 7      /* (pid or -1, struct wait_result *, WAIT_ flags) -> pid */
#define SYS_exec 8      /* (path, argv) */
#define SYS_unlink 9    /* (path) */
#define SYS_pipe 10     /* (int fd[2]) */
#define SYS_dup2 11     /* (fd, new fd) */
#define SYS_kill 12     /* (pid, or -process group, signal) */
#define SYS_getpid 13   /* () */
#define SYS_sleep 14    /* (milliseconds) */
#define SYS_yield 15    /* () */
#define SYS_gettime 16  /* (TIME_ clock, u64 *nanoseconds) */
#define SYS_brk 17      /* (new end or 0) -> end of the heap */
#define SYS_signal 18   /* (signal, handler, restorer) -> old handler */
#define SYS_sigreturn 19
#define SYS_readdir 20  /* (directory path, index, struct dirent *) -> 1, 0 past the end */
#define SYS_lseek 21    /* (fd, offset, SEEK_) -> offset */
#define SYS_getprocs 22 /* (struct proc_info *, n) -> processes */
#define SYS_sysinfo 23  /* (struct sysinfo *) */
#define SYS_setpgid 24  /* (pid, group) */
#define SYS_ttyctl 25   /* (TTY_ request, value) */
#define SYS_settls 26   /* (slot 0..2, base, limit in bytes; limit 0 removes) -> selector */
#define SYS_reboot 27   /* (REBOOT_) */
#define SYS_crash 28    /* (CRASH_): misbehave on purpose */
#define SYS_hvinfo 29   /* (struct hv_info *) */
#define SYS_hypercall 30 /* (n): n null hypercalls, for bench */
#define SYS_sync 31     /* () */
#define SYS_mkfs 32     /* () format and mount the first disk */
#define SYS_count 33

#define EPERM 1
#define ENOENT 2
#define ESRCH 3
#define EINTR 4
#define EIO 5
#define E2BIG 7
#define ENOEXEC 8
#define EBADF 9
#define ECHILD 10
#define EAGAIN 11
#define ENOMEM 12
#define EFAULT 14
#define EBUSY 16
#define ENODEV 19
#define ENOTDIR 20
#define EISDIR 21
#define EINVAL 22
#define EMFILE 24
#define EFBIG 27
#define ENOSPC 28
#define EROFS 30
#define EPIPE 32
#define ENAMETOOLONG 36
#define ENOSYS 38

#define O_RDONLY 0
#define O_WRONLY 1
#define O_RDWR 2
#define O_ACCESS 3
#define O_CREATE 0x40
#define O_TRUNC 0x200
#define O_APPEND 0x400

#define SEEK_SET 0
#define SEEK_CUR 1
#define SEEK_END 2

#define WAIT_NOHANG 1

#define TIME_BOOT 0 /* since boot */
#define TIME_WALL 1 /* since 1970 */
#define TIME_CPU 2  /* used by this process */

#define TTY_COOKED 0 /* lines, edited by the kernel, ^C makes SIGINT */
#define TTY_RAW 1    /* every byte as it comes */
#define TTY_FOREGROUND 2 /* value: the process group that ^C goes to and that may read */

#define REBOOT_POWEROFF 1
#define REBOOT_RESTART 2

#define SIGINT 2
#define SIGILL 4
#define SIGTRAP 5
#define SIGFPE 8
#define SIGKILL 9
#define SIGUSR1 10
#define SIGSEGV 11
#define SIGPIPE 13
#define SIGTERM 15
#define NSIG 32
#define SIG_DFL 0
#define SIG_IGN 1

struct wait_result {
    int status;  /* exit status, or 128 + the signal that ended the process */
    int padding;
    u64 cpu_ns;  /* processor time the process used */
};

#define DT_FILE 1
#define DT_DEVICE 2
#define DT_DIRECTORY 3

struct dirent {
    u32 size;
    u32 type; /* DT_ */
    char name[32];
};

struct proc_info {
    int pid, parent;
    char state; /* R running or runnable, S sleeping, Z zombie */
    char name[19];
    u32 pages;  /* of memory in use */
    u32 switches;
    u64 cpu_ns;
};

struct sysinfo {
    u32 page_size;
    u32 total_pages, free_pages, kernel_pages, cache_pages;
    u32 processes, runnable;
    u64 uptime_ns, idle_ns, wall_ns;
    u32 switches, page_faults, cow_faults, syscalls;
    u32 disk_blocks, disk_free_blocks; /* of the mounted file system, 4 KiB each */
    u32 disk_is_ram;
    char command_line[256];
};

/* What pup knows of its hypervisor; `hv` prints it. */
#define HV_CALLS 20
struct hv_info {
    u32 reserve_mem, tsc_khz, kernel_address, lguest_data_gpa;
    u32 kernel_cs;
    u32 ram_bytes;
    u32 hypercalls[HV_CALLS]; /* direct, by number */
    u32 queued[HV_CALLS];     /* through the ring */
    u32 irqs[32];
    u32 irq_blocked;
    u32 noirq_start, noirq_end;
    u32 traps_reflected, fpu_switches;
    u32 ndevices;
    struct { u32 type, queues, irq, gpa; } devices[8];
};

/* crash KIND, in the order of the names in user/crash.c */
enum {
    CRASH_HYPERCALL, CRASH_GDT, CRASH_GDT_LIVE, CRASH_PAGETABLE, CRASH_STACK, CRASH_BUG, CRASH_SWITCHER_JUMP,
    CRASH_SWITCHER_WRITE, CRASH_VIRTQUEUE, CRASH_POINTER, CRASH_IDT, CRASH_INIT_TWICE, CRASH_COUNT
};

#endif

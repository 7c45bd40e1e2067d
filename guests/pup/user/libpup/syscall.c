/*
 * syscall.c - system calls that flush our output first, or make a friendlier function of a plain one.
 */
#include "libpup.h"

extern void sigreturn(void);

void noreturn exit(int status)
{
    flush();
    for (;;)
        sys(SYS_exit, status);
}

int fork(void)
{
    flush(); /* or both would print it */
    return sys(SYS_fork);
}

int read(int fd, void *to, size_t n)
{
    flush(); /* a prompt should be seen before the answer is expected */
    return sys(SYS_read, fd, to, n);
}

int exec(const char *path, char *const argv[])
{
    flush();
    return sys(SYS_exec, path, argv);
}

int wait(int pid, struct wait_result *result, int flags)
{
    flush();
    return sys(SYS_wait, pid, result, flags);
}

int sleep_ms(u32 milliseconds)
{
    flush();
    return sys(SYS_sleep, milliseconds);
}

u64 now_ns(void)
{
    u64 ns = 0;
    sys(SYS_gettime, TIME_BOOT, &ns);
    return ns;
}

u64 wall_time_ns(void)
{
    u64 ns = 0;
    sys(SYS_gettime, TIME_WALL, &ns);
    return ns;
}

/* Makes the heap longer; returns where the new part begins, or NULL. The kernel counts in pages, we in bytes. */
void *sbrk(int bytes)
{
    static u32 end;
    if (!end)
        end = (u32)sys(SYS_brk, 0);
    u32 start = end;
    int result = sys(SYS_brk, end + (u32)bytes);
    if (result < 0 && result > -4096)
        return NULL;
    end += (u32)bytes;
    return (void *)start;
}

int on_signal(int signal, void (*handler)(int))
{
    return sys(SYS_signal, signal, handler, sigreturn);
}

/* Starts a program as a child; returns its pid. */
int spawn(const char *path, char *const argv[])
{
    int pid = fork();
    if (pid == 0) {
        int error = exec(path, argv);
        complain("%s: %s\n", path, error_text(error));
        exit(127);
    }
    return pid;
}

/*
 * selftest.c - checks pup from ring 3: selftest [WORD]. One line for each check, "ok NAME" or "FAIL NAME: what", and a
 * sum at the end; the exit status is the number of failures. Each check runs in a process of its own.
 */
#include "libpup.h"

#define PAGE 4096u

static void check(bool condition, const char *what)
{
    if (!condition) {
        printf("    %s\n", what);
        exit(1);
    }
}

/* The exit status of a child that runs `f`; 128 + signal if one ended it. */
static int status_of(void (*f)(void))
{
    struct wait_result result = {.status = -1};
    int pid = fork();
    if (pid == 0) {
        f();
        exit(0);
    }
    wait(pid, &result, 0);
    return result.status;
}

static void cow(void)
{
    static u32 memory[4 * 1024];
    for (u32 i = 0; i < countof(memory); i += 1024)
        memory[i] = i;
    int pid = fork();
    for (u32 i = 0; i < countof(memory); i += 1024)
        memory[i] += pid == 0 ? 1 : 2;
    yield();
    for (u32 i = 0; i < countof(memory); i += 1024)
        check(memory[i] == i + (pid == 0 ? 1 : 2), "parent and child see each other's writes");
    if (pid == 0)
        exit(0);
    struct wait_result result;
    check(wait(pid, &result, 0) == pid && result.status == 0, "the child failed");
}

/* The kernel writes to a shared page too, when it fills a buffer. */
static void cow_by_kernel(void)
{
    static char buffer[16] = "before";
    int fds[2], pid;
    check(pipe(fds) == 0, "no pipe");
    write(fds[1], "after", 6);
    if ((pid = fork()) == 0) {
        read(fds[0], buffer, 6);
        exit(strcmp(buffer, "after"));
    }
    struct wait_result result;
    wait(pid, &result, 0);
    check(result.status == 0, "read into a shared page did not arrive");
    check(strcmp(buffer, "before") == 0, "read into a shared page changed the parent's");
}

static void pipes(void)
{
    static u8 data[1000];
    int fds[2];
    check(pipe(fds) == 0, "no pipe");
    int pid = fork();
    if (pid == 0) {
        close(fds[0]);
        for (u32 i = 0; i < 20; i++) {
            memset(data, (int)i, sizeof(data));
            if (write(fds[1], data, sizeof(data)) != sizeof(data))
                exit(1);
        }
        exit(0);
    }
    close(fds[1]);
    u32 total = 0;
    for (int n; (n = read(fds[0], data, 777)) > 0;)
        for (int i = 0; i < n; i++, total++)
            check(data[i] == total / 1000, "bytes came in another order");
    check(total == 20000, "bytes were lost");
    struct wait_result result;
    check(wait(pid, &result, 0) == pid && result.status == 0, "the writer failed");
    check(pipe(fds) == 0, "no second pipe");
    close(fds[0]);
    on_signal(SIGPIPE, (void (*)(int))SIG_IGN);
    check(write(fds[1], "x", 1) == -EPIPE, "a pipe without reader took data");
}

/* Each process keeps a different number in the FPU while the others run. */
static void fpu(void)
{
    int pids[3];
    for (u32 i = 0; i < 3; i++) {
        if ((pids[i] = fork()) == 0) {
            double mine = (double)(i + 1) / 3.0, sum = 0;
            s32 result;
            asm volatile("fldl %0" : : "m"(mine));
            for (int round = 0; round < 20; round++)
                yield();
            asm volatile("fstpl %0" : "=m"(sum));
            asm volatile("fldl %1; fmull %2; fistpl %0" : "=m"(result) : "m"(sum), "m"((double){3000.0}));
            exit(result == (s32)(i + 1) * 1000 ? 0 : 1);
        }
    }
    for (u32 i = 0; i < 3; i++) {
        struct wait_result result;
        wait(pids[i], &result, 0);
        check(result.status == 0, "the FPU's registers belonged to another process");
    }
}

static void fpu_fork(void)
{
    s32 value = 1234, after = 0;
    asm volatile("fildl %0" : : "m"(value));
    int pid = fork();
    asm volatile("fistpl %0" : "=m"(after));
    if (pid == 0)
        exit(after == 1234 ? 0 : 1);
    struct wait_result result;
    wait(pid, &result, 0);
    check(after == 1234, "the parent lost its FPU registers");
    check(result.status == 0, "the child did not inherit the FPU registers");
}

static u32 tls_read(void)
{
    u32 value;
    asm volatile("movl %%gs:0, %0" : "=r"(value));
    return value;
}

static void tls(void)
{
    static u32 area[3];
    for (u32 i = 0; i < 3; i++) {
        if (fork() != 0)
            continue;
        area[i] = 100 + i;
        int selector = sys(SYS_settls, 0, &area[i], 4);
        check(selector == 0x33, "another selector than 0x33");
        asm volatile("movl %0, %%gs" : : "r"(selector));
        for (int round = 0; round < 20; round++) {
            yield();
            check(tls_read() == 100 + i, "gs shows another process's data");
        }
        check(sys(SYS_settls, 0, 0, 0) == 0x33, "cannot remove the segment");
        exit(0);
    }
    for (u32 i = 0; i < 3; i++) {
        struct wait_result result;
        wait(-1, &result, 0);
        check(result.status == 0, "a child failed");
    }
}

static void tls_limit_child(void)
{
    static u32 area;
    int selector = sys(SYS_settls, 1, &area, 4);
    asm volatile("movl %0, %%gs; movl %%gs:4, %%eax" : : "r"(selector) : "eax");
}

static void tls_limit(void)
{
    check(status_of(tls_limit_child) == 128 + SIGSEGV, "the limit of a TLS segment was not kept");
}

static volatile int got;

static void handler(int signal)
{
    got = signal;
}

static void signals(void)
{
    on_signal(SIGUSR1, handler);
    kill(getpid(), SIGUSR1);
    check(got == SIGUSR1, "the handler was not called");
    int pid = fork();
    if (pid == 0)
        for (;;)
            ;
    sleep_ms(5);
    kill(pid, SIGTERM);
    struct wait_result result;
    check(wait(pid, &result, 0) == pid && result.status == 128 + SIGTERM, "a busy process did not end");
    got = 0;
    if ((pid = fork()) == 0) {
        while (!got) /* on_signal was called by our parent: the child has the handler from the start */
            ;
        exit(sleep_ms(600000) == -EINTR ? 7 : 1);
    }
    int ended;
    do { /* one signal ends the loop, one the sleep; nobody knows how far the child has come */
        kill(pid, SIGUSR1);
        sleep_ms(5);
    } while ((ended = wait(pid, &result, WAIT_NOHANG)) == 0);
    check(ended == pid && result.status == 7, "a signal did not interrupt sleep");
    check(kill(pid, SIGTERM) == -ESRCH, "a dead process took a signal");
}

static void null_pointer(void)
{
    *(volatile int *)0 = 1;
}

static void ignored(void)
{
    on_signal(SIGSEGV, (void (*)(int))SIG_IGN);
    null_pointer();
}

static void kernel_pointer(void)
{
    *(volatile int *)0xc0100000 = 1;
}

static void switcher_pointer(void)
{
    (void)*(volatile int *)0xffc00000;
}

static void text_write(void)
{
    *(volatile u8 *)text_write = 0;
}

static void divide(void)
{
    asm volatile("divl %2" : : "a"(1), "d"(0), "r"(0)); /* in C a compiler may work out the quotient otherwise */
}

static void undefined(void)
{
    asm volatile("ud2");
}

static void privileged(void)
{
    asm volatile("hlt");
}

static void hypercall(void)
{
    asm volatile("int $0x1f" : : "a"(2), "b"(0), "c"(1));
}

static void port(void)
{
    asm volatile("outb %b0, $0x80" : : "a"(0));
}

static void faults(void)
{
    check(status_of(null_pointer) == 128 + SIGSEGV, "a NULL pointer went through");
    check(status_of(ignored) == 128 + SIGSEGV, "a fault was ignored");
    check(status_of(kernel_pointer) == 128 + SIGSEGV, "kernel memory is writable");
    check(status_of(switcher_pointer) == 128 + SIGSEGV, "the Switcher is readable");
    check(status_of(text_write) == 128 + SIGSEGV, "program text is writable");
    check(status_of(divide) == 128 + SIGFPE, "no divide error");
    check(status_of(undefined) == 128 + SIGILL, "no invalid opcode");
    check(status_of(privileged) == 128 + SIGSEGV, "hlt in ring 3");
    check(status_of(hypercall) == 128 + SIGSEGV, "a hypercall from ring 3");
    int s = status_of(port);
    check(s == 0 || s == 128 + SIGSEGV, "port output ended in something else"); /* lguest skips it */
}

static void bad_arguments(void)
{
    check(write(1, 0xc0100000, 4) == -EFAULT, "the kernel printed its own memory");
    check(write(1, 0xfffffff0, 0x20) == -EFAULT, "an address that wraps");
    check(sys(SYS_read, 77, 0, 0) == -EBADF, "descriptor 77");
    check(open("/nothing", O_RDONLY) == -ENOENT, "a file that is not there");
    check(sys(999) == -ENOSYS, "system call 999");
    check(exec("/dev/null", NULL) < 0, "executed /dev/null");
    check(sys(SYS_pipe, 0x08048000) == -EFAULT, "the kernel wrote to program text");
}

static void heap(void)
{
    char *p[50];
    for (u32 i = 0; i < 50; i++) {
        check((p[i] = malloc(i * 37 + 1)) != NULL, "no memory");
        memset(p[i], (int)i, i * 37 + 1);
    }
    for (u32 i = 0; i < 50; i += 2)
        free(p[i]);
    for (u32 i = 1; i < 50; i += 2)
        for (u32 k = 0; k < i * 37 + 1; k++)
            check(p[i][k] == (char)i, "blocks overlap");
    u8 *grown = sbrk(64 * PAGE);
    check(grown && grown[63 * PAGE] == 0, "new memory is not zero");
    grown[63 * PAGE] = 1;
    sbrk(-(int)(64 * PAGE));
    grown = sbrk(64 * PAGE);
    check(grown[63 * PAGE] == 0, "memory given back came again with its contents");
}

static u32 deep(u32 n)
{
    volatile u8 frame[1000];
    frame[0] = (u8)n;
    return n ? deep(n - 1) + frame[0] - (u8)n : 0;
}

static void endless(void)
{
    deep(~0u);
}

static void stack(void)
{
    check(deep(500) == 0, "a deep stack"); /* half a MiB */
    check(status_of(endless) == 128 + SIGSEGV, "a stack without end");
}

static void files(void)
{
    static u8 data[3000], back[3000];
    const char *name = "/selftest.tmp";
    unlink(name);
    int fd = open(name, O_RDWR | O_CREATE);
    check(fd >= 0, "cannot create a file");
    for (u32 i = 0; i < 40; i++) { /* 120 KB: into the indirect block */
        memset(data, (int)i, sizeof(data));
        check(write(fd, data, sizeof(data)) == sizeof(data), "a short write");
    }
    lseek(fd, 0, SEEK_SET);
    for (u32 i = 0; i < 40; i++) {
        memset(data, (int)i, sizeof(data));
        check(read(fd, back, sizeof(back)) == sizeof(back), "a short read");
        check(memcmp(data, back, sizeof(data)) == 0, "other bytes came back");
    }
    check(read(fd, back, 1) == 0, "the file does not end");
    close(fd);
    fd = open(name, O_RDWR);
    check(lseek(fd, 0, SEEK_END) == 120000, "another size");
    check(unlink(name) == 0, "cannot remove the file");
    int other = open("/selftest.2", O_RDWR | O_CREATE);
    check(other >= 0 && write(other, "other", 5) == 5, "cannot write a second file");
    check(lseek(fd, 60000, SEEK_SET) == 60000 && read(fd, back, 1) == 1 && back[0] == 20,
          "an open file went with its name");
    close(fd);
    check(lseek(other, 0, SEEK_SET) == 0 && read(other, back, 9) == 5 && memcmp(back, "other", 5) == 0,
          "the new file took the place of an open one");
    close(other);
    unlink("/selftest.2");
    check(open(name, O_RDONLY) == -ENOENT, "the file is still there");
}

static void exec_from_disk(void)
{
    static char data[4096];
    int n, from = open("/bin/echo", O_RDONLY), to = open("/selftest.echo", O_WRONLY | O_CREATE | O_TRUNC), fds[2];
    check(from >= 0 && to >= 0, "cannot copy /bin/echo");
    while ((n = read(from, data, sizeof(data))) > 0)
        check(write(to, data, n) == n, "the disk is full");
    close(from);
    close(to);
    pipe(fds);
    int pid = fork();
    if (pid == 0) {
        char *argv[] = {"echo", "from", "disk", NULL};
        dup2(fds[1], 1);
        exit(exec("/selftest.echo", argv));
    }
    close(fds[1]);
    n = read(fds[0], data, sizeof(data));
    wait(pid, NULL, 0);
    unlink("/selftest.echo");
    check(n == 10 && memcmp(data, "from disk\n", 10) == 0, "it printed something else");
}

static void time_passes(void)
{
    u64 start = now_ns();
    check(sleep_ms(30) == 0, "sleep failed");
    u64 slept = now_ns() - start;
    check(slept >= 30000000, "woke too early"); /* how late depends on what else the host has to do */
}

/* Two busy processes and one that wants to be finished: it must get its turns. */
static void preemption(void)
{
    int pids[2];
    for (int i = 0; i < 2; i++)
        if ((pids[i] = fork()) == 0)
            for (;;)
                ;
    for (volatile u32 i = 0; i < 300000; i++)
        ;
    for (int i = 0; i < 2; i++) {
        kill(pids[i], SIGKILL);
        struct wait_result result;
        check(wait(pids[i], &result, 0) == pids[i] && result.status == 128 + SIGKILL, "a busy process lives on");
        check(result.cpu_ns > 0, "a busy process never ran");
    }
}

static void touch_all(void)
{
    for (volatile u8 *page; (page = sbrk(PAGE)); )
        *page = 1;
}

static void memory_ends(void)
{
    struct sysinfo s;
    sys(SYS_sysinfo, &s);
    if (s.total_pages <= 4096) /* it takes long to fill more */
        check(status_of(touch_all) == 128 + SIGKILL, "memory without end");
}

static void memory_returns(void)
{
    struct sysinfo before, after;
    for (int i = 0; i < 3; i++) { /* caches and tables first take what they keep */
        sys(SYS_sysinfo, &before);
        for (int k = 0; k < 3; k++) {
            int pid = fork();
            if (pid == 0) {
                char *argv[] = {"sleep", "0", NULL};
                exit(exec("/bin/sleep", argv));
            }
            wait(pid, NULL, 0);
        }
        sys(SYS_sysinfo, &after);
    }
    check(before.free_pages == after.free_pages, "pages were lost");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
        {"copy-on-write", cow}, {"copy-on-write by the kernel", cow_by_kernel}, {"pipes", pipes}, {"fpu", fpu},
        {"fpu over fork", fpu_fork}, {"tls", tls}, {"tls limit", tls_limit}, {"signals", signals}, {"faults", faults},
        {"bad arguments", bad_arguments}, {"heap", heap}, {"stack", stack}, {"files", files},
        {"exec from disk", exec_from_disk}, {"time", time_passes}, {"preemption", preemption},
        {"memory ends", memory_ends}, {"memory comes back", memory_returns},
    };
    int good = 0, bad = 0;
    printf("(for \"faults\" and \"memory ends\" programs misbehave, and the kernel says so)\n");
    for (u32 i = 0; i < countof(tests); i++) {
        if (argc > 1 && !strstr(tests[i].name, argv[1]))
            continue;
        int status = status_of(tests[i].run);
        if (status == 0)
            printf("ok %s\n", tests[i].name);
        else
            printf("FAIL %s: status %d\n", tests[i].name, status);
        flush();
        if (status == 0)
            good++;
        else
            bad++;
    }
    printf("selftest: %d ok, %d failed\n", good, bad);
    return bad;
}

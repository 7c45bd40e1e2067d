/*
 * bench.c - what things cost, in nanoseconds each: bench [NAME]. The counts are small, because the CPU below may be
 * emulated; a test runs until it took 20 ms or its count is reached.
 */
#include "libpup.h"

#define PAGE 4096u
#define BUDGET 20000000u /* ns */

static const char *only;

static void report(const char *name, u64 ns, u32 count)
{
    printf("%s: %u ns\n", name, (u32)(ns / (count ? count : 1)));
    flush();
}

static bool wanted(const char *name)
{
    return !only || strstr(name, only);
}

static void null_hypercall(void)
{
    u32 count = 0;
    u64 start = now_ns();
    do {
        sys(SYS_hypercall, 100);
        count += 100;
    } while (now_ns() - start < BUDGET);
    report("null hypercall", now_ns() - start, count);
}

static void null_system_call(void)
{
    u32 count = 0;
    u64 start = now_ns();
    do {
        for (int i = 0; i < 100; i++)
            getpid();
        count += 100;
    } while (now_ns() - start < BUDGET);
    report("null system call", now_ns() - start, count);
}

/* Two processes throw a byte to and fro; each round is two switches. */
static void context_switch(void)
{
    int there[2], back[2];
    char c = 0;
    pipe(there);
    pipe(back);
    int pid = fork();
    if (pid == 0) {
        close(there[1]);
        close(back[0]);
        while (read(there[0], &c, 1) == 1)
            write(back[1], &c, 1);
        exit(0);
    }
    close(there[0]);
    close(back[1]);
    u32 rounds = 0;
    u64 start = now_ns();
    do {
        for (int i = 0; i < 10; i++) {
            write(there[1], &c, 1);
            read(back[0], &c, 1);
        }
        rounds += 10;
    } while (now_ns() - start < BUDGET);
    report("context switch through a pipe", now_ns() - start, 2 * rounds);
    close(there[1]);
    close(back[0]);
    wait(pid, NULL, 0);
}

/* The child writes to pages it shares with its parent. */
static void copy_on_write(void)
{
    enum { PAGES = 64 };
    volatile u8 *memory = sbrk(PAGES * PAGE);
    for (u32 i = 0; i < PAGES; i++)
        memory[i * PAGE] = 1;
    int pid = fork();
    if (pid == 0) {
        u64 start = now_ns();
        for (u32 i = 0; i < PAGES; i++)
            memory[i * PAGE] = 2;
        report("copy-on-write fault", now_ns() - start, PAGES);
        exit(0);
    }
    wait(pid, NULL, 0);
    sbrk(-(int)(PAGES * PAGE));
}

static void fork_exit_wait(void)
{
    u32 count = 0;
    u64 start = now_ns();
    do {
        int pid = fork();
        if (pid == 0)
            exit(0);
        wait(pid, NULL, 0);
        count++;
    } while (now_ns() - start < BUDGET);
    report("fork, exit, wait", now_ns() - start, count);
}

static void fork_exec(void)
{
    char *argv[] = {"bench", "exec-only", NULL};
    u32 count = 0;
    u64 start = now_ns();
    do {
        wait(spawn("/bin/bench", argv), NULL, 0);
        count++;
    } while (now_ns() - start < BUDGET);
    report("fork, exec, exit, wait", now_ns() - start, count);
}

/* exec alone: a process that executes itself so many times. */
static void exec_only(void)
{
    char count[12] = "32", *argv[] = {"bench", "exec-again", count, NULL};
    u64 start = now_ns();
    wait(spawn("/bin/bench", argv), NULL, 0);
    report("exec", now_ns() - start, 32);
}

static int exec_again(char *count)
{
    int left = number(count, "bench") - 1;
    char text[12], *argv[] = {"bench", "exec-again", text, NULL};
    snprintf(text, sizeof(text), "%d", left);
    return left > 0 ? exec("/bin/bench", argv) : 0;
}

/* One word in each page of 64 MB, or of as much as there is: the first time, and again. */
static void walk(void)
{
    struct sysinfo s;
    sys(SYS_sysinfo, &s);
    u32 pages = 64 * 1024 * 1024 / PAGE, fit = s.free_pages - s.free_pages / 8;
    char first[64], again[64];
    const char *note = "";
    if (pages > fit) {
        pages = fit;
        note = "walk (64 MB do not fit)";
    } else {
        note = "walk";
    }
    snprintf(first, sizeof(first), "%u MB %s, first touch of a page", pages / 256, note);
    snprintf(again, sizeof(again), "%u MB %s, a page touched again", pages / 256, note);
    volatile u8 *memory = sbrk((int)(pages * PAGE));
    if (!memory)
        return;
    u64 start = now_ns();
    for (u32 i = 0; i < pages; i++)
        memory[i * PAGE] = 1;
    report(first, now_ns() - start, pages);
    start = now_ns();
    for (u32 i = 0; i < pages; i++)
        memory[i * PAGE]++;
    report(again, now_ns() - start, pages);
    sbrk(-(int)(pages * PAGE));
}

static void block_read(void)
{
    static u8 block[4096];
    int fd = open("/dev/vda", O_RDONLY);
    if (fd < 0) {
        printf("block read: no disk\n");
        return;
    }
    u32 count = 0;
    u64 start = now_ns();
    do {
        if (read(fd, block, sizeof(block)) < (int)sizeof(block))
            lseek(fd, 0, SEEK_SET);
        count++;
    } while (now_ns() - start < BUDGET);
    report("block read", now_ns() - start, count);
    close(fd);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
        {"null hypercall", null_hypercall}, {"null system call", null_system_call},
        {"context switch", context_switch}, {"copy-on-write", copy_on_write},
        {"fork, exit, wait", fork_exit_wait}, {"fork, exec, exit, wait", fork_exec},
        {"exec", exec_only}, {"walk", walk},
        {"block read", block_read},
    };
    if (argc > 2 && strcmp(argv[1], "exec-again") == 0)
        return exec_again(argv[2]);
    if (argc > 1 && strcmp(argv[1], "exec-only") == 0)
        return 0;
    only = argc > 1 ? argv[1] : NULL;
    u32 run = 0;
    for (u32 i = 0; i < countof(tests); i++) {
        if (wanted(tests[i].name)) {
            tests[i].run();
            run++;
        }
    }
    if (!run) {
        complain("bench: nothing has '%s' in its name. There are:\n", only);
        for (u32 i = 0; i < countof(tests); i++)
            complain("    %s\n", tests[i].name);
    }
    return run ? 0 : 2;
}

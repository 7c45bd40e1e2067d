/*
 * fork-test.c - many processes at once: fork-test [N]. Each child writes its number into memory it shares,
 * copy-on-write, with all others, lets the others run, and looks whether it is still there.
 */
#include "libpup.h"

#define PAGES 8

static u32 memory[PAGES * 1024];

static int child(u32 id)
{
    for (u32 round = 0; round < 10; round++) {
        for (u32 page = 0; page < PAGES; page++)
            memory[page * 1024] = id * 1000 + round;
        yield();
        for (u32 page = 0; page < PAGES; page++)
            if (memory[page * 1024] != id * 1000 + round)
                return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    int n = argc > 1 ? number(argv[1], "fork-test") : 20;
    int started = 0, good = 0;
    if (n < 1)
        usage("fork-test [N], N processes");
    for (u32 page = 0; page < PAGES; page++)
        memory[page * 1024] = page;
    u64 start = now_ns();
    for (; started < n; started++) {
        int pid = fork();
        if (pid == 0)
            exit(child((u32)started + 1));
        if (pid < 0) {
            complain("fork-test: child %d: %s\n", started + 1, error_text(pid));
            break;
        }
    }
    for (int i = 0; i < started; i++) {
        struct wait_result result;
        if (wait(-1, &result, 0) > 0 && result.status == 0)
            good++;
    }
    u32 us = (u32)((now_ns() - start) / 1000);
    bool mine = true;
    for (u32 page = 0; page < PAGES; page++)
        mine = mine && memory[page * 1024] == page;
    printf("fork-test: %d children, %d good, memory of the parent %s, %u us\n", started, good,
           mine ? "intact" : "BROKEN", us);
    return good == n && mine ? 0 : 1;
}

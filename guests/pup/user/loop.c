/*
 * loop.c - keeps the processor busy: loop [SECONDS]. The number of rounds shows how much of it this process got.
 */
#include "libpup.h"

static volatile bool stop;

static void on_interrupt(int signal unused)
{
    stop = true;
}

int main(int argc, char **argv)
{
    u64 start = now_ns();
    u64 end = argc > 1 ? start + (u64)(u32)number(argv[1], "loop") * 1000000000 : ~0ull;
    u32 rounds = 0;
    on_signal(SIGINT, on_interrupt);
    on_signal(SIGTERM, on_interrupt);
    while (!stop && now_ns() < end) {
        for (volatile u32 i = 0; i < 1000; i++)
            ;
        rounds++;
    }
    printf("[%d] %u rounds in %u ms\n", getpid(), rounds, (u32)((now_ns() - start) / 1000000));
    return stop ? 130 : 0;
}

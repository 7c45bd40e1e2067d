/*
 * time.c - how long a command takes: time COMMAND ARGUMENTS...
 */
#include "libpup.h"

static void show(const char *what, u64 ns)
{
    u64 us = ns / 1000;
    printf("%s %u.%06u s\n", what, (u32)(us / 1000000), (u32)(us % 1000000));
}

int main(int argc, char **argv)
{
    if (argc < 2)
        usage("time COMMAND...");
    char path[64];
    snprintf(path, sizeof(path), "%s%s", strchr(argv[1], '/') ? "" : "/bin/", argv[1]);
    u64 start = now_ns();
    int pid = spawn(path, argv + 1);
    struct wait_result result;
    if (pid < 0)
        fail("time", pid);
    while (wait(pid, &result, 0) == -EINTR)
        ;
    show("real", now_ns() - start);
    show("cpu ", result.cpu_ns);
    return result.status;
}

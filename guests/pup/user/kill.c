/*
 * kill.c - sends a signal: kill [-SIGNAL] PID... A negative PID is a process group.
 */
#include "libpup.h"

static const struct {
    const char *name;
    int signal;
} names[] = {{"INT", SIGINT}, {"KILL", SIGKILL}, {"SEGV", SIGSEGV}, {"TERM", SIGTERM}, {"USR1", SIGUSR1}};

static int signal_number(const char *text)
{
    for (u32 i = 0; i < countof(names); i++)
        if (strcmp(names[i].name, text) == 0)
            return names[i].signal;
    return number(text, "kill");
}

int main(int argc, char **argv)
{
    int signal = SIGTERM, first = 1, status = 0;
    if (argc > 2 && argv[1][0] == '-') {
        signal = signal_number(argv[1] + 1);
        first = 2;
    }
    if (first >= argc)
        usage("kill [-SIGNAL] PID..., where SIGNAL is INT, KILL, SEGV, TERM, USR1 or a number");
    for (int i = first; i < argc; i++) {
        int error = kill(number(argv[i], "kill"), signal);
        if (error < 0) {
            complain("kill: %s: %s\n", argv[i], error_text(error));
            status = 1;
        }
    }
    return status;
}

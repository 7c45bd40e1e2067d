/*
 * init.c - the first process. With an argument (the kernel's run= option) it has the shell execute that and switches
 * the machine off; otherwise it keeps a shell running. Orphans end up as its children, and it collects them.
 *
 * ^C goes to the shell's process group and never to ours: init must not end.
 */
#include "libpup.h"

static int run(char *const argv[])
{
    struct wait_result result = {.status = 1};
    int shell = fork();
    if (shell == 0) {
        setpgid(0, 0);
        ttyctl(TTY_FOREGROUND, getpid());
        fail("/bin/sh", exec("/bin/sh", argv));
    }
    if (shell < 0)
        fail("init: fork", shell);
    for (;;) {
        int pid = wait(-1, &result, 0);
        if (pid == shell || pid == -ECHILD)
            return result.status;
    }
}

int main(int argc, char **argv)
{
    open("/dev/console", O_RDWR);
    dup2(0, 1);
    dup2(0, 2);
    if (argc > 1) {
        char *command[] = {"sh", "-c", argv[1], NULL};
        run(command);
        sys(SYS_reboot, REBOOT_POWEROFF);
    }
    puts("\nThis is pup, a small kernel under lguest. Type help for a list of commands.\n");
    for (;;) {
        char *interactive[] = {"sh", "-i", NULL};
        run(interactive);
    }
}

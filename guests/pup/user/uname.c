/*
 * uname.c - who we are.
 */
#include "libpup.h"

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "-a") == 0) {
        struct sysinfo s;
        sys(SYS_sysinfo, &s);
        printf("pup 1.0 i686 lguest, %u KiB of memory, started with: %s\n", s.total_pages * 4, s.command_line);
    } else {
        printf("pup\n");
    }
    return 0;
}

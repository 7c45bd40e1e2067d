/*
 * sleep.c - does nothing for so many milliseconds: sleep MILLISECONDS.
 */
#include "libpup.h"

int main(int argc, char **argv)
{
    int n = argc > 1 ? number(argv[1], "sleep") : -1;
    if (n < 0)
        usage("sleep MILLISECONDS");
    return sleep_ms((u32)n) < 0;
}

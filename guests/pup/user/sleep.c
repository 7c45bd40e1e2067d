/*
 * sleep.c - does nothing for so many milliseconds.
 */
#include "libpup.h"

int main(int argc, char **argv)
{
    return argc > 1 && sleep_ms((u32)number(argv[1], "sleep")) < 0;
}

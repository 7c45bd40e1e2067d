/*
 * sync.c - returns when everything written is on the disk.
 */
#include "libpup.h"

int main(void)
{
    int error = sys(SYS_sync);
    if (error < 0)
        fail("sync", error);
    return 0;
}

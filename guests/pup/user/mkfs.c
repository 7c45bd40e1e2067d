/*
 * mkfs.c - an empty file system on the first disk. All that was on it is lost.
 */
#include "libpup.h"

int main(void)
{
    int error = sys(SYS_mkfs);
    if (error < 0)
        fail(error == -EBUSY ? "mkfs: a file" : "mkfs", error);
    printf("done\n");
    return 0;
}

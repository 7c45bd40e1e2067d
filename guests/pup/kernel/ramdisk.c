/*
 * ramdisk.c - one MiB of disk in memory, for a pup that was given none: everything works, and nothing stays. Pages come
 * with the first write; what was never written reads as zeros.
 */
#include "pup.h"

static u8 *blocks[RAMDISK_BLOCKS];

int ramdisk_rw(u32 block, void *page, bool write)
{
    if (block >= RAMDISK_BLOCKS)
        return -EIO;
    if (write && !blocks[block] && !(blocks[block] = palloc()))
        return -ENOSPC;
    if (write)
        memcpy(blocks[block], page, PAGE_SIZE);
    else if (blocks[block])
        memcpy(page, blocks[block], PAGE_SIZE);
    else
        memset(page, 0, PAGE_SIZE);
    return 0;
}

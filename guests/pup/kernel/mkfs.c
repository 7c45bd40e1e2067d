/*
 * mkfs.c - writes an empty file system: the super block, a bitmap with the blocks before the data taken (they are few
 * enough to be in its first block), the inodes, all free but the root. Goes through disk_rw, past the cache.
 */
#include "fs.h"

int mkfs(u32 blocks)
{
    u8 *page = palloc();
    if (!page)
        return -ENOMEM;
    u32 inodes = blocks / 16;
    inodes = inodes < 64 ? 64 : inodes > 2048 ? 2048 : inodes;
    u32 bits = DISK_BLOCK * 8;
    struct super layout = {.magic = FS_MAGIC, .blocks = blocks, .inodes = inodes, .bitmap = 1};
    layout.inode_table = layout.bitmap + (blocks + bits - 1) / bits;
    layout.data = layout.inode_table + (inodes + INODES_PER_BLOCK - 1) / INODES_PER_BLOCK;
    int error = layout.data < blocks ? 0 : -ENOSPC;

    for (u32 block = layout.bitmap; block < layout.data && error == 0; block++) {
        memset(page, 0, DISK_BLOCK);
        for (u32 number = 0; number < layout.data && block == layout.bitmap; number++)
            page[number / 8] |= (u8)(1 << number % 8);
        if (block == layout.inode_table)
            ((struct disk_inode *)page)[ROOT].links = 1;
        error = disk_rw(block, page, true);
    }
    if (error == 0) { /* last: a disk without it is not a file system */
        memset(page, 0, DISK_BLOCK);
        memcpy(page, &layout, sizeof(layout));
        error = disk_rw(0, page, true);
    }
    pfree(page);
    return error;
}

/*
 * fs.h - the file system as it lies on the disk. Blocks are 4 KiB; all numbers are little-endian.
 *
 *      0         1              ...              ...
 *      +---------+--------------+----------------+---------------------------+
 *      | super   | bitmap       | inodes         | data                      |
 *      +---------+--------------+----------------+---------------------------+
 *
 * One directory, the root, is inode 0: a file of struct disk_entry. A file's first eleven blocks are in its inode,
 * the next 1024 in the block that `indirect` names: 4 MiB and 44 KiB at most.
 */
#ifndef PUP_FS_H
#define PUP_FS_H

#include "pup.h"

#define FS_MAGIC "pupfs-1\n"
#define DIRECT 11
#define PER_BLOCK (DISK_BLOCK / sizeof(u32))
#define FILE_BLOCKS (DIRECT + PER_BLOCK)
#define NAME_SIZE 28
#define ROOT 0

struct super {
    char magic[8];
    u32 blocks, inodes;
    u32 bitmap, inode_table, data; /* first blocks of each */
};

struct disk_inode {
    u32 links; /* 0: free */
    u32 size;
    u32 changed; /* seconds since 1970 */
    u32 reserved;
    u32 direct[DIRECT];
    u32 indirect;
};
_Static_assert(sizeof(struct disk_inode) == 64, "64 inodes a block");
#define INODES_PER_BLOCK (DISK_BLOCK / sizeof(struct disk_inode))

struct disk_entry {
    u32 inode; /* 0: free; the root is in no directory */
    char name[NAME_SIZE];
};
#define ENTRIES_PER_BLOCK (DISK_BLOCK / sizeof(struct disk_entry))

/* An inode in use, in memory. */
struct inode {
    u32 number, refs;
    struct disk_inode disk;
};

/* inode.c */
extern struct super super;
extern u32 free_blocks;
u32 blocks_count_free(void);
struct buf *inode_block(u32 number, struct disk_inode **at);
int inode_write(struct inode *inode);
struct inode *inode_get(u32 number);
void inode_put(struct inode *inode);
u32 inode_alloc(void);
int inode_truncate(struct inode *inode);
int inode_transfer(struct inode *inode, u32 offset, u8 *data, u32 n, bool write);
#define ANY 0xffffffffu /* for inode_in_use */
bool inode_in_use(u32 number);

#endif

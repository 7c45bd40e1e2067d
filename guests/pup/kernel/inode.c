/*
 * inode.c - files as numbers: which blocks are free, which belong to an inode, and moving bytes between them and
 * memory. Everything goes through the page cache, and callers hold the file system's lock (fs.c).
 */
#include "fs.h"

#define NINODE 32

struct super super;
u32 free_blocks;
static struct inode inodes[NINODE];
static u32 rotor; /* where block_alloc found the last one */

/* Blocks: a set bit in the bitmap is a block in use. */

/* Looks at the whole bitmap, once, when the disk is mounted. */
u32 blocks_count_free(void)
{
    u32 used = 0;
    for (u32 block = 0; block < super.blocks; block += DISK_BLOCK * 8) {
        struct buf *b = cache_get(super.bitmap + block / (DISK_BLOCK * 8), true);
        if (!b)
            return 0;
        for (u32 *w = (u32 *)b->data; w < (u32 *)(b->data + DISK_BLOCK); w++)
            for (u32 bits = *w; bits; bits &= bits - 1)
                used++;
        cache_put(b, false);
    }
    rotor = super.data;
    return super.blocks - used;
}

/* A free block, now in use; 0 if there is none. Starts looking where it found the last one. */
static u32 block_alloc(void)
{
    struct buf *b = NULL;
    u32 found = 0;
    for (u32 tried = 0; tried < super.blocks && !found; tried++) {
        u32 n = (rotor + tried) % super.blocks, bit = n % (DISK_BLOCK * 8);
        if (!b || bit == 0 || n == 0) {
            if (b)
                cache_put(b, false);
            if (!(b = cache_get(super.bitmap + n / (DISK_BLOCK * 8), true)))
                return 0;
        }
        if (b->data[bit / 8] & (1 << bit % 8))
            continue;
        b->data[bit / 8] |= (u8)(1 << bit % 8);
        found = rotor = n;
        free_blocks--;
    }
    if (b)
        cache_put(b, found != 0);
    return found;
}

static void block_free(u32 n)
{
    if (n < super.data || n >= super.blocks)
        return; /* a damaged inode; the bitmap has no bit for it */
    struct buf *b = cache_get(super.bitmap + n / (DISK_BLOCK * 8), true);
    if (!b)
        return;
    u32 bit = n % (DISK_BLOCK * 8);
    b->data[bit / 8] &= (u8) ~(1 << bit % 8);
    free_blocks++;
    cache_put(b, true);
}

/* Inodes. */

struct buf *inode_block(u32 number, struct disk_inode **at)
{
    if (number >= super.inodes)
        return NULL;
    struct buf *b = cache_get(super.inode_table + number / INODES_PER_BLOCK, true);
    if (b)
        *at = (struct disk_inode *)b->data + number % INODES_PER_BLOCK;
    return b;
}

int inode_write(struct inode *inode)
{
    struct disk_inode *at;
    struct buf *b = inode_block(inode->number, &at);
    if (!b)
        return -EIO;
    *at = inode->disk;
    cache_put(b, true);
    return 0;
}

/* The inode in memory, with one reference more; NULL: no room, or the disk failed. */
struct inode *inode_get(u32 number)
{
    struct inode *empty = NULL;
    for (struct inode *i = inodes; i < inodes + NINODE; i++) {
        if (i->refs && i->number == number) {
            i->refs++;
            return i;
        }
        if (!i->refs)
            empty = i;
    }
    struct disk_inode *at;
    struct buf *b = empty ? inode_block(number, &at) : NULL;
    if (!b)
        return NULL;
    *empty = (struct inode){.number = number, .refs = 1, .disk = *at};
    cache_put(b, false);
    return empty;
}

/* A free inode, now with one link; 0 if there is none. */
u32 inode_alloc(void)
{
    for (u32 number = ROOT + 1; number < super.inodes; number++) {
        struct disk_inode *at;
        struct buf *b = inode_block(number, &at);
        if (!b)
            return 0;
        bool found = at->links == 0;
        if (found)
            *at = (struct disk_inode){.links = 1};
        cache_put(b, found);
        if (found)
            return number;
    }
    return 0;
}

/* The disk block of block n of a file; `create` makes a missing one. 0: a hole, or no room. */
static u32 inode_map(struct inode *inode, u32 n, bool create)
{
    if (n < DIRECT) {
        if (!inode->disk.direct[n] && create)
            inode->disk.direct[n] = block_alloc();
        return inode->disk.direct[n];
    }
    bool fresh = false;
    if (!inode->disk.indirect) {
        fresh = create && (inode->disk.indirect = block_alloc());
        if (!fresh)
            return 0;
    }
    struct buf *b = cache_get(inode->disk.indirect, !fresh);
    if (!b)
        return 0;
    u32 *slot = (u32 *)b->data + (n - DIRECT);
    bool change = create && *slot == 0;
    if (change)
        *slot = block_alloc();
    u32 block = *slot;
    cache_put(b, fresh || change);
    return block;
}

int inode_truncate(struct inode *inode)
{
    for (u32 n = 0; n < DIRECT; n++) {
        if (inode->disk.direct[n])
            block_free(inode->disk.direct[n]);
        inode->disk.direct[n] = 0;
    }
    if (inode->disk.indirect) {
        struct buf *b = cache_get(inode->disk.indirect, true);
        for (u32 i = 0; b && i < PER_BLOCK; i++)
            if (((u32 *)b->data)[i])
                block_free(((u32 *)b->data)[i]);
        if (b)
            cache_put(b, false);
        block_free(inode->disk.indirect);
        inode->disk.indirect = 0;
    }
    inode->disk.size = 0;
    return inode_write(inode);
}

/* The last one out removes a file that has no name any more. */
void inode_put(struct inode *inode)
{
    if (inode->refs == 1 && inode->disk.links == 0)
        inode_truncate(inode);
    inode->refs--;
}

/* Reads (or writes) n bytes at `offset`, block by block; returns how many were moved, or an error if none. */
int inode_transfer(struct inode *inode, u32 offset, u8 *data, u32 n, bool write)
{
    u32 done = 0;
    int error = 0;
    while (done < n) {
        u32 at = offset + done, skip = at % DISK_BLOCK, count = DISK_BLOCK - skip;
        if (count > n - done)
            count = n - done;
        bool existed = at / DISK_BLOCK < (inode->disk.size + DISK_BLOCK - 1) / DISK_BLOCK &&
                       inode_map(inode, at / DISK_BLOCK, false);
        u32 block = inode_map(inode, at / DISK_BLOCK, write);
        error = -ENOSPC;
        if (block == 0 && write)
            break;
        if (block == 0) { /* a hole */
            memset(data + done, 0, count);
            done += count;
            continue;
        }
        error = -EIO;
        struct buf *b = cache_get(block, existed && !(write && count == DISK_BLOCK));
        if (!b)
            break;
        if (write)
            memcpy(b->data + skip, data + done, count);
        else
            memcpy(data + done, b->data + skip, count);
        cache_put(b, write);
        done += count;
    }
    return done ? (int)done : n ? error : 0;
}

/* Is any file open? */
bool inodes_in_use(void)
{
    for (struct inode *i = inodes; i < inodes + NINODE; i++)
        if (i->refs)
            return true;
    return false;
}

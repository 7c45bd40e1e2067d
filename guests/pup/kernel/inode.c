/*
 * inode.c - files as numbers: which blocks are free, which belong to an inode, and moving bytes between them and
 * memory. Everything goes through the page cache, and callers hold the file system's lock (fs.c).
 *
 * Nothing on a disk is to be trusted: it may be damaged, or made by somebody else. A wrong number may lose data, but
 * it must not take the kernel outside of its tables; so block numbers and sizes are looked at where they are read.
 */
#include "fs.h"

#define NINODE (NFILE + 2) /* each open file's, the root, and the one being opened: enough */
#define BAD_BLOCK 0xffffffffu /* no disk is that large: reading or writing it is an error */

struct super super;
u32 free_blocks;
static struct inode inodes[NINODE];
static u32 rotor; /* where block_alloc found the last one */

/* Blocks: a set bit in the bitmap is a block in use. */

#define BITS (DISK_BLOCK * 8)

/* Is that the number of a block that can belong to a file? */
static bool in_data(u32 block)
{
    return block >= super.data && block < super.blocks;
}

/* Looks at the whole bitmap, once, when the disk is mounted. */
u32 blocks_count_free(void)
{
    u32 used = 0;
    for (u32 block = 0; block < super.blocks; block += 32) {
        struct buf *b = cache_get(super.bitmap + block / BITS, true);
        if (!b)
            return 0;
        u32 bits = *(u32 *)(b->data + block % BITS / 8);
        cache_put(b, false);
        if (super.blocks - block < 32) /* what the last word has behind the end of the disk */
            bits &= (1u << (super.blocks - block)) - 1;
        for (; bits; bits &= bits - 1)
            used++;
    }
    rotor = super.data;
    return super.blocks - used;
}

/* A free block, now in use; 0 if there is none. Starts looking where it found the last one. */
static u32 block_alloc(void)
{
    u32 n = rotor;
    for (u32 left = free_blocks ? super.blocks - super.data : 0; left; left--, n++) {
        if (!in_data(n))
            n = super.data;
        struct buf *b = cache_get(super.bitmap + n / BITS, true);
        if (!b)
            return 0;
        u8 *byte = &b->data[n % BITS / 8], bit = (u8)(1 << n % 8);
        bool taken = *byte & bit;
        *byte |= bit;
        cache_put(b, !taken);
        if (!taken) {
            free_blocks--;
            return rotor = n;
        }
    }
    return 0;
}

static void block_free(u32 n)
{
    struct buf *b = in_data(n) ? cache_get(super.bitmap + n / BITS, true) : NULL;
    if (!b)
        return;
    u8 *byte = &b->data[n % BITS / 8], bit = (u8)(1 << n % 8);
    free_blocks += (*byte & bit) != 0;
    *byte &= (u8)~bit;
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

/* The inode in memory, with one reference more. NULL: the disk failed, or is damaged and the inode is free. */
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
    struct buf *b = inode_block(number, &at);
    if (!b)
        return NULL;
    *empty = (struct inode){.number = number, .refs = at->links ? 1 : 0, .disk = *at};
    if (empty->disk.size > FILE_BLOCKS * DISK_BLOCK)
        empty->disk.size = FILE_BLOCKS * DISK_BLOCK;
    cache_put(b, false);
    return empty->refs ? empty : NULL;
}

/* Has anybody this file open; for number ANY, any file? */
bool inode_in_use(u32 number)
{
    for (struct inode *i = inodes; i < inodes + NINODE; i++)
        if (i->refs && (number == ANY || i->number == number))
            return true;
    return false;
}

/* A free inode, now with one link; 0 if there is none. */
u32 inode_alloc(void)
{
    for (u32 number = ROOT + 1; number < super.inodes; number++) {
        struct disk_inode *at;
        struct buf *b = inode_block(number, &at);
        if (!b)
            return 0;
        bool found = at->links == 0 && !inode_in_use(number); /* a removed file that is still open has no links */
        if (found)
            *at = (struct disk_inode){.links = 1};
        cache_put(b, found);
        if (found)
            return number;
    }
    return 0;
}

/* The disk block of block n of a file; `create` makes a missing one. 0: a hole, or no room. BAD_BLOCK: an error. */
static u32 inode_map(struct inode *inode, u32 n, bool create)
{
    if (n >= FILE_BLOCKS)
        return BAD_BLOCK;
    u32 *slot = n < DIRECT ? &inode->disk.direct[n] : NULL;
    struct buf *b = NULL;
    bool fresh = false;
    if (n >= DIRECT) {
        u32 *indirect = &inode->disk.indirect;
        if (!*indirect) {
            fresh = create && (*indirect = block_alloc());
            if (!fresh)
                return 0;
        }
        if (!in_data(*indirect) || !(b = cache_get(*indirect, !fresh))) {
            if (fresh) /* it was never filled: nobody may read it */
                block_free(*indirect), *indirect = 0;
            return BAD_BLOCK;
        }
        slot = (u32 *)b->data + (n - DIRECT);
    }
    bool change = create && *slot == 0;
    if (change)
        *slot = block_alloc();
    u32 block = *slot;
    if (b)
        cache_put(b, fresh || change);
    return block == 0 || in_data(block) ? block : BAD_BLOCK;
}

int inode_truncate(struct inode *inode)
{
    for (u32 n = 0; n < DIRECT; n++) {
        if (inode->disk.direct[n])
            block_free(inode->disk.direct[n]);
        inode->disk.direct[n] = 0;
    }
    if (inode->disk.indirect) {
        struct buf *b = in_data(inode->disk.indirect) ? cache_get(inode->disk.indirect, true) : NULL;
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

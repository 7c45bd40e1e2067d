/*
 * pagecache.c - blocks of the mounted disk, kept in pages. A block is read once and written when it must be: at
 * cache_sync, or when its page is wanted for another block. The least recently used one goes first. Callers hold the
 * file system's lock, so nobody else is in here while a read or write sleeps.
 */
#include "pup.h"

#define BUFFERS 256
#define CHAINS 64

static struct buf buffers[BUFFERS];
static struct buf *chains[CHAINS];
static u32 clock;
u32 cache_pages;

static struct buf **chain_of(u32 block)
{
    return &chains[block % CHAINS];
}

static void unlink(struct buf *b)
{
    struct buf **at = chain_of(b->block);
    while (*at && *at != b)
        at = &(*at)->next;
    if (*at)
        *at = b->next;
}

static int write_back(struct buf *b)
{
    int error = b->dirty ? disk_rw(b->block, b->data, true) : 0;
    if (error == 0)
        b->dirty = false;
    return error;
}

/* A buffer for a new block: a new page while the cache is small and memory is not short, else the oldest. */
static struct buf *take(void)
{
    struct buf *oldest = NULL;
    if (cache_pages < BUFFERS && cache_pages < pages_total / 8 && pages_free > 64) {
        struct buf *b = &buffers[cache_pages];
        if ((b->data = palloc())) {
            cache_pages++;
            return b;
        }
    }
    for (struct buf *b = buffers; b < buffers + cache_pages; b++)
        if (b->pins == 0 && (!oldest || b->used < oldest->used))
            oldest = b;
    if (!oldest || write_back(oldest) < 0)
        return NULL;
    unlink(oldest);
    return oldest;
}

/* The buffer of a block, pinned. `read`: with what is on the disk; otherwise zeroed, to be filled. NULL on errors. */
struct buf *cache_get(u32 block, bool read)
{
    struct buf *b = *chain_of(block);
    while (b && b->block != block)
        b = b->next;
    if (!b) {
        if (!(b = take()))
            return NULL;
        b->block = block;
        b->valid = false;
        b->next = *chain_of(block);
        *chain_of(block) = b;
    }
    b->pins++;
    if (!read) {
        memset(b->data, 0, PAGE_SIZE);
        b->valid = true;
    } else if (!b->valid) {
        if (disk_rw(block, b->data, false) < 0) {
            b->pins--;
            return NULL;
        }
        b->valid = true;
    }
    b->used = ++clock;
    return b;
}

void cache_put(struct buf *b, bool dirty)
{
    b->dirty |= dirty;
    b->pins--;
}

/* Writes everything that changed. */
int cache_sync(void)
{
    int error = 0;
    for (struct buf *b = buffers; b < buffers + cache_pages; b++) {
        int failed = write_back(b);
        if (failed < 0)
            error = failed;
    }
    return error;
}

/* Forgets everything, changed or not: the disk is about to become another one. */
void cache_drop(void)
{
    for (struct buf *b = buffers; b < buffers + cache_pages; b++) {
        b->valid = b->dirty = false;
        b->used = 0;
    }
}

/*
 * malloc.c - memory in pieces: a list of free blocks in order of address, first fit, neighbours joined again.
 *
 *      | size | next |  ...   free        | size | - |  user's bytes  |
 */
#include "libpup.h"

struct block {
    u32 size; /* with this header */
    struct block *next;
};

static struct block *free_blocks;

void free(void *p)
{
    if (!p)
        return;
    struct block *b = (struct block *)p - 1, **at = &free_blocks;
    while (*at && *at < b)
        at = &(*at)->next;
    b->next = *at;
    *at = b;
    if (b->next && (u8 *)b + b->size == (u8 *)b->next) {
        b->size += b->next->size;
        b->next = b->next->next;
    }
    if (at != &free_blocks) {
        struct block *before = (struct block *)((u8 *)at - offsetof(struct block, next));
        if ((u8 *)before + before->size == (u8 *)b) {
            before->size += b->size;
            before->next = b->next;
        }
    }
}

void *malloc(size_t n)
{
    u32 size = (n + sizeof(struct block) + 7) & ~7u;
    for (;;) {
        for (struct block **at = &free_blocks; *at; at = &(*at)->next) {
            struct block *b = *at;
            if (b->size < size)
                continue;
            if (b->size < size + 16) {
                *at = b->next;
            } else { /* the user gets the end, the list keeps the beginning */
                b->size -= size;
                b = (struct block *)((u8 *)b + b->size);
                b->size = size;
            }
            return b + 1;
        }
        u32 more = (size + 16383) & ~16383u;
        struct block *b = sbrk((int)more);
        if (!b)
            return NULL;
        b->size = more;
        free(b + 1);
    }
}

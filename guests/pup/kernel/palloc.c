/*
 * palloc.c - the page allocator. Pages that were never used come off the end of a range (`fresh`), so that booting
 * touches no memory it does not need; pages given back go on a list threaded through the pages themselves and are
 * taken from there first, last in first out: the host has those mapped already.
 *
 *      0      0x2000          1 MiB                              initrd       RAM end
 *      | boot  | range 1       | pup | tables | range 0           |  initrd   |
 *
 * Each page has a count of its users: copy-on-write shares pages between processes. PINNED marks what is never freed:
 * pup itself, and the initrd, whose pages programs map as they are.
 *
 * The last RESERVE pages are not for programs: when memory runs out, the kernel and init must be able to go on.
 */
#include "proc.h"

#define PINNED 0xffff
#define RESERVE 32

struct free_page {
    struct free_page *next;
};

extern char __kernel_end[];

static u16 *refs;
static u32 early_end = (u32)__kernel_end;
static struct free_page *free_list;
static struct {
    u32 at, end; /* virtual */
} fresh[2];

u32 pages_total, pages_free, pages_kernel;

/* Pages for tables built at boot, straight behind the kernel; not zeroed, never freed. */
void *early_pages(u32 pages)
{
    u32 at = early_end;
    early_end += pages * PAGE_SIZE;
    return (void *)at;
}

void palloc_init(void)
{
    u32 low = PAGE_OFFSET + 0x2000, initrd = *(u32 *)__va(0x218), initrd_size = *(u32 *)__va(0x21c);
    u32 end = initrd_size ? initrd & PAGE_MASK : ram_bytes;
    pages_total = ram_bytes / PAGE_SIZE;

    refs = early_pages(page_up(pages_total * sizeof(*refs)) / PAGE_SIZE);
    memset(refs, 0, pages_total * sizeof(*refs));
    u32 first = __pa(early_end) / PAGE_SIZE;
    memset(refs, 0xff, 2 * sizeof(*refs));
    memset(refs + MB / PAGE_SIZE, 0xff, (first - MB / PAGE_SIZE) * sizeof(*refs));
    memset(refs + end / PAGE_SIZE, 0xff, (pages_total - end / PAGE_SIZE) * sizeof(*refs));

    fresh[0].at = early_end;
    fresh[0].end = PAGE_OFFSET + end;
    fresh[1].at = low;
    fresh[1].end = PAGE_OFFSET + MB;
    pages_free = (fresh[0].end - fresh[0].at + fresh[1].end - fresh[1].at) / PAGE_SIZE;
    pages_kernel = pages_total - pages_free;
}

static u16 *refs_of(const void *page)
{
    return &refs[__pa(page) / PAGE_SIZE];
}

/* One page with whatever was in it, or NULL. Never sleeps; interrupt handlers may call it. */
void *palloc(void)
{
    u32 flags = irq_save();
    void *page = free_list;
    if (page) {
        free_list = free_list->next;
    } else {
        for (u32 i = 0; i < countof(fresh) && !page; i++) {
            if (fresh[i].at < fresh[i].end) {
                page = (void *)fresh[i].at;
                fresh[i].at += PAGE_SIZE;
            }
        }
    }
    if (page) {
        *refs_of(page) = 1;
        pages_free--;
    }
    irq_restore(flags);
    return page;
}

void *palloc_zeroed(void)
{
    void *page = palloc();
    if (page)
        memset(page, 0, PAGE_SIZE);
    return page;
}

/* One user less; the last one frees the page. */
void pfree(void *page)
{
    u16 *count = refs_of(page);
    if (*count == PINNED)
        return;
    assert(*count > 0);
    u32 flags = irq_save();
    if (--*count == 0) {
        struct free_page *f = page;
        f->next = free_list;
        free_list = f;
        pages_free++;
    }
    irq_restore(flags);
}

/* One user more. */
void page_get(void *page)
{
    u16 *count = refs_of(page);
    if (*count != PINNED)
        ++*count;
}

u32 page_refs(const void *page)
{
    return *refs_of(page);
}

/* Should the current process get no more pages? */
bool memory_is_short(void)
{
    return pages_free < RESERVE && current->pid != 1;
}

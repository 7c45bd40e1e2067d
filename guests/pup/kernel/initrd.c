/*
 * initrd.c - the programs that come with pup, in one archive the launcher puts at the end of RAM. tools/mkinitrd.c
 * writes it:
 *
 *      0     "pupinit1", number of files u32
 *      12    for each: name[24], offset u32, length u32
 *      ...   the files, each from a page border on, so that their pages can be mapped into programs as they are
 */
#include "pup.h"

static const struct archive {
    char magic[8];
    u32 count;
    struct entry {
        char name[24];
        u32 offset, length;
    } files[];
} *archive;

void initrd_init(u32 gpa, u32 length)
{
    const struct archive *a = __va(gpa);
    if (!length || memcmp(a->magic, "pupinit1", sizeof(a->magic)) != 0) {
        printk("no initrd of mine\n");
        return;
    }
    for (u32 i = 0; i < a->count; i++) {
        const struct entry *e = &a->files[i];
        if (sizeof(*a) + (i + 1) * sizeof(*e) > length || e->offset & ~PAGE_MASK || e->offset > length ||
            e->length > length - e->offset) {
            printk("the initrd is damaged\n");
            return;
        }
    }
    archive = a;
    printk("initrd: %u programs, %u KiB\n", a->count, length / 1024);
}

/* The bytes of a file, page-aligned, or NULL. */
const u8 *initrd_find(const char *name, u32 *length)
{
    for (u32 i = 0; archive && i < archive->count; i++) {
        const struct entry *e = &archive->files[i];
        if (strncmp(e->name, name, sizeof(e->name)) == 0) {
            *length = e->length;
            return (const u8 *)archive + e->offset;
        }
    }
    return NULL;
}

int initrd_readdir(u32 index, struct dirent *entry)
{
    if (!archive || index >= archive->count)
        return 0;
    *entry = (struct dirent){.size = archive->files[index].length, .type = DT_FILE};
    strlcpy(entry->name, archive->files[index].name, sizeof(entry->name));
    return 1;
}

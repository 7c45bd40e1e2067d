/*
 * fs.c - the file system: its one directory, and what the rest of the kernel calls. inode.c has the files' contents,
 * fs.h the layout on the disk.
 *
 * One lock for all of it: whoever is in here may sleep for the disk, and the next one waits outside. Nothing is
 * promised about a power cut in the middle; fs_sync, when a file that was written is closed, makes such a middle short.
 *
 * The disk is the first one if it holds our file system or is blank (then it gets one), else a piece of RAM. It may be
 * read-only.
 */
#include "fs.h"
#include "proc.h"

static bool locked, mounted, on_ram;

static void lock(void)
{
    u32 flags = irq_save();
    while (locked)
        sleep(&locked, false);
    locked = true;
    irq_restore(flags);
}

static void unlock(void)
{
    locked = false;
    wakeup(&locked);
}

/* For pagecache.c and mkfs.c. */
int disk_rw(u32 block, void *page, bool write)
{
    return on_ram ? ramdisk_rw(block, page, write) : blk_rw(0, (u64)block * DISK_BLOCK, page, DISK_BLOCK, write);
}

/* The directory, a few entries at a time: those from `index` on. Returns how many, 0 past the end, or an error. */
#define FEW 16u
static int dir_read(struct inode *root, u32 index, struct disk_entry entries[FEW])
{
    u32 count = root->disk.size / sizeof(*entries), n = index < count ? count - index : 0;
    if (n > FEW)
        n = FEW;
    int bytes = inode_transfer(root, index * sizeof(*entries), (u8 *)entries, n * sizeof(*entries), false);
    return bytes == (int)(n * sizeof(*entries)) ? (int)n : -EIO;
}

/* Finds `name`, or a free place for it: *index is where. 1: *number is its inode; 0: it is not there; or an error. */
static int dir_find(struct inode *root, const char *name, u32 *index, u32 *number)
{
    struct disk_entry entries[FEW];
    bool empty = false;
    int n;
    u32 at = 0;
    for (; (n = dir_read(root, at, entries)) > 0; at += (u32)n) {
        for (u32 i = 0; i < (u32)n; i++) {
            struct disk_entry *e = &entries[i];
            if (e->inode && strncmp(e->name, name, NAME_SIZE) == 0) {
                *index = at + i;
                *number = e->inode;
                return 1;
            }
            if (!e->inode && !empty) {
                empty = true;
                *index = at + i;
            }
        }
    }
    if (!empty)
        *index = at;
    return n;
}

static int dir_set(struct inode *root, u32 index, u32 number, const char *name)
{
    struct disk_entry entry = {.inode = number};
    strlcpy(entry.name, name, sizeof(entry.name));
    int n = inode_transfer(root, index * sizeof(entry), (u8 *)&entry, sizeof(entry), true);
    if (n != sizeof(entry))
        return n < 0 ? n : -ENOSPC;
    if ((index + 1) * sizeof(entry) > root->disk.size)
        root->disk.size = (index + 1) * sizeof(entry);
    return inode_write(root);
}

static struct inode *open_locked(const char *name, bool create, int *error)
{
    u32 index, number;
    struct inode *root = inode_get(ROOT), *inode = NULL;
    *error = -EIO;
    if (!root)
        return NULL;
    int found = dir_find(root, name, &index, &number);
    if (found > 0)
        inode = inode_get(number);
    else if (found < 0 || !create)
        *error = found < 0 ? found : -ENOENT;
    else if (!(number = inode_alloc()))
        *error = -ENOSPC;
    else if ((inode = inode_get(number)) && (*error = dir_set(root, index, number, name)) < 0) {
        inode->disk.links = 0; /* no room for the name: the file goes again */
        inode_put(inode);
        inode = NULL;
    }
    inode_put(root);
    return inode;
}

struct inode *fs_open(const char *name, bool create, int *error)
{
    struct inode *inode = NULL;
    lock();
    *error = !mounted ? -ENODEV : strlen(name) >= NAME_SIZE ? -ENAMETOOLONG : 0;
    if (*error == 0)
        inode = open_locked(name, create, error);
    unlock();
    return inode;
}

void fs_close(struct inode *inode)
{
    lock();
    inode_put(inode);
    unlock();
}

int fs_read(struct inode *inode, u32 offset, void *to, u32 n)
{
    lock();
    u32 size = inode->disk.size;
    int done = 0;
    if (offset < size)
        done = inode_transfer(inode, offset, to, n < size - offset ? n : size - offset, false);
    unlock();
    return done;
}

int fs_write(struct inode *inode, u32 offset, const void *from, u32 n)
{
    if (offset > FILE_BLOCKS * DISK_BLOCK || n > FILE_BLOCKS * DISK_BLOCK - offset)
        return -EFBIG;
    lock();
    int done = inode_transfer(inode, offset, (u8 *)from, n, true);
    if (done > 0 && offset + (u32)done > inode->disk.size)
        inode->disk.size = offset + (u32)done;
    inode->disk.changed = (u32)(wall_ns() / 1000000000);
    int error = inode_write(inode);
    unlock();
    return error < 0 ? error : done;
}

u32 fs_size(struct inode *inode)
{
    return inode->disk.size;
}

int fs_truncate(struct inode *inode)
{
    lock();
    int error = inode_truncate(inode);
    unlock();
    return error;
}

/* Takes the name away, and the file when nobody has it open. On a damaged disk a name may have no file. */
int fs_unlink(const char *name)
{
    if (!mounted || fs_read_only())
        return mounted ? -EROFS : -ENODEV;
    lock();
    u32 index, number;
    struct inode *root = inode_get(ROOT), *inode = NULL;
    int error = root ? dir_find(root, name, &index, &number) : -EIO;
    if (error == 0)
        error = -ENOENT;
    if (error > 0) {
        inode = inode_get(number);
        error = dir_set(root, index, 0, "");
    }
    if (inode && error == 0) {
        inode->disk.links = 0;
        error = inode_write(inode);
    }
    if (inode)
        inode_put(inode);
    if (root)
        inode_put(root);
    unlock();
    return error;
}

/* The index-th file of the directory: 1, or 0 past the end. */
int fs_readdir(u32 index, struct dirent *to)
{
    if (!mounted)
        return 0;
    lock();
    struct disk_entry entries[FEW], *e = NULL;
    struct inode *root = inode_get(ROOT);
    int n = -EIO;
    for (u32 at = 0; root && !e && (n = dir_read(root, at, entries)) > 0; at += (u32)n)
        for (u32 i = 0; i < (u32)n && !e; i++)
            if (entries[i].inode && index-- == 0)
                e = &entries[i];
    if (e) {
        struct disk_inode *inode;
        struct buf *b = inode_block(e->inode, &inode);
        *to = (struct dirent){.size = b ? inode->size : 0, .type = DT_FILE};
        if (b)
            cache_put(b, false);
        e->name[NAME_SIZE - 1] = 0;
        strlcpy(to->name, e->name, sizeof(to->name));
    }
    if (root)
        inode_put(root);
    unlock();
    return e ? 1 : n;
}

void fs_usage(u32 *blocks, u32 *free, u32 *is_ram)
{
    *blocks = mounted ? super.blocks : 0;
    *free = mounted ? free_blocks : 0;
    *is_ram = on_ram;
}

int fs_sync(void)
{
    if (!mounted)
        return 0;
    lock();
    int error = cache_sync();
    if (error == 0 && !on_ram)
        error = blk_flush(0);
    unlock();
    if (error < 0)
        printk("pupfs: cannot write to the disk (error %d)\n", -error);
    return error;
}

bool fs_read_only(void)
{
    return mounted && !on_ram && blk_read_only(0);
}

/* Do the parts lie on the disk, one behind the other, each large enough? */
static bool layout_fits(const struct super *s, u32 disk_blocks)
{
    return s->blocks <= disk_blocks && 0 < s->bitmap && s->bitmap < s->inode_table && s->inode_table < s->data &&
           s->data < s->blocks && s->inodes > ROOT && (s->blocks - 1) / (DISK_BLOCK * 8) < s->inode_table - s->bitmap &&
           (s->inodes - 1) / INODES_PER_BLOCK < s->data - s->inode_table;
}

/* Mounts what is on the disk. 1: mounted; 0: the disk is blank; -EINVAL: it has something else; -EIO: it is damaged. */
static int mount(void)
{
    struct buf *b = cache_get(0, true);
    if (!b)
        return -EIO;
    bool blank = true;
    for (u32 *w = (u32 *)b->data; w < (u32 *)(b->data + DISK_BLOCK) && blank; w++)
        blank = *w == 0;
    memcpy(&super, b->data, sizeof(super));
    cache_put(b, false);
    if (blank)
        return 0;
    u32 size = on_ram ? RAMDISK_BLOCKS : (u32)(blk_bytes(0) / DISK_BLOCK);
    if (memcmp(super.magic, FS_MAGIC, sizeof(super.magic)) != 0)
        return -EINVAL;
    if (!layout_fits(&super, size))
        return -EIO;
    free_blocks = blocks_count_free();
    mounted = true;
    printk("pupfs: %u KiB on %s, %u KiB free%s\n", super.blocks * 4, on_ram ? "a RAM disk" : "vda", free_blocks * 4,
           fs_read_only() ? ", read-only" : "");
    return 1;
}

static int format_and_mount(void)
{
    if (!on_ram && blk_read_only(0))
        return -EROFS;
    int error = mkfs(on_ram ? RAMDISK_BLOCKS : (u32)(blk_bytes(0) / DISK_BLOCK));
    cache_drop();
    return error < 0 ? error : mount();
}

/* When there is no other. What was in it before is still there. */
static void use_ram_disk(void)
{
    on_ram = true;
    cache_drop();
    if (mount() == 0)
        format_and_mount();
}

/* The mkfs command: an empty file system on the first disk, or on the RAM disk; only while no file is open. */
int fs_format(void)
{
    lock();
    int error = inode_in_use(ANY) ? -EBUSY : blk_read_only(0) ? -EROFS : 0;
    if (error == 0) {
        mounted = false;
        on_ram = blk_bytes(0) == 0;
        cache_drop();
        error = format_and_mount();
        if (error < 0)
            use_ram_disk();
    }
    unlock();
    return error < 0 ? error : 0;
}

void fs_init(void)
{
    lock();
    on_ram = blk_bytes(0) == 0;
    int result = mount();
    if (result == 0)
        result = format_and_mount();
    if (result < 0) {
        printk("pupfs: vda %s; I leave it as it is and take a RAM disk\n",
               result == -EINVAL  ? "has something else on it (the command mkfs would make it mine)" :
               result == -EROFS   ? "is blank, and nothing can be written to it" :
               result == -ENOSPC  ? "is too small for a file system" :
               blk_bytes(0) < DISK_BLOCK ? "is smaller than one block" :
                                    "cannot be read, or its file system is damaged");
        use_ram_disk();
    }
    unlock();
}

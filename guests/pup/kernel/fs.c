/*
 * fs.c - the file system: its one directory, and what the rest of the kernel calls. inode.c has the files' contents,
 * fs.h the layout on the disk.
 *
 * One lock for all of it: whoever is in here may sleep for the disk, and the next one waits outside. Nothing is
 * promised about a power cut in the middle; fs_sync, when a file that was written is closed, makes such a middle short.
 *
 * The disk is the first one if it holds our file system or is blank (then it gets one), else a piece of RAM.
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

/* The directory. Finds `name`, or a free place for it: *index is where. Returns the inode number, 0, or an error. */
static int dir_find(struct inode *root, const char *name, u32 *index)
{
    u32 count = root->disk.size / sizeof(struct disk_entry), empty = count;
    for (u32 i = 0; i < count; i++) {
        struct disk_entry entry;
        if (inode_transfer(root, i * sizeof(entry), (u8 *)&entry, sizeof(entry), false) != sizeof(entry))
            return -EIO;
        if (entry.inode && strncmp(entry.name, name, NAME_SIZE) == 0) {
            *index = i;
            return (int)entry.inode;
        }
        if (!entry.inode && empty == count)
            empty = i;
    }
    *index = empty;
    return 0;
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
    u32 index;
    struct inode *root = inode_get(ROOT), *inode = NULL;
    *error = -EIO;
    if (!root)
        return NULL;
    int number = dir_find(root, name, &index);
    if (number == 0)
        *error = -ENOENT;
    if (number == 0 && create) {
        *error = -ENOSPC;
        number = (int)inode_alloc();
        if (number > 0 && (*error = dir_set(root, index, (u32)number, name)) < 0)
            number = 0;
    }
    if (number > 0 && !(inode = inode_get((u32)number)))
        *error = -EMFILE;
    inode_put(root);
    return inode;
}

struct inode *fs_open(const char *name, bool create, int *error)
{
    struct inode *inode = NULL;
    lock();
    *error = !mounted ? -ENODEV : strlen(name) >= NAME_SIZE ? -EINVAL : 0;
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

int fs_unlink(const char *name)
{
    if (!mounted)
        return -ENODEV;
    lock();
    u32 index;
    int error = -EIO;
    struct inode *root = inode_get(ROOT);
    if (root) {
        int number = dir_find(root, name, &index);
        error = number ? number : -ENOENT;
        struct inode *inode = number > 0 ? inode_get((u32)number) : NULL;
        if (inode && (error = dir_set(root, index, 0, "")) == 0) {
            inode->disk.links = 0;
            error = inode_write(inode);
        }
        if (inode)
            inode_put(inode);
        inode_put(root);
    }
    unlock();
    return error > 0 ? -EMFILE : error;
}

/* The index-th file of the directory: 1, or 0 past the end. */
int fs_readdir(u32 index, struct dirent *to)
{
    if (!mounted)
        return 0;
    lock();
    struct inode *root = inode_get(ROOT);
    int result = root ? 0 : -EIO;
    u32 count = root ? root->disk.size / sizeof(struct disk_entry) : 0;
    for (u32 i = 0; i < count && result == 0; i++) {
        struct disk_entry entry;
        struct disk_inode *at;
        if (inode_transfer(root, i * sizeof(entry), (u8 *)&entry, sizeof(entry), false) != sizeof(entry))
            break;
        if (!entry.inode || index-- > 0)
            continue;
        struct buf *b = inode_block(entry.inode, &at);
        if (!b)
            break;
        *to = (struct dirent){.size = at->size, .type = DT_FILE};
        cache_put(b, false);
        entry.name[NAME_SIZE - 1] = 0;
        strlcpy(to->name, entry.name, sizeof(to->name));
        result = 1;
    }
    if (root)
        inode_put(root);
    unlock();
    return result;
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

/* Mounts what is on the disk. 1: mounted; 0: the disk is blank; -EINVAL: something else is on it. */
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
    if (memcmp(super.magic, FS_MAGIC, sizeof(super.magic)) != 0 || super.blocks > size || super.data >= super.blocks ||
        super.bitmap >= super.inode_table || super.inode_table >= super.data)
        return -EINVAL;
    free_blocks = blocks_count_free();
    mounted = true;
    printk("pupfs: %u KiB on %s, %u KiB free\n", super.blocks * 4, on_ram ? "a RAM disk" : "vda", free_blocks * 4);
    return 1;
}

static int format_and_mount(void)
{
    int error = mkfs(on_ram ? RAMDISK_BLOCKS : (u32)(blk_bytes(0) / DISK_BLOCK));
    cache_drop();
    return error < 0 ? error : mount();
}

/* The mkfs command: an empty file system on the first disk, or on the RAM disk; only while no file is open. */
int fs_format(void)
{
    lock();
    int error = 0;
    if (inodes_in_use())
        error = -EAGAIN;
    if (error == 0) {
        mounted = false;
        on_ram = blk_bytes(0) == 0;
        cache_drop();
        error = format_and_mount();
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
    if (result < 0) { /* not ours, too small, read-only or broken: leave it alone */
        printk("pupfs: vda is not usable (error %d), taking a RAM disk; mkfs would make it mine\n", -result);
        on_ram = true;
        cache_drop();
        format_and_mount();
    }
    unlock();
}

/*
 * dev.c - /dev: files that are not stored anywhere. One table; the minor number (file->size) tells disks apart.
 */
#include "proc.h"

static int console_read(struct file *f unused, void *to, u32 n)
{
    return tty_read(to, n);
}

static int console_write_file(struct file *f unused, const void *from, u32 n)
{
    return tty_write(from, n);
}

static int null_read(struct file *f unused, void *to unused, u32 n unused)
{
    return 0;
}

static int null_write(struct file *f unused, const void *from unused, u32 n)
{
    return (int)n;
}

static int zero_read(struct file *f unused, void *to, u32 n)
{
    memset(to, 0, n);
    return (int)n;
}

static int random_read(struct file *f unused, void *to, u32 n)
{
    return random_bytes(to, n);
}

static int klog_read_file(struct file *f, void *to, u32 n)
{
    int got = klog_read(f->pos, to, n);
    f->pos += (u32)got;
    return got;
}

static int net_read_file(struct file *f unused, void *to, u32 n)
{
    return net_read(to, n);
}

static int net_write_file(struct file *f unused, const void *from, u32 n)
{
    return net_write(from, n);
}

/* A disk as it is, past the cache: what `bench` and `hexdump` read. Through a page, in pieces of whole sectors. */
static int disk_transfer(struct file *f, u8 *user, u32 n, bool write)
{
    u64 bytes = blk_bytes(f->size);
    u32 done = 0, size = bytes < 0xfffff000 ? (u32)bytes : 0xfffff000; /* a file position has 32 bits */
    u8 *page = palloc();
    int error = !page ? -ENOMEM : write && blk_read_only(f->size) ? -EROFS : write && f->pos >= size ? -ENOSPC : 0;
    while (error == 0 && done < n && f->pos < size) {
        u32 start = f->pos & 511, room = PAGE_SIZE - start;
        u32 count = n - done < room ? n - done : room;
        if (count > size - f->pos)
            count = size - f->pos;
        u32 whole = (start + count + 511) & ~511u;
        bool part = start || whole != count;
        if ((!write || part) && (error = blk_rw(f->size, f->pos - start, page, whole, false)) < 0)
            break;
        memcpy(write ? page + start : user + done, write ? user + done : page + start, count);
        if (write && (error = blk_rw(f->size, f->pos - start, page, whole, true)) < 0)
            break;
        f->pos += count;
        done += count;
    }
    if (page)
        pfree(page);
    return done ? (int)done : error;
}

static int disk_read(struct file *f, void *to, u32 n)
{
    return disk_transfer(f, to, n, false);
}

static int disk_write(struct file *f, const void *from, u32 n)
{
    return disk_transfer(f, (u8 *)from, n, true);
}

static const struct device {
    const char *name;
    struct fileops ops;
    u32 minor;
} devices[] = {
    {"console", {console_read, console_write_file, NULL}, 0},
    {"null", {null_read, null_write, NULL}, 0},
    {"zero", {zero_read, null_write, NULL}, 0},
    {"random", {random_read, null_write, NULL}, 0},
    {"klog", {klog_read_file, NULL, NULL}, 0},
    {"net", {net_read_file, net_write_file, NULL}, 0},
    {"vda", {disk_read, disk_write, NULL}, 0},
    {"vdb", {disk_read, disk_write, NULL}, 1},
    {"vdc", {disk_read, disk_write, NULL}, 2},
    {"vdd", {disk_read, disk_write, NULL}, 3},
};

static bool there(const struct device *d)
{
    return d->ops.read != disk_read || blk_bytes(d->minor) > 0;
}

struct file *dev_open(const char *name, int flags, int *error)
{
    for (u32 i = 0; i < countof(devices); i++) {
        const struct device *d = &devices[i];
        if (strcmp(d->name, name) != 0)
            continue;
        *error = there(d) ? -EMFILE : -ENODEV;
        struct file *f = there(d) ? file_alloc(&d->ops, flags, NULL) : NULL;
        if (f)
            f->size = d->minor;
        return f;
    }
    *error = -ENOENT;
    return NULL;
}

int dev_readdir(u32 index, struct dirent *entry)
{
    for (u32 i = 0; i < countof(devices); i++) {
        const struct device *d = &devices[i];
        if (!there(d) || index-- > 0)
            continue;
        *entry = (struct dirent){.type = DT_DEVICE};
        if (d->ops.read == disk_read)
            entry->size = (u32)blk_bytes(d->minor);
        strlcpy(entry->name, d->name, sizeof(entry->name));
        return 1;
    }
    return 0;
}

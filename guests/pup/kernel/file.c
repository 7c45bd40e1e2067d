/*
 * file.c - open files and their names. An open file is one of: a disk file, a program in the initrd, a device, an end
 * of a pipe; `ops` knows how to read, write and close it. The name space has two levels:
 *
 *      /name        the disk (fs.c)
 *      /bin/name    the initrd (initrd.c)
 *      /dev/name    devices (dev.c)
 *
 * There are no other directories and no current one: slashes at the beginning make no difference.
 */
#include "proc.h"

#define NAME_MAX 64

static struct file files[NFILE];

struct file *file_alloc(const struct fileops *ops, int flags, void *object)
{
    for (struct file *f = files; f < files + NFILE; f++) {
        if (f->refs)
            continue;
        *f = (struct file){.ops = ops, .refs = 1, .flags = flags, .object = object};
        return f;
    }
    return NULL;
}

struct file *file_get(struct file *f)
{
    f->refs++;
    return f;
}

/* One user less. The last one closes the file, which can fail when it is written to the disk. */
int file_put(struct file *f)
{
    assert(f->refs > 0);
    int error = 0;
    if (f->refs == 1 && f->ops->close)
        error = f->ops->close(f); /* may sleep: the slot stays taken until it is done */
    f->refs--;
    return error;
}

/* Files on the disk. */

static int disk_read(struct file *f, void *to, u32 n)
{
    int got = fs_read(f->object, f->pos, to, n);
    if (got > 0)
        f->pos += (u32)got;
    return got;
}

static int disk_write(struct file *f, const void *from, u32 n)
{
    if (f->flags & O_APPEND)
        f->pos = fs_size(f->object);
    int put = fs_write(f->object, f->pos, from, n);
    if (put > 0)
        f->pos += (u32)put;
    return put;
}

static int disk_close(struct file *f)
{
    fs_close(f->object);
    return (f->flags & O_ACCESS) != O_RDONLY ? fs_sync() : 0;
}

static const struct fileops disk_ops = {disk_read, disk_write, disk_close};

/* Programs in the initrd, which is in memory. */

static int ram_read(struct file *f, void *to, u32 n)
{
    int got = file_pread(f, f->pos, to, n);
    f->pos += (u32)got;
    return got;
}

static const struct fileops ram_ops = {ram_read, NULL, NULL};

static const char *without_slashes(const char *path)
{
    while (*path == '/')
        path++;
    return path;
}

/* Is that "dev" or "dev/", if `name` is "dev"? */
static bool names(const char *path, const char *name)
{
    u32 n = strlen(name);
    return strncmp(path, name, n) == 0 && (path[n] == 0 || *without_slashes(path + n) == 0);
}

/* Why there can be no file of that name on the disk; 0 if there can. */
static int disk_name_error(const char *path)
{
    if (*path == 0 || names(path, "bin") || names(path, "dev"))
        return -EISDIR;
    return strchr(path, '/') ? -ENOTDIR : 0;
}

/* Opens a name. NULL and an error if that is not possible. */
struct file *file_open(const char *path, int flags, int *error)
{
    path = without_slashes(path);
    struct file *f = NULL;
    if ((*error = disk_name_error(path)) == -EISDIR)
        return NULL;
    if (strncmp(path, "dev/", 4) == 0)
        return dev_open(path + 4, flags, error);
    if (strncmp(path, "bin/", 4) == 0) {
        u32 length;
        const u8 *data = initrd_find(path + 4, &length);
        *error = !data ? -ENOENT : (flags & O_ACCESS) != O_RDONLY ? -EROFS : -EMFILE;
        if (*error == -EMFILE && (f = file_alloc(&ram_ops, flags, (void *)data)))
            f->size = length;
        return f;
    }
    if (*error)
        return NULL;
    bool write = (flags & O_ACCESS) != O_RDONLY;
    if (write && fs_read_only()) {
        *error = -EROFS;
        return NULL;
    }
    struct inode *inode = fs_open(path, flags & O_CREATE, error);
    if (!inode)
        return NULL;
    if ((flags & O_TRUNC) && write && (*error = fs_truncate(inode)) < 0) {
        fs_close(inode);
        return NULL;
    }
    *error = -EMFILE;
    if (!(f = file_alloc(&disk_ops, flags, inode)))
        fs_close(inode);
    return f;
}

/* Reads at an offset of a disk or initrd file; the file position stays. */
int file_pread(struct file *f, u32 offset, void *to, u32 n)
{
    if (f->ops == &disk_ops)
        return fs_read(f->object, offset, to, n);
    if (f->ops != &ram_ops)
        return -EINVAL;
    if (offset >= f->size)
        return 0;
    if (n > f->size - offset)
        n = f->size - offset;
    memcpy(to, (u8 *)f->object + offset, n);
    return (int)n;
}

/* The page at `offset` itself, if the file lies in RAM and on page borders: vm.c maps such pages. */
const u8 *file_in_ram(struct file *f, u32 offset)
{
    const u8 *page = (const u8 *)f->object + offset;
    return f->ops == &ram_ops && ((u32)page & ~PAGE_MASK) == 0 ? page : NULL;
}

u32 file_size(struct file *f)
{
    return f->ops == &disk_ops ? fs_size(f->object) : f->ops == &ram_ops ? f->size : 0;
}

/* Takes the lowest free descriptor of the current process; drops the file if there is none. */
int fd_install(struct file *f)
{
    for (int fd = 0; fd < NFD; fd++) {
        if (!current->fd[fd]) {
            current->fd[fd] = f;
            return fd;
        }
    }
    file_put(f);
    return -EMFILE;
}

struct file *fd_file(u32 fd)
{
    return fd < NFD ? current->fd[fd] : NULL;
}

int sys_open(u32 path, u32 flags)
{
    char name[NAME_MAX];
    int error = vm_string(path, name, sizeof(name));
    if (error < 0)
        return error;
    struct file *f = file_open(name, (int)flags, &error);
    return f ? fd_install(f) : error;
}

int sys_close(u32 fd)
{
    struct file *f = fd_file(fd);
    if (!f)
        return -EBADF;
    current->fd[fd] = NULL;
    return file_put(f);
}

int sys_dup2(u32 fd, u32 to)
{
    struct file *f = fd_file(fd);
    if (!f || to >= NFD)
        return -EBADF;
    if (fd == to)
        return (int)to;
    file_get(f);
    sys_close(to);
    current->fd[to] = f;
    return (int)to;
}

int sys_read(u32 fd, u32 to, u32 n)
{
    struct file *f = fd_file(fd);
    if (!f || (f->flags & O_ACCESS) == O_WRONLY || !f->ops->read)
        return -EBADF;
    return vm_range(to, n, true) ? f->ops->read(f, (void *)to, n) : -EFAULT;
}

int sys_write(u32 fd, u32 from, u32 n)
{
    struct file *f = fd_file(fd);
    if (!f || (f->flags & O_ACCESS) == O_RDONLY || !f->ops->write)
        return -EBADF;
    return vm_range(from, n, false) ? f->ops->write(f, (void *)from, n) : -EFAULT;
}

int sys_lseek(u32 fd, u32 offset, u32 whence)
{
    struct file *f = fd_file(fd);
    if (!f)
        return -EBADF;
    u32 base = whence == SEEK_CUR ? f->pos : whence == SEEK_END ? file_size(f) : 0;
    if (whence > SEEK_END || (s32)(base + offset) < 0)
        return -EINVAL;
    f->pos = base + offset;
    return (int)f->pos;
}

int sys_readdir(u32 path, u32 index, u32 to)
{
    char name[NAME_MAX];
    int error = vm_string(path, name, sizeof(name));
    if (error < 0)
        return error;
    if (!vm_range(to, sizeof(struct dirent), true))
        return -EFAULT;
    struct dirent *entry = (struct dirent *)to;
    const char *s = without_slashes(name);
    if (names(s, "dev"))
        return dev_readdir(index, entry);
    if (names(s, "bin"))
        return initrd_readdir(index, entry);
    if (*s)
        return -ENOTDIR;
    if (index >= 2)
        return fs_readdir(index - 2, entry);
    *entry = (struct dirent){.type = DT_DIRECTORY};
    strlcpy(entry->name, index ? "dev" : "bin", sizeof(entry->name));
    return 1;
}

int sys_unlink(u32 path)
{
    char name[NAME_MAX];
    int error = vm_string(path, name, sizeof(name));
    if (error < 0)
        return error;
    const char *s = without_slashes(name);
    if ((error = disk_name_error(s)) == -EISDIR)
        return error;
    if (strncmp(s, "bin/", 4) == 0 || strncmp(s, "dev/", 4) == 0)
        return -EROFS;
    if (error == 0)
        error = fs_unlink(s);
    return error < 0 ? error : fs_sync();
}

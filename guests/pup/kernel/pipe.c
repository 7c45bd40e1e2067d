/*
 * pipe.c - pipes: a ring of bytes in one page, with a reader's and a writer's end.
 *
 *      read ------v             v------ written        the place is the count modulo PIPE_SIZE, and both counts
 *      [ . . . . . b y t e s . . . . . ]               go back together before they can wrap
 */
#include "proc.h"

#define PIPE_SIZE (PAGE_SIZE - 4 * (u32)sizeof(u32))

struct pipe {
    u32 read, written;
    u32 readers, writers; /* open ends */
    u8 data[PIPE_SIZE];
};
_Static_assert(sizeof(struct pipe) == PAGE_SIZE, "a pipe is one page");

static int pipe_read(struct file *f, void *to, u32 n)
{
    struct pipe *p = f->object;
    while (p->read == p->written) {
        u32 flags = irq_save();
        int error = !p->writers || !n ? 0 : signal_waiting() ? -EINTR : 1;
        if (error == 1)
            sleep(&p->read, true);
        irq_restore(flags);
        if (error <= 0)
            return error;
    }
    u32 done = 0;
    while (done < n && p->read != p->written) {
        u32 at = p->read % PIPE_SIZE, count = PIPE_SIZE - at;
        if (count > p->written - p->read)
            count = p->written - p->read;
        if (count > n - done)
            count = n - done;
        memcpy((u8 *)to + done, p->data + at, count);
        p->read += count;
        done += count;
        if (p->read >= PIPE_SIZE) {
            p->read -= PIPE_SIZE;
            p->written -= PIPE_SIZE;
        }
    }
    wakeup(&p->written);
    return (int)done;
}

static int pipe_write(struct file *f, const void *from, u32 n)
{
    struct pipe *p = f->object;
    u32 done = 0;
    while (done < n) {
        if (!p->readers) {
            signal_send(current, SIGPIPE);
            return -EPIPE;
        }
        u32 at = p->written % PIPE_SIZE, count = PIPE_SIZE - at;
        if (count > PIPE_SIZE - (p->written - p->read))
            count = PIPE_SIZE - (p->written - p->read);
        if (count > n - done)
            count = n - done;
        if (count == 0) {
            if (signal_waiting())
                return done ? (int)done : -EINTR;
            u32 flags = irq_save();
            sleep(&p->written, true);
            irq_restore(flags);
            continue;
        }
        memcpy(p->data + at, (const u8 *)from + done, count);
        p->written += count;
        done += count;
        wakeup(&p->read);
    }
    return (int)done;
}

static int pipe_close(struct file *f)
{
    struct pipe *p = f->object;
    if ((f->flags & O_ACCESS) == O_RDONLY)
        p->readers--;
    else
        p->writers--;
    wakeup(&p->read);
    wakeup(&p->written);
    if (!p->readers && !p->writers)
        pfree(p);
    return 0;
}

static const struct fileops pipe_ops = {pipe_read, pipe_write, pipe_close};

int sys_pipe(u32 to)
{
    if (!vm_range(to, 2 * sizeof(int), true))
        return -EFAULT;
    struct pipe *p = palloc();
    if (!p)
        return -ENOMEM;
    p->read = p->written = 0;
    p->readers = p->writers = 1;
    struct file *in = file_alloc(&pipe_ops, O_RDONLY, p);
    struct file *out = file_alloc(&pipe_ops, O_WRONLY, p);
    if (!in || !out) {
        if (in || out)
            (in ? in : out)->refs = 0;
        pfree(p);
        return -EMFILE;
    }
    int read_fd = fd_install(in), write_fd = fd_install(out);
    if (read_fd < 0 || write_fd < 0) {
        if (read_fd >= 0)
            sys_close((u32)read_fd);
        return -EMFILE;
    }
    ((int *)to)[0] = read_fd;
    ((int *)to)[1] = write_fd;
    return 0;
}

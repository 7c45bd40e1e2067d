/*
 * proc.h - processes, their address spaces and open files.
 */
#ifndef PUP_PROC_H
#define PUP_PROC_H

#include "pup.h"

#define NPROC 64
#define NFD 16
#define NVMA 6

#define USER_TOP PAGE_OFFSET
#define STACK_LIMIT (4 * MB)
#define USER_FIRST 0x1000 /* the first page stays empty, so that NULL faults */

/*
 * What a trap or interrupt leaves on the kernel stack. trapasm.S pushes the upper half of this list, the CPU (direct
 * traps) or the host (reflected traps and interrupts) pushed the rest; esp and ss only when the trap came from ring 3.
 */
struct trapframe {
    u32 edi, esi, ebp, esp_ignored, ebx, edx, ecx, eax; /* pushal */
    u32 gs, fs, es, ds;
    u32 trapno;
    u32 err;
    u32 eip, cs, eflags;
    u32 esp, ss;
};
static inline bool from_user(const struct trapframe *tf)
{
    return (tf->cs & 3) == 3;
}

/* A stretch of an address space: [start, end), the first `filesz` bytes from a file, zeros after that. */
struct vma {
    u32 start, end;
    bool write;
    struct file *file;
    u32 offset, filesz;
};

/*
 *   0xC0000000  ---------------------------------- PAGE_OFFSET
 *               stack, grows down on touch          vma[VMA_STACK]
 *               ...
 *               heap, sys_brk                       vma[VMA_HEAP]
 *   0x08048000  program text and data               vma[2...]
 *            0  ----------------------------------
 */
#define VMA_STACK 0
#define VMA_HEAP 1
struct mm {
    pte_t *pgdir;
    u32 pages; /* present user pages */
    struct vma vma[NVMA];
};

struct desc {
    u32 low, high;
};

enum state { UNUSED, RUNNABLE, RUNNING, SLEEPING, ZOMBIE };

struct proc {
    enum state state;
    int pid, pgid;
    struct proc *parent;
    struct proc *next_ready; /* run queue */
    void *chan;              /* what it sleeps for */
    bool interruptible;      /* a signal may end the sleep */
    u32 context;             /* esp saved by swtch */
    u32 *kstack;             /* one page; its lowest word is STACK_MAGIC */
    struct trapframe *tf;    /* of the trap from ring 3 being served */
    struct mm mm;
    int status; /* of a zombie */
    char name[20];
    struct file *fd[NFD];
    u32 pending; /* signals, bit n is signal n */
    u32 handler[NSIG];
    u32 restorer;
    u32 switches;
    u64 cpu_ns, wake_at;
    struct desc tls[3];
    bool fpu_used;
    u8 fpu[108] aligned(4); /* fnsave image */
};
#define STACK_MAGIC 0x70757021u

extern struct proc procs[NPROC], *current;
extern bool need_resched;
extern u32 count_switches, runnable;

/* proc.c */
void proc_init(void);
struct proc *proc_find(int pid);
struct proc *proc_spawn(const char *name, void (*function)(void));
int sys_fork(void);
void noreturn proc_exit(int status);
int sys_wait(u32 pid, u32 result, u32 flags);
int sys_getprocs(u32 to, u32 n);
int sys_setpgid(u32 pid, u32 pgid);

/* sched.c */
void schedule(void);
void yield(void);
void sleep(void *chan, bool interruptible);
void wakeup(void *chan);
void make_runnable(struct proc *p);
void noreturn idle(void);
void proc_load(struct proc *next);
void proc_forget(struct proc *p);
u64 proc_cpu_ns(struct proc *p);

/* swtch.S */
void swtch(u32 *save_esp, u32 load_esp);
void proc_start(void);
void trap_return(void);

/* file.c */
struct fileops {
    int (*read)(struct file *f, void *to, u32 n);
    int (*write)(struct file *f, const void *from, u32 n);
    int (*close)(struct file *f);
};
struct file {
    const struct fileops *ops;
    u32 refs;
    int flags; /* O_ACCESS and O_APPEND */
    u32 pos;
    void *object; /* inode, pipe or initrd data */
    u32 size;     /* of an initrd file; minor number of a device */
};
struct file *file_alloc(const struct fileops *ops, int flags, void *object);
struct file *file_open(const char *path, int flags, int *error);
struct file *file_get(struct file *f);
int file_put(struct file *f);
int file_pread(struct file *f, u32 offset, void *to, u32 n);
const u8 *file_in_ram(struct file *f, u32 offset);
u32 file_size(struct file *f);
int fd_install(struct file *f);
struct file *fd_file(u32 fd);
int sys_close(u32 fd);
int sys_dup2(u32 fd, u32 to);
int sys_open(u32 path, u32 flags);
int sys_read(u32 fd, u32 to, u32 n);
int sys_write(u32 fd, u32 from, u32 n);
int sys_lseek(u32 fd, u32 offset, u32 whence);
int sys_readdir(u32 path, u32 index, u32 to);
int sys_unlink(u32 path);

/* dev.c, pipe.c */
struct file *dev_open(const char *name, int flags, int *error);
int dev_readdir(u32 index, struct dirent *entry);
int sys_pipe(u32 to);

#endif

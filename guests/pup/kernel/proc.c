/*
 * proc.c - the life of a process: fork, exit, wait.
 *
 *      UNUSED --fork--> RUNNABLE <--> RUNNING --exit--> ZOMBIE --wait by the parent--> UNUSED
 *                          ^             |
 *                          +- SLEEPING <-+
 */
#include "proc.h"

struct proc procs[NPROC];
static int last_pid;

extern u32 boot_stack[];

/* Makes what is running now process 0, the idle process. */
void proc_init(void)
{
    procs[0].state = RUNNING;
    procs[0].kstack = boot_stack;
    boot_stack[0] = STACK_MAGIC;
    strlcpy(procs[0].name, "idle", sizeof(procs[0].name));
}

struct proc *proc_find(int pid)
{
    for (struct proc *p = procs + 1; p < procs + NPROC; p++)
        if (p->state != UNUSED && p->pid == pid)
            return p;
    return NULL;
}

/* A process without address space, its kernel stack ready for swtch; `function` as in swtch.S. NULL and an error. */
static struct proc *proc_alloc(void (*function)(void), int *error)
{
    struct proc *p = procs + 1;
    while (p < procs + NPROC && p->state != UNUSED)
        p++;
    *error = p == procs + NPROC ? -EAGAIN : memory_is_short() ? -ENOMEM : 0;
    if (*error)
        return NULL;
    memset(p, 0, offsetof(struct proc, fpu)); /* fpu_used says whether fpu is filled */
    *error = -ENOMEM;
    if (!(p->kstack = palloc()))
        return NULL;
    *p->kstack = STACK_MAGIC;
    p->pid = ++last_pid;
    p->tf = (struct trapframe *)((u32)p->kstack + PAGE_SIZE) - 1;
    memset(p->tf, 0, sizeof(*p->tf));
    u32 *stack = (u32 *)p->tf;
    *--stack = (u32)proc_start;
    *--stack = 0;             /* ebp: ends backtraces */
    *--stack = (u32)function; /* ebx */
    *--stack = 0;             /* esi */
    *--stack = 0;             /* edi */
    p->context = (u32)stack;
    return p;
}

/* Starts a process in the kernel; it reaches ring 3 by calling exec and returning. */
struct proc *proc_spawn(const char *name, void (*function)(void))
{
    int error;
    struct proc *p = proc_alloc(function, &error);
    assert(p);
    strlcpy(p->name, name, sizeof(p->name));
    p->pgid = p->pid;
    u32 flags = irq_save();
    make_runnable(p);
    irq_restore(flags);
    return p;
}

int sys_fork(void)
{
    int error;
    struct proc *child = proc_alloc(NULL, &error);
    if (!child)
        return error;
    if (vm_copy(&child->mm, &current->mm) < 0) {
        pfree(child->kstack);
        return -ENOMEM;
    }
    *child->tf = *current->tf;
    child->tf->eax = 0;
    child->parent = current;
    child->pgid = current->pgid;
    strlcpy(child->name, current->name, sizeof(child->name));
    for (int i = 0; i < NFD; i++)
        if (current->fd[i])
            child->fd[i] = file_get(current->fd[i]);
    memcpy(child->handler, current->handler, sizeof(child->handler));
    child->restorer = current->restorer;
    memcpy(child->tls, current->tls, sizeof(child->tls));
    fpu_fork(child);

    u32 flags = irq_save();
    make_runnable(child);
    irq_restore(flags);
    return child->pid;
}

/* Ends the current process. All but the struct and the kernel stack we stand on is given back here. */
void noreturn proc_exit(int status)
{
    struct proc *init = proc_find(1);
    if (current == init)
        panic("init ended with status %d", status);
    irq_enable(); /* closing files may write to the disk */
    for (u32 i = 0; i < NFD; i++)
        if (current->fd[i])
            sys_close(i);
    vm_free(&current->mm);
    proc_forget(current); /* after the last thing that might sleep, and so be loaded once more */

    irq_save();
    for (struct proc *p = procs + 1; p < procs + NPROC; p++)
        if (p->state != UNUSED && p->parent == current)
            p->parent = init;
    wakeup(init);
    wakeup(current->parent);
    current->status = status;
    current->state = ZOMBIE;
    schedule();
    panic("a zombie runs");
}

/* Takes a dead child off the books; pid -1 means any. */
int sys_wait(u32 pid, u32 result, u32 flags)
{
    if (result && !vm_range(result, sizeof(struct wait_result), true))
        return -EFAULT;
    for (;;) {
        bool children = false;
        irq_save();
        for (struct proc *p = procs + 1; p < procs + NPROC; p++) {
            if (p->state == UNUSED || p->parent != current || ((int)pid != -1 && p->pid != (int)pid))
                continue;
            children = true;
            if (p->state != ZOMBIE)
                continue;
            irq_enable();
            if (result)
                *(struct wait_result *)result = (struct wait_result){.status = p->status, .cpu_ns = p->cpu_ns};
            int dead = p->pid;
            pfree(p->kstack);
            p->state = UNUSED;
            return dead;
        }
        int error = !children ? -ECHILD : flags & WAIT_NOHANG ? 0 : signal_waiting() ? -EINTR : 1;
        if (error <= 0) {
            irq_enable();
            return error;
        }
        sleep(current, true);
        irq_enable();
    }
}

int sys_getprocs(u32 to, u32 n)
{
    if (n > NPROC)
        n = NPROC;
    if (!vm_range(to, n * sizeof(struct proc_info), true))
        return -EFAULT;
    struct proc_info *info = (struct proc_info *)to;
    for (struct proc *p = procs; p < procs + NPROC && info < (struct proc_info *)to + n; p++) {
        if (p->state == UNUSED)
            continue;
        *info = (struct proc_info){
            .pid = p->pid,
            .parent = p->parent ? p->parent->pid : 0,
            .state = p->state == ZOMBIE ? 'Z' : p->state == SLEEPING || p == &procs[0] ? 'S' : 'R',
            .pages = p->mm.pages,
            .switches = p->switches,
            .cpu_ns = proc_cpu_ns(p),
        };
        strlcpy(info->name, p->name, sizeof(info->name));
        info++;
    }
    return (int)(info - (struct proc_info *)to);
}

int sys_setpgid(u32 pid, u32 pgid)
{
    struct proc *p = pid ? proc_find((int)pid) : current;
    if (!p || (p != current && p->parent != current))
        return -ESRCH;
    p->pgid = pgid ? (int)pgid : p->pid;
    return 0;
}

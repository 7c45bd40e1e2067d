/*
 * signal.c - signals: a bit in the receiver, looked at on its way to ring 3. Without a handler a signal ends the
 * process. For a handler the program's registers go onto its own stack, and it goes on in the handler:
 *
 *      old esp ->  ...
 *                  struct trapframe       what sigreturn restores
 *                  signal number          the handler's argument
 *      esp ->      restorer               its return address; calls SYS_sigreturn
 */
#include "proc.h"

struct signal_frame {
    u32 restorer, signal;
    struct trapframe tf;
};

/* What a program may change in its eflags: arithmetic flags, TF, DF, AC and ID. */
#define USER_FLAGS 0x00240dd5u

/* May be called by interrupt handlers. */
void signal_send(struct proc *p, int signal)
{
    u32 flags = irq_save();
    if (p->state != UNUSED && p->state != ZOMBIE) {
        p->pending |= 1u << signal;
        if (p->state == SLEEPING && p->interruptible)
            make_runnable(p);
    }
    irq_restore(flags);
}

/* To all processes of a group but init, without which nothing would go on; returns how many. */
int signal_send_group(int pgid, int signal)
{
    int n = 0;
    for (struct proc *p = procs + 1; p < procs + NPROC; p++) {
        if (p->state == UNUSED || p->state == ZOMBIE || p->pgid != pgid || p->pid == 1)
            continue;
        signal_send(p, signal);
        n++;
    }
    return n;
}

/* Is there one that ends the process or calls a handler? The ignored ones are dropped. */
bool signal_waiting(void)
{
    if (!current->pending)
        return false;
    for (u32 s = 1; s < NSIG; s++)
        if (current->handler[s] == SIG_IGN)
            current->pending &= ~(1u << s);
    return current->pending != 0;
}

void signal_deliver(struct trapframe *tf)
{
    u32 flags = irq_save();
    u32 signal = (u32)__builtin_ctz(current->pending), handler = current->handler[signal];
    if (current->pending & (1u << SIGKILL))
        signal = SIGKILL, handler = SIG_DFL;
    current->pending &= ~(1u << signal);
    irq_restore(flags);
    if (handler == SIG_DFL)
        proc_exit(128 + (int)signal);

    u32 esp = (tf->esp - sizeof(struct signal_frame)) & ~3u;
    if (!vm_range(esp, sizeof(struct signal_frame), true))
        proc_exit(128 + SIGSEGV);
    struct signal_frame *frame = (struct signal_frame *)esp;
    frame->restorer = current->restorer;
    frame->signal = signal;
    frame->tf = *tf;
    tf->esp = esp;
    tf->eip = handler;
    tf->eflags &= ~0x400u; /* functions expect DF clear */
}

/* esp is where the handler's `ret` left it: at the signal number. Only what ring 3 may decide is taken back. */
int sys_sigreturn(void)
{
    struct trapframe *tf = current->tf, *saved = (struct trapframe *)(tf->esp + 4);
    if (!vm_range((u32)saved, sizeof(*saved), false))
        proc_exit(128 + SIGSEGV);
    struct trapframe was = *tf;
    *tf = *saved;
    tf->cs = was.cs;
    tf->ss = was.ss;
    tf->ds = was.ds;
    tf->es = was.es;
    tf->fs = was.fs;
    tf->gs = was.gs;
    tf->trapno = was.trapno;
    tf->err = was.err;
    tf->eflags = (tf->eflags & USER_FLAGS) | EFLAGS_IF;
    return (int)tf->eax; /* which syscall() stores where it is already */
}

int sys_signal(u32 signal, u32 handler, u32 restorer)
{
    if (signal == 0 || signal >= NSIG || signal == SIGKILL)
        return -EINVAL;
    if (handler > SIG_IGN && (handler >= USER_TOP || restorer >= USER_TOP))
        return -EFAULT;
    u32 old = current->handler[signal];
    current->handler[signal] = handler;
    current->restorer = restorer;
    return (int)old;
}

/* A negative pid means the process group -pid. */
int sys_kill(u32 pid, u32 signal)
{
    if (signal >= NSIG || pid == 0)
        return -EINVAL;
    if ((int)pid < 0)
        return signal_send_group(-(int)pid, (int)signal) ? 0 : -ESRCH;
    struct proc *p = proc_find((int)pid);
    if (!p || p->state == ZOMBIE)
        return -ESRCH;
    if (pid == 1)
        return -EPERM;
    if (signal)
        signal_send(p, (int)signal);
    return 0;
}

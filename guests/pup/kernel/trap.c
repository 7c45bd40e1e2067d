/*
 * trap.c - the interrupt descriptor table, and what to do about each trap.
 *
 * A gate is two words:
 *
 *      high  | offset 31..16 | P | DPL | 0 | type (4) | 0 |      type 0xE: interrupt gate, 0xF: trap gate
 *      low   | selector      | offset 15..0           |
 *
 * The type decides more than it does on bare metal. Through an interrupt gate the host clears irq_enabled on the way,
 * so such gates always pass through the host. A trap gate can go into the CPU's real IDT: "direct traps" from ring 3
 * reach us without any world switch. That is why int 0x80 is a trap gate. Vectors 7, 13 and 14 pass through the
 * host anyway: it must look at them first, and often deals with them itself.
 */
#include "proc.h"

#define GATE_INTERRUPT 0xe
#define GATE_TRAP 0xf

extern char trap_stubs[];
u32 traps_reflected;

void trap(struct trapframe *tf);
void return_to_user(struct trapframe *tf);

static void set_gate(u32 vector, u32 type, u32 dpl)
{
    u32 handler = (u32)trap_stubs + vector * 16;
    hcall_lazy(LHCALL_LOAD_IDT_ENTRY, vector, (KERNEL_CS << 16) | (handler & 0xffff),
               (handler & 0xffff0000) | 0x8000 | (dpl << 13) | (type << 8));
}

void traps_init(void)
{
    lazy_begin(); /* 256 gates, but only a call for each 64 of them */
    for (u32 vector = 0; vector < 256; vector++) {
        bool from_host = vector == 7 || vector == 13 || vector == 14 || vector >= FIRST_IRQ_VECTOR;
        if (vector == SYSCALL_VECTOR || vector == 3 || vector == 4)
            set_gate(vector, GATE_TRAP, 3);
        else
            set_gate(vector, from_host ? GATE_INTERRUPT : GATE_TRAP, 0);
    }
    /* Flat code and data for ring 3; the host made ours, 12 and 13, before we started. */
    hcall_lazy(LHCALL_LOAD_GDT_ENTRY, GDT_USER_CS, 0x0000ffff, 0x00cffb00);
    hcall_lazy(LHCALL_LOAD_GDT_ENTRY, GDT_USER_DS, 0x0000ffff, 0x00cff300);
    lazy_end();
}

static const struct {
    u8 signal;
    const char *name;
} exceptions[20] = {
    [0] = {SIGFPE, "divide error"},
    [1] = {SIGTRAP, "debug"},
    [3] = {SIGTRAP, "breakpoint"},
    [4] = {SIGSEGV, "overflow"},
    [5] = {SIGSEGV, "bound"},
    [6] = {SIGILL, "invalid opcode"},
    [10] = {SIGSEGV, "invalid TSS"},
    [11] = {SIGSEGV, "segment not present"},
    [12] = {SIGSEGV, "stack segment"},
    [13] = {SIGSEGV, "general protection"},
    [14] = {SIGSEGV, "page fault"},
    [16] = {SIGFPE, "floating point"},
    [17] = {SIGSEGV, "alignment"},
    [19] = {SIGFPE, "SIMD"},
};

static void exception(struct trapframe *tf, u32 cr2)
{
    const char *name = tf->trapno < countof(exceptions) ? exceptions[tf->trapno].name : NULL;
    if (!from_user(tf))
        oops(name ? name : "unexpected trap", tf);
    if (!name || !exceptions[tf->trapno].signal) {
        printk("%s[%d]: unexpected trap %u\n", current->name, current->pid, tf->trapno);
        return;
    }
    u32 signal = exceptions[tf->trapno].signal;
    if (current->handler[signal] == SIG_IGN)
        current->handler[signal] = SIG_DFL; /* nobody can ignore an instruction that never ends */
    if (current->handler[signal] == SIG_DFL)
        printk("%s[%d]: %s at eip 0x%x, esp 0x%x, address 0x%x, error %u\n", current->name, current->pid, name,
               tf->eip, tf->esp, cr2, tf->err);
    signal_send(current, (int)signal);
}

/*
 * Error code of a page fault: bit 0 the page was there (so it is about rights), bit 1 a write, bit 2 from ring 3.
 * Faults on addresses of the kernel never come here from ring 3 programs that behave: all of RAM is mapped, and the
 * host fills its shadow without telling us. And kernel code makes sure of user pages before it touches them (vm_range),
 * so a fault from ring 1 is a bug of ours.
 */
static void page_fault(struct trapframe *tf, u32 cr2)
{
    int error = from_user(tf) && cr2 < USER_TOP ? vm_fault(cr2, tf->err & 2) : -EFAULT;
    if (error == -ENOMEM) {
        printk("%s[%d]: out of memory\n", current->name, current->pid);
        signal_send(current, SIGKILL);
    } else if (error < 0) {
        exception(tf, cr2);
    }
}

/*
 * The last things before ring 3, with interrupts off from the final look at each of them until the iret. An interrupt
 * that waits is let in here: a program that only computes may not give the host another occasion for a long time.
 */
void return_to_user(struct trapframe *tf)
{
    for (;;) {
        lguest_data.irq_enabled = 0;
        if (signal_waiting()) {
            irq_enable();
            signal_deliver(tf);
        } else if (need_resched) {
            yield();
        } else if (lguest_data.irq_pending) {
            irq_enable();
        } else {
            return;
        }
    }
}

void trap(struct trapframe *tf)
{
    u32 vector = tf->trapno;
    if (from_user(tf))
        current->tf = tf;
    if (vector >= FIRST_IRQ_VECTOR && vector < FIRST_IRQ_VECTOR + LGUEST_IRQS) {
        irq_dispatch((int)(vector - FIRST_IRQ_VECTOR));
    } else if (vector == SYSCALL_VECTOR) {
        syscall(tf);
    } else {
        u32 cr2 = lguest_data.cr2; /* before an interrupt can bring another fault */
        traps_reflected += vector == 7 || vector == 13 || vector == 14;
        if (tf->eflags & EFLAGS_IF)
            irq_enable();
        if (vector == 14)
            page_fault(tf, cr2);
        else if (vector == 7 && from_user(tf))
            fpu_trap();
        else
            exception(tf, 0);
    }
    if (from_user(tf))
        return_to_user(tf);
    else
        lguest_data.irq_enabled = 0; /* trap_return restores it */
}

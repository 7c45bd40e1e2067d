/*
 * panic.c - how pup stops: on purpose, on a bug, on a fault in the kernel. Each ends in the SHUTDOWN hypercall with
 * a text; the host shows it to the person who ran us.
 */
#include "proc.h"

#define POWER_DOWN "Power down" /* the text that means no harm was done */

static void noreturn shutdown_with(const char *text, int kind)
{
    hcall(LHCALL_SHUTDOWN, __pa(text), (u32)kind, 0);
    for (;;) /* it does not return */
        hcall(LHCALL_HALT, 0, 0, 0);
}

void noreturn shutdown(int kind)
{
    console_flush();
    if (kind == REBOOT_RESTART)
        shutdown_with("Restarting", LGUEST_SHUTDOWN_RESTART);
    shutdown_with(POWER_DOWN, LGUEST_SHUTDOWN_POWEROFF);
}

static void noreturn die(const char *text)
{
    static char reason[128];
    lguest_data.irq_enabled = 0;
    strlcpy(reason, text, sizeof(reason));
    console_flush();
    shutdown_with(reason, LGUEST_SHUTDOWN_POWEROFF);
}

void noreturn panic(const char *format, ...)
{
    char text[120];
    int n = snprintf(text, sizeof(text), "pup panic: ");
    va_list args;
    va_start(args, format);
    vsnprintf(text + n, sizeof(text) - (u32)n, format, args);
    va_end(args);
    lguest_data.irq_enabled = 0;
    quiet = false;
    printk("%s\n", text);
    die(text);
}

/* The chain of saved frame pointers: [ebp] is the caller's ebp, [ebp+4] where it will go on. */
static void backtrace(u32 ebp)
{
    printk("called from:");
    for (int depth = 0; depth < 12 && ebp >= PAGE_OFFSET && ebp < PAGE_OFFSET + ram_bytes - 8 && !(ebp & 3); depth++) {
        printk(" %08x", ((u32 *)ebp)[1]);
        if (((u32 *)ebp)[0] <= ebp)
            break;
        ebp = ((u32 *)ebp)[0];
    }
    printk("\n");
}

/* BUG() put `ud2`, a 16-bit line and the address of a file name into the code. Returns NULL for any other ud2. */
static const char *bug_file(struct trapframe *tf, u32 *line)
{
    extern char __bss_start[];
    const u8 *code = (const u8 *)tf->eip;
    if (tf->trapno != 6 || tf->eip < PAGE_OFFSET || code[0] != 0x0f || code[1] != 0x0b)
        return NULL;
    u32 file;
    memcpy(&file, code + 4, 4);
    *line = code[2] | (u32)code[3] << 8;
    return file > PAGE_OFFSET && file < (u32)__bss_start ? (const char *)file : NULL;
}

/* A trap in the kernel that must not happen. */
void noreturn oops(const char *what, struct trapframe *tf)
{
    static bool again;
    char text[120];
    u32 line, cr2 = lguest_data.cr2;
    lguest_data.irq_enabled = 0;
    if (again)
        die("pup panic: trap while reporting a trap");
    again = true;
    quiet = false;
    const char *file = bug_file(tf, &line);
    if (file)
        snprintf(text, sizeof(text), "pup panic: BUG at %s:%u", file, line);
    else if (tf->trapno == 14)
        snprintf(text, sizeof(text), "pup panic: kernel page fault %s %08x at eip %08x",
                 tf->err & 2 ? "writing" : "reading", cr2, tf->eip);
    else
        snprintf(text, sizeof(text), "pup panic: %s in the kernel at eip %08x, error %x", what, tf->eip, tf->err);
    printk("%s\n", text);
    printk("eax %08x ebx %08x ecx %08x edx %08x\n", tf->eax, tf->ebx, tf->ecx, tf->edx);
    printk("esi %08x edi %08x ebp %08x esp %08x\n", tf->esi, tf->edi, tf->ebp, (u32)&tf->esp);
    printk("process %d (%s), trap %u, error %x, eflags %x, cs %x\n", current->pid, current->name, tf->trapno, tf->err,
           tf->eflags, tf->cs);
    backtrace(tf->ebp);
    die(text);
}

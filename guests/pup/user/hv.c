/*
 * hv.c - what a guest can know of its hypervisor: what it was told, what the CPU leaks in instructions that need no
 * privilege, and what pup counted.
 */
#include "libpup.h"

static const char *const calls[HV_CALLS] = {
    "FLUSH_ASYNC", "LGUEST_INIT", "SHUTDOWN", NULL, "NEW_PGTABLE", "FLUSH_TLB", "LOAD_IDT_ENTRY", "SET_STACK", "TS",
    "SET_CLOCKEVENT", "HALT", NULL, NULL, NULL, "SET_PTE", "SET_PGD", "LOAD_TLS", "NOTIFY", "LOAD_GDT_ENTRY",
    "SEND_INTERRUPTS",
};
static const char *const devices[] = {"?", "network", "block", "console", "random"};

struct table {
    u16 limit;
    u32 base;
} packed;

static void cpu(void)
{
    u32 a, b, c, d, cr0, tr, cs, flags;
    struct table gdt, idt;
    char vendor[13] = {0};
    asm("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0));
    memcpy(vendor, &b, 4);
    memcpy(vendor + 4, &d, 4);
    memcpy(vendor + 8, &c, 4);
    u32 leaves = a;
    asm("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(1));
    printf("cpuid: %s, %u leaves, family %u model %u stepping %u, features %08x %08x\n", vendor, leaves, a >> 8 & 15,
           a >> 4 & 15, a & 15, d, c);
    asm volatile("sgdt %0" : "=m"(gdt));
    asm volatile("sidt %0" : "=m"(idt));
    asm volatile("str %0" : "=r"(tr));
    asm volatile("smsw %0" : "=r"(cr0));
    asm volatile("movl %%cs, %0" : "=r"(cs));
    asm volatile("pushfl; popl %0" : "=r"(flags));
    printf("program: cs %02x (ring %u), eflags %08x\n", cs & 0xffff, cs & 3, flags);
    printf("leaks: sgdt %08x limit %x, sidt %08x limit %x, str %02x, smsw %08x\n", gdt.base, gdt.limit, idt.base,
           idt.limit, tr & 0xffff, cr0);
}

int main(void)
{
    static struct hv_info h;
    int error = sys(SYS_hvinfo, &h);
    if (error < 0)
        fail("hv", error);
    printf("lguest_data at guest-physical %08x, kernel at %08x, RAM %u KiB\n", h.lguest_data_gpa, h.kernel_address,
           h.ram_bytes / 1024);
    printf("reserved for the hypervisor: %u KiB from %08x\n", h.reserve_mem / 1024, 0u - h.reserve_mem);
    printf("time-stamp counter: %u kHz%s\n", h.tsc_khz, h.tsc_khz ? "" : " (not to be trusted)");
    printf("kernel: cs %02x (ring %u), no interrupts between %08x and %08x\n", h.kernel_cs & 0xffff, h.kernel_cs & 3,
           h.noirq_start, h.noirq_end);
    cpu();
    printf("traps through the host: %u, FPU handovers: %u\n", h.traps_reflected, h.fpu_switches);
    for (u32 i = 0; i < h.ndevices; i++)
        printf("device %u: %s, %u queues, interrupt %u, at %08x\n", i,
               h.devices[i].type < countof(devices) ? devices[h.devices[i].type] : "?", h.devices[i].queues,
               h.devices[i].irq, h.devices[i].gpa);
    printf("%-18s %9s %9s\n", "hypercalls", "direct", "queued");
    for (u32 i = 0; i < HV_CALLS; i++)
        if (h.hypercalls[i] || h.queued[i])
            printf("  %-16s %9u %9u\n", calls[i] ? calls[i] : "?", h.hypercalls[i], h.queued[i]);
    printf("interrupts:");
    for (u32 i = 0; i < 32; i++)
        if (h.irqs[i])
            printf(" %u: %u", i, h.irqs[i]);
    printf(", blocked %08x\n", h.irq_blocked);
    return 0;
}

/*
 * hv.c - what pup knows of the hypervisor below it, for the `hv` program, and a way to time a hypercall.
 */
#include "proc.h"
#include "virtio.h"

extern u32 fpu_switches;

int sys_hvinfo(u32 to)
{
    if (!vm_range(to, sizeof(struct hv_info), true))
        return -EFAULT;
    struct hv_info *info = (struct hv_info *)to;
    memset(info, 0, sizeof(*info));
    info->reserve_mem = lguest_data.reserve_mem;
    info->tsc_khz = lguest_data.tsc_khz;
    info->kernel_address = lguest_data.kernel_address;
    info->lguest_data_gpa = __pa(&lguest_data);
    info->ram_bytes = ram_bytes;
    info->noirq_start = lguest_data.noirq_start;
    info->noirq_end = lguest_data.noirq_end;
    info->irq_blocked = lguest_data.blocked_interrupts;
    info->traps_reflected = traps_reflected;
    info->fpu_switches = fpu_switches;
    asm("movl %%cs, %0" : "=r"(info->kernel_cs));
    memcpy(info->hypercalls, hcalls_direct, sizeof(info->hypercalls));
    memcpy(info->queued, hcalls_queued, sizeof(info->queued));
    memcpy(info->irqs, irq_counts, sizeof(info->irqs));
    const u8 *page = __va(ram_bytes);
    for (const u8 *d = page; d + 5 < page + PAGE_SIZE && d[0] && info->ndevices < countof(info->devices);
         d += 5 + 8 * d[1] + 2 * d[2] + d[3]) {
        info->devices[info->ndevices].type = d[0];
        info->devices[info->ndevices].queues = d[1];
        info->devices[info->ndevices].irq = d[1] ? d[7] | (u32)d[8] << 8 : 0;
        info->devices[info->ndevices].gpa = __pa(d);
        info->ndevices++;
    }
    return 0;
}

/* n hypercalls that do nothing, each a full way to the host and back. */
int sys_hypercall(u32 n)
{
    while (n--)
        hcall(LHCALL_FLUSH_ASYNC, 0, 0, 0);
    return 0;
}

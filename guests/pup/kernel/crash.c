/*
 * crash.c - misbehaving on purpose. Whatever a guest does, it may hurt only itself; each of these should end pup, with
 * a reason that a person can read, and nothing else. Those marked "pup" end in pup's own panic.
 */
#include "proc.h"
#include "virtio.h"

static u32 hole(void)
{
    return USER_TOP - 16 * MB; /* between heap and stack nothing is mapped */
}

/* A page table entry for memory far behind the end of ours. */
static void bad_page_table(void)
{
    pte_t *pte = pte_find(current->mm.pgdir, hole(), true);
    if (!pte)
        return;
    *pte = 0xfff00000 | PTE_P | PTE_W | PTE_A;
    *(volatile u32 *)hole() = 1;
}

/* A chain whose only descriptor points to itself; any device must follow it until it has enough. */
static void bad_virtqueue(void)
{
    const u8 *console = NULL, *page = __va(ram_bytes);
    for (const u8 *d = page; d[0]; d += 5 + 8 * d[1] + 2 * d[2] + d[3])
        if (d[0] == VIRTIO_CONSOLE)
            console = d;
    if (!console)
        return;
    u16 num;
    u32 pfn;
    memcpy(&num, console + 5 + 8, sizeof(num)); /* queue 1, output */
    memcpy(&pfn, console + 5 + 8 + 4, sizeof(pfn));
    struct vring_desc *desc = __va(pfn * PAGE_SIZE);
    struct vring_avail *avail = (struct vring_avail *)(desc + num);
    desc[0] = (struct vring_desc){.address = 0, .length = 1, .flags = VRING_NEXT, .next = 0};
    avail->ring[avail->idx % num] = 0;
    avail->idx++;
    hcall(LHCALL_NOTIFY, pfn * PAGE_SIZE, 0, 0);
}

int sys_crash(u32 kind)
{
    u32 switcher = 0u - lguest_data.reserve_mem;
    fs_sync();
    console_flush();
    switch (kind) {
    case CRASH_HYPERCALL: /* a number that means nothing */
        hcall(99, 0, 0, 0);
        break;
    case CRASH_GDT: /* the table has 32 entries */
        hcall(LHCALL_LOAD_GDT_ENTRY, 32, 0x0000ffff, 0x00cf9300);
        break;
    case CRASH_GDT_LIVE: /* entry 12 is the code segment we run in */
        hcall(LHCALL_LOAD_GDT_ENTRY, KERNEL_CS / 8, 0, 0);
        break;
    case CRASH_PAGETABLE:
        bad_page_table();
        break;
    case CRASH_STACK: /* the host wants it mapped and writable at once */
        hcall(LHCALL_SET_STACK, KERNEL_DS, hole(), 1);
        break;
    case CRASH_BUG: /* pup */
        BUG();
    case CRASH_SWITCHER_JUMP: /* pup: privileged code, executed in ring 1 */
        asm volatile("jmp *%0" : : "r"(switcher));
        break;
    case CRASH_SWITCHER_WRITE: /* pup: the text is read-only */
        *(volatile u32 *)switcher = 0;
        break;
    case CRASH_VIRTQUEUE:
        bad_virtqueue();
        break;
    case CRASH_POINTER: /* pup */
        *(volatile u32 *)hole() = 1;
        break;
    case CRASH_IDT: /* type 5 is a task gate */
        hcall(LHCALL_LOAD_IDT_ENTRY, 14, KERNEL_CS << 16, 0x8500);
        break;
    case CRASH_INIT_TWICE:
        hcall(LHCALL_LGUEST_INIT, __pa(&lguest_data), 0, 0);
        break;
    default:
        return -EINVAL;
    }
    /* A device finds the malformed chain in its own time. */
    u32 flags = irq_save();
    sleep_until(uptime_ns() + 1000ull * MS);
    irq_restore(flags);
    return -EIO; /* still alive */
}

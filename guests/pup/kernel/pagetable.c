/*
 * pagetable.c - pup's page tables, which the CPU never sees.
 *
 *      31        22 21        12 11         0
 *      +-----------+------------+------------+        entry:  31 .. 12  page
 *      | directory |   table    |   offset   |                6 dirty, 5 accessed, 2 user, 1 writable, 0 present
 *      +-----------+------------+------------+
 *
 * The host keeps shadow tables, filled from ours one fault at a time, and the CPU walks those. Three rules follow:
 *   - A new entry where there was none needs no call: the shadow has none either, and the fault brings it in. Telling
 *     the host with SET_PTE (accessed bit set) just saves that fault.
 *   - A changed or removed entry needs SET_PTE, SET_PGD or FLUSH_TLB; without it the old one may live on in the shadow.
 *   - A page directory is known by its address. Before its page is used for another, all of it must be taken back.
 *
 * The upper quarter, all RAM at PAGE_OFFSET, is complete before the second directory exists, so every directory just
 * copies those 256 entries and they never change. Dirty and accessed are set there from the start: the host then maps
 * a page writable on its first touch and not in two steps.
 */
#include "pup.h"

#define KERNEL_PDE (PAGE_OFFSET >> 22)
#define DEVICE_BYTES MB /* device page and rings: up to 256 pages behind RAM */

pte_t swapper_pg_dir[1024] aligned(4096);
pte_t *current_pgdir = swapper_pg_dir;

/* Maps all RAM and the device pages; entry.S mapped the first 4 MiB, which hold all the tables made here. */
void pagetable_init(void)
{
    u32 end = ram_bytes + DEVICE_BYTES;
    for (u32 gpa = 4 * MB; gpa < end; gpa += 4 * MB) {
        pte_t *table = early_pages(1);
        pte_t entry = gpa | PTE_KERNEL;
        for (u32 i = 0; i < 1024; i++, entry += PAGE_SIZE)
            table[i] = entry;
        swapper_pg_dir[KERNEL_PDE + gpa / (4 * MB)] = __pa(table) | PTE_KERNEL;
    }
    swapper_pg_dir[0] = 0; /* the mapping entry.S needed at address 0: from now on NULL faults */
    hcall(LHCALL_SET_PGD, __pa(swapper_pg_dir), 0, 0);
}

/* A directory with the kernel's part only; NULL when memory is out. */
pte_t *pgdir_create(void)
{
    pte_t *pgdir = palloc();
    if (!pgdir)
        return NULL;
    memset(pgdir, 0, KERNEL_PDE * sizeof(pte_t));
    memcpy(pgdir + KERNEL_PDE, swapper_pg_dir + KERNEL_PDE, (1024 - KERNEL_PDE) * sizeof(pte_t));
    return pgdir;
}

/* Where the entry for gva is. NULL: there is no table for it, or no memory for one. */
pte_t *pte_find(pte_t *pgdir, u32 gva, bool create)
{
    pte_t *pde = &pgdir[gva >> 22];
    if (!(*pde & PTE_P)) {
        pte_t *table = create ? palloc_zeroed() : NULL;
        if (!table)
            return NULL;
        *pde = __pa(table) | PTE_P | PTE_W | PTE_U | PTE_A;
    }
    return (pte_t *)__va(*pde & PAGE_MASK) + ((gva >> 12) & 1023);
}

/* Changes an entry and tells the host. */
void pte_set(pte_t *pgdir, u32 gva, pte_t *pte, pte_t value)
{
    *pte = value;
    hcall_lazy(LHCALL_SET_PTE, __pa(pgdir), gva, value);
}

void pgdir_load(pte_t *pgdir)
{
    if (pgdir == current_pgdir)
        return;
    current_pgdir = pgdir;
    hcall_lazy(LHCALL_NEW_PGTABLE, __pa(pgdir), 0, 0);
}

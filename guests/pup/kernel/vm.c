/*
 * vm.c - address spaces of processes: demand paging, copy-on-write, the heap, and looking before touching user memory.
 *
 * exec only writes down what belongs where (struct vma). A page comes at its first touch:
 *
 *      read,  from a file in the initrd    the initrd's own page, shared and read-only
 *      read,  zeros                        the one zero page, shared and read-only
 *      else                                a page of its own, from the file or zeroed
 *
 * fork shares all pages, read-only on both sides. A write to a shared page in a writable vma then gets a copy; the last
 * user of a page gets the page itself. So "present, read-only, writable vma" always means copy-on-write.
 */
#include "proc.h"

static u8 zero_page[PAGE_SIZE] aligned(4096);
u32 count_page_faults, count_cow_faults;

static struct vma *vma_find(struct mm *mm, u32 address)
{
    for (struct vma *v = mm->vma; v < mm->vma + NVMA; v++)
        if (address >= v->start && address < v->end)
            return v;
    struct vma *stack = &mm->vma[VMA_STACK];
    if (stack->end && address < stack->start && address >= USER_TOP - STACK_LIMIT) {
        stack->start = address & PAGE_MASK; /* the stack grows by being touched */
        return stack;
    }
    return NULL;
}

static int copy_on_write(u32 address, pte_t *pte)
{
    u8 *old = __va(*pte & PAGE_MASK);
    u32 flags = PTE_P | PTE_W | PTE_U | PTE_A | PTE_D;
    count_cow_faults++;
    if (page_refs(old) == 1) {
        pte_set(current->mm.pgdir, address, pte, __pa(old) | flags);
        return 0;
    }
    u8 *copy = memory_is_short() ? NULL : palloc();
    if (!copy)
        return -ENOMEM;
    memcpy(copy, old, PAGE_SIZE);
    pte_set(current->mm.pgdir, address, pte, __pa(copy) | flags);
    pfree(old);
    return 0;
}

/* Brings in the page at `address` with the right to write if asked. -EFAULT: no such memory; -ENOMEM: none left. */
int vm_fault(u32 address, bool write)
{
    struct mm *mm = &current->mm;
    address &= PAGE_MASK;
    struct vma *v = vma_find(mm, address);
    if (!v || (write && !v->write))
        return -EFAULT;
    pte_t *pte = pte_find(mm->pgdir, address, !memory_is_short());
    if (!pte)
        return -ENOMEM;
    count_page_faults++;
    if (*pte & PTE_P)
        return !write || (*pte & PTE_W) ? 0 : copy_on_write(address, pte);

    u32 offset = address - v->start;
    u32 from_file = v->file && offset < v->filesz ? v->filesz - offset : 0;
    const u8 *page = NULL;
    u32 flags = PTE_P | PTE_U | PTE_A;
    if (!write && from_file && (from_file >= PAGE_SIZE || !v->write))
        page = file_in_ram(v->file, v->offset + offset);
    else if (!write && !from_file)
        page = zero_page;
    if (!page) {
        u8 *own = memory_is_short() ? NULL : palloc();
        if (!own)
            return -ENOMEM;
        u32 n = from_file < PAGE_SIZE ? from_file : PAGE_SIZE;
        int got = n ? file_pread(v->file, v->offset + offset, own, n) : 0;
        if (got < 0) {
            pfree(own);
            return -EFAULT;
        }
        memset(own + got, 0, PAGE_SIZE - (u32)got); /* the file may have become shorter since exec */
        page = own;
        if (v->write)
            flags |= PTE_W;
        if (write)
            flags |= PTE_D;
    }
    mm->pages++;
    pte_set(mm->pgdir, address, pte, __pa(page) | flags);
    return 0;
}

/*
 * Makes sure that [address, address + length) is the process's to read (or write), and present. Nothing takes pages
 * away from a process behind its back, so after this the kernel may use the memory until it returns to ring 3.
 */
bool vm_range(u32 address, u32 length, bool write)
{
    if (length == 0)
        return true;
    if (address < USER_FIRST || length > USER_TOP || address > USER_TOP - length)
        return false;
    for (u32 page = address & PAGE_MASK; page < address + length; page += PAGE_SIZE) {
        pte_t *pte = pte_find(current->mm.pgdir, page, false);
        if ((!pte || !(*pte & PTE_P) || (write && !(*pte & PTE_W))) && vm_fault(page, write) < 0)
            return false;
    }
    return true;
}

/* Copies a string from the process; returns its length, or -EFAULT, -E2BIG. */
int vm_string(u32 address, char *to, u32 size)
{
    for (u32 i = 0; i < size; i++) {
        if ((i == 0 || ((address + i) & ~PAGE_MASK) == 0) && !vm_range(address + i, 1, false))
            return -EFAULT;
        if (!(to[i] = *(char *)(address + i)))
            return (int)i;
    }
    return -E2BIG;
}

/* fork: the child shares every page. One flush tells the host about all the entries that lost their write right. */
int vm_copy(struct mm *to, struct mm *from)
{
    *to = *from;
    to->pages = 0;
    for (int i = 0; i < NVMA; i++)
        if (to->vma[i].file)
            file_get(to->vma[i].file);
    if (!(to->pgdir = pgdir_create()))
        goto out_of_memory;
    for (struct vma *v = from->vma; v < from->vma + NVMA; v++) {
        for (u32 address = v->start; address < v->end; address += PAGE_SIZE) {
            pte_t *pte = pte_find(from->pgdir, address, false);
            if (!pte) { /* no table: on to the next one's first address */
                address = (address | (4 * MB - 1)) + 1 - PAGE_SIZE;
                continue;
            }
            if (!(*pte & PTE_P))
                continue;
            pte_t *copy = pte_find(to->pgdir, address, !memory_is_short());
            if (!copy)
                goto out_of_memory;
            *pte &= ~PTE_W;
            *copy = *pte;
            page_get(__va(*pte & PAGE_MASK));
            to->pages++;
        }
    }
    hcall_lazy(LHCALL_FLUSH_TLB, 0, 0, 0);
    return 0;

out_of_memory:
    hcall_lazy(LHCALL_FLUSH_TLB, 0, 0, 0);
    vm_free(to);
    return -ENOMEM;
}

/*
 * Gives an address space back. If it is the one in use, the kernel's own directory takes over first. SET_PGD takes each
 * table out of the shadow: the next process may get this directory's page, and the host knows directories by address.
 */
void vm_free(struct mm *mm)
{
    for (int i = 0; i < NVMA; i++)
        if (mm->vma[i].file)
            file_put(mm->vma[i].file);
    if (mm->pgdir) {
        u32 left = mm->pages;
        lazy_begin();
        if (current_pgdir == mm->pgdir)
            pgdir_load(swapper_pg_dir);
        for (u32 i = 0; i < PAGE_OFFSET >> 22; i++) {
            if (!(mm->pgdir[i] & PTE_P))
                continue;
            pte_t *table = __va(mm->pgdir[i] & PAGE_MASK);
            for (pte_t *pte = table; pte < table + 1024 && left; pte++) {
                if (*pte & PTE_P) {
                    pfree(__va(*pte & PAGE_MASK));
                    left--;
                }
            }
            pfree(table);
            mm->pgdir[i] = 0;
            hcall_lazy(LHCALL_SET_PGD, __pa(mm->pgdir), i, 0);
        }
        lazy_end();
        pfree(mm->pgdir);
    }
    memset(mm, 0, sizeof(*mm));
}

/* Moves the end of the heap; shrinking gives the pages back. Returns the new end. */
int sys_brk(u32 end)
{
    struct mm *mm = &current->mm;
    struct vma *heap = &mm->vma[VMA_HEAP];
    if (end == 0)
        return (int)heap->end;
    if (end < heap->start || end > USER_TOP - STACK_LIMIT - PAGE_SIZE)
        return -ENOMEM;
    end = page_up(end);
    lazy_begin();
    for (u32 address = end; address < heap->end; address += PAGE_SIZE) {
        pte_t *pte = pte_find(mm->pgdir, address, false);
        if (!pte || !(*pte & PTE_P))
            continue;
        void *page = __va(*pte & PAGE_MASK);
        pte_set(mm->pgdir, address, pte, 0);
        pfree(page);
        mm->pages--;
    }
    lazy_end();
    heap->end = end;
    return (int)end;
}

/*
 * exec.c - starts a static ELF program in place of the current one.
 *
 * The new address space is built beside the old one and takes its place only when nothing can fail any more. No page of
 * the program is read here, only its headers; vm_fault fetches the rest. The one page that is built at once is the
 * top of the stack:
 *
 *      0xC0000000  +-----------------------+
 *                  | "ls\0" "/disk\0"      |  the argument strings
 *                  | argv[0] argv[1] NULL  |
 *                  | argv                  |
 *      esp ->      | argc                  |
 *                  +-----------------------+
 */
#include "proc.h"

struct elf_header {
    u8 ident[16];
    u16 type, machine;
    u32 version, entry, phoff, shoff, flags;
    u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct elf_segment {
    u32 type, offset, vaddr, paddr, filesz, memsz, flags, align;
};

#define ET_EXEC 2
#define EM_386 3
#define PT_LOAD 1
#define PF_W 2

/* Turns each PT_LOAD into a vma of `mm`; returns the entry point, or an error. */
static int load_segments(struct file *file, struct mm *mm)
{
    struct elf_header header;
    if (file_pread(file, 0, &header, sizeof(header)) != sizeof(header) || memcmp(header.ident, "\177ELF\1\1", 6) != 0 ||
        header.type != ET_EXEC || header.machine != EM_386 || header.phentsize != sizeof(struct elf_segment))
        return -ENOEXEC;
    u32 end = 0, next = VMA_HEAP + 1, length = file_size(file);
    for (u32 i = 0; i < header.phnum; i++) {
        struct elf_segment s;
        if (file_pread(file, header.phoff + i * sizeof(s), &s, sizeof(s)) != sizeof(s))
            return -ENOEXEC;
        if (s.type != PT_LOAD || s.memsz == 0)
            continue;
        u32 skew = s.vaddr & ~PAGE_MASK; /* file and memory agree modulo the page size, or we could not page */
        if (next == NVMA || skew != (s.offset & ~PAGE_MASK) || s.filesz > s.memsz || s.vaddr < USER_FIRST ||
            s.offset > length || s.filesz > length - s.offset || s.memsz > USER_TOP - STACK_LIMIT ||
            s.vaddr > USER_TOP - STACK_LIMIT - s.memsz || s.vaddr - skew < end)
            return -ENOEXEC;
        end = page_up(s.vaddr + s.memsz);
        mm->vma[next++] = (struct vma){
            .start = s.vaddr - skew,
            .end = end,
            .write = s.flags & PF_W,
            .file = file_get(file),
            .offset = s.offset - skew,
            .filesz = s.filesz ? s.filesz + skew : 0,
        };
    }
    if (end == 0 || header.entry >= end)
        return -ENOEXEC;
    mm->vma[VMA_HEAP] = (struct vma){.start = end, .end = end, .write = true};
    mm->vma[VMA_STACK] = (struct vma){.start = USER_TOP - PAGE_SIZE, .end = USER_TOP, .write = true};
    return (int)header.entry;
}

/* Copies the strings to the end of `page`, the pointers below them; returns the offset of argc, or an error. */
static int build_stack(u8 *page, char *const argv[], bool user)
{
    u32 pointers[32], at = PAGE_SIZE, argc = 0;
    for (;; argc++) {
        if (user && !vm_range((u32)&argv[argc], sizeof(*argv), false))
            return -EFAULT;
        if (!argv[argc])
            break;
        char text[512];
        int n = user ? vm_string((u32)argv[argc], text, sizeof(text))
                     : (int)strlcpy(text, argv[argc], sizeof(text));
        if (n < 0)
            return n;
        if (argc == countof(pointers) || (u32)n + 1 + 256 > at)
            return -E2BIG;
        at -= (u32)n + 1;
        memcpy(page + at, text, (u32)n + 1);
        pointers[argc] = USER_TOP - PAGE_SIZE + at;
    }
    u32 *stack = (u32 *)(page + (at & ~15u)) - (argc + 1);
    memcpy(stack, pointers, argc * sizeof(u32));
    stack[argc] = 0;
    u32 argv_address = USER_TOP - PAGE_SIZE + (u32)((u8 *)stack - page);
    *--stack = argv_address;
    *--stack = argc;
    return (u8 *)stack - page;
}

int exec(const char *path, char *const argv[], bool user)
{
    int error;
    struct mm mm = {0};
    u8 *stack = NULL;
    struct file *file = file_open(path, O_RDONLY, &error);
    if (!file)
        return error;

    int entry = load_segments(file, &mm), esp = 0;
    error = entry < 0 ? entry : -ENOMEM;
    if (entry < 0 || !(mm.pgdir = pgdir_create()) || !(stack = palloc_zeroed()))
        goto fail;
    error = esp = build_stack(stack, argv, user);
    if (error < 0)
        goto fail;
    error = -ENOMEM;
    pte_t *pte = pte_find(mm.pgdir, USER_TOP - PAGE_SIZE, true);
    if (!pte)
        goto fail;
    *pte = __pa(stack) | PTE_P | PTE_W | PTE_U | PTE_A | PTE_D;
    mm.pages = 1;
    file_put(file);

    /* The point of no return. */
    const char *base = path;
    for (const char *s = path; *s; s++)
        if (*s == '/')
            base = s + 1;
    strlcpy(current->name, base, sizeof(current->name));
    for (int i = 0; i < NSIG; i++)
        if (current->handler[i] != SIG_IGN)
            current->handler[i] = SIG_DFL;
    memset(current->tls, 0, sizeof(current->tls));
    u32 flags = irq_save();
    proc_forget(current);
    struct mm old = current->mm;
    current->mm = mm;
    proc_load(current);
    irq_restore(flags);
    vm_free(&old);

    struct trapframe *tf = current->tf;
    memset(tf, 0, sizeof(*tf));
    tf->cs = USER_CS;
    tf->ds = tf->es = tf->ss = USER_DS;
    tf->eip = (u32)entry;
    tf->esp = USER_TOP - PAGE_SIZE + (u32)esp;
    tf->eflags = EFLAGS_IF;
    return 0;

fail:
    if (stack)
        pfree(stack);
    vm_free(&mm);
    file_put(file);
    return error;
}

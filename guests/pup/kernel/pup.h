/*
 * pup.h - the map of the kernel: each function that another file calls, under the file that defines it.
 *
 * One CPU, and kernel code is never preempted: a process in the kernel runs until it sleeps or returns to ring 3.
 * Interrupt handlers are the only things that run in between, so irq_save() is all the locking there is.
 */
#ifndef PUP_KERNEL_H
#define PUP_KERNEL_H

#include "../include/abi.h"
#include "lguest.h"

#define PAGE_SIZE 4096u
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define page_up(n) (((u32)(n) + PAGE_SIZE - 1) & PAGE_MASK)
#define MB (1024u * 1024)
#define __pa(address) ((u32)(address) - PAGE_OFFSET) /* kernel virtual to guest-physical */
#define __va(gpa) ((void *)((u32)(gpa) + PAGE_OFFSET))
#define MS 1000000u /* nanoseconds */

struct file;
struct inode;
struct mm;
struct proc;
struct trapframe;
struct virtio_dev;

/* main.c */
extern u32 ram_bytes;
extern char command_line[256];
extern bool quiet;

/* klog.c */
void printk(const char *format, ...) __attribute__((format(printf, 1, 2)));
int klog_read(u32 from, char *to, u32 n);

/* panic.c */
void noreturn panic(const char *format, ...) __attribute__((format(printf, 1, 2)));
void noreturn oops(const char *what, struct trapframe *tf);
void noreturn shutdown(int kind);

/* A failed assertion stops at `ud2`; the line and file that trap.c reports stand behind the instruction. */
#define BUG() \
    do { \
        asm volatile("ud2; .word %c0; .long %c1" : : "i"(__LINE__), "i"(__FILE__)); \
        __builtin_unreachable(); \
    } while (0)
#define assert(condition) \
    do { \
        if (!(condition)) \
            BUG(); \
    } while (0)

/* pagetable.c */
typedef u32 pte_t;
#define PTE_P 0x001u
#define PTE_W 0x002u
#define PTE_U 0x004u
#define PTE_A 0x020u
#define PTE_D 0x040u
#define PTE_KERNEL (PTE_P | PTE_W | PTE_A | PTE_D)
extern pte_t swapper_pg_dir[1024];
void pagetable_init(void);
pte_t *pgdir_create(void);
pte_t *pte_find(pte_t *pgdir, u32 gva, bool create);
void pte_set(pte_t *pgdir, u32 gva, pte_t *pte, pte_t value);
void pgdir_load(pte_t *pgdir);
extern pte_t *current_pgdir;

/* palloc.c */
void palloc_init(void);
void *palloc(void);
void *palloc_zeroed(void);
void *early_pages(u32 pages);
void pfree(void *page);
void page_get(void *page);
u32 page_refs(const void *page);
bool memory_is_short(void);
extern u32 pages_total, pages_free, pages_kernel;

/* trap.c, trapasm.S */
void traps_init(void);
extern u32 traps_reflected;

/* irq.c */
typedef void (*irq_handler)(void *argument);
void irq_request(int irq, irq_handler handler, void *argument);
void irq_dispatch(int irq);
void irq_enable(void);
extern u32 irq_counts[LGUEST_IRQS];
static inline u32 irq_save(void)
{
    u32 flags = lguest_data.irq_enabled;
    lguest_data.irq_enabled = 0;
    asm volatile("" : : : "memory");
    return flags;
}
static inline void irq_restore(u32 flags)
{
    asm volatile("" : : : "memory");
    if (flags & EFLAGS_IF)
        irq_enable();
}

/* time.c */
void time_init(void);
u64 uptime_ns(void);
u64 wall_ns(void);
void time_need_tick(void);
void sleep_until(u64 deadline);
static inline u64 rdtsc(void)
{
    u64 t;
    asm volatile("rdtsc" : "=A"(t));
    return t;
}

/* fpu.c, tls.c */
void fpu_switch(struct proc *next);
void fpu_trap(void);
void fpu_fork(struct proc *child);
void fpu_forget(struct proc *p);
void tls_switch(struct proc *next);
int sys_settls(u32 slot, u32 base, u32 limit);

/* exec.c, vm.c */
int exec(const char *path, char *const argv[], bool from_user);
int vm_fault(u32 address, bool write);
bool vm_range(u32 address, u32 length, bool write);
int vm_copy(struct mm *to, struct mm *from);
void vm_free(struct mm *mm);
int vm_string(u32 address, char *to, u32 size);
int sys_brk(u32 end);
extern u32 count_page_faults, count_cow_faults;

/* signal.c */
void signal_send(struct proc *p, int signal);
int signal_send_group(int pgid, int signal);
bool signal_waiting(void);
void signal_deliver(struct trapframe *tf);
int sys_kill(u32 pid, u32 signal);
int sys_signal(u32 signal, u32 handler, u32 restorer);
int sys_sigreturn(void);

/* syscall.c */
void syscall(struct trapframe *tf);
extern u32 count_syscalls;

/* console.c, tty.c */
void console_write(const char *text, u32 n);
void console_flush(void);
bool tty_input(char c);
int tty_read(char *to, u32 n);
int tty_write(const char *from, u32 n);
int sys_ttyctl(u32 request, u32 value);
void console_pull(void);
void console_probe(struct virtio_dev *device);

/* blk.c, rng.c, net.c: the other virtio devices */
#define DISK_BLOCK PAGE_SIZE
void blk_probe(struct virtio_dev *device);
int blk_rw(u32 disk, u64 byte, void *page, u32 n, bool write);
int blk_flush(u32 disk);
bool blk_read_only(u32 disk);
u64 blk_bytes(u32 disk);
void rng_probe(struct virtio_dev *device);
int random_bytes(void *to, u32 n);
void net_probe(struct virtio_dev *device);
int net_read(void *to, u32 n);
int net_write(const void *from, u32 n);

/* pagecache.c: blocks of the mounted disk, in pages */
struct buf {
    u32 block;
    u8 *data;
    u32 pins, used;
    bool valid, dirty;
    struct buf *next; /* hash chain */
};
struct buf *cache_get(u32 block, bool read);
void cache_put(struct buf *b, bool dirty);
int cache_sync(void);
void cache_drop(void);
extern u32 cache_pages;

/* fs.c, mkfs.c, ramdisk.c */
#define NFILE 96 /* open files of all processes */
void fs_init(void);
struct inode *fs_open(const char *name, bool create, int *error);
void fs_close(struct inode *inode);
int fs_read(struct inode *inode, u32 offset, void *to, u32 n);
int fs_write(struct inode *inode, u32 offset, const void *from, u32 n);
u32 fs_size(struct inode *inode);
int fs_truncate(struct inode *inode);
int fs_unlink(const char *name);
int fs_readdir(u32 index, struct dirent *entry);
int fs_format(void);
void fs_usage(u32 *blocks, u32 *free_blocks, u32 *is_ram);
int fs_sync(void);
bool fs_read_only(void);
#define RAMDISK_BLOCKS 256u
int ramdisk_rw(u32 block, void *page, bool write);
int mkfs(u32 blocks);
int disk_rw(u32 block, void *page, bool write);

/* initrd.c */
void initrd_init(u32 gpa, u32 length);
const u8 *initrd_find(const char *name, u32 *length);
int initrd_readdir(u32 index, struct dirent *entry);

/* hv.c, crash.c */
int sys_hvinfo(u32 to);
int sys_hypercall(u32 n);
int sys_crash(u32 kind);

#endif

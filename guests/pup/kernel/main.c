/*
 * main.c - kernel_main: brings the parts up in the order they need each other, then becomes the idle process.
 *
 * The boot parameters are Linux's, at guest-physical 0; we need five of their fields:
 *
 *      0x1e8  u8   e820_entries     0x218  u32  ramdisk_image    0x228  u32  cmd_line_ptr
 *      0x2d0  ...  e820 entries     0x21c  u32  ramdisk_size
 */
#include "proc.h"
#include "virtio.h"

u32 ram_bytes;
char command_line[256];
bool quiet;

struct e820 {
    u64 start, size;
    u32 type; /* 1 is RAM */
} packed;

static void init_main(void);
void noreturn kernel_main(void);

static u32 boot_word(u32 offset)
{
    return *(volatile u32 *)__va(offset);
}

/* The end of the RAM that begins at 0. */
static u32 find_ram(void)
{
    u32 entries = boot_word(0x1e8) & 0xff;
    struct e820 *e = __va(0x2d0);
    for (; entries--; e++)
        if (e->type == 1 && e->start == 0)
            return (u32)e->size & PAGE_MASK;
    panic("no RAM in the memory map");
}

/* Finds `name` or `name=value` on the command line; a value may be in double quotes. */
static bool option(const char *name, char *value, u32 size)
{
    u32 n = strlen(name);
    for (const char *s = command_line; *s;) {
        while (*s == ' ')
            s++;
        bool found = strncmp(s, name, n) == 0 && (s[n] == 0 || s[n] == ' ' || s[n] == '=');
        bool quoted = false;
        const char *start = s + n;
        for (; *s && (quoted || *s != ' '); s++)
            quoted ^= *s == '"';
        if (!found)
            continue;
        if (value && *start == '=') {
            u32 k = 0;
            for (start++; start < s && k + 1 < size; start++)
                if (*start != '"')
                    value[k++] = *start;
            value[k] = 0;
        }
        return true;
    }
    return false;
}

void noreturn kernel_main(void)
{
    u32 length = strlcpy(command_line, boot_word(0x228) ? __va(boot_word(0x228)) : "", sizeof(command_line));
    quiet = option("quiet", NULL, 0);
    ram_bytes = find_ram();

    time_init();
    if (ram_bytes > 1016 * MB) /* what fits between PAGE_OFFSET and the hypervisor, with the devices behind it */
        panic("%u MiB of memory are more than I can map; give me 1016 at most", ram_bytes / MB);
    printk("pup on lguest, %u MiB of memory\n", ram_bytes / MB);
    pagetable_init();
    palloc_init();
    initrd_init(boot_word(0x218), boot_word(0x21c));
    traps_init();
    proc_init();
    printk("command line: %s\n", command_line);
    if (length >= sizeof(command_line))
        printk("it had %u characters and was cut\n", length);
    irq_enable();
    virtio_init();
    proc_spawn("init", init_main);
    idle();
}

/* Process 1: what may sleep while it starts up, then the program /bin/init takes over. */
static void init_main(void)
{
    static char run[sizeof(command_line)];
    char *argv[] = {"init", NULL, NULL};
    irq_enable();
    fs_init();
    if (option("run", run, sizeof(run)))
        argv[1] = run;
    printk("starting /bin/init\n");
    int error = exec("/bin/init", argv, false);
    if (error < 0)
        panic("cannot start /bin/init (error %d); is there an initrd?", -error);
    /* exec filled in our trapframe, and proc_start, which called us, goes there. */
}

/*
 * crash.c - misbehaves on purpose: crash KIND. What follows should hurt nobody but this guest.
 */
#include "libpup.h"

static const struct {
    const char *name, *what;
} kinds[CRASH_COUNT] = {
    [CRASH_HYPERCALL] = {"hypercall", "makes a hypercall with a number that means nothing"},
    [CRASH_GDT] = {"gdt", "loads a GDT entry behind the end of the table"},
    [CRASH_GDT_LIVE] = {"gdt-live", "removes the GDT entry of the code that is running"},
    [CRASH_PAGETABLE] = {"pagetable", "maps memory that does not exist"},
    [CRASH_STACK] = {"stack", "asks for a kernel stack where nothing is mapped"},
    [CRASH_BUG] = {"bug", "fails an assertion in the kernel (ud2); pup reports file and line"},
    [CRASH_SWITCHER_JUMP] = {"switcher-jump", "jumps into the Switcher"},
    [CRASH_SWITCHER_WRITE] = {"switcher-write", "writes to the Switcher"},
    [CRASH_VIRTQUEUE] = {"virtqueue", "gives the console a chain of buffers that never ends"},
    [CRASH_POINTER] = {"pointer", "writes through a wild pointer in the kernel"},
    [CRASH_IDT] = {"idt", "loads a gate of a type that does not exist here"},
    [CRASH_INIT_TWICE] = {"init-twice", "initialises the hypervisor once more"},
};

int main(int argc, char **argv)
{
    if (argc < 2) {
        for (u32 i = 0; i < CRASH_COUNT; i++)
            printf("%-15s %s\n", kinds[i].name, kinds[i].what);
        return 0;
    }
    for (u32 i = 0; i < CRASH_COUNT; i++) {
        if (strcmp(kinds[i].name, argv[1]) != 0)
            continue;
        flush();
        int error = sys(SYS_crash, i);
        printf("crash %s: still alive (%s)\n", argv[1], error_text(error));
        return 1;
    }
    complain("crash: no kind '%s'; crash alone lists them\n", argv[1]);
    return 2;
}

/*
 * free.c - what the memory is used for.
 */
#include "libpup.h"

int main(void)
{
    struct sysinfo s;
    sys(SYS_sysinfo, &s);
    u32 used = s.total_pages - s.free_pages - s.kernel_pages - s.cache_pages;
    printf("memory    %7u K\n", s.total_pages * 4);
    printf("  kernel  %7u K  with its tables and the initrd\n", s.kernel_pages * 4);
    printf("  cache   %7u K  of the disk\n", s.cache_pages * 4);
    printf("  used    %7u K  by %u processes\n", used * 4, s.processes);
    printf("  free    %7u K\n", s.free_pages * 4);
    printf("disk      %7u K, free %u K%s\n", s.disk_blocks * 4, s.disk_free_blocks * 4,
           s.disk_is_ram ? " (in memory: it will not stay)" : "");
    return 0;
}

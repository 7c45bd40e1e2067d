/*
 * dmesg.c - the kernel's log.
 */
#include "libpup.h"

int main(void)
{
    char text[512];
    int n, fd = open("/dev/klog", O_RDONLY);
    if (fd < 0)
        fail("dmesg", fd);
    while ((n = read(fd, text, sizeof(text))) > 0)
        write(1, text, n);
    return 0;
}

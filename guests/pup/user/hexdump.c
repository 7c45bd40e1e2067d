/*
 * hexdump.c - a file in hexadecimal: hexdump FILE [FROM [BYTES]]. /dev/vda is a file too.
 */
#include "libpup.h"

static void line(u32 offset, const u8 *data, u32 n)
{
    printf("%08x ", offset);
    for (u32 i = 0; i < 16; i++) {
        if (i < n)
            printf(" %02x", data[i]);
        else
            puts("   ");
        if (i == 7)
            putchar(' ');
    }
    puts("  |");
    for (u32 i = 0; i < n; i++)
        putchar(data[i] >= ' ' && data[i] < 127 ? (char)data[i] : '.');
    puts("|\n");
}

int main(int argc, char **argv)
{
    u32 from = argc > 2 ? (u32)number(argv[2], "hexdump") : 0;
    u32 left = argc > 3 ? (u32)number(argv[3], "hexdump") : argc > 1 && strncmp(argv[1], "/dev/", 5) == 0 ? 512 : ~0u;
    int n = 0, fd = argc > 1 ? open(argv[1], O_RDONLY) : 0;
    if (fd < 0)
        fail(argv[1], fd);
    if (from && (n = lseek(fd, from, SEEK_SET)) < 0)
        fail("hexdump", n);
    u8 data[512];
    while (left && (n = read(fd, data, left < sizeof(data) ? left : sizeof(data))) > 0) {
        for (u32 i = 0; i < (u32)n; i += 16)
            line(from + i, data + i, (u32)n - i < 16 ? (u32)n - i : 16);
        from += (u32)n;
        left -= (u32)n;
    }
    if (n < 0)
        fail(argc > 1 ? argv[1] : "hexdump", n);
    return 0;
}

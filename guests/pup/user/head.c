/*
 * head.c - the first lines: head [-N] [FILE].
 */
#include "libpup.h"

int main(int argc, char **argv)
{
    int lines = 10, fd = 0, n;
    char data[512];
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-')
            lines = number(argv[i] + 1, "head");
        else if ((fd = open(argv[i], O_RDONLY)) < 0)
            fail(argv[i], fd);
    }
    n = 0;
    while (lines > 0 && (n = read(fd, data, sizeof(data))) > 0) {
        for (int i = 0; i < n && lines > 0; i++) {
            putchar(data[i]);
            lines -= data[i] == '\n';
        }
    }
    if (n < 0)
        fail("head", n);
    return 0;
}

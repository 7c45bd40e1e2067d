/*
 * cat.c - copies files, or its input, to its output.
 */
#include "libpup.h"

static int copy(int fd)
{
    static char data[4096];
    int n;
    while ((n = read(fd, data, sizeof(data))) > 0) {
        int put = write(1, data, n);
        if (put < 0)
            return put;
    }
    return n;
}

int main(int argc, char **argv)
{
    int error = argc > 1 ? 0 : copy(0);
    for (int i = 1; i < argc && error == 0; i++) {
        int fd = open(argv[i], O_RDONLY);
        error = fd < 0 ? fd : copy(fd);
        if (error < 0)
            fail(argv[i], error);
        close(fd);
    }
    return error < 0;
}

/*
 * cat.c - copies files, or its input, to its output.
 */
#include "libpup.h"

static int copy(int fd)
{
    static char data[4096];
    int n;
    while ((n = read(fd, data, sizeof(data))) > 0) {
        for (int done = 0, put; done < n; done += put)
            if ((put = write(1, data + done, n - done)) <= 0)
                return put ? put : -ENOSPC;
    }
    return n;
}

int main(int argc, char **argv)
{
    int error = argc > 1 ? 0 : copy(0);
    if (error < 0)
        fail("cat", error);
    for (int i = 1; i < argc; i++) {
        int fd = open(argv[i], O_RDONLY);
        if ((error = fd < 0 ? fd : copy(fd)) < 0)
            fail(argv[i], error);
        close(fd);
    }
    return 0;
}

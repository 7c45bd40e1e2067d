/*
 * write.c - writes a file: write [-a] FILE [TEXT...] puts the text into it, or with -a at its end; without text it
 * takes lines from the terminal until ^D.
 */
#include "libpup.h"

static void put(int fd, const char *name, const char *text, u32 n)
{
    int result = write(fd, text, n);
    if (result < 0)
        fail(name, result);
}

int main(int argc, char **argv)
{
    bool append = argc > 1 && strcmp(argv[1], "-a") == 0;
    if (append)
        argc--, argv++;
    if (argc < 2)
        usage("write [-a] FILE [TEXT...]");
    int fd = open(argv[1], O_WRONLY | O_CREATE | (append ? O_APPEND : O_TRUNC));
    if (fd < 0)
        fail(argv[1], fd);
    for (int i = 2; i < argc; i++) {
        put(fd, argv[1], argv[i], strlen(argv[i]));
        put(fd, argv[1], i + 1 < argc ? " " : "\n", 1);
    }
    if (argc == 2) {
        static char data[1024];
        int n;
        while ((n = read(0, data, sizeof(data))) > 0)
            put(fd, argv[1], data, (u32)n);
    }
    int error = close(fd);
    if (error < 0)
        fail(argv[1], error);
    return 0;
}

/*
 * wc.c - counts lines, words and bytes: wc [FILE].
 */
#include "libpup.h"

int main(int argc, char **argv)
{
    static char data[1024];
    u32 lines = 0, words = 0, bytes = 0;
    bool in_word = false;
    int n, fd = argc > 1 ? open(argv[1], O_RDONLY) : 0;
    if (fd < 0)
        fail(argv[1], fd);
    while ((n = read(fd, data, sizeof(data))) > 0) {
        bytes += (u32)n;
        for (int i = 0; i < n; i++) {
            bool blank = data[i] == ' ' || data[i] == '\n' || data[i] == '\t';
            lines += data[i] == '\n';
            words += !blank && !in_word;
            in_word = !blank;
        }
    }
    if (n < 0)
        fail("wc", n);
    printf("%7u %7u %7u\n", lines, words, bytes);
    return 0;
}

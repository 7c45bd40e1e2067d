/*
 * grep.c - the lines with a word in them: grep WORD [FILE].
 */
#include "libpup.h"

static char data[512], line[512];

int main(int argc, char **argv)
{
    if (argc < 2) {
        printf("usage: grep WORD [FILE]\n");
        return 2;
    }
    int n, fd = argc > 2 ? open(argv[2], O_RDONLY) : 0;
    if (fd < 0)
        fail(argv[2], fd);
    bool found = false;
    u32 length = 0;
    while ((n = read(fd, data, sizeof(data))) > 0) {
        for (int i = 0; i < n; i++) {
            if (data[i] != '\n' && length < sizeof(line) - 1) {
                line[length++] = data[i];
                continue;
            }
            line[length] = 0;
            length = 0;
            if (strstr(line, argv[1])) {
                found = true;
                printf("%s\n", line);
            }
        }
    }
    return !found;
}

/*
 * grep.c - the lines with a word in them: grep WORD [FILE].
 */
#include "libpup.h"

static char data[512], line[512];
static u32 length;
static bool found;

/* The line is complete. */
static void look(const char *word)
{
    line[length] = 0;
    length = 0;
    if (strstr(line, word)) {
        found = true;
        printf("%s\n", line);
    }
}

int main(int argc, char **argv)
{
    if (argc < 2)
        usage("grep WORD [FILE]");
    int n, fd = argc > 2 ? open(argv[2], O_RDONLY) : 0;
    if (fd < 0)
        fail(argv[2], fd);
    while ((n = read(fd, data, sizeof(data))) > 0) {
        for (int i = 0; i < n; i++) {
            if (data[i] != '\n')
                line[length++] = data[i];
            if (data[i] == '\n' || length == sizeof(line) - 1) /* a longer line comes in parts */
                look(argv[1]);
        }
    }
    if (n < 0)
        fail("grep", n);
    if (length)
        look(argv[1]);
    return !found;
}

/*
 * ls.c - lists a directory: ls [-l] [DIR]. Directories are /, /bin and /dev.
 */
#include "libpup.h"

int main(int argc, char **argv)
{
    bool sizes = false;
    const char *dir = "/";
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-l") == 0)
            sizes = true;
        else
            dir = argv[i];
    }
    struct dirent e;
    int result, column = 0;
    for (u32 i = 0; (result = readdir(dir, i, &e)) > 0; i++) {
        const char *mark = e.type == DT_DIRECTORY ? "/" : "";
        if (sizes) {
            printf("%9u %s%s\n", e.size, e.name, mark);
        } else {
            int width = printf("%s%s", e.name, mark);
            column++;
            for (; column % 6 && width < 13; width++)
                putchar(' ');
            if (column % 6 == 0)
                putchar('\n');
        }
    }
    if (column % 6)
        putchar('\n');
    if (result < 0)
        fail(dir, result);
    return 0;
}

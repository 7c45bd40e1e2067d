/*
 * ls.c - lists directories and files: ls [-l] [NAME...]. Directories are /, /bin and /dev.
 */
#include "libpup.h"

static bool sizes;
static int column;

static void show(const char *name, u32 size, bool directory)
{
    const char *mark = directory ? "/" : "";
    if (sizes) {
        printf("%9u %s%s\n", size, name, mark);
        return;
    }
    int width = printf("%s%s", name, mark);
    column++;
    for (; column % 6 && width < 13; width++)
        putchar(' ');
    if (column % 6 == 0)
        putchar('\n');
}

static int list(const char *name)
{
    struct dirent e;
    int result, fd;
    for (u32 i = 0; (result = readdir(name, i, &e)) > 0; i++)
        show(e.name, e.size, e.type == DT_DIRECTORY);
    if (result != -ENOTDIR)
        return result;
    if ((fd = open(name, O_RDONLY)) < 0)
        return fd;
    show(name, (u32)lseek(fd, 0, SEEK_END), false);
    return close(fd);
}

int main(int argc, char **argv)
{
    int status = 0, names = 0;
    for (int i = 1; i <= argc; i++) {
        if (i < argc && strcmp(argv[i], "-l") == 0) {
            sizes = true;
            continue;
        }
        if (i == argc && names)
            break;
        const char *name = i < argc ? argv[i] : "/";
        int error = list(name);
        names++;
        if (error < 0) {
            complain("ls: %s: %s\n", name, error_text(error));
            status = 1;
        }
    }
    if (column % 6)
        putchar('\n');
    return status;
}

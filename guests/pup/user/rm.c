/*
 * rm.c - removes files.
 */
#include "libpup.h"

int main(int argc, char **argv)
{
    int status = 0;
    for (int i = 1; i < argc; i++) {
        int error = unlink(argv[i]);
        if (error < 0) {
            printf("rm: %s: %s\n", argv[i], error_text(error));
            status = 1;
        }
    }
    return status;
}

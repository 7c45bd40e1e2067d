/*
 * rm.c - removes files: rm FILE...
 */
#include "libpup.h"

int main(int argc, char **argv)
{
    int status = 0;
    if (argc < 2)
        usage("rm FILE...");
    for (int i = 1; i < argc; i++) {
        int error = unlink(argv[i]);
        if (error < 0) {
            complain("rm: %s: %s\n", argv[i], error_text(error));
            status = 1;
        }
    }
    return status;
}

/*
 * mkinitrd.c - runs on the machine that builds pup: packs files into an archive for kernel/initrd.c, which has the
 * picture. mkinitrd ARCHIVE FILE... Names lose their directories; the order is the order given.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u

static void put32(unsigned char *at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(v >> (8 * i));
}

int main(int argc, char **argv)
{
    uint32_t count = (uint32_t)(argc - 2), size = (12 + 32 * count + PAGE - 1) / PAGE * PAGE;
    unsigned char *archive = argc > 2 ? calloc(1, size) : NULL;
    if (!archive) {
        fprintf(stderr, "usage: mkinitrd ARCHIVE FILE...\n");
        return 2;
    }
    memcpy(archive, "pupinit1", 8);
    put32(archive + 8, count);
    for (uint32_t i = 0; i < count; i++) {
        const char *path = argv[i + 2], *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        FILE *f = fopen(path, "rb");
        if (!f || fseek(f, 0, SEEK_END) != 0 || strlen(name) >= 24) {
            fprintf(stderr, "mkinitrd: cannot take %s\n", path);
            return 1;
        }
        uint32_t length = (uint32_t)ftell(f), padded = (length + PAGE - 1) / PAGE * PAGE;
        rewind(f);
        archive = realloc(archive, size + padded);
        memset(archive + size, 0, padded);
        if (fread(archive + size, 1, length, f) != length)
            return 1;
        fclose(f);
        unsigned char *entry = archive + 12 + 32 * i;
        strcpy((char *)entry, name);
        put32(entry + 24, size);
        put32(entry + 28, length);
        size += padded;
    }
    FILE *out = fopen(argv[1], "wb");
    if (!out || fwrite(archive, 1, size, out) != size || fclose(out) != 0) {
        fprintf(stderr, "mkinitrd: cannot write %s\n", argv[1]);
        return 1;
    }
    return 0;
}

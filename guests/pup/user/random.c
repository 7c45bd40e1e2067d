/*
 * random.c - random bytes in hexadecimal: random [N].
 */
#include "libpup.h"

int main(int argc, char **argv)
{
    u8 data[64];
    u32 n = argc > 1 ? (u32)number(argv[1], "random") : 8;
    int fd = open("/dev/random", O_RDONLY);
    for (u32 k; fd >= 0 && n; n -= k) {
        k = n < sizeof(data) ? n : sizeof(data);
        if (read(fd, data, k) != (int)k)
            return 1;
        for (u32 i = 0; i < k; i++)
            printf("%02x", data[i]);
    }
    printf("\n");
    return 0;
}

/*
 * random.c - random bytes in hexadecimal: random [N].
 */
#include "libpup.h"

int main(int argc, char **argv)
{
    u8 data[64];
    int n = argc > 1 ? number(argv[1], "random") : 8;
    if (n < 0)
        usage("random [N], N bytes");
    int fd = open("/dev/random", O_RDONLY);
    if (fd < 0)
        fail("/dev/random", fd);
    for (int k; n; n -= k) {
        k = read(fd, data, n < (int)sizeof(data) ? (u32)n : sizeof(data));
        if (k < 0)
            fail("/dev/random", k);
        for (int i = 0; i < k; i++)
            printf("%02x", data[i]);
    }
    printf("\n");
    return 0;
}

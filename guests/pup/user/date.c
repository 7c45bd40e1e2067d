/*
 * date.c - the host's clock, in universal time.
 */
#include "libpup.h"

static bool leap(u32 year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

int main(void)
{
    static const u8 days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    u32 now = (u32)(wall_time_ns() / 1000000000), day = now / 86400, second = now % 86400, year = 1970, month = 0;
    for (; day >= 365u + leap(year); year++)
        day -= 365u + leap(year);
    for (u32 n; day >= (n = days[month] + (month == 1 && leap(year))); month++)
        day -= n;
    printf("%04u-%02u-%02u %02u:%02u:%02u\n", year, month + 1, day + 1, second / 3600, second / 60 % 60, second % 60);
    return 0;
}

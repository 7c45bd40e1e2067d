/*
 * klog.c - printk and the kernel's log, which /dev/klog and `dmesg` read. A ring of 16 KiB; positions count all
 * bytes ever written, so a reader that fell behind is moved up to the oldest byte still there.
 */
#include "pup.h"

#define KLOG_SIZE 16384u

static char ring[KLOG_SIZE] __attribute__((section(".noinit")));
static u32 written;
static bool in_line;

static void add(char c)
{
    ring[written++ % KLOG_SIZE] = c;
}

/* Appends text, with the time at the beginning of each line. */
static void klog_add(const char *text, u32 n)
{
    for (; n; n--, text++) {
        if (!in_line) {
            char stamp[24];
            u64 us = uptime_ns() / 1000;
            int k = snprintf(stamp, sizeof(stamp), "[%5u.%06u] ", (u32)(us / 1000000), (u32)(us % 1000000));
            for (int i = 0; i < k; i++)
                add(stamp[i]);
        }
        add(*text);
        in_line = *text != '\n';
    }
}

/* One line for the log and, unless the command line says `quiet`, for the console. */
void printk(const char *format, ...)
{
    char line[200];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    u32 length = n < (int)sizeof(line) ? (u32)n : sizeof(line) - 1;
    klog_add(line, length);
    if (!quiet)
        console_write(line, length);
}

/* Copies up to n bytes from position `from` on; returns how many, and 0 at the end. */
int klog_read(u32 from, char *to, u32 n)
{
    u32 skipped = 0;
    if (written > KLOG_SIZE && from < written - KLOG_SIZE)
        skipped = written - KLOG_SIZE - from;
    from += skipped;
    u32 i = 0;
    for (; i < n && from + i < written; i++)
        to[i] = ring[(from + i) % KLOG_SIZE];
    return (int)i;
}

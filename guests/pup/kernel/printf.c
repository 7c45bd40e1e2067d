/*
 * printf.c - printk: one line for the log and, unless the command line says `quiet`, for the console.
 */
#include "pup.h"

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

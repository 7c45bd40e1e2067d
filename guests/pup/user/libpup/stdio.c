/*
 * stdio.c - buffered output on descriptor 1, complaints on descriptor 2, and reading lines.
 */
#include "libpup.h"

static char buffer[512];
static u32 used;

void flush(void)
{
    u32 done = 0;
    while (done < used) {
        int n = write(1, buffer + done, used - done);
        if (n <= 0)
            break;
        done += (u32)n;
    }
    used = 0;
}

void putchar(char c)
{
    buffer[used++] = c;
    if (used == sizeof(buffer))
        flush();
}

void puts(const char *text)
{
    while (*text)
        putchar(*text++);
}

int printf(const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    puts(text);
    return n;
}

/* For what went wrong: to the terminal, even when the output goes into a pipe or a file. */
void complain(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    flush();
    write(2, text, strlen(text));
}

/* Reads up to and without the newline. Returns the length, -1 at the end of input; a long line comes in parts. */
int read_line(int fd, char *line, u32 size)
{
    u32 n = 0;
    while (n < size - 1) {
        int got = read(fd, line + n, 1);
        if (got < 0)
            return -1;
        if (got == 0 || line[n] == '\n') {
            line[n] = 0;
            return got == 0 && n == 0 ? -1 : (int)n;
        }
        n++;
    }
    line[n] = 0;
    return (int)n;
}

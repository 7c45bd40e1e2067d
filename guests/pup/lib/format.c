/*
 * format.c - printf's engine: vsnprintf.
 * Knows %d %i %u %x %X %p %s %c %%, the flags - 0, a width (or *), a precision for %s, and l / ll for integers.
 * Floating point stays out: the kernel must not touch the FPU, whose registers belong to some process.
 */
#include "types.h"

struct out {
    char *at, *end;
    int count;
};

static void put(struct out *o, char c)
{
    if (o->at < o->end)
        *o->at++ = c;
    o->count++;
}

static void put_padded(struct out *o, const char *s, int length, int width, bool left, char pad)
{
    int fill = width > length ? width - length : 0;
    if (pad == '0' && length && *s == '-') { /* the sign stands before the zeros */
        put(o, *s++);
        length--;
    }
    if (!left)
        while (fill-- > 0)
            put(o, pad);
    while (length-- > 0)
        put(o, *s++);
    if (left)
        while (fill-- > 0)
            put(o, ' ');
}

/* Writes the digits of v backwards, ending before `end`; returns where they begin. */
static char *digits(char *end, u64 v, unsigned base, bool upper)
{
    const char *set = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    if ((v >> 32) == 0) { /* the usual case without 64-bit division */
        u32 w = (u32)v;
        do
            *--end = set[w % base];
        while (w /= base);
        return end;
    }
    do
        *--end = set[v % base];
    while (v /= base);
    return end;
}

int vsnprintf(char *buffer, size_t size, const char *f, va_list args)
{
    struct out o = {buffer, buffer + (size ? size - 1 : 0), 0};
    for (; *f; f++) {
        if (*f != '%') {
            put(&o, *f);
            continue;
        }
        bool left = false;
        char pad = ' ';
        int width = 0, precision = -1, longs = 0;
        for (f++; *f == '-' || *f == '0'; f++) {
            if (*f == '-')
                left = true;
            else
                pad = '0';
        }
        if (*f == '*') {
            width = va_arg(args, int);
            f++;
        } else {
            for (; *f >= '0' && *f <= '9'; f++)
                width = width * 10 + *f - '0';
        }
        if (*f == '.') {
            precision = 0;
            if (*++f == '*') {
                precision = va_arg(args, int);
                f++;
            }
            for (; *f >= '0' && *f <= '9'; f++)
                precision = precision * 10 + *f - '0';
        }
        for (; *f == 'l'; f++)
            longs++;

        char number[24], *end = number + sizeof(number), *s = end;
        switch (*f) {
        case 'd':
        case 'i': {
            s64 v = longs > 1 ? va_arg(args, s64) : va_arg(args, int);
            s = digits(end, v < 0 ? -(u64)v : (u64)v, 10, false);
            if (v < 0)
                *--s = '-';
            put_padded(&o, s, (int)(end - s), width, left, left ? ' ' : pad);
            break;
        }
        case 'u':
        case 'x':
        case 'X':
        case 'p': {
            u64 v = longs > 1 ? va_arg(args, u64) : va_arg(args, u32);
            s = digits(end, v, *f == 'u' ? 10 : 16, *f == 'X');
            if (*f == 'p')
                pad = '0', width = 8;
            put_padded(&o, s, (int)(end - s), width, left, left ? ' ' : pad);
            break;
        }
        case 's': {
            const char *text = va_arg(args, const char *);
            int n = 0;
            if (!text)
                text = "(null)";
            while ((precision < 0 || n < precision) && text[n])
                n++;
            put_padded(&o, text, n, width, left, ' ');
            break;
        }
        case 'c':
            number[0] = (char)va_arg(args, int);
            put_padded(&o, number, 1, width, left, ' ');
            break;
        case 0:
            f--; /* a lone % at the end */
            break;
        default:
            put(&o, *f);
        }
    }
    if (size)
        *o.at = 0;
    return o.count;
}

int snprintf(char *out, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out, size, format, args);
    va_end(args);
    return n;
}

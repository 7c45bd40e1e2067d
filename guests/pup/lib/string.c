/*
 * string.c - the memory and string functions, for the kernel and for programs.
 * Copies and fills use the CPU's string instructions: one `rep movsl` is a single instruction to fetch and decode,
 * which is what counts on an interpreted CPU.
 */
#include "types.h"

void *memcpy(void *to, const void *from, size_t n)
{
    void *d = to;
    size_t words = n >> 2;
    asm volatile("rep movsl" : "+D"(d), "+S"(from), "+c"(words) : : "memory");
    n &= 3;
    asm volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(n) : : "memory");
    return to;
}

void *memmove(void *to, const void *from, size_t n)
{
    if ((u32)to - (u32)from >= n)
        return memcpy(to, from, n);
    u8 *d = (u8 *)to + n;
    const u8 *s = (const u8 *)from + n;
    while (n--)
        *--d = *--s;
    return to;
}

void *memset(void *to, int value, size_t n)
{
    void *d = to;
    size_t words = n >> 2;
    asm volatile("rep stosl" : "+D"(d), "+c"(words) : "a"((value & 0xff) * 0x01010101u) : "memory");
    n &= 3;
    asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(value) : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const u8 *x = a, *y = b;
    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

size_t strlen(const char *s)
{
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return (u8)*a - (u8)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (; n; n--, a++, b++)
        if (*a != *b || !*a)
            return (u8)*a - (u8)*b;
    return 0;
}

char *strchr(const char *s, int c)
{
    for (;; s++) {
        if (*s == (char)c)
            return (char *)s;
        if (!*s)
            return NULL;
    }
}

char *strstr(const char *s, const char *word)
{
    size_t n = strlen(word);
    for (; *s; s++)
        if (strncmp(s, word, n) == 0)
            return (char *)s;
    return n ? NULL : (char *)s;
}

/* Copies at most size - 1 characters and always ends the copy with NUL; returns the length of `from`. */
size_t strlcpy(char *to, const char *from, size_t size)
{
    size_t n = strlen(from);
    if (size) {
        size_t k = n < size ? n : size - 1;
        memcpy(to, from, k);
        to[k] = 0;
    }
    return n;
}

/* Base 10 or 16; base 0 takes a leading 0x for 16. */
long strtol(const char *s, char **end, int base)
{
    bool negative = false;
    long value = 0;
    while (*s == ' ')
        s++;
    if (*s == '-' || *s == '+')
        negative = *s++ == '-';
    if (s[0] == '0' && (s[1] | 32) == 'x' && base != 10)
        s += 2, base = 16;
    if (base == 0)
        base = 10;
    for (;; s++) {
        int c = *s | 32;
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
        if (digit >= base)
            break;
        value = value * base + digit;
    }
    if (end)
        *end = (char *)s;
    return negative ? -value : value;
}

/*
 * types.h - the integer names and small helpers that kernel, programs and lib/ share.
 * There is no C library below us, so nothing here comes from the compiler's headers but <stdarg.h>.
 */
#ifndef PUP_TYPES_H
#define PUP_TYPES_H

#include <stdarg.h>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;
typedef unsigned int size_t;
typedef _Bool bool;

#define true 1
#define false 0
#define NULL ((void *)0)

#define countof(a) (sizeof(a) / sizeof((a)[0]))
#define offsetof(type, field) __builtin_offsetof(type, field)
#define packed __attribute__((packed))
#define aligned(n) __attribute__((aligned(n)))
#define noreturn __attribute__((noreturn))
#define unused __attribute__((unused))

/* lib/string.c */
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strstr(const char *s, const char *word);
size_t strlcpy(char *to, const char *from, size_t size);
long strtol(const char *s, char **end, int base);

/* lib/format.c */
int vsnprintf(char *out, size_t size, const char *format, va_list args);
int snprintf(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif

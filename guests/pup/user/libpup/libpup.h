/*
 * libpup.h - what a pup program can call: the kernel, and the few library functions that are worth having.
 *
 * Output through printf and puts waits in a buffer until it is full, the program ends, or it does something others
 * can see: reads, sleeps, forks, executes. flush() is for programs that want to be seen at work.
 */
#ifndef LIBPUP_H
#define LIBPUP_H

#include "abi.h"

/* System calls; results below zero are errors. */
int sys(int number, ...);

#define getpid() sys(SYS_getpid)
#define yield() sys(SYS_yield)
#define close(fd) sys(SYS_close, fd)
#define open(path, flags) sys(SYS_open, path, flags)
#define write(fd, from, n) sys(SYS_write, fd, from, n)
#define lseek(fd, offset, whence) sys(SYS_lseek, fd, offset, whence)
#define pipe(fds) sys(SYS_pipe, fds)
#define dup2(fd, to) sys(SYS_dup2, fd, to)
#define kill(pid, signal) sys(SYS_kill, pid, signal)
#define unlink(path) sys(SYS_unlink, path)
#define setpgid(pid, group) sys(SYS_setpgid, pid, group)
#define ttyctl(request, value) sys(SYS_ttyctl, request, value)
#define readdir(path, index, entry) sys(SYS_readdir, path, index, entry)

/* syscall.c: those that do a little more. */
void noreturn exit(int status);
int fork(void);
int read(int fd, void *to, size_t n);
int exec(const char *path, char *const argv[]);
int wait(int pid, struct wait_result *result, int flags);
int sleep_ms(u32 milliseconds);
u64 now_ns(void);
u64 wall_time_ns(void);
void *sbrk(int bytes);
int on_signal(int signal, void (*handler)(int));
int spawn(const char *path, char *const argv[]);

/* stdio.c */
int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
void puts(const char *text);
void putchar(char c);
void flush(void);
int read_line(int fd, char *line, u32 size);

/* malloc.c */
void *malloc(size_t n);
void free(void *p);

/* util.c */
const char *error_text(int error);
void noreturn fail(const char *what, int error);
void noreturn usage(const char *text);
int number(const char *text, const char *what);
const char *signal_name(int signal);

#endif

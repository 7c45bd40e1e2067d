/*
 * util.c - error texts, numbers from the command line.
 */
#include "libpup.h"

const char *error_text(int error)
{
    static const struct {
        int error;
        const char *text;
    } texts[] = {
        {EPERM, "not permitted"},   {ENOENT, "no such file"},       {ESRCH, "no such process"},
        {EINTR, "interrupted"},     {EIO, "input/output error"},    {E2BIG, "too long"},
        {ENOEXEC, "not a program"}, {EBADF, "bad descriptor"},      {ECHILD, "no children"},
        {EAGAIN, "too many processes"}, {ENOMEM, "out of memory"},  {EFAULT, "bad address"},
        {EBUSY, "in use"},          {ENOTDIR, "no such directory"}, {EISDIR, "is a directory"},
        {ENODEV, "no such device"}, {EINVAL, "invalid argument"},   {EMFILE, "too many open files"},
        {ENAMETOOLONG, "the name is too long"},
        {EFBIG, "file too large"},  {ENOSPC, "no space left"},      {EROFS, "read-only"},
        {EPIPE, "broken pipe"},     {ENOSYS, "no such system call"},
    };
    for (u32 i = 0; i < countof(texts); i++)
        if (texts[i].error == -error)
            return texts[i].text;
    return "unknown error";
}

void noreturn fail(const char *what, int error)
{
    complain("%s: %s\n", what, error_text(error));
    exit(1);
}

void noreturn usage(const char *text)
{
    complain("usage: %s\n", text);
    exit(2);
}

/* A number, or the end of the program. */
int number(const char *text, const char *what)
{
    char *end;
    long n = strtol(text, &end, 0);
    if (*text == 0 || *end || strlen(text) > 10) {
        complain("%s: '%s' is not a number%s\n", what, text, *text && !*end ? " that I can count to" : "");
        exit(2);
    }
    return (int)n;
}

const char *signal_name(int signal)
{
    switch (signal) {
    case SIGINT: return "interrupted";
    case SIGILL: return "illegal instruction";
    case SIGTRAP: return "trap";
    case SIGFPE: return "arithmetic exception";
    case SIGKILL: return "killed";
    case SIGSEGV: return "segmentation fault";
    case SIGPIPE: return "broken pipe";
    case SIGTERM: return "terminated";
    }
    return "signal";
}

/*
 * help.c - lists the commands.
 */
#include "libpup.h"

static const char *const lines[] = {
    "help                      this list",
    "ps  kill [-SIG] PID  free  uptime  dmesg  uname [-a]  date",
    "ls [-l] [NAME]  cat [FILE]  write [-a] FILE [TEXT]  rm FILE  hexdump FILE [FROM [N]]",
    "echo [-n] TEXT  wc [FILE]  grep WORD [FILE]  head [-N] [FILE]  sleep MS  random [N]",
    "time COMMAND              how long a command takes",
    "loop [SECONDS]            keeps the processor busy; ^C ends it",
    "fork-test [N]             N processes at once, each with memory of its own",
    "hv                        what can be known of the hypervisor below",
    "bench                     what hypercalls, system calls, faults and processes cost",
    "crash [KIND]              misbehaves on purpose; alone, it lists the ways",
    "selftest                  checks pup itself",
    "net [send|listen|ping]    frames to other guests",
    "mkfs  sync                an empty file system; write what is not on the disk yet",
    "reboot  poweroff",
    "In the shell: a | b   a ; b   a &   < in   > out   >> out   $?   history  wait  exit",
    "Keys: arrows, ^A ^E ^U ^K ^W ^L, ^C ends a program, ^D ends input.",
};

int main(void)
{
    for (u32 i = 0; i < countof(lines); i++)
        printf("%s\n", lines[i]);
    return 0;
}

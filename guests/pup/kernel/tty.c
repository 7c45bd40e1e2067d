/*
 * tty.c - the terminal: from bytes to lines. Input waits in a ring until somebody reads. Editing and echo happen in the
 * reader, not on arrival: a line typed ahead appears once, behind the prompt it belongs to. Only ^C cannot wait: in
 * cooked mode it interrupts the foreground group the moment it comes, and drops what was typed before it. In raw mode
 * it waits like any byte; if it is still there when the mode becomes cooked, that is its moment.
 *
 *      ^C interrupt   ^D end of input   backspace   ^W word back   ^U line back   ^L clear the screen
 */
#include "proc.h"

#define QUEUE 1024u
#define LINE 256u
#define CTRL(letter) ((letter) & 0x1f)

static char queue[QUEUE];
static u32 taken, put; /* counts; the place is the count modulo QUEUE */
static char line[LINE];
static u32 line_at, line_length; /* the rest of a finished line */
static u32 mode = TTY_COOKED;
static int foreground; /* process group; 0: everybody */

static void interrupt(void)
{
    console_write("^C\n", 3);
    signal_send_group(foreground, SIGINT);
}

/* A byte from the device; false if there is no room. Interrupts are off. */
bool tty_input(char c)
{
    if (mode == TTY_COOKED && c == CTRL('C')) {
        taken = put;
        interrupt();
        return true;
    }
    if (put - taken == QUEUE)
        return false;
    queue[put++ % QUEUE] = c;
    wakeup(&put);
    return true;
}

/* The next byte, or -EINTR. */
static int get(void)
{
    u32 flags = irq_save();
    int c = 0;
    while (taken == put && c == 0) {
        if (signal_waiting())
            c = -EINTR;
        else
            sleep(&put, true);
    }
    if (c == 0)
        c = (u8)queue[taken++ % QUEUE];
    irq_restore(flags);
    if (put - taken == QUEUE / 2)
        console_pull(); /* room again for what was typed ahead */
    return c;
}

/* The last ^C that was typed ahead, with all before it. */
static void take_interrupt(void)
{
    u32 flags = irq_save();
    u32 at = put;
    while (at != taken && queue[(at - 1) % QUEUE] != CTRL('C'))
        at--;
    if (at != taken) {
        taken = at;
        interrupt();
    }
    irq_restore(flags);
    console_pull();
}

static void erase(u32 n)
{
    while (n--)
        console_write("\b \b", 3);
}

/* Reads and edits a line into `line`. Returns 1, 0 at the end of input, or an error. */
static int edit(void)
{
    u32 n = 0;
    for (;;) {
        int c = get();
        u32 word = n;
        switch (c) {
        case '\r':
        case '\n':
            console_write("\n", 1);
            line[n++] = '\n';
            line_at = 0;
            line_length = n;
            return 1;
        case CTRL('D'):
            line_at = 0;
            line_length = n;
            return n > 0;
        case '\b':
        case 127:
            if (n > 0) {
                erase(1);
                n--;
            }
            break;
        case CTRL('U'):
            erase(n);
            n = 0;
            break;
        case CTRL('W'):
            while (word > 0 && line[word - 1] == ' ')
                word--;
            while (word > 0 && line[word - 1] != ' ')
                word--;
            erase(n - word);
            n = word;
            break;
        case CTRL('L'):
            console_write("\33[H\33[2J", 7);
            console_write(line, n);
            break;
        default:
            if (c < 0)
                return c;
            if (n == LINE - 2 || (c < ' ' && c != '\t')) {
                console_write("\a", 1);
            } else {
                line[n++] = (char)c;
                console_write(&line[n - 1], 1);
            }
        }
    }
}

int tty_read(char *to, u32 n)
{
    if (n == 0 || (foreground && current->pgid != foreground))
        return 0; /* to a background process the terminal looks closed */
    u32 k = 0;
    if (mode == TTY_RAW) {
        int c = get();
        if (c < 0)
            return c;
        to[k++] = (char)c;
        while (k < n && taken != put)
            to[k++] = (char)get();
        return (int)k;
    }
    if (line_at == line_length) {
        int error = edit();
        if (error <= 0)
            return error;
    }
    while (k < n && line_at < line_length)
        to[k++] = line[line_at++];
    return (int)k;
}

int tty_write(const char *from, u32 n)
{
    console_write(from, n);
    return (int)n;
}

int sys_ttyctl(u32 request, u32 value)
{
    switch (request) {
    case TTY_COOKED:
    case TTY_RAW:
        mode = request;
        if (mode == TTY_COOKED)
            take_interrupt();
        return 0;
    case TTY_FOREGROUND:
        foreground = (int)value;
        return 0;
    }
    return -EINVAL;
}

/*
 * lineedit.c - the shell's line editor. The terminal is in raw mode meanwhile: every key comes here.
 *
 *      left, right, home, end, ^A, ^E    move               up, down, ^P, ^N    history
 *      backspace, delete, ^W, ^U, ^K     erase              ^L                  clear the screen
 *      ^C                                forget the line    ^D                  end of input, on an empty line
 */
#include "lineedit.h"

#define HISTORY 32
#define CTRL(letter) ((letter) & 0x1f)
enum { KEY_UP = 256, KEY_DOWN, KEY_LEFT, KEY_RIGHT, KEY_HOME, KEY_END, KEY_DELETE, KEY_NONE };

static char history[HISTORY][LINE_MAX];
static u32 history_count; /* ever; the last HISTORY are kept */

static char text[LINE_MAX];
static u32 length, cursor;
static const char *prompt;

/* The index-th line of the history, from 0 for the oldest kept; NULL past the end. */
const char *history_line(u32 index)
{
    u32 first = history_count > HISTORY ? history_count - HISTORY : 0;
    return first + index < history_count ? history[(first + index) % HISTORY] : NULL;
}

static int byte(void)
{
    char c;
    return read(0, &c, 1) == 1 ? (u8)c : -1;
}

/* A key: a byte, or one of KEY_ for an escape sequence (ESC [ letter, ESC [ digit ~, ESC O letter). */
static int key(void)
{
    int c = byte();
    if (c != 27)
        return c;
    c = byte();
    if (c != '[' && c != 'O')
        return KEY_NONE;
    c = byte();
    if (c >= '0' && c <= '9') {
        int digit = c;
        while (c >= 0 && c != '~' && !(c >= 'A' && c <= 'z'))
            c = byte();
        return digit == '1' || digit == '7' ? KEY_HOME : digit == '4' || digit == '8' ? KEY_END :
               digit == '3' ? KEY_DELETE : KEY_NONE;
    }
    switch (c) {
    case 'A': return KEY_UP;
    case 'B': return KEY_DOWN;
    case 'C': return KEY_RIGHT;
    case 'D': return KEY_LEFT;
    case 'H': return KEY_HOME;
    case 'F': return KEY_END;
    }
    return KEY_NONE;
}

/* Draws everything from position `from` on, clears what stood behind, and goes back to the cursor. */
static void redraw(u32 from)
{
    for (u32 i = from; i < length; i++)
        putchar(text[i]);
    puts("\33[K");
    for (u32 i = length; i > cursor; i--)
        putchar('\b');
}

static void move(u32 to)
{
    for (; cursor > to; cursor--)
        putchar('\b');
    for (; cursor < to; cursor++)
        putchar(text[cursor]);
}

static void erase(u32 from, u32 to)
{
    move(from);
    memmove(text + from, text + to, length - to);
    length -= to - from;
    redraw(from);
}

static void insert(char c)
{
    if (length == LINE_MAX - 1) {
        putchar('\a');
        return;
    }
    memmove(text + cursor + 1, text + cursor, length - cursor);
    text[cursor] = c;
    length++;
    cursor++;
    putchar(c);
    if (cursor < length)
        redraw(cursor);
}

static void replace(const char *with)
{
    move(0);
    length = strlcpy(text, with, sizeof(text));
    cursor = length;
    redraw(0);
}

static void remember(void)
{
    text[length] = 0;
    if (length == 0 || (history_count && strcmp(history[(history_count - 1) % HISTORY], text) == 0))
        return;
    strlcpy(history[history_count++ % HISTORY], text, LINE_MAX);
}

/* Up and down: `at` counts from the newest line, 0 is the one being typed, kept in `typed` meanwhile. */
static u32 browse(u32 at, int step, char *typed)
{
    u32 kept = history_count < HISTORY ? history_count : HISTORY;
    if ((step > 0 && at == kept) || (step < 0 && at == 0))
        return at;
    text[length] = 0;
    if (at == 0)
        strlcpy(typed, text, LINE_MAX);
    at += (u32)step;
    replace(at ? history[(history_count - at) % HISTORY] : typed);
    return at;
}

static u32 word_start(void)
{
    u32 at = cursor;
    while (at > 0 && text[at - 1] == ' ')
        at--;
    while (at > 0 && text[at - 1] != ' ')
        at--;
    return at;
}

/* Edits one line. Returns its length, or -1 at the end of input. */
static int edit(void)
{
    static char typed[LINE_MAX];
    u32 at = 0;
    length = cursor = 0;
    puts(prompt);
    for (;;) {
        int c = key();
        switch (c) {
        case '\r':
        case '\n':
            move(length);
            putchar('\n');
            remember();
            return (int)length;
        case -1:
            return -1;
        case CTRL('C'):
            puts("^C\n");
            length = cursor = at = 0;
            puts(prompt);
            break;
        case CTRL('D'):
            if (length == 0) {
                putchar('\n');
                return -1;
            } /* falls through */
        case KEY_DELETE:
            if (cursor < length)
                erase(cursor, cursor + 1);
            break;
        case '\b':
        case 127:
            if (cursor > 0)
                erase(cursor - 1, cursor);
            break;
        case CTRL('A'):
        case KEY_HOME:
            move(0);
            break;
        case CTRL('E'):
        case KEY_END:
            move(length);
            break;
        case CTRL('B'):
        case KEY_LEFT:
            move(cursor ? cursor - 1 : 0);
            break;
        case CTRL('F'):
        case KEY_RIGHT:
            move(cursor < length ? cursor + 1 : length);
            break;
        case CTRL('U'):
            erase(0, cursor);
            break;
        case CTRL('K'):
            erase(cursor, length);
            break;
        case CTRL('W'):
            erase(word_start(), cursor);
            break;
        case CTRL('L'):
            puts("\33[H\33[2J");
            puts(prompt);
            for (u32 i = 0; i < cursor; i++)
                putchar(text[i]);
            redraw(cursor);
            break;
        case CTRL('P'):
        case KEY_UP:
            at = browse(at, 1, typed);
            break;
        case CTRL('N'):
        case KEY_DOWN:
            at = browse(at, -1, typed);
            break;
        default:
            if (c >= ' ' && c < 256)
                insert((char)c);
        }
    }
}

int edit_line(const char *with_prompt, char *line)
{
    prompt = with_prompt;
    ttyctl(TTY_RAW, 0);
    int n = edit();
    flush();
    ttyctl(TTY_COOKED, 0);
    if (n >= 0)
        memcpy(line, text, (u32)n + 1);
    return n;
}

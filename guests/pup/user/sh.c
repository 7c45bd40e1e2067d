/*
 * sh.c - the shell. A line is lists of pipelines of commands:
 *
 *      command [< file] [> file] [>> file] | command ...  ;  ...  &
 *
 * Words are separated by blanks; quotes keep them together; # begins a comment; $? is the last status. At a terminal
 * each pipeline is a process group, and the one in the foreground is who ^C goes to. A shell that runs a script leaves
 * its programs in its own group, so that ^C ends all of it.
 */
#include "lineedit.h"

#define WORDS 32
#define STAGES 8

static char *at;         /* what is left of the line being parsed */
static char words[1024]; /* the words of the current pipeline, each with its NUL */
static u32 words_used;
static int last_status;
static bool interactive;
static volatile bool interrupted; /* a ^C came to the shell, or ended a program */

struct command {
    char *argv[WORDS];
    u32 argc;
    char *input, *output;
    bool append;
};

static void error(const char *text)
{
    complain("sh: %s\n", text);
    last_status = 2;
}

static void skip_blanks(void)
{
    while (*at == ' ' || *at == '\t')
        at++;
    if (*at == '#')
        at += strlen(at);
}

static bool special(char c)
{
    return c == 0 || strchr(" \t|;&<>", c);
}

static void put(char c)
{
    if (words_used < sizeof(words) - 1)
        words[words_used++] = c;
}

/* Puts the last status where $? stands; false if it does not stand here. */
static bool status(void)
{
    char digits[12];
    if (at[0] != '$' || at[1] != '?')
        return false;
    snprintf(digits, sizeof(digits), "%d", last_status);
    for (char *d = digits; *d; d++)
        put(*d);
    at += 2;
    return true;
}

/* The next word, unquoted; NULL if there is none. */
static char *word(void)
{
    skip_blanks();
    if (special(*at) || words_used == sizeof(words))
        return NULL;
    char *start = words + words_used;
    while (!special(*at)) {
        if (*at == '\'' || *at == '"') {
            char quote = *at++;
            while (*at && *at != quote)
                if (quote == '\'' || !status())
                    put(*at++);
            if (*at)
                at++;
        } else if (!status()) {
            if (*at == '\\' && at[1])
                at++;
            put(*at++);
        }
    }
    words[words_used++] = 0;
    return words_used < sizeof(words) ? start : NULL;
}

/* One command with its redirections. False: there is an error, and it was reported. */
static bool parse_command(struct command *c)
{
    memset(c, 0, sizeof(*c));
    for (;;) {
        skip_blanks();
        if (*at == '<' || *at == '>') {
            bool out = *at++ == '>';
            if (out && *at == '>') {
                c->append = true;
                at++;
            }
            char *file = word();
            if (!file) {
                error("a file name is missing");
                return false;
            }
            if (out)
                c->output = file;
            else
                c->input = file;
            continue;
        }
        char *w = word();
        if (!w)
            return true;
        if (c->argc == WORDS - 1) {
            error("too many words");
            return false;
        }
        c->argv[c->argc++] = w;
    }
}

static void redirect(const char *file, int flags, int fd)
{
    int from = open(file, flags);
    if (from < 0)
        fail(file, from);
    dup2(from, fd);
    close(from);
}

/* In the child: becomes the program, looked for in /bin and then on the disk. */
static void noreturn execute(struct command *c)
{
    char path[64];
    if (c->input)
        redirect(c->input, O_RDONLY, 0);
    if (c->output)
        redirect(c->output, O_WRONLY | O_CREATE | (c->append ? O_APPEND : O_TRUNC), 1);
    int result = -ENOENT;
    if (!strchr(c->argv[0], '/')) {
        snprintf(path, sizeof(path), "/bin/%s", c->argv[0]);
        result = exec(path, c->argv);
        snprintf(path, sizeof(path), "/%s", c->argv[0]);
    } else {
        strlcpy(path, c->argv[0], sizeof(path));
    }
    if (result == -ENOENT)
        result = exec(path, c->argv);
    complain("%s: %s\n", c->argv[0], result == -ENOENT ? "command not found" : error_text(result));
    exit(127);
}

/* Tells which programs in the background have ended; `flags` may say not to wait for them. */
static void report_background(int flags)
{
    struct wait_result result;
    for (int pid; !interrupted && (pid = wait(-1, &result, flags)) > 0;)
        printf("[%d] done, status %d\n", pid, result.status);
}

/* Those that must run in the shell itself. */
static bool builtin(struct command *c)
{
    if (strcmp(c->argv[0], "exit") == 0)
        exit(c->argc > 1 ? number(c->argv[1], "exit") : last_status);
    if (strcmp(c->argv[0], "wait") == 0) {
        report_background(0);
        return true;
    }
    if (strcmp(c->argv[0], "history") == 0) {
        for (u32 i = 0; history_line(i); i++)
            printf("%4u  %s\n", i + 1, history_line(i));
        return true;
    }
    return false;
}

static void finish(int pid, int status)
{
    last_status = status;
    interrupted |= status == 128 + SIGINT;
    if (status > 128 && status != 128 + SIGINT && status != 128 + SIGPIPE)
        printf("[%d] %s\n", pid, signal_name(status - 128));
}

static void run_pipeline(struct command *commands, u32 n, bool background)
{
    int pids[STAGES], group = 0, input = -1;
    u32 started = 0;
    if (n == 1 && !background && builtin(&commands[0]))
        return;
    for (; started < n; started++) {
        int ends[2] = {-1, -1}, result;
        if (started + 1 < n && (result = pipe(ends)) < 0) {
            complain("sh: no pipe: %s\n", error_text(result));
            last_status = 1;
            break;
        }
        int pid = fork();
        if (pid == 0) {
            on_signal(SIGINT, NULL); /* from now on it ends us; one that came before was meant to */
            if (interrupted)
                exit(128 + SIGINT);
            if (interactive) {
                setpgid(0, group);
                if (!group && !background)
                    ttyctl(TTY_FOREGROUND, getpid());
            }
            if (input >= 0)
                dup2(input, 0);
            if (ends[1] >= 0)
                dup2(ends[1], 1);
            for (int fd = 3; fd < 16; fd++)
                close(fd);
            execute(&commands[started]);
        }
        if (input >= 0)
            close(input);
        if (ends[1] >= 0)
            close(ends[1]);
        input = ends[0];
        if (pid < 0) {
            complain("sh: cannot start %s: %s\n", commands[started].argv[0], error_text(pid));
            last_status = 1;
            break;
        }
        if (!group)
            group = pid;
        if (interactive)
            setpgid(pid, group); /* the child does the same: whoever comes first */
        pids[started] = pid;
    }
    if (input >= 0)
        close(input);
    if (background) {
        if (started)
            printf("[%d]\n", pids[started - 1]);
        return;
    }
    if (interactive && group) {
        ttyctl(TTY_FOREGROUND, group);
        if (interrupted) /* it came while we were busy starting what it was meant for */
            kill(-group, SIGINT);
    }
    for (u32 i = 0; i < started; i++) {
        struct wait_result result;
        int pid;
        while ((pid = wait(pids[i], &result, 0)) == -EINTR)
            ;
        if (pid == pids[i])
            finish(pid, result.status);
    }
    if (interactive)
        ttyctl(TTY_FOREGROUND, getpid());
}

static void run_line(char *line)
{
    static struct command commands[STAGES];
    at = line;
    for (;;) {
        u32 n = 0;
        words_used = 0;
        skip_blanks();
        if (*at == 0)
            return;
        do {
            if (n)
                at++; /* the bar */
            if (n == STAGES) {
                error("the pipeline is too long");
                return;
            }
            if (!parse_command(&commands[n]))
                return;
            if (commands[n++].argc == 0) {
                error("a command is missing");
                return;
            }
        } while (*at == '|');
        run_pipeline(commands, n, *at == '&');
        if (interrupted)
            return; /* ^C ends the whole line */
        if (*at == ';' || *at == '&')
            at++;
    }
}

static void on_interrupt(int signal unused)
{
    interrupted = true;
}

int main(int argc, char **argv)
{
    static char line[512];
    if (argc > 2 && strcmp(argv[1], "-c") == 0) {
        strlcpy(line, argv[2], sizeof(line));
        run_line(line);
        return last_status;
    }
    interactive = argc > 1 && strcmp(argv[1], "-i") == 0;
    if (!interactive) {
        while (read_line(0, line, sizeof(line)) >= 0)
            run_line(line);
        return last_status;
    }
    setpgid(0, 0);
    on_signal(SIGINT, on_interrupt);
    ttyctl(TTY_FOREGROUND, getpid());
    for (;;) {
        interrupted = false;
        report_background(WAIT_NOHANG);
        if (edit_line("pup$ ", line) < 0)
            return last_status;
        run_line(line);
    }
}

/*
 * net.c - frames to and from other guests on the same virtual switch:
 *
 *      net listen [N]    answers pings, shows what it hears, N frames or until ^C
 *      net ping [N]      asks everybody, and shows who answers and how fast
 *      net send TEXT     one frame with a text
 *
 * A frame of ours: destination, source, type 0x88b5 (free for experiments), a kind, a number, a text.
 */
#include "libpup.h"

struct frame {
    u8 to[6], from[6];
    u8 type[2];
    u8 kind; /* 'Q' question, 'A' answer, 'T' text */
    u8 number;
    char text[44];
} packed;

static struct frame f;
static int fd;

static void show(const char *what, const struct frame *g)
{
    printf("%s %02x:%02x:%02x:%02x:%02x:%02x %c %u %.44s\n", what, g->from[0], g->from[1], g->from[2], g->from[3],
           g->from[4], g->from[5], g->kind, g->number, g->text);
    flush();
}

static void send(u8 kind, u8 n, const u8 *to, const char *text)
{
    memset(&f, 0, sizeof(f));
    if (to)
        memcpy(f.to, to, 6);
    else
        memset(f.to, 0xff, 6);
    f.type[0] = 0x88;
    f.type[1] = 0xb5;
    f.kind = kind;
    f.number = n;
    strlcpy(f.text, text, sizeof(f.text));
    int error = write(fd, &f, sizeof(f));
    if (error < 0)
        fail("net", error);
}

/* A frame of ours within about a second. */
static bool receive(struct frame *g)
{
    memset(g, 0, sizeof(*g));
    int n = read(fd, g, sizeof(*g));
    if (n < 0)
        fail("net", n);
    return n >= 16 && g->type[0] == 0x88 && g->type[1] == 0xb5;
}

int main(int argc, char **argv)
{
    struct frame g;
    const char *what = argc > 1 ? argv[1] : "";
    u32 n = argc > 2 && strcmp(what, "send") != 0 ? (u32)number(argv[2], "net") : strcmp(what, "ping") == 0 ? 4 : ~0u;
    if ((fd = open("/dev/net", O_RDWR)) < 0)
        fail("/dev/net", fd);
    if (strcmp(what, "send") == 0) {
        send('T', 0, NULL, argc > 2 ? argv[2] : "woof");
    } else if (strcmp(what, "listen") == 0) {
        while (n) {
            if (!receive(&g))
                continue;
            if (g.kind == 'Q')
                send('A', g.number, g.from, "here");
            show("from", &g);
            n--;
        }
    } else if (strcmp(what, "ping") == 0) {
        for (u32 i = 0; i < n; i++) {
            u64 start = now_ns();
            bool answered = false;
            send('Q', (u8)i, NULL, "who is there?");
            while (!answered && now_ns() - start < 1000000000) /* others may be talking too */
                answered = receive(&g) && g.kind == 'A' && g.number == (u8)i;
            if (answered) {
                show("answer from", &g);
                printf("round trip: %u us\n", (u32)((now_ns() - start) / 1000));
            } else {
                printf("no answer\n");
            }
        }
    } else {
        usage("net listen [N] | ping [N] | send TEXT");
    }
    return 0;
}

/*
 * console.c - the console's two lives. From the first line on NOTIFY can print: the address of a string in RAM is
 * neither a ring's nor a device's, so the launcher writes it out. Once the virtio console is found, output goes
 * through its ring, in buffers of 1 KiB, and input comes in: tty.c takes it from here.
 */
#include "proc.h"
#include "virtio.h"

#define TX_BUFFERS 8
#define TX_SIZE 1024u
#define RX_BUFFERS 4
#define RX_SIZE 256u

static struct virtqueue rx, tx;
static bool ready;
static struct tx_buffer {
    struct tx_buffer *next_free;
    char data[TX_SIZE];
} tx_buffers[TX_BUFFERS] __attribute__((section(".noinit")));
static struct tx_buffer *tx_free;
static u32 tx_busy;
static char rx_buffers[RX_BUFFERS][RX_SIZE] __attribute__((section(".noinit")));
static char *chunk; /* input not taken by tty.c yet */
static u32 chunk_at, chunk_length;

/* May we sleep here? Not in an interrupt handler, not in a panic, not before there are processes. */
static bool can_sleep(u32 flags)
{
    return (flags & EFLAGS_IF) && current != &procs[0];
}

static void reclaim(void)
{
    for (struct tx_buffer *b; (b = vq_get(&tx, NULL));) {
        b->next_free = tx_free;
        tx_free = b;
        tx_busy--;
    }
}

/* Waits until the launcher has printed a buffer. Interrupts are off; `flags` says whether they were on. */
static void wait_for_output(u32 flags)
{
    if (!can_sleep(flags)) {
        hcall(LHCALL_FLUSH_ASYNC, 0, 0, 0); /* gives the host a chance to run something else */
        return;
    }
    vq_interrupts(&tx, true); /* normally nobody cares when a buffer was printed */
    if (tx.seen == tx.used->idx) /* what was printed before that made no interrupt */
        sleep(&tx, false);
    vq_interrupts(&tx, false);
}

/* The early console: at most 100 characters a call. */
static void early_write(const char *text, u32 n)
{
    static char buffer[104];
    while (n) {
        u32 k = 0;
        for (; n && k < 100; n--) {
            if (*text == '\n')
                buffer[k++] = '\r';
            buffer[k++] = *text++;
        }
        buffer[k] = 0;
        hcall(LHCALL_NOTIFY, __pa(buffer), 0, 0);
    }
}

/* Writes text, each newline as carriage return and newline. */
void console_write(const char *text, u32 n)
{
    if (!ready) {
        early_write(text, n);
        return;
    }
    u32 flags = irq_save();
    while (n) {
        reclaim();
        struct tx_buffer *b = tx_free;
        if (!b) {
            wait_for_output(flags);
            continue;
        }
        tx_free = b->next_free;
        u32 k = 0;
        for (; n && k < TX_SIZE - 1; n--) {
            if (*text == '\n')
                b->data[k++] = '\r';
            b->data[k++] = *text++;
        }
        struct segment s = {b->data, k, false};
        vq_add(&tx, &s, 1, b);
        tx_busy++;
        vq_kick(&tx);
    }
    irq_restore(flags);
}

/* Returns when everything is printed, or not within two seconds (a clock that stands still must not keep us). */
void console_flush(void)
{
    u32 flags = irq_save();
    u64 deadline = uptime_ns() + 2000ull * MS;
    for (u32 tries = 0; ready && tx_busy && uptime_ns() < deadline && tries < 100000; tries++) {
        reclaim();
        if (tx_busy)
            wait_for_output(flags);
    }
    irq_restore(flags);
}

static void tx_irq(void *argument unused)
{
    wakeup(&tx);
}

static void give_to_device(char *buffer)
{
    struct segment s = {buffer, RX_SIZE, true};
    vq_add(&rx, &s, 1, buffer);
    vq_kick(&rx);
}

/*
 * Feeds input to the tty as long as it takes any. A full tty leaves the rest where it is; with no buffer to write to,
 * the launcher stops reading, and whoever types ahead waits. tty_read calls this again when there is room.
 */
void console_pull(void)
{
    u32 flags = irq_save();
    for (;;) {
        while (chunk && chunk_at < chunk_length) {
            if (!tty_input(chunk[chunk_at]))
                goto full;
            chunk_at++;
        }
        if (chunk)
            give_to_device(chunk);
        chunk_at = 0;
        if (!ready || !(chunk = vq_get(&rx, &chunk_length)))
            break;
        if (chunk_length > RX_SIZE)
            chunk_length = RX_SIZE;
    }
full:
    irq_restore(flags);
}

static void rx_irq(void *argument unused)
{
    console_pull();
}

void console_probe(struct virtio_dev *d)
{
    if (ready)
        return; /* one is enough */
    virtio_features(d, 0);
    virtio_queue(d, 0, &rx, rx_irq, NULL);
    virtio_queue(d, 1, &tx, tx_irq, NULL);
    vq_interrupts(&tx, false);
    for (int i = 0; i < TX_BUFFERS; i++) {
        tx_buffers[i].next_free = tx_free;
        tx_free = &tx_buffers[i];
    }
    virtio_ready(d);
    ready = true;
    for (int i = 0; i < RX_BUFFERS; i++)
        give_to_device(rx_buffers[i]);
    printk("virtio: console, interrupts %u and %u\n", rx.irq, tx.irq);
}

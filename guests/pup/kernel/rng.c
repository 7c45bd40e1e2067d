/*
 * rng.c - random bytes, from the launcher through virtio. One request at a time; `busy` keeps the others waiting.
 */
#include "proc.h"
#include "virtio.h"

static struct virtqueue queue;
static bool ready, busy, filled;
static u8 buffer[64];

static void rng_irq(void *argument unused)
{
    u32 n;
    while (vq_get(&queue, &n))
        filled = n > 0;
    wakeup(&queue);
}

/* Fills n bytes; returns n, or an error. */
int random_bytes(void *to, u32 n)
{
    if (!ready)
        return -ENODEV;
    u8 *at = to, *end = at + n;
    u32 flags = irq_save();
    while (busy)
        sleep(&busy, false);
    busy = true;
    while (at < end) {
        u32 k = (u32)(end - at) < sizeof(buffer) ? (u32)(end - at) : sizeof(buffer);
        struct segment s = {buffer, k, true};
        filled = false;
        vq_add(&queue, &s, 1, buffer);
        vq_kick(&queue);
        while (!filled)
            sleep(&queue, false);
        memcpy(at, buffer, k);
        at += k;
    }
    busy = false;
    wakeup(&busy);
    irq_restore(flags);
    return (int)n;
}

void rng_probe(struct virtio_dev *d)
{
    virtio_features(d, 0);
    virtio_queue(d, 0, &queue, rng_irq, NULL);
    virtio_ready(d);
    ready = true;
    printk("virtio: random numbers, interrupt %u\n", queue.irq);
}

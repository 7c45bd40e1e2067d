/*
 * rng.c - random bytes: the launcher's, through virtio, or without such a device a xorshift generator started from the
 * time-stamp counter, which is good enough for dice and nothing else.
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

static void from_device(u8 *to, u32 n)
{
    u32 flags = irq_save();
    while (busy)
        sleep(&busy, false);
    busy = true;
    while (n) {
        u32 k = n < sizeof(buffer) ? n : sizeof(buffer);
        struct segment s = {buffer, k, true};
        filled = false;
        vq_add(&queue, &s, 1, buffer);
        vq_kick(&queue);
        while (!filled)
            sleep(&queue, false);
        memcpy(to, buffer, k);
        to += k;
        n -= k;
    }
    busy = false;
    wakeup(&busy);
    irq_restore(flags);
}

void random_bytes(void *to, u32 n)
{
    static u32 x;
    u8 *bytes = to;
    if (ready) {
        from_device(bytes, n);
        return;
    }
    for (; n; n--) {
        x ^= (u32)rdtsc() | 1;
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        *bytes++ = (u8)(x >> 11);
    }
}

void rng_probe(struct virtio_dev *d)
{
    virtio_features(d, 0);
    virtio_queue(d, 0, &queue, rng_irq, NULL);
    virtio_ready(d);
    ready = true;
    printk("virtio: random numbers, interrupt %u\n", queue.irq);
}

/*
 * net.c - an Ethernet card without a protocol above it: /dev/net reads and writes whole frames. Each frame in the ring
 * has a header of ten zero bytes before it (no checksum or segmentation tricks asked for).
 */
#include "proc.h"
#include "virtio.h"

#define HEADER 10u
#define FRAME_MAX 1514u
#define RX_BUFFERS 8
#define FEATURE_MAC (1u << 5)

static struct virtqueue rx, tx;
static bool ready, tx_done = true;
static u8 mac[6];
static struct proc *reader; /* waits for a frame */
static u8 tx_buffer[HEADER + FRAME_MAX] __attribute__((section(".noinit")));

static void rx_irq(void *argument unused)
{
    if (reader)
        wakeup(&reader->wake_at); /* what sleep_until sleeps on */
}

static void tx_irq(void *argument unused)
{
    while (vq_get(&tx, NULL))
        tx_done = true;
    wakeup(&tx);
}

static void give_to_device(u8 *buffer)
{
    struct segment s = {buffer, HEADER + FRAME_MAX, true};
    vq_add(&rx, &s, 1, buffer);
    vq_kick(&rx);
}

/* One frame, cut to n bytes; 0 if none came within a second. */
int net_read(void *to, u32 n)
{
    if (!ready)
        return -ENODEV;
    u64 deadline = uptime_ns() + 1000ull * MS;
    u32 length = 0, flags = irq_save();
    int error = 0;
    u8 *frame;
    reader = current;
    while (!(frame = vq_get(&rx, &length)) && uptime_ns() < deadline && !error) {
        if (signal_waiting())
            error = -EINTR;
        else
            sleep_until(deadline);
    }
    reader = NULL;
    if (frame) {
        length = length > HEADER ? length - HEADER : 0;
        if (length > n)
            length = n;
        memcpy(to, frame + HEADER, length);
        give_to_device(frame);
        error = (int)length;
    }
    irq_restore(flags);
    return error;
}

/* Sends one frame; its source address becomes ours. */
int net_write(const void *from, u32 n)
{
    if (!ready)
        return -ENODEV;
    if (n < 14 || n > FRAME_MAX)
        return -EINVAL;
    u32 flags = irq_save();
    while (!tx_done)
        sleep(&tx, false);
    memset(tx_buffer, 0, HEADER);
    memcpy(tx_buffer + HEADER, from, n);
    memcpy(tx_buffer + HEADER + 6, mac, sizeof(mac));
    struct segment s = {tx_buffer, HEADER + n, false};
    tx_done = false;
    vq_add(&tx, &s, 1, tx_buffer);
    vq_kick(&tx);
    irq_restore(flags);
    return (int)n;
}

void net_probe(struct virtio_dev *d)
{
    if (ready)
        return;
    if (virtio_features(d, FEATURE_MAC) & FEATURE_MAC)
        memcpy(mac, d->config, sizeof(mac));
    else
        memcpy(mac, "\2pup\0\1", sizeof(mac));
    virtio_queue(d, 0, &rx, rx_irq, NULL);
    virtio_queue(d, 1, &tx, tx_irq, NULL);
    virtio_ready(d);
    ready = true;
    for (int i = 0; i < RX_BUFFERS; i++) {
        u8 *page = palloc();
        if (page)
            give_to_device(page);
    }
    printk("virtio: network %02x:%02x:%02x:%02x:%02x:%02x\n", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

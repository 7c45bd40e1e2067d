/*
 * virtio.c - finds the devices, and works their rings. The launcher describes its devices in one page behind RAM:
 *
 *      +------+--------+-------------+------------+--------+ +----------------------+ +----------+--------+
 *      | type | queues | feature len | config len | status | | num u16 irq u16 pfn  | | features | config |
 *      +------+--------+-------------+------------+--------+ +--- one a queue ------+ +- twice --+--------+
 *
 * The next one follows at once; type 0 ends the list. A queue is a ring of three parts in shared memory:
 *
 *      descriptors   addresses of buffers; `next` chains those of one request
 *      avail         we write: heads of the chains the device may work on
 *      used          it writes: heads of the chains it is done with, and how many bytes it wrote
 *
 * NOTIFY tells the launcher to look (with the ring's address); an interrupt tells us.
 */
#include "virtio.h"

#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER 2
#define STATUS_DRIVER_OK 4
#define STATUS_FAILED 0x80

#define NO_INTERRUPT 1 /* avail.flags */
#define NO_NOTIFY 1    /* used.flags */

#define barrier() asm volatile("" : : : "memory") /* one CPU: only the compiler could change the order */

static void probe(struct virtio_dev *d)
{
    u32 gpa = __pa(d->header);
    d->header[4] = 0;
    hcall(LHCALL_NOTIFY, gpa, 0, 0); /* reset */
    d->header[4] = STATUS_ACKNOWLEDGE | STATUS_DRIVER;
    switch (d->header[0]) {
    case VIRTIO_CONSOLE:
        console_probe(d);
        break;
    case VIRTIO_BLOCK:
        blk_probe(d);
        break;
    case VIRTIO_RNG:
        rng_probe(d);
        break;
    case VIRTIO_NET:
        net_probe(d);
        break;
    default:
        printk("virtio: device type %u is unknown\n", d->header[0]);
        d->header[4] = STATUS_FAILED;
    }
}

void virtio_init(void)
{
    u8 *page = __va(ram_bytes), *at = page;
    while (at + 5 < page + PAGE_SIZE && at[0]) {
        struct virtio_dev d = {.header = at, .nqueues = at[1], .feature_bytes = at[2], .config_bytes = at[3]};
        d.queues = at + 5;
        d.features = d.queues + 8 * d.nqueues;
        d.config = d.features + 2 * d.feature_bytes;
        at = d.config + d.config_bytes;
        probe(&d);
    }
}

/* Accepts those of the offered features 0..31 that are wanted, and returns them. The device starts its queues. */
u32 virtio_features(struct virtio_dev *d, u32 wanted)
{
    u32 accepted = 0;
    for (u32 i = 0; i < d->feature_bytes; i++) {
        u8 both = i < 4 ? d->features[i] & (u8)(wanted >> (8 * i)) : 0;
        d->features[d->feature_bytes + i] = both;
        if (i < 4)
            accepted |= (u32)both << (8 * i);
    }
    hcall(LHCALL_NOTIFY, __pa(d->header), 0, 0);
    return accepted;
}

/* Prepares a queue; its interrupts come from now on. */
void virtio_queue(struct virtio_dev *d, u32 index, struct virtqueue *q, irq_handler handler, void *argument)
{
    struct {
        u16 num, irq;
        u32 pfn;
    } config;
    assert(index < d->nqueues);
    memcpy(&config, d->queues + 8 * index, sizeof(config));
    assert(config.num > 0 && config.num <= QUEUE_MAX);
    q->num = config.num;
    q->irq = config.irq;
    q->gpa = config.pfn * PAGE_SIZE;
    q->desc = __va(q->gpa);
    q->avail = (struct vring_avail *)(q->desc + q->num);
    q->used = (struct vring_used *)page_up(&q->avail->ring[q->num + 1]);
    for (u16 i = 0; i < q->num; i++)
        q->desc[i].next = i + 1;
    q->free = q->num;
    irq_request(q->irq, handler, argument);
}

void virtio_ready(struct virtio_dev *d)
{
    d->header[4] |= STATUS_DRIVER_OK;
}

/* Hands a chain to the device; false if the ring has no room. Interrupts are off, or only one context uses q. */
bool vq_add(struct virtqueue *q, const struct segment *segments, u32 n, void *token)
{
    if (q->free < n)
        return false;
    u16 head = q->free_head, last = head;
    for (u32 i = 0; i < n; i++) {
        struct vring_desc *d = &q->desc[q->free_head];
        d->address = __pa(segments[i].at);
        d->length = segments[i].length;
        d->flags = VRING_NEXT | (segments[i].device_writes ? VRING_WRITE : 0);
        last = q->free_head;
        q->free_head = d->next;
    }
    q->desc[last].flags &= (u16)~VRING_NEXT;
    q->free -= (u16)n;
    q->token[head] = token;
    q->avail->ring[q->avail->idx % q->num] = head;
    barrier(); /* the entry before the count that makes it visible */
    q->avail->idx++;
    return true;
}

void vq_kick(struct virtqueue *q)
{
    barrier();
    if (!(q->used->flags & NO_NOTIFY))
        hcall(LHCALL_NOTIFY, q->gpa, 0, 0);
}

/* The token of a chain the device is done with, or NULL; its descriptors are free again. */
void *vq_get(struct virtqueue *q, u32 *length)
{
    if (q->seen == q->used->idx)
        return NULL;
    barrier();
    u32 head = q->used->ring[q->seen % q->num].id;
    if (length)
        *length = q->used->ring[q->seen % q->num].length;
    q->seen++;
    assert(head < q->num);
    u16 last = (u16)head, n = 1;
    for (; q->desc[last].flags & VRING_NEXT; last = q->desc[last].next)
        n++;
    q->desc[last].next = q->free_head;
    q->free_head = (u16)head;
    q->free += n;
    return q->token[head];
}

/* A hint to the device; after asking for interrupts, look once more whether there was something to report. */
void vq_interrupts(struct virtqueue *q, bool wanted)
{
    q->avail->flags = wanted ? 0 : NO_INTERRUPT;
    barrier();
}

/*
 * virtio.h - what drivers see of virtio.c.
 */
#ifndef PUP_VIRTIO_H
#define PUP_VIRTIO_H

#include "pup.h"

#define VIRTIO_NET 1
#define VIRTIO_BLOCK 2
#define VIRTIO_CONSOLE 3
#define VIRTIO_RNG 4

#define QUEUE_MAX 256
#define VRING_NEXT 1  /* the chain goes on */
#define VRING_WRITE 2 /* the device writes here */

struct vring_desc {
    u64 address; /* guest-physical */
    u32 length;
    u16 flags, next;
};

struct vring_avail {
    volatile u16 flags, idx;
    u16 ring[];
};

struct vring_used {
    volatile u16 flags, idx;
    struct {
        u32 id, length;
    } ring[];
};

/* One ring; virtio.c draws it. */
struct virtqueue {
    u16 num, irq;
    u32 gpa;
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
    u16 free_head, free, seen; /* free descriptors; used entries taken so far */
    void *token[QUEUE_MAX];    /* what the driver called the chain that begins here */
};

struct virtio_dev {
    u8 *header; /* in the device page */
    u8 *queues, *features, *config;
    u32 feature_bytes, config_bytes, nqueues;
};

struct segment {
    void *at; /* kernel virtual */
    u32 length;
    bool device_writes;
};

void virtio_init(void);
u32 virtio_features(struct virtio_dev *d, u32 wanted);
void virtio_queue(struct virtio_dev *d, u32 index, struct virtqueue *q, irq_handler handler, void *argument);
void virtio_ready(struct virtio_dev *d);
bool vq_add(struct virtqueue *q, const struct segment *segments, u32 n, void *token);
void vq_kick(struct virtqueue *q);
void *vq_get(struct virtqueue *q, u32 *length);
void vq_interrupts(struct virtqueue *q, bool wanted);

#endif

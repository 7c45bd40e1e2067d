/*
 * blk.c - disks. A request is a chain of three: a header we write, the data, and a byte in which the device says how it
 * went. Header and status live on the caller's kernel stack, which is a page of RAM like any other; the caller sleeps
 * until the interrupt.
 *
 *      { type, 0, sector u64 } -> { data, up to one page } -> { status }
 */
#include "proc.h"
#include "virtio.h"

#define DISKS 4
#define SECTOR 512u
#define BLK_IN 0
#define BLK_OUT 1
#define BLK_FLUSH 4
#define FEATURE_READ_ONLY (1u << 5)
#define FEATURE_FLUSH (1u << 9)

static struct disk {
    struct virtqueue queue;
    u64 bytes;
    bool flush, read_only;
} disks[DISKS];
static u32 ndisks;

struct request {
    u32 type, reserved;
    u64 sector;
    volatile u8 status;
    volatile bool done;
};

static void blk_irq(void *argument)
{
    struct disk *disk = argument;
    for (struct request *r; (r = vq_get(&disk->queue, NULL));) {
        r->done = true;
        wakeup(r);
        wakeup(disk); /* there is room in the ring again */
    }
}

static int submit(struct disk *disk, u32 type, u64 sector, void *data, u32 n)
{
    struct request r = {.type = type, .sector = sector, .status = 0xff};
    struct segment chain[3] = {{&r, 16, false}, {data, n, type == BLK_IN}, {(void *)&r.status, 1, true}};
    if (!data)
        chain[1] = chain[2];
    u32 flags = irq_save();
    while (!vq_add(&disk->queue, chain, data ? 3 : 2, &r))
        sleep(disk, false);
    vq_kick(&disk->queue);
    while (!r.done)
        sleep(&r, false);
    irq_restore(flags);
    return r.status == 0 ? 0 : -EIO;
}

/* Moves n bytes (whole sectors, one page at most) between `page` and the disk. */
int blk_rw(u32 disk, u64 byte, void *page, u32 n, bool write)
{
    if (disk >= ndisks || byte + n > disks[disk].bytes)
        return -EIO;
    return submit(&disks[disk], write ? BLK_OUT : BLK_IN, byte / SECTOR, page, n);
}

/* Returns when everything written is on the disk. */
int blk_flush(u32 disk)
{
    if (disk >= ndisks || !disks[disk].flush)
        return 0;
    return submit(&disks[disk], BLK_FLUSH, 0, NULL, 0);
}

u64 blk_bytes(u32 disk)
{
    return disk < ndisks ? disks[disk].bytes : 0;
}

bool blk_read_only(u32 disk)
{
    return disk < ndisks && disks[disk].read_only;
}

void blk_probe(struct virtio_dev *d)
{
    if (ndisks == DISKS) {
        printk("virtio: more than %u disks\n", DISKS);
        return;
    }
    struct disk *disk = &disks[ndisks];
    u64 sectors;
    memcpy(&sectors, d->config, sizeof(sectors));
    disk->bytes = sectors * SECTOR;
    u32 features = virtio_features(d, FEATURE_FLUSH | FEATURE_READ_ONLY);
    disk->flush = features & FEATURE_FLUSH;
    disk->read_only = features & FEATURE_READ_ONLY;
    virtio_queue(d, 0, &disk->queue, blk_irq, disk);
    virtio_ready(d);
    printk("virtio: disk vd%c, %u KiB%s, interrupt %u\n", 'a' + ndisks, (u32)(disk->bytes / 1024),
           disk->read_only ? ", read-only" : "", disk->queue.irq);
    ndisks++;
}

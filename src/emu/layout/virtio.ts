/**
 * virtio as lguest's era C has it: the split ring (virtio 0.9.5, chapter 2; reference 11.1), the device page's descriptors (reference
 * 10.2) and the drivers' request headers (reference 11.3).
 *
 *   vring of num entries at a page:   | desc[num] | avail: flags idx ring[num] used_event | ...pad | used: flags idx ring[num] |
 *                                     0           16*num                                   VRING_ALIGN
 */
import { struct, type ViewOf } from '../bits/struct.ts'

/** The used part of a ring begins at a multiple of this. */
export const VRING_ALIGN = 4096

export const VringDesc = struct('vring_desc', { addr: 'u64', len: 'u32', flags: 'u16', next: 'u16' }, 16)
export const VRING_DESC_F_NEXT = 1
/** The device writes this buffer. */
export const VRING_DESC_F_WRITE = 2
export const VRING_DESC_F_INDIRECT = 4

/** First fields of the avail and of the used part; the ring follows. */
export const VringHeader = struct('vring_header', { flags: 'u16', idx: 'u16' }, 4)
export const VringUsedElem = struct('vring_used_elem', { id: 'u32', len: 'u32' }, 8)
/** avail.flags: the driver wants no interrupt. */
export const VRING_AVAIL_F_NO_INTERRUPT = 1
/** used.flags: the device wants no notification. */
export const VRING_USED_F_NO_NOTIFY = 1

/** Device types ("virtio ids"). */
export const VIRTIO_ID = { NET: 1, BLOCK: 2, CONSOLE: 3, RNG: 4 } as const

/** Bits of a device's status byte. 0 is reset. */
export const VIRTIO_STATUS = { ACKNOWLEDGE: 1, DRIVER: 2, DRIVER_OK: 4, FAILED: 0x80 } as const

/** Feature bit numbers. */
export const VIRTIO_BLK_F_SEG_MAX = 2
export const VIRTIO_BLK_F_RO = 5
export const VIRTIO_BLK_F_FLUSH = 9
export const VIRTIO_NET_F_MAC = 5
export const VIRTIO_RING_F_INDIRECT_DESC = 28

/** Head of a descriptor in the device page; vqconfigs, two feature bitmaps and the configuration follow, unaligned. */
export const LguestDeviceDesc = struct(
  'lguest_device_desc',
  { type: 'u8', num_vq: 'u8', feature_len: 'u8', config_len: 'u8', status: 'u8' },
  5,
)
export const LguestVqconfig = struct('lguest_vqconfig', { num: 'u16', irq: 'u16', pfn: 'u32' }, 8)

/** Entries of each ring, as in the original launcher since 2.6.27 or so. */
export const VIRTQUEUE_NUM = 256

/** Device configuration of a block device, as far as the original fills it in. */
export const VirtioBlkConfig = struct('virtio_blk_config', { capacity: 'u64', size_max: 'u32', seg_max: 'u32' }, 16)
export const VirtioBlkOuthdr = struct('virtio_blk_outhdr', { type: 'u32', ioprio: 'u32', sector: 'u64' }, 16)
export const VIRTIO_BLK_T = { IN: 0, OUT: 1, FLUSH: 4, FLUSH_OUT: 5 } as const
export const VIRTIO_BLK_S = { OK: 0, IOERR: 1, UNSUPP: 2 } as const
/** Disks count in these, whatever they are made of. */
export const SECTOR_SIZE = 512

export const VirtioNetConfig = struct(
  'virtio_net_config',
  { mac: ['u8', 6], status: 'u16', max_virtqueue_pairs: 'u16' },
  10,
)
/** In front of each frame, both ways (era C: without num_buffers). */
export const VirtioNetHdr = struct(
  'virtio_net_hdr',
  { flags: 'u8', gso_type: 'u8', hdr_len: 'u16', gso_size: 'u16', csum_start: 'u16', csum_offset: 'u16' },
  10,
)

export type VringDescView = ViewOf<typeof VringDesc>

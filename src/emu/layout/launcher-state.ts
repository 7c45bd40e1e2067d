/**
 * A launcher's private memory: what the process that runs one guest must remember from one turn to the next. It is at
 * LAUNCHER_PRIVATE of the launcher's own address space, so it goes where the guest goes; TypeScript objects are only views of it.
 *
 *      0x08000000   struct launcher         (LAUNCHER_PRIVATE; two pages)
 *      0x10000000   guest-physical 0        (GUEST_BASE)
 *                   ... RAM ... device page, rings
 */
import { struct, type ViewOf } from '../bits/struct.ts'

export const LAUNCHER_PRIVATE = 0x0800_0000
/** hva of guest-physical address 0. */
export const GUEST_BASE = 0x1000_0000

/** The device's side of one virtqueue. */
export const VirtqueueState = struct('virtqueue_state', {
  /** Entries; gpa of the descriptor table; the guest's interrupt. The device page says the same, but the guest can write that. */
  num: 'u32',
  gpa: 'u32',
  irq: 'u32',
  /** The launcher's file descriptor for the guest's kicks, 0 before set-up. */
  eventfd: 'u32',
  last_avail_idx: 'u32',
  /** Buffers used since the last interrupt. */
  pending_used: 'u32',
})
export type VirtqueueStateView = ViewOf<typeof VirtqueueState>

/** The launcher's side of one device. */
export const DeviceState = struct('device_state', {
  /** gpa of its descriptor in the device page. */
  desc: 'u32',
  started: 'u32',
  /** Features the guest accepted (bits 0-31). */
  features: 'u32',
  /** Bytes of the chain in hand that are done: printed, or read from or written to the disk. */
  chain_done: 'u32',
  /** Frames that found no buffer large enough. */
  dropped: 'u32',
  queues: [VirtqueueState, 2],
})
export type DeviceStateView = ViewOf<typeof DeviceState>

export const MAX_DEVICES = 16
export const REASON_SIZE = 256
/** Longer than any death text, and than NOTIFY's word. */
export const READ_BUFFER_SIZE = 256

export const LauncherState = struct('launcher', {
  /** LAUNCHER_* below. */
  phase: 'u32',
  /** File descriptor of /dev/lguest. */
  fd: 'u32',
  /** First gpa behind RAM and devices. */
  guest_limit: 'u32',
  /** What the vCPU task still has to deal with: a NOTIFY address, or era A's DMA and key; 0 is nothing. */
  notify: 'u32',
  key: 'u32',
  /** Early console: bytes of the string at `notify` that the front already has. */
  notify_done: 'u32',
  /** Requests from outside: 1 when the guest is to stop, or not to run for now. */
  stop: 'u32',
  paused: 'u32',
  /** A device found the guest breaking the rules; `reason` says how. */
  killed: 'u32',
  reason: ['u8', REASON_SIZE],
  read_buffer: ['u8', READ_BUFFER_SIZE],
  devices: [DeviceState, MAX_DEVICES],
})
export type LauncherStateView = ViewOf<typeof LauncherState>

/** Not begun; reading /dev/lguest; reading the reason of a death; over. */
export const LAUNCHER_BOOT = 0
export const LAUNCHER_RUN = 1
export const LAUNCHER_DEATH = 2
export const LAUNCHER_OVER = 3

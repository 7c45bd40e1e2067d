/**
 * The local APIC's registers, in the second half of their CPU's state page. Software reaches them through the register page at
 * 0xFEE00000 (machine/apic.ts); manual 3A, chapter 8.
 */
import { struct, type ViewOf } from '../bits/struct.ts'

/** Byte offset of ApicState in a CPU's state page. */
export const APIC_STATE_OFFSET = 2048

export const ApicState = struct('apic_state', {
  task_priority: 'u32',
  spurious_vector: 'u32',
  error_status: 'u32',
  command_low: 'u32',
  command_high: 'u32',
  lvt_timer: 'u32',
  lvt_lint0: 'u32',
  lvt_lint1: 'u32',
  lvt_error: 'u32',
  logical_destination: 'u32',
  destination_format: 'u32',
  divide: 'u32',
  initial_count: 'u32',
  /** 1 while the timer runs; then `deadline` is when it expires, in nanoseconds of the clock. */
  armed: 'u32',
  deadline: 'u64',
  /** One bit a vector. */
  in_service: ['u32', 8],
  requested: ['u32', 8],
})
export type ApicStateView = ViewOf<typeof ApicState>

/**
 * The lguest bus's device page (eras A and B; reference 10.1): an array of descriptors behind RAM. Descriptor i has interrupt i + 1.
 */
import { struct } from '../bits/struct.ts'

export const LguestBusDesc = struct(
  'lguest_bus_desc',
  { type: 'u16', features: 'u16', status: 'u16', num_pages: 'u16', pfn: 'u32' },
  12,
)
export const LGUEST_BUS_DEVICES = 16
export const LGUEST_BUS_TYPE = { CONSOLE: 1, NET: 2, BLOCK: 3 } as const
/** The key under which console output is sent and input buffers are bound. */
export const CONSOLE_KEY = 0

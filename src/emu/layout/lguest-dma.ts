/**
 * The lguest bus of era A (reference 10.1): one lguest_dma names up to 16 pieces of Guest memory, each inside one page; the first
 * piece of length 0 ends the list. used_len is 0 while a receiving buffer is free.
 */
import { struct } from '../bits/struct.ts'

export const LGUEST_DMA_SECTIONS = 16

export const LguestDma = struct(
  'lguest_dma',
  { used_len: 'u32', addr: ['u32', LGUEST_DMA_SECTIONS], len: ['u16', LGUEST_DMA_SECTIONS] },
  100,
)

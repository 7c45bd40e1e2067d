/**
 * The lguest bus of era A (io.c; reference 10.1). A Guest BINDs an array of receive buffers to a key; whoever has data for that key
 * fills the next free buffer and raises the binding's interrupt. SEND_DMA offers data under a key: it goes to the launcher, whose
 * read() returns the address of the lguest_dma and the key, and which has the Guest's memory to read the data from.
 *
 * In 2007 a key on a page shared by two launchers reached the other Guest without any launcher; launchers here share no pages.
 */
import { struct } from '../bits/struct.ts'
import { LGUEST_DMA_SECTIONS, LguestDma } from '../layout/lguest-dma.ts'
import { PAGE_SIZE } from '../layout/x86.ts'
import { type Guest, hex, killGuest, lguestAddressOk } from './guest.ts'

/** One binding, in the Guest's DMA page (struct lguest.dma_page, allocated with the first BIND). */
const DmaBinding = struct('lguest_dma_info', { key: 'u32', dmas: 'u32', num_dmas: 'u32', irq: 'u32' }, 16)
const MAX_DMA_BINDINGS = 32
/** Buffers one binding may have. All may have to be looked at for each piece of input, so a Guest does not choose how many. */
const MAX_DMA_BUFFERS = 1024

function binding(lg: Guest, index: number) {
  return DmaBinding.at(lg.hv.mem, lg.s.dma_page + index * DmaBinding.size)
}

/** The binding of `key`, or -1. A binding without interrupt is a free one. */
function findBinding(lg: Guest, key: number): number {
  if (lg.s.dma_page === 0) return -1
  for (let i = 0; i < MAX_DMA_BINDINGS; i++) {
    const entry = binding(lg, i)
    if (entry.irq !== 0 && entry.key === key) return i
  }
  return -1
}

/** Keys are word addresses in the Guest's memory. */
function keyUsable(lg: Guest, key: number): boolean {
  return key % 4 === 0 && lguestAddressOk(lg, key, 4)
}

/** BIND_DMA: `count` buffers at gpa `dmas` receive for `key` and raise `irq`; irq 0 takes the binding back. False when there are too many
 *  bindings, or too many buffers in this one. */
export function bindDma(lg: Guest, key: number, dmas: number, count: number, irq: number): boolean {
  if (!keyUsable(lg, key)) {
    killGuest(lg, `bad dma key ${hex(key)}`)
    return false
  }
  if (count > MAX_DMA_BUFFERS) return false
  let index = findBinding(lg, key)
  if (irq === 0) {
    if (index < 0) return false
    binding(lg, index).irq = 0
    return true
  }
  if (lg.s.dma_page === 0) lg.s.dma_page = lg.hv.host.allocZeroedPage(lg.s.owner)
  if (lg.s.dma_page === 0) return false
  for (let i = 0; index < 0 && i < MAX_DMA_BINDINGS; i++) if (binding(lg, i).irq === 0) index = i
  if (index < 0) return false
  const entry = binding(lg, index)
  entry.key = key
  entry.dmas = dmas
  entry.num_dmas = count
  entry.irq = irq
  return true
}

/** Reads and checks the lguest_dma at gpa; false, and a dead Guest, when it is unusable. */
function checkDma(lg: Guest, dma: number): boolean {
  if (!lguestAddressOk(lg, dma, LguestDma.size)) {
    killGuest(lg, `bad address in sending DMA ${hex(dma)}`)
    return false
  }
  const view = LguestDma.at(lg.memory, dma)
  for (let i = 0; i < LGUEST_DMA_SECTIONS; i++) {
    const length = view.len.get(i)
    if (length === 0) break
    const gpa = view.addr.get(i)
    if (!lguestAddressOk(lg, gpa, length) || (gpa % PAGE_SIZE) + length > PAGE_SIZE) {
      killGuest(lg, `bad DMA entry: ${length}@${hex(gpa)}`)
      return false
    }
  }
  return !lg.dead
}

/** SEND_DMA: the lguest_dma at gpa `dma` has data for `key`. The launcher's read() ends with the two. */
export function sendDma(lg: Guest, key: number, dma: number): void {
  if (!keyUsable(lg, key)) {
    killGuest(lg, `bad sending DMA key ${hex(key)}`)
    return
  }
  if (!checkDma(lg, dma)) return
  lg.s.pending_notify = dma
  lg.s.pending_key = key
}

/** GETDMA, the launcher's side: gpa of the next free buffer for `key`, its used_len set to the interrupt to raise when it is filled; 0
 *  when there is none. */
export function getDma(lg: Guest, key: number): number {
  const index = findBinding(lg, key)
  if (index < 0) return 0
  const entry = binding(lg, index)
  for (let i = 0; i < entry.num_dmas; i++) {
    const dma = entry.dmas + i * LguestDma.size
    if (!lguestAddressOk(lg, dma, LguestDma.size)) {
      killGuest(lg, 'bad address in registered DMA struct')
      return 0
    }
    const view = LguestDma.at(lg.memory, dma)
    if (view.used_len !== 0) continue
    if (!checkDma(lg, dma)) return 0
    view.used_len = entry.irq
    return dma
  }
  return 0
}

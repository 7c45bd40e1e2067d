/**
 * A launcher of era A, the seed's own (March 2007; reference 7.6, 9, 10.1 with B where A is silent): it builds the guest's first page
 * tables, enters it at a virtual address, and serves the console over the lguest bus.
 *
 *      0      boot_params, command line          pgdir - n*4096   PTE pages: RAM at page_offset, flags 7
 *      ...    kernel                             pgdir            the page directory, right below the initrd
 *      mem    bus descriptors (one page)
 *
 * SEND_DMA of the console's key ends read() with 8 bytes: the lguest_dma and the key. Input goes the other way: GETDMA gives the next free buffer
 * and its interrupt. A guest frees a buffer by a store nobody hears, so input without a buffer is offered again now and then.
 */
import { Bytes } from '../bits/bytes.ts'
import { CONSOLE_KEY, LGUEST_BUS_TYPE, LguestBusDesc } from '../layout/lguest-bus.ts'
import { LGUEST_DMA_SECTIONS, LguestDma } from '../layout/lguest-dma.ts'
import { LHREQ } from '../layout/lguest-data.ts'
import { PAGE_SIZE } from '../layout/x86.ts'
import { type BootOptions, bootSegments, initrdAddress } from './boot-params.ts'
import { GuestError, hex, UnusableImageError } from './errors.ts'
import type { Launcher, LauncherEra } from './launcher.ts'
import type { KernelImage, KernelSegment } from './load-kernel.ts'

/** Flags of the first page tables: present, writable, user. */
const PTE_FLAGS = 7
const ENTRIES = PAGE_SIZE / 4
const SPAN = ENTRIES * PAGE_SIZE

export class EraALauncher implements LauncherEra {
  readonly segments: readonly KernelSegment[]
  readonly guestLimit: number
  readonly initialize: readonly number[]
  private launcher!: Launcher

  /** Throws UnusableImageError when something does not fit. */
  constructor(kernel: KernelImage, boot: BootOptions) {
    if (kernel.pageOffset % SPAN !== 0) {
      const problem = `The kernel's virtual addresses begin at ${hex(kernel.pageOffset)}, not at a multiple of 4 MiB`
      throw new UnusableImageError('bad-header', `${problem}; link it at such an address.`)
    }
    const pageTables = firstPageTables(boot.memory, initrdAddress(boot), kernel.pageOffset)
    const bus = new Uint8Array(PAGE_SIZE)
    LguestBusDesc.at(new Bytes(bus), 0).type = LGUEST_BUS_TYPE.CONSOLE
    this.segments = [
      ...kernel.segments,
      ...bootSegments(kernel, { ...boot, reserve: pageTables.bytes.length }),
      pageTables,
      { gpa: boot.memory, bytes: bus, size: PAGE_SIZE },
    ]
    this.guestLimit = boot.memory + PAGE_SIZE
    const pgdir = initrdAddress(boot) - PAGE_SIZE
    this.initialize = [this.guestLimit / PAGE_SIZE, pgdir, kernel.entry, kernel.pageOffset]
  }

  attach(launcher: Launcher): void {
    this.launcher = launcher
  }

  explain(reason: string): string {
    return reason
  }

  detach(): void {
    // Nothing outside but the console, which is the front's.
  }

  /** A lguest_dma was sent: console output. */
  handle(): boolean {
    const { state, console, ram } = this.launcher
    const { notify, key } = state
    if (key !== CONSOLE_KEY) throw new GuestError(`SEND_DMA with key ${hex(key)}, which no device has`)
    const dma = LguestDma.at(ram, notify)
    let start = 0
    for (let i = 0; i < LGUEST_DMA_SECTIONS && dma.len.get(i) !== 0; i++) {
      const length = dma.len.get(i)
      // The hypervisor has checked the sections, but the guest's memory may have changed since.
      if (dma.addr.get(i) + length > ram.size) throw new GuestError(`bad DMA entry: ${length}@${hex(dma.addr.get(i))}`)
      const from = Math.max(0, state.notify_done - start)
      const part = Math.min(length - from, console.room())
      if (part > 0) {
        console.write(ram.readBytes(dma.addr.get(i) + from, part))
        state.notify_done += part
      }
      start += length
      if (state.notify_done < start) return false
    }
    dma.used_len = start
    return true
  }

  /** Console input into the next free buffer, if the guest has one. */
  service(): 'done' | 'poll' {
    const { host, vcpuTask, state, console, ram } = this.launcher
    while (console.waiting > 0) {
      const gpa = host.sysWrite(vcpuTask, state.fd, [LHREQ.GETDMA, CONSOLE_KEY])
      if (gpa <= 0) return 'poll'
      const dma = LguestDma.at(ram, gpa)
      const irq = dma.used_len
      let used = 0
      for (let i = 0; i < LGUEST_DMA_SECTIONS && dma.len.get(i) !== 0 && console.waiting > 0; i++) {
        if (dma.addr.get(i) + dma.len.get(i) > ram.size) throw new GuestError('bad address in registered DMA struct')
        const bytes = console.takeInput(dma.len.get(i))
        ram.writeBytes(dma.addr.get(i), bytes)
        used += bytes.length
      }
      if (used === 0) throw new GuestError('bad registered DMA buffer')
      dma.used_len = used
      this.launcher.raiseInterrupt(irq)
    }
    return 'done'
  }
}

/** Page tables that map RAM at page_offset: PTE pages, then the directory, ending at gpa `end`. */
function firstPageTables(memory: number, end: number, pageOffset: number): KernelSegment {
  const mapped = Math.min(memory, 2 ** 32 - pageOffset) / PAGE_SIZE
  const tables = Math.ceil(mapped / ENTRIES)
  const gpa = end - (tables + 1) * PAGE_SIZE
  const bytes = new Uint8Array((tables + 1) * PAGE_SIZE)
  const words = new Bytes(bytes)
  for (let page = 0; page < mapped; page++) words.write32(page * 4, (page * PAGE_SIZE) | PTE_FLAGS)
  for (let table = 0; table < tables; table++) {
    const slot = Math.floor(pageOffset / SPAN) + table
    words.write32(tables * PAGE_SIZE + slot * 4, (gpa + table * PAGE_SIZE) | PTE_FLAGS)
  }
  return { gpa, bytes, size: bytes.length }
}

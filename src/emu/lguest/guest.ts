/**
 * struct lguest: everything the Host knows about a Guest, one page of Host RAM (lg.h). The page is the truth; the Guest class
 * below is only a view of it that can be built again from its address at any time. Also here: killGuest(), and the checked way
 * into Guest-physical memory.
 *
 * Guest-physical memory is the launcher's memory: gpa 0 is at hva mem_base of its address space, and pages come into being
 * when they are first touched. So the Host never keeps a pointer into it; it goes through the launcher's page tables.
 */
import type { ByteMemory } from '../bits/struct.ts'
import { struct, type ViewOf } from '../bits/struct.ts'
import { Desc, GDT_ENTRIES, IDT_ENTRIES } from '../layout/lguest-pages.ts'
import type { LguestRegsView } from '../layout/lguest-regs.ts'
import { PAGE_SIZE } from '../layout/x86.ts'
import type { GuestAbi } from './abi/abi.ts'
import type { Hypervisor } from './hypervisor.ts'

/** One shadow page table: which Guest table it stands for, and where its directory is. */
export const Pgdir = struct('pgdir', { gpgdir: 'u32', pgdir: 'u32' }, 8)
/** "We keep a small number of these." */
export const NR_PGDIRS = 4

/** Bits of `changed`: what copyInGuestInfo must copy (reference 2.8). */
export const CHANGED_IDT = 1
export const CHANGED_GDT = 2
export const CHANGED_GDT_TLS = 4
export const CHANGED_ALL = CHANGED_IDT | CHANGED_GDT

/** Values of `dead`. */
export const ALIVE = 0
/** Dead for the reason in dead_text. */
export const DEAD = 1
/** Asked for a restart: read() returns -ERESTART. */
export const DEAD_RESTART = 2

/** Bytes of a reason, its NUL included. */
const DEAD_TEXT_SIZE = 256

export const Lguest = struct('lguest', {
  // --- from INITIALIZE, then constant ---------------------------------------------------------------------------------
  guestid: 'u32',
  /** Which interface it speaks: index into the hypervisor's list (abi/abi.ts). */
  abi: 'u32',
  /** The next Guest, or 0: the hypervisor's list of all of them. */
  next: 'u32',
  /** Page owner number in the Host's allocator. */
  owner: 'u32',
  /** The launcher's task, and its address space (kept separately: tsk->mm ends with the task). */
  tsk: 'u32',
  mm: 'u32',
  /** hva of Guest-physical address 0; pages of Guest-physical memory. */
  mem_base: 'u32',
  pfn_limit: 'u32',
  /** Where the Guest kernel's addresses begin. Era A: page_offset, from INITIALIZE. Era C: from lguest_data. */
  kernel_address: 'u32',

  // --- the world switch -----------------------------------------------------------------------------------------------
  /** At the end of this page (hpa) are the registers; it is mapped over lguest_pages in the Guest. */
  regs_page: 'u32',
  /** hpa of the registers. */
  regs: 'u32',
  /** Bitmap of CHANGED_*, and the pages (linear) it last ran on. */
  changed: 'u32',
  last_pages: 'u32',
  /** 1 from entering the Switcher until runGuestOnce has seen it return. */
  running: 'u32',
  esp1: 'u32',
  ss1: 'u32',
  stack_pages: 'u32',
  /** CR0.TS as the Guest wishes it: 0 or 8. */
  ts: 'u32',
  /** CPU whose FPU registers are this Guest's, plus 1; 0 when they are in fpu_page. */
  fpu_cpu: 'u32',
  fpu_page: 'u32',

  // --- interrupts and hypercalls --------------------------------------------------------------------------------------
  /** hva of lguest_data, 0 before LGUEST_INIT. */
  lguest_data: 'u32',
  noirq_start: 'u32',
  noirq_end: 'u32',
  irqs_pending: 'u32',
  halted: 'u32',
  /** A direct hypercall waits in the registers. */
  hcall: 'u32',
  /** Our cursor in the asynchronous ring. */
  next_hcall: 'u32',
  /** Era C: NOTIFY's address until somebody has it. Era A: lguest_dma of a SEND_DMA, and its key. */
  pending_notify: 'u32',
  pending_key: 'u32',
  /** The launcher's buffer in the read() that is running the Guest. */
  read_address: 'u32',
  read_length: 'u32',
  /** Page of eventfd records, 0 when there are none, and how many. */
  eventfds: 'u32',
  eventfd_count: 'u32',
  /** Era A: BREAK in force; Host time of the last TIMER_READ, in ticks; page of DMA bindings. */
  break_out: 'u32',
  last_timer: 'u32',
  dma_page: 'u32',

  // --- page tables ----------------------------------------------------------------------------------------------------
  /** Era C before the first NEW_PGTABLE: Guest-virtual is Guest-physical. */
  linear_pages: 'u32',
  pgdidx: 'u32',
  pgdirs: [Pgdir, NR_PGDIRS],
  /** Shadow page tables behind all four directories. */
  shadow_tables: 'u32',

  // --- statistics (stats.ts) ------------------------------------------------------------------------------------------
  stats_page: 'u32',

  // --- death ----------------------------------------------------------------------------------------------------------
  dead: 'u32',
  dead_text: ['u8', DEAD_TEXT_SIZE],

  // --- descriptor tables, as the Guest believes them to be --------------------------------------------------------------
  gdt: [Desc, GDT_ENTRIES],
  idt: [Desc, IDT_ENTRIES],
})
export type LguestView = ViewOf<typeof Lguest>

/** One entry of the Guest's GDT or IDT, as two words. */
export interface Descriptor {
  readonly a: number
  readonly b: number
}

/** A Guest, seen from the Host. Holds no state of its own. */
export class Guest {
  readonly hv: Hypervisor
  /** hpa of struct lguest: the Guest's identity. */
  readonly address: number
  /** struct lguest. */
  readonly s: LguestView
  readonly abi: GuestAbi
  /** The registers, in the order of the Guest's era. */
  readonly regs: LguestRegsView
  /** Guest-physical memory: addresses are gpa; an access outside it kills the Guest (reads give 0). */
  readonly memory: ByteMemory

  constructor(hv: Hypervisor, address: number) {
    this.hv = hv
    this.address = address
    this.s = Lguest.at(hv.mem, address)
    this.abi = hv.abis[this.s.abi] as GuestAbi
    this.regs = this.abi.regs.at(hv.mem, this.s.regs)
    this.memory = new GuestMemory(this)
  }

  get dead(): boolean {
    return this.s.dead !== ALIVE
  }

  /** GDT entry `index` as the Guest set it (after fixups). */
  gdtEntry(index: number): Descriptor {
    return this.descriptor(Lguest.offset.gdt, index)
  }

  setGdtEntry(index: number, a: number, b: number): void {
    this.setDescriptor(Lguest.offset.gdt, index, a, b)
  }

  /** IDT entry `index` as the Guest set it. */
  idtEntry(index: number): Descriptor {
    return this.descriptor(Lguest.offset.idt, index)
  }

  setIdtEntry(index: number, a: number, b: number): void {
    this.setDescriptor(Lguest.offset.idt, index, a, b)
  }

  private descriptor(table: number, index: number): Descriptor {
    const at = this.address + table + index * Desc.size
    return { a: this.hv.mem.read32(at) >>> 0, b: this.hv.mem.read32(at + 4) >>> 0 }
  }

  private setDescriptor(table: number, index: number, a: number, b: number): void {
    const at = this.address + table + index * Desc.size
    this.hv.mem.write32(at, a)
    this.hv.mem.write32(at + 4, b)
  }
}

/** "0xc0101000": how addresses look in reasons. */
export function hex(value: number): string {
  return `0x${(value >>> 0).toString(16)}`
}

/**
 * Ends a Guest that broke the rules. Only the Guest's kernel can get us here, and it may end its own machine, so no caller
 * needs a return code: the first reason wins, and the run loop notices. The text is what the launcher will read.
 */
export function killGuest(lg: Guest, reason: string): void {
  if (lg.dead) return
  lg.s.dead = DEAD
  const text = lg.s.dead_text
  const length = Math.min(reason.length, DEAD_TEXT_SIZE - 1)
  for (let i = 0; i < length; i++) text.set(i, reason.charCodeAt(i) & 0xff)
  text.set(length, 0)
  lg.hv.tracer?.killed(lg, reason)
}

/** Why a dead Guest died. */
export function deadReason(lg: Guest): string {
  let reason = ''
  for (let i = 0; i < DEAD_TEXT_SIZE; i++) {
    const character = lg.s.dead_text.get(i)
    if (character === 0) break
    reason += String.fromCharCode(character)
  }
  return reason
}

/** True when [gpa, gpa + length) is the Guest's memory. */
export function lguestAddressOk(lg: Guest, gpa: number, length: number): boolean {
  return gpa >= 0 && length >= 0 && gpa + length <= lg.s.pfn_limit * PAGE_SIZE
}

/** hpa behind a checked gpa, or 0 when the launcher cannot have the page. No reference stays: the launcher's address
 *  space keeps its pages as long as the Guest lives. */
function gpaToHpa(lg: Guest, gpa: number, write: boolean): number {
  const { host } = lg.hv
  const page = host.getUserPage(lg.s.mm, lg.s.mem_base + (gpa - (gpa % PAGE_SIZE)), write)
  if (page === 0) return 0
  host.putPage(page)
  return page + (gpa % PAGE_SIZE)
}

/** Reads `length` bytes of Guest-physical memory without killing; undefined when they cannot be had. */
export function tryRead(lg: Guest, gpa: number, length: number): Uint8Array | undefined {
  if (!lguestAddressOk(lg, gpa, length)) return undefined
  const bytes = new Uint8Array(length)
  for (let done = 0; done < length;) {
    const part = Math.min(length - done, PAGE_SIZE - ((gpa + done) % PAGE_SIZE))
    const hpa = gpaToHpa(lg, gpa + done, false)
    if (hpa === 0) return undefined
    bytes.set(lg.hv.mem.readBytes(hpa, part), done)
    done += part
  }
  return bytes
}

/** Writes bytes without killing; false when a page cannot be had (what is before it may be written). */
export function tryWrite(lg: Guest, gpa: number, bytes: Uint8Array): boolean {
  if (!lguestAddressOk(lg, gpa, bytes.length)) return false
  for (let done = 0; done < bytes.length;) {
    const part = Math.min(bytes.length - done, PAGE_SIZE - ((gpa + done) % PAGE_SIZE))
    const hpa = gpaToHpa(lg, gpa + done, true)
    if (hpa === 0) return false
    lg.hv.mem.writeBytes(hpa, bytes.subarray(done, done + part))
    done += part
  }
  return true
}

/** Reads `length` bytes of Guest-physical memory. On a bad address: kills, returns zeros. */
export function lgread(lg: Guest, gpa: number, length: number): Uint8Array {
  const bytes = tryRead(lg, gpa, length)
  if (bytes !== undefined) return bytes
  killGuest(lg, `bad read address ${hex(gpa)} len ${length}`)
  return new Uint8Array(length)
}

/** Writes bytes to Guest-physical memory. On a bad address: kills, returns false. */
export function lgwrite(lg: Guest, gpa: number, bytes: Uint8Array): boolean {
  const ok = tryWrite(lg, gpa, bytes)
  if (!ok) killGuest(lg, `bad write address ${hex(gpa)} len ${bytes.length}`)
  return ok
}

/** Unsigned word at a gpa. On a bad address: kills, returns 0. */
export function lgread32(lg: Guest, gpa: number): number {
  return lg.memory.read32(gpa) >>> 0
}

export function lgwrite32(lg: Guest, gpa: number, value: number): void {
  lg.memory.write32(gpa, value)
}

/** Writes a word without killing; false when the page cannot be had. For lguest_data, whose range was checked at INIT. */
export function tryWrite32(lg: Guest, gpa: number, value: number): boolean {
  for (let i = 0; i < 4; i++) {
    const hpa = lguestAddressOk(lg, gpa + i, 1) ? gpaToHpa(lg, gpa + i, true) : 0
    if (hpa === 0) return false
    lg.hv.mem.write8(hpa, (value >>> (8 * i)) & 0xff)
  }
  return true
}

/** The NUL-terminated text in the `size` bytes at gpa; at most size - 1 characters. */
export function lgreadString(lg: Guest, gpa: number, size: number): string {
  const bytes = lgread(lg, gpa, size).subarray(0, size - 1)
  const end = bytes.indexOf(0)
  return String.fromCharCode(...(end < 0 ? bytes : bytes.subarray(0, end)))
}

/** Guest-physical memory as a ByteMemory, so that struct() layouts can be laid over it. */
class GuestMemory implements ByteMemory {
  private readonly lg: Guest

  constructor(lg: Guest) {
    this.lg = lg
  }

  /** hpa for an access inside one page; 0 when it must go byte by byte or nowhere. */
  private at(gpa: number, size: number, write: boolean): number {
    if ((gpa % PAGE_SIZE) + size > PAGE_SIZE || !lguestAddressOk(this.lg, gpa, size)) return 0
    return gpaToHpa(this.lg, gpa, write)
  }

  read8(gpa: number): number {
    return lgread(this.lg, gpa, 1)[0]
  }

  read16(gpa: number): number {
    const bytes = lgread(this.lg, gpa, 2)
    return bytes[0] | (bytes[1] << 8)
  }

  read32(gpa: number): number {
    const hpa = this.at(gpa, 4, false)
    if (hpa !== 0) return this.lg.hv.mem.read32(hpa)
    const bytes = lgread(this.lg, gpa, 4)
    return bytes[0] | (bytes[1] << 8) | (bytes[2] << 16) | (bytes[3] << 24)
  }

  write8(gpa: number, value: number): void {
    lgwrite(this.lg, gpa, Uint8Array.of(value))
  }

  write16(gpa: number, value: number): void {
    lgwrite(this.lg, gpa, Uint8Array.of(value, value >>> 8))
  }

  write32(gpa: number, value: number): void {
    const hpa = this.at(gpa, 4, true)
    if (hpa !== 0) this.lg.hv.mem.write32(hpa, value)
    else lgwrite(this.lg, gpa, Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24))
  }
}

/**
 * The Guest interface as an object: everything in which the eras of lguest differ (reference 0.1), and nothing else. Each
 * Guest has one; era-a.ts and era-c.ts make them. The rest of the hypervisor asks the object instead of asking the year.
 */
import type { ByteMemory } from '../../bits/struct.ts'
import type { LguestRegs, LguestRegsView } from '../../layout/lguest-regs.ts'
import type { Guest } from '../guest.ts'
import type { SwitcherVariant } from '../switcher/switcher.ts'

/** A hypercall: its number and arguments, from the registers or from the ring; all unsigned. */
export interface HcallArguments {
  readonly number: number
  readonly arg1: number
  readonly arg2: number
  readonly arg3: number
  readonly arg4: number
}

/** What a hypercall does; the result, where the era has results, goes to eax of a direct call. */
export interface Hypercall {
  readonly name: string
  readonly run: (lg: Guest, args: HcallArguments) => number | undefined
}

/** What INITIALIZE says, once understood. */
export interface InitialState {
  /** hva of Guest-physical address 0. */
  readonly base: number
  readonly pfnLimit: number
  /** First eip. */
  readonly start: number
  /** Era A: gpa of the page directory the launcher built, and the kernel's address space offset. */
  readonly pgdir?: number
  readonly pageOffset?: number
}

/** Offsets in lguest_data that the common code needs; undefined where the era has no such field. */
export interface DataOffsets {
  readonly irq_enabled: number
  readonly blocked_interrupts: number
  readonly cr2: number
  readonly hcall_status: number
  readonly irq_pending?: number
  readonly tv_sec?: number
  readonly tv_nsec?: number
}

export interface GuestAbi {
  readonly era: 'A' | 'C'
  /** Number stored in struct lguest, and index of the hypervisor's list. */
  readonly id: number
  readonly switcher: SwitcherVariant
  readonly regs: {
    at(mem: ByteMemory, address: number): LguestRegsView
    readonly offset: Readonly<Record<keyof typeof LguestRegs.offset, number>>
  }
  readonly data: DataOffsets
  /** By number; holes are bad hypercalls. */
  readonly hypercalls: readonly (Hypercall | undefined)[]
  /** True: the ring is looked at before every entry. False: only when a direct hypercall has come. */
  readonly drainsRingAlways: boolean

  /** Words of an INITIALIZE request, after the request number. */
  readonly initializeWords: number
  /** Understands those words; a negative errno when they make no sense. */
  parseInitialize(words: readonly number[]): InitialState | number

  hcallArguments(regs: LguestRegsView): HcallArguments
  /** Arguments of ring entry `slot`. */
  ringArguments(lg: Guest, slot: number): HcallArguments
  /** LGUEST_INIT: lguest_data is at gpa. Fills and reads it in the era's order. */
  guestInit(lg: Guest, gpa: number): void

  /** gpa behind a gva, as the Host needs it for stacks and instructions. Kills ("Bad address") and gives -1 when none. */
  guestPa(lg: Guest, gva: number): number
  /** True when the instruction at eip may be looked at and emulated. */
  mayEmulate(lg: Guest): boolean
  /** cli is skipped. */
  readonly skipsCli: boolean
  /** Debug registers read as after a reset, and writes to them go nowhere. */
  readonly hidesDebugRegisters: boolean

  /** EFLAGS as the Guest's handler shall see them in its frame. */
  pushedEflags(eflags: number, irqEnabled: number): number
  /** True when a LOAD_IDT_ENTRY for the vector is kept. */
  storesIdtEntry(vector: number): boolean
  /** True when copyTraps must look at the vector; the other entries never change. */
  copiesTrap(vector: number): boolean
  /** DPL of the default gate of a vector whose gate in the Guest's table has the second word `high`. */
  defaultGateDpl(vector: number, high: number): number
  /** A kernel BUG (ud2) ends the Guest with its file and line. */
  readonly bugKills: boolean

  /** Descriptors with wrong reserved bits kill ("Bad GDT descriptor"). */
  readonly checksGdt: boolean
  /** What LOAD_TLS sets in `changed`. */
  readonly changedByTls: number
  /** A page fault in the Switcher's region kills when the Guest's own directory has an entry there. Otherwise the Guest hears of it. */
  readonly killsSwitcherAccess: boolean
  /** Page-table entry flags that make an entry bad. */
  readonly badPteFlags: number

  /** The Guest's timer has expired: irq 0 is about to be raised. */
  timerExpired(lg: Guest): void
}

/** Offset of field `name` as gpa; the Guest must have called LGUEST_INIT. */
export function dataAddress(lg: Guest, offset: number): number {
  return lg.s.lguest_data - lg.s.mem_base + offset
}

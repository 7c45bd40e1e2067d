/**
 * What the CPU inspector shows. The engine computes these from the emulated machine's real bytes; numbers are unsigned
 * 32-bit unless said otherwise. Field names are the Intel manual's and lguest's.
 */

export const SEGMENT_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'] as const
export const GPR_NAMES = ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi'] as const

export interface SegmentState {
  name: (typeof SEGMENT_NAMES)[number]
  selector: number
  base: number
  limit: number
  /** Decoded attributes: "code r-x 32-bit DPL 1", "unusable". */
  description: string
}

/** One decoded GDT or IDT entry. `copied` says whether the last switch on this CPU copied it. */
export interface DescriptorState {
  index: number
  low: number
  high: number
  description: string
  copied: boolean
}

/** In whose world a CPU is. */
export type CpuWorld =
  | { kind: 'host'; where: 'idle' | 'kernel' | 'switcher' }
  | { kind: 'guest'; guestId: string; guestName: string; ring: number }

export interface LguestCpuState {
  /** Linear and host-physical addresses of this CPU's lguest_pages pair. */
  pagesLinear: number
  pagesPhysical: [number, number]
  /** The page mapped over page 0 in the current guest's world (its regs page), and its PTE. */
  regsPage: number
  regsPte: number
  hostCr3: number
  /** Guest id, or null; `lastGuestAddress` is the struct's host-physical address. */
  lastGuest: string | null
  lastGuestAddress: number
  /** Of that guest: the pages pair it last ran on, and the bits of `changed`. */
  lastPages: number
  changed: { idt: boolean; gdt: boolean; tls: boolean; bits: number }
  /** What the last switch on this CPU copied in and what it skipped. */
  lastSwitch: {
    trap: number
    copied: { idt: boolean; gdt: boolean; tls: boolean; regs: boolean; bytes: number }
    avoidedBytes: number
  } | null
}

export interface CpuCounters {
  worldSwitches: number
  switchesByTrap: Record<string, number>
  copied: { idt: number; gdt: number; tls: number; all: number; bytes: number }
  avoidedBytes: number
  elided: number
}

export interface CpuSnapshot {
  cpu: number
  /** Host time, ns, and instructions retired. */
  time: number
  retired: number
  world: CpuWorld
  halted: boolean
  gpr: number[]
  eip: number
  eflags: number
  cr: { cr0: number; cr2: number; cr3: number; cr4: number }
  /** DR0-DR7. */
  dr: number[]
  segments: SegmentState[]
  gdtr: { base: number; limit: number }
  idtr: { base: number; limit: number }
  fpu: { control: number; status: number; tag: number; st: string[] }
  lguest: LguestCpuState | null
  counters: CpuCounters
}

/** The three descriptor tables as the CPU sees them now. */
export interface TablesSnapshot {
  gdt: DescriptorState[]
  idt: DescriptorState[]
  tss: { name: string; offset: number; value: number }[]
}

/** Address spaces memory can be looked at in. */
export type MemorySpace =
  | { kind: 'hostPhysical' }
  /** Linear, through the CR3 this CPU has now. */
  | { kind: 'cpuVirtual'; cpu: number }
  | { kind: 'guestPhysical'; guestId: string }
  /** Through the guest's own page tables. */
  | { kind: 'guestVirtual'; guestId: string }

export interface MemoryChunk {
  address: number
  /** Base64 of the bytes; `mapped[i]` is false for bytes of pages that are not there (shown as ??). */
  bytes: string
  /** One flag a 4 KiB page touched by the range. */
  mapped: boolean[]
}

export interface DisassemblyLine {
  address: number
  bytes: string
  text: string
  /** "sys_read+0x12", or null. */
  symbol: string | null
}

export interface WalkStep {
  level: 'PGD' | 'PTE'
  /** Host-physical (shadow) or guest-physical (guest) address of the entry. */
  entryAddress: number
  index: number
  value: number
  flags: string
}

/** The walks of the shadow and of the guest's own tables for one guest-virtual address. */
export interface PageWalk {
  address: number
  shadow: { cr3: number; steps: WalkStep[]; result: number | null; note: string }
  guest: { cr3: number; steps: WalkStep[]; result: number | null; note: string }
}

/** One world switch on the timeline. Times are host ns. */
export interface SwitchEvent {
  cpu: number
  guestId: string
  /** Entered and left. */
  start: number
  end: number
  trap: number
  /** Bit 0 IDT, 1 GDT, 2 TLS, 3 registers (pre-patch mode). */
  copied: number
  bytes: number
}

export type BreakpointKind =
  | { kind: 'address'; address: number; scope: { cpu?: number | undefined; guestId?: string | undefined } }
  | { kind: 'trap'; trap: number; scope: { cpu?: number | undefined; guestId?: string | undefined } }
  | { kind: 'hypercall'; number: number; scope: { cpu?: number | undefined; guestId?: string | undefined } }
  | { kind: 'watch'; space: MemorySpace; address: number; length: 1 | 2 | 4; access: 'write' | 'readWrite' }

export interface Breakpoint {
  id: number
  enabled: boolean
  hits: number
  spec: BreakpointKind
}

export type StopReason =
  | { kind: 'paused' }
  | { kind: 'step' }
  | { kind: 'switch'; cpu: number; guestId: string; trap: number }
  | { kind: 'breakpoint'; id: number; cpu: number; guestId: string | null; detail: string }
  | { kind: 'runTo'; cpu: number; address: number }

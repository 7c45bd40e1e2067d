/**
 * One CPU's state block, in the machine's shared memory, and CpuState, the typed-array window on it that the
 * interpreter, the MMU and later the translator share. Nothing about a CPU lives anywhere else, so either engine can
 * take over at any instruction boundary, and a snapshot is memory.
 *
 * `st` is an Int32Array over the block, indexed by the S_* constants (derived from the struct, in words). `r` are the
 * eight general registers. The hot code uses these; everything else may use the struct view `fields`.
 */
import { struct, type ViewOf } from '../bits/struct.ts'
import { CS, FLAG_ALWAYS_ONE, SS } from './x86.ts'
import {
  TLB_EXEC_SUPERVISOR,
  TLB_EXEC_USER,
  TLB_READ_SUPERVISOR,
  TLB_READ_USER,
  TLB_TABLES,
  TLB_WRITE_SUPERVISOR,
  TLB_WRITE_USER,
  type MachineMemory,
} from './memory.ts'

/** One x87 register, 80 bits in a 16-byte slot: mantissa low and high word, then sign and exponent in 16 bits. */
export const FpuReg = struct(
  'fpu_reg',
  { mantissa_lo: 'u32', mantissa_hi: 'u32', sign_exponent: 'u32', __pad: 'u32' },
  16,
)
export const XmmReg = struct('xmm_reg', { w0: 'u32', w1: 'u32', w2: 'u32', w3: 'u32' }, 16)

export const CpuStateLayout = struct('cpu_state', {
  /** eax, ecx, edx, ebx, esp, ebp, esi, edi */
  gpr: ['u32', 8],
  eip: 'u32',
  /** Control flags and, while flag_op is 0, the status flags too. Use flags.ts to read or write the whole register. */
  eflags: 'u32',
  /** Lazy flag record: 0 = eflags is complete. The other values are flags.ts's own. */
  flag_op: 'u32',
  flag_result: 'u32',
  flag_src: 'u32',
  flag_aux: 'u32',
  /** Current privilege level, 0-3 (the RPL of CS, cached). */
  cpl: 'u32',
  /** 1 when cpl is 3: the column of the TLB in use. */
  user: 'u32',
  /** Selectors and hidden parts of ES CS SS DS FS GS LDTR TR. limit is in bytes, granularity already applied. attr is
   *  bits 8-23 of the descriptor's second word shifted down by 8 (type, S, DPL, P, ..., D/B, G); 0 = unusable (null). */
  seg_selector: ['u32', 8],
  seg_base: ['u32', 8],
  seg_limit: ['u32', 8],
  seg_attr: ['u32', 8],
  gdt_base: 'u32',
  gdt_limit: 'u32',
  idt_base: 'u32',
  idt_limit: 'u32',
  cr0: 'u32',
  cr2: 'u32',
  cr3: 'u32',
  cr4: 'u32',
  dr: ['u32', 8],
  sysenter_cs: 'u32',
  sysenter_esp: 'u32',
  sysenter_eip: 'u32',
  apic_base: 'u32',
  /** Instructions retired, and what WRMSR added to the time stamp counter (its rate is the clock's business). */
  retired: 'u64',
  tsc_offset: 'u64',
  /** 1 after HLT until an interrupt, NMI or reset. */
  halted: 'u32',
  /** 1 from delivery of an NMI until the next IRET. */
  nmi_blocked: 'u32',
  /** SHADOW_* for one instruction after STI, MOV SS, POP SS; else 0. */
  interrupt_shadow: 'u32',
  /** PENDING_* bits: what the run loop must look at before the next instruction. */
  pending: 'u32',
  /** Set by a device or another CPU to make the run loop return at the next instruction boundary. */
  stop_request: 'u32',
  /** The fault an instruction has just raised (fault.ts). */
  fault_vector: 'u32',
  fault_error: 'u32',
  fault_has_error: 'u32',
  fpu_control: 'u32',
  fpu_status: 'u32',
  /** Two bits a register, as FNSTENV stores it. */
  fpu_tag: 'u32',
  fpu_opcode: 'u32',
  fpu_ip: 'u32',
  fpu_cs: 'u32',
  fpu_dp: 'u32',
  fpu_ds: 'u32',
  mxcsr: 'u32',
  __align: ['u32', 3],
  fpu_reg: [FpuReg, 8],
  /** Place kept for SSE. */
  xmm: [XmmReg, 8],
})

export type CpuStateView = ViewOf<typeof CpuStateLayout>

/** Interrupts and NMIs are held off until after the next instruction. */
export const SHADOW_STI = 1
/** The same for debug traps, and no single-step trap at all for this instruction: ESP may not fit SS yet. */
export const SHADOW_MOV_SS = 2

/** An external interrupt is offered by the local APIC. */
export const PENDING_INTR = 1
/** A non-maskable interrupt has been latched. */
export const PENDING_NMI = 2
/** A #DB trap is due after the instruction: TF was set when it began (then DR6.BS is set too), or it met a data or port
 *  breakpoint (then DR6 has the breakpoint's bit). A fault in the instruction cancels it. */
export const PENDING_STEP = 4
/** DR7 has an instruction breakpoint on: ask checkInstructionBreakpoint before every instruction. Stays set while it is. */
export const PENDING_BREAKPOINT = 16

const o = CpuStateLayout.offset
export const S_EIP = o.eip >> 2
export const S_EFLAGS = o.eflags >> 2
export const S_FLAG_OP = o.flag_op >> 2
export const S_FLAG_RESULT = o.flag_result >> 2
export const S_FLAG_SRC = o.flag_src >> 2
export const S_FLAG_AUX = o.flag_aux >> 2
export const S_CPL = o.cpl >> 2
export const S_USER = o.user >> 2
export const S_SEG_SELECTOR = o.seg_selector >> 2
export const S_SEG_BASE = o.seg_base >> 2
export const S_SEG_LIMIT = o.seg_limit >> 2
export const S_SEG_ATTR = o.seg_attr >> 2
export const S_GDT_BASE = o.gdt_base >> 2
export const S_GDT_LIMIT = o.gdt_limit >> 2
export const S_IDT_BASE = o.idt_base >> 2
export const S_IDT_LIMIT = o.idt_limit >> 2
export const S_CR0 = o.cr0 >> 2
export const S_CR2 = o.cr2 >> 2
export const S_CR3 = o.cr3 >> 2
export const S_CR4 = o.cr4 >> 2
export const S_DR = o.dr >> 2
export const S_SYSENTER_CS = o.sysenter_cs >> 2
export const S_SYSENTER_ESP = o.sysenter_esp >> 2
export const S_SYSENTER_EIP = o.sysenter_eip >> 2
export const S_APIC_BASE = o.apic_base >> 2
export const S_RETIRED = o.retired >> 2
export const S_TSC_OFFSET = o.tsc_offset >> 2
export const S_HALTED = o.halted >> 2
export const S_NMI_BLOCKED = o.nmi_blocked >> 2
export const S_INTERRUPT_SHADOW = o.interrupt_shadow >> 2
export const S_PENDING = o.pending >> 2
export const S_STOP_REQUEST = o.stop_request >> 2
export const S_FAULT_VECTOR = o.fault_vector >> 2
export const S_FAULT_ERROR = o.fault_error >> 2
export const S_FAULT_HAS_ERROR = o.fault_has_error >> 2
export const S_FPU_CONTROL = o.fpu_control >> 2
export const S_FPU_STATUS = o.fpu_status >> 2
export const S_FPU_TAG = o.fpu_tag >> 2
export const S_FPU_OPCODE = o.fpu_opcode >> 2
export const S_FPU_IP = o.fpu_ip >> 2
export const S_FPU_CS = o.fpu_cs >> 2
export const S_FPU_DP = o.fpu_dp >> 2
export const S_FPU_DS = o.fpu_ds >> 2
export const S_MXCSR = o.mxcsr >> 2
export const S_FPU_REG = o.fpu_reg >> 2
export const S_XMM = o.xmm >> 2

/** Bits of seg_attr (the descriptor's second word, shifted right by 8). */
export const ATTR_TYPE = 0x0f
export const ATTR_ACCESSED = 0x01
/** Data: writable. Code: readable. */
export const ATTR_RW = 0x02
/** Data: expand down. Code: conforming. */
export const ATTR_DC = 0x04
export const ATTR_CODE = 0x08
/** Code or data (1), or system (0). */
export const ATTR_S = 0x10
export const ATTR_DPL_SHIFT = 5
export const ATTR_PRESENT = 0x80
/** D/B: 32-bit code or stack. */
export const ATTR_BIG = 0x4000
export const ATTR_GRANULARITY = 0x8000

/** Entries of a fill list; when one is full, what it lists is flushed. */
export const TLB_FILL_LIMIT = 4096

/** A CPU as the MMU and the execution engines see it: the state block, and the memory it is part of. */
export class CpuState {
  readonly id: number
  readonly mem: MachineMemory
  /** Byte offset of the state block in the machine's memory. */
  readonly stateAddress: number
  readonly st: Int32Array
  readonly r: Int32Array
  readonly segBase: Int32Array
  readonly segLimit: Int32Array
  readonly segAttr: Int32Array
  readonly fields: CpuStateView
  readonly i32: Int32Array
  readonly u16: Uint16Array
  readonly u8: Uint8Array
  /** The six TLB tables: read, write, execute for the supervisor, then for the user. */
  readonly tlb: readonly Int32Array[]

  // --- caches: derived from the state block, rebuilt by refresh() -------------------------------------------------------
  /** The tables of the current privilege. */
  tlbRead: Int32Array
  tlbWrite: Int32Array
  tlbExec: Int32Array
  /** For each segment register: 0 checked access; 1 flat and readable; 3 flat, readable and writable. */
  readonly segFast: Uint8Array
  /** CS.D is set, SS.B is set: default operand size and width of the stack pointer. */
  code32 = true
  stack32 = true
  /** Linear pages whose accesses must be looked at one by one (data breakpoints); null when there are none. */
  watchedPages: Set<number> | null = null
  /** Fill lists (mmu/tlb.ts): which entries of the TLB tables are set, those of global pages apart. */
  readonly tlbFills = new Int32Array(TLB_FILL_LIMIT)
  tlbFillCount = 0
  readonly tlbGlobalFills = new Int32Array(TLB_FILL_LIMIT)
  tlbGlobalFillCount = 0
  /** For each page-directory entry: 1 when a page of 4 MiB has been entered into the TLB there (mmu/tlb.ts, invalidatePage). */
  readonly bigPages = new Uint8Array(1024)
  /** Changes whenever the meaning of linear addresses for instruction fetch may have changed. */
  fetchGeneration = 0

  constructor(mem: MachineMemory, id: number) {
    this.id = id
    this.mem = mem
    this.stateAddress = mem.stateAddress(id)
    this.st = new Int32Array(mem.buffer, this.stateAddress, CpuStateLayout.size >> 2)
    this.r = this.st.subarray(0, 8)
    this.segBase = this.st.subarray(S_SEG_BASE, S_SEG_BASE + 8)
    this.segLimit = this.st.subarray(S_SEG_LIMIT, S_SEG_LIMIT + 8)
    this.segAttr = this.st.subarray(S_SEG_ATTR, S_SEG_ATTR + 8)
    this.fields = CpuStateLayout.at(mem.raw, this.stateAddress)
    this.i32 = mem.i32
    this.u16 = mem.u16
    this.u8 = mem.u8
    this.tlb = Array.from({ length: TLB_TABLES }, (_, table) => mem.tlb(id, table))
    this.tlbRead = this.tlb[TLB_READ_SUPERVISOR]
    this.tlbWrite = this.tlb[TLB_WRITE_SUPERVISOR]
    this.tlbExec = this.tlb[TLB_EXEC_SUPERVISOR]
    this.segFast = new Uint8Array(8)
    mem.cpuStates[id] = this
  }

  /** Sets the current privilege level, and with it the TLB tables in use. */
  setCpl(cpl: number): void {
    this.st[S_CPL] = cpl
    const user = cpl === 3
    this.st[S_USER] = user ? 1 : 0
    this.tlbRead = this.tlb[user ? TLB_READ_USER : TLB_READ_SUPERVISOR]
    this.tlbWrite = this.tlb[user ? TLB_WRITE_USER : TLB_WRITE_SUPERVISOR]
    this.tlbExec = this.tlb[user ? TLB_EXEC_USER : TLB_EXEC_SUPERVISOR]
    this.refetch()
  }

  /** Recomputes what is cached about a segment register after its hidden part changed. */
  segmentChanged(seg: number): void {
    const attr = this.segAttr[seg]
    const flat = this.segBase[seg] === 0 && this.segLimit[seg] === -1 && (attr & ATTR_PRESENT) !== 0
    let fast = 0
    if (flat && (attr & ATTR_CODE) !== 0) fast = (attr & ATTR_RW) !== 0 ? 1 : 0
    else if (flat && (attr & ATTR_DC) === 0) fast = (attr & ATTR_RW) !== 0 ? 3 : 1
    this.segFast[seg] = fast
    if (seg === CS) this.setCode32((attr & ATTR_BIG) !== 0)
    else if (seg === SS) this.stack32 = (attr & ATTR_BIG) !== 0
  }

  /** The same bytes are other instructions when CS.D changes. */
  private setCode32(code32: boolean): void {
    if (code32 === this.code32) return
    this.code32 = code32
    this.refetch()
  }

  /** Rebuilds every cache from the state block: after a reset, and when state was loaded from elsewhere. */
  refresh(): void {
    for (let seg = 0; seg < 6; seg++) this.segmentChanged(seg)
    this.setCpl(this.st[S_CPL])
  }

  /** Instruction fetch must look addresses up anew. */
  refetch(): void {
    this.fetchGeneration = ++this.mem.fetchGenerations
  }

  /** Flat protected mode without paging, interrupts off: how a boot loader leaves an i386. */
  reset(eip: number): void {
    this.st.fill(0)
    this.st[S_EIP] = eip
    this.st[S_EFLAGS] = FLAG_ALWAYS_ONE
    this.st[S_CR0] = 0x60000031 // CD, NW, NE, ET, PE
    for (let seg = 0; seg < 6; seg++) {
      this.st[S_SEG_LIMIT + seg] = -1
      this.st[S_SEG_ATTR + seg] =
        ATTR_PRESENT | ATTR_S | ATTR_BIG | ATTR_GRANULARITY | ATTR_RW | ATTR_ACCESSED | (seg === CS ? ATTR_CODE : 0)
    }
    this.st[S_DR + 6] = 0xffff0ff0 | 0
    this.st[S_DR + 7] = 0x400
    this.st[S_FPU_CONTROL] = 0x37f
    this.st[S_FPU_TAG] = 0xffff
    this.st[S_MXCSR] = 0x1f80
    this.refresh()
  }
}

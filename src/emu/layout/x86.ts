/**
 * Numbers of the i386 itself, in the spelling of the Intel manual (volume 3A, chapters 2-6): register indices, flag
 * and control-register bits, exception vectors, descriptor types, page-table bits. No behaviour here.
 */

/** General registers, in encoding order (manual 2A, table 2-2). */
export const EAX = 0
export const ECX = 1
export const EDX = 2
export const EBX = 3
export const ESP = 4
export const EBP = 5
export const ESI = 6
export const EDI = 7

/** Segment registers, in encoding order. LDTR and TR follow, because they have hidden parts too. */
export const ES = 0
export const CS = 1
export const SS = 2
export const DS = 3
export const FS = 4
export const GS = 5
export const LDTR = 6
export const TR = 7

export const FLAG_CF = 1 << 0
export const FLAG_PF = 1 << 2
export const FLAG_AF = 1 << 4
export const FLAG_ZF = 1 << 6
export const FLAG_SF = 1 << 7
export const FLAG_TF = 1 << 8
export const FLAG_IF = 1 << 9
export const FLAG_DF = 1 << 10
export const FLAG_OF = 1 << 11
export const FLAG_IOPL = 3 << 12
export const FLAG_NT = 1 << 14
export const FLAG_RF = 1 << 16
export const FLAG_VM = 1 << 17
export const FLAG_AC = 1 << 18
export const FLAG_VIF = 1 << 19
export const FLAG_VIP = 1 << 20
export const FLAG_ID = 1 << 21
/** Bit 1 always reads as one. */
export const FLAG_ALWAYS_ONE = 1 << 1
/** The six status flags the lazy record stands for. */
export const FLAGS_STATUS = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF

export const CR0_PE = 1 << 0
export const CR0_MP = 1 << 1
export const CR0_EM = 1 << 2
export const CR0_TS = 1 << 3
export const CR0_ET = 1 << 4
export const CR0_NE = 1 << 5
export const CR0_WP = 1 << 16
export const CR0_AM = 1 << 18
export const CR0_NW = 1 << 29
export const CR0_CD = 1 << 30
export const CR0_PG = 1 << 31

export const CR4_VME = 1 << 0
export const CR4_PVI = 1 << 1
export const CR4_TSD = 1 << 2
export const CR4_DE = 1 << 3
export const CR4_PSE = 1 << 4
export const CR4_PAE = 1 << 5
export const CR4_MCE = 1 << 6
export const CR4_PGE = 1 << 7
export const CR4_PCE = 1 << 8
export const CR4_OSFXSR = 1 << 9
export const CR4_OSXMMEXCPT = 1 << 10

/** Exception vectors (manual 3A, table 6-1). */
export const TRAP_DE = 0
export const TRAP_DB = 1
export const TRAP_NMI = 2
export const TRAP_BP = 3
export const TRAP_OF = 4
export const TRAP_BR = 5
export const TRAP_UD = 6
export const TRAP_NM = 7
export const TRAP_DF = 8
export const TRAP_TS = 10
export const TRAP_NP = 11
export const TRAP_SS = 12
export const TRAP_GP = 13
export const TRAP_PF = 14
export const TRAP_MF = 16
export const TRAP_AC = 17
export const TRAP_MC = 18

/** True for the vectors whose frame carries an error code: 8, 10-14, 17. */
export function trapHasErrorCode(vector: number): boolean {
  return vector === 8 || (vector >= 10 && vector <= 14) || vector === 17
}

/** Page-fault error code bits (manual 3A, 4.7). */
export const PF_PRESENT = 1
export const PF_WRITE = 2
export const PF_USER = 4
export const PF_RESERVED = 8
export const PF_FETCH = 16

/** Page-table and page-directory entry bits (manual 3A, tables 4-4 to 4-6). */
export const PAGE_PRESENT = 0x001
export const PAGE_RW = 0x002
export const PAGE_USER = 0x004
export const PAGE_PWT = 0x008
export const PAGE_PCD = 0x010
export const PAGE_ACCESSED = 0x020
export const PAGE_DIRTY = 0x040
export const PAGE_PSE = 0x080
export const PAGE_GLOBAL = 0x100

export const PAGE_SHIFT = 12
export const PAGE_SIZE = 4096
export const PAGE_MASK = 0xfffff000
export const PTES_PER_PAGE = 1024

/** System descriptor types (manual 3A, table 3-2). */
export const DESC_TSS16_AVAIL = 1
export const DESC_LDT = 2
export const DESC_TSS16_BUSY = 3
export const DESC_CALL_GATE16 = 4
export const DESC_TASK_GATE = 5
export const DESC_INT_GATE16 = 6
export const DESC_TRAP_GATE16 = 7
export const DESC_TSS32_AVAIL = 9
export const DESC_TSS32_BUSY = 11
export const DESC_CALL_GATE32 = 12
export const DESC_INT_GATE32 = 14
export const DESC_TRAP_GATE32 = 15

/** MSRs this CPU has. */
export const MSR_IA32_TSC = 0x10
export const MSR_IA32_APIC_BASE = 0x1b
export const MSR_IA32_SYSENTER_CS = 0x174
export const MSR_IA32_SYSENTER_ESP = 0x175
export const MSR_IA32_SYSENTER_EIP = 0x176

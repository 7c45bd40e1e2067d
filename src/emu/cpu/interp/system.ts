/**
 * System instructions: descriptor-table and control registers, MSRs, ports, interrupts by software, segment register
 * moves, far transfers. The checks are the manual's (2A-2C); the mechanisms are in the files beside this folder.
 */
import {
  S_CPL,
  S_CR0,
  S_CR2,
  S_CR3,
  S_CR4,
  S_EFLAGS,
  S_GDT_BASE,
  S_GDT_LIMIT,
  S_HALTED,
  S_IDT_BASE,
  S_IDT_LIMIT,
  S_INTERRUPT_SHADOW,
  S_SEG_SELECTOR,
  SHADOW_MOV_SS,
  SHADOW_STI,
} from '../../layout/cpu-state.ts'
import {
  CR0_AM,
  CR0_CD,
  CR0_EM,
  CR0_ET,
  CR0_MP,
  CR0_NE,
  CR0_NW,
  CR0_PE,
  CR0_PG,
  CR0_TS,
  CR0_WP,
  CR4_DE,
  CR4_OSFXSR,
  CR4_PGE,
  CR4_PSE,
  CR4_TSD,
  CS,
  DS,
  EAX,
  EBX,
  ECX,
  EDX,
  ES,
  ESP,
  FLAG_IF,
  FLAG_IOPL,
  FLAG_RF,
  FLAG_VM,
  FS,
  GS,
  LDTR,
  SS,
  TR,
  TRAP_BP,
  TRAP_DB,
  TRAP_GP,
  TRAP_OF,
  TRAP_UD,
} from '../../layout/x86.ts'
import { probeWrite, readMem16, readMem32, writeMem16, writeMem32 } from '../../mmu/access.ts'
import { raiseFault, raiseFaultWithCode } from '../../mmu/fault.ts'
import { flushTlb, flushTlbAll, invalidatePage } from '../../mmu/tlb.ts'
import type { Cpu } from '../cpu.ts'
import { readCpuid } from '../cpuid.ts'
import { readDebugRegister, watchPort, writeDebugRegister } from '../debug-registers.ts'
import { callFar, jumpFar, returnFar, sysenter as enterSystem, sysexit as exitSystem } from '../far-transfer.ts'
import { getEflags, getOF } from '../flags.ts'
import type { Handler, Insn } from '../insn.ts'
import { deliverInterrupt } from '../interrupt.ts'
import { readMsr, readTimeStamp, setEdxEax, writeMsr } from '../msr.ts'
import {
  effectiveAddress,
  operandForRead,
  operandForWrite,
  peekStack,
  pop,
  push,
  readRm16,
  setReg16,
  setReg8,
  setStackOffset,
  stackOffset,
  writeRm16,
} from '../operands.ts'
import { iret as interruptReturn, loadFlags, writableFlags } from '../return.ts'
import { loadLdt, loadSegment, segLinear } from '../segmentation.ts'
import { checkIoPermission, loadTaskRegister } from '../task-segment.ts'

function requireRing0(cpu: Cpu): void {
  if (cpu.st[S_CPL] !== 0) raiseFaultWithCode(cpu, TRAP_GP, 0)
}

function requireMemory(cpu: Cpu, insn: Insn): void {
  if (insn.mod === 3) raiseFault(cpu, TRAP_UD)
}

// --- descriptor tables -----------------------------------------------------------------------------------------------------

/** What readTable found: an object of its own each time would be garbage twice a world switch. */
const table = { base: 0, limit: 0 }

function readTable(cpu: Cpu, insn: Insn): void {
  requireMemory(cpu, insn)
  requireRing0(cpu)
  const at = operandForRead(cpu, insn, 6)
  const limit = readMem16(cpu, at)
  const base = readMem32(cpu, (at + 2) | 0)
  table.limit = limit
  table.base = insn.size === 2 ? base & 0xffffff : base
}

export const lgdt: Handler = (cpu, insn) => {
  readTable(cpu, insn)
  cpu.st[S_GDT_BASE] = table.base
  cpu.st[S_GDT_LIMIT] = table.limit
}

export const lidt: Handler = (cpu, insn) => {
  readTable(cpu, insn)
  cpu.st[S_IDT_BASE] = table.base
  cpu.st[S_IDT_LIMIT] = table.limit
}

/** SGDT and SIDT work in every ring; all 32 bits of the base are stored with either operand size. */
function storeTable(cpu: Cpu, insn: Insn, base: number, limit: number): void {
  requireMemory(cpu, insn)
  const at = operandForWrite(cpu, insn, 6)
  probeWrite(cpu, at, 6)
  writeMem16(cpu, at, limit)
  writeMem32(cpu, (at + 2) | 0, base)
}

export const sgdt: Handler = (cpu, insn) => storeTable(cpu, insn, cpu.st[S_GDT_BASE], cpu.st[S_GDT_LIMIT])
export const sidt: Handler = (cpu, insn) => storeTable(cpu, insn, cpu.st[S_IDT_BASE], cpu.st[S_IDT_LIMIT])

export const lldt: Handler = (cpu, insn) => {
  requireRing0(cpu)
  loadLdt(cpu, readRm16(cpu, insn))
}
export const ltr: Handler = (cpu, insn) => {
  requireRing0(cpu)
  loadTaskRegister(cpu, readRm16(cpu, insn))
}

/** SLDT, STR, SMSW, MOV from Sreg: 16 bits to memory, zero-extended to a 32-bit register. */
function storeSelector(cpu: Cpu, insn: Insn, value: number): void {
  if (insn.mod === 3 && insn.size === 4) cpu.r[insn.rm] = value
  else writeRm16(cpu, insn, value)
}
export const sldt: Handler = (cpu, insn) => storeSelector(cpu, insn, cpu.st[S_SEG_SELECTOR + LDTR])
export const str: Handler = (cpu, insn) => storeSelector(cpu, insn, cpu.st[S_SEG_SELECTOR + TR])

// --- control and debug registers --------------------------------------------------------------------------------------------

export const smsw: Handler = (cpu, insn) => {
  if (insn.mod === 3 && insn.size === 4) cpu.r[insn.rm] = cpu.st[S_CR0]
  else writeRm16(cpu, insn, cpu.st[S_CR0] & 0xffff)
}

export const lmsw: Handler = (cpu, insn) => {
  requireRing0(cpu)
  const value = readRm16(cpu, insn)
  const old = cpu.st[S_CR0]
  // PE can be set here, never cleared.
  writeCr0(cpu, (old & ~0xe) | (value & 0xf) | (old & CR0_PE))
}

export const clts: Handler = (cpu) => {
  requireRing0(cpu)
  cpu.st[S_CR0] &= ~CR0_TS
}

/** CR0 bits that exist; the others cannot be set. */
const CR0_BITS = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG

/** Writes CR0 with its checks and TLB effects (manual 3A, 2.5). Clearing PE would mean real mode, which we have not. */
export function writeCr0(cpu: Cpu, value: number): void {
  if ((value & CR0_PE) === 0) raiseFaultWithCode(cpu, TRAP_GP, 0)
  if ((value & CR0_NW) !== 0 && (value & CR0_CD) === 0) raiseFaultWithCode(cpu, TRAP_GP, 0)
  const old = cpu.st[S_CR0]
  cpu.st[S_CR0] = (value & CR0_BITS) | CR0_ET
  if (((old ^ value) & (CR0_PG | CR0_WP)) !== 0) flushTlbAll(cpu)
}

/** CR4 bits this CPU has; setting another is #GP. PAE comes with the Linux guests. */
const CR4_SUPPORTED = CR4_TSD | CR4_DE | CR4_PSE | CR4_PGE | CR4_OSFXSR

function writeCr4(cpu: Cpu, value: number): void {
  if ((value & ~CR4_SUPPORTED) !== 0) raiseFaultWithCode(cpu, TRAP_GP, 0)
  const old = cpu.st[S_CR4]
  cpu.st[S_CR4] = value
  if (((old ^ value) & (CR4_PGE | CR4_PSE)) !== 0) flushTlbAll(cpu)
}

/** CR1 and CR5-CR7 do not exist: #UD, in every ring. MOV to and from CR takes a register whatever ModRM's mod says. */
export const movFromCr: Handler = (cpu, insn) => {
  const n = insn.reg
  if (n === 1 || n > 4) raiseFault(cpu, TRAP_UD)
  requireRing0(cpu)
  cpu.r[insn.rm] = cpu.st[n === 0 ? S_CR0 : n === 2 ? S_CR2 : n === 3 ? S_CR3 : S_CR4]
}

export const movToCr: Handler = (cpu, insn) => {
  const n = insn.reg
  if (n === 1 || n > 4) raiseFault(cpu, TRAP_UD)
  requireRing0(cpu)
  const value = cpu.r[insn.rm]
  if (n === 3) {
    cpu.st[S_CR3] = value
    flushTlb(cpu)
  } else if (n === 0) writeCr0(cpu, value)
  else if (n === 2) cpu.st[S_CR2] = value
  else writeCr4(cpu, value)
}

export const movFromDr: Handler = (cpu, insn) => {
  requireRing0(cpu)
  cpu.r[insn.rm] = readDebugRegister(cpu, insn.reg)
}
export const movToDr: Handler = (cpu, insn) => {
  requireRing0(cpu)
  writeDebugRegister(cpu, insn.reg, cpu.r[insn.rm])
}

export const invlpg: Handler = (cpu, insn) => {
  requireMemory(cpu, insn)
  requireRing0(cpu)
  invalidatePage(cpu, (cpu.segBase[insn.seg] + effectiveAddress(cpu, insn)) | 0)
}
/** No caches are modelled: WBINVD and INVD only check. */
export const wbinvd: Handler = (cpu) => requireRing0(cpu)
export const invd: Handler = (cpu) => requireRing0(cpu)

// --- processor control ------------------------------------------------------------------------------------------------------

export const hlt: Handler = (cpu) => {
  requireRing0(cpu)
  cpu.st[S_HALTED] = 1
}

function checkIopl(cpu: Cpu): void {
  if (cpu.st[S_CPL] > (cpu.st[S_EFLAGS] & FLAG_IOPL) >>> 12) raiseFaultWithCode(cpu, TRAP_GP, 0)
}
export const cli: Handler = (cpu) => {
  checkIopl(cpu)
  cpu.st[S_EFLAGS] &= ~FLAG_IF
}
export const sti: Handler = (cpu) => {
  checkIopl(cpu)
  // Interrupts are held off for one instruction only when they were off before.
  if ((cpu.st[S_EFLAGS] & FLAG_IF) === 0) cpu.st[S_INTERRUPT_SHADOW] = SHADOW_STI
  cpu.st[S_EFLAGS] |= FLAG_IF
}

export const rdtsc: Handler = (cpu) => {
  if (cpu.st[S_CPL] !== 0 && (cpu.st[S_CR4] & CR4_TSD) !== 0) raiseFaultWithCode(cpu, TRAP_GP, 0)
  setEdxEax(cpu, readTimeStamp(cpu))
}
/** No performance counters: any number is out of range. */
export const rdpmc: Handler = (cpu) => raiseFaultWithCode(cpu, TRAP_GP, 0)
export const rdmsr: Handler = (cpu) => {
  requireRing0(cpu)
  readMsr(cpu, cpu.r[ECX])
}
export const wrmsr: Handler = (cpu) => {
  requireRing0(cpu)
  writeMsr(cpu, cpu.r[ECX], cpu.r[EAX], cpu.r[EDX])
}
export const cpuid: Handler = (cpu) => {
  const [eax, ebx, ecx, edx] = readCpuid(cpu, cpu.r[EAX])
  cpu.r[EAX] = eax
  cpu.r[EBX] = ebx
  cpu.r[ECX] = ecx
  cpu.r[EDX] = edx
}

// --- ports ------------------------------------------------------------------------------------------------------------------

function portIn(cpu: Cpu, port: number, size: number): void {
  checkIoPermission(cpu, port, size)
  const value = cpu.bus.portIn(cpu, port, size)
  watchPort(cpu, port, size)
  if (size === 1) setReg8(cpu, EAX, value)
  else if (size === 2) setReg16(cpu, EAX, value)
  else cpu.r[EAX] = value
}
function portOut(cpu: Cpu, port: number, size: number): void {
  checkIoPermission(cpu, port, size)
  const eax = cpu.r[EAX]
  watchPort(cpu, port, size)
  cpu.bus.portOut(cpu, port, size, size === 4 ? eax >>> 0 : eax & (size === 2 ? 0xffff : 0xff))
}
export const inAlImm: Handler = (cpu, insn) => portIn(cpu, insn.imm & 0xff, 1)
export const inAxImm: Handler = (cpu, insn) => portIn(cpu, insn.imm & 0xff, insn.size)
export const inAlDx: Handler = (cpu) => portIn(cpu, cpu.r[EDX] & 0xffff, 1)
export const inAxDx: Handler = (cpu, insn) => portIn(cpu, cpu.r[EDX] & 0xffff, insn.size)
export const outImmAl: Handler = (cpu, insn) => portOut(cpu, insn.imm & 0xff, 1)
export const outImmAx: Handler = (cpu, insn) => portOut(cpu, insn.imm & 0xff, insn.size)
export const outDxAl: Handler = (cpu) => portOut(cpu, cpu.r[EDX] & 0xffff, 1)
export const outDxAx: Handler = (cpu, insn) => portOut(cpu, cpu.r[EDX] & 0xffff, insn.size)

// --- interrupts by software ---------------------------------------------------------------------------------------------------

export const intN: Handler = (cpu, insn) => deliverInterrupt(cpu, insn.imm & 0xff, 'software')
export const int3: Handler = (cpu) => deliverInterrupt(cpu, TRAP_BP, 'software')
/** INT1 (F1): #DB without the gate's DPL check. */
export const int1: Handler = (cpu) => deliverInterrupt(cpu, TRAP_DB, 'trap')
export const into: Handler = (cpu) => {
  if (getOF(cpu)) deliverInterrupt(cpu, TRAP_OF, 'software')
}
export const iret: Handler = (cpu, insn) => interruptReturn(cpu, insn.size)

// --- flags ------------------------------------------------------------------------------------------------------------------

export const pushf: Handler = (cpu, insn) => push(cpu, insn.size, getEflags(cpu) & ~(FLAG_VM | FLAG_RF))
export const popf: Handler = (cpu, insn) => {
  const image = pop(cpu, insn.size)
  const iopl = (cpu.st[S_EFLAGS] & FLAG_IOPL) >>> 12
  loadFlags(cpu, insn.size, image, writableFlags(cpu.st[S_CPL], iopl))
  cpu.st[S_EFLAGS] &= ~FLAG_RF
}

// --- segment registers (number in insn.reg) -----------------------------------------------------------------------------------

export const movFromSreg: Handler = (cpu, insn) => {
  if (insn.reg > 5) raiseFault(cpu, TRAP_UD)
  storeSelector(cpu, insn, cpu.st[S_SEG_SELECTOR + insn.reg])
}
export const movToSreg: Handler = (cpu, insn) => {
  if (insn.reg === CS || insn.reg > 5) raiseFault(cpu, TRAP_UD)
  loadSegment(cpu, insn.reg, readRm16(cpu, insn))
  if (insn.reg === SS) cpu.st[S_INTERRUPT_SHADOW] = SHADOW_MOV_SS
}
export const pushSreg: Handler = (cpu, insn) => {
  if (insn.size === 2) return push(cpu, 2, cpu.st[S_SEG_SELECTOR + insn.reg])
  // A 32-bit push of a segment register writes only the low word (as CPUs do since the P6).
  const offset = stackOffset(cpu, -4)
  writeMem16(cpu, segLinear(cpu, SS, offset, 4, true), cpu.st[S_SEG_SELECTOR + insn.reg])
  setStackOffset(cpu, offset)
}
export const popSreg: Handler = (cpu, insn) => {
  // Only the word is read, whatever the operand size: as silicon does, it can be the last of its page.
  const selector = peekStack(cpu, 2, 0)
  // The stack pointer moves in the width the old SS had.
  const wide = cpu.stack32
  loadSegment(cpu, insn.reg, selector)
  const esp = cpu.r[ESP]
  cpu.r[ESP] = wide ? (esp + insn.size) | 0 : (esp & ~0xffff) | ((esp + insn.size) & 0xffff)
  if (insn.reg === SS) cpu.st[S_INTERRUPT_SHADOW] = SHADOW_MOV_SS
}

/** LDS, LES, LSS, LFS, LGS: offset then selector from memory. */
function loadFarPointer(cpu: Cpu, insn: Insn, seg: number): void {
  farOperand(cpu, insn)
  const { offset, selector } = pointer
  loadSegment(cpu, seg, selector)
  if (insn.size === 4) cpu.r[insn.reg] = offset
  else setReg16(cpu, insn.reg, offset)
}
export const les: Handler = (cpu, insn) => loadFarPointer(cpu, insn, ES)
export const lss: Handler = (cpu, insn) => loadFarPointer(cpu, insn, SS)
export const lds: Handler = (cpu, insn) => loadFarPointer(cpu, insn, DS)
export const lfs: Handler = (cpu, insn) => loadFarPointer(cpu, insn, FS)
export const lgs: Handler = (cpu, insn) => loadFarPointer(cpu, insn, GS)

// --- far transfers --------------------------------------------------------------------------------------------------------------

/** What farOperand found: lguest's far call into the Switcher comes by here on every switch. */
const pointer = { offset: 0, selector: 0 }

function farOperand(cpu: Cpu, insn: Insn): void {
  requireMemory(cpu, insn)
  const at = operandForRead(cpu, insn, insn.size + 2)
  pointer.offset = insn.size === 4 ? readMem32(cpu, at) : readMem16(cpu, at)
  pointer.selector = readMem16(cpu, (at + insn.size) | 0)
}
const nearOffset = (insn: Insn): number => (insn.size === 4 ? insn.imm : insn.imm & 0xffff)

export const jmpFar: Handler = (cpu, insn) => jumpFar(cpu, insn.imm2, nearOffset(insn))
export const callFarPointer: Handler = (cpu, insn) => callFar(cpu, insn.imm2, nearOffset(insn), insn.size)
export const jmpFarM: Handler = (cpu, insn) => {
  farOperand(cpu, insn)
  jumpFar(cpu, pointer.selector, pointer.offset)
}
export const callFarM: Handler = (cpu, insn) => {
  farOperand(cpu, insn)
  callFar(cpu, pointer.selector, pointer.offset, insn.size)
}
export const retFar: Handler = (cpu, insn) => returnFar(cpu, insn.size, 0)
export const retFarImm: Handler = (cpu, insn) => returnFar(cpu, insn.size, insn.imm & 0xffff)
export const sysenter: Handler = (cpu) => enterSystem(cpu)
export const sysexit: Handler = (cpu) => exitSystem(cpu)

/** UD2 and every reserved encoding. */
export const undefinedOpcode: Handler = (cpu) => raiseFault(cpu, TRAP_UD)

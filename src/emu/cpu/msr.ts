/**
 * Model-specific registers (manual 3B, appendix B): the time stamp counter, the APIC base, SYSENTER's three. Any other
 * number is #GP(0). The local APIC stays at 0xFEE00000 and on: its MSR takes only the value that says so.
 */
import { S_SYSENTER_CS, S_SYSENTER_EIP, S_SYSENTER_ESP, S_TSC_OFFSET } from '../layout/cpu-state.ts'
import {
  EAX,
  EDX,
  MSR_IA32_APIC_BASE,
  MSR_IA32_SYSENTER_CS,
  MSR_IA32_SYSENTER_EIP,
  MSR_IA32_SYSENTER_ESP,
  MSR_IA32_TSC,
  TRAP_GP,
} from '../layout/x86.ts'
import { raiseFaultWithCode } from '../mmu/fault.ts'
import type { Cpu } from './cpu.ts'

const TWO_32 = 0x1_0000_0000

/** Physical address of the local APIC's registers, with the enable bit; bit 8 is set on the bootstrap processor. */
const APIC_BASE_VALUE = 0xfee00800 | 0
const APIC_BASE_BSP = 0x100

/** Time stamp counter, an integer below 2^53: the clock's ticks and what WRMSR added. */
export function readTimeStamp(cpu: Cpu): number {
  const st = cpu.st
  return cpu.bus.readTsc(cpu) + (st[S_TSC_OFFSET] >>> 0) + st[S_TSC_OFFSET + 1] * TWO_32
}

/** Puts a non-negative integer into EDX:EAX. */
export function setEdxEax(cpu: Cpu, value: number): void {
  cpu.r[EAX] = (value % TWO_32) | 0
  cpu.r[EDX] = Math.floor(value / TWO_32) | 0
}

function apicBase(cpu: Cpu): number {
  return APIC_BASE_VALUE | (cpu.id === 0 ? APIC_BASE_BSP : 0)
}

/** Index in the state block of a plain 32-bit MSR; #GP(0) for one this CPU has not. */
function slotOf(cpu: Cpu, msr: number): number {
  switch (msr) {
    case MSR_IA32_SYSENTER_CS:
      return S_SYSENTER_CS
    case MSR_IA32_SYSENTER_ESP:
      return S_SYSENTER_ESP
    case MSR_IA32_SYSENTER_EIP:
      return S_SYSENTER_EIP
    default:
      raiseFaultWithCode(cpu, TRAP_GP, 0)
  }
}

/** RDMSR into EDX:EAX. */
export function readMsr(cpu: Cpu, msr: number): void {
  if (msr === MSR_IA32_TSC) {
    setEdxEax(cpu, readTimeStamp(cpu))
    return
  }
  const value = msr === MSR_IA32_APIC_BASE ? apicBase(cpu) : cpu.st[slotOf(cpu, msr)]
  cpu.r[EAX] = value
  cpu.r[EDX] = 0
}

/** WRMSR. */
export function writeMsr(cpu: Cpu, msr: number, low: number, high: number): void {
  if (msr === MSR_IA32_TSC) {
    const wanted = (low >>> 0) + (high >>> 0) * TWO_32
    const offset = wanted - cpu.bus.readTsc(cpu)
    const highWord = Math.floor(offset / TWO_32)
    cpu.st[S_TSC_OFFSET] = offset - highWord * TWO_32
    cpu.st[S_TSC_OFFSET + 1] = highWord
    return
  }
  if (msr === MSR_IA32_APIC_BASE) {
    if (((low ^ apicBase(cpu)) & ~APIC_BASE_BSP) !== 0 || high !== 0) raiseFaultWithCode(cpu, TRAP_GP, 0)
    return
  }
  cpu.st[slotOf(cpu, msr)] = low
}

/**
 * How an instruction faults. The vector, error code and (for page faults) CR2 are recorded in the CPU's state block,
 * and the instruction is left by throwing one preallocated object that the run loop catches: it costs about 0.6 us, no
 * handler needs to test for it, and nothing is allocated. Handlers must therefore commit registers, flags and ESP only
 * after their last access that can fault.
 */
import { type CpuState, S_FAULT_ERROR, S_FAULT_HAS_ERROR, S_FAULT_VECTOR } from '../layout/cpu-state.ts'

class ArchitecturalFault {
  readonly kind = 'architectural fault'
}

/** What is thrown. The details are in the state block. */
export const FAULT = new ArchitecturalFault()

/** Raises an exception without error code: #DE, #DB, #OF, #BR, #UD, #NM, #MF. */
export function raiseFault(cpu: CpuState, vector: number): never {
  cpu.st[S_FAULT_VECTOR] = vector
  cpu.st[S_FAULT_HAS_ERROR] = 0
  cpu.st[S_FAULT_ERROR] = 0
  throw FAULT
}

/** Raises an exception with an error code: #TS, #NP, #SS, #GP, #PF, #AC, #DF. For #PF set CR2 first. */
export function raiseFaultWithCode(cpu: CpuState, vector: number, errorCode: number): never {
  cpu.st[S_FAULT_VECTOR] = vector
  cpu.st[S_FAULT_HAS_ERROR] = 1
  cpu.st[S_FAULT_ERROR] = errorCode
  throw FAULT
}

/**
 * Where processors of other vendors do otherwise than Intel's, which Kennel follows and whose results are recorded. Every such
 * place seen has its line here; on Intel's nothing is excused.
 */
import { readFileSync } from 'node:fs'
import { FLAG_TF } from '../../layout/x86.ts'
import type { GeneratedCase } from './generate.ts'
import { NO_FAULT, type TestResult } from './protocol.ts'
import { shiftCountOf } from './undefined.ts'

export const RECORDED_VENDOR = 'GenuineIntel'

/** Vendor of the processor this runs on; RECORDED_VENDOR where nobody tells. */
export function vendorHere(): string {
  try {
    return /^vendor_id\s*: (\S+)/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? RECORDED_VENDOR
  } catch {
    return RECORDED_VENDOR
  }
}

/** Whether other vendors' processors may have another result in this case than Intel's. */
export function differsByVendor({ form, variant, test }: GeneratedCase, result: TestResult): boolean {
  const faulted = result.vector !== NO_FAULT
  const repeated = test.code.includes(0xf2) || test.code.includes(0xf3)
  switch (form.name) {
    // The whole operand is read before anything of it is checked.
    case 'retf':
    case 'iret':
    case 'pop':
    case 'bound':
      return faulted
    // The pushed address is that of the instruction.
    case 'int1':
      return true
    // RF, and the flags a comparison leaves, when an exception comes between two iterations.
    case 'movs':
    case 'stos':
    case 'lods':
    case 'cmps':
    case 'scas':
      return repeated && (faulted || (test.eflags & FLAG_TF) !== 0)
    // A repeat prefix chooses the condition.
    case 'loope':
    case 'loopne':
      return repeated
    // Undefined for a count greater than the operand's width.
    case 'shld':
    case 'shrd':
      return variant.operandSize === 16 && shiftCountOf(form, test) > 16
    // LOCK MOV CR0 is MOV CR8.
    case 'mov':
      return form.opcode >= 0x0f20 && variant.lock
    // A selector is pushed as 32 bits of which 16 are zero; Intel leaves the upper ones as they were.
    case 'push':
      return form.opcode !== 0xff && variant.operandSize === 32
    // LOCK is let pass.
    case 'verr':
    case 'verw':
      return variant.lock
    default:
      return false
  }
}

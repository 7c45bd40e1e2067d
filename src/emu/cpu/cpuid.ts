/**
 * CPUID: an i686 of family 6 that has exactly what is emulated (manual 2A, "CPUID"). MMX, SSE, SSE2 and PAE come with the
 * Linux guests and are not claimed before.
 */
import type { CpuState } from '../layout/cpu-state.ts'

const FPU = 1 << 0
const DE = 1 << 2
const PSE = 1 << 3
const TSC = 1 << 4
const MSR = 1 << 5
const CX8 = 1 << 8
const APIC = 1 << 9
const SEP = 1 << 11
const PGE = 1 << 13
const CMOV = 1 << 15
const FXSR = 1 << 24

export const FEATURES = FPU | DE | PSE | TSC | MSR | CX8 | APIC | SEP | PGE | CMOV | FXSR

/** Family 6, model 8, stepping 3: a Pentium III without its SIMD. */
const SIGNATURE = 0x683

const VENDOR = [0x756e6547, 0x49656e69, 0x6c65746e] // "GenuineIntel" as ebx, edx, ecx

/** eax, ebx, ecx, edx of a leaf; leaves beyond the last give the last one's, as the CPU does. */
export function readCpuid(cpu: CpuState, leaf: number): [number, number, number, number] {
  const extended = leaf >>> 0 >= 0x80000000
  if (extended) {
    if (leaf >>> 0 === 0x80000000) return [0x80000000 | 0, 0, 0, 0]
    return [0, 0, 0, 0]
  }
  if (leaf === 0) return [2, VENDOR[0], VENDOR[2], VENDOR[1]]
  if (leaf === 1) return [SIGNATURE, cpu.id << 24, 0, FEATURES]
  // Leaf 2: no cache descriptors worth telling.
  return [1, 0, 0, 0]
}

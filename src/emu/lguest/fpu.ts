/**
 * Whose floating-point registers are in a CPU. The Host never uses the FPU, so they stay a Guest's until another Guest wants them on that
 * CPU, or this one does on another: CR0.TS is set for everybody but the owner, and the first FPU instruction raises trap 7
 * (lguest leaves the same to the task's FPU context; reference 2.7). The registers are a piece of the CPU's state block, so
 * another CPU's can be fetched as easily as a page.
 */
import type { Cpu } from '../cpu/cpu.ts'
import { CpuStateLayout, S_FPU_CONTROL } from '../layout/cpu-state.ts'
import type { Guest } from './guest.ts'
import type { Hypervisor } from './hypervisor.ts'

/** Words of the state block that are FPU state: control to the last XMM register. */
const FPU_WORDS = (CpuStateLayout.size >> 2) - S_FPU_CONTROL

/** A new Guest's FPU: as after FNINIT, and MXCSR's reset value. */
export function fpuInit(lg: Guest): void {
  const { mem } = lg.hv
  const at = (field: 'fpu_control' | 'fpu_tag' | 'mxcsr'): number =>
    lg.s.fpu_page + CpuStateLayout.offset[field] - S_FPU_CONTROL * 4
  mem.write32(at('fpu_control'), 0x37f)
  mem.write32(at('fpu_tag'), 0xffff)
  mem.write32(at('mxcsr'), 0x1f80)
}

/** This CPU's FPU registers go to their owner's page. */
function fpuSave(hv: Hypervisor, cpu: Cpu): void {
  const vars = hv.cpu(cpu.id)
  if (vars.fpu_owner === 0) return
  const owner = hv.guestAt(vars.fpu_owner)
  for (let i = 0; i < FPU_WORDS; i++) hv.mem.write32(owner.s.fpu_page + i * 4, cpu.st[S_FPU_CONTROL + i])
  owner.s.fpu_cpu = 0
  vars.fpu_owner = 0
}

/** Trap 7 that the Guest did not ask for: its FPU registers come to this CPU, from its page or from the CPU it used before. */
export function fpuRestore(lg: Guest, cpu: Cpu): void {
  const { hv, s } = lg
  const vars = hv.cpu(cpu.id)
  if (vars.fpu_owner === lg.address) return
  fpuSave(hv, cpu)
  if (s.fpu_cpu === 0) {
    for (let i = 0; i < FPU_WORDS; i++) cpu.st[S_FPU_CONTROL + i] = hv.mem.read32(s.fpu_page + i * 4)
  } else {
    const other = s.fpu_cpu - 1
    const from = (cpu.mem.stateAddress(other) >> 2) + S_FPU_CONTROL
    for (let i = 0; i < FPU_WORDS; i++) cpu.st[S_FPU_CONTROL + i] = cpu.mem.i32[from + i]
    hv.cpu(other).fpu_owner = 0
  }
  vars.fpu_owner = lg.address
  s.fpu_cpu = cpu.id + 1
}

/** The Guest is gone; nobody needs its registers. */
export function fpuDrop(lg: Guest): void {
  if (lg.s.fpu_cpu !== 0) lg.hv.cpu(lg.s.fpu_cpu - 1).fpu_owner = 0
  lg.s.fpu_cpu = 0
}

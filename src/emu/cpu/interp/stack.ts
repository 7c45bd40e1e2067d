/** The stack: PUSH, POP, PUSHA, POPA, ENTER, LEAVE (manual 2A-2C). ESP changes after the last access that can fault. */
import { EBP, ESP, SS } from '../../layout/x86.ts'
import { probeWrite, readMem16, readMem32, writeMem32 } from '../../mmu/access.ts'
import type { Cpu } from '../cpu.ts'
import type { Handler } from '../insn.ts'
import {
  peekStack16,
  peekStack32,
  pop16,
  pop32,
  push16,
  push32,
  readRm16,
  readRm32,
  setReg16,
  setStackOffset,
  stackOffset,
  writeRm16,
  writeRm32,
} from '../operands.ts'
import { segLinear } from '../segmentation.ts'

/** 50-5F: the register is in insn.rm. PUSH ESP stores the value before the push. */
export const push16Reg: Handler = (cpu, insn) => push16(cpu, cpu.r[insn.rm])
export const push32Reg: Handler = (cpu, insn) => push32(cpu, cpu.r[insn.rm])
export const pop16Reg: Handler = (cpu, insn) => setReg16(cpu, insn.rm, pop16(cpu))
export const pop32Reg: Handler = (cpu, insn) => {
  cpu.r[insn.rm] = pop32(cpu)
}
export const push16Imm: Handler = (cpu, insn) => push16(cpu, insn.imm)
export const push32Imm: Handler = (cpu, insn) => push32(cpu, insn.imm)
export const push16Ev: Handler = (cpu, insn) => push16(cpu, readRm16(cpu, insn))
export const push32Ev: Handler = (cpu, insn) => push32(cpu, readRm32(cpu, insn))

/** POP to memory: an address that uses ESP is computed with ESP after the pop. */
export const pop16Ev: Handler = (cpu, insn) => {
  const esp = cpu.r[ESP]
  const value = pop16(cpu)
  undoOnFault(cpu, esp, () => writeRm16(cpu, insn, value))
}
export const pop32Ev: Handler = (cpu, insn) => {
  const esp = cpu.r[ESP]
  const value = pop32(cpu)
  undoOnFault(cpu, esp, () => writeRm32(cpu, insn, value))
}

function undoOnFault(cpu: Cpu, esp: number, work: () => void): void {
  try {
    work()
  } catch (fault) {
    cpu.r[ESP] = esp
    throw fault
  }
}

export const pusha16: Handler = (cpu) => {
  const values = Array.from(cpu.r)
  undoOnFault(cpu, cpu.r[ESP], () => {
    for (const value of values) push16(cpu, value)
  })
}
export const pusha32: Handler = (cpu) => {
  const r = cpu.r
  const esp = r[ESP]
  if (cpu.segFast[SS] === 3 && cpu.stack32) {
    // One check for all eight where they share a page, as they nearly always do.
    const at = (esp - 32) | 0
    probeWrite(cpu, at, 4)
    if (at >>> 12 !== (esp - 1) >>> 12) probeWrite(cpu, (esp - 4) | 0, 4)
    for (let i = 0; i < 8; i++) writeMem32(cpu, (esp - 4 * (i + 1)) | 0, i === ESP ? esp : r[i])
    r[ESP] = at
    return
  }
  const values = Array.from(r)
  undoOnFault(cpu, esp, () => {
    for (const value of values) push32(cpu, value)
  })
}
/** Each register is loaded as it is read, like on silicon; only ESP waits, so that a fault can be restarted. */
export const popa16: Handler = (cpu) => {
  for (let i = 0; i < 8; i++) {
    const value = peekStack16(cpu, 2 * i)
    if (7 - i !== ESP) setReg16(cpu, 7 - i, value)
  }
  setStackOffset(cpu, stackOffset(cpu, 16))
}
export const popa32: Handler = (cpu) => {
  for (let i = 0; i < 8; i++) {
    const value = peekStack32(cpu, 4 * i)
    if (7 - i !== ESP) cpu.r[7 - i] = value
  }
  setStackOffset(cpu, stackOffset(cpu, 32))
}

function frameOffset(cpu: Cpu): number {
  return cpu.stack32 ? cpu.r[EBP] : cpu.r[EBP] & 0xffff
}

export const leave16: Handler = (cpu) => {
  const frame = frameOffset(cpu)
  const value = readMem16(cpu, segLinear(cpu, SS, frame, 2, false))
  setStackOffset(cpu, cpu.stack32 ? (frame + 2) | 0 : (frame + 2) & 0xffff)
  setReg16(cpu, EBP, value)
}
export const leave32: Handler = (cpu) => {
  const frame = frameOffset(cpu)
  const value = readMem32(cpu, segLinear(cpu, SS, frame, 4, false))
  setStackOffset(cpu, cpu.stack32 ? (frame + 4) | 0 : (frame + 4) & 0xffff)
  cpu.r[EBP] = value
}

/** ENTER size, level: imm and imm2. */
function enter(cpu: Cpu, size: 2 | 4, bytes: number, level: number): void {
  const esp = cpu.r[ESP]
  const ebp = cpu.r[EBP]
  undoOnFault(cpu, esp, () => {
    const put = size === 4 ? push32 : push16
    put(cpu, ebp)
    // All of ESP, on a 16-bit stack too (seen on silicon).
    const frame = cpu.r[ESP]
    let at = frameOffset(cpu)
    for (let i = 1; i < level; i++) {
      at = cpu.stack32 ? (at - size) | 0 : (at - size) & 0xffff
      const linear = segLinear(cpu, SS, at, size, false)
      put(cpu, size === 4 ? readMem32(cpu, linear) : readMem16(cpu, linear))
    }
    if (level > 0) put(cpu, frame)
    const top = stackOffset(cpu, -bytes)
    // The new top of the stack must be writable, though nothing is written.
    const linear = segLinear(cpu, SS, top, size, true)
    probeWrite(cpu, linear, size)
    setStackOffset(cpu, top)
    if (size === 4) cpu.r[EBP] = frame
    else setReg16(cpu, EBP, frame)
  })
}
export const enter16: Handler = (cpu, insn) => enter(cpu, 2, insn.imm & 0xffff, insn.imm2 & 31)
export const enter32: Handler = (cpu, insn) => enter(cpu, 4, insn.imm & 0xffff, insn.imm2 & 31)

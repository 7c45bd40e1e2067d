/**
 * Frames that the CPU pushes by itself: interrupts, CALL through gates, far CALL. The words are collected in `frame`, the
 * room is checked against the stack's limit as a whole, they are written, and only then does the caller load SS and ESP:
 * a fault leaves every register as it was. Follows manual 3A, 6.12 and 5.8.5.
 *
 *      higher addresses   | word 0 (pushed first) |
 *                         | word 1                |
 *      new stack offset ▶ | last word             |
 */
import { ATTR_BIG, ATTR_CODE, ATTR_DC, type CpuState } from '../layout/cpu-state.ts'
import { ESP, SS, TRAP_SS } from '../layout/x86.ts'
import { writeMem16, writeMem32, writeSys16, writeSys32 } from '../mmu/access.ts'
import { raiseFaultWithCode } from '../mmu/fault.ts'
import { descriptorAttr, descriptorBase, descriptorLimit, type Descriptor } from './segmentation.ts'

/** Words of the frame under construction, in push order; 2 + 31 parameters + 2 are the most a call gate pushes. */
export const frame = new Int32Array(36)

/** #SS(`error`) unless each word lies within the stack segment; a 16-bit stack wraps between words, as PUSH does. */
function checkRoom(
  cpu: CpuState,
  count: number,
  size: number,
  esp: number,
  limit: number,
  attr: number,
  error: number,
): void {
  const mask = (attr & ATTR_BIG) !== 0 ? 0xffffffff : 0xffff
  const expandDown = (attr & (ATTR_CODE | ATTR_DC)) === ATTR_DC
  const top = mask >>> 0
  const bound = limit >>> 0
  for (let i = 1; i <= count; i++) {
    const first = ((esp - i * size) & mask) >>> 0
    const last = first + size - 1
    if (expandDown ? first <= bound || last > top : last > bound) raiseFaultWithCode(cpu, TRAP_SS, error)
  }
}

/**
 * Writes `frame`'s first `count` words of `size` bytes (2 or 4) below `esp` of the stack an inner ring will have, as
 * supervisor. Returns the value for ESP. Raises #SS(error) when there is no room, #PF.
 */
export function writeInnerFrame(
  cpu: CpuState,
  stack: Descriptor,
  esp: number,
  count: number,
  size: number,
  error: number,
): number {
  const attr = descriptorAttr(stack.high)
  const limit = descriptorLimit(stack)
  const mask = (attr & ATTR_BIG) !== 0 ? -1 : 0xffff
  if (limit !== -1 || (attr & ATTR_DC) !== 0) checkRoom(cpu, count, size, esp, limit, attr, error)
  const base = descriptorBase(stack)
  let at = esp
  for (let i = 0; i < count; i++) {
    at = (at - size) & mask
    if (size === 4) writeSys32(cpu, (base + at) | 0, frame[i])
    else writeSys16(cpu, (base + at) | 0, frame[i])
  }
  return (esp & ~mask) | at
}

/** The same on the stack the CPU has, at its privilege. ESP is not changed; the caller stores what is returned. */
export function writeFrame(cpu: CpuState, count: number, size: number, error: number): number {
  const esp = cpu.r[ESP]
  const mask = cpu.stack32 ? -1 : 0xffff
  if ((cpu.segFast[SS] & 2) === 0) checkRoom(cpu, count, size, esp, cpu.segLimit[SS], cpu.segAttr[SS], error)
  const base = cpu.segBase[SS]
  let at = esp
  for (let i = 0; i < count; i++) {
    at = (at - size) & mask
    if (size === 4) writeMem32(cpu, (base + at) | 0, frame[i])
    else writeMem16(cpu, (base + at) | 0, frame[i])
  }
  return (esp & ~mask) | at
}

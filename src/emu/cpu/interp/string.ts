/**
 * String instructions with their REP prefixes (manual 2B, "REP"): MOVS, CMPS, STOS, LODS, SCAS, INS, OUTS. Each element
 * commits esi, edi and ecx before the next, so a fault in the middle leaves exactly what was done. A long repetition
 * gives way to interrupts: after CHUNK elements EIP is set back to the instruction, which the run loop then enters again
 * after looking at what is pending; such a pause counts as one instruction. With TF set every element is one.
 *
 * MOVS and STOS forward over directly mapped RAM go page by page instead of element by element.
 */
import { PENDING_STEP, S_EFLAGS, S_EIP, S_PENDING } from '../../layout/cpu-state.ts'
import { DS, EAX, ECX, EDI, EDX, ES, ESI, FLAG_DF, FLAG_RF, FLAG_TF } from '../../layout/x86.ts'
import { probeWrite, readMem16, readMem32, readMem8, writeMem16, writeMem32, writeMem8 } from '../../mmu/access.ts'
import type { Cpu } from '../cpu.ts'
import { watchPort } from '../debug-registers.ts'
import { getEflags, getZF, setEflags } from '../flags.ts'
import { type Handler, type Insn, REP, REP_NONE, REPNE } from '../insn.ts'
import { setReg16, setReg8 } from '../operands.ts'
import { segLinear } from '../segmentation.ts'
import { checkIoPermission } from '../task-segment.ts'
import { ALU, ALU_CMP } from './arith.ts'

const [CMP8, CMP16, CMP32] = ALU[ALU_CMP]
const CHUNK = 4096

type Element = (cpu: Cpu, insn: Insn, size: number) => void

const sourceSegment = (insn: Insn): number => (insn.segOverride >= 0 ? insn.segOverride : DS)
const offsetOf = (cpu: Cpu, insn: Insn, reg: number): number =>
  insn.addressSize === 4 ? cpu.r[reg] : cpu.r[reg] & 0xffff

function advance(cpu: Cpu, insn: Insn, reg: number, size: number): void {
  const delta = (cpu.st[S_EFLAGS] & FLAG_DF) !== 0 ? -size : size
  if (insn.addressSize === 4) cpu.r[reg] += delta
  else setReg16(cpu, reg, cpu.r[reg] + delta)
}

function read(cpu: Cpu, linear: number, size: number): number {
  return size === 1 ? readMem8(cpu, linear) : size === 2 ? readMem16(cpu, linear) : readMem32(cpu, linear)
}
function write(cpu: Cpu, linear: number, size: number, value: number): void {
  if (size === 1) writeMem8(cpu, linear, value)
  else if (size === 2) writeMem16(cpu, linear, value)
  else writeMem32(cpu, linear, value)
}
const source = (cpu: Cpu, insn: Insn, size: number): number =>
  segLinear(cpu, sourceSegment(insn), offsetOf(cpu, insn, ESI), size, false)
const destination = (cpu: Cpu, insn: Insn, size: number, forWrite: boolean): number =>
  segLinear(cpu, ES, offsetOf(cpu, insn, EDI), size, forWrite)

const moveOne: Element = (cpu, insn, size) => {
  const value = read(cpu, source(cpu, insn, size), size)
  write(cpu, destination(cpu, insn, size, true), size, value)
  advance(cpu, insn, ESI, size)
  advance(cpu, insn, EDI, size)
}
const storeOne: Element = (cpu, insn, size) => {
  write(cpu, destination(cpu, insn, size, true), size, cpu.r[EAX])
  advance(cpu, insn, EDI, size)
}
const loadOne: Element = (cpu, insn, size) => {
  const value = read(cpu, source(cpu, insn, size), size)
  if (size === 1) setReg8(cpu, EAX, value)
  else if (size === 2) setReg16(cpu, EAX, value)
  else cpu.r[EAX] = value
  advance(cpu, insn, ESI, size)
}
const compare = (cpu: Cpu, size: number, a: number, b: number): void => {
  if (size === 1) CMP8(cpu, a, b)
  else if (size === 2) CMP16(cpu, a, b)
  else CMP32(cpu, a, b)
}
const compareOne: Element = (cpu, insn, size) => {
  // The destination first, as silicon does: which of two faults is raised depends on it.
  const b = read(cpu, destination(cpu, insn, size, false), size)
  const a = read(cpu, source(cpu, insn, size), size)
  compare(cpu, size, a, b)
  advance(cpu, insn, ESI, size)
  advance(cpu, insn, EDI, size)
}
const scanOne: Element = (cpu, insn, size) => {
  const b = read(cpu, destination(cpu, insn, size, false), size)
  compare(cpu, size, cpu.r[EAX], b)
  advance(cpu, insn, EDI, size)
}
const inOne: Element = (cpu, insn, size) => {
  const port = cpu.r[EDX] & 0xffff
  const at = destination(cpu, insn, size, true)
  probeWrite(cpu, at, size)
  write(cpu, at, size, cpu.bus.portIn(cpu, port, size))
  watchPort(cpu, port, size)
  advance(cpu, insn, EDI, size)
}
const outOne: Element = (cpu, insn, size) => {
  const port = cpu.r[EDX] & 0xffff
  const value = read(cpu, source(cpu, insn, size), size)
  watchPort(cpu, port, size)
  cpu.bus.portOut(cpu, port, size, size === 4 ? value >>> 0 : value)
  advance(cpu, insn, ESI, size)
}

/** Elements done at once, from ecx of them: 0 when the fast way does not apply. */
type Bulk = (cpu: Cpu, insn: Insn, size: number, count: number) => number

/** Elements that fit before the page ends, upwards from `linear`; 0 when unaligned. */
function untilPageEnd(linear: number, size: number, count: number): number {
  if ((linear & (size - 1)) !== 0) return 0
  return Math.min(count, (0x1000 - (linear & 0xfff)) / size)
}

const bulkAllowed = (cpu: Cpu, insn: Insn): boolean =>
  insn.addressSize === 4 && (cpu.st[S_EFLAGS] & FLAG_DF) === 0 && cpu.segFast[ES] === 3

const moveBulk: Bulk = (cpu, insn, size, count) => {
  if (!bulkAllowed(cpu, insn) || cpu.segFast[sourceSegment(insn)] === 0) return 0
  const from = cpu.r[ESI]
  const to = cpu.r[EDI]
  const fromEntry = cpu.tlbRead[from >>> 12]
  const toEntry = cpu.tlbWrite[to >>> 12]
  if (((fromEntry | toEntry) & 1) !== 0) return 0
  const n = Math.min(untilPageEnd(from, size, count), untilPageEnd(to, size, count))
  const bytes = n * size
  const a = (fromEntry + from) >>> 0
  const b = (toEntry + to) >>> 0
  // Overlapping upwards repeats the source: only the element-wise way does that right.
  if (n === 0 || (b > a && b < a + bytes)) return 0
  cpu.u8.copyWithin(b, a, a + bytes)
  cpu.r[ESI] = from + bytes
  cpu.r[EDI] = to + bytes
  return n
}
const storeBulk: Bulk = (cpu, insn, size, count) => {
  if (!bulkAllowed(cpu, insn)) return 0
  const to = cpu.r[EDI]
  const entry = cpu.tlbWrite[to >>> 12]
  if ((entry & 1) !== 0) return 0
  const n = untilPageEnd(to, size, count)
  if (n === 0) return 0
  const at = (entry + to) >>> 0
  if (size === 4) cpu.i32.fill(cpu.r[EAX], at >>> 2, (at >>> 2) + n)
  else if (size === 2) cpu.u16.fill(cpu.r[EAX], at >>> 1, (at >>> 1) + n)
  else cpu.u8.fill(cpu.r[EAX], at, at + n)
  cpu.r[EDI] = to + n * size
  return n
}
const noBulk: Bulk = () => 0

function counter(cpu: Cpu, insn: Insn): number {
  return insn.addressSize === 4 ? cpu.r[ECX] >>> 0 : cpu.r[ECX] & 0xffff
}
function count(cpu: Cpu, insn: Insn, by: number): void {
  if (insn.addressSize === 4) cpu.r[ECX] -= by
  else setReg16(cpu, ECX, cpu.r[ECX] - by)
}

/**
 * Leaves a repetition in the middle: the instruction comes next again. An interrupt or trap taken here has RF in its frame
 * (manual 3B, 17.3.1.1), so that the return does not meet an instruction breakpoint a second time.
 */
function pause(cpu: Cpu, insn: Insn): void {
  const eip = cpu.st[S_EIP] - insn.length
  cpu.st[S_EIP] = insn.size === 4 || cpu.code32 ? eip : eip & 0xffff
  cpu.st[S_EFLAGS] |= FLAG_RF
}

/** What a kind of string instruction has of its own. */
interface Kind {
  one: Element
  bulk?: Bulk
  /** CMPS and SCAS: REPE and REPNE stop them by ZF. */
  conditional?: boolean
  /** INS and OUTS: asked even when ECX is 0 and no port is touched, as silicon does. */
  ports?: boolean
}

function stringInstruction(kind: Kind, bytes: (insn: Insn) => number): Handler {
  const { one, bulk = noBulk, conditional = false, ports = false } = kind
  const repeat: Handler = (cpu, insn) => {
    const size = bytes(insn)
    const stepping = (cpu.st[S_EFLAGS] & FLAG_TF) !== 0
    let left = stepping ? 1 : CHUNK
    cpu.st[S_EFLAGS] &= ~FLAG_RF
    for (;;) {
      const remaining = counter(cpu, insn)
      if (remaining === 0) return
      if (left <= 0) {
        pause(cpu, insn)
        return
      }
      const done = stepping ? 0 : bulk(cpu, insn, size, remaining)
      if (done > 0) {
        count(cpu, insn, done)
        left -= 1 + (done >> 4)
        continue
      }
      one(cpu, insn, size)
      count(cpu, insn, 1)
      // A data or port breakpoint is told after the element that met it (manual 3B, 17.2.4).
      if ((cpu.st[S_PENDING] & PENDING_STEP) !== 0) left = 0
      else left--
      if (conditional) {
        if (insn.rep === REP && !getZF(cpu)) return
        if (insn.rep === REPNE && getZF(cpu)) return
      }
    }
  }
  return (cpu, insn) => {
    if (ports) checkIoPermission(cpu, cpu.r[EDX] & 0xffff, bytes(insn))
    if (insn.rep === REP_NONE) one(cpu, insn, bytes(insn))
    else if (conditional) repeatComparison(cpu, insn, repeat)
    else repeat(cpu, insn)
  }
}

/**
 * REP CMPS and SCAS set EFLAGS when they come to their end. A fault, trap or interrupt in the middle finds ECX, ESI and EDI as
 * far as they got, but the flags from before (manual 2B, REP; so does silicon).
 */
function repeatComparison(cpu: Cpu, insn: Insn, repeat: Handler): void {
  const eflags = getEflags(cpu) & ~FLAG_RF
  try {
    repeat(cpu, insn)
  } catch (fault) {
    setEflags(cpu, eflags)
    throw fault
  }
  const paused = cpu.st[S_EFLAGS] & FLAG_RF
  if (paused !== 0) setEflags(cpu, eflags | paused)
}

const byte = (): number => 1
const wide = (insn: Insn): number => insn.size

export const movsb = stringInstruction({ one: moveOne, bulk: moveBulk }, byte)
export const movsv = stringInstruction({ one: moveOne, bulk: moveBulk }, wide)
export const stosb = stringInstruction({ one: storeOne, bulk: storeBulk }, byte)
export const stosv = stringInstruction({ one: storeOne, bulk: storeBulk }, wide)
export const lodsb = stringInstruction({ one: loadOne }, byte)
export const lodsv = stringInstruction({ one: loadOne }, wide)
export const cmpsb = stringInstruction({ one: compareOne, conditional: true }, byte)
export const cmpsv = stringInstruction({ one: compareOne, conditional: true }, wide)
export const scasb = stringInstruction({ one: scanOne, conditional: true }, byte)
export const scasv = stringInstruction({ one: scanOne, conditional: true }, wide)
export const insb = stringInstruction({ one: inOne, ports: true }, byte)
export const insv = stringInstruction({ one: inOne, ports: true }, wide)
export const outsb = stringInstruction({ one: outOne, ports: true }, byte)
export const outsv = stringInstruction({ one: outOne, ports: true }, wide)

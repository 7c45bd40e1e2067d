/**
 * Interrupts and traps of the Guest (interrupts_and_traps.c; reference 3). Three ways lead into the Guest's handlers:
 *
 *   virtual interrupt   maybeDoInterrupt: the Host builds the frame, when the Guest's own interrupt flag allows
 *   reflected trap      reflectTrap: a trap came to the Host, which builds the frame and sends it back
 *   direct trap         copyTraps: the Guest's gate is in the live IDT, and the CPU never leaves the Guest
 *
 * The real interrupt flag is always on while a Guest runs; the Guest's idea of it is lguest_data.irq_enabled. Which gates the
 * eras keep, and what their handlers find in the frame, the abi object knows.
 */
import { FIRST_EXTERNAL_VECTOR, LGUEST_IRQS } from '../layout/lguest-data.ts'
import {
  Desc,
  GUEST_KERNEL_CS,
  GUEST_PL,
  IDT_ENTRIES,
  LGUEST_CS,
  LGUEST_TRAP_ENTRY,
  SYSCALL_VECTOR,
} from '../layout/lguest-pages.ts'
import type { PhysMemory } from '../layout/memory.ts'
import {
  FLAG_IF,
  FLAG_NT,
  FLAG_RF,
  FLAG_TF,
  FLAG_VM,
  PAGE_SIZE,
  TRAP_GP,
  TRAP_NM,
  TRAP_PF,
  trapHasErrorCode,
} from '../layout/x86.ts'
import { dataAddress, type GuestAbi } from './abi/abi.ts'
import {
  CHANGED_IDT,
  type Descriptor,
  type Guest,
  hex,
  killGuest,
  Lguest,
  lgread,
  lgread32,
  lgreadString,
  lgwrite32,
  lguestAddressOk,
  tryWrite32,
} from './guest.ts'
import { pinStackPages } from './page-tables.ts'
import { countInterrupt, countReflectedFault } from './stats.ts'

/** Nanoseconds: long enough for a few instructions, short enough for nobody to notice. */
const SOON = 20_000
/** Nanoseconds: the tick of a Host of 1000 Hz. */
const TICK = 1_000_000
const GATE_PRESENT = 0x8000
const GATE_TYPE_SHIFT = 8
const GATE_INTERRUPT = 0xe
const GATE_TRAP = 0xf
const GATE_DPL_SHIFT = 13
/** A present 32-bit interrupt gate of DPL 0. */
const DEFAULT_GATE = 0x8e00

function gatePresent(gate: Descriptor): boolean {
  return (gate.b & GATE_PRESENT) !== 0
}

function gateType(gate: Descriptor): number {
  return (gate.b >>> GATE_TYPE_SHIFT) & 0xf
}

function gateOffset(gate: Descriptor): number {
  return ((gate.b & 0xffff_0000) | (gate.a & 0xffff)) >>> 0
}

// --- frames ------------------------------------------------------------------------------------------------------------

/** Where the next word of a frame goes. `gva` is the stack pointer the Guest will see. */
interface GuestStack {
  gva: number
}

/** Pushes a word on the Guest's stack. Each word's address is translated, so a frame may cross into any page. */
export function pushGuestStack(lg: Guest, stack: GuestStack, value: number): void {
  if (lg.dead) return
  stack.gva = (stack.gva - 4) >>> 0
  const gpa = lg.abi.guestPa(lg, stack.gva)
  if (gpa < 0) return
  if (stack.gva % PAGE_SIZE > PAGE_SIZE - 4) {
    // A word across two pages, which need not be neighbours in Guest-physical memory.
    for (let i = 0; i < 4; i++) {
      const at = lg.abi.guestPa(lg, (stack.gva + i) >>> 0)
      if (at < 0) return
      lg.memory.write8(at, (value >>> (8 * i)) & 0xff)
    }
    return
  }
  lgwrite32(lg, gpa, value)
}

/**
 * Enters the Guest's handler of `gate` the way a CPU would: new stack when it was in user mode, frame, cs:eip.
 *
 *      old ss, old esp     only when the ring changes
 *      eflags, cs, eip
 *      error code          only some traps have one
 */
export function setGuestInterrupt(lg: Guest, gate: Descriptor, hasError: boolean): void {
  const { regs, s } = lg
  const stack: GuestStack = { gva: regs.esp }
  let { ss } = regs
  if ((regs.ss & 3) !== GUEST_PL) {
    stack.gva = s.esp1
    ss = s.ss1
    pushGuestStack(lg, stack, regs.ss)
    pushGuestStack(lg, stack, regs.esp)
  }
  const irqEnabled = s.lguest_data === 0 ? 0 : lgread32(lg, dataAddress(lg, lg.abi.data.irq_enabled))
  pushGuestStack(lg, stack, lg.abi.pushedEflags(regs.eflags, irqEnabled))
  pushGuestStack(lg, stack, regs.cs)
  pushGuestStack(lg, stack, regs.eip)
  if (hasError) pushGuestStack(lg, stack, regs.errcode)
  if (lg.dead) return

  regs.ss = ss
  regs.esp = stack.gva
  regs.cs = GUEST_KERNEL_CS
  regs.eip = gateOffset(gate)
  regs.eflags &= ~(FLAG_TF | FLAG_VM | FLAG_RF | FLAG_NT)
  // An interrupt gate clears the interrupt flag: the Guest's, that is.
  if (gateType(gate) === GATE_INTERRUPT && s.lguest_data !== 0) {
    if (!tryWrite32(lg, dataAddress(lg, lg.abi.data.irq_enabled), 0)) killGuest(lg, 'Disabling interrupts')
  }
}

// --- virtual interrupts --------------------------------------------------------------------------------------------------

/** Pending interrupts the Guest does not block, as a bitmap; 0 before LGUEST_INIT. */
export function interruptsPending(lg: Guest): number {
  if (lg.s.lguest_data === 0 || lg.s.irqs_pending === 0) return 0
  return lg.s.irqs_pending & ~lgread32(lg, dataAddress(lg, lg.abi.data.blocked_interrupts))
}

/** Tells the Guest by lguest_data.irq_pending that enabling interrupts should be followed by SEND_INTERRUPTS, or no longer. */
export function setIrqPending(lg: Guest, value: number): void {
  const offset = lg.abi.data.irq_pending
  if (offset !== undefined) tryWrite32(lg, dataAddress(lg, offset), value)
}

/** Before entering the Guest: delivers the lowest pending interrupt, if the Guest can take one now. */
export function maybeDoInterrupt(lg: Guest): void {
  const pending = interruptsPending(lg)
  if (pending === 0 || lg.dead) return
  const { s, regs, abi } = lg
  const irq = 31 - Math.clz32(pending & -pending)

  // In this window the Guest has set irq_enabled but is still on its way out: a frame now would be built below its own. (Halted in
  // the window it would never wake.)
  if (s.halted === 0 && regs.eip >= s.noirq_start && regs.eip < s.noirq_end) {
    // It may not leave by itself for a long time: this Host has no periodic tick that would bring it back.
    lg.hv.host.lookAgain(SOON)
    return
  }

  const irqEnabled = dataAddress(lg, abi.data.irq_enabled)
  if (s.halted !== 0) {
    // HALT means "interrupts on and sleep".
    if (!tryWrite32(lg, irqEnabled, FLAG_IF)) killGuest(lg, 'Re-enabling interrupts')
    s.halted = 0
  } else if ((lgread32(lg, irqEnabled) & FLAG_IF) === 0) {
    askToSendInterrupts(lg)
    return
  }

  const gate = lg.idtEntry(FIRST_EXTERNAL_VECTOR + irq)
  const delivered = gatePresent(gate)
  if (delivered) {
    s.irqs_pending &= ~(1 << irq)
    setGuestInterrupt(lg, gate, false)
    countInterrupt(lg)
  }
  if (lg.dead) return
  writeTimestamp(lg)
  if (interruptsPending(lg) === 0) setIrqPending(lg, 0)
  else if (delivered) askToSendInterrupts(lg)
}

/**
 * Something is pending that the Guest cannot take now. When it enables interrupts it asks for it; but a return from an interrupt does not
 * ask, and a Guest that only computes then never comes here: a Host with a periodic tick would bring it back, so ours does it on demand.
 */
function askToSendInterrupts(lg: Guest): void {
  setIrqPending(lg, FLAG_IF)
  lg.hv.host.lookAgain(TICK)
}

/** Raises virtual interrupt `irq`, 0-31: the Guest's launcher wakes, or is brought out of the Guest it is running. */
export function setInterrupt(lg: Guest, irq: number): void {
  lg.s.irqs_pending |= 1 << irq
  lg.hv.host.wakeUp(lg.s.tsk)
}

export function validIrq(irq: number): boolean {
  return Number.isInteger(irq) && irq >= 0 && irq < LGUEST_IRQS
}

/** lguest_data.time := the Host's wall clock, in eras that have it. */
export function writeTimestamp(lg: Guest): void {
  const { tv_sec, tv_nsec } = lg.abi.data
  if (tv_sec === undefined || tv_nsec === undefined || lg.s.lguest_data === 0) return
  const { seconds, nanoseconds } = lg.hv.host.wallTime()
  const ok =
    tryWrite32(lg, dataAddress(lg, tv_sec), seconds | 0) && tryWrite32(lg, dataAddress(lg, tv_nsec), nanoseconds)
  if (!ok) killGuest(lg, 'Writing timestamp')
}

/** SET_CLOCKEVENT: irq 0 in `delta` ns; 0 cancels. One shot; a new one replaces the old. */
export function guestSetClockevent(lg: Guest, delta: number): void {
  if (delta === 0) lg.hv.host.cancelTimer(lg.address)
  else armTimer(lg, lg.hv.host.ktime() + delta)
}

/** irq 0 at `deadline` (ktime). A Guest without its timer would wait for ever: when there is no memory for one it dies. */
export function armTimer(lg: Guest, deadline: number): void {
  if (!lg.hv.host.setTimer(lg.address, deadline)) killGuest(lg, 'out of memory allocating timer')
}

// --- traps ---------------------------------------------------------------------------------------------------------------

/** Sends trap `num` back into the Guest. False when it has no handler for it. */
export function reflectTrap(lg: Guest, num: number): boolean {
  if (num >= IDT_ENTRIES) return false
  const gate = lg.idtEntry(num)
  if (!gatePresent(gate)) return false
  setGuestInterrupt(lg, gate, trapHasErrorCode(num))
  if (num === TRAP_PF) countReflectedFault(lg)
  return true
}

/** A page fault is the Guest's own: what it will read as %cr2. */
export function writeCr2(lg: Guest, cr2: number): void {
  if (lg.s.lguest_data === 0) return
  if (!tryWrite32(lg, dataAddress(lg, lg.abi.data.cr2), cr2)) killGuest(lg, 'Writing cr2')
}

const INSN_UD2 = 0x0b0f

/**
 * Trap 6 in an old Guest: a kernel of 2007 compiles BUG() to ud2 followed by the line (16 bits) and the address of the file's
 * name. The Guest is finished, and this is the best reason it can have. Later kernels use ud2 for warnings too, and handle
 * it themselves.
 */
export function checkBugKill(lg: Guest): void {
  const { regs, s } = lg
  // This only works for addresses in the direct mapping.
  if (!lg.abi.bugKills || regs.eip < s.kernel_address) return
  const eip = regs.eip - s.kernel_address
  if (!lguestAddressOk(lg, eip, 8)) return
  const code = lgread(lg, eip, 8)
  if ((code[0] | (code[1] << 8)) !== INSN_UD2) return
  const line = code[2] | (code[3] << 8)
  const name = (lgread32(lg, eip + 4) - s.kernel_address) >>> 0
  const room = Math.min(128, s.pfn_limit * PAGE_SIZE - name)
  const file = room > 0 ? lgreadString(lg, name, room) : ''
  killGuest(lg, `BUG() at ${hex(regs.eip)}${/^[\x20-\x7e]+$/.test(file) ? ` ${file}:${line}` : ''}`)
}

/** SET_STACK: where traps from ring 3 land, and how many of its pages must always be there. */
export function guestSetStack(lg: Guest, seg: number, esp: number, pages: number): void {
  if ((seg & 3) !== GUEST_PL) killGuest(lg, `bad stack segment ${seg}`)
  if (pages > 2) killGuest(lg, `bad stack pages ${pages}`)
  if (lg.dead) return
  lg.s.ss1 = seg & 0xffff
  lg.s.esp1 = esp
  lg.s.stack_pages = pages
  pinStackPages(lg)
}

/** True for vectors the CPU may deliver to the Guest itself. The four others need the Host: it may have to map a page (14), emulate
 *  an instruction (13), give back the FPU (7), or it is a hypercall. */
export function directTrap(num: number): boolean {
  if (num >= FIRST_EXTERNAL_VECTOR && num !== SYSCALL_VECTOR) return false
  return num !== TRAP_PF && num !== TRAP_GP && num !== TRAP_NM && num !== LGUEST_TRAP_ENTRY
}

/** Checks and stores one gate. */
function setTrap(lg: Guest, num: number, lo: number, hi: number): void {
  const type = (hi >>> GATE_TYPE_SHIFT) & 0xf
  if ((hi & GATE_PRESENT) === 0) {
    lg.setIdtEntry(num, 0, 0)
    return
  }
  if (type !== GATE_INTERRUPT && type !== GATE_TRAP) {
    killGuest(lg, `bad IDT type ${type}`)
    return
  }
  // Always the Guest's kernel segment; bits that must be 0 are.
  lg.setIdtEntry(num, (GUEST_KERNEL_CS << 16) | (lo & 0xffff), hi & 0xffff_ef00)
}

/** LOAD_IDT_ENTRY. NMI, double fault, the spurious vector and hypercalls are never the Guest's: silently ignored. */
export function loadGuestIdtEntry(lg: Guest, num: number, lo: number, hi: number): void {
  if (num === 2 || num === 8 || num === 15 || num === LGUEST_TRAP_ENTRY) return
  if (num >= IDT_ENTRIES) {
    killGuest(lg, `Setting idt entry ${num}`)
    return
  }
  if (!lg.abi.storesIdtEntry(num)) return
  lg.s.changed |= CHANGED_IDT
  setTrap(lg, num, lo, hi)
}

/** The gate that leads into the Switcher's stub of vector `trap`. */
function defaultIdtEntry(mem: PhysMemory, idt: number, trap: number, handler: number, dpl: number): void {
  const at = idt + trap * Desc.size
  mem.write32(at, (LGUEST_CS << 16) | (handler & 0xffff))
  mem.write32(at + 4, (handler & 0xffff_0000) | DEFAULT_GATE | (dpl << GATE_DPL_SHIFT))
}

/** Fills a CPU's live IDT at hpa `idt` with the Switcher's stubs. Returns the bytes written. */
export function setupDefaultIdtEntries(mem: PhysMemory, idt: number, stubs: readonly number[]): number {
  for (let i = 0; i < IDT_ENTRIES; i++) {
    defaultIdtEntry(mem, idt, i, stubs[i], i === LGUEST_TRAP_ENTRY ? GUEST_PL : 0)
  }
  return IDT_ENTRIES * Desc.size
}

/** Vectors a Guest may have a say in: the exceptions, and the system call. */
const GUEST_VECTORS = [...Array.from({ length: FIRST_EXTERNAL_VECTOR }, (_, vector) => vector), SYSCALL_VECTOR]

/** How many entries copyTraps copies for a Guest of this era. */
export function copiedTraps(abi: GuestAbi): number {
  return GUEST_VECTORS.filter((vector) => abi.copiesTrap(vector)).length
}

/** Copies the Guest's direct traps into the live IDT at hpa `idt`; the vectors it does not take directly get the Switcher's stub.
 *  Returns the bytes copied. */
export function copyTraps(lg: Guest, idt: number, stubs: readonly number[]): number {
  const { mem } = lg.hv
  let bytes = 0
  for (const i of GUEST_VECTORS) {
    if (!lg.abi.copiesTrap(i)) continue
    bytes += Desc.size
    const from = lg.address + Lguest.offset.idt + i * Desc.size
    const b = mem.read32(from + 4)
    // Only trap gates can go direct: an interrupt gate would clear the real interrupt flag, and who would set it again?
    if (directTrap(i) && (b & GATE_PRESENT) !== 0 && ((b >>> GATE_TYPE_SHIFT) & 0xf) === GATE_TRAP) {
      mem.write32(idt + i * Desc.size, mem.read32(from))
      mem.write32(idt + i * Desc.size + 4, b)
    } else {
      defaultIdtEntry(mem, idt, i, stubs[i], lg.abi.defaultGateDpl(i, b))
    }
  }
  return bytes
}

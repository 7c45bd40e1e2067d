/**
 * The local APIC (manual 3A, chapter 8): holds interrupts until its CPU takes them, by priority; has the CPU's timer; sends
 * interrupts to other CPUs. All its state is ApicState in the CPU's state page. Its registers are at 0xFEE00000 for their own CPU;
 * the Host kernel, which is TypeScript, uses the methods behind them.
 *
 * The timer counts nanoseconds of the machine's clock (1 GHz, divided as the divide register says): one-shot, periodic, or until a
 * deadline. There is no I/O APIC: nothing but the timer and the CPUs themselves interrupts. INIT, start-up and SMI messages do nothing: a
 * CPU begins in protected mode (ARCHITECTURE.md), so there is nothing they could lead to.
 */
import { PENDING_INTR, PENDING_NMI } from '../layout/cpu-state.ts'
import { APIC_STATE_OFFSET, ApicState, type ApicStateView } from '../layout/apic-state.ts'
import type { Cpu } from '../cpu/cpu.ts'
import type { Clock } from './clock.ts'

/** Physical address of the register page. */
export const APIC_BASE = 0xfee0_0000

/** Register offsets (manual 3A, table 8-1). */
export const APIC_ID = 0x20
export const APIC_VERSION = 0x30
export const APIC_TPR = 0x80
export const APIC_PPR = 0xa0
export const APIC_EOI = 0xb0
export const APIC_LDR = 0xd0
export const APIC_DFR = 0xe0
export const APIC_SVR = 0xf0
export const APIC_ISR = 0x100
export const APIC_TMR = 0x180
export const APIC_IRR = 0x200
export const APIC_ESR = 0x280
export const APIC_ICR_LOW = 0x300
export const APIC_ICR_HIGH = 0x310
export const APIC_LVT_TIMER = 0x320
export const APIC_LVT_LINT0 = 0x350
export const APIC_LVT_LINT1 = 0x360
export const APIC_LVT_ERROR = 0x370
export const APIC_TIMER_INITIAL = 0x380
export const APIC_TIMER_CURRENT = 0x390
export const APIC_TIMER_DIVIDE = 0x3e0

const VERSION = 0x0005_0014 // integrated APIC, LVT entries 0-5
const SVR_ENABLE = 0x100
const LVT_MASKED = 0x1_0000
const LVT_PERIODIC = 0x2_0000
const ERROR_ILLEGAL_VECTOR = 0x40
const DELIVERY_FIXED = 0
const DELIVERY_LOWEST = 1
const DELIVERY_NMI = 4

export class LocalApic {
  readonly cpu: Cpu
  readonly state: ApicStateView
  private readonly clock: Clock
  /** All APICs of the machine, by CPU: where commands go. */
  private readonly all: readonly LocalApic[]

  constructor(cpu: Cpu, clock: Clock, all: readonly LocalApic[]) {
    this.cpu = cpu
    this.clock = clock
    this.all = all
    this.state = ApicState.at(cpu.mem.raw, cpu.stateAddress + APIC_STATE_OFFSET)
    this.reset()
  }

  /** After power on, but with the APIC enabled: there is no other interrupt controller to be without it for. */
  reset(): void {
    const { state } = this
    for (let word = 0; word < 8; word++) {
      state.in_service.set(word, 0)
      state.requested.set(word, 0)
    }
    state.task_priority = 0
    state.spurious_vector = SVR_ENABLE | 0xff
    state.lvt_timer = state.lvt_lint0 = state.lvt_lint1 = state.lvt_error = LVT_MASKED
    state.initial_count = 0
    state.divide = 0xb // by 1
    state.armed = 0
    this.cpu.clearPending(PENDING_INTR)
  }

  // --- interrupts --------------------------------------------------------------------------------------------------------

  /** A fixed interrupt for this CPU. Vectors below 16 are errors (manual 3A, 8.5.2). */
  request(vector: number): void {
    if (vector < 16 || vector > 255) {
      this.state.error_status |= ERROR_ILLEGAL_VECTOR
      return
    }
    setBit(this.state.requested, vector)
    this.update()
  }

  sendNmi(): void {
    this.cpu.setPending(PENDING_NMI)
  }

  /** The CPU takes an interrupt: the highest requested vector goes into service. The spurious one when there is none. */
  acknowledge(): number {
    const vector = highest(this.state.requested)
    if (vector < 0 || vector >> 4 <= this.processorPriority >> 4) {
      this.update()
      return this.state.spurious_vector & 0xff
    }
    clearBit(this.state.requested, vector)
    setBit(this.state.in_service, vector)
    this.update()
    return vector
  }

  /** End of the interrupt with the highest vector in service. */
  eoi(): void {
    const vector = highest(this.state.in_service)
    if (vector >= 0) clearBit(this.state.in_service, vector)
    this.update()
  }

  /** The higher of the task priority and the class in service (manual 3A, 8.8.3.1). */
  private get processorPriority(): number {
    const service = Math.max(0, highest(this.state.in_service))
    const task = this.state.task_priority
    return task >> 4 >= service >> 4 ? task : service & 0xf0
  }

  private update(): void {
    const vector = highest(this.state.requested)
    const enabled = (this.state.spurious_vector & SVR_ENABLE) !== 0
    if (enabled && vector >= 0 && vector >> 4 > this.processorPriority >> 4) this.cpu.setPending(PENDING_INTR)
    else this.cpu.clearPending(PENDING_INTR)
  }

  // --- timer -------------------------------------------------------------------------------------------------------------

  /** Raises `vector` at `deadline` (ns of the clock), once; Infinity is never. What the register's deadline mode does. */
  setDeadline(deadline: number, vector: number): void {
    const { state } = this
    state.lvt_timer = vector
    state.armed = Number.isFinite(deadline) ? 1 : 0
    if (state.armed !== 0) state.deadline = Math.max(0, Math.ceil(deadline))
  }

  /** When the timer expires, ns of the clock; Infinity when it does not. */
  get deadline(): number {
    return this.state.armed !== 0 ? this.state.deadline : Infinity
  }

  /** Lets the timer expire when it is time. */
  tick(now: number): void {
    const { state } = this
    if (state.armed === 0 || now < state.deadline) return
    const timer = state.lvt_timer
    if ((timer & LVT_PERIODIC) !== 0 && state.initial_count !== 0) {
      const period = state.initial_count * this.divisor
      state.deadline += Math.ceil((now - state.deadline + 1) / period) * period
    } else state.armed = 0
    if ((timer & LVT_MASKED) === 0) this.request(timer & 0xff)
  }

  /** Nanoseconds a count of the timer (manual 3A, figure 8-10). */
  private get divisor(): number {
    const code = (this.state.divide & 3) | ((this.state.divide >> 1) & 4)
    return code === 7 ? 1 : 2 << code
  }

  private startTimer(count: number): void {
    const { state } = this
    state.initial_count = count
    state.armed = count !== 0 ? 1 : 0
    state.deadline = this.clock.now() + count * this.divisor
  }

  private currentCount(): number {
    if (this.state.armed === 0) return 0
    return Math.max(0, Math.ceil((this.state.deadline - this.clock.now()) / this.divisor)) >>> 0
  }

  // --- commands to other CPUs ----------------------------------------------------------------------------------------------

  private command(low: number): void {
    const mode = (low >>> 8) & 7
    const destination = this.state.command_high >>> 24
    const shorthand = (low >>> 18) & 3
    const chosen = this.all.filter((apic) => {
      if (shorthand === 1) return apic === this
      if (shorthand === 2) return true
      if (shorthand === 3) return apic !== this
      const logical = (low & 0x800) !== 0
      if (logical) return (apic.state.logical_destination >>> 24) & destination
      return destination === 0xff || apic.cpu.id === destination
    })
    const targets = mode === DELIVERY_LOWEST ? chosen.slice(0, 1) : chosen
    for (const apic of targets) {
      if (mode === DELIVERY_FIXED || mode === DELIVERY_LOWEST) apic.request(low & 0xff)
      else if (mode === DELIVERY_NMI) apic.sendNmi()
    }
  }

  // --- registers -----------------------------------------------------------------------------------------------------------

  /** A 32-bit read at an offset of the register page, as a signed number. Reserved registers are 0. */
  read(offset: number): number {
    const { state } = this
    const index = (offset >> 4) & 7
    switch (offset & ~0xf) {
      case APIC_ID:
        return this.cpu.id << 24
      case APIC_VERSION:
        return VERSION
      case APIC_TPR:
        return state.task_priority
      case APIC_PPR:
        return this.processorPriority
      case APIC_LDR:
        return state.logical_destination | 0
      case APIC_DFR:
        return state.destination_format | 0x0fff_ffff
      case APIC_SVR:
        return state.spurious_vector
      case APIC_ESR:
        return state.error_status
      case APIC_ICR_LOW:
        return state.command_low | 0
      case APIC_ICR_HIGH:
        return state.command_high | 0
      case APIC_LVT_TIMER:
        return state.lvt_timer
      case APIC_LVT_LINT0:
        return state.lvt_lint0
      case APIC_LVT_LINT1:
        return state.lvt_lint1
      case APIC_LVT_ERROR:
        return state.lvt_error
      case APIC_TIMER_INITIAL:
        return state.initial_count | 0
      case APIC_TIMER_CURRENT:
        return this.currentCount() | 0
      case APIC_TIMER_DIVIDE:
        return state.divide
    }
    if (offset >= APIC_ISR && offset < APIC_TMR) return state.in_service.get(index) | 0
    if (offset >= APIC_IRR && offset < APIC_ESR) return state.requested.get(index) | 0
    return 0
  }

  write(offset: number, value: number): void {
    const { state } = this
    switch (offset & ~0xf) {
      case APIC_TPR:
        state.task_priority = value & 0xff
        this.update()
        break
      case APIC_EOI:
        this.eoi()
        break
      case APIC_LDR:
        state.logical_destination = value & 0xff00_0000
        break
      case APIC_DFR:
        state.destination_format = value & 0xf000_0000
        break
      case APIC_SVR:
        state.spurious_vector = value & 0x3ff
        this.update()
        break
      case APIC_ESR:
        state.error_status = 0
        break
      case APIC_ICR_LOW:
        state.command_low = value & ~0x1000 // delivery is never pending
        this.command(value)
        break
      case APIC_ICR_HIGH:
        state.command_high = value & 0xff00_0000
        break
      case APIC_LVT_TIMER:
        state.lvt_timer = value & 0x300ff
        break
      case APIC_LVT_LINT0:
        state.lvt_lint0 = value & 0x1a7ff
        break
      case APIC_LVT_LINT1:
        state.lvt_lint1 = value & 0x1a7ff
        break
      case APIC_LVT_ERROR:
        state.lvt_error = value & 0x100ff
        break
      case APIC_TIMER_INITIAL:
        this.startTimer(value >>> 0)
        break
      case APIC_TIMER_DIVIDE:
        state.divide = value & 0xb
        break
    }
  }
}

interface Bits {
  get(index: number): number
  set(index: number, value: number): void
}

function setBit(bits: Bits, n: number): void {
  bits.set(n >> 5, bits.get(n >> 5) | (1 << (n & 31)))
}

function clearBit(bits: Bits, n: number): void {
  bits.set(n >> 5, bits.get(n >> 5) & ~(1 << (n & 31)))
}

/** The highest bit set, or -1. */
function highest(bits: Bits): number {
  for (let word = 7; word >= 0; word--) {
    const value = bits.get(word)
    if (value !== 0) return word * 32 + 31 - Math.clz32(value)
  }
  return -1
}

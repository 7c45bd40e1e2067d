/**
 * The processor's side of running a Guest (x86/core.c; the seed's run_guest_once; reference 2.4, 2.8, 3.1). One world switch is two
 * functions here with emulated code between them:
 *
 *      runGuestOnce        interrupts off, TS, SYSENTER, copyInGuestInfo, trapnum planted -> far call into the Switcher
 *        ... Switcher, Guest, Switcher: i386 code; no JavaScript is on any stack ...
 *      guestReturned       what must be saved before anything else can happen: registers (pre-patch way), cr2, the FPU
 *      handleTrap          why it came back
 */
import type { Cpu } from '../cpu/cpu.ts'
import { assert } from '../bits/assert.ts'
import { S_CR0, S_CR2, S_SYSENTER_CS } from '../layout/cpu-state.ts'
import {
  Desc,
  IDT_ENTRIES,
  GDT_ENTRIES,
  LGUEST_DS,
  LGUEST_PAGES_regs,
  LGUEST_PAGES_state,
  LGUEST_TRAP_ENTRY,
  LguestRoState,
  Tss,
} from '../layout/lguest-pages.ts'
import { LguestRegs, TRAP_IN_SWITCHER } from '../layout/lguest-regs.ts'
import { CR0_TS, EBX, ECX, TRAP_GP, TRAP_NM, TRAP_NMI, TRAP_PF, TRAP_UD } from '../layout/x86.ts'
import { emulateInsn } from './emulate.ts'
import { fpuRestore } from './fpu.ts'
import { CHANGED_ALL, CHANGED_GDT, CHANGED_GDT_TLS, CHANGED_IDT, type Guest, hex, killGuest } from './guest.ts'
import { COPIED_GDT, COPIED_IDT, COPIED_REGS, COPIED_TLS, type Hypervisor } from './hypervisor.ts'
import {
  checkBugKill,
  copiedTraps,
  copyTraps,
  reflectTrap,
  setupDefaultIdtEntries,
  writeCr2,
} from './interrupts-and-traps.ts'
import { demandPage, mapSwitcherInGuest } from './page-tables.ts'
import { COPIED_GDT_ENTRIES, copyGdt, copyGdtTls, setupDefaultGdtEntries } from './segments.ts'
import { countSwitch } from './stats.ts'
import { lguestPages } from './switcher/switcher.ts'

/** What copyInGuestInfo did, for the counters. */
export interface CopyIn {
  /** COPIED_* bits. */
  readonly copied: number
  readonly bytes: number
  /** CHANGED_ALL was forced: other Guest, or other CPU. */
  readonly all: boolean
}

const GUEST_IDT = LguestRoState.offset.guest_idt
const GUEST_GDT = LguestRoState.offset.guest_gdt

/**
 * Makes a CPU's pages right for `lg`: the seed patch. The IDT and GDT are copied only when they changed, when this CPU ran another
 * Guest since, or when the Guest comes from another CPU; and never the registers, whose page is mapped.
 *
 * Before the patch all of it was copied on every switch; `copyMode` 'always' still does that.
 */
export function copyInGuestInfo(lg: Guest, cpu: number): CopyIn {
  const { hv, s } = lg
  const { mem } = hv
  const vars = hv.cpu(cpu)
  const pages = lguestPages(cpu)
  const always = hv.state.copy_always !== 0
  const stubs = hv.switcher[lg.abi.switcher].stubs
  let all = false
  let copied = 0
  let bytes = 0

  if (vars.last_guest !== lg.address || s.last_pages !== pages) {
    vars.last_guest = lg.address
    s.last_pages = pages
    s.changed = CHANGED_ALL
    all = true
  }

  // These are pretty cheap, so we do them unconditionally.
  mem.write32(vars.page1 + LguestRoState.offset.host_cr3, hv.host.mmPgd(s.mm))
  mapSwitcherInGuest(lg, cpu, always)
  // Where direct traps from ring 3 land.
  mem.write32(vars.page1 + LguestRoState.offset.guest_tss + Tss.offset.esp1, s.esp1)
  mem.write32(vars.page1 + LguestRoState.offset.guest_tss + Tss.offset.ss1, s.ss1)

  // A CPU that ran the other register order has 256 entries leading to the wrong text.
  if (vars.idt_switcher !== lg.abi.switcher) {
    vars.idt_switcher = lg.abi.switcher
    bytes += setupDefaultIdtEntries(mem, vars.page1 + GUEST_IDT, stubs)
    s.changed |= CHANGED_IDT
  }
  if (always) {
    s.changed = CHANGED_ALL
    bytes += copyRegs(hv, s.regs, vars.page0 + LGUEST_PAGES_regs)
    copied |= COPIED_REGS
  }
  vars.copied_regs = always ? 1 : 0

  // Copy direct trap entries.
  if ((s.changed & CHANGED_IDT) !== 0) {
    bytes += copyTraps(lg, vars.page1 + GUEST_IDT, stubs)
    copied |= COPIED_IDT
  }
  // Copy all GDT entries but the Host's; or, after a process switch, only those that change then.
  if ((s.changed & CHANGED_GDT) !== 0) {
    bytes += copyGdt(lg, vars.page1 + GUEST_GDT)
    copied |= COPIED_GDT
  } else if ((s.changed & CHANGED_GDT_TLS) !== 0) {
    bytes += copyGdtTls(lg, vars.page1 + GUEST_GDT)
    copied |= COPIED_TLS
  }
  s.changed = 0
  return { copied, bytes, all }
}

/** Copies lguest_regs between two places, word by word; returns the bytes. */
function copyRegs(hv: Hypervisor, from: number, to: number): number {
  for (let i = 0; i < LguestRegs.size; i += 4) hv.mem.write32(to + i, hv.mem.read32(from + i))
  return LguestRegs.size
}

/** Sets or clears CR0.TS: with it set the next FPU instruction raises trap 7. */
export function setTs(cpu: Cpu, on: boolean): void {
  if (on) cpu.st[S_CR0] |= CR0_TS
  else cpu.st[S_CR0] &= ~CR0_TS
}

/** First half of a world switch: everything is prepared, and the CPU is left about to call the Switcher. */
export function runGuestOnce(lg: Guest, cpu: Cpu): void {
  const { hv, s } = lg
  const vars = hv.cpu(cpu.id)

  // TS when the Guest wants it, and when the registers in this CPU are somebody else's.
  setTs(cpu, s.ts !== 0 || vars.fpu_owner !== lg.address)

  // SYSENTER in the Guest must not reach the Host's entry: with a null CS it is a #GP.
  vars.host_sysenter_cs = cpu.st[S_SYSENTER_CS] >>> 0
  cpu.st[S_SYSENTER_CS] = 0

  vars.last_start = hv.host.ktime()
  // No trap has this number. If it is still there afterwards, the Switcher itself faulted on what the Guest gave it.
  lg.regs.trapnum = TRAP_IN_SWITCHER
  const { copied, bytes, all } = copyInGuestInfo(lg, cpu.id)
  vars.last_copied = copied | (all ? LAST_ALL : 0)
  vars.last_bytes = bytes

  s.running = 1
  const shadow = s.pgdirs.at(s.pgdidx).pgdir
  hv.host.enterSwitcher(cpu, hv.switcher[lg.abi.switcher].entry, lguestPages(cpu.id), shadow)
}

/** Set in last_copied when the copy was for another Guest or CPU. */
const LAST_ALL = 0x100

/**
 * Second half: the Switcher is back in run_guest_once. ebx holds the trap number it read before it left the Guest's page tables, ecx
 * the stack pointer it had then. Returns the trap and what %cr2 was, which must be read before the Host can fault.
 */
export function guestReturned(lg: Guest, cpu: Cpu): { trap: number; cr2: number } {
  const { hv, s } = lg
  const vars = hv.cpu(cpu.id)
  assert(s.running === 1 && vars.last_guest === lg.address, 'a Guest returned on a CPU that did not run it')
  s.running = 0

  let trap = cpu.r[EBX] >>> 0
  if (vars.copied_regs !== 0) {
    vars.last_bytes += copyRegs(hv, vars.page0 + LGUEST_PAGES_regs, s.regs)
  }
  // From the Guest the frame ends at the top of the page. Anything lower was pushed inside the Switcher, where only the Guest's own
  // registers can fault: the final iret even writes over the planted trapnum.
  if (cpu.r[ECX] >>> 0 !== lguestPages(cpu.id) + LGUEST_PAGES_regs) trap = TRAP_IN_SWITCHER
  lg.regs.trapnum = trap

  cpu.st[S_SYSENTER_CS] = vars.host_sysenter_cs
  const cr2 = trap === TRAP_PF ? cpu.st[S_CR2] >>> 0 : 0
  if (trap === TRAP_NM && s.ts === 0) fpuRestore(lg, cpu)

  vars.last_trap = trap
  const copied = vars.last_copied & ~LAST_ALL
  const full = fullCopyBytes(lg)
  countSwitch(lg, cpu.id, trap, copied, vars.last_bytes, full, (vars.last_copied & LAST_ALL) !== 0)
  hv.tracer?.switched(cpu.id, lg, trap, copied, vars.last_bytes, vars.last_start, hv.host.ktime())
  return { trap, cr2 }
}

/** Bytes the pre-patch way copies for one switch of this Guest: registers in and out, all traps, all of the GDT it may have. */
export function fullCopyBytes(lg: Guest): number {
  return 2 * LguestRegs.size + copiedTraps(lg.abi) * Desc.size + COPIED_GDT_ENTRIES * Desc.size
}

/** Decides what a trap means: done here, a hypercall for the next round, or the Guest's own business. */
export function handleTrap(lg: Guest, trap: number, cr2: number): void {
  const { regs, s } = lg
  switch (trap) {
    case TRAP_UD:
      checkBugKill(lg)
      if (lg.dead) return
      break
    case TRAP_GP:
      // Privileged instructions fault with error code 0; a few we do for the Guest.
      if (regs.errcode === 0 && emulateInsn(lg)) return
      break
    case TRAP_PF:
      if (demandPage(lg, cr2, regs.errcode)) return
      writeCr2(lg, cr2)
      break
    case TRAP_NM:
      // The Guest did not ask for TS: it was ours, and guestReturned has given it its FPU.
      if (s.ts === 0) return
      break
    case LGUEST_TRAP_ENTRY:
      s.hcall = 1
      return
    case TRAP_NMI:
      return // the Host has handled it
    default:
      // A hardware interrupt: the Host's handler has run already. (A system call that was not direct comes here too.)
      if (trap >= 32 && trap < IDT_ENTRIES) return
  }
  if (lg.dead) return
  if (!reflectTrap(lg, trap)) {
    const detail = trap === TRAP_PF ? cr2 : regs.errcode
    // Before INIT there are no handlers yet, and most likely this is no lguest guest at all.
    const when = s.lguest_data === 0 ? ' before INIT' : ''
    killGuest(lg, `unhandled trap ${trap} at ${hex(regs.eip)} (${hex(detail)})${when}`)
  }
}

/** Once, for each CPU: the parts of page 1 that stay. */
export function initPages(hv: Hypervisor, cpu: number): void {
  const { mem, host } = hv
  const vars = hv.cpu(cpu)
  const state = hv.roState(cpu)
  const linear = lguestPages(cpu) + LGUEST_PAGES_state

  const idt = host.hostIdt(cpu)
  state.host_idt_desc.limit = idt.limit
  state.host_idt_desc.base = idt.base
  const gdt = host.hostGdt(cpu)
  state.host_gdt_desc.limit = gdt.limit
  state.host_gdt_desc.base = gdt.base

  state.guest_idt_desc.limit = IDT_ENTRIES * Desc.size - 1
  state.guest_idt_desc.base = linear + GUEST_IDT
  state.guest_gdt_desc.limit = GDT_ENTRIES * Desc.size - 1
  state.guest_gdt_desc.base = linear + GUEST_GDT

  // Traps to ring 0 land at the end of the registers: page 0 ends where page 1 begins.
  state.guest_tss.esp0 = linear
  state.guest_tss.ss0 = LGUEST_DS
  state.guest_tss.io_bitmap_base = Tss.size
  setupDefaultGdtEntries(mem, vars.page1 + GUEST_GDT, linear + LguestRoState.offset.guest_tss)
  vars.idt_switcher = 0
  setupDefaultIdtEntries(mem, vars.page1 + GUEST_IDT, hv.switcher[0].stubs)
}

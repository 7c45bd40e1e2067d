/**
 * The run loop (core.c), and the hypervisor's beginning. runGuest is what the launcher's read() of /dev/lguest does: it serves what the
 * Guest has asked for, then enters the Guest, again and again, until something is the launcher's business.
 *
 *      +-> hypercalls -> something for the launcher? signal? -> virtual interrupt -> dead? halted? -> runGuestOnce
 *      |                                                                                                   |  Switcher
 *      +------------------------------- handleTrap <- guestReturned <--------------------------------------+
 *
 * Entering the Guest means leaving TypeScript, so the loop is cut there: runGuest goes as far as runGuestOnce and says 'run';
 * resumeGuest takes up where the Switcher comes back.
 */
import type { Cpu } from '../cpu/cpu.ts'
import { assert } from '../bits/assert.ts'
import { PAGE_SIZE } from '../layout/x86.ts'
import { eraA } from './abi/era-a.ts'
import { eraC } from './abi/era-c.ts'
import { DEAD_RESTART, type Guest } from './guest.ts'
import { EAGAIN, EFAULT, EINTR, ENOENT, ERESTART } from './errno.ts'
import type { LguestHost } from './host-interface.ts'
import { doHypercalls } from './hypercalls.ts'
import { Hypervisor, LguestState } from './hypervisor.ts'
import { maybeDoInterrupt } from './interrupts-and-traps.ts'
import { signalEventfd } from './eventfd.ts'
import { PAGE_KERNEL, populateHypervisorPtePage } from './page-tables.ts'
import { lguestPagesPte, switcherTexts } from './switcher/switcher.ts'
import { guestReturned, handleTrap, initPages, runGuestOnce } from './x86.ts'

/** How a read() of /dev/lguest goes on. */
export type RunOutcome =
  | { readonly kind: 'done'; readonly value: number }
  /** The CPU is about to execute run_guest_once. */
  | { readonly kind: 'run' }
  /** The Guest is halted: until somebody raises an interrupt. */
  | { readonly kind: 'sleep' }
  /** Another task should have the CPU now. */
  | { readonly kind: 'yield' }

function done(value: number): RunOutcome {
  return { kind: 'done', value }
}

/** Gives the launcher what is pending for it, in the buffer of its read(): NOTIFY's address (4 bytes), or era A's DMA and key (8).
 *  Nothing to give: undefined. */
function tellLauncher(lg: Guest): RunOutcome | undefined {
  const { s, hv } = lg
  if (s.pending_notify === 0) return undefined
  if (signalEventfd(lg, s.pending_notify)) {
    // Somebody else took it: the Guest goes on at once.
    s.pending_notify = 0
    return undefined
  }
  const words = lg.abi.era === 'A' ? [s.pending_notify, s.pending_key] : [s.pending_notify]
  const bytes = new Uint8Array(Uint32Array.from(words).buffer)
  if (s.read_length < bytes.length || !hv.host.copyToUser(s.mm, s.read_address, bytes)) return done(EFAULT)
  return done(bytes.length)
}

/** Runs the Guest on `cpu` until it has to leave TypeScript or the launcher has to know. */
export function runGuest(lg: Guest, cpu: Cpu): RunOutcome {
  const { s, hv } = lg
  while (!lg.dead) {
    if (s.hcall !== 0 || (lg.abi.drainsRingAlways && s.lguest_data !== 0)) doHypercalls(lg)
    if (lg.dead) break

    const told = tellLauncher(lg)
    if (told !== undefined) return told
    // A queued NOTIFY may have been in the way of the direct call.
    if (s.hcall !== 0) continue

    if (s.break_out !== 0) return done(EAGAIN)
    if (hv.host.signalPending(s.tsk)) return done(EINTR)

    maybeDoInterrupt(lg)
    if (lg.dead) break
    // HALT turns interrupts on: with anything pending and not blocked the Guest would be awake by now.
    if (s.halted !== 0) return { kind: 'sleep' }
    if (hv.host.needResched(cpu.id)) return { kind: 'yield' }
    runGuestOnce(lg, cpu)
    return { kind: 'run' }
  }
  return done(s.dead === DEAD_RESTART ? ERESTART : ENOENT)
}

/** The task runs again: after the Switcher came back, or after sleeping or giving way. */
export function resumeGuest(lg: Guest, cpu: Cpu): RunOutcome {
  if (lg.s.running !== 0) {
    const { trap, cr2 } = guestReturned(lg, cpu)
    handleTrap(lg, trap, cr2)
  }
  return runGuest(lg, cpu)
}

/** The Host's timer for this Guest has expired. */
export function timerExpired(hv: Hypervisor, address: number): void {
  const lg = hv.guestAt(address)
  if (!lg.dead) lg.abi.timerExpired(lg)
}

/**
 * Loads the hypervisor into a Host: the Switcher's text, and for each CPU its pair of pages and its PTE page, mapped at the same linear
 * addresses for everybody. Once a machine; needs the Host's descriptor tables to be where they stay.
 */
export function createHypervisor(host: LguestHost): Hypervisor {
  const owner = host.newOwner('lguest')
  const page = (): number => {
    const hpa = host.allocZeroedPage(owner)
    assert(hpa !== 0, 'no memory for the hypervisor')
    return hpa
  }
  assert(LguestState.size <= PAGE_SIZE, 'lguest_state does not fit a page')
  const texts = switcherTexts()
  const hv = new Hypervisor(host, owner, page(), [eraC, eraA], texts)
  hv.abis.forEach((abi, id) => assert(abi.id === id, `abi ${abi.era} is not number ${id}`))
  hv.state.stats_page = page()
  hv.state.next_guestid = 1

  const textPages = texts.map((text, i) => {
    const hpa = page()
    host.mem.writeBytes(hpa, text.bytes)
    hv.state.text_page.set(i, hpa)
    host.mapRegionPage(i, hpa, PAGE_KERNEL)
    return hpa
  })
  for (let cpu = 0; cpu < host.cpuCount; cpu++) {
    const vars = hv.cpu(cpu)
    vars.page0 = page()
    vars.page1 = page()
    vars.stats_page = page()
    vars.hypervisor_pte_page = page()
    host.mapRegionPage(lguestPagesPte(cpu), vars.page0, PAGE_KERNEL)
    host.mapRegionPage(lguestPagesPte(cpu) + 1, vars.page1, PAGE_KERNEL)
    populateHypervisorPtePage(vars.hypervisor_pte_page, cpu, textPages, vars.page1, (hpa, value) =>
      host.mem.write32(hpa, value),
    )
    initPages(hv, cpu)
  }
  return hv
}

/**
 * Hypercalls (hypercalls.c; reference 4). The Guest asks by int 0x1f with a number in eax, or queues the request in the ring of
 * lguest_data to save the trip. What each number means is the era's table (abi/); the calls all eras share are here.
 *
 *   hcall_status   | ff | 00 | 00 | ff | ...    64 bytes: 0 queued, 0xff free
 *   hcalls         |    | n,a,b,c ...           64 entries
 *                         ^ next_hcall: our cursor. The Guest has its own; both go round.
 */
import { LGUEST_SHUTDOWN_RESTART, LHCALL, LHCALL_RING_SIZE } from '../layout/lguest-data.ts'
import { dataAddress, type HcallArguments, type Hypercall } from './abi/abi.ts'
import { DEAD_RESTART, type Guest, killGuest, lgreadString, lguestAddressOk, tryRead, tryWrite } from './guest.ts'
import {
  guestSetClockevent,
  guestSetStack,
  interruptsPending,
  loadGuestIdtEntry,
  setIrqPending,
} from './interrupts-and-traps.ts'
import {
  guestNewPagetable,
  guestPagetableClearAll,
  guestPagetableFlushUser,
  guestSetPgd,
  guestSetPte,
} from './page-tables.ts'
import { guestLoadTls, loadGuestGdt, loadGuestGdtEntry } from './segments.ts'
import { countHypercall } from './stats.ts'

/** Bytes of a CRASH or SHUTDOWN text that are read. */
const CRASH_TEXT_SIZE = 128
const RING_FREE = 0xff

/** A table entry from a name and what it does; most calls have no result. */
function call(name: string, run: (lg: Guest, args: HcallArguments) => number | void): Hypercall {
  return { name, run: (lg, args) => run(lg, args) ?? undefined }
}

/**
 * CRASH (era A) and SHUTDOWN: the text says why, and the launcher gets it. It ends up on terminals and in logs, so of what is no
 * printable ASCII only a '?' is left. Nobody gets the text of a restart, so it is not read: Linux gives the address of none, a null
 * pointer made physical, and that is no memory.
 */
function shutdown(lg: Guest, args: HcallArguments, restart: boolean): void {
  const text = restart ? 'restart' : lgreadString(lg, args.arg1, CRASH_TEXT_SIZE).replace(/[^\x20-\x7e]/g, '?')
  killGuest(lg, `CRASH: ${text}`)
  if (restart) lg.s.dead = DEAD_RESTART
}

/** Every hypercall there is, by what it does; the eras choose and number them. */
export const CALLS = {
  FLUSH_ASYNC: call('FLUSH_ASYNC', () => {
    // Nothing to do: that it came made us look at the ring.
  }),
  LGUEST_INIT: call('LGUEST_INIT', (lg, { arg1 }) => {
    if (lg.s.lguest_data !== 0) killGuest(lg, 'already have lguest_data')
    else if (!lguestAddressOk(lg, arg1, 1)) killGuest(lg, `bad guest page 0x${arg1.toString(16)}`)
    else lg.abi.guestInit(lg, arg1)
  }),
  CRASH: call('CRASH', (lg, args) => shutdown(lg, args, false)),
  SHUTDOWN: call('SHUTDOWN', (lg, args) => shutdown(lg, args, args.arg2 === LGUEST_SHUTDOWN_RESTART)),
  LOAD_GDT: call('LOAD_GDT', (lg, { arg1, arg2 }) => loadGuestGdt(lg, arg1, arg2)),
  NEW_PGTABLE: call('NEW_PGTABLE', (lg, { arg1 }) => guestNewPagetable(lg, arg1)),
  FLUSH_TLB: call('FLUSH_TLB', (lg, { arg1 }) => {
    if (arg1 !== 0) guestPagetableClearAll(lg)
    else guestPagetableFlushUser(lg)
  }),
  LOAD_IDT_ENTRY: call('LOAD_IDT_ENTRY', (lg, { arg1, arg2, arg3 }) => loadGuestIdtEntry(lg, arg1, arg2, arg3)),
  SET_STACK: call('SET_STACK', (lg, { arg1, arg2, arg3 }) => guestSetStack(lg, arg1, arg2, arg3)),
  TS: call('TS', (lg, { arg1 }) => {
    lg.s.ts = arg1
  }),
  SET_CLOCKEVENT: call('SET_CLOCKEVENT', (lg, { arg1 }) => guestSetClockevent(lg, arg1)),
  HALT: call('HALT', (lg) => {
    lg.s.halted = 1
  }),
  SET_PTE: call('SET_PTE', (lg, { arg1, arg2, arg3 }) => guestSetPte(lg, arg1, arg2, arg3)),
  SET_PGD: call('SET_PGD', (lg, { arg1, arg2 }) => guestSetPgd(lg, arg1, arg2)),
  LOAD_TLS: call('LOAD_TLS', (lg, { arg1 }) => guestLoadTls(lg, arg1)),
  NOTIFY: call('NOTIFY', (lg, { arg1 }) => {
    lg.s.pending_notify = arg1
  }),
  LOAD_GDT_ENTRY: call('LOAD_GDT_ENTRY', (lg, { arg1, arg2, arg3 }) => loadGuestGdtEntry(lg, arg1, arg2, arg3)),
  SEND_INTERRUPTS: call('SEND_INTERRUPTS', (lg) => {
    // Re-entering the Guest delivers them. If what was pending is blocked by now, the Guest need not ask again.
    if (interruptsPending(lg) === 0) setIrqPending(lg, 0)
  }),
} as const

/** Does one hypercall, direct or queued. Returns its result, if the era gives one. */
export function doHcall(lg: Guest, args: HcallArguments): number | undefined {
  const hypercall = lg.abi.hypercalls[args.number]
  if (hypercall === undefined) {
    killGuest(lg, `Bad hypercall ${args.number}`)
    return undefined
  }
  countHypercall(lg, args.number)
  lg.hv.tracer?.hypercall(lg, args.number)
  return hypercall.run(lg, args)
}

/** Something for the launcher is pending: it must be told before anything else happens. */
export function launcherMustSee(lg: Guest): boolean {
  return lg.s.pending_notify !== 0
}

/** Runs the queue. At most once round the ring, so that a Guest that keeps filling it cannot keep us here. */
export function doAsyncHcalls(lg: Guest): void {
  const status = dataAddress(lg, lg.abi.data.hcall_status)
  const queued = tryRead(lg, status, LHCALL_RING_SIZE)
  if (queued === undefined) {
    killGuest(lg, 'Fetching async hypercalls')
    return
  }
  for (let i = 0; i < LHCALL_RING_SIZE && !lg.dead; i++) {
    const slot = lg.s.next_hcall
    if (queued[slot] === RING_FREE) break
    lg.s.next_hcall = (slot + 1) % LHCALL_RING_SIZE
    const args = lg.abi.ringArguments(lg, slot)
    if (lg.dead) break
    doHcall(lg, args)
    // The Guest may use the entry again. Results of queued calls go nowhere.
    if (!lg.dead && !tryWrite(lg, status + slot, Uint8Array.of(RING_FREE))) {
      killGuest(lg, 'Writing result for async hypercall')
    }
    if (launcherMustSee(lg)) break
  }
}

/** What the Guest has asked for since it last ran: the queue first, then the direct call, once. */
export function doHypercalls(lg: Guest): void {
  const { s, regs, abi } = lg
  if (s.lguest_data === 0) {
    if (s.hcall === 0) return
    s.hcall = 0
    const args = abi.hcallArguments(regs)
    if (args.number !== LHCALL.LGUEST_INIT) killGuest(lg, `hypercall ${args.number} before INIT`)
    else doHcall(lg, args)
    return
  }
  doAsyncHcalls(lg)
  // If a queued call woke the launcher the direct one waits until it has been to see it.
  if (s.hcall === 0 || lg.dead || launcherMustSee(lg)) return
  s.hcall = 0
  const result = doHcall(lg, abi.hcallArguments(regs))
  if (result !== undefined) regs.eax = result
}

/**
 * /dev/lguest (lguest_user.c; reference 8): how a launcher makes a Guest, runs it and hears of it.
 *
 *      write  [INITIALIZE, base, pfn_limit, start]                era C     returns the bytes of its words: 12, or 16
 *             [INITIALIZE, pfn_limit, pgdir, start, page_offset]  era A     (the number of words tells the era)
 *             [IRQ, n]  [EVENTFD, gpa, fd]  [GETDMA, key]  [BREAK, on]
 *      read   runs the Guest until it needs its launcher (core.ts)
 *      close  everything the Guest had is given back
 */
import type { Cpu } from '../cpu/cpu.ts'
import { assert } from '../bits/assert.ts'
import { LHREQ } from '../layout/lguest-data.ts'
import { GUEST_KERNEL_CS, GUEST_KERNEL_DS } from '../layout/lguest-pages.ts'
import { LguestRegs } from '../layout/lguest-regs.ts'
import { FLAG_ALWAYS_ONE, FLAG_IF, PAGE_SIZE } from '../layout/x86.ts'
import { resumeGuest, runGuest, type RunOutcome } from './core.ts'
import { EFAULT, EINVAL, ENOENT, ENOMEM, EPERM, ERESTART } from './errno.ts'
import { attachEventfd, dropEventfds } from './eventfd.ts'
import { fpuDrop, fpuInit } from './fpu.ts'
import { ALIVE, DEAD_RESTART, deadReason, type Guest, Lguest } from './guest.ts'
import type { Hypervisor } from './hypervisor.ts'
import { setInterrupt, validIrq } from './interrupts-and-traps.ts'
import { getDma } from './io.ts'
import { freeGuestPagetable, initGuestPagetable } from './page-tables.ts'
import { setupGuestGdt } from './segments.ts'
import { retireGuestStats } from './stats.ts'
import { lguestPagesPte } from './switcher/switcher.ts'

/** First registers (reference 9.2): the kernel's segments, interrupts on, and eip. esi = 0 is the address of the boot parameters. */
export function setupRegs(lg: Guest, start: number): void {
  const { regs } = lg
  lg.hv.mem.fill(lg.s.regs, LguestRegs.size, 0)
  regs.ds = regs.es = regs.ss = GUEST_KERNEL_DS
  regs.cs = GUEST_KERNEL_CS
  regs.eflags = FLAG_IF | FLAG_ALWAYS_ONE
  regs.eip = start
}

/** INITIALIZE: makes a Guest for `task` from the words of the request. A Guest, or a negative errno. */
export function initialize(hv: Hypervisor, task: number, words: readonly number[]): Guest | number {
  const { host } = hv
  const abi = hv.abis.find((each) => each.initializeWords === words.length)
  if (abi === undefined) return EINVAL
  const start = abi.parseInitialize(words)
  if (typeof start === 'number') return start
  if (start.base + start.pfnLimit * PAGE_SIZE > host.userEnd) return EFAULT

  const guestid = hv.state.next_guestid
  const owner = host.newOwner(`guest ${guestid}`)
  if (owner === 0) return ENOMEM
  const pages: number[] = []
  const page = (): number => {
    const hpa = host.allocZeroedPage(owner)
    if (hpa !== 0) pages.push(hpa)
    return hpa
  }
  const address = page()
  const regsPage = address === 0 ? 0 : page()
  const fpuPage = regsPage === 0 ? 0 : page()
  const statsPage = fpuPage === 0 ? 0 : page()
  const giveUp = (error: number): number => {
    pages.forEach((hpa) => host.putPage(hpa))
    host.freeOwner(owner)
    return error
  }
  if (statsPage === 0) return giveUp(ENOMEM)

  const s = Lguest.at(hv.mem, address)
  s.abi = abi.id
  s.owner = owner
  s.regs_page = regsPage
  s.regs = regsPage + PAGE_SIZE - LguestRegs.size
  s.fpu_page = fpuPage
  s.stats_page = statsPage
  s.guestid = guestid
  s.mem_base = start.base
  s.pfn_limit = start.pfnLimit
  s.kernel_address = start.pageOffset ?? 0
  s.tsk = task
  s.last_pages = 0
  const lg = hv.guestAt(address)
  if (!initGuestPagetable(lg, start.pgdir ?? 0, start.pgdir === undefined)) {
    hv.forget(address)
    return giveUp(ENOMEM)
  }
  setupRegs(lg, start.start)
  setupGuestGdt(lg)
  fpuInit(lg)
  s.mm = host.getTaskMm(task)
  s.next = hv.state.first_guest
  hv.state.first_guest = address
  hv.state.next_guestid = guestid + 1
  return lg
}

/** write() other than INITIALIZE. 0 or more, or a negative errno. */
export function lguestRequest(lg: Guest, task: number, request: number, words: readonly number[]): number {
  if (lg.dead) return ENOENT
  // Era A's launcher was one process; only to break into read() another could write.
  if (lg.abi.era === 'A' && task !== lg.s.tsk && request !== LHREQ.BREAK) return EPERM
  const [first, second] = words
  if (first === undefined) return EINVAL
  switch (request) {
    case LHREQ.IRQ:
      if (!validIrq(first)) return EINVAL
      setInterrupt(lg, first)
      return 0
    case LHREQ.EVENTFD:
      return lg.abi.era === 'C' && second !== undefined ? attachEventfd(lg, task, first, second) : EINVAL
    case LHREQ.GETDMA: {
      if (lg.abi.era !== 'A') return EINVAL
      const dma = getDma(lg, first)
      // Bad buffers kill, and this is not the Guest's own task: it may sleep, or run for as long as it likes.
      if (lg.dead) lg.hv.host.wakeUp(lg.s.tsk)
      return dma === 0 ? ENOENT : dma
    }
    case LHREQ.BREAK:
      // The original also blocks the breaker until the Guest is out; here it is out as soon as its task leaves read().
      if (lg.abi.era !== 'A') return EINVAL
      lg.s.break_out = first !== 0 ? 1 : 0
      if (first !== 0) lg.hv.host.wakeUp(lg.s.tsk)
      return 0
    default:
      return EINVAL
  }
}

/** read() of `length` bytes at hva `address`: runs the Guest. A dead Guest's reason is what is read. */
export function lguestRead(lg: Guest, task: number, cpu: Cpu, address: number, length: number): RunOutcome {
  const { s, hv } = lg
  if (task !== s.tsk) return { kind: 'done', value: EPERM }
  if (s.dead === DEAD_RESTART) return { kind: 'done', value: ERESTART }
  if (s.dead !== ALIVE) {
    const reason = `${deadReason(lg)}\0`
    const bytes = Uint8Array.from(reason.slice(0, length), (character) => character.charCodeAt(0))
    return { kind: 'done', value: hv.host.copyToUser(s.mm, address, bytes) ? bytes.length : EFAULT }
  }
  // Whatever the launcher was told last time, it has dealt with.
  s.pending_notify = 0
  s.read_address = address
  s.read_length = length
  return runGuest(lg, cpu)
}

/** The reading task has the CPU again. */
export function lguestResume(lg: Guest, cpu: Cpu): RunOutcome {
  return resumeGuest(lg, cpu)
}

/** close(): the Guest is over, dead or not. Every page it had is free afterwards. */
export function lguestClose(lg: Guest): void {
  const { s, hv } = lg
  const { host } = hv
  assert(s.running === 0, 'closing a Guest that is running')
  host.cancelTimer(lg.address)
  dropEventfds(lg)
  fpuDrop(lg)
  freeGuestPagetable(lg)
  retireGuestStats(lg)

  // No CPU may remember it: the next Guest could get the same page.
  for (let cpu = 0; cpu < host.cpuCount; cpu++) {
    const vars = hv.cpu(cpu)
    if (vars.last_guest === lg.address) vars.last_guest = 0
    const regsPte = vars.hypervisor_pte_page + lguestPagesPte(cpu) * 4
    if ((hv.mem.read32(regsPte) & ~(PAGE_SIZE - 1)) >>> 0 === s.regs_page) hv.mem.write32(regsPte, 0)
  }
  if (hv.state.first_guest === lg.address) hv.state.first_guest = s.next
  else {
    const before = hv.allGuests().find((each) => each.s.next === lg.address)
    assert(before !== undefined, 'a Guest is not in the list')
    before.s.next = s.next
  }
  host.putMm(s.mm)
  const { owner } = s
  for (const page of [s.dma_page, s.eventfds, s.fpu_page, s.stats_page, s.regs_page, lg.address]) {
    if (page !== 0) host.putPage(page)
  }
  hv.forget(lg.address)
  host.freeOwner(owner)
}

/**
 * Eventfds of a Guest (lguest_user.c; reference 8.1, EVENTFD): the launcher says "when the Guest NOTIFYs this address, signal that file", so a
 * kick wakes an I/O task while the Guest runs on, and read() does not return. The records are in a page of the Guest's own.
 */
import { struct } from '../bits/struct.ts'
import { PAGE_SIZE } from '../layout/x86.ts'
import { EBADF, EINVAL, ENOMEM } from './errno.ts'
import type { Guest } from './guest.ts'

const EventfdRecord = struct('lguest_eventfd', { addr: 'u32', context: 'u32' }, 8)
const MAX_EVENTFDS = PAGE_SIZE / EventfdRecord.size

function record(lg: Guest, index: number) {
  return EventfdRecord.at(lg.hv.mem, lg.s.eventfds + index * EventfdRecord.size)
}

/** LHREQ_EVENTFD: NOTIFY of `addr` signals the task's descriptor `fd`. 0 or a negative errno. */
export function attachEventfd(lg: Guest, task: number, addr: number, fd: number): number {
  const { s, hv } = lg
  if (addr === 0) return EINVAL // 0 means "no notification"
  if (s.eventfds === 0) s.eventfds = hv.host.allocZeroedPage(s.owner)
  if (s.eventfds === 0 || s.eventfd_count === MAX_EVENTFDS) return ENOMEM
  const context = hv.host.eventfdGet(task, fd)
  if (context === 0) return EBADF
  const entry = record(lg, s.eventfd_count)
  entry.addr = addr
  entry.context = context
  s.eventfd_count++
  return 0
}

/** Signals the eventfd of `addr`; false when there is none. */
export function signalEventfd(lg: Guest, addr: number): boolean {
  for (let i = 0; i < lg.s.eventfd_count; i++) {
    const entry = record(lg, i)
    if (entry.addr !== addr) continue
    lg.hv.host.eventfdSignal(entry.context)
    return true
  }
  return false
}

/** The Guest is going. */
export function dropEventfds(lg: Guest): void {
  for (let i = 0; i < lg.s.eventfd_count; i++) lg.hv.host.eventfdPut(record(lg, i).context)
  lg.s.eventfd_count = 0
}

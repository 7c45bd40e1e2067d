/** Stops and breakpoints in words. */
import type { BreakpointKind, MemorySpace, StopReason } from '@shared/inspect'
import { t } from '../i18n'
import { hex0x, trapName } from './format'

/** A guest's name by its id. */
export type NameOf = (guestId: string) => string

/** Hypercall numbers 0-19 (lguest_hcall.h; Linux 2.6.31 and later). */
export const HYPERCALL_NAMES = [
  'FLUSH_ASYNC',
  'LGUEST_INIT',
  'SHUTDOWN',
  'LOAD_GDT',
  'NEW_PGTABLE',
  'FLUSH_TLB',
  'LOAD_IDT_ENTRY',
  'SET_STACK',
  'TS',
  'SET_CLOCKEVENT',
  'HALT',
  'GET_WALLCLOCK',
  'BIND_DMA',
  'SET_PMD',
  'SET_PTE',
  'SET_PGD',
  'LOAD_TLS',
  'NOTIFY',
  'LOAD_GDT_ENTRY',
  'SEND_INTERRUPTS',
] as const

export function describeStop(reason: StopReason | null, nameOf: NameOf): string {
  switch (reason?.kind) {
    case undefined:
    case 'paused':
      return t('describeStop.paused')
    case 'step':
      return t('describeStop.step')
    case 'switch': {
      const who = reason.guestId === '' ? t('describeStop.aGuest') : nameOf(reason.guestId)
      const { cpu, trap } = reason
      return t('describeStop.switch', { who, cpu, reason: trapName(trap), trap })
    }
    case 'breakpoint': {
      const { id, cpu, guestId, detail } = reason
      if (guestId === null) return t('describeStop.breakpointInHost', { id, cpu, detail })
      return t('describeStop.breakpointInGuest', { id, cpu, guest: nameOf(guestId), detail })
    }
    case 'runTo':
      return t('describeStop.runTo', { cpu: reason.cpu, address: hex0x(reason.address) })
  }
}

export function describeSpace(space: MemorySpace, nameOf: NameOf): string {
  switch (space.kind) {
    case 'hostPhysical':
      return t('describeStop.space.hostPhysical')
    case 'cpuVirtual':
      return t('describeStop.space.cpuVirtual', { cpu: space.cpu })
    case 'guestPhysical':
      return t('describeStop.space.guestPhysical', { guest: nameOf(space.guestId) })
    case 'guestVirtual':
      return t('describeStop.space.guestVirtual', { guest: nameOf(space.guestId) })
  }
}

export function describeBreakpoint(spec: BreakpointKind, nameOf: NameOf): string {
  switch (spec.kind) {
    case 'address':
      return withScope(t('describeStop.breakpoint.address', { address: hex0x(spec.address) }), spec.scope, nameOf)
    case 'trap': {
      const { trap } = spec
      return withScope(t('describeStop.breakpoint.trap', { trap, name: trapName(trap) }), spec.scope, nameOf)
    }
    case 'hypercall': {
      const { number } = spec
      const name: string | undefined = HYPERCALL_NAMES[number]
      const what = name
        ? t('describeStop.breakpoint.hypercall', { number, name })
        : t('describeStop.breakpoint.unknownHypercall', { number })
      return withScope(what, spec.scope, nameOf)
    }
    case 'watch': {
      const named = { n: spec.length, address: hex0x(spec.address), space: describeSpace(spec.space, nameOf) }
      return spec.access === 'write'
        ? t('describeStop.breakpoint.writes', named, spec.length)
        : t('describeStop.breakpoint.readsAndWrites', named, spec.length)
    }
  }
}

interface Scope {
  cpu?: number | undefined
  guestId?: string | undefined
}

function withScope(what: string, { cpu, guestId }: Scope, nameOf: NameOf): string {
  if (guestId === undefined) return cpu === undefined ? what : t('describeStop.scope.cpu', { what, cpu })
  const guest = nameOf(guestId)
  if (cpu === undefined) return t('describeStop.scope.guest', { what, guest })
  return t('describeStop.scope.guestAndCpu', { what, guest, cpu })
}

/** The CPU a stop happened on, or null when it was on none in particular. */
export function cpuOfStop(reason: StopReason | null): number | null {
  return reason !== null && 'cpu' in reason ? reason.cpu : null
}

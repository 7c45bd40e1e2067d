/** What the inspector looks at: the machine and its hypervisor, and how their guests are called by the engine. Looking changes nothing. */
import type { Machine } from '../../emu/machine/machine.ts'
import type { Guest } from '../../emu/lguest/guest.ts'
import type { Hypervisor } from '../../emu/lguest/hypervisor.ts'
import { lguestPages } from '../../emu/lguest/switcher/switcher.ts'
import type { SymbolTable } from '../symbols.ts'

export interface GuestIdentity {
  readonly guestId: string
  readonly name: string
  readonly symbols: SymbolTable | null
}

export interface InspectionTarget {
  readonly machine: Machine
  readonly hypervisor: Hypervisor
  /** Whose struct lguest is at this address; null for one the engine does not know (any more). */
  identify(lguest: number): GuestIdentity | null
  /** The running Guest of a guest; null while it has none. */
  guest(guestId: string): Guest | null
  /** Names of the Host's own text. */
  hostSymbol(linear: number): string | null
}

/**
 * The Guest a CPU is in right now, or null when it is in the Host. A CPU's last_guest alone does not say: the Guest may have gone to
 * another CPU since, whose pages its last_pages are then.
 */
export function currentGuest(target: InspectionTarget, cpu: number): Guest | null {
  const guest = lastGuest(target, cpu)
  return guest !== null && guest.s.running !== 0 && guest.s.last_pages === lguestPages(cpu) ? guest : null
}

/** The Guest a CPU ran last, while there is one. */
export function lastGuest(target: InspectionTarget, cpu: number): Guest | null {
  const { last_guest: last } = target.hypervisor.cpu(cpu)
  if (last === 0) return null
  return target.hypervisor.allGuests().find((each) => each.address === last) ?? null
}

/** The CPU a Guest ran on last; -1 before it ran. */
export function lastCpu(target: InspectionTarget, guest: Guest): number {
  return target.machine.cpus.findIndex(({ id }) => guest.s.last_pages === lguestPages(id))
}

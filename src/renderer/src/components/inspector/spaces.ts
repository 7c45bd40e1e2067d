/** The address spaces memory can be looked at in, as choices of a list. */
import type { GuestSummary } from '@shared/guest'
import type { MemorySpace } from '@shared/inspect'
import { t } from '../../i18n'

export interface SpaceOption {
  /** Stays the same while the guest does: what a select keeps. */
  key: string
  title: string
  space: MemorySpace
}

export function spaceOptions(cpu: number, running: readonly GuestSummary[]): SpaceOption[] {
  return [
    { key: 'hostPhysical', title: t('spaces.hostPhysical'), space: { kind: 'hostPhysical' } },
    { key: 'cpuVirtual', title: t('spaces.cpuVirtual', { cpu }), space: { kind: 'cpuVirtual', cpu } },
    ...running.flatMap(({ id, config }): SpaceOption[] => [
      {
        key: `guestPhysical:${id}`,
        title: t('spaces.guestPhysical', { guest: config.name }),
        space: { kind: 'guestPhysical', guestId: id },
      },
      {
        key: `guestVirtual:${id}`,
        title: t('spaces.guestVirtual', { guest: config.name }),
        space: { kind: 'guestVirtual', guestId: id },
      },
    ]),
  ]
}

/** A guest's figures of the last two minutes, out of the host's statistics. */
import type { Stats } from '@shared/protocol'

export type GuestFigures = Stats['guests'][number]

/** One value for each of `history`, null where the guest did not run. */
export function seriesOf(
  history: readonly Stats[],
  guestId: string,
  read: (figures: GuestFigures) => number,
): (number | null)[] {
  return history.map((stats) => {
    const found = stats.guests.find((g) => g.guestId === guestId)
    return found ? read(found) : null
  })
}

/** The emulated host's real time, which stands still while the host is paused: no guest sees the pause. */
const NANOSECONDS_PER_MS = 1_000_000

export class HostClock {
  private lost = 0
  private frozenAt: number | null = null
  private readonly milliseconds: () => number

  constructor(milliseconds: () => number = () => performance.now()) {
    this.milliseconds = milliseconds
  }

  /** Nanoseconds; a source for the Computer. */
  readonly now = (): number => (this.frozenAt ?? this.real()) - this.lost

  freeze(): void {
    this.frozenAt ??= this.real()
  }

  thaw(): void {
    if (this.frozenAt === null) return
    this.lost += this.real() - this.frozenAt
    this.frozenAt = null
  }

  private real(): number {
    return Math.round(this.milliseconds() * NANOSECONDS_PER_MS)
  }
}

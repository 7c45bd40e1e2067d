/**
 * Jobs: every action that takes time is one, with progress, a real cancel and a reason when it fails. A job's work
 * receives an AbortSignal and a progress function; it must stop and leave nothing half done when the signal fires.
 */
import type { Job } from '../shared/protocol.ts'
import { EngineError, toProtocolError } from './errors.ts'

export interface JobContext {
  readonly signal: AbortSignal
  /** 0-1. */
  progress(fraction: number): void
  /** The job is about this guest, which was not there when it began. */
  about(guestId: string): void
}

interface Entry {
  job: Job
  abort: AbortController
  done: Promise<void>
}

const KEPT = 100

export class Jobs {
  private readonly entries = new Map<string, Entry>()
  private readonly changed: (job: Job) => void
  private next = 1

  /** `changed` is called with a copy whenever a job's state or progress changes. */
  constructor(changed: (job: Job) => void) {
    this.changed = changed
  }

  /** Starts `work`; returns at once. */
  start(
    title: string,
    options: { guestId?: string; cancellable?: boolean },
    work: (context: JobContext) => Promise<void>,
  ): Job {
    const abort = new AbortController()
    const job: Job = {
      id: `job-${this.next++}`,
      title,
      guestId: options.guestId ?? null,
      state: 'running',
      progress: null,
      cancellable: options.cancellable ?? false,
      error: null,
    }
    const context: JobContext = {
      signal: abort.signal,
      progress: (fraction) => {
        if (job.state !== 'running') return
        job.progress = Math.min(1, Math.max(0, fraction))
        this.changed({ ...job })
      },
      about: (guestId) => (job.guestId = guestId),
    }
    // It begins at once; what it throws at once is a failure like any other.
    const running = async (): Promise<void> => await work(context)
    const done = running().then(
      () => this.finish(job, abort.signal.aborted ? 'cancelled' : 'done', null),
      (error: unknown) => {
        const cancelled = error instanceof EngineError && error.code === 'cancelled'
        if (abort.signal.aborted || cancelled) this.finish(job, 'cancelled', null)
        else this.finish(job, 'failed', toProtocolError(error).message)
      },
    )
    this.entries.set(job.id, { job, abort, done })
    this.forget()
    this.changed({ ...job })
    return { ...job }
  }

  list(): Job[] {
    return [...this.entries.values()].map(({ job }) => ({ ...job }))
  }

  /** Asks a job to stop; resolves when it has. */
  async cancel(id: string): Promise<Job> {
    const entry = this.entries.get(id)
    if (!entry) throw new EngineError('notFound', 'That job is over and forgotten.')
    if (entry.job.state === 'running') {
      if (!entry.job.cancellable) throw new EngineError('badState', `“${entry.job.title}” cannot be cancelled.`)
      entry.abort.abort()
      await entry.done
    }
    return { ...entry.job }
  }

  /** Resolves when the job has ended in any way. */
  async settled(id: string): Promise<Job> {
    const entry = this.entries.get(id)
    if (!entry) throw new EngineError('notFound', 'That job is over and forgotten.')
    await entry.done
    return { ...entry.job }
  }

  private finish(job: Job, state: Job['state'], error: string | null): void {
    job.state = state
    job.error = error
    if (state === 'done') job.progress = 1
    this.changed({ ...job })
  }

  private forget(): void {
    for (const [id, { job }] of this.entries) {
      if (this.entries.size <= KEPT) return
      if (job.state !== 'running') this.entries.delete(id)
    }
  }
}

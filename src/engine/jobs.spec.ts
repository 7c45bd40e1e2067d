import { beforeEach, describe, expect, it } from 'vitest'
import type { Job } from '../shared/protocol.ts'
import { EngineError } from './errors.ts'
import { Jobs, type JobContext } from './jobs.ts'

let seen: Job[]
let jobs: Jobs

beforeEach(() => {
  seen = []
  jobs = new Jobs((job) => seen.push(job))
})

/** Work that goes on until the test ends it. */
function held(): { work: (context: JobContext) => Promise<void>; finish(): void; fail(error: unknown): void } {
  let finish: () => void = () => {}
  let fail: (error: unknown) => void = () => {}
  const promise = new Promise<void>((resolve, reject) => {
    finish = resolve
    fail = reject
  })
  return { work: () => promise, finish, fail }
}

/** Work that ends, with an error, when it is told to. */
const obedient = ({ signal }: JobContext): Promise<void> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(new EngineError('cancelled', 'It was.'))))

describe('a job', () => {
  it('runs, tells its progress, and is done', async () => {
    const hold = held()
    const { id } = jobs.start('Import rex', { guestId: 'rex-1' }, async ({ progress }) => {
      await Promise.resolve()
      progress(0.25)
      progress(7)
      progress(-1)
      await hold.work({ about: () => {}, signal: new AbortController().signal, progress })
    })
    const running = { id, title: 'Import rex', guestId: 'rex-1', state: 'running', cancellable: false, error: null }
    expect(jobs.list()).toEqual([{ ...running, progress: null }])
    hold.finish()
    expect(await jobs.settled(id)).toEqual({ ...running, state: 'done', progress: 1 })
    expect(seen.map(({ state, progress }) => [state, progress])).toEqual([
      ['running', null],
      ['running', 0.25],
      ['running', 1],
      ['running', 0],
      ['done', 1],
    ])
  })

  it('that fails keeps the sentence, and what it is about', async () => {
    const { id } = jobs.start('Start rex', {}, () => Promise.reject(new EngineError('unusable', 'No kernel.')))
    expect(await jobs.settled(id)).toMatchObject({ state: 'failed', error: 'No kernel.', guestId: null })
    expect(seen.at(-1)).toMatchObject({ id, state: 'failed', error: 'No kernel.' })
  })

  it('that fails by a fault of ours says so', async () => {
    const { id } = jobs.start('Start rex', {}, () => Promise.reject(new TypeError('x is undefined')))
    expect((await jobs.settled(id)).error).toBe('Kennel made a mistake: x is undefined')
  })

  it('that throws before it waits has failed like any other', async () => {
    const { id } = jobs.start('Start rex', {}, () => {
      throw new EngineError('unusable', 'At once.')
    })
    expect(await jobs.settled(id)).toMatchObject({ state: 'failed', error: 'At once.' })
  })

  it('reports no progress when it is over', async () => {
    let late: JobContext | undefined
    const { id } = jobs.start('Export rex', {}, (context) => {
      late = context
      return Promise.resolve()
    })
    await jobs.settled(id)
    const before = seen.length
    late?.progress(0.5)
    expect(seen).toHaveLength(before)
    expect(jobs.list()[0].progress).toBe(1)
  })

  it('is not changed through what was handed out', async () => {
    const hold = held()
    const job = jobs.start('Start rex', {}, hold.work)
    for (const each of [job, ...seen, ...jobs.list()]) each.title = 'mine'
    hold.finish()
    expect((await jobs.settled(job.id)).title).toBe('Start rex')
  })
})

describe('cancelling', () => {
  it('ends the work and resolves when it has ended', async () => {
    const { id } = jobs.start('Stop rex', { cancellable: true }, obedient)
    expect(await jobs.cancel(id)).toMatchObject({ state: 'cancelled', error: null, progress: null })
    expect(seen.at(-1)).toMatchObject({ id, state: 'cancelled' })
  })

  it('waits for work that takes its time to stop', async () => {
    const hold = held()
    const { id } = jobs.start('Stop rex', { cancellable: true }, hold.work)
    let over = false
    const cancelled = jobs.cancel(id).then((job) => {
      over = true
      return job
    })
    await new Promise((resolve) => setImmediate(resolve))
    expect(over).toBe(false)
    hold.fail(new Error('torn'))
    expect(await cancelled).toMatchObject({ state: 'cancelled', error: null })
  })

  it('of one job leaves the others', async () => {
    const one = jobs.start('Stop one', { cancellable: true }, obedient)
    const two = jobs.start('Stop two', { cancellable: true }, obedient)
    await jobs.cancel(one.id)
    expect(jobs.list().map(({ id, state }) => [id, state])).toEqual([
      [one.id, 'cancelled'],
      [two.id, 'running'],
    ])
    await jobs.cancel(two.id)
  })

  it('is refused by what cannot be cancelled', async () => {
    const hold = held()
    const { id } = jobs.start('Start rex', {}, hold.work)
    await expect(jobs.cancel(id)).rejects.toThrow('“Start rex” cannot be cancelled.')
    expect(jobs.list()[0].state).toBe('running')
    hold.finish()
  })

  it('of what is over changes nothing', async () => {
    const { id } = jobs.start('Start rex', {}, () => Promise.resolve())
    await jobs.settled(id)
    expect(await jobs.cancel(id)).toMatchObject({ state: 'done', progress: 1 })
  })

  it('of what never was is an error', async () => {
    await expect(jobs.cancel('job-9')).rejects.toThrow('That job is over and forgotten.')
    await expect(jobs.settled('job-9')).rejects.toThrow('That job is over and forgotten.')
  })
})

describe('the list', () => {
  it('keeps a hundred, forgets the oldest that are over, and none that runs', async () => {
    const hold = held()
    const running = jobs.start('Long', {}, hold.work)
    for (let n = 0; n < 150; n++) await jobs.settled(jobs.start(`Short ${n}`, {}, () => Promise.resolve()).id)
    const titles = jobs.list().map(({ title }) => title)
    expect(titles).toHaveLength(100)
    expect(titles[0]).toBe('Long')
    expect(titles[1]).toBe('Short 51')
    expect(titles.at(-1)).toBe('Short 149')
    hold.finish()
    expect((await jobs.settled(running.id)).state).toBe('done')
  })

  it('gives every job an id of its own', () => {
    const ids = [1, 2, 3].map(() => jobs.start('Start rex', {}, () => Promise.resolve()).id)
    expect(new Set(ids).size).toBe(3)
  })
})

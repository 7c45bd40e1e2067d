import { describe, expect, it } from 'vitest'
import { MAX_PIECE, type Job } from '@shared/protocol'
import { FakeEngine } from '../testing/fake-engine'
import { fromBase64, toBase64 } from './files'
import { exportGuest, importGuest, jobDone, uploadFile } from './transfer'

const job = (more: Partial<Job> = {}): Job => ({
  id: 'job-1',
  title: 'Import rex',
  guestId: null,
  state: 'running',
  progress: null,
  cancellable: true,
  error: null,
  ...more,
})
const contents = Uint8Array.from({ length: MAX_PIECE * 2 + 5 }, (_, i) => i * 7)

describe('a file', () => {
  it('is sent in pieces, in order', async () => {
    const fake = new FakeEngine({
      'files.begin': () => ({ upload: 'upload-1' }),
      'files.append': () => ({ size: 0 }),
      'files.finish': () => ({ file: '/staging/x/disk.img' }),
    })
    expect(await uploadFile(fake.client, new File([contents], 'disk.img'))).toBe('/staging/x/disk.img')
    const pieces = fake.asked('files.append').map(({ data }) => fromBase64(data))
    expect(pieces.map((piece) => piece.length)).toEqual([MAX_PIECE, MAX_PIECE, 5])
    expect(new Blob(pieces).size).toBe(contents.length)
    expect([...pieces[2]]).toEqual([...contents.subarray(MAX_PIECE * 2)])
  })

  it('that the engine cannot keep is given up, with the engine’s reason', async () => {
    const fake = new FakeEngine({
      'files.begin': () => ({ upload: 'upload-1' }),
      'files.append': () => {
        throw new Error('The disk is full.')
      },
      'files.cancel': () => null,
    })
    await expect(uploadFile(fake.client, new File([contents], 'disk.img'))).rejects.toThrow('The disk is full.')
    expect(fake.asked('files.cancel')).toEqual([{ upload: 'upload-1' }])
  })
})

describe('a guest', () => {
  it('is exported when its job is done, and released', async () => {
    const fake = new FakeEngine({
      'guests.export': () => ({ job: job(), download: 'download-1', name: 'rex.kennel' }),
      'jobs.wait': () => job({ state: 'done' }),
      'files.read': ({ offset }) => ({
        data: toBase64(contents.subarray(offset, offset + MAX_PIECE)),
        size: contents.length,
      }),
      'files.release': () => null,
    })
    const exported = await exportGuest(fake.client, 'rex')
    expect(exported?.name).toBe('rex.kennel')
    const bytes = new Uint8Array((await exported?.contents.arrayBuffer()) ?? new ArrayBuffer(0))
    expect(toBase64(bytes)).toBe(toBase64(contents))
    expect(fake.asked('files.release')).toEqual([{ download: 'download-1' }])
  })

  it('is imported from a file, and known by its id', async () => {
    const fake = new FakeEngine({
      'files.begin': () => ({ upload: 'upload-1' }),
      'files.append': () => ({ size: 0 }),
      'files.finish': () => ({ file: '/staging/x/rex.kennel' }),
      'guests.import': () => ({ job: job() }),
      'jobs.wait': () => job({ state: 'done', guestId: 'rex-2' }),
    })
    expect(await importGuest(fake.client, new File(['zip'], 'rex.kennel'))).toBe('rex-2')
    expect(fake.asked('guests.import')).toEqual([{ file: '/staging/x/rex.kennel' }])
  })
})

it.each(['failed', 'cancelled'] as const)(
  'a job that %s gives nothing: its reason is told by the jobs themselves',
  async (state) => {
    const fake = new FakeEngine({ 'jobs.wait': () => job({ state, error: 'That file is damaged.' }) })
    expect(await jobDone(fake.client, job())).toBeNull()
  },
)

/** Files between this page and the engine, piece by piece: no file is ever whole in memory, and other messages get through meanwhile. */
import { MAX_PIECE, type Job } from '@shared/protocol'
import type { EngineClient } from './client'
import { fromBase64, toBase64 } from './files'

/** Sends a file; the name by which a request calls it. */
export async function uploadFile(engine: EngineClient, file: File): Promise<string> {
  const { upload } = await engine.request('files.begin', { name: file.name })
  try {
    for (let at = 0; at < file.size; at += MAX_PIECE) {
      const piece = new Uint8Array(await file.slice(at, at + MAX_PIECE).arrayBuffer())
      await engine.request('files.append', { upload, data: toBase64(piece) })
    }
    return (await engine.request('files.finish', { upload })).file
  } catch (error) {
    void engine.request('files.cancel', { upload }).catch(() => undefined)
    throw error
  }
}

/** Waits for a job; null when it did not succeed, which the jobs store has told with its reason. */
export async function jobDone(engine: EngineClient, { id }: Job): Promise<Job | null> {
  const job = await engine.request('jobs.wait', { jobId: id })
  return job.state === 'done' ? job : null
}

/** A guest as one file; null when there is none. */
export async function exportGuest(
  engine: EngineClient,
  guestId: string,
): Promise<{ name: string; contents: Blob } | null> {
  const { job, download, name } = await engine.request('guests.export', { guestId })
  try {
    if ((await jobDone(engine, job)) === null) return null
    const pieces: Blob[] = []
    for (let offset = 0, size = 1; offset < size;) {
      const piece = await engine.request('files.read', { download, offset })
      const bytes = fromBase64(piece.data)
      // A blob of its own: the browser may keep it on disk.
      pieces.push(new Blob([bytes]))
      offset += bytes.length
      size = bytes.length === 0 ? offset : piece.size
    }
    return { name, contents: new Blob(pieces) }
  } finally {
    void engine.request('files.release', { download }).catch(() => undefined)
  }
}

/** The id of the guest that was in a file; null when there is none. */
export async function importGuest(engine: EngineClient, file: File): Promise<string | null> {
  return importPath(engine, await uploadFile(engine, file))
}

/** The same of a file on the engine's computer. */
export async function importPath(engine: EngineClient, file: string): Promise<string | null> {
  const { job } = await engine.request('guests.import', { file })
  return (await jobDone(engine, job))?.guestId ?? null
}

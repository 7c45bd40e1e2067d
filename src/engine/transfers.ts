/**
 * Files on their way between a front and the engine, in pieces of at most MAX_PIECE bytes: no message holds up the ones behind it, no
 * file is ever whole in memory, and whoever sends waits for each answer before the next piece. Both ways end with their connection.
 *
 *     files.begin { name } ──▶ upload      files.append { upload, data } ... ──▶ files.finish ──▶ a staged file, to be named in a request
 *     guests.export ──▶ job, download      files.read { download, offset } ... ──▶ files.release
 */
import { open, type FileHandle } from 'node:fs/promises'
import { MAX_PIECE } from '../shared/protocol.ts'
import type { Connection } from './connection.ts'
import { EngineError } from './errors.ts'
import type { GuestFiles } from './guest-files.ts'

interface Upload {
  readonly connection: Connection
  readonly path: string
  readonly file: FileHandle
  size: number
  /** A piece is being written: the next must wait for its answer. */
  busy: boolean
}

interface Download {
  readonly connection: Connection
  readonly path: string
  /** It is whole and can be read. */
  ready: boolean
}

export class Transfers {
  private readonly files: GuestFiles
  private readonly uploads = new Map<string, Upload>()
  private readonly downloads = new Map<string, Download>()
  private next = 1

  constructor(files: GuestFiles) {
    this.files = files
  }

  /** Begins an upload; its id. */
  async begin(connection: Connection, name: string): Promise<string> {
    const path = await this.files.stage(name)
    const id = `upload-${this.next++}`
    this.uploads.set(id, { connection, path, file: await open(path, 'wx', 0o600), size: 0, busy: false })
    connection.onClose(() => void this.cancel(connection, id).catch(() => undefined))
    if (connection.closed) await this.cancel(connection, id)
    return id
  }

  /** Adds a piece; the bytes there are now. When it cannot be written the upload is over. */
  async append(connection: Connection, id: string, piece: Uint8Array): Promise<number> {
    const upload = this.upload(connection, id)
    if (upload.busy) throw new EngineError('badState', 'The piece before this one is still being written.')
    upload.busy = true
    try {
      for (let done = 0; done < piece.length;) {
        done += (await upload.file.write(piece, done, piece.length - done, upload.size + done)).bytesWritten
      }
    } catch (error) {
      await this.cancel(connection, id).catch(() => undefined)
      throw error
    } finally {
      upload.busy = false
    }
    upload.size += piece.length
    return upload.size
  }

  /** Ends an upload; the staged file. */
  async finish(connection: Connection, id: string): Promise<string> {
    const upload = this.upload(connection, id)
    if (upload.busy) throw new EngineError('badState', 'The last piece is still being written.')
    this.uploads.delete(id)
    await upload.file.sync()
    await upload.file.close()
    return upload.path
  }

  /** Gives up an upload, and forgets what has come. */
  async cancel(connection: Connection, id: string): Promise<void> {
    const upload = this.uploads.get(id)
    if (upload?.connection !== connection) return
    this.uploads.delete(id)
    await upload.file.close().catch(() => undefined)
    await this.files.unstage(upload.path)
  }

  /** A file that is to be made for a connection, at `path` in the staging folder. */
  async offer(connection: Connection, name: string): Promise<{ download: string; path: string }> {
    const path = await this.files.stage(name)
    const download = `download-${this.next++}`
    this.downloads.set(download, { connection, path, ready: false })
    connection.onClose(() => void this.release(connection, download))
    if (connection.closed) await this.release(connection, download)
    return { download, path }
  }

  /** The file is whole. */
  ready(id: string): void {
    const download = this.downloads.get(id)
    if (download) download.ready = true
  }

  async read(connection: Connection, id: string, offset: number): Promise<{ data: Uint8Array; size: number }> {
    const download = this.downloads.get(id)
    if (download?.connection !== connection) throw new EngineError('notFound', 'That file is not offered any more.')
    if (!download.ready) throw new EngineError('badState', 'That file is still being made.')
    const file = await open(download.path, 'r')
    try {
      const { size } = await file.stat()
      const data = new Uint8Array(Math.max(0, Math.min(MAX_PIECE, size - offset)))
      const { bytesRead } = await file.read(data, 0, data.length, offset)
      return { data: data.subarray(0, bytesRead), size }
    } finally {
      await file.close()
    }
  }

  /** The front has it, or does not want it: it is removed. */
  async release(connection: Connection, id: string): Promise<void> {
    const download = this.downloads.get(id)
    if (download?.connection !== connection) return
    this.downloads.delete(id)
    await this.files.unstage(download.path).catch(() => undefined)
  }

  private upload(connection: Connection, id: string): Upload {
    const upload = this.uploads.get(id)
    if (upload?.connection !== connection) throw new EngineError('notFound', 'That upload is over.')
    return upload
  }
}

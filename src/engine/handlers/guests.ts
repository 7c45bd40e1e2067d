/** Requests about guests, their files, their consoles, and jobs. */
import { join } from 'node:path'
import { mkdir } from 'node:fs/promises'
import type { Handlers } from '../connection.ts'
import { EngineError } from '../errors.ts'
import type { EngineContext } from './context.ts'

type GuestMethods = Extract<
  keyof Handlers,
  `guests.${string}` | `files.${string}` | `trash.${string}` | `jobs.${string}` | `console.${string}`
>

export function guestHandlers(context: EngineContext): Pick<Handlers, GuestMethods> {
  const { guests, library, jobs, transfers } = context
  return {
    'guests.list': () => ({ guests: guests.list().map((each) => each.summary()), quarantined: library.quarantined() }),
    'guests.create': async ({ config, start }) => {
      const machine = await guests.create(config)
      return { guestId: machine.guestId, job: start ? guests.act(machine.guestId, 'start') : null }
    },
    'guests.update': async ({ guestId, config }) => (await guests.update(guestId, config)).summary(),
    'guests.clone': ({ guestId, name }) => ({ job: guests.clone(guestId, name) }),
    'guests.delete': async ({ guestId }) => ({ undo: await guests.remove(guestId) }),
    'guests.undelete': async ({ guestId }) => ({ guestId: (await guests.restore(guestId)).guestId }),
    'guests.act': ({ guestId, action }) => guests.act(guestId, action),
    'guests.export': async ({ guestId }, connection) => {
      const name = guests.archiveName(guestId)
      const { download, path } = await transfers.offer(connection, name)
      try {
        const job = guests.export(guestId, path, () => transfers.ready(download))
        // Nobody would fetch it.
        connection.onClose(() => void jobs.cancel(job.id).catch(() => undefined))
        return { job, download, name }
      } catch (error) {
        await transfers.release(connection, download)
        throw error
      }
    },
    'guests.import': ({ file, name }) => ({ job: guests.import(file, name) }),
    'files.begin': async ({ name }, connection) => ({ upload: await transfers.begin(connection, name) }),
    'files.append': async ({ upload, data }, connection) => ({
      size: await transfers.append(connection, upload, fromBase64(data)),
    }),
    'files.finish': async ({ upload }, connection) => ({ file: await transfers.finish(connection, upload) }),
    'files.cancel': async ({ upload }, connection) => {
      await transfers.cancel(connection, upload)
      return null
    },
    'files.read': async ({ download, offset }, connection) => {
      const { data, size } = await transfers.read(connection, download, offset)
      return { data: Buffer.from(data).toString('base64'), size }
    },
    'files.release': async ({ download }, connection) => {
      await transfers.release(connection, download)
      return null
    },
    'trash.list': () => library.trash(),
    'trash.empty': async () => ({ removed: await library.emptyTrash() }),
    'jobs.list': () => jobs.list(),
    'jobs.cancel': ({ jobId }) => jobs.cancel(jobId),
    'jobs.wait': ({ jobId }) => jobs.settled(jobId),
    'console.attach': ({ guestId }, connection) => connection.attachConsole(guests.get(guestId)),
    'console.detach': ({ channel }, connection) => {
      connection.detachConsole(channel)
      return null
    },
    'console.clear': ({ guestId }) => {
      guests.get(guestId).buffer.clear()
      return null
    },
    'console.text': async ({ guestId }) => ({ text: await guests.get(guestId).buffer.text() }),
    'console.log': async ({ guestId, enabled }) => {
      const machine = guests.get(guestId)
      if (!enabled) return { file: await machine.buffer.logTo(null) }
      const folder = join(context.home, 'logs')
      await mkdir(folder, { recursive: true, mode: 0o700 })
      return { file: await machine.buffer.logTo(join(folder, `${guestId}.log`)) }
    },
  }
}

function fromBase64(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length === 0 && text !== '') throw new EngineError('invalid', 'That is not base64.')
  return bytes
}

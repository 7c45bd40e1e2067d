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
  const { guests, library, jobs, files } = context
  return {
    'guests.list': () => ({ guests: guests.list().map((each) => each.summary()), quarantined: library.quarantined() }),
    'guests.create': async ({ config, start }) => {
      const machine = await guests.create(config)
      return { guestId: machine.guestId, job: start ? guests.act(machine.guestId, 'start') : null }
    },
    'guests.update': async ({ guestId, config }) => (await guests.update(guestId, config)).summary(),
    'guests.clone': async ({ guestId, name }) => ({ guestId: (await guests.clone(guestId, name)).guestId }),
    'guests.delete': async ({ guestId }) => ({ undo: await guests.remove(guestId) }),
    'guests.undelete': async ({ guestId }) => ({ guestId: (await guests.restore(guestId)).guestId }),
    'guests.act': ({ guestId, action }) => guests.act(guestId, action),
    'guests.export': async ({ guestId }) => {
      const { name, bytes } = await guests.export(guestId)
      return { name, archive: Buffer.from(bytes).toString('base64') }
    },
    'guests.import': async ({ archive, name }) => ({
      guestId: (await guests.import(fromBase64(archive), name)).guestId,
    }),
    'files.upload': async ({ name, data }) => ({ file: await files.upload(name, fromBase64(data)) }),
    'trash.list': () => library.trash(),
    'trash.empty': async () => ({ removed: await library.emptyTrash() }),
    'jobs.list': () => jobs.list(),
    'jobs.cancel': ({ jobId }) => jobs.cancel(jobId),
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

/** `kennel ls`, `start`, `stop`, `console` and `inspect`: what a running application or server does for this terminal. */
import type { GuestAction, GuestSummary } from '../shared/guest.ts'
import { describeCpu } from './inspect-text.ts'
import { EXIT_FAULT, EXIT_GUEST, EXIT_USAGE, say, UsageError } from './messages.ts'
import { Refused, RemoteClient } from './remote-client.ts'
import { Terminal } from './terminal.ts'

type Remote = (client: RemoteClient, args: readonly string[]) => Promise<number>

/** A command that talks to the engine: connects, and turns refusals into messages. */
function remote(work: Remote): (args: readonly string[]) => Promise<number> {
  return async (args) => {
    let client: RemoteClient | undefined
    try {
      client = await RemoteClient.connect()
      return await work(client, args)
    } catch (error) {
      if (!(error instanceof UsageError || error instanceof Refused)) throw error
      say(error.message)
      return error instanceof UsageError ? EXIT_USAGE : EXIT_FAULT
    } finally {
      client?.close()
    }
  }
}

function takeFlag(args: readonly string[], flag: string): { rest: string[]; given: boolean } {
  return { rest: args.filter((each) => each !== flag), given: args.includes(flag) }
}

function oneName(command: string, args: readonly string[]): string {
  const [name, more] = args
  if (name === undefined || more !== undefined || name.startsWith('-')) {
    throw new UsageError(`Write “kennel ${command} NAME”. “kennel ls” lists the guests.`)
  }
  return name
}

export const lsCommand = remote(async (client, args) => {
  const { rest, given: json } = takeFlag(args, '--json')
  if (rest.length > 0) throw new UsageError('Write “kennel ls” or “kennel ls --json”.')
  const { guests, quarantined } = await client.request('guests.list', {})
  if (json) {
    process.stdout.write(`${JSON.stringify(guests, null, 2)}\n`)
    return 0
  }
  process.stdout.write(table(guests))
  for (const { folder, problem } of quarantined) say(`the guest in “${folder}” cannot be used: ${problem}`)
  return 0
})

function table(guests: readonly GuestSummary[]): string {
  const rows = guests.map((guest) => [
    guest.config.name,
    guest.state,
    guest.state === 'running' ? `${Math.round(guest.cpuShare * 100)} %` : '',
    guest.memoryUsed > 0 ? `${(guest.memoryUsed / 1048576).toFixed(1)} MiB` : '',
    guest.reason ?? '',
  ])
  const all = [['NAME', 'STATE', 'CPU', 'MEMORY', ''], ...rows]
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => row[column].length)))
  return all.map((row) => `${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')}`.trimEnd() + '\n').join('')
}

/** Starts an action's job and waits for its end. */
async function act(client: RemoteClient, name: string, action: GuestAction): Promise<number> {
  const guest = await client.guest(name)
  const ended = new Map<string, string | null>()
  let wake = (): void => {}
  client.on('job', (job) => {
    if (job.state === 'running') return
    ended.set(job.id, job.error)
    wake()
  })
  const { id } = await client.request('guests.act', { guestId: guest.id, action })
  while (!ended.has(id)) await new Promise<void>((resolve) => (wake = resolve))
  const error = ended.get(id) ?? null
  if (error === null) return 0
  say(error)
  return EXIT_FAULT
}

export const startCommand = remote((client, args) => act(client, oneName('start', args), 'start'))

export const stopCommand = remote((client, args) => {
  const { rest, given: force } = takeFlag(args, '--force')
  return act(client, oneName('stop', rest), force ? 'forceOff' : 'stop')
})

export const consoleCommand = remote(async (client, args) => {
  const guest = await client.guest(oneName('console', args))
  const terminal = new Terminal()
  return new Promise<number>((resolve) => {
    const finish = (status: number): void => {
      terminal.close()
      resolve(status)
    }
    client.onClose = () => finish(EXIT_FAULT)
    process.stdout.on('error', () => finish(0))
    client.on('guest', ({ id, state, reason }) => {
      if (id !== guest.id || !['stopped', 'crashed'].includes(state)) return
      if (state === 'crashed') say(`${guest.config.name} crashed: ${reason ?? ''}`)
      finish(state === 'crashed' ? EXIT_GUEST : 0)
    })
    void client
      .console(guest.id, (bytes, done) => process.stdout.write(bytes, done))
      .then((send) => {
        if (terminal.interactive) say(`attached to ${guest.config.name}; Ctrl-] leaves`)
        terminal.open(send, () => finish(0))
      })
      .catch((error: unknown) => {
        say(error instanceof Error ? error.message : String(error))
        finish(EXIT_FAULT)
      })
  })
})

export const inspectCommand = remote(async (client, args) => {
  const { rest, given: json } = takeFlag(args, '--json')
  const [text, more] = rest
  if (text === undefined || more !== undefined || !/^\d+$/.test(text)) {
    throw new UsageError('Write “kennel inspect CPU”, with the number of a host CPU.')
  }
  const snapshot = await client.request('inspect.cpu', { cpu: Number(text) })
  process.stdout.write(json ? `${JSON.stringify(snapshot, null, 2)}\n` : describeCpu(snapshot))
  return 0
})

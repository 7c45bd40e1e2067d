/**
 * `kennel bench app`: what a person notices of the application. The engine is the real child process, asked as a front asks it.
 *
 *   start to prompt      from the engine's start to pup's prompt in a console, milliseconds
 *   console throughput   a guest printing a disk, to a front that acknowledges, megabytes a second
 *   echo                 from a key to its echo in the console, milliseconds (median, worst of a hundredth)
 *   inspector cost       how much slower a busy guest is while the inspector looks at it ten times a second, per cent
 *   memory               of the engine's process with 1 and with 8 guests, megabytes
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RemoteClient } from '../src/cli/remote-client.ts'
import type { CpuSnapshot } from '../src/shared/inspect.ts'
import { EngineProcess } from '../src/web/engine-process.ts'

export interface AppResult {
  readonly name: string
  readonly value: number
  readonly unit: string
}

const FLOOD_BYTES = 16 << 20
const KEYS = 300
/** Many short turns: a machine's speed wanders more from one second to the next than an inspector costs. */
const INSPECTED_MS = 1000
const INSPECT_ROUNDS = 15

/** A console that is only listened to. */
class Listener {
  text = ''
  bytes = 0
  send: (text: string) => void = () => {}
  private wake = (): void => {}

  static async open(client: RemoteClient, guestId: string): Promise<Listener> {
    const listener = new Listener()
    const send = await client.console(guestId, (chunk, done) => {
      listener.bytes += chunk.length
      listener.text = (listener.text + Buffer.from(chunk).toString('latin1')).slice(-4096)
      done()
      listener.wake()
    })
    listener.send = (text) => send(new TextEncoder().encode(text))
    return listener
  }

  async until(done: () => boolean): Promise<void> {
    while (!done()) await new Promise<void>((resolve) => (this.wake = resolve))
  }

  prompt(): Promise<void> {
    return this.until(() => this.text.endsWith('pup$ '))
  }
}

const pup = (name: string, disks: { file: string; readOnly: boolean }[] = []) => ({
  config: { name, kind: 'pup' as const, memory: 16, disks },
  start: true,
})

const round = (value: number): number => Math.round(value * 100) / 100

export async function benchApp(root: string, report: (result: AppResult) => void): Promise<readonly AppResult[]> {
  const home = mkdtempSync(join(tmpdir(), 'kennel-bench-'))
  const results: AppResult[] = []
  const add = (name: string, value: number, unit: string): void => {
    const result = { name, value: round(value), unit }
    results.push(result)
    report(result)
  }
  const engine = new EngineProcess({
    entry: join(root, 'out', 'engine', 'entry.mjs'),
    env: { ...process.env, KENNEL_HOME: home },
  })
  try {
    const started = performance.now()
    await engine.start()
    const client = await RemoteClient.connect(home)
    add('engine ready', performance.now() - started, 'ms')
    const disk = join(home, 'flood.img')
    writeFileSync(disk, Buffer.alloc(FLOOD_BYTES, 'a line of sixty-four bytes, as a console has many of them......\n'))
    const created = performance.now()
    const { guestId } = await client.request('guests.create', pup('one', [{ file: disk, readOnly: true }]))
    const console_ = await Listener.open(client, guestId)
    await console_.prompt()
    add('click to prompt', performance.now() - created, 'ms')
    add('start to prompt', performance.now() - started, 'ms')

    const memory = async (): Promise<number> => (await onceStats(client)).engineRss / 1e6
    add('engine memory, 1 guest', await memory(), 'MB')

    await echo(console_, add)
    await flood(console_, add)
    await inspector(client, console_, add)

    for (const name of ['two', 'three', 'four', 'five', 'six', 'seven', 'eight']) {
      const { guestId: id } = await client.request('guests.create', pup(name))
      await (await Listener.open(client, id)).prompt()
    }
    add('engine memory, 8 guests', await memory(), 'MB')
    client.close()
  } finally {
    await engine.stop()
    rmSync(home, { recursive: true, force: true })
  }
  return results
}

async function echo(console_: Listener, add: (name: string, value: number, unit: string) => void): Promise<void> {
  const times: number[] = []
  for (let i = 0; i < KEYS; i++) {
    const before = console_.bytes
    const start = performance.now()
    console_.send('x')
    await console_.until(() => console_.bytes > before)
    times.push(performance.now() - start)
  }
  console_.send('\x15')
  times.sort((a, b) => a - b)
  add('echo, median', median(times), 'ms')
  add('echo, slowest of a hundred', times[Math.floor(times.length * 0.99)], 'ms')
}

async function flood(console_: Listener, add: (name: string, value: number, unit: string) => void): Promise<void> {
  const before = console_.bytes
  const start = performance.now()
  console_.send('cat /dev/vda\n')
  await console_.until(() => console_.bytes - before > FLOOD_BYTES)
  await console_.prompt()
  add('console throughput', (console_.bytes - before) / 1e3 / (performance.now() - start), 'MB/s')
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]
}

/** Alternately with and without an inspector; guest instructions by the machine's own count. */
async function inspector(
  client: RemoteClient,
  console_: Listener,
  add: (name: string, value: number, unit: string) => void,
): Promise<void> {
  console_.send('loop 600 &\nloop 600 &\n')
  await new Promise((resolve) => setTimeout(resolve, 500))
  const cpus = [0, 1]
  const retired = async (): Promise<number> => {
    const all: CpuSnapshot[] = []
    for (const cpu of cpus) all.push(await client.request('inspect.cpu', { cpu }))
    return all.reduce((sum, each) => sum + each.retired, 0)
  }
  const rate = async (): Promise<number> => {
    const [before, start] = [await retired(), performance.now()]
    await new Promise((resolve) => setTimeout(resolve, INSPECTED_MS))
    return ((await retired()) - before) / (performance.now() - start)
  }
  const [plain, inspected]: [number[], number[]] = [[], []]
  for (let n = 0; n < INSPECT_ROUNDS; n++) {
    plain.push(await rate())
    // What an open inspector asks for: registers and rates ten times a second, tables and code twice.
    await client.request('inspect.subscribe', { cpu: 0, hz: 10 })
    await client.request('stats.subscribe', { hz: 10 })
    let since = 0
    const timers = [
      setInterval(
        () => void client.request('inspect.timeline', { since, max: 5000 }).then(({ next }) => (since = next)),
        100,
      ),
      setInterval(() => {
        void client.request('inspect.tables', { cpu: 0 })
        void client.request('inspect.disassemble', {
          space: { kind: 'cpuVirtual', cpu: 0 },
          address: 0xc0100000,
          count: 30,
        })
      }, 500),
    ]
    inspected.push(await rate())
    timers.forEach(clearInterval)
    await client.request('inspect.subscribe', { cpu: 0, hz: 0 })
    await client.request('stats.subscribe', { hz: 0 })
  }
  add('inspector cost', (1 - median(inspected) / median(plain)) * 100, '%')
}

/** One statistics event. */
async function onceStats(client: RemoteClient): Promise<{ engineRss: number }> {
  const came = new Promise<{ engineRss: number }>((resolve) => client.on('stats', resolve))
  await client.request('stats.subscribe', { hz: 10 })
  const stats = await came
  await client.request('stats.subscribe', { hz: 0 })
  return stats
}

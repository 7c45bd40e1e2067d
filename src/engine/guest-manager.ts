/**
 * All guests: the library's records, their machines, and what can be done with them. Every action is a job; what it cannot do it refuses
 * with a sentence.
 */
import { basename, isAbsolute } from 'node:path'
import { ACTION_FROM, type GuestAction, type GuestConfig, type GuestSummary, type TrashEntry } from '../shared/guest.ts'
import type { Job } from '../shared/protocol.ts'
import { MIB } from '../emu/layout/memory.ts'
import { type GuestExit, UnusableImageError } from '../emu/index.ts'
import { GuestArchive, packGuest } from './archive.ts'
import type { EmulatedHost, GuestDirectory } from './emulated-host.ts'
import { EngineError, toProtocolError } from './errors.ts'
import { FileDisk } from './file-disk.ts'
import { portableName } from './file-names.ts'
import type { GuestFiles } from './guest-files.ts'
import type { GuestLibrary, GuestRecord } from './guest-library.ts'
import { GuestMachine } from './guest-machine.ts'
import type { GuestIdentity } from './inspect/target.ts'
import type { JobContext, Jobs } from './jobs.ts'
import type { Log } from './log.ts'
import type { RunningGuest } from '../emu/index.ts'

/** How long a guest may take to power off before it is turned off. */
const STOP_PATIENCE_MS = 5000
/** Leaves whatever runs in pup's shell, then powers off. */
const PUP_POWEROFF = '\x03\x03\npoweroff\n'

export interface ManagerEvents {
  changed(guest: GuestSummary): void
  removed(guestId: string): void
  notice(level: 'info' | 'warn' | 'error', text: string, guestId: string | null): void
  bell(guestId: string): void
}

export class GuestManager implements GuestDirectory {
  private readonly library: GuestLibrary
  private readonly files: GuestFiles
  private readonly jobs: Jobs
  private readonly log: Log
  private readonly events: ManagerEvents
  private readonly machines = new Map<string, GuestMachine>()
  private readonly host: () => EmulatedHost
  private scrollback: number

  constructor(
    parts: {
      library: GuestLibrary
      files: GuestFiles
      jobs: Jobs
      log: Log
      host: () => EmulatedHost
      scrollback: number
    },
    events: ManagerEvents,
  ) {
    this.library = parts.library
    this.files = parts.files
    this.jobs = parts.jobs
    this.log = parts.log
    this.host = parts.host
    this.scrollback = parts.scrollback
    this.events = events
    for (const record of this.library.list()) this.add(record)
  }

  // --- finding -----------------------------------------------------------------------------------------------------------

  list(): GuestMachine[] {
    return [...this.machines.values()]
  }

  get(guestId: string): GuestMachine {
    const machine = this.machines.get(guestId)
    if (machine === undefined) throw new EngineError('notFound', `There is no guest with the id ${guestId}.`)
    return machine
  }

  byTask(task: number): GuestIdentity | null {
    return this.list().find((machine) => machine.running?.task === task) ?? null
  }

  running(guestId: string): RunningGuest | null {
    return this.machines.get(guestId)?.running ?? null
  }

  setScrollback(lines: number): void {
    this.scrollback = lines
    for (const machine of this.machines.values()) machine.buffer.setScrollback(lines)
  }

  // --- the library ---------------------------------------------------------------------------------------------------------

  async create(config: GuestConfig): Promise<GuestMachine> {
    const { id } = await this.library.create({ ...config, kernel: '', initrd: '', symbols: '', disks: [] })
    const record = await this.orNothing(id, async () => {
      const { name } = this.library.get(id).config
      return this.library.update(id, await this.files.adopt(id, { ...config, name }))
    })
    const machine = this.add(record)
    this.events.changed(machine.summary())
    return machine
  }

  async update(guestId: string, config: GuestConfig): Promise<GuestMachine> {
    const machine = this.get(guestId)
    // Before any file is moved: a form that is refused can be sent again.
    this.library.assertNameFree(config.name, guestId)
    machine.record = await this.library.update(guestId, await this.files.adopt(guestId, config))
    this.events.changed(machine.summary())
    return machine
  }

  clone(guestId: string, name?: string): Job {
    const machine = this.get(guestId)
    this.assertUnwritten(machine)
    const work = async ({ signal, progress, about }: JobContext): Promise<void> => {
      const { config } = machine.record
      const record = await this.library.create({ ...config, name: name ?? this.library.freeName(config.name) })
      await this.orNothing(record.id, async () => {
        const copied = parts(await this.files.ownSize(guestId), progress)
        const own = {
          ...(await this.files.copyFiles(guestId, record.id, config, { signal, copied })),
          name: record.config.name,
        }
        await this.library.update(record.id, own)
      })
      about(record.id)
      this.events.changed(this.add(this.library.get(record.id)).summary())
    }
    const title = `Clone ${machine.name}`
    return this.jobs.start(title, { cancellable: true }, (job) => machine.whileBusy('being copied', () => work(job)))
  }

  async remove(guestId: string): Promise<TrashEntry> {
    const machine = this.get(guestId)
    if (machine.alive) throw new EngineError('badState', `“${machine.name}” is ${machine.state}. Stop it first.`)
    machine.assertIdle()
    return machine.whileBusy('being deleted', async () => {
      await machine.buffer.logTo(null)
      const entry = await this.library.remove(guestId)
      this.machines.delete(guestId)
      await machine.buffer.dispose()
      this.events.removed(guestId)
      return entry
    })
  }

  async restore(guestId: string): Promise<GuestMachine> {
    const machine = this.add(await this.library.restore(guestId))
    this.events.changed(machine.summary())
    return machine
  }

  /** What its archive is called. */
  archiveName(guestId: string): string {
    return portableName(`${this.get(guestId).name}.kennel`)
  }

  /** Packs a guest into a new file; `packed` is called when it is whole. */
  export(guestId: string, path: string, packed: () => void): Job {
    const machine = this.get(guestId)
    this.assertUnwritten(machine)
    const work = async ({ signal, progress }: JobContext): Promise<void> => {
      const guest = await this.files.toPack(guestId)
      await packGuest(path, guest, { signal, copied: parts(guest.size, progress) })
      packed()
    }
    return this.jobs.start(`Export ${machine.name}`, { guestId, cancellable: true }, (job) =>
      machine.whileBusy('being exported', () => work(job)),
    )
  }

  /** Makes a guest of an archive. It is never started by itself. */
  import(file: string, name?: string): Job {
    if (!isAbsolute(file)) throw new EngineError('invalid', 'An archive is named by its whole path.')
    return this.jobs.start(`Import ${basename(file)}`, { cancellable: true }, async (job) => {
      try {
        await this.unpack(file, name, job)
      } finally {
        await this.files.unstage(file)
      }
    })
  }

  private async unpack(file: string, name: string | undefined, { signal, progress, about }: JobContext): Promise<void> {
    const archive = await openArchive(file)
    try {
      const { config } = archive
      const wanted = this.library.freeName(name ?? config.name)
      const record = await this.library.create({ ...config, name: wanted })
      await this.orNothing(record.id, async () => {
        const copied = parts(archive.size, progress)
        const own = { ...(await this.files.unpack(record.id, archive, { signal, copied })), name: record.config.name }
        await this.library.update(record.id, own)
      })
      about(record.id)
      this.events.changed(this.add(this.library.get(record.id)).summary())
    } finally {
      await archive.close()
    }
  }

  /** Refuses to read disks that a running guest writes. */
  private assertUnwritten(machine: GuestMachine): void {
    if (machine.alive && machine.record.config.disks.some((disk) => !disk.readOnly)) {
      throw new EngineError('badState', `Stop “${machine.name}” first: its disk is being written.`)
    }
    if (machine.busy.includes('being deleted')) machine.assertIdle()
  }

  /** A new guest is whole or is not there. */
  private async orNothing<T>(guestId: string, make: () => Promise<T>): Promise<T> {
    try {
      return await make()
    } catch (error) {
      await this.library.discard(guestId)
      throw error
    }
  }

  // --- actions ---------------------------------------------------------------------------------------------------------------

  /** Starts a job. Throws badState when the guest's state does not allow the action. */
  act(guestId: string, action: GuestAction): Job {
    const machine = this.get(guestId)
    if (!ACTION_FROM[action].includes(machine.state)) {
      throw new EngineError('badState', `“${machine.name}” is ${machine.state}: it cannot ${ACTION_WORDS[action]} now.`)
    }
    if (action !== 'start' || machine.alive) this.host().assertRunning()
    if (action === 'start' || action === 'restart') machine.assertIdle()
    const title = `${ACTION_TITLES[action]} ${machine.name}`
    const cancellable = action === 'start' || action === 'stop' || action === 'restart'
    return this.jobs.start(title, { guestId, cancellable }, async ({ signal }) => {
      switch (action) {
        case 'start':
          return this.start(machine, signal)
        case 'pause':
          machine.running?.pause()
          return machine.setState('paused')
        case 'resume':
          machine.running?.resume()
          return machine.setState('running')
        case 'stop':
          return this.stop(machine, signal)
        case 'forceOff':
          return this.forceOff(machine)
        case 'restart':
          if (machine.alive) await this.stop(machine, signal)
          return this.start(machine, signal)
      }
    })
  }

  private async start(machine: GuestMachine, signal?: AbortSignal): Promise<void> {
    this.host().assertRunning()
    machine.assertIdle()
    machine.setState('starting')
    const starting = new AbortController()
    machine.starting = starting
    const giveUp = (): void => starting.abort()
    signal?.addEventListener('abort', giveUp)
    try {
      await this.launch(machine, starting.signal)
    } catch (error) {
      machine.closeDisks()
      const reason = starting.signal.aborted ? 'turned off' : error instanceof Error ? error.message : String(error)
      machine.setState('stopped', reason)
      throw error instanceof UnusableImageError ? new EngineError('unusable', reason) : error
    } finally {
      signal?.removeEventListener('abort', giveUp)
      machine.starting = null
    }
  }

  private async launch(machine: GuestMachine, signal: AbortSignal): Promise<void> {
    const { config } = machine.record
    const { kernel, initrd, symbols } = await orAborted(this.files.bootFiles(machine.guestId, signal), signal)
    machine.symbols = symbols
    for (const { file, readOnly } of config.disks) {
      const disk = new FileDisk(this.library.resolveFile(machine.guestId, file), readOnly)
      machine.disks.push(disk)
      this.assertDiskFree(machine, disk)
    }
    machine.running = this.host().startGuest({
      name: config.name,
      kernel,
      initrd,
      append: config.append,
      memory: config.memory * MIB,
      disks: machine.disks,
      net: config.net,
      console: { write: (bytes) => machine.buffer.write(bytes), room: () => machine.buffer.room() },
      onExit: (exit) => this.ended(machine, exit),
    })
    this.log.info('guest', `${machine.name} started`)
    machine.setState('running')
  }

  /** Two that write to one file destroy it, whatever they call it. */
  private assertDiskFree(machine: GuestMachine, disk: FileDisk): void {
    for (const other of this.machines.values()) {
      for (const open of other.disks) {
        if (open === disk || open.identity !== disk.identity || (open.readOnly && disk.readOnly)) continue
        if (other === machine) {
          throw new EngineError(
            'unusable',
            `“${machine.name}” has the disk ${disk.path} twice. Edit it and remove one.`,
          )
        }
        throw new EngineError('unusable', `The disk ${disk.path} is in use by “${other.name}”. Stop that guest first.`)
      }
    }
  }

  private ended(machine: GuestMachine, exit: GuestExit): void {
    const level = exit.kind === 'killed' || exit.kind === 'crashed' ? 'error' : 'info'
    this.log.write(level, 'guest', `${machine.name}: ${exit.reason}`)
    if (exit.kind === 'restart' && machine.state !== 'stopping') return this.startAgain(machine)
    machine.ended(exit)
    if (level === 'error') {
      const what = exit.kind === 'killed' ? 'was killed by the hypervisor' : 'crashed'
      this.events.notice('error', `“${machine.name}” ${what}: ${exit.reason}`, machine.guestId)
    }
  }

  /** The guest asked for it: `reboot`. */
  private startAgain(machine: GuestMachine): void {
    const typed = machine.running?.takeUnread()
    machine.running = null
    machine.closeDisks()
    machine.buffer.mark(`${machine.name} restarts`)
    this.jobs.start(`Restart ${machine.name}`, { guestId: machine.guestId }, async () => {
      await this.start(machine)
      if (typed !== undefined) machine.input(typed)
    })
  }

  /** Asks the guest to power off, and turns it off when it does not. Cancelled, the guest goes on unless it has already obeyed. */
  private async stop(machine: GuestMachine, signal: AbortSignal): Promise<void> {
    if (machine.state === 'paused') machine.running?.resume()
    machine.setState('stopping')
    // Only of pup is it known how to ask.
    if (machine.record.config.kind !== 'pup') return this.forceOff(machine)
    machine.running?.type(new TextEncoder().encode(PUP_POWEROFF))
    const timer = setTimeout(() => {
      this.events.notice('warn', `“${machine.name}” did not power off and was turned off.`, machine.guestId)
      machine.running?.stop()
    }, STOP_PATIENCE_MS)
    try {
      await machine.until(() => !machine.alive, signal)
    } finally {
      clearTimeout(timer)
      if (machine.state === 'stopping') machine.setState('running')
    }
  }

  private async forceOff(machine: GuestMachine): Promise<void> {
    // While its files are read there is nothing to turn off, and reading may take for ever.
    machine.starting?.abort()
    await machine.until(() => machine.state !== 'starting')
    machine.running?.stop()
    await machine.until(() => !machine.alive)
  }

  // --- the whole host ----------------------------------------------------------------------------------------------------------

  /** Turns every guest off. */
  async stopAll(): Promise<void> {
    await Promise.all(this.list().map((machine) => (machine.alive ? this.forceOff(machine) : undefined)))
  }

  /** The host is gone, and every guest in it. One whose files are being read comes into the next host. */
  hostFailed(reason: string): void {
    for (const machine of this.machines.values()) {
      if (machine.running !== null) machine.ended({ kind: 'crashed', reason })
    }
  }

  private add(record: GuestRecord): GuestMachine {
    const machine = new GuestMachine(record, this.scrollback, (each) => this.events.changed(each.summary()))
    machine.buffer.onBell = () => this.events.bell(machine.guestId)
    machine.buffer.onLogFailed = (path, error) => {
      const text = `The console of “${machine.name}” is no longer written to ${path}: ${toProtocolError(error).message}`
      this.log.warn('console', text)
      this.events.notice('warn', text, machine.guestId)
    }
    this.machines.set(record.id, machine)
    return machine
  }
}

/** Progress of a job by the bytes done so far. */
function parts(total: number, progress: (fraction: number) => void): (bytes: number) => void {
  let done = 0
  let told = 0
  return (bytes) => {
    done += bytes
    // A hundred steps are enough for anybody.
    if (total <= 0 || (done - told) / total < 0.01) return
    told = done
    progress(done / total)
  }
}

/** Rejects as soon as the signal fires, also when the work does not notice: a network disk may not answer for ever. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = new Promise<never>((_resolve, reject) => {
    const cancelled = (): void => reject(new EngineError('cancelled', 'It was turned off.'))
    if (signal.aborted) cancelled()
    else signal.addEventListener('abort', cancelled, { once: true })
  })
  return Promise.race([work, aborted])
}

/** An archive that is not there, or may not be read, is named by what a person called it. */
async function openArchive(file: string): Promise<GuestArchive> {
  try {
    return await GuestArchive.open(file)
  } catch (error) {
    if (error instanceof EngineError || (error as { code?: string }).code !== 'ENOENT') throw error
    throw new EngineError('unusable', `${basename(file)} does not exist any more.`)
  }
}

const ACTION_TITLES: Readonly<Record<GuestAction, string>> = {
  start: 'Start',
  pause: 'Pause',
  resume: 'Resume',
  stop: 'Stop',
  forceOff: 'Turn off',
  restart: 'Restart',
}

const ACTION_WORDS: Readonly<Record<GuestAction, string>> = {
  start: 'be started',
  pause: 'be paused',
  resume: 'be resumed',
  stop: 'be stopped',
  forceOff: 'be turned off',
  restart: 'be restarted',
}

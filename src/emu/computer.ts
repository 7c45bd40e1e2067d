/**
 * The computer: machine, Host kernel, hypervisor, and a launcher for each guest. It is the one door for the programs around the emulator
 * (command line, engine); everything behind it can also be looked at directly, but only be changed through here.
 *
 * A Computer does nothing by itself: its owner calls run() again and again, and sleeps for as long as run() says nothing will happen.
 */
import { HostKernel } from './host/kernel.ts'
import type { BlockBackend } from './launcher/block-backend.ts'
import { ConsolePort, type ConsoleSink } from './launcher/console-port.ts'
import type { Device } from './launcher/device.ts'
import { BlockDevice } from './launcher/devices/block.ts'
import { ConsoleDevice } from './launcher/devices/console.ts'
import { NetDevice } from './launcher/devices/net.ts'
import { RngDevice, seededRandom } from './launcher/devices/rng.ts'
import { EraALauncher } from './launcher/era-a.ts'
import { EraCLauncher } from './launcher/era-c.ts'
import { sizeText, UnusableImageError } from './launcher/errors.ts'
import { type GuestExit, Launcher, type LauncherEra } from './launcher/launcher.ts'
import { loadKernel } from './launcher/load-kernel.ts'
import { EthernetSwitch, guestMac, type SwitchPort } from './launcher/switch.ts'
import { type Traffic, TrafficCounter } from './launcher/traffic.ts'
import { MIB } from './layout/memory.ts'
import { PAGE_SIZE } from './layout/x86.ts'
import type { Guest } from './lguest/guest.ts'
import type { Hypervisor } from './lguest/hypervisor.ts'
import { loadLguest } from './lguest/lguest-device.ts'
import { collectStats, type LguestStatistics } from './lguest/stats.ts'
import { type Clock, VirtualClock, WallClock } from './machine/clock.ts'
import { LockstepExecutor, type SliceOutcome } from './machine/lockstep.ts'
import { Machine } from './machine/machine.ts'
import { stateHash } from './machine/state-hash.ts'

export const MIN_HOST_RAM = 64 * MIB
export const MAX_HOST_RAM = 2048 * MIB
export const DEFAULT_HOST_RAM = 512 * MIB
export const DEFAULT_CPUS = 2

export interface ComputerOptions {
  /** 1 to 8; 2 when not given. */
  readonly cpus?: number
  /** Bytes, 64 MiB to 2 GiB; 512 MiB when not given. */
  readonly ramSize?: number
  /** 'virtual': the same inputs give the same run. Otherwise a source of real nanoseconds that never goes back. */
  readonly clock: 'virtual' | (() => number)
  /** Nanoseconds since 1970 when the machine is switched on; 0 when not given. */
  readonly bootTime?: number
  readonly copy?: 'elide' | 'always'
  /** Where guests' random numbers come from; a fixed sequence when not given. */
  readonly random?: (length: number) => Uint8Array
}

export interface GuestFile {
  /** For messages. */
  readonly name: string
  readonly bytes: Uint8Array
}

export interface GuestOptions {
  readonly name: string
  readonly kernel: GuestFile
  readonly initrd?: GuestFile | undefined
  /** Kernel command line. */
  readonly append?: string
  /** Bytes, a multiple of 4 KiB. */
  readonly memory: number
  readonly disks?: readonly BlockBackend[]
  readonly net?: 'none' | 'switch'
  readonly console: ConsoleSink
  /** The guest is over, and everything it had has been given back. */
  readonly onExit: (exit: GuestExit) => void
  /** Mask of host CPUs. */
  readonly affinity?: number
  /** Which interface its kernel speaks; C when not given. */
  readonly era?: 'A' | 'C'
}

/** A guest that runs. */
export interface RunningGuest {
  readonly name: string
  /** Console input. Kept until the guest reads it. */
  type(bytes: Uint8Array): void
  /** The console's sink has room again. */
  drained(): void
  pause(): void
  resume(): void
  readonly paused: boolean
  /** Ends it at once. */
  stop(): void
  /** Moves it to a host CPU. */
  migrate(cpu: number): void
  /** The hypervisor's Guest; null before the launcher has made it and after it is gone. */
  readonly lguest: Guest | null
  /** Number of the vCPU task. */
  readonly task: number
  /** Bytes typed that the guest has not read. */
  readonly waitingInput: number
  /** What its disks and network card have moved since it started. */
  readonly traffic: Traffic
  /** Those bytes, for whoever comes after it. */
  takeUnread(): Uint8Array
}

/** `--stats` and the inspector: everything since the machine was switched on. */
export interface ComputerStatistics extends LguestStatistics {
  readonly instructions: number
}

export class Computer {
  readonly machine: Machine
  readonly kernel: HostKernel
  readonly hypervisor: Hypervisor
  readonly executor: LockstepExecutor
  readonly network: EthernetSwitch
  private readonly random: (length: number) => Uint8Array
  /** Numbers of guests by name, which their network addresses are made of: one that is started again keeps its own. */
  private readonly numbers: Map<string, number>
  private readonly running: Set<number>
  private nextNumber: number

  /** Switches a computer on. RangeError for sizes it cannot have. */
  constructor(options: ComputerOptions) {
    const { cpus = DEFAULT_CPUS, ramSize = DEFAULT_HOST_RAM } = options
    if (!(Number.isInteger(cpus) && cpus >= 1 && cpus <= 8)) {
      throw new RangeError(`A host has 1 to 8 CPUs, not ${cpus}.`)
    }
    if (!(ramSize >= MIN_HOST_RAM && ramSize <= MAX_HOST_RAM && ramSize % (4 * MIB) === 0)) {
      throw new RangeError(`A host has 64 MiB to 2048 MiB of memory, in steps of 4 MiB, not ${ramSize / MIB} MiB.`)
    }
    const clock: Clock = options.clock === 'virtual' ? new VirtualClock() : new WallClock(options.clock)
    this.machine = new Machine({ cpus, ramSize, clock })
    this.kernel = new HostKernel(this.machine)
    this.hypervisor = loadLguest(this.kernel, options.bootTime ?? 0)
    this.hypervisor.copyMode = options.copy ?? 'elide'
    this.executor = new LockstepExecutor(this.machine)
    this.network = new EthernetSwitch()
    this.random = options.random ?? seededRandom(1)
    this.numbers = new Map()
    this.running = new Set()
    this.nextNumber = 1
  }

  /** Makes a guest and lets it run. Throws UnusableImageError, whose message is for a person. */
  startGuest(options: GuestOptions): RunningGuest {
    const { era = 'C', memory, name } = options
    if (!(memory > 0 && memory % PAGE_SIZE === 0)) {
      throw new UnusableImageError(
        'memory-size',
        `Guest memory is counted in pages of 4 KiB; ${memory} bytes are no whole number of them.`,
      )
    }
    const hostMemory = this.machine.phys.size
    if (memory > hostMemory) {
      throw new UnusableImageError(
        'host-memory',
        `A guest of ${sizeText(memory)} is larger than its host of ${sizeText(hostMemory)}; ` +
          'give the guest less (--memory) or the host more (--host-ram).',
      )
    }
    const image = loadKernel(options.kernel.bytes, { name: options.kernel.name, memory, era })
    const boot = { memory, commandLine: options.append ?? '', initrd: options.initrd }
    const port = new ConsolePort(options.console)
    const traffic = new TrafficCounter()
    const number = this.numberOf(name)
    let launcher: Launcher | undefined = undefined
    let network: SwitchPort | undefined
    if (options.net === 'switch') {
      network = this.network.attach(() => launcher?.news())
      traffic.network(network)
    }
    let launcherEra: LauncherEra
    try {
      launcherEra =
        era === 'A'
          ? new EraALauncher(image, boot)
          : new EraCLauncher(image, boot, this.devices(options, port, number, network, traffic))
    } catch (error) {
      network?.detach()
      throw error
    }
    const started = new Launcher(this.kernel, {
      name,
      era: launcherEra,
      console: port,
      onExit: (exit) => {
        network?.detach()
        this.running.delete(number)
        options.onExit(exit)
      },
    })
    launcher = started
    if (!started.start(options.affinity)) {
      network?.detach()
      throw new UnusableImageError(
        'host-memory',
        `There is no memory left in the host for “${name}”. Stop another guest, or give the host more memory.`,
      )
    }
    this.running.add(number)
    return new Handle(this, started, port, traffic)
  }

  private numberOf(name: string): number {
    const known = this.numbers.get(name)
    if (known !== undefined && !this.running.has(known)) return known
    const number = this.nextNumber++
    this.numbers.set(name, number)
    return number
  }

  private devices(
    options: GuestOptions,
    port: ConsolePort,
    number: number,
    network: SwitchPort | undefined,
    traffic: TrafficCounter,
  ): readonly Device[] {
    const disks = (options.disks ?? []).map(
      (disk, i) => new BlockDevice(`vd${String.fromCharCode(97 + i)}`, traffic.disk(disk)),
    )
    const devices: Device[] = [new ConsoleDevice(port), ...disks, new RngDevice((length) => this.random(length))]
    if (network !== undefined) devices.push(new NetDevice(guestMac(number), network))
    return devices
  }

  /** Runs while `more` says so; returns early when nothing can run, or a CPU was asked to stop. */
  run(more: () => boolean): SliceOutcome {
    return this.executor.runWhile(more)
  }

  /** Runs about `instructions` on each CPU. */
  runSlice(instructions: number): SliceOutcome {
    return this.executor.runSlice(instructions)
  }

  get copyMode(): 'elide' | 'always' {
    return this.hypervisor.copyMode
  }
  /** Takes effect at the next world switch. */
  set copyMode(mode: 'elide' | 'always') {
    this.hypervisor.copyMode = mode
  }

  statistics(): ComputerStatistics {
    const instructions = this.machine.cpus.reduce((sum, cpu) => sum + cpu.retired, 0)
    return { instructions, ...collectStats(this.hypervisor) }
  }

  /** Equal for equal runs under the virtual clock. */
  stateHash(): string {
    return stateHash(this.machine)
  }
}

class Handle implements RunningGuest {
  private readonly computer: Computer
  private readonly launcher: Launcher
  private readonly port: ConsolePort
  private readonly counter: TrafficCounter

  constructor(computer: Computer, launcher: Launcher, port: ConsolePort, counter: TrafficCounter) {
    this.counter = counter
    this.computer = computer
    this.launcher = launcher
    this.port = port
  }

  get name(): string {
    return this.launcher.name
  }
  get task(): number {
    return this.launcher.vcpuTask
  }
  get waitingInput(): number {
    return this.port.waiting
  }
  get traffic(): Traffic {
    return this.counter.now
  }
  takeUnread(): Uint8Array {
    return this.port.takeInput(this.port.waiting)
  }
  get paused(): boolean {
    return this.launcher.paused
  }
  get lguest(): Guest | null {
    return this.computer.hypervisor.allGuests().find((guest) => guest.s.tsk === this.task) ?? null
  }
  type(bytes: Uint8Array): void {
    this.port.type(bytes)
  }
  drained(): void {
    this.port.drained()
  }
  pause(): void {
    this.launcher.pause()
  }
  resume(): void {
    this.launcher.resume()
  }
  stop(): void {
    this.launcher.stop()
  }
  migrate(cpu: number): void {
    this.computer.kernel.scheduler.migrate(this.task, cpu)
  }
}

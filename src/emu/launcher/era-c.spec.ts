/** The launcher of era C by itself: NOTIFY and what it means, on a host of a few lines. */
import { describe, expect, it } from 'vitest'
import { DeviceState, LAUNCHER_PRIVATE, LauncherState } from '../layout/launcher-state.ts'
import { LHREQ } from '../layout/lguest-data.ts'
import { MachineMemory, type PhysMemory } from '../layout/memory.ts'
import { elfImage } from '../testing/elf-image.ts'
import { QueueDriver, string, text } from '../testing/virtio-driver.ts'
import { MemoryDisk } from './block-backend.ts'
import { ConsolePort } from './console-port.ts'
import { BlockDevice } from './devices/block.ts'
import { ConsoleDevice } from './devices/console.ts'
import { EraCLauncher } from './era-c.ts'
import type { LauncherHost, LauncherProgram } from './host-calls.ts'
import { type GuestExit, Launcher } from './launcher.ts'
import { loadKernel } from './load-kernel.ts'

const MIB = 1 << 20
const PAGE = 4096
const MEMORY = 4 * MIB
const LGUEST_FD = 3
const RING_PAGES = 3
/** gpa of the descriptors: the console's, with two queues, and the disk's behind it. */
const CONSOLE = MEMORY
const DISK = MEMORY + 5 + 2 * 8
const ring = (queue: number): number => MEMORY + PAGE + queue * RING_PAGES * PAGE
const DISK_RING = ring(2)

class SmallHost implements LauncherHost {
  readonly mem: PhysMemory = new MachineMemory({ cpus: 1, ramSize: 8 * MIB }).phys
  readonly programs: LauncherProgram[] = []
  readonly writes: number[][] = []
  readonly woken: number[] = []
  readonly closed: number[] = []
  /** Signals of each eventfd that nobody has taken. */
  readonly events = new Map<number, number>()
  private readonly pages = new Map<number, number>()

  spawn(program: LauncherProgram): number {
    return this.programs.push(program)
  }
  userPage(_task: number, hva: number): number {
    const hpa = this.pages.get(hva) ?? (this.pages.size + 1) * PAGE
    this.pages.set(hva, hpa)
    return hpa
  }
  sysOpen(): number {
    return LGUEST_FD
  }
  sysWrite(_task: number, _fd: number, words: readonly number[]): number {
    this.writes.push([...words])
    return 0
  }
  sysClose(_task: number, fd: number): void {
    this.closed.push(fd)
  }
  sysEventfd(): number {
    const fd = 10 + this.events.size
    this.events.set(fd, 0)
    return fd
  }
  takeEvents(_task: number, fd: number): number {
    const count = this.events.get(fd) ?? 0
    this.events.set(fd, 0)
    return count
  }
  wakeUp(task: number): void {
    this.woken.push(task)
  }
  signal(): void {}
}

/** A guest that has been entered, with a console and a disk; its terminal has room for `room` bytes, or for everything. */
function started(room?: number) {
  const host = new SmallHost()
  const terminal = { room, written: '' }
  const port = new ConsolePort({
    write(bytes) {
      terminal.written += string(bytes)
      if (terminal.room !== undefined) terminal.room -= bytes.length
    },
    room: () => terminal.room ?? Infinity,
  })
  const disk = new MemoryDisk(new Uint8Array(8 * 512).fill(0x44))
  const kernel = loadKernel(elfImage(text('code'), MIB), { name: 'vmlinux', memory: MEMORY, era: 'C' })
  const devices = [new ConsoleDevice(port), new BlockDevice('vda', disk)]
  const exits: GuestExit[] = []
  const launcher = new Launcher(host, {
    name: 'guest',
    era: new EraCLauncher(kernel, { memory: MEMORY, commandLine: '' }, devices),
    console: port,
    onExit: (exit) => exits.push(exit),
  })
  expect(launcher.start()).toBe(true)
  const { ram, vcpuTask, ioTask, state } = launcher
  const vcpu = (result: number) => host.programs[vcpuTask - 1].step(vcpuTask, result)
  const io = () => host.programs[ioTask - 1].step(ioTask, 0)
  vcpu(0)

  /** read() returns a NOTIFY nobody else took. */
  function notify(gpa: number) {
    state.$mem.write32(LauncherState.offset.read_buffer, gpa)
    return vcpu(4)
  }
  function status(desc: number, value: number) {
    ram.write8(desc + 4, value)
    return notify(desc)
  }
  /** The hypervisor signals the queue's eventfd: the guest runs on. */
  function kick(queueRing: number): void {
    const [, , fd] = host.writes.find(([request, gpa]) => request === LHREQ.EVENTFD && gpa === queueRing) ?? []
    if (fd === undefined) throw new Error('no eventfd')
    host.events.set(fd, (host.events.get(fd) ?? 0) + 1)
  }
  /** Runs what is left of both tasks, and gives how it ended. */
  function end(): GuestExit {
    vcpu(-4)
    io()
    expect(exits).toHaveLength(1)
    return exits[0]
  }
  const device = (index: number) => DeviceState.at(state.$mem, LauncherState.offset.devices + index * DeviceState.size)
  return { host, terminal, port, exits, launcher, ram, state, vcpu, io, notify, status, kick, end, device }
}

const READ = { call: 'read', fd: LGUEST_FD, address: LAUNCHER_PRIVATE + LauncherState.offset.read_buffer, length: 256 }
const [ACKNOWLEDGE, DRIVER, DRIVER_OK, FAILED] = [1, 2, 4, 0x80]

describe('a device’s status', () => {
  it('starts the device once, with an eventfd for each queue, however many steps are told', () => {
    const { host, status, device } = started()
    host.writes.splice(0)
    expect(status(DISK, ACKNOWLEDGE)).toEqual(READ)
    status(DISK, ACKNOWLEDGE | DRIVER)
    status(DISK, ACKNOWLEDGE | DRIVER | DRIVER_OK)
    expect(host.writes.filter(([request]) => request === LHREQ.EVENTFD)).toEqual([[LHREQ.EVENTFD, DISK_RING, 10]])
    expect([device(0).started, device(1).started]).toEqual([0, 1])
  })

  it('takes those of the features that were offered', () => {
    const { ram, status, device } = started()
    // SEG_MAX and FLUSH are offered, in two bytes; accepted are two bytes of everything.
    const accepted = DISK + 5 + 8 + 2
    ram.writeBytes(accepted, Uint8Array.of(0xff, 0xff))
    status(DISK, ACKNOWLEDGE | DRIVER)
    expect(device(1).features).toBe((1 << 2) | (1 << 9))
    status(DISK, 0)
    expect(device(1).features).toBe(0)
    expect(ram.readBytes(accepted, 2)).toEqual(Uint8Array.of(0, 0))
  })

  it.each([0, FAILED, FAILED | ACKNOWLEDGE | DRIVER])(
    '%i resets it: empty rings, and it can be set up again',
    (value) => {
      const { ram, status, kick, io, device, host } = started()
      status(DISK, ACKNOWLEDGE | DRIVER)
      const header = 0x2000
      const request = (): void => {
        ram.writeBytes(header, new Uint8Array(16))
        const driver = new QueueDriver(ram, DISK_RING, 256)
        driver.add([
          { gpa: header, length: 16 },
          { gpa: 0x3000, length: 512, write: true },
          { gpa: 0x2100, length: 1, write: true },
        ])
        kick(DISK_RING)
        expect(io()).toEqual({ call: 'wait' })
        expect(driver.takeUsed()).toEqual([{ id: 0, len: 513 }])
      }
      request()
      status(DISK, value)
      expect(device(1).started).toBe(0)
      expect(ram.readBytes(DISK_RING, RING_PAGES * PAGE)).toEqual(new Uint8Array(RING_PAGES * PAGE))
      status(DISK, ACKNOWLEDGE | DRIVER)
      request()
      expect(ram.read8(0x3000)).toBe(0x44)
      // Eventfds outlive resets.
      expect(host.writes.filter(([what]) => what === LHREQ.EVENTFD)).toHaveLength(1)
    },
  )

  it('reset while a kick is on its way harms nobody', () => {
    const { status, kick, io, exits, vcpu } = started()
    status(DISK, ACKNOWLEDGE | DRIVER)
    kick(DISK_RING)
    status(DISK, 0)
    expect(io()).toEqual({ call: 'wait' })
    expect(vcpu(-4)).toEqual(READ)
    expect(exits).toEqual([])
  })
})

describe('a NOTIFY that is wrong ends the guest', () => {
  it('of a ring before its set-up', () => {
    const { notify, io, exits, host } = started()
    notify(DISK_RING)
    io()
    const reason = 'virtqueue "disk vda requests" was kicked before its set-up'
    expect(exits).toEqual([{ kind: 'killed', reason }])
    expect(host.closed).toEqual([LGUEST_FD])
  })

  it('of a ring after a reset', () => {
    const { status, kick, io, end } = started()
    status(DISK, ACKNOWLEDGE | DRIVER)
    status(DISK, 0)
    kick(DISK_RING)
    io()
    expect(end().reason).toBe('virtqueue "disk vda requests" was kicked before its set-up')
  })

  it('of an address outside its memory', () => {
    const { notify, io, exits, state } = started()
    notify(state.guest_limit)
    io()
    expect(exits).toEqual([
      { kind: 'killed', reason: `NOTIFY of 0x${state.guest_limit.toString(16)}, outside its memory` },
    ])
  })

  it('and so does a bad chain, whichever device it is given to', () => {
    const { ram, status, kick, io, end } = started()
    status(CONSOLE, ACKNOWLEDGE | DRIVER)
    const driver = new QueueDriver(ram, ring(1), 256)
    driver.add([{ gpa: 0x2000, length: 1, write: true }])
    kick(ring(1))
    io()
    expect(end()).toEqual({
      kind: 'killed',
      reason: 'virtqueue "console output": a writable descriptor in an output queue',
    })
  })
})

describe('early console', () => {
  it('prints up to the NUL, or to the end of memory', () => {
    const { ram, notify, terminal, state } = started()
    ram.writeBytes(0x2ffc, text('hello\0not this'))
    expect(notify(0x2ffc)).toEqual(READ)
    ram.writeBytes(state.guest_limit - 3, text('end'))
    expect(notify(state.guest_limit - 3)).toEqual(READ)
    expect(terminal.written).toBe('helloend')
  })

  it('waits for room, and loses nothing', () => {
    const { ram, notify, vcpu, terminal, launcher, host } = started(4)
    ram.writeBytes(0x2000, text('slowly\0'))
    expect(notify(0x2000)).toEqual({ call: 'wait' })
    expect(terminal.written).toBe('slow')
    terminal.room = 100
    launcher.news()
    expect(host.woken).toContain(launcher.vcpuTask)
    expect(vcpu(0)).toEqual(READ)
    expect(terminal.written).toBe('slowly')
  })
})

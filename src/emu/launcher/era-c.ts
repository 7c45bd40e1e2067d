/**
 * A launcher of era C (Linux 3.1 to 3.19; reference 9, 10.2): kernel at its physical address, boot_params, device page behind RAM, and
 * NOTIFY:
 *
 *      a device's descriptor       its status changed: reset, features accepted, failed
 *      a ring                      only before its eventfd exists: a kick too early, which is fatal
 *      any other address in RAM    early console: the text there
 *      beyond                      fatal
 */
import { LauncherState } from '../layout/launcher-state.ts'
import { DeviceState, GUEST_BASE, VirtqueueState } from '../layout/launcher-state.ts'
import { LHREQ } from '../layout/lguest-data.ts'
import { LguestDeviceDesc, VIRTIO_STATUS, VIRTQUEUE_NUM } from '../layout/virtio.ts'
import { PAGE_SIZE } from '../layout/x86.ts'
import { bootSegments, type BootOptions } from './boot-params.ts'
import type { Device } from './device.ts'
import {
  acceptedFeatures,
  clearAcceptedFeatures,
  type DevicePage,
  type DevicePlace,
  layOutDevices,
} from './device-page.ts'
import { GuestError, hex } from './errors.ts'
import { readString } from './guest-ram.ts'
import type { Launcher, LauncherEra } from './launcher.ts'
import type { KernelImage, KernelSegment } from './load-kernel.ts'
import { Virtqueue } from './virtqueue.ts'

/** Ends of kernels of another kind; the last is a page fault (14) of which cr2 is eip. */
const FOREIGN = [/ before INIT$/, /^bad syscall vector$/, /^unhandled trap 14 at (0x[0-9a-f]+) \(\1\)$/]
const FOREIGN_ADVICE = 'give a kernel of Linux 3.1 to 3.19 that was built with LGUEST_GUEST and without PAE'
/** An early console text is not longer; Linux sends 16 characters a call. */
const EARLY_TEXT_MAX = 4096

export class EraCLauncher implements LauncherEra {
  readonly segments: readonly KernelSegment[]
  readonly guestLimit: number
  readonly initialize: readonly number[]
  private readonly page: DevicePage
  private launcher!: Launcher

  /** `devices` in the order of the device page. Throws UnusableImageError when something does not fit. */
  constructor(kernel: KernelImage, boot: BootOptions, devices: readonly Device[]) {
    this.page = layOutDevices(boot.memory, devices)
    this.segments = [
      ...kernel.segments,
      ...bootSegments(kernel, boot),
      { gpa: boot.memory, bytes: this.page.bytes, size: PAGE_SIZE },
    ]
    this.guestLimit = this.page.end
    this.initialize = [GUEST_BASE, this.guestLimit / PAGE_SIZE, kernel.entry]
  }

  attach(launcher: Launcher): void {
    this.launcher = launcher
    const { ram } = launcher
    this.page.places.forEach(({ device, desc, queues }, i) => {
      const at = LauncherState.offset.devices + i * DeviceState.size
      const state = DeviceState.at(launcher.state.$mem, at)
      state.desc = desc
      const virtqueues = queues.map(({ gpa, irq }, q) => {
        const view = VirtqueueState.at(state.$mem, at + DeviceState.offset.queues + q * VirtqueueState.size)
        view.num = VIRTQUEUE_NUM
        view.gpa = gpa
        view.irq = irq
        return new Virtqueue(device.queueNames[q], ram, view, (line) => launcher.raiseInterrupt(line))
      })
      device.attach(virtqueues, state)
      virtqueues.forEach((queue) => queue.reset())
    })
  }

  /**
   * Kernels that are not for us end early. Before INIT: an ordinary kernel at its first privileged instruction, or one of Linux 2.6.30
   * to 2.6.34 at its first hypercall, vmcall. At INIT: one of Linux 4.x, whose lguest_data is shorter than ours. At the first
   * NEW_PGTABLE: one with PAE, which by our reading of its tables has no page where it stands, nor a handler to hear of it.
   */
  explain(reason: string): string {
    return FOREIGN.some((pattern) => pattern.test(reason)) ? `${reason}; ${FOREIGN_ADVICE}` : reason
  }

  detach(): void {
    // The devices' connections to the outside are the computer's to close.
  }

  private deviceState(index: number) {
    const { state } = this.launcher
    return DeviceState.at(state.$mem, LauncherState.offset.devices + index * DeviceState.size)
  }

  private queueState(index: number, queue: number) {
    const at = LauncherState.offset.devices + index * DeviceState.size + DeviceState.offset.queues
    return VirtqueueState.at(this.launcher.state.$mem, at + queue * VirtqueueState.size)
  }

  handle(): boolean {
    const { notify, guest_limit } = this.launcher.state
    for (const [index, place] of this.page.places.entries()) {
      if (place.desc === notify) {
        this.statusChanged(index, place)
        return true
      }
      const queue = place.queues.findIndex(({ gpa }) => gpa === notify)
      if (queue >= 0) throw new GuestError(`virtqueue "${place.device.queueNames[queue]}" was kicked before its set-up`)
    }
    if (notify >= guest_limit) throw new GuestError(`NOTIFY of ${hex(notify)}, outside its memory`)
    return this.earlyConsole(notify)
  }

  /** Prints the text at gpa as far as there is room; true when all of it is out. */
  private earlyConsole(gpa: number): boolean {
    const { state, console, ram } = this.launcher
    const text = readString(ram, gpa, EARLY_TEXT_MAX)
    const part = text.subarray(state.notify_done, Math.min(text.length, state.notify_done + console.room()))
    console.write(part)
    state.notify_done += part.length
    return state.notify_done >= text.length
  }

  private statusChanged(index: number, place: DevicePlace): void {
    const { ram, host, vcpuTask, ioTask } = this.launcher
    const { device } = place
    const state = this.deviceState(index)
    const status = ram.read8(place.desc + LguestDeviceDesc.offset.status)
    if (status === 0 || (status & VIRTIO_STATUS.FAILED) !== 0) {
      state.started = 0
      state.features = 0
      for (const q of place.queues.keys()) {
        this.queueAt(index, q).reset()
        // Kicks from before the reset, which the I/O task has not seen yet, are no kicks before the set-up.
        const { eventfd } = this.queueState(index, q)
        if (eventfd !== 0) host.takeEvents(vcpuTask, eventfd)
      }
      clearAcceptedFeatures(ram, place)
      device.reset()
      return
    }
    // Only ACKNOWLEDGE and DRIVER: 2.6.3x tells us of every step, and has not chosen its features yet. Starting now does no harm:
    // the rings are empty.
    state.features = acceptedFeatures(ram, place)
    if (state.started === 0) {
      this.setUpEventfds(index, place)
      state.started = 1
      device.start(state.features)
    }
    // It may have something in its rings already, or we for it.
    host.wakeUp(ioTask)
  }

  private queueAt(index: number, queue: number): Virtqueue {
    const { name } = this.page.places[index].device
    return new Virtqueue(name, this.launcher.ram, this.queueState(index, queue), () => {})
  }

  /** From now on the guest's kicks wake the I/O task, and the guest runs on. Once a queue: they outlive resets. */
  private setUpEventfds(index: number, place: DevicePlace): void {
    const { host, vcpuTask, ioTask, state } = this.launcher
    place.queues.forEach(({ gpa }, q) => {
      const queue = this.queueState(index, q)
      if (queue.eventfd !== 0) return
      const fd = host.sysEventfd(vcpuTask, ioTask)
      const error = fd < 0 ? fd : host.sysWrite(vcpuTask, state.fd, [LHREQ.EVENTFD, gpa, fd])
      if (error < 0) throw new GuestError(`no eventfd for virtqueue "${place.device.queueNames[q]}" (error ${-error})`)
      queue.eventfd = fd
    })
  }

  service(): 'done' | 'more' {
    const { host, vcpuTask } = this.launcher
    let more = false
    for (const [index, place] of this.page.places.entries()) {
      const started = this.deviceState(index).started !== 0
      for (const q of place.queues.keys()) {
        const { eventfd } = this.queueState(index, q)
        if (eventfd === 0 || host.takeEvents(vcpuTask, eventfd) === 0 || started) continue
        throw new GuestError(`virtqueue "${place.device.queueNames[q]}" was kicked before its set-up`)
      }
      if (started && place.device.service()) more = true
    }
    return more ? 'more' : 'done'
  }
}

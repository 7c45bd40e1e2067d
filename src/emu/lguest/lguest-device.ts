/** /dev/lguest as a character device of the Host kernel, and the loading of the module. The file's word is struct lguest, 0 before INITIALIZE. */
import type { Cpu } from '../cpu/cpu.ts'
import type { CharDevice, ReadOutcome } from '../host/chrdev.ts'
import type { HostKernel } from '../host/kernel.ts'
import type { FileView } from '../layout/host-task.ts'
import { LHREQ } from '../layout/lguest-data.ts'
import { createHypervisor, timerExpired } from './core.ts'
import { EBUSY, EINVAL } from './errno.ts'
import type { Hypervisor } from './hypervisor.ts'
import { KernelLguestHost } from './lguest-host.ts'
import { initialize, lguestClose, lguestRead, lguestRequest, lguestResume } from './lguest-user.ts'

class LguestDevice implements CharDevice {
  private readonly hv: Hypervisor

  constructor(hv: Hypervisor) {
    this.hv = hv
  }

  open(): number {
    return 0
  }

  write(task: number, file: FileView, words: readonly number[]): number {
    const [request, ...rest] = words
    if (request === undefined) return EINVAL
    if (request !== LHREQ.INITIALIZE) {
      return file.data === 0 ? EINVAL : lguestRequest(this.hv.guestAt(file.data), task, request, rest)
    }
    if (file.data !== 0) return EBUSY
    const guest = initialize(this.hv, task, rest)
    if (typeof guest === 'number') return guest
    file.data = guest.address
    return rest.length * 4
  }

  read(task: number, file: FileView, address: number, length: number, cpu: Cpu): ReadOutcome {
    if (file.data === 0) return { kind: 'done', value: EINVAL }
    return lguestRead(this.hv.guestAt(file.data), task, cpu, address, length)
  }

  resume(_task: number, file: FileView, cpu: Cpu): ReadOutcome {
    return lguestResume(this.hv.guestAt(file.data), cpu)
  }

  close(_task: number, file: FileView): void {
    if (file.data !== 0) lguestClose(this.hv.guestAt(file.data))
  }
}

/** Loads lguest into a Host kernel: the Switcher into the region, /dev/lguest into its devices. `bootTime` is ns since 1970. */
export function loadLguest(kernel: HostKernel, bootTime: number): Hypervisor {
  const hv = createHypervisor(new KernelLguestHost(kernel, bootTime))
  kernel.registerDevice('/dev/lguest', new LguestDevice(hv))
  kernel.onTimer = (address) => timerExpired(hv, address)
  return hv
}

/** LguestHost over the real Host kernel: the module's import list, bound. Timers of the Host call the hypervisor by struct lguest. */
import type { Cpu } from '../cpu/cpu.ts'
import type { HostKernel } from '../host/kernel.ts'
import { mapRegionPage } from '../host/boot.ts'
import type { PhysMemory } from '../layout/memory.ts'
import { TSC_KHZ } from '../machine/clock.ts'
import type { LguestHost, TableRegister } from './host-interface.ts'

const NANOSECONDS = 1_000_000_000

export class KernelLguestHost implements LguestHost {
  readonly mem: PhysMemory
  readonly cpuCount: number
  readonly userEnd: number
  readonly tscKhz = TSC_KHZ
  private readonly kernel: HostKernel
  /** Time since 1970 when the machine started, ns. */
  private readonly bootTime: number

  /** `bootTime`: nanoseconds since 1970 at the machine's start. */
  constructor(kernel: HostKernel, bootTime: number) {
    this.kernel = kernel
    this.mem = kernel.mem
    this.cpuCount = kernel.machine.cpus.length
    this.userEnd = kernel.userEnd
    this.bootTime = bootTime
  }

  newOwner(name: string): number {
    return this.kernel.allocator.newOwner(name)
  }
  freeOwner(owner: number): void {
    this.kernel.allocator.freeOwner(owner)
  }
  allocZeroedPage(owner: number): number {
    return this.kernel.allocator.allocZeroedPage(owner)
  }
  getPage(hpa: number): void {
    this.kernel.allocator.getPage(hpa)
  }
  putPage(hpa: number): void {
    this.kernel.allocator.putPage(hpa)
  }
  mapRegionPage(index: number, hpa: number, flags: number): void {
    mapRegionPage(this.kernel.layout, this.mem, index, hpa, flags)
  }

  getUserPage(mm: number, hva: number, write: boolean): number {
    return this.kernel.spaces.getUserPage(mm, hva, write)
  }
  peekUserPage(mm: number, hva: number): number {
    return this.kernel.spaces.peekUserPage(mm, hva)
  }
  copyToUser(mm: number, hva: number, bytes: Uint8Array): boolean {
    return this.kernel.spaces.copyToUser(mm, hva, bytes)
  }
  mmPgd(mm: number): number {
    return this.kernel.spaces.pgd(mm)
  }
  getTaskMm(task: number): number {
    const { mm } = this.kernel.scheduler.task(task)
    this.kernel.spaces.get(mm)
    return mm
  }
  putMm(mm: number): void {
    this.kernel.spaces.put(mm)
  }

  ktime(): number {
    return this.kernel.ktime()
  }
  wallTime(): { seconds: number; nanoseconds: number } {
    const now = this.bootTime + this.kernel.ktime()
    return { seconds: Math.floor(now / NANOSECONDS), nanoseconds: Math.floor(now % NANOSECONDS) }
  }
  setTimer(lguest: number, deadline: number): boolean {
    return this.kernel.setTimer(lguest, deadline)
  }
  cancelTimer(lguest: number): void {
    this.kernel.cancelTimer(lguest)
  }
  lookAgain(after: number): void {
    this.kernel.lookAgain(after)
  }

  wakeUp(task: number): void {
    this.kernel.wakeUp(task)
  }
  signalPending(task: number): boolean {
    return this.kernel.signalPending(task)
  }
  needResched(cpu: number): boolean {
    return this.kernel.needResched(cpu)
  }

  eventfdGet(task: number, fd: number): number {
    return this.kernel.eventfdGet(task, fd)
  }
  eventfdSignal(context: number): void {
    this.kernel.eventfdSignal(context)
  }
  eventfdPut(context: number): void {
    this.kernel.eventfdPut(context)
  }

  hostGdt(cpu: number): TableRegister {
    return this.kernel.layout.cpus[cpu].gdt
  }
  hostIdt(): TableRegister {
    return this.kernel.layout.idt
  }
  enterSwitcher(cpu: Cpu, entry: number, eax: number, ebx: number): void {
    this.kernel.enterSwitcher(cpu, entry, eax, ebx)
  }
}

/**
 * What the hypervisor asks of the Host kernel: pages, the launcher's memory, time, tasks and the way into the Switcher.
 * lguest is a module of its Host, so this list is its list of imported symbols; nothing in src/emu/lguest uses the Host kernel
 * any other way. Addresses: hpa host-physical, hva host-virtual in a launcher. Times in nanoseconds.
 */
import type { Cpu } from '../cpu/cpu.ts'
import type { PhysMemory } from '../layout/memory.ts'

/** Owner number of the allocator's accounting. */
export type PageOwner = number

/** Contents of a descriptor-table register. */
export interface TableRegister {
  readonly base: number
  readonly limit: number
}

export interface LguestHost {
  readonly mem: PhysMemory
  readonly cpuCount: number

  // --- pages -----------------------------------------------------------------------------------------------------------
  /** 0 when there are too many. */
  newOwner(name: string): PageOwner
  /** Gives the number back; the owner must have no pages left. */
  freeOwner(owner: PageOwner): void
  /** hpa of a zeroed page with one reference, or 0 when memory is out. */
  allocZeroedPage(owner: PageOwner): number
  getPage(hpa: number): void
  /** Drops a reference; the page is free at none. */
  putPage(hpa: number): void
  /** The region's PTE `index` in the Host's page tables (all CPUs): page tables of the Host share it. */
  mapRegionPage(index: number, hpa: number, flags: number): void

  // --- the launcher's memory -------------------------------------------------------------------------------------------
  /** The page behind hva of an address space, with a reference taken; 0 when there is none. Allocates on first touch. */
  getUserPage(mm: number, hva: number, write: boolean): number
  /** The page already behind hva, 0 when none; changes nothing. */
  peekUserPage(mm: number, hva: number): number
  /** False when part of the range is not the launcher's. */
  copyToUser(mm: number, hva: number, bytes: Uint8Array): boolean
  /** First byte after the addresses a launcher may use. */
  readonly userEnd: number
  /** hpa of the page directory of an address space: what host_cr3 must be while it runs. */
  mmPgd(mm: number): number
  /** get_task_mm and mmput: the address space must outlive the task while a Guest is made of it. */
  getTaskMm(task: number): number
  putMm(mm: number): void

  // --- time ------------------------------------------------------------------------------------------------------------
  /** Nanoseconds since the machine started. */
  ktime(): number
  /** Time since 1970. */
  wallTime(): { readonly seconds: number; readonly nanoseconds: number }
  /** Time stamp counter ticks a millisecond; 0 when it is no use as a clock. */
  readonly tscKhz: number
  /** Calls timerExpired(hv, lguest) at `deadline` (ktime). Replaces the Guest's earlier timer. False when memory is out: no timer. */
  setTimer(lguest: number, deadline: number): boolean
  cancelTimer(lguest: number): void
  /** The running task leaves its Guest again `after` ns at the latest, even when nothing else is due. */
  lookAgain(after: number): void

  // --- tasks -----------------------------------------------------------------------------------------------------------
  /** Makes a sleeping task runnable; a task running its Guest on another CPU is made to leave it. */
  wakeUp(task: number): void
  signalPending(task: number): boolean
  needResched(cpu: number): boolean

  // --- eventfds --------------------------------------------------------------------------------------------------------
  /** A reference to what the task's descriptor `fd` names, or 0 when it is not an eventfd. */
  eventfdGet(task: number, fd: number): number
  eventfdSignal(context: number): void
  eventfdPut(context: number): void

  // --- the way into the Switcher ---------------------------------------------------------------------------------------
  hostGdt(cpu: number): TableRegister
  hostIdt(cpu: number): TableRegister
  /** Sets the CPU up to execute run_guest_once: push eflags, far call to LGUEST_CS:entry with eax and ebx as given. The
   *  gate behind the call brings the Host back to the task's CharDevice.resume. */
  enterSwitcher(cpu: Cpu, entry: number, eax: number, ebx: number): void
}

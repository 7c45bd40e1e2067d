/**
 * A Host for the hypervisor's unit tests: LguestHost over real emulated memory but with the simplest insides: a page allocator that
 * counts, address spaces that are maps, a clock that a test sets. Nothing executes i386 code here; `trap` plays the part of
 * the Guest and the Switcher. The tests that run real code use the real Host (switcher.spec.ts and those of src/emu/host).
 */
import type { Cpu, CpuBus } from '../cpu/cpu.ts'
import { Cpu as CpuClass } from '../cpu/cpu.ts'
import { LGUEST_PAGES_regs, LGUEST_PAGES_size } from '../layout/lguest-pages.ts'
import { MachineMemory, MIB, type PhysMemory } from '../layout/memory.ts'
import { EBX, ECX, PAGE_SIZE } from '../layout/x86.ts'
import { S_CR2 } from '../layout/cpu-state.ts'
import { createHypervisor, resumeGuest, runGuest, type RunOutcome } from '../lguest/core.ts'
import type { Guest } from '../lguest/guest.ts'
import type { LguestHost } from '../lguest/host-interface.ts'
import type { Hypervisor } from '../lguest/hypervisor.ts'
import { initialize } from '../lguest/lguest-user.ts'
import { lguestPages } from '../lguest/switcher/switcher.ts'

/** Where the test launchers keep their Guests. */
export const FAKE_BASE = 0x1000_0000

const nothing = (): never => {
  throw new Error('the fake host has no devices')
}
const NO_BUS: CpuBus = {
  acknowledgeInterrupt: nothing,
  readTsc: () => 0,
  portIn: nothing,
  portOut: nothing,
  mmioRead: nothing,
  mmioWrite: nothing,
  gateAt: () => undefined,
  shutdown: nothing,
}

interface FakePage {
  owner: number
  references: number
}

export class FakeHost implements LguestHost {
  readonly machine: MachineMemory
  readonly mem: PhysMemory
  readonly cpuCount: number
  readonly cpus: Cpu[]
  readonly userEnd = 0xc000_0000
  readonly tscKhz = 100_000
  readonly pages: Map<number, FakePage>
  readonly owners: Set<number>
  /** mm to (page number to hpa). An mm is its directory's number; every task is its own mm. */
  readonly spaces: Map<number, Map<number, number>>
  readonly mmReferences: Map<number, number>
  readonly region: Map<number, number>
  readonly timers: Map<number, number>
  /** No more timers can be had. */
  timersFull = false
  readonly signalled: number[]
  woken: number[]
  /** What lookAgain was asked for, ns. */
  looksAgain: number[] = []
  now: number
  resched: boolean
  signal: boolean
  /** Pages that may still be allocated; tests lower it. */
  limit: number
  entered: { entry: number; eax: number; ebx: number } | undefined
  private next: number
  private readonly free: number[]

  constructor(cpus = 2) {
    this.machine = new MachineMemory({ cpus, ramSize: 16 * MIB })
    this.mem = this.machine.phys
    this.cpuCount = cpus
    this.cpus = Array.from({ length: cpus }, (_, id) => new CpuClass(this.machine, id, NO_BUS))
    this.pages = new Map()
    this.owners = new Set()
    this.spaces = new Map()
    this.mmReferences = new Map()
    this.region = new Map()
    this.timers = new Map()
    this.signalled = []
    this.woken = []
    this.now = 5_000_000_000
    this.resched = false
    this.signal = false
    this.limit = Infinity
    this.next = 1
    this.free = []
    for (let hpa = this.mem.size - PAGE_SIZE; hpa > 0; hpa -= PAGE_SIZE) this.free.push(hpa)
  }

  /** Notes who has which page; the result brings that back. (What is in the pages is the caller's business.) */
  bookkeeping(): () => void {
    const pages = [...this.pages].map(([hpa, page]) => [hpa, { ...page }] as const)
    const spaces = [...this.spaces].map(([mm, space]) => [mm, [...space]] as const)
    const free = [...this.free]
    return () => {
      this.pages.clear()
      for (const [hpa, page] of pages) this.pages.set(hpa, { ...page })
      for (const [mm, space] of spaces) {
        const map = this.spaces.get(mm)
        map?.clear()
        for (const [at, hpa] of space) map?.set(at, hpa)
      }
      this.free.splice(0, this.free.length, ...free)
    }
  }

  newOwner(): number {
    this.owners.add(this.next)
    return this.next++
  }

  freeOwner(owner: number): void {
    if (this.ownerPages(owner) !== 0) throw new Error(`owner ${owner} still has pages`)
    this.owners.delete(owner)
  }

  ownerPages(owner: number): number {
    return [...this.pages.values()].filter((page) => page.owner === owner).length
  }

  allocZeroedPage(owner: number): number {
    if (this.pages.size >= this.limit) return 0
    const hpa = this.free.pop()
    if (hpa === undefined) return 0
    this.pages.set(hpa, { owner, references: 1 })
    this.mem.fill(hpa, PAGE_SIZE, 0)
    return hpa
  }

  getPage(hpa: number): void {
    this.page(hpa).references++
  }

  putPage(hpa: number): void {
    const page = this.page(hpa)
    if (--page.references > 0) return
    this.pages.delete(hpa)
    this.free.push(hpa)
  }

  references(hpa: number): number {
    return this.pages.get(hpa)?.references ?? 0
  }

  private page(hpa: number): FakePage {
    const page = this.pages.get(hpa)
    if (page === undefined) throw new Error(`page ${hpa.toString(16)} is not allocated`)
    return page
  }

  mapRegionPage(index: number, hpa: number): void {
    this.region.set(index, hpa)
  }

  private space(mm: number): Map<number, number> {
    let space = this.spaces.get(mm)
    if (space === undefined) this.spaces.set(mm, (space = new Map()))
    return space
  }

  getUserPage(mm: number, hva: number): number {
    if (hva < FAKE_BASE || hva >= this.userEnd) return 0
    let page = this.peekUserPage(mm, hva)
    if (page === 0) {
      page = this.allocZeroedPage(-mm)
      if (page === 0) return 0
      this.space(mm).set(hva >>> 12, page)
    }
    this.getPage(page)
    return page
  }

  peekUserPage(mm: number, hva: number): number {
    return this.space(mm).get(hva >>> 12) ?? 0
  }

  copyToUser(mm: number, hva: number, bytes: Uint8Array): boolean {
    for (let i = 0; i < bytes.length; i++) {
      const page = this.getUserPage(mm, hva + i)
      if (page === 0) return false
      this.mem.write8(page + ((hva + i) % PAGE_SIZE), bytes[i])
      this.putPage(page)
    }
    return true
  }

  readUser32(mm: number, hva: number): number {
    return this.mem.read32(this.peekUserPage(mm, hva) + (hva % PAGE_SIZE)) >>> 0
  }

  mmPgd(mm: number): number {
    return mm * PAGE_SIZE
  }

  getTaskMm(task: number): number {
    this.mmReferences.set(task, (this.mmReferences.get(task) ?? 0) + 1)
    return task
  }

  putMm(mm: number): void {
    this.mmReferences.set(mm, (this.mmReferences.get(mm) ?? 0) - 1)
  }

  /** The launcher exits: its memory goes. */
  exitTask(task: number): void {
    for (const page of this.space(task).values()) this.putPage(page)
    this.spaces.delete(task)
  }

  ktime(): number {
    return this.now
  }

  wallTime(): { seconds: number; nanoseconds: number } {
    return { seconds: 1_173_410_000, nanoseconds: this.now % 1e9 }
  }

  setTimer(lguest: number, deadline: number): boolean {
    if (this.timersFull && !this.timers.has(lguest)) return false
    this.timers.set(lguest, deadline)
    return true
  }

  cancelTimer(lguest: number): void {
    this.timers.delete(lguest)
  }

  lookAgain(after: number): void {
    this.looksAgain.push(after)
  }

  wakeUp(task: number): void {
    this.woken.push(task)
  }

  signalPending(): boolean {
    return this.signal
  }

  needResched(): boolean {
    return this.resched
  }

  eventfdGet(_task: number, fd: number): number {
    return fd >= 3 ? fd : 0
  }

  eventfdSignal(context: number): void {
    this.signalled.push(context)
  }

  eventfdPut(): void {}

  hostGdt(_cpu: number): { base: number; limit: number } {
    return { base: 0xc000_1000, limit: 0xff }
  }

  hostIdt(_cpu: number): { base: number; limit: number } {
    return { base: 0xc000_2000, limit: 0x7ff }
  }

  enterSwitcher(_cpu: Cpu, entry: number, eax: number, ebx: number): void {
    this.entered = { entry, eax, ebx }
  }
}

/** A hypervisor on a fake Host. */
export function fakeHypervisor(cpus = 2): { host: FakeHost; hv: Hypervisor } {
  const host = new FakeHost(cpus)
  return { host, hv: createHypervisor(host) }
}

let nextTask = 100

/** A Guest of era C with `pages` pages of memory, entered at `start`; its launcher is a new task. */
export function newGuestC(hv: Hypervisor, pages = 64, start = 0x1000): Guest {
  return newGuest(hv, [FAKE_BASE, pages, start])
}

/** A Guest of era A: page directory at `pgdir`, kernel at `pageOffset`. */
export function newGuestA(hv: Hypervisor, pages = 64, pgdir = 0x3000, pageOffset = 0xc000_0000): Guest {
  return newGuest(hv, [pages, pgdir, pageOffset + 0x1000, pageOffset])
}

function newGuest(hv: Hypervisor, words: number[]): Guest {
  const lg = initialize(hv, nextTask++, words)
  if (typeof lg === 'number') throw new Error(`INITIALIZE returned ${lg}`)
  return lg
}

/** Enters the Guest and comes back with `trap`, as the Switcher would; registers changed by `change` meanwhile. */
export function trap(lg: Guest, number: number, change: Partial<Record<string, number>> = {}, onCpu = 0): RunOutcome {
  // A Guest that is running comes back where it is.
  const cpuId = lg.s.running !== 0 ? (lg.s.last_pages - lguestPages(0)) / LGUEST_PAGES_size : onCpu
  const cpu = (lg.hv.host as FakeHost).cpus[cpuId]
  if (lg.s.running === 0) {
    const outcome = runGuest(lg, cpu)
    if (outcome.kind !== 'run') return outcome
  }
  const { cr2, ...registers } = change
  if (cr2 !== undefined) cpu.st[S_CR2] = cr2
  const copied = lg.hv.cpu(cpuId).copied_regs !== 0
  const regs = copied ? lg.abi.regs.at(lg.hv.mem, lg.hv.cpu(cpuId).page0 + LGUEST_PAGES_regs) : lg.regs
  Object.assign(regs, { errcode: 0, ...registers, trapnum: number })
  cpu.r[EBX] = number
  cpu.r[ECX] = lguestPages(cpuId) + LGUEST_PAGES_regs
  return resumeGuest(lg, cpu)
}

/** A direct hypercall of era C. */
export function hcall(lg: Guest, number: number, arg1 = 0, arg2 = 0, arg3 = 0, arg4 = 0): RunOutcome {
  return trap(lg, 0x1f, { eax: number, ebx: arg1, ecx: arg2, edx: arg3, esi: arg4 })
}

/** A direct hypercall of era A. */
export function hcallA(lg: Guest, number: number, arg1 = 0, arg2 = 0, arg3 = 0): RunOutcome {
  return trap(lg, 0x1f, { eax: number, edx: arg1, ebx: arg2, ecx: arg3 })
}

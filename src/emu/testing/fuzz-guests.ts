/**
 * Guests made of random code (random-code.ts) on the whole machine: real CPUs, the Switcher, the Host kernel. Where fuzz-hypercalls.ts plays
 * the Guest, these Guests execute, two at a time on two CPUs, moved about, with NMIs between, in either copying mode. Beside them a canary
 * (canary.ts) watches over its own registers. The invariant walker looks after every so many world switches; in the end every page must be
 * back. Deterministic: a seed names a run.
 */
import { assemble } from '../asm/assembler.ts'
import type { Program, Syscall } from '../host/chrdev.ts'
import { HostKernel } from '../host/kernel.ts'
import { PENDING_NMI } from '../layout/cpu-state.ts'
import { LguestData, LguestDataEraA, LHREQ } from '../layout/lguest-data.ts'
import { MIB } from '../layout/memory.ts'
import { deadReason, type Guest, lgwrite32 } from '../lguest/guest.ts'
import type { Hypervisor } from '../lguest/hypervisor.ts'
import { findBrokenInvariants } from '../lguest/invariants.ts'
import { loadLguest } from '../lguest/lguest-device.ts'
import { VirtualClock } from '../machine/clock.ts'
import { LockstepExecutor } from '../machine/lockstep.ts'
import { Machine } from '../machine/machine.ts'
import { CANARY, LOOKS_GPA } from './canary.ts'
import { buildPageTables, DATA_GPA, KERNEL_ADDRESS } from './guest-memory.ts'
import { CODE_GPA, FUZZ_PAGES, FUZZ_PGDS, randomCode } from './random-code.ts'
import { Random } from './random.ts'

const CPUS = 2
const BASE = 0x1000_0000
const BUFFER = 0x0800_0000
/** Instructions a pair of Guests may use before their launchers lose patience, per CPU. */
const PATIENCE = 400_000

export interface GuestFuzzResult {
  readonly guests: number
  readonly switches: number
  /** Rounds of the canary. */
  readonly looks: number
  /** How often each kind of reason was seen, numbers replaced by N. */
  readonly reasons: Record<string, number>
}

/** Opens /dev/lguest, makes a Guest of `source`, and reads until it is dead or a signal comes. */
class FuzzLauncher implements Program {
  reason: string | undefined
  guest: Guest | undefined
  task = 0
  private readonly kernel: HostKernel
  private readonly hv: Hypervisor
  private readonly era: 'A' | 'C'
  private readonly source: string
  private fd = 0

  constructor(kernel: HostKernel, hv: Hypervisor, era: 'A' | 'C', source: string) {
    this.kernel = kernel
    this.hv = hv
    this.era = era
    this.source = source
  }

  step(task: number, result: number): Syscall {
    if (this.fd === 0) this.start(task)
    else if (this.guest!.dead || result === -4) {
      this.reason = this.guest!.dead ? deadReason(this.guest!) : 'no end'
      return { call: 'exit', code: 0 }
    }
    return { call: 'read', fd: this.fd, address: BUFFER, length: 4096 }
  }

  private start(task: number): void {
    const { kernel, era } = this
    this.fd = kernel.sysOpen(task, '/dev/lguest')
    const { bytes } = assemble(this.source, {
      origin: KERNEL_ADDRESS + CODE_GPA,
      symbols: { PAGE_OFFSET: KERNEL_ADDRESS },
    })
    const entry = era === 'C' ? CODE_GPA : KERNEL_ADDRESS + CODE_GPA
    const words = era === 'C' ? [BASE, FUZZ_PAGES, entry] : [FUZZ_PAGES, FUZZ_PGDS[0], entry, KERNEL_ADDRESS]
    const error = kernel.sysWrite(task, this.fd, [LHREQ.INITIALIZE, ...words])
    if (error < 0) throw new Error(`INITIALIZE: ${error}`)
    const lg = this.hv.allGuests()[0]
    this.guest = lg
    bytes.forEach((byte, i) => lg.memory.write8(CODE_GPA + i, byte))
    for (const pgd of FUZZ_PGDS) buildPageTables(lg, pgd, 0x007, true)
    const offset = era === 'C' ? LguestData.offset : LguestDataEraA.offset
    for (let i = 0; i < 64; i++) lg.memory.write8(DATA_GPA + offset.hcall_status + i, 0xff)
    if (era === 'C') {
      lgwrite32(lg, DATA_GPA + LguestData.offset.kernel_address, KERNEL_ADDRESS)
      lgwrite32(lg, DATA_GPA + LguestData.offset.syscall_vec, 0x80)
    }
  }
}

/** Lets `count` random Guests live, two at a time, from `seed`. Throws when anybody but a Guest was hurt. */
export function fuzzGuests(seed: number, count: number, walkEvery = 97): GuestFuzzResult {
  const random = new Random(seed)
  const machine = new Machine({ cpus: CPUS, ramSize: 16 * MIB, clock: new VirtualClock() })
  const kernel = new HostKernel(machine)
  const hv = loadLguest(kernel, 0)
  const executor = new LockstepExecutor(machine, 300)
  executor.runSlice(2000)
  const free = kernel.allocator.freePages
  const reasons: Record<string, number> = {}
  let switches = 0
  hv.tracer = {
    switched: () => {
      if (++switches % walkEvery === 0) checkInvariants(hv)
    },
    hypercall: () => {},
    killed: () => {},
  }
  const spawn = (launcher: FuzzLauncher, name: string): FuzzLauncher => {
    launcher.task = kernel.spawn(launcher, name)
    return launcher
  }
  const canary = spawn(new FuzzLauncher(kernel, hv, 'C', CANARY), 'canary')
  executor.runSlice(4000)
  let looks = 0
  let waited = 0
  for (let born = 0; born < count; born += 2) {
    const pair = [0, 1].map((i) => {
      const era = random.chance(25) ? 'A' : 'C'
      return spawn(new FuzzLauncher(kernel, hv, era, randomCode(random, era)), `fuzz ${born + i}`)
    })
    for (let used = 0; used < PATIENCE && pair.some((each) => each.reason === undefined); used += 2000) {
      executor.runSlice(2000)
      waited += 2000
      if (random.chance(30)) machine.cpus[random.below(CPUS)].setPending(PENDING_NMI)
      for (const { task, reason, guest } of pair) {
        if (reason !== undefined || guest === undefined) continue
        if (random.chance(10)) kernel.scheduler.migrate(task, random.below(CPUS))
      }
      if (random.chance(10)) kernel.scheduler.migrate(canary.task, random.below(CPUS))
      if (random.chance(2)) hv.copyMode = random.pick(['elide', 'always'] as const)
    }
    for (const each of pair) {
      if (each.reason === undefined) kernel.signal(each.task)
      for (let tries = 0; each.reason === undefined; tries++) {
        if (tries > 2500) throw new Error(`guest ${born} does not stop`)
        executor.runSlice(2000)
      }
      const reason = each.reason.replace(/0x[0-9a-f]+|\d+/g, 'N')
      reasons[reason] = (reasons[reason] ?? 0) + 1
    }
    checkInvariants(hv)
    if (canary.reason !== undefined) throw new Error(`guests ${born} and ${born + 1} hurt the canary: ${canary.reason}`)
    // A look takes ten thousand instructions; three share two CPUs in slices of a million.
    const now = canary.guest!.memory.read32(LOOKS_GPA)
    if (now !== looks) waited = 0
    else if (waited > 4_000_000) throw new Error(`guests up to ${born + 1} starved the canary`)
    looks = now
  }
  kernel.signal(canary.task)
  executor.runSlice(10_000)
  if (canary.reason !== 'no end') throw new Error(`the canary ended by ${String(canary.reason)}`)
  if (kernel.allocator.freePages !== free) throw new Error(`${free - kernel.allocator.freePages} pages were lost`)
  return { guests: count, switches, looks, reasons }
}

function checkInvariants(hv: Hypervisor): void {
  const problems = findBrokenInvariants(hv)
  if (problems.length > 0) throw new Error(problems.slice(0, 5).join('\n'))
}

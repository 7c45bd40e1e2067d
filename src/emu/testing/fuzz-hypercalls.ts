/**
 * A Guest that throws anything at its hypervisor: random hypercalls, direct and queued, random page tables, descriptors and traps, over
 * the fake Host. After every batch the invariant walker looks; after every death all pages must be back. Deterministic: a
 * seed names a run. Values are random in the way that finds things: mostly plausible, often at an edge, sometimes anything.
 */
import { LguestData, LguestDataEraA, LHCALL_RING_SIZE } from '../layout/lguest-data.ts'
import { deadReason, type Guest } from '../lguest/guest.ts'
import { findBrokenInvariants } from '../lguest/invariants.ts'
import { lguestClose, lguestRequest } from '../lguest/lguest-user.ts'
import { timerExpired } from '../lguest/core.ts'
import type { Hypervisor } from '../lguest/hypervisor.ts'
import { type FakeHost, fakeHypervisor, newGuestA, newGuestC, trap } from './fake-host.ts'
import { buildPageTables, DATA_GPA, initGuest, initGuestA, KERNEL_ADDRESS } from './guest-memory.ts'
import { Random } from './random.ts'

const PAGES = 64
const PGDS = [0x10000, 0x14000, 0x18000, 0x1c000, 0x20000, 0x24000]
/** The first few are proper tables; what is in the others the fuzzer writes. */
const PROPER_PGDS = 2

export interface FuzzResult {
  readonly calls: number
  readonly guests: number
  /** How often each kind of reason was seen, digits replaced by N. */
  readonly reasons: Record<string, number>
}

class Fuzzer {
  readonly random: Random
  readonly host: FakeHost
  readonly hv: Hypervisor
  readonly reasons: Record<string, number>
  readonly baseline: number
  /** One Guest a CPU. */
  readonly guests: (Guest | undefined)[]
  born: number

  constructor(seed: number) {
    this.random = new Random(seed)
    ;({ host: this.host, hv: this.hv } = fakeHypervisor(2))
    this.reasons = {}
    this.guests = [undefined, undefined]
    this.born = 0
    this.baseline = this.host.pages.size
  }

  gpa(): number {
    const { random } = this
    if (random.chance(40)) return random.pick(PGDS)
    if (random.chance(80)) return (random.below(PAGES) << 12) + random.pick([0, 0, 8, 0xff8, 0xfff, random.below(4096)])
    return random.pick([PAGES << 12, (PAGES << 12) - 4, 0xfffff000, 0xffffffff, random.next()])
  }

  gva(): number {
    const { random } = this
    if (random.chance(90)) return (KERNEL_ADDRESS + random.below(PAGES << 12)) >>> 0
    if (random.chance(50)) return (KERNEL_ADDRESS + (random.below(PAGES) << 12) + random.below(4096)) >>> 0
    if (random.chance(70)) return (random.below(PAGES) << 12) + random.below(4096)
    return random.pick([0xffc00000, 0xffc02fff, 0xffbfffff, 0xffffffff, 0, random.next()])
  }

  pte(): number {
    const { random } = this
    const pfn = random.chance(97) ? random.below(PAGES) : random.next() >>> 12
    const flags = random.chance(97) ? random.pick([0, 1, 3, 5, 7, 0x63, 0x67, 0x27, 0x25, 0x163]) : random.below(4096)
    return ((pfn << 12) | flags) >>> 0
  }

  /** A descriptor's or gate's second word. */
  high(): number {
    return this.random.chance(95)
      ? this.random.pick([
          0, 0x00cf9200, 0x00cf9a00, 0x00cff200, 0xc0008e00, 0xc000ef00, 0xc000ee00, 0x0000ec00, 0x00008900,
        ])
      : this.random.next()
  }

  value(): number {
    const { random } = this
    switch (random.below(6)) {
      case 0:
        return this.gpa()
      case 1:
        return this.gva()
      case 2:
        return random.below(40)
      case 3:
        return this.pte()
      case 4:
        return this.high()
      default:
        return random.next()
    }
  }

  newGuest(cpu: number): Guest {
    this.born++
    const old = this.random.chance(30)
    const lg = old ? newGuestA(this.hv, PAGES, PGDS[0]) : newGuestC(this.hv, PAGES)
    this.guests[cpu] = lg
    if (this.random.chance(95)) {
      PGDS.slice(0, PROPER_PGDS).forEach((pgd) => buildPageTables(lg, pgd, 3, true, PAGES))
      trap(lg, 32, { esp: KERNEL_ADDRESS + 0x9000 }, cpu)
      if (old) initGuestA(lg)
      else initGuest(lg)
      this.run(lg, cpu, 4, [PGDS[0]])
      for (let vector = 0; vector < 34; vector++) this.run(lg, cpu, 6, [vector, 0x1000 + vector, 0xc0008e00])
      this.run(lg, cpu, 7, [0x69, KERNEL_ADDRESS + 0x9000, 1])
    }
    return lg
  }

  /** A direct hypercall on its own CPU. */
  run(lg: Guest, cpu: number, number: number, args: readonly number[]): void {
    const [a = 0, b = 0, c = 0] = args
    const registers =
      lg.abi.era === 'A' ? { eax: number, edx: a, ebx: b, ecx: c } : { eax: number, ebx: a, ecx: b, edx: c }
    trap(lg, 0x1f, registers, cpu)
  }

  /** One thing happens to the Guest of a CPU. */
  step(): void {
    const { random } = this
    const cpu = random.below(2)
    const lg = this.guests[cpu] ?? this.newGuest(cpu)
    const number = random.chance(99)
      ? random.pick([0, 3, 4, 4, 5, 6, 7, 8, 9, 12, 13, 14, 14, 14, 15, 16, 17, 18, 18, 19])
      : random.below(64)
    const args = this.arguments(number)
    const kind = random.below(100)
    if (kind < 55) {
      const known = lg.abi.hypercalls[number] !== undefined || random.chance(3)
      this.run(lg, cpu, known ? number : 0, args)
    } else if (kind < 70) this.queue(lg, number, args)
    else if (kind < 85) {
      const errcode = random.below(8)
      trap(lg, 14, { cr2: this.gva(), errcode, esp: KERNEL_ADDRESS + 0x9000, cs: errcode & 4 ? 0x73 : 0x61 }, cpu)
    } else if (kind < 92) {
      trap(
        lg,
        random.pick([0, 1, 2, 3, 6, 7, 13, 13, 32, 33, 128]),
        { esp: random.chance(5) ? this.gva() : KERNEL_ADDRESS + 0x9000, errcode: random.pick([0, 0x50]) },
        cpu,
      )
    } else if (kind < 95) lg.memory.write32(random.below(PAGES) * 4096 + random.below(1024) * 4, this.value())
    else if (kind < 97) lguestRequest(lg, lg.s.tsk, random.pick([1, 2, 2, 4]), [random.below(34), 5])
    else if (kind < 98) timerExpired(this.hv, lg.address)
    else this.hv.copyMode = random.pick(['elide', 'elide', 'always'] as const)
    // Whatever the launcher was to do, it has done.
    lg.s.pending_notify = 0
    if (lg.s.halted !== 0) {
      lguestRequest(lg, lg.s.tsk, 2, [0])
      lg.memory.write32(DATA_GPA + lg.abi.data.blocked_interrupts, 0)
    }
    if (lg.dead) this.bury(cpu)
  }

  arguments(number: number): number[] {
    const { random } = this
    if (random.chance(1)) return [this.value(), this.value(), this.value()]
    switch (number) {
      case 3:
        return [this.gpa(), random.below(34)]
      case 4:
        return [random.chance(98) ? random.pick(PGDS.slice(0, PROPER_PGDS)) : random.pick(PGDS)]
      case 5:
        return [random.below(2)]
      case 6:
        return [
          random.pick([0, 1, 3, 13, 14, 32, 33, 0x80, random.below(256)]),
          random.next(),
          random.chance(97) ? 0xc0008e00 : this.high(),
        ]
      case 7:
        return [
          random.chance(98) ? 0x69 : random.next(),
          (KERNEL_ADDRESS + random.below(PAGES + 1) * 4096) >>> 0,
          random.below(3),
        ]
      case 14:
        return [random.pick(PGDS), this.gva(), this.pte()]
      case 15:
        return [random.pick(PGDS), random.chance(99) ? random.pick([0, 0x300, 0x3ff]) : random.below(2048)]
      case 16:
        return [this.gpa()]
      case 18:
        return [
          random.chance(99) ? random.pick([6, 7, 8, 14, 15, 20, 21, 27]) : random.below(40),
          random.next(),
          this.high(),
        ]
      default:
        return [this.value(), this.value(), this.value()]
    }
  }

  queue(lg: Guest, number: number, args: readonly number[]): void {
    const [layout, size, order] =
      lg.abi.era === 'A' ? [LguestDataEraA.offset, 16, [0, 4, 8, 12]] : [LguestData.offset, 20, [0, 4, 8, 12]]
    if (lg.s.lguest_data === 0) return
    const slot = this.random.chance(95) ? lg.s.next_hcall : this.random.below(LHCALL_RING_SIZE)
    const known = lg.abi.hypercalls[number] !== undefined ? number : 0
    ;[known, ...args].forEach((value, i) =>
      lg.memory.write32(DATA_GPA + layout.hcalls + slot * size + order[i % 4], value),
    )
    lg.memory.write8(DATA_GPA + layout.hcall_status + slot, 0)
  }

  bury(cpu: number): void {
    const lg = this.guests[cpu]
    if (lg === undefined) return
    if (lg.dead) {
      const reason = deadReason(lg)
        .replace(/CRASH: .*/s, 'CRASH')
        .replace(/0x[0-9a-f]+|\d+/g, 'N')
      this.reasons[reason] = (this.reasons[reason] ?? 0) + 1
    }
    lg.s.running = 0
    const { tsk } = lg.s
    lguestClose(lg)
    this.host.exitTask(tsk)
    this.guests[cpu] = undefined
    if (this.guests.every((each) => each === undefined) && this.host.pages.size !== this.baseline) {
      throw new Error(`${this.host.pages.size - this.baseline} pages have not come back`)
    }
  }

  look(): void {
    const problems = findBrokenInvariants(this.hv)
    if (problems.length > 0) throw new Error(problems.slice(0, 5).join('\n'))
  }
}

/** Makes `calls` steps from `seed`, with a walk every `every` steps. Throws on a broken invariant or a lost page. */
export function fuzzHypercalls(seed: number, calls: number, every = 1000): FuzzResult {
  const fuzzer = new Fuzzer(seed)
  for (let i = 0; i < calls; i++) {
    try {
      fuzzer.step()
      if (i % every === 0) fuzzer.look()
    } catch (error) {
      throw new Error(`seed ${seed}, step ${i}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      })
    }
  }
  fuzzer.look()
  for (const cpu of [0, 1]) fuzzer.bury(cpu)
  fuzzer.look()
  return { calls, guests: fuzzer.born, reasons: fuzzer.reasons }
}

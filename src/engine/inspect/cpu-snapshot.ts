/** One CPU as it is at this moment: registers, hidden parts, whose world it is in, and what the hypervisor keeps for it. */
import type { Cpu } from '../../emu/cpu/cpu.ts'
import { getEflags } from '../../emu/cpu/flags.ts'
import {
  S_CPL,
  S_CR0,
  S_CR2,
  S_CR3,
  S_CR4,
  S_DR,
  S_EIP,
  S_FPU_CONTROL,
  S_FPU_REG,
  S_FPU_STATUS,
  S_FPU_TAG,
  S_GDT_BASE,
  S_GDT_LIMIT,
  S_HALTED,
  S_IDT_BASE,
  S_IDT_LIMIT,
  S_SEG_ATTR,
  S_SEG_BASE,
  S_SEG_LIMIT,
  S_SEG_SELECTOR,
} from '../../emu/layout/cpu-state.ts'
import { LGUEST_PAGES_size } from '../../emu/layout/lguest-pages.ts'
import { PAGE_SIZE } from '../../emu/layout/x86.ts'
import { CHANGED_GDT, CHANGED_GDT_TLS, CHANGED_IDT } from '../../emu/lguest/guest.ts'
import { COPIED_GDT, COPIED_IDT, COPIED_REGS, COPIED_TLS } from '../../emu/lguest/hypervisor.ts'
import { cpuStatistics } from '../../emu/lguest/stats.ts'
import { lguestPages, lguestPagesPte, SWITCHER_ADDR, SWITCHER_TEXT_PAGES } from '../../emu/lguest/switcher/switcher.ts'
import { fullCopyBytes } from '../../emu/lguest/x86.ts'
import { SEGMENT_NAMES, type CpuSnapshot, type CpuWorld, type LguestCpuState } from '../../shared/inspect.ts'
import { describeAttributes } from './descriptors.ts'
import { currentGuest, lastGuest, type InspectionTarget } from './target.ts'

export function cpuSnapshot(target: InspectionTarget, number: number): CpuSnapshot {
  const { machine, hypervisor } = target
  const cpu = machine.cpus[number]
  const { st } = cpu
  const word = (index: number): number => st[index] >>> 0
  return {
    cpu: number,
    time: machine.clock.now(),
    retired: cpu.retired,
    world: worldOf(target, cpu),
    halted: st[S_HALTED] !== 0,
    gpr: Array.from({ length: 8 }, (_, i) => cpu.r[i] >>> 0),
    eip: word(S_EIP),
    eflags: getEflags(cpu) >>> 0,
    cr: { cr0: word(S_CR0), cr2: word(S_CR2), cr3: word(S_CR3), cr4: word(S_CR4) },
    dr: Array.from({ length: 8 }, (_, i) => word(S_DR + i)),
    segments: SEGMENT_NAMES.map((name, i) => ({
      name,
      selector: word(S_SEG_SELECTOR + i) & 0xffff,
      base: word(S_SEG_BASE + i),
      limit: word(S_SEG_LIMIT + i),
      description: describeAttributes(st[S_SEG_ATTR + i]),
    })),
    gdtr: { base: word(S_GDT_BASE), limit: word(S_GDT_LIMIT) },
    idtr: { base: word(S_IDT_BASE), limit: word(S_IDT_LIMIT) },
    fpu: {
      control: word(S_FPU_CONTROL),
      status: word(S_FPU_STATUS),
      tag: word(S_FPU_TAG),
      st: Array.from({ length: 8 }, (_, i) => fpuRegister(cpu, (i + (st[S_FPU_STATUS] >>> 11)) & 7)),
    },
    lguest: lguestState(target, number),
    counters: cpuStatistics(hypervisor, number),
  }
}

/** ST(i), whose register of the file is `register`, as a decimal number. */
function fpuRegister(cpu: Cpu, register: number): string {
  const { st } = cpu
  if (((st[S_FPU_TAG] >>> (2 * register)) & 3) === 3) return 'empty'
  const at = S_FPU_REG + register * 4
  const [low, high, top] = [st[at] >>> 0, st[at + 1] >>> 0, st[at + 2] & 0xffff]
  const exponent = top & 0x7fff
  const sign = (top & 0x8000) !== 0 ? '-' : ''
  if (exponent === 0x7fff) return (high & 0x7fff_ffff) === 0 && low === 0 ? `${sign}infinity` : 'NaN'
  const significand = high * 2 ** -31 + low * 2 ** -63
  return `${sign}${(significand * 2 ** (exponent - 16383)).toString()}`
}

function worldOf(target: InspectionTarget, cpu: Cpu): CpuWorld {
  const ring = cpu.st[S_CPL]
  const guest = currentGuest(target, cpu.id)
  if (ring !== 0 && guest !== null) {
    const identity = target.identify(guest.address)
    return { kind: 'guest', guestId: identity?.guestId ?? '', guestName: identity?.name ?? 'a guest', ring }
  }
  const eip = cpu.st[S_EIP] >>> 0
  if (eip >= SWITCHER_ADDR && eip < SWITCHER_ADDR + SWITCHER_TEXT_PAGES * PAGE_SIZE) {
    return { kind: 'host', where: 'switcher' }
  }
  return { kind: 'host', where: cpu.st[S_HALTED] !== 0 ? 'idle' : 'kernel' }
}

function lguestState(target: InspectionTarget, cpu: number): LguestCpuState {
  const { hypervisor } = target
  const vars = hypervisor.cpu(cpu)
  const last = lastGuest(target, cpu)
  const pte = hypervisor.mem.read32(vars.hypervisor_pte_page + lguestPagesPte(cpu) * 4) >>> 0
  const has = (bit: number): boolean => (vars.last_copied & bit) !== 0
  const changed = last?.s.changed ?? 0
  return {
    pagesLinear: lguestPages(cpu),
    pagesPhysical: [vars.page0, vars.page1],
    regsPage: (pte & ~(PAGE_SIZE - 1)) >>> 0,
    regsPte: pte,
    hostCr3: hypervisor.roState(cpu).host_cr3,
    lastGuest: last === null ? null : (target.identify(last.address)?.guestId ?? null),
    lastGuestAddress: vars.last_guest,
    lastPages: last?.s.last_pages ?? 0,
    changed: {
      idt: (changed & CHANGED_IDT) !== 0,
      gdt: (changed & CHANGED_GDT) !== 0,
      tls: (changed & CHANGED_GDT_TLS) !== 0,
      bits: changed,
    },
    lastSwitch:
      last === null
        ? null
        : {
            trap: vars.last_trap,
            copied: {
              idt: has(COPIED_IDT),
              gdt: has(COPIED_GDT),
              tls: has(COPIED_TLS),
              regs: has(COPIED_REGS),
              bytes: vars.last_bytes,
            },
            avoidedBytes: Math.max(0, fullCopyBytes(last) - vars.last_bytes),
          },
  }
}

/** Size of a pair, for the memory view's "go to". */
export const PAIR_SIZE = LGUEST_PAGES_size

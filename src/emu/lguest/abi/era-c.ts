/**
 * Era C: the Guest interface of Linux 3.1 to 3.19 (arguments ebx, ecx, edx, esi; LOAD_GDT_ENTRY; linear mode until the first
 * NEW_PGTABLE; NOTIFY and virtio over a device page). pup speaks it. Reference: the C columns.
 */
import { HcallArgs, LguestData, LHCALL } from '../../layout/lguest-data.ts'
import { GUEST_PL, LGUEST_TRAP_ENTRY, SYSCALL_VECTOR } from '../../layout/lguest-pages.ts'
import { LguestRegs } from '../../layout/lguest-regs.ts'
import { FLAG_IF, PAGE_PSE, PAGE_SIZE } from '../../layout/x86.ts'
import { CHANGED_GDT_TLS, type Guest, hex, killGuest, lguestAddressOk } from '../guest.ts'
import { EINVAL } from '../errno.ts'
import { CALLS } from '../hypercalls.ts'
import { directTrap, setInterrupt, writeTimestamp } from '../interrupts-and-traps.ts'
import { guestPagetableClearAll, guestWalk } from '../page-tables.ts'
import { RESERVE_MEM, SWITCHER_ADDR, SWITCHER_ERA_C } from '../switcher/switcher.ts'
import { dataAddress, type GuestAbi, type Hypercall } from './abi.ts'

const hypercalls: (Hypercall | undefined)[] = []
hypercalls[LHCALL.FLUSH_ASYNC] = CALLS.FLUSH_ASYNC
hypercalls[LHCALL.LGUEST_INIT] = CALLS.LGUEST_INIT
hypercalls[LHCALL.SHUTDOWN] = CALLS.SHUTDOWN
hypercalls[LHCALL.NEW_PGTABLE] = CALLS.NEW_PGTABLE
hypercalls[LHCALL.FLUSH_TLB] = CALLS.FLUSH_TLB
hypercalls[LHCALL.LOAD_IDT_ENTRY] = CALLS.LOAD_IDT_ENTRY
hypercalls[LHCALL.SET_STACK] = CALLS.SET_STACK
hypercalls[LHCALL.TS] = CALLS.TS
hypercalls[LHCALL.SET_CLOCKEVENT] = CALLS.SET_CLOCKEVENT
hypercalls[LHCALL.HALT] = CALLS.HALT
hypercalls[LHCALL.SET_PTE] = CALLS.SET_PTE
hypercalls[LHCALL.SET_PGD] = CALLS.SET_PGD
hypercalls[LHCALL.LOAD_TLS] = CALLS.LOAD_TLS
hypercalls[LHCALL.NOTIFY] = CALLS.NOTIFY
hypercalls[LHCALL.LOAD_GDT_ENTRY] = CALLS.LOAD_GDT_ENTRY
hypercalls[LHCALL.SEND_INTERRUPTS] = CALLS.SEND_INTERRUPTS

/** LGUEST_INIT: fill in what the Host promises, read what the Guest says. */
function guestInit(lg: Guest, gpa: number): void {
  const { s, hv } = lg
  if (!lguestAddressOk(lg, gpa, LguestData.size)) {
    killGuest(lg, `bad guest page ${hex(gpa)}`)
    return
  }
  s.lguest_data = s.mem_base + gpa
  const data = LguestData.at(lg.memory, gpa)
  data.tsc_khz = hv.host.tscKhz
  if (data.syscall_vec !== SYSCALL_VECTOR) {
    killGuest(lg, 'bad syscall vector')
    return
  }
  s.noirq_start = data.noirq_start
  s.noirq_end = data.noirq_end
  writeTimestamp(lg)
  const kernelAddress = data.kernel_address
  data.reserve_mem = RESERVE_MEM
  if (kernelAddress >= SWITCHER_ADDR) {
    killGuest(lg, `bad kernel address ${hex(kernelAddress)}`)
    return
  }
  s.kernel_address = kernelAddress
  guestPagetableClearAll(lg)
}

export const eraC: GuestAbi = {
  era: 'C',
  id: 0,
  switcher: SWITCHER_ERA_C,
  regs: LguestRegs,
  data: LguestData.offset,
  hypercalls,
  drainsRingAlways: false,

  initializeWords: 3,
  parseInitialize([base, pfnLimit, start]) {
    if (base % PAGE_SIZE !== 0 || pfnLimit === 0) return EINVAL
    return { base, pfnLimit, start }
  },

  hcallArguments: (regs) => ({
    number: regs.eax,
    arg1: regs.ebx,
    arg2: regs.ecx,
    arg3: regs.edx,
    arg4: regs.esi,
  }),
  ringArguments(lg, slot) {
    const entry = HcallArgs.at(lg.memory, dataAddress(lg, LguestData.offset.hcalls + slot * HcallArgs.size))
    return { number: entry.arg0, arg1: entry.arg1, arg2: entry.arg2, arg3: entry.arg3, arg4: entry.arg4 }
  },
  guestInit,

  guestPa: guestWalk,
  mayEmulate: (lg) => (lg.regs.cs & 3) === GUEST_PL,
  skipsCli: true,
  hidesDebugRegisters: true,

  pushedEflags: (eflags, irqEnabled) => ((irqEnabled & FLAG_IF) !== 0 ? eflags : eflags & ~FLAG_IF),
  storesIdtEntry: () => true,
  copiesTrap: (vector) => directTrap(vector),
  // PL3 may int3 and into if the Guest says so.
  defaultGateDpl: (vector, high) => (vector === LGUEST_TRAP_ENTRY ? GUEST_PL : (high >>> 13) & 3),
  bugKills: false,

  checksGdt: false,
  changedByTls: CHANGED_GDT_TLS,
  // Linux has an entry there, and any of its processes may touch the address: that is the process's fault, not the kernel's.
  killsSwitcherAccess: false,
  badPteFlags: PAGE_PSE,

  timerExpired: (lg) => setInterrupt(lg, 0),
}

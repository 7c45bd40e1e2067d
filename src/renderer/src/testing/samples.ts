/** What an engine tells about a host with two CPUs and one guest, for mount tests: figures of a real run of pup. */
import type { GuestSummary } from '@shared/guest'
import type { CpuSnapshot, DescriptorState, DisassemblyLine, SwitchEvent, TablesSnapshot } from '@shared/inspect'
import type { Stats } from '@shared/protocol'

export const PUP: GuestSummary = {
  id: 'pup-1',
  config: {
    schema: 1,
    name: 'pup',
    kind: 'pup',
    kernel: '',
    initrd: '',
    append: '',
    memory: 64,
    disks: [],
    net: 'none',
    notes: '',
    tags: [],
    symbols: '',
  },
  state: 'running',
  reason: null,
  colour: 2,
  createdAt: '2026-01-01T10:00:00Z',
  startedAt: '2026-01-01T10:00:01Z',
  cpuShare: 0.25,
  memoryUsed: 3 * 1024 * 1024,
  activity: [100, 120],
  cpu: 0,
}

const segment = (name: CpuSnapshot['segments'][number]['name'], selector: number, description: string) => ({
  name,
  selector,
  base: 0,
  limit: 0xffffffff,
  description,
})

/** CPU 0 in pup's kernel. */
export const IN_GUEST: CpuSnapshot = {
  cpu: 0,
  time: 1_500_000_000,
  retired: 41_000_000,
  world: { kind: 'guest', guestId: 'pup-1', guestName: 'pup', ring: 1 },
  halted: false,
  gpr: [0x1, 0xc0102000, 0x3f8, 0x0, 0xc010ffe0, 0xc010fff8, 0xc0101000, 0xdeadbeef],
  eip: 0xc0100123,
  eflags: 0x246,
  cr: { cr0: 0x80010031, cr2: 0x08048000, cr3: 0x01a3f000, cr4: 0x90 },
  dr: [0xc0100200, 0, 0, 0, 0, 0, 0xffff0ff0, 0x00000401],
  segments: [
    segment('es', 0x69, 'data rw- 32-bit DPL 1'),
    segment('cs', 0x61, 'code r-x 32-bit DPL 1'),
    segment('ss', 0x69, 'data rw- 32-bit DPL 1'),
    segment('ds', 0x69, 'data rw- 32-bit DPL 1'),
    segment('fs', 0, 'unusable'),
    segment('gs', 0, 'unusable'),
    segment('ldtr', 0, 'unusable'),
    { name: 'tr', selector: 0x50, base: 0xffc06b70, limit: 0x67, description: 'TSS (busy) DPL 0' },
  ],
  gdtr: { base: 0xffc06968, limit: 0x00ff },
  idtr: { base: 0xffc06168, limit: 0x07ff },
  fpu: { control: 0x37f, status: 0, tag: 0xffff, st: Array.from({ length: 8 }, () => 'empty') },
  lguest: {
    pagesLinear: 0xffc05000,
    pagesPhysical: [0x00211000, 0x00212000],
    regsPage: 0x00345000,
    regsPte: 0x00345063,
    hostCr3: 0x00101000,
    lastGuest: 'pup-1',
    lastGuestAddress: 0x00400800,
    lastPages: 0xffc05000,
    changed: { idt: false, gdt: false, tls: true, bits: 4 },
    lastSwitch: {
      trap: 14,
      copied: { idt: false, gdt: false, tls: true, regs: false, bytes: 24 },
      avoidedBytes: 2352,
    },
  },
  counters: {
    worldSwitches: 12_345,
    switchesByTrap: { '14': 9000, '31': 3000, '239': 345 },
    copied: { idt: 3, gdt: 4, tls: 20, all: 0, bytes: 7000 },
    avoidedBytes: 28_000_000,
    elided: 12_318,
  },
}

/** CPU 1, halted in the host, where no guest ever was. */
export const IDLE: CpuSnapshot = {
  ...IN_GUEST,
  cpu: 1,
  world: { kind: 'host', where: 'idle' },
  halted: true,
  eip: 0xc0001010,
  lguest: null,
  counters: { ...IN_GUEST.counters, worldSwitches: 0, switchesByTrap: {} },
}

const entry = (index: number, low: number, high: number, description: string, copied = false): DescriptorState => ({
  index,
  low,
  high,
  description,
  copied,
})

export const TABLES: TablesSnapshot = {
  gdt: [
    entry(0, 0, 0, 'empty'),
    entry(6, 0x0000ffff, 0x00cff300, 'data rw- 32-bit DPL 3, base 0x0, limit 0xffffffff', true),
    entry(7, 0, 0, 'empty', true),
    entry(12, 0x0000ffff, 0x00cfbb00, 'code r-x 32-bit DPL 1, base 0x0, limit 0xffffffff'),
  ],
  idt: [
    entry(13, 0x0060009b, 0xffc08e00, 'interrupt gate DPL 0 to 0x60:0xffc0009b'),
    entry(14, 0x006000a0, 0xffc08e00, 'interrupt gate DPL 0 to 0x60:0xffc000a0'),
  ],
  tss: [
    { name: 'esp0', offset: 4, value: 0xffc05ff4 },
    { name: 'ss0', offset: 8, value: 0x68 },
  ],
}

export const CODE: DisassemblyLine[] = [
  { address: 0xc0100123, bytes: '55', text: 'push ebp', symbol: 'schedule' },
  { address: 0xc0100124, bytes: '89 e5', text: 'mov ebp, esp', symbol: 'schedule+0x1' },
  { address: 0xc0100126, bytes: 'e8 d5 00 00 00', text: 'call 0xc0100200 <pick_next>', symbol: 'schedule+0x3' },
  ...Array.from({ length: 20 }, (_, i) => ({
    address: 0xc010012b + i,
    bytes: '90',
    text: 'nop',
    symbol: `schedule+0x${(8 + i).toString(16)}`,
  })),
]

export const SWITCHES: SwitchEvent[] = [
  { cpu: 0, guestId: 'pup-1', start: 1_000_000, end: 1_012_000, trap: 14, copied: 7, bytes: 2376 },
  { cpu: 0, guestId: 'pup-1', start: 1_020_000, end: 1_021_500, trap: 31, copied: 0, bytes: 0 },
  { cpu: 0, guestId: 'pup-1', start: 1_030_000, end: 1_090_000, trap: 239, copied: 4, bytes: 24 },
]

export const STATS: Stats = {
  time: 1_500_000_000,
  mips: 41.5,
  cpus: [
    {
      busy: 0.62,
      guestId: 'pup-1',
      switches: 15_200,
      copiedBytes: 4096,
      avoidedBytes: 36_000_000,
      elided: 15_000,
      switchesByTrap: { '14': 12_000, '31': 3000, '239': 200 },
    },
    { busy: 0, guestId: null, switches: 0, copiedBytes: 0, avoidedBytes: 0, elided: 0, switchesByTrap: {} },
  ],
  guests: [
    {
      guestId: 'pup-1',
      cpu: 0,
      cpuShare: 0.31,
      switches: 15_200,
      hypercalls: { SET_PTE: 2500, HALT: 90 },
      interrupts: 100,
      pageFaults: { demand: 12, reflected: 700 },
      memoryUsed: 3 * 1024 * 1024,
      disk: { read: 4096, written: 1024 },
      net: { sent: 512, received: 256 },
    },
  ],
  memory: [
    { owner: 'host kernel', guestId: null, bytes: 4 * 1024 * 1024 },
    { owner: 'guest memory', guestId: 'pup-1', bytes: 2 * 1024 * 1024 },
    { owner: 'shadow tables', guestId: 'pup-1', bytes: 512 * 1024 },
  ],
  scheduler: [
    { cpu: 0, runQueue: 1, contextSwitches: 210, migrations: 3 },
    { cpu: 1, runQueue: 0, contextSwitches: 0, migrations: 0 },
  ],
  engineRss: 180 * 1024 * 1024,
  copy: 'elide',
}

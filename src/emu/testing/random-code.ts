/**
 * Random code for a Guest: PIECES short pieces of it and a handler. The handler takes every trap and interrupt and goes on with the next
 * piece, so a piece may fail where it likes and the Guest lives on, until it breaks a rule of its hypervisor or has lived LIFE pieces.
 * The pieces do what is dangerous for a hypervisor, mostly with values that are nearly right. Used by fuzz-guests.ts.
 */
import { LHCALL } from '../layout/lguest-data.ts'
import { DATA_GPA, KERNEL_ADDRESS } from './guest-memory.ts'
import type { Random } from './random.ts'

/** Guest-physical memory: code, two sets of page tables (three pages each), stacks. */
export const FUZZ_PAGES = 64
export const CODE_GPA = 0x1000
export const FUZZ_PGDS = [0x20000, 0x24000]
export const STACK = KERNEL_ADDRESS + 0x18000
const KERNEL_STACK = KERNEL_ADDRESS + 0x1b000
const USER_STACK = 0x1c000
const SCRATCH = KERNEL_ADDRESS + 0x1d000
const IRQ_ENABLED = KERNEL_ADDRESS + DATA_GPA
const BLOCKED_INTERRUPTS = KERNEL_ADDRESS + DATA_GPA + 4
/** The hypervisor's region. */
const REGION = 0xffc00000

const PIECES = 60
const LIFE = 400

/** The number as the assembler wants it. */
export const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`

const lines = (...parts: readonly string[]): string => parts.join('\n    ')

/** One hypercall as text: number and arguments into the era's registers, then the trap. */
export function hcallText(era: 'A' | 'C', number: number, ...args: readonly (number | string)[]): string {
  const registers = era === 'A' ? ['edx', 'ebx', 'ecx'] : ['ebx', 'ecx', 'edx']
  const text = (arg: number | string): string => (typeof arg === 'number' ? hex(arg) : arg)
  return lines(...args.map((arg, i) => `mov ${registers[i]}, ${text(arg)}`), `mov eax, ${number}`, 'int 0x1f')
}

/** A hypercall that does nothing (FLUSH_ASYNC is 0): only the trip matters. */
const TRIP = lines('mov eax, 0', 'int 0x1f')

const PRIVILEGED = [
  ['cli', 'sti', 'hlt', 'clts', 'rdmsr', 'wrmsr', 'rdpmc', 'sysenter', 'sysexit', 'wbinvd', 'invd', 'gate'],
  ['ud2', 'into', 'int3', 'rdtsc', 'cpuid', 'mov eax, cr0', 'mov cr3, eax', 'mov cr4, eax', 'mov dr7, eax'],
  ['mov eax, dr6', 'lgdt [0xc0020000]', 'lidt [0xc0020000]', 'ltr ax', 'lldt ax', 'invlpg [0xc0001000]', 'lmsw ax'],
  ['str eax', 'sldt eax', 'sgdt [0xc001d000]', 'in al, 0x64', 'out 0x80, al', 'in eax, dx'],
].flat()

/** fadd, fdivp, fpatan, fwait, fstp st0. */
const FPU = ['0xd8, 0xc1', '0xde, 0xf9', '0xd9, 0xf3', '0x9b', '0xdd, 0xd8']

class RandomCode {
  private readonly random: Random
  private readonly era: 'A' | 'C'

  constructor(random: Random, era: 'A' | 'C') {
    this.random = random
    this.era = era
  }

  // --- values ------------------------------------------------------------------------------------------------------------

  private selector(): number {
    const { random } = this
    const usual = [0, 0, 1, 3, 0x60, 0x61, 0x68, 0x69, 0x69, 0x6b, 0x73, 0x7b, 0x7b, 0xd8, 0xd9, 0xdb]
    const ours = [0x50, 0x51, 0x53, 0x58, 0x59, 0x5b, 0x80, 0x83, 0x88, 0xf8, 0xfb, 0x100, 4, 7, 0xc, 0x6c, 0xfff8]
    return random.chance(60) ? random.pick(usual) : random.chance(70) ? random.pick(ours) : random.below(0x10000)
  }

  private address(): number {
    const { random } = this
    const edges = [0, 0x2fb8, 0x3000, 0x3988, 0x4ffc, -4].map((offset) => REGION + offset)
    return random.pick([
      () => REGION + random.below(0x8000),
      () => random.pick([...edges, 0xfffffffc, 0, 2]),
      () => random.next(),
      () => KERNEL_ADDRESS + random.pick(FUZZ_PGDS) + random.below(0x3000),
      () => IRQ_ENABLED + random.below(64),
      () => random.below(FUZZ_PAGES * 4096),
      () => KERNEL_ADDRESS + random.below(FUZZ_PAGES * 4096),
      () => KERNEL_ADDRESS + random.below(FUZZ_PAGES + 2) * 4096 + random.pick([0, 4, 0xffc, 0xffe]),
    ])()
  }

  private eflags(): number {
    let flags = 2
    // All but IF, which ring 1 cannot change anyway, and the reserved ones.
    for (let bit = 0; bit < 22; bit++) if (this.random.chance(25)) flags |= (1 << bit) & 0x277dd5
    return flags
  }

  /** Second word of a descriptor. */
  private descriptor(): number {
    const { random } = this
    const usual = [0x92, 0x9a, 0xf2, 0xfa, 0xb2, 0xba, 0x96, 0x9e, 0xfe]
    const access = random.chance(70) ? random.pick(usual) : random.below(256)
    const high = random.chance(70) ? 0xcf : random.below(256)
    return random.chance(80) ? (high << 16) | (access << 8) : random.next()
  }

  /** Second word of a gate. */
  private gate(): number {
    const { random } = this
    const access = random.chance(90) ? random.pick([0x8e, 0x8f, 0xee, 0xef, 0xae, 0xaf, 0]) : random.below(256)
    return (access << 8) | random.pick([KERNEL_ADDRESS, KERNEL_ADDRESS, REGION, random.next() & 0xffff0000])
  }

  private pte(): number {
    const { random } = this
    const pfn = random.chance(97) ? random.below(FUZZ_PAGES) : random.below(0x100000)
    const usual = [0, 1, 3, 5, 7, 0x23, 0x63, 0x67, 0x67]
    return (pfn << 12) | (random.chance(97) ? random.pick(usual) : random.below(4096))
  }

  private value(): number {
    const { random } = this
    return random.pick([this.address(), this.pte(), this.descriptor(), this.gate(), random.below(64)])
  }

  // --- pieces ------------------------------------------------------------------------------------------------------------

  private call(number: number, ...args: readonly (number | string)[]): string {
    return hcallText(this.era, number, ...args)
  }

  /** A hypercall whose arguments mean something to it, mostly. */
  private hypercall(): string {
    const { random } = this
    const pgd = random.pick(FUZZ_PGDS)
    const stack = random.chance(98) ? KERNEL_STACK : this.address()
    const mapped = random.pick([0, KERNEL_ADDRESS]) + random.below(FUZZ_PAGES * 4096)
    const pteOf = random.chance(98) ? mapped : this.address()
    const entry = random.chance(97) ? random.pick([6, 7, 8, 10, 11, 14, 15, 16, 17, 20, 27, 31]) : random.below(33)
    const calls: (readonly [number, ...number[]])[] = [
      [LHCALL.FLUSH_ASYNC],
      [LHCALL.NEW_PGTABLE, random.chance(99) ? pgd : this.value()],
      [LHCALL.FLUSH_TLB, random.below(2)],
      [LHCALL.LOAD_IDT_ENTRY, random.below(random.pick([32, 64, 256])), random.next(), this.gate()],
      [LHCALL.SET_STACK, random.chance(99) ? 0x69 : this.selector(), stack, random.below(2)],
      [LHCALL.TS, random.pick([0, 8])],
      [LHCALL.SET_CLOCKEVENT, random.pick([0, 1, 2, 100, 5000, 1_000_000])],
      [LHCALL.SET_PTE, pgd, pteOf, this.pte()],
      [LHCALL.SET_PGD, pgd, random.pick([0, 768, 1022, 1023])],
      [LHCALL.LOAD_TLS, this.address() & 0xffff],
      [LHCALL.SEND_INTERRUPTS],
      [LHCALL.LOAD_GDT_ENTRY, entry, random.next(), this.descriptor()],
      [LHCALL.NOTIFY, random.below(0x10000)],
    ]
    const any = [random.below(64), this.value(), this.value(), this.value()] as const
    return this.call(...(random.below(300) !== 0 ? random.pick(calls) : any))
  }

  /** An odd selector in a register: refused at once, or popped by the Switcher some time later. */
  private segments(): string {
    const { random } = this
    const load = lines(`mov eax, ${hex(this.selector())}`, `mov ${random.pick(['ds', 'es', 'fs', 'gs', 'ss'])}, eax`)
    return random.pick([load, lines(load, TRIP), lines(this.hypercall(), load)])
  }

  /** A descriptor of any type, used at once. */
  private newDescriptor(): string {
    const { random } = this
    const load = `mov ${random.pick(['ds', 'es', 'fs', 'gs', 'ss'])}, eax`
    const set = this.call(LHCALL.LOAD_GDT_ENTRY, 20, random.next(), this.descriptor())
    const far = `${random.pick(['jmp', 'call'])} ${hex(0xa0 + random.below(4))}:${hex(this.address())}`
    return lines(set, random.pick([lines(`mov eax, ${hex(0xa0 + random.below(4))}`, load, TRIP), far]))
  }

  private flags(): string {
    const { random } = this
    const then = [
      TRIP,
      lines('mov eax, 0', `int ${hex(random.pick([3, 4, 0x80, 0x80, random.below(256)]))}`),
      `mov eax, [${hex(this.address())}]`,
      random.pick(PRIVILEGED),
    ]
    return lines(`push ${hex(this.eflags())}`, 'popfd', 'nop', random.pick(then))
  }

  /** IRET: to ring 3, where a few instructions follow; to the same ring; to nowhere. */
  private rings(i: number): string {
    const { random } = this
    if (random.chance(30)) {
      const cs = random.pick([0x61, this.selector()])
      return lines(`push ${hex(this.eflags())}`, `push ${hex(cs)}`, 'push next', 'iretd')
    }
    const user = random.pick([
      'int 0x80',
      'int 0x1f',
      'sysenter',
      '.byte 0xf1',
      `int ${hex(random.below(256))}`,
      lines('pushfd', 'or dword [esp], 0x4100', 'popfd', 'int 0x80'),
      lines('fld1', 'fstp st0', 'int 0x80'),
      lines(`mov eax, ${hex(this.selector())}`, 'mov ds, eax', 'int 0x80'),
      lines(`mov eax, [${hex(this.address())}]`, 'int3'),
    ])
    return lines(
      `push ${hex(random.pick([0x7b, 0x7b, this.selector()]))}`,
      `push ${hex(random.pick([USER_STACK, USER_STACK, this.address()]))}`,
      `push ${hex(this.eflags())}`,
      `push ${hex(random.pick([0x73, 0x73, this.selector()]))}`,
      `push (user_${i} + ${hex(random.chance(70) ? -KERNEL_ADDRESS : this.address())}) & 0xffffffff`,
      'iretd',
      `user_${i}: ${user}`,
      'ud2',
    )
  }

  private stacks(): string {
    const use = this.random.pick([TRIP, 'int3', 'int 0x80', 'push eax', 'ud2', 'pushad'])
    return lines(`mov esp, ${hex(this.address())}`, use)
  }

  /** Into the Switcher's text, or anywhere. */
  private jumps(): string {
    const { random } = this
    const at = random.chance(50) ? REGION + random.below(0x1400) : this.address()
    return random.chance(60)
      ? lines(`mov eax, ${hex(at)}`, 'jmp eax')
      : `${random.pick(['jmp', 'call'])} ${hex(this.selector())}:${hex(at)}`
  }

  private memory(): string {
    const at = `[${hex(this.address())}]`
    return this.random.chance(50) ? `mov eax, ${at}` : `mov dword ${at}, ${hex(this.value())}`
  }

  /** The directory names itself, or a piece of code is a page table; then something is read through it. */
  private pageTables(): string {
    const { random } = this
    const slot = KERNEL_ADDRESS + random.pick(FUZZ_PGDS) + random.pick([0, 1, 768, 769, 1022, 1023]) * 4
    const entry = random.pick([...FUZZ_PGDS, CODE_GPA, CODE_GPA + 0x1000]) | 0x67
    const at = random.pick([0, 0x400000, 0xc0000000, 0xc0400000, 0xff800000]) + random.below(0x400) * 4096
    return lines(
      `mov dword [${hex(slot)}], ${hex(entry)}`,
      this.call(LHCALL.FLUSH_TLB, 1),
      `${random.pick(['mov', 'mov', 'xchg'])} eax, [${hex(at)}]`,
    )
  }

  /** Timer storms, sleep, and code that never ends. */
  private time(i: number): string {
    const { random } = this
    const storm = lines(
      this.call(LHCALL.SET_CLOCKEVENT, random.pick([1, 50])),
      `mov dword [${hex(IRQ_ENABLED)}], 0x200`,
      `mov dword [${hex(BLOCKED_INTERRUPTS)}], 0`,
      this.call(LHCALL.HALT),
    )
    const spin = lines('mov ecx, 2000', `.w${i}: dec ecx`, `jnz .w${i}`)
    return random.chance(6) ? random.pick(['jmp $', this.call(LHCALL.HALT)]) : random.pick([storm, spin])
  }

  private fpu(): string {
    return lines('fninit', 'fld1', 'fldpi', `.byte ${this.random.pick(FPU)}`)
  }

  private bytes(): string {
    return `.byte ${Array.from({ length: 6 }, () => this.random.below(256)).join(', ')}`
  }

  private piece(i: number): string {
    const body = this.random.pick([
      () => this.segments(),
      () => this.segments(),
      () => this.newDescriptor(),
      () => this.flags(),
      () => this.flags(),
      () => this.rings(i),
      () => this.rings(i),
      () => this.stacks(),
      () => this.jumps(),
      () => this.memory(),
      () => this.memory(),
      () => this.pageTables(),
      () => this.time(i),
      () => this.fpu(),
      () => this.bytes(),
      () => this.random.pick(PRIVILEGED),
      () => this.hypercall(),
      () => this.hypercall(),
      () => lines(this.hypercall(), this.hypercall()),
    ])
    return `piece_${i}:\n    ${body()}\n    jmp next\n`
  }

  // --- the whole ---------------------------------------------------------------------------------------------------------

  private loadGates(): string {
    const vectors = [...Array.from({ length: 34 }, (_, vector) => vector), 0x80]
    const gates = vectors.map((vector) => {
      const access = 0x8000 | (this.random.pick([0, 0, 1, 3]) << 13) | (this.random.pick([0xe, 0xf]) << 8)
      const high = `(handler & 0xffff0000) | ${hex(access)}`
      return this.call(LHCALL.LOAD_IDT_ENTRY, vector, '(handler & 0xffff) | 0x610000', high)
    })
    return lines(...gates)
  }

  private loadSegments(): string {
    if (this.era === 'A') return this.call(LHCALL.LOAD_GDT, 'gdt - PAGE_OFFSET', 32)
    return lines(
      this.call(LHCALL.LOAD_GDT_ENTRY, 14, 0xffff, 0x00cffa00),
      this.call(LHCALL.LOAD_GDT_ENTRY, 15, 0xffff, 0x00cff200),
      this.call(LHCALL.LOAD_GDT_ENTRY, 27, 0xffff, 0x00cf9200),
    )
  }

  source(): string {
    const pieces = Array.from({ length: PIECES }, (_, i) => this.piece(i))
    return `
start:
    ${this.call(LHCALL.LGUEST_INIT, DATA_GPA)}
    ${this.call(LHCALL.NEW_PGTABLE, FUZZ_PGDS[0])}
    mov esp, ${hex(STACK)}
    mov eax, high
    jmp eax
high:
    ${this.loadSegments()}
    ${this.loadGates()}
    ${this.call(LHCALL.SET_STACK, 0x69, KERNEL_STACK, 1)}
    mov dword [${hex(BLOCKED_INTERRUPTS)}], 0
handler:
next:
    mov eax, 0x69
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov esp, ${hex(STACK)}
    mov dword [${hex(IRQ_ENABLED)}], 0x200
    inc dword [${hex(SCRATCH)}]
    mov eax, [${hex(SCRATCH)}]
    cmp eax, ${LIFE}
    ja over
    imul eax, eax, ${this.random.pick([1, 7, 11, 13, 17])}
    xor edx, edx
    mov ecx, ${PIECES}
    div ecx
    jmp [table + edx * 4]
over:
    ${this.call(LHCALL.SHUTDOWN, 'text - PAGE_OFFSET', 1)}
text:
    .asciz "over"
    .align 8
gdt:
    .space 12 * 8
    .long 0xffff, 0x00cf9a00, 0xffff, 0x00cf9200, 0xffff, 0x00cffa00, 0xffff, 0x00cff200
    .space 11 * 8
    .long 0xffff, 0x00cf9200
    .space 4 * 8
table:
    .long ${pieces.map((_, i) => `piece_${i}`).join(', ')}
${pieces.join('')}
`
  }
}

/** Assembler text of a random Guest kernel of an era, to be linked at KERNEL_ADDRESS + CODE_GPA with PAGE_OFFSET = KERNEL_ADDRESS. */
export function randomCode(random: Random, era: 'A' | 'C'): string {
  return new RandomCode(random, era).source()
}

/**
 * The smallest Guest that uses all of the Switcher: a few dozen instructions in rings 1 and 3 that make hypercalls, take a direct system
 * call, a reflected trap and demand faults, and power off with a text. Each step pushes all registers, so the memory at the
 * end tells whether any was ever lost. One source for both eras; only the registers of the arguments differ.
 */
import { assemble } from '../asm/assembler.ts'
import { LguestData, LHCALL } from '../layout/lguest-data.ts'
import { type Guest, lgwrite32 } from '../lguest/guest.ts'
import { buildPageTables, DATA_GPA, KERNEL_ADDRESS } from './guest-memory.ts'

export const TINY_PGD = 0x10000
const CODE_GPA = 0x1000
const STACK = KERNEL_ADDRESS + 0x9000
const KERNEL_STACK = KERNEL_ADDRESS + 0xb000
const USER_STACK = 0xd000

/** One hypercall as text: number and arguments into the era's registers, then the trap. */
function hypercall(era: 'A' | 'C', number: number, ...args: (number | string)[]): string {
  const registers = era === 'A' ? ['edx', 'ebx', 'ecx'] : ['ebx', 'ecx', 'edx']
  const loads = args.map((arg, i) => `    mov ${registers[i]}, ${arg}`)
  return [...loads, `    mov eax, ${number}`, '    int 0x1f'].join('\n')
}

function source(era: 'A' | 'C'): string {
  const call = (number: number, ...args: (number | string)[]): string => hypercall(era, number, ...args)
  const high = (handler: string, dpl: number, type: number): string =>
    `(${handler} & 0xffff0000) | ${0x8000 | (dpl << 13) | (type << 8)}`
  const gate = (vector: number, handler: string, dpl: number, type: number): string =>
    call(LHCALL.LOAD_IDT_ENTRY, vector, `0x600000 | (${handler} & 0xffff)`, high(handler, dpl, type))
  const gdt =
    era === 'A'
      ? call(LHCALL.LOAD_GDT, 'gdt - PAGE_OFFSET', 32)
      : [
          call(LHCALL.LOAD_GDT_ENTRY, 14, 0xffff, 0x00cffa00),
          call(LHCALL.LOAD_GDT_ENTRY, 15, 0xffff, 0x00cff200),
          call(LHCALL.LOAD_GDT_ENTRY, 27, 0xffff, 0x00cf9200),
        ].join('\n')
  return `
start:
${call(LHCALL.LGUEST_INIT, DATA_GPA)}
${call(LHCALL.NEW_PGTABLE, TINY_PGD)}
    mov esp, ${STACK}
    mov eax, high
    jmp eax
high:
${gdt}
    mov eax, 0xd9
    mov fs, eax
    mov eax, 0x7b
    mov es, eax
    mov gs, eax
${gate(0x80, 'system_call', 3, 0xf)}
${gate(6, 'bad_opcode', 0, 0xe)}
${gate(33, 'interrupt', 0, 0xe)}
${call(LHCALL.SET_STACK, 0x69, KERNEL_STACK, 1)}
ready:                                  ; everything is set up; from here on each step is worth watching
    mov ebx, 0x22222222
    mov ecx, 0x33333333
    mov edx, 0x44444444
    mov esi, 0x55555555
    mov edi, 0x66666666
    mov ebp, 0x77777777
    stc
    std
    mov eax, ${LHCALL.FLUSH_ASYNC}
    int 0x1f
    pushfd
    pushad
    push es
    push fs
    push gs
    cld
    mov eax, [0xc0030000]               ; a page never touched: demand fault
    inc dword [0xc0030000]              ; and now it becomes dirty
    push 0x7b
    push ${USER_STACK}
    push 0x3202 & 0x202
    push 0x73
    push user - PAGE_OFFSET
    iretd
user:                                   ; ring 3, at its low address
    mov eax, 0x7b
    mov ds, eax
    mov eax, 0x88888888
    mov ebx, 0x99999999
    int 0x80
    push eax
    mov dword [0x1f000], 0x600d600d     ; demand fault in ring 3
    ud2
system_call:                            ; straight from ring 3
    push ds
    pushad
    mov edi, 0x69
    mov ds, edi
    mov eax, ${LHCALL.FLUSH_ASYNC}
    int 0x1f
    popad
    pop ds
    inc eax
    iretd
interrupt:                              ; virtual interrupt 1
    inc dword ss:[0xc0031000]
    push eax
    mov eax, 0x200
    mov ss:[${KERNEL_ADDRESS + DATA_GPA}], eax
    pop eax
    iretd
bad_opcode:                             ; reflected by the Host
    push ds
    pushad
    mov edi, 0x69
    mov ds, edi
${call(LHCALL.SHUTDOWN, 'text - PAGE_OFFSET', 1)}
text:
    .asciz "Power down"
    .align 8
gdt:
    .space 12 * 8
    .long 0xffff, 0x00cf9a00, 0xffff, 0x00cf9200, 0xffff, 0x00cffa00, 0xffff, 0x00cff200
    .space 11 * 8
    .long 0xffff, 0x00cf9200
    .space 4 * 8
`
}

/** Writes the program, lguest_data and page tables into a new Guest, which must be entered at tinyEntry(era). */
export function loadTinyGuest(lg: Guest): Readonly<Record<string, number>> {
  const { era } = lg.abi
  const { bytes, labels } = assemble(source(era), {
    origin: KERNEL_ADDRESS + CODE_GPA,
    symbols: { PAGE_OFFSET: KERNEL_ADDRESS },
  })
  bytes.forEach((byte, i) => lg.memory.write8(CODE_GPA + i, byte))
  buildPageTables(lg, TINY_PGD, 0x007, true)
  const data = lg.abi.data
  for (let i = 0; i < 64; i++) lg.memory.write8(DATA_GPA + data.hcall_status + i, 0xff)
  if (era === 'C') {
    lgwrite32(lg, DATA_GPA + LguestData.offset.kernel_address, KERNEL_ADDRESS)
    lgwrite32(lg, DATA_GPA + LguestData.offset.syscall_vec, 0x80)
  }
  return labels
}

/** First eip: the physical address in era C, the virtual one in era A. */
export function tinyEntry(era: 'A' | 'C'): number {
  return era === 'A' ? KERNEL_ADDRESS + CODE_GPA : CODE_GPA
}

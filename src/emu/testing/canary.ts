/**
 * The canary: a well-behaved Guest of era C that finds out when a world switch, or another Guest on its CPUs, loses or changes anything of
 * its own. Round after round it sets registers, flags, segment registers and FPU to known values, spins while interrupts and other Guests
 * come and go, and compares. A difference ends it with "the canary is dead"; each round counts at LOOKS_GPA.
 */
import { LHCALL } from '../layout/lguest-data.ts'
import { DATA_GPA, KERNEL_ADDRESS } from './guest-memory.ts'
import { FUZZ_PGDS, hcallText, hex, STACK } from './random-code.ts'

/** Rounds so far, a word. */
export const LOOKS_GPA = 0x1d000

/** Its text, to be linked at KERNEL_ADDRESS + CODE_GPA with PAGE_OFFSET = KERNEL_ADDRESS. */
export const CANARY = `
start:
${hcallText('C', LHCALL.LGUEST_INIT, DATA_GPA)}
${hcallText('C', LHCALL.NEW_PGTABLE, FUZZ_PGDS[0])}
    mov esp, ${hex(STACK)}
    mov eax, high
    jmp eax
high:
${hcallText('C', LHCALL.LOAD_GDT_ENTRY, 6, 0x12340fff, 0x0040f256)}
${hcallText('C', LHCALL.LOAD_GDT_ENTRY, 27, 0xffff, 0x00cf9200)}
    mov eax, 0xd9
    mov fs, eax
    mov eax, 0x33
    mov gs, eax
    fninit
    fldpi
    push 0x0e7f
    fldcw [esp]
    pop eax
look:
    inc dword [${hex(KERNEL_ADDRESS + LOOKS_GPA)}]
    mov ebx, 0x22222222
    mov edx, 0x44444444
    mov esi, 0x55555555
    mov edi, 0x66666666
    mov ebp, 0x77777777
    push 0x240cd7                       ; CF PF AF ZF SF IF DF OF, AC, ID and a bit that does not exist
    popfd
    mov ecx, 3000
spin:                                   ; no flag changes here
    lea ecx, [ecx - 1]
    jecxz looked
    jmp spin
looked:
    pushfd
    mov eax, [esp]
    add esp, 4
    cmp eax, 0x240ed7
    jne bad
    cld
    cmp ebx, 0x22222222
    jne bad
    cmp edx, 0x44444444
    jne bad
    cmp esi, 0x55555555
    jne bad
    cmp edi, 0x66666666
    jne bad
    cmp ebp, 0x77777777
    jne bad
    cmp esp, ${hex(STACK)}
    jne bad
    mov eax, fs
    cmp eax, 0xd9
    jne bad
    mov eax, gs
    cmp eax, 0x33
    jne bad
    lsl eax, eax
    cmp eax, 0xfff
    jne bad
    mov eax, ds
    cmp eax, 0x69
    jne bad
    sub esp, 12
    fnstcw [esp]
    mov eax, [esp]
    and eax, 0xffff
    cmp eax, 0x0e7f
    jne bad
    fld st0
    .byte 0xdb, 0x3c, 0x24              ; fstp tbyte [esp]
    cmp dword [esp], 0x2168c235
    jne bad
    cmp dword [esp + 4], 0xc90fdaa2
    jne bad
    add esp, 12
    jmp look
bad:
${hcallText('C', LHCALL.SHUTDOWN, 'text - PAGE_OFFSET', 1)}
text:
    .asciz "the canary is dead"
`

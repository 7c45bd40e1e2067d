/**
 * The Host's own i386 text: the little that has to be machine code because the CPU itself must do it. Everything else the Host kernel
 * does is TypeScript behind a gate. A gate is an instruction that calls the function registered for its address and goes on after it,
 * unless the function set EIP elsewhere. The routines, and how they lead to each other:
 *
 *      startup -> gate_booted -> idle                   once a CPU
 *      idle    -> gate_idle -> idle                     nothing to run
 *      breathe -> gate_breathe -> idle                  interrupts in, then schedule
 *      run_guest_once -> (Switcher, Guest) -> gate_guest_returned -> breathe
 *      stub_N  -> host_irq -> gate_interrupt -> iretd   any interrupt, in any of these or in the Guest
 *
 * The scheduler behind gate_idle, gate_breathe and gate_guest_returned sends the CPU where it shall go, with a fresh stack; the
 * fall-through is what happens when it has nothing to say. Host text runs with interrupts off but for two windows, in idle and breathe.
 */
import { type Assembled, assemble } from '../asm/assembler.ts'
import { BootBlock } from '../layout/host-memory.ts'
import { GDT_ENTRY_KERNEL_CS, GDT_ENTRY_KERNEL_DS, TSS_SELECTOR } from '../layout/lguest-pages.ts'
import { CR0_ET, CR0_MP, CR0_NE, CR0_PE, CR0_PG, CR0_WP, CR4_PSE } from '../layout/x86.ts'

/** Where all RAM is in the kernel's half of every address space. */
export const DIRECT_MAP = 0xc000_0000
export const KERNEL_CS = GDT_ENTRY_KERNEL_CS * 8
export const KERNEL_DS = GDT_ENTRY_KERNEL_DS * 8

/** Gates of the text, by label. */
export const HOST_GATES = ['gate_booted', 'gate_idle', 'gate_breathe', 'gate_guest_returned', 'gate_interrupt'] as const
export type HostGate = (typeof HOST_GATES)[number]

/** What gate_interrupt finds at ss:esp, in words from there: pushad's registers, then vector, error code and the CPU's frame. */
export const FRAME_VECTOR = 8
export const FRAME_ERROR_CODE = 9
export const FRAME_EIP = 10
export const FRAME_CS = 11
export const FRAME_EFLAGS = 12

const SYMBOLS = {
  DIRECT_MAP,
  KERNEL_CS,
  KERNEL_DS,
  TSS_SELECTOR,
  CR4_PSE,
  // CD and NW are off: caches on. ET is hardwired to 1.
  CR0_ON: (CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG) >>> 0,
  BOOT_cr3: BootBlock.offset.boot_cr3,
  HOST_cr3: BootBlock.offset.host_cr3,
  BOOT_stack_top: BootBlock.offset.stack_top,
  BOOT_gdt_desc: BootBlock.offset.gdt_desc,
  BOOT_idt_desc: BootBlock.offset.idt_desc,
}

const HOST_TEXT = `
; A CPU starts here, at the PHYSICAL address: flat protected mode, paging and interrupts off, no stack, and ebx = the physical
; address of its boot block. The text is linked at DIRECT_MAP, so until the jump to startup.high no label may be used as an address.
startup:
    ; 4 MiB pages must be on before paging is: the direct map is made of them.
    mov eax, CR4_PSE
    mov cr4, eax
    ; The boot page directory has RAM in two places: at 0, where we are executing, and at DIRECT_MAP, where we want to be. With only
    ; the second, the very next instruction could not be fetched.
    mov eax, [ebx + BOOT_cr3]
    mov cr3, eax
    ; WP: the kernel too faults on read-only pages, as the Guest's side of the Switcher relies on. NE, MP: what lguest expects of x87.
    mov eax, CR0_ON
    mov cr0, eax
    mov eax, startup.high               ; A jump to a label is relative and would stay low: go by its absolute address.
    jmp eax
.high:
    add ebx, DIRECT_MAP                 ; The boot block, too, is up here now,
    mov eax, [ebx + HOST_cr3]           ; so the low half can go: it belongs to the launchers.
    mov cr3, eax
    lgdt [ebx + BOOT_gdt_desc]
    lidt [ebx + BOOT_idt_desc]
    ; The segment registers still cache what the reset left. The GDT is looked at when they are loaded.
    jmp KERNEL_CS:startup.segments
.segments:
    mov eax, KERNEL_DS
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov fs, ax
    mov gs, ax
    mov esp, [ebx + BOOT_stack_top]
    ; Marks the TSS busy. The Switcher clears that bit when it leaves, because it must load this TSS again when it comes back.
    mov eax, TSS_SELECTOR
    ltr ax
    ; No LDT. Processors come out of reset with one at address 0, which is a Guest's memory while a Guest runs, and the Switcher does not
    ; change LDTR: with it a Guest could make itself any descriptor it likes, a call gate to ring 0 too.
    xor eax, eax
    lldt ax
gate_booted:
    gate

; Nothing to run: sleep until an interrupt.
idle:
    ; An interrupt may make a task runnable. STI takes effect one instruction late, so none can come between it and hlt, to be
    ; slept through: it either came before, when the scheduler saw it, or it ends the hlt.
    sti
    hlt
    cli
gate_idle:
    gate
    jmp idle

; One trip into the Guest. edx -> far pointer to the Switcher, eax = its pair of pages, ebx = the Guest's page directory. All
; registers but esp and the ones the Switcher saves come back changed.
run_guest_once:
    ; The Switcher comes back by iretd, whether the Guest trapped or an interrupt was for us. So make the call look like an
    ; interrupt: eflags, cs, eip. Interrupts are off and stay off behind the gate.
    pushfd
    call far [edx]
gate_guest_returned:
    gate

; Let the interrupts that are waiting in, between two pieces of the kernel's work.
breathe:
    sti                                 ; Takes effect after the nop: that is where they come in, one after the other.
    nop
    cli
gate_breathe:
    gate
    jmp idle

; All interrupts and exceptions of the Host. On the stack: vector, error code (or 0), eip, cs, eflags.
;   - Every IDT gate has selector LGUEST_CS, which is the same in the GDTs of Host and Guest. The Switcher jumps here with that cs.
;   - No segment register is loaded: an interrupt of the Guest arrives with the Switcher's, one of the Host with the Host's, and
;     both are flat.
;   - Every register is preserved: the Switcher's NMI handler keeps something in ebx.
host_irq:
    pushad
gate_interrupt:
    gate
    popad
    add esp, 8                          ; vector, error code
    iretd

; The IDT's entries, one a vector because the CPU does not tell which it was. It pushes an error code for 8, 10-14 and 17; we
; push 0 for the rest, so that the frames are alike. The Switcher delivers only vectors that have none (2, and 32 and up).
stubs:
  .rept 256
stub_\\i:
  .if \\i != 8 && (\\i < 10 || \\i > 14) && \\i != 17
    push 0
  .endif
    push \\i
    jmp host_irq
  .endr
`

/** The text, linked to run at linear address `origin`. */
export function hostText(origin: number): Assembled {
  return assemble(HOST_TEXT, { origin, symbols: SYMBOLS })
}

; seed: a guest that speaks the interface of March 2007 (era A), in 300 lines.
;
; It is what the patch "Optimize away copy in and out of per-cpu guestpages" was written for: a kernel at ring 1 that
; was given page tables by its launcher, makes hypercalls by int 0x1f with arguments in edx, ebx, ecx, loads its GDT
; as a whole table, reads the timer by TIMER_READ, and talks to its console over the lguest bus (BIND_DMA, SEND_DMA).
;
; What it does: says hello and what the wall clock says, echoes console input, runs two ring-3 tasks in two address
; spaces, preempted by the virtual timer, until each has had its turns, tells how many ticks it counted, and powers off.
; `kennel run seed` shows it.
;
; Constants in capitals come from the layouts in src/emu/layout (guests/seed/build.ts hands them to the assembler).

    jmp start                       ; the launcher enters at the marker's end; see "GenuineLguest" below

; --- entry -----------------------------------------------------------------------------------------------------------
    .ascii "GenuineLguest"          ; the launcher scans for this marker; execution begins right after it
start:
    cld
    mov esp, boot_stack_top

    mov eax, LHCALL_LGUEST_INIT
    mov edx, lguest_data - PAGE_OFFSET
    int LGUEST_TRAP_ENTRY

    mov eax, LHCALL_LOAD_GDT        ; the whole table at once: era A has no single-entry call
    mov edx, gdt - PAGE_OFFSET
    mov ebx, GDT_ENTRIES
    int LGUEST_TRAP_ENTRY

    mov edi, KERNEL_DS              ; reload what the new GDT describes
    mov ds, di
    mov es, di
    mov ss, di

    ; The gates. 0x80 is a trap gate of DPL 3, so the CPU itself may take ring 3 to ring 1 ("direct trap").
    mov edx, 0x80
    mov esi, system_call
    mov edi, 0xef00
    call set_gate
    mov edx, 13
    mov esi, bad_trap
    mov edi, 0x8e00
    call set_gate
    mov edx, 14
    mov esi, bad_trap
    mov edi, 0x8e00
    call set_gate
    mov edx, 32                     ; virtual interrupt 0: the timer
    mov esi, timer_interrupt
    mov edi, 0x8e00
    call set_gate
    mov edx, 33                     ; virtual interrupt 1: the console has input for us
    mov esi, console_interrupt
    mov edi, 0x8e00
    call set_gate

    mov esi, hello
    call print

    mov esi, clock
    call print
    mov eax, LHCALL_GET_WALLCLOCK   ; the result comes in eax
    int LGUEST_TRAP_ENTRY
    call print_number

    ; Console input: one buffer of 256 bytes, bound to key 0, interrupt 1.
    mov eax, LHCALL_BIND_DMA
    xor edx, edx
    mov ebx, input_dma - PAGE_OFFSET
    mov ecx, (1 << 8) | 1
    int LGUEST_TRAP_ENTRY

    call build_page_tables
    call build_tasks

    ; Every interrupt unblocked; they are delivered as soon as a task runs with irq_enabled set.
    mov dword ptr [lguest_data + LGUEST_DATA_blocked_interrupts], 0
    mov eax, LHCALL_TIMER_READ      ; the first reading starts the count
    int LGUEST_TRAP_ENTRY
    mov dword ptr [current], 0
    jmp switch_to_current

; --- helpers ---------------------------------------------------------------------------------------------------------
; set_gate: edx = vector, esi = handler, edi = high word's low half (P, DPL, type)
set_gate:
    mov ebx, esi
    and ebx, 0xffff
    or ebx, KERNEL_CS << 16
    mov ecx, esi
    and ecx, 0xffff0000
    or ecx, edi
    mov eax, LHCALL_LOAD_IDT_ENTRY
    int LGUEST_TRAP_ENTRY
    ret

; print: esi = NUL-terminated string in the kernel's direct map. One SEND_DMA to key 0, one section.
print:
    push eax
    push ebx
    push ecx
    push edx
    mov ecx, esi
.count:
    cmp byte ptr [ecx], 0
    je .counted
    inc ecx
    jmp .count
.counted:
    sub ecx, esi
    lea eax, [esi + TO_PHYSICAL]     ; - PAGE_OFFSET, modulo 2^32
    mov dword ptr [output_dma + LGUEST_DMA_used_len], 0
    mov [output_dma + LGUEST_DMA_addr], eax
    mov [output_dma + LGUEST_DMA_len], cx
    mov word ptr [output_dma + LGUEST_DMA_len + 2], 0
    mov eax, LHCALL_SEND_DMA
    xor edx, edx
    mov ebx, output_dma - PAGE_OFFSET
    int LGUEST_TRAP_ENTRY
    pop edx
    pop ecx
    pop ebx
    pop eax
    ret

; print_number: eax in decimal, and a newline
print_number:
    push edx
    push ebx
    push esi
    mov esi, number_end             ; digits from the last to the first
    mov ebx, 10
.digit:
    xor edx, edx
    div ebx
    add edx, 0x30
    dec esi
    mov [esi], dl
    test eax, eax
    jnz .digit
    call print
    pop esi
    pop ebx
    pop edx
    ret

; --- two address spaces ------------------------------------------------------------------------------------------------
; Each task has a page directory of its own: the kernel's 4 MiB at PAGE_OFFSET are shared; at 4 MiB each has a page of
; its own, with the same contents at the start (user_text), and a stack page above it.
build_page_tables:
    mov edi, kernel_pt
    mov eax, 0x007                  ; present, writable, user: the tasks' text lies in the kernel's image too
    mov ecx, 1024
.kernel:
    stosd
    add eax, 0x1000
    loop .kernel
    xor ebx, ebx
.task:
    mov edx, ebx
    shl edx, 12                     ; task number * one page
    lea eax, [kernel_pt - PAGE_OFFSET + 7]
    mov [task_pgd + edx + (PAGE_OFFSET >> 20)], eax
    lea eax, [edx + task_pt - PAGE_OFFSET + 7]
    mov [task_pgd + edx + 4], eax   ; directory entry 1: 0x400000 to 0x7fffff
    lea eax, [edx + task_text - PAGE_OFFSET + 7]
    mov [task_pt + edx], eax        ; 0x400000: text
    lea eax, [edx + task_stack - PAGE_OFFSET + 7]
    mov [task_pt + edx + 4], eax    ; 0x401000: stack
    lea eax, [edx + task_stack]
    mov [eax + ebx * 8], ebx        ; what the task finds in its thread-local storage: its number
    lea edi, [edx + task_text]
    mov esi, user_text
    mov ecx, (user_text_end - user_text + 3) / 4
    rep movsd
    inc ebx
    cmp ebx, 2
    jb .task
    ret

; A task that is not running has its registers on its kernel stack, the way an interrupt from ring 3 left them.
build_tasks:
    xor ebx, ebx
.task:
    mov edx, ebx
    shl edx, 12
    lea edi, [edx + kernel_stacks + 0x1000 - TASK_FRAME]
    mov [task_esp + ebx * 4], edi
    mov ecx, 8
    xor eax, eax
    rep stosd                       ; pushad: all 0 ...
    mov [edi - 4], ebx              ; ... but eax: the task's number
    mov dword ptr [edi], USER_DS    ; ds
    mov dword ptr [edi + 4], 0x400000
    mov dword ptr [edi + 8], USER_CS
    mov dword ptr [edi + 12], 0x202
    mov dword ptr [edi + 16], 0x402000
    mov dword ptr [edi + 20], USER_DS
    inc ebx
    cmp ebx, 2
    jb .task
    ret

; --- scheduling --------------------------------------------------------------------------------------------------------
switch_to_current:
    mov esi, [current]
    mov edx, esi
    shl edx, 12
    add edx, task_pgd - PAGE_OFFSET
    mov eax, LHCALL_NEW_PGTABLE
    int LGUEST_TRAP_ENTRY
    mov eax, LHCALL_LOAD_TLS        ; GDT entries 6 to 8; in this era the whole GDT counts as changed
    imul edx, esi, 24
    add edx, tls_tables - PAGE_OFFSET
    int LGUEST_TRAP_ENTRY
    mov eax, LHCALL_SET_STACK       ; where traps from ring 3 land: the end of this task's kernel stack, one page
    mov edx, KERNEL_DS
    mov ebx, esi
    shl ebx, 12
    add ebx, kernel_stacks + 0x1000
    mov ecx, 1
    int LGUEST_TRAP_ENTRY
    mov esp, [task_esp + esi * 4]
return_to_user:
    popad
    pop ds
    ; Leaving the kernel: the interrupt flag the guest believes in is in lguest_data, and between storing it and the
    ; iret no virtual interrupt may come, or it would build its frame below ours. The Host knows the two labels.
    push eax
    mov eax, ss:[esp + 12]          ; eflags of the frame
noirq_begin:
    mov ss:[lguest_data + LGUEST_DATA_irq_enabled], eax
    pop eax
    iretd
noirq_finish:

timer_interrupt:
    push ds
    pushad
    mov edi, KERNEL_DS
    mov ds, di
    mov es, di
    mov eax, LHCALL_TIMER_READ
    int LGUEST_TRAP_ENTRY
    add [ticks], eax
    mov esi, [current]
    inc dword ptr [turns + esi * 4]
    mov [task_esp + esi * 4], esp
    cmp dword ptr [turns], TURNS
    jb .more
    cmp dword ptr [turns + 4], TURNS
    jb .more
    cmp dword ptr [marks], 0        ; each task must have been heard
    je .more
    cmp dword ptr [marks + 4], 0
    je .more
    mov esi, goodbye
    call print
    mov eax, [ticks]
    call print_number
    mov eax, LHCALL_CRASH           ; era A powers off by "crashing" with this text
    mov edx, power_down - PAGE_OFFSET
    int LGUEST_TRAP_ENTRY
.more:
    xor dword ptr [current], 1
    jmp switch_to_current

console_interrupt:
    push ds
    pushad
    mov edi, KERNEL_DS
    mov ds, di
    mov es, di
    mov ecx, [input_dma + LGUEST_DMA_used_len]
    mov byte ptr [input_buffer + ecx], 0
    mov esi, input_buffer
    call print
    mov dword ptr [input_dma + LGUEST_DMA_used_len], 0   ; the buffer is free again
    jmp return_to_user

; System call from ring 3, straight through the CPU's gate: eax = task number. Prints the task's line and counts it.
system_call:
    push ds
    pushad
    mov edi, KERNEL_DS
    mov ds, di
    mov es, di
    mov dword ptr [lguest_data + LGUEST_DATA_irq_enabled], 0    ; a trap gate leaves interrupts on; printing wants them off
    and eax, 1
    inc dword ptr [marks + eax * 4]
    mov esi, task_lines
    shl eax, 4
    add esi, eax
    call print
    jmp return_to_user

bad_trap:
    mov edi, KERNEL_DS
    mov ds, di
    mov eax, LHCALL_CRASH
    mov edx, bad_trap_text - PAGE_OFFSET
    int LGUEST_TRAP_ENTRY

; --- the tasks: the same text, copied to 0x400000 of each address space ---------------------------------------------
user_text:
    mov eax, TLS_SELECTOR
    mov gs, ax
.again:
    mov eax, gs:[0]                 ; who am I
    int 0x80
    mov ebx, 0x11111111             ; whatever interrupts come: each register is to come back with its own value
    mov edx, 0x22222222
    mov esi, 0x33333333
    mov edi, 0x44444444
    mov ebp, 0x55555555
    mov ecx, 20000
.spin:
    dec ecx
    jnz .spin
    cmp ebx, 0x11111111
    jne .lost
    cmp edx, 0x22222222
    jne .lost
    cmp esi, 0x33333333
    jne .lost
    cmp edi, 0x44444444
    jne .lost
    cmp ebp, 0x55555555
    je .again
.lost:
    ud2                             ; there is no gate for it: the Host ends the guest
user_text_end:

    .align 4096                     ; a piece of a lguest_dma lies inside one page
; --- data ---------------------------------------------------------------------------------------------------------------
hello:         .asciz "seed: hello from ring 1, March 2007\n"
clock:         .asciz "seed: seconds since 1970: "
goodbye:       .asciz "seed: both tasks have had their turns; timer ticks: "
               .space 10            ; print_number's digits
number_end:    .asciz "\n"
power_down:    .asciz "Power down"
bad_trap_text: .asciz "seed: unexpected trap"
    .align 16
task_lines:                         ; 16 bytes each
    .asciz "seed: task A\n"
    .align 16
    .asciz "seed: task B\n"
    .align 16
current: .long 0
ticks:   .long 0
turns:   .long 0, 0
marks:   .long 0, 0
task_esp: .long 0, 0

    .align 8
gdt:                                ; 32 entries, numbered as the Host expects them (DPL 0 becomes 1 in the Host)
    .space 12 * 8
    .long 0x0000ffff, 0x00cf9a00    ; 12 kernel code
    .long 0x0000ffff, 0x00cf9200    ; 13 kernel data
    .long 0x0000ffff, 0x00cffa00    ; 14 user code
    .long 0x0000ffff, 0x00cff200    ; 15 user data
    .space 16 * 8

tls_tables:                         ; base 0x401000 + 8 * task, limit 7; three entries each, as LOAD_TLS takes them
    .long 0x10000007, 0x0040f240, 0, 0, 0, 0
    .long 0x10080007, 0x0040f240, 0, 0, 0, 0

    .align 4
lguest_data:
    .space LGUEST_DATA_hcall_status
    .rept 64
    .byte 0xff                      ; every slot of the ring is free
    .endr
    .space LGUEST_DATA_noirq_start - LGUEST_DATA_hcall_status - 64
    .long noirq_begin, noirq_finish
    .align 4
output_dma:
    .space LGUEST_DMA_size
input_dma:
    .long 0                         ; used_len: 0 = free
    .long input_buffer - PAGE_OFFSET
    .space 15 * 4
    .word 256
    .space 15 * 2
input_buffer:
    .space 260

    .align 4096
boot_stack:    .space 4096
boot_stack_top:
kernel_stacks: .space 2 * 4096
kernel_pt:     .space 4096
task_pgd:      .space 2 * 4096
task_pt:       .space 2 * 4096
task_text:     .space 2 * 4096
task_stack:    .space 2 * 4096

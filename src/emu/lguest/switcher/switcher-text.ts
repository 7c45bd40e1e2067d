/**
 * The Switcher: the i386 text that changes worlds (lguest's hypervisor.S, later switcher_32.S; reference 2.4-2.7).
 *
 * It is mapped at the same linear address in the Host and in every Guest, so it can change the page tables under its own
 * feet. Everything it knows about memory is an offset generated from src/emu/layout (see switcher.ts); it types in nothing
 * but byte positions inside descriptors. It runs at ring 0 with interrupts off, and it is assembled once for each
 * register order: ERA_A is 1 for the order of March 2007 and 0 for that of Linux 2.6.24 and later.
 *
 *   linear        Host's page tables          Guest's page tables
 *   text          this page                   this page, read-only
 *   page 0        the CPU's own stack page    the Guest's regs page, writable      <- the seed patch
 *   page 1        the CPU's state page        the same page, read-only
 */
export const SWITCHER_TEXT = `
; Host to Guest. Called far from run_guest_once, interrupts off:
;   eax = this CPU's lguest_pages (linear)        ebx = the Guest's shadow page directory (physical)
; The far call has left eip and cs on the stack on top of eflags: exactly the frame an iret takes, and that is how we
; shall return.
switch_to_guest:
    push es                             ; The Host's segments; it expects every other register destroyed.
    push ds
    push gs
    push fs
    push ebp
    mov [eax + LGUEST_PAGES_host_sp], esp   ; Page 1 is writable to the Host only: now or never.

    ; From here on our stack is page 0, just below the registers: a non-maskable interrupt may come between any two
    ; instructions and must find a stack that is there in both worlds.
    lea esp, [eax + LGUEST_PAGES_regs]

    lgdt [eax + LGUEST_PAGES_guest_gdt_desc]
    lidt [eax + LGUEST_PAGES_guest_idt_desc]
    mov edx, GDT_ENTRY_TSS * 8
    ltr dx                              ; Marks the Guest's TSS busy in its GDT, while that page is still writable.

    ; The Host's TSS descriptor is busy too, from the Host's own ltr. A busy TSS cannot be loaded, and we shall want to
    ; load it on the way back: clear the busy bit, bit 1 of the type, in byte 5 of the descriptor.
    mov edx, [eax + LGUEST_PAGES_host_gdt_desc + 2]
    and byte [edx + GDT_ENTRY_TSS * 8 + 5], 0xfd

    mov cr3, ebx                        ; The Guest's address space. Page 0 is its regs page now.

  .if ERA_A
    pop ebx
    pop ecx
    pop edx
    pop esi
    pop edi
    pop ebp
    pop gs
    pop eax
    pop fs
    pop ds
    pop es
  .else
    pop eax
    pop ebx
    pop ecx
    pop edx
    pop esi
    pop edi
    pop ebp
    pop gs
    pop fs
    pop ds
    pop es
  .endif
    add esp, 8                          ; Skip trapnum and errcode.
    iretd                               ; eip, cs, eflags, esp, ss: into ring 1 or ring 3, interrupts on.

; Guest to Host. The CPU has pushed the frame to page 0 (the TSS says so), a stub the trap number. Push the rest, and we
; are back where switch_to_guest began to pop. One routine, two endings, so the ending is chosen by a name.
  .rept 2, ending
  .if \\ending
deliver_to_host:
  .else
return_to_host:
  .endif
    push es
    push ds
    push fs
  .if ERA_A
    push eax
    push gs
    push ebp
    push edi
    push esi
    push edx
    push ecx
    push ebx
  .else
    push gs
    push ebp
    push edi
    push esi
    push edx
    push ecx
    push ebx
    push eax
  .endif
    ; All registers are saved, so they are ours. The stack tells where we are: in page 0 of this CPU's pair. When the
    ; trap came from the Guest esp is now the start of the registers; when it hit the Switcher itself, while popping a
    ; segment register say, esp is lower. The Host can tell by ecx (and by the trapnum it had planted).
    mov eax, LGUEST_DS
    mov ds, eax
    mov ecx, esp
    mov eax, esp
    and eax, ~(PAGE_SIZE - 1)

    ; The trap number goes to ebx now: when cr3 changes the Guest's regs page is gone from under this address.
    mov ebx, [eax + LGUEST_PAGES_regs_trapnum]

    ; Host page tables first: the Host's GDT, IDT and stack are in Host memory.
    mov edx, [eax + LGUEST_PAGES_host_cr3]
    mov cr3, edx

    ; Page 1 is writable again. The Guest's TSS is busy: make it available for the next time.
    and byte [eax + LGUEST_PAGES_guest_gdt + GDT_ENTRY_TSS * 8 + 5], 0xfd

    lgdt [eax + LGUEST_PAGES_host_gdt_desc]
    lidt [eax + LGUEST_PAGES_host_idt_desc]
    mov esp, [eax + LGUEST_PAGES_host_sp]
    mov edx, GDT_ENTRY_TSS * 8
    ltr dx                              ; The Host's TSS, which we made available on the way in.
    pop ebp
    pop fs
    pop gs
    pop ds
    pop es

  .if \\ending
    ; A hardware interrupt is the Host's business: find its handler in the Host's IDT, entry ebx, and jump there. Its iret
    ; returns to run_guest_once, as if the interrupt had come right after the far call. This is a feature.
    mov edx, [eax + LGUEST_PAGES_host_idt_desc + 2]
    lea eax, [edx + ebx * 8]
    movzx edx, word [eax]               ; offset, low half
    mov eax, [eax + 4]                  ; offset, high half, above the flags
    xor ax, ax
    or edx, eax
    jmp edx
  .else
    iretd
  .endif
  .endr

; Non-maskable interrupts. From the Guest (the interrupted cs has RPL 1 or 3) an NMI is like any other interrupt. But it may
; also have hit the Switcher, on either way, with the Guest's IDT loaded: half the registers are the Guest's, cr3 may be
; anybody's. Then we must not go anywhere, only let the Host's handler run and carry on as if nothing had been.
;
;   esp -> trapnum 2 | errcode 0 | eip | cs | eflags        (no esp, ss: the ring did not change)
;
; No segment register is touched: ds may hold the Guest's selector or a Host selector that means something else in the
; Guest's GDT. ss is flat all the time. Only the stack below esp is written; in either direction nothing there is needed.
handle_nmi:
    test byte [esp + 12], 3
    jnz deliver_to_host
    pushad
    mov eax, esp
    and eax, ~(PAGE_SIZE - 1)
    mov ebx, cr3                        ; The handler preserves every register: ebx is the one safe place, for the
    mov edx, ss:[eax + LGUEST_PAGES_host_cr3]
    mov cr3, edx                        ; stack's contents change here: page 0 is the CPU's own again.
    mov edx, ss:[eax + LGUEST_PAGES_host_idt_desc + 2]
    movzx ecx, word ss:[edx + 2 * 8]
    mov edx, ss:[edx + 2 * 8 + 4]
    xor dx, dx
    or edx, ecx
    pushfd                              ; eflags, cs, eip: the frame its iret takes. That iret also lets the next NMI in,
    push cs                             ; which is as welcome here as anywhere else in the Switcher.
    call edx
    mov cr3, ebx
    popad
    add esp, 8                          ; trapnum, errcode
    iretd

; The stubs the Guest's IDT points to by default: one a vector, so that each can push its own number. Vectors 8, 10 to 14 and
; 17 come with an error code; for the others we push 0, so that the registers always end the same way.
;   0-31 and 128 (traps, system call)   the Host decides what to do: return_to_host
;   32-127, 129-255 (hardware)          delivered to the Host's handler: deliver_to_host
default_idt_stubs:
  .rept 256
stub_\\i:
  .if \\i != 8 && (\\i < 10 || \\i > 14) && \\i != 17
    push 0
  .endif
    push \\i
  .if \\i == 2
    jmp handle_nmi
  .else
  .if \\i < 32 || \\i == 128
    jmp return_to_host
  .else
    jmp deliver_to_host
  .endif
  .endif
  .endr
`

/*
 * trapasm.S - the way into the kernel and out of it.
 *
 * Each IDT gate points at one of 256 stubs of 16 bytes, which bring all traps to one form:
 *
 *      ss, esp        only from ring 3
 *      eflags
 *      cs
 *      eip
 *      error code     the CPU's or host's for 8, 10-14, 17; else a zero from the stub
 *      trap number    from the stub
 *      ds es fs gs    ----- pushed by `alltraps`; see struct trapframe in proc.h
 *      pushal
 */
#include "lguest.h"

        .text
        .balign 16
        .globl  trap_stubs
trap_stubs:
        .set    vector, 0
        .rept   256
        .balign 16
        .if     (vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17)
        .else
        pushl   $0
        .endif
        pushl   $vector
        jmp     alltraps
        .set    vector, vector + 1
        .endr

        .balign 16
alltraps:
        pushl   %ds
        pushl   %es
        pushl   %fs
        pushl   %gs
        pushal
        movl    $KERNEL_DS, %eax
        movl    %eax, %ds
        movl    %eax, %es
        cld
        pushl   %esp
        call    trap
        addl    $4, %esp

        /*
         * Back to where the trap came from; interrupts are off.
         *
         * iret cannot set "our" interrupt flag: that is lguest_data.irq_enabled, a word in memory. So the flag is
         * stored first, and the iret comes after. An interrupt between the two would push a second frame onto this
         * stack, once for each interrupt that hits the gap. The host therefore delivers none while eip is in
         * [noirq_start, noirq_end). ds is the program's already: the store goes through ss.
         */
        .globl  trap_return, noirq_start, noirq_end
trap_return:
        popal
        popl    %gs
        popl    %fs
        popl    %es
        popl    %ds
        addl    $8, %esp                        /* trap number, error code */
        pushl   %eax
        movl    12(%esp), %eax                  /* eax eip cs [eflags] */
        andl    $EFLAGS_IF, %eax
noirq_start:
        movl    %eax, %ss:lguest_data + LGUEST_DATA_irq_enabled
        popl    %eax
        iret
noirq_end:

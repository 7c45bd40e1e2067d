/*
 * crt0.S - where a program begins. The kernel left argc and argv on the stack, and main wants just those.
 */
        .section .text.start, "ax"
        .globl  _start
_start:
        xorl    %ebp, %ebp
        call    main
        pushl   %eax
        call    exit

/*
 * int sys(int number, ...): up to four arguments, from the stack to the registers the kernel looks in. Extra ones are
 * whatever is on the stack; the kernel ignores what a call does not take.
 */
        .text
        .globl  sys
sys:
        pushl   %ebx
        pushl   %esi
        movl    12(%esp), %eax
        movl    16(%esp), %ebx
        movl    20(%esp), %ecx
        movl    24(%esp), %edx
        movl    28(%esp), %esi
        int     $0x80
        popl    %esi
        popl    %ebx
        ret

/* Signal handlers return here; the kernel finds the saved registers right above esp. 19 is SYS_sigreturn. */
        .globl  sigreturn
sigreturn:
        movl    $19, %eax
        int     $0x80

/*
 * swtch.S - from one kernel stack to another.
 *
 *      void swtch(u32 *save_esp, u32 load_esp)
 *
 * A process that is not running has on top of its kernel stack what swtch pushed: the registers that a C function must
 * preserve, and the return address. Everything else its own C code saved before the call. A new process gets a stack
 * that looks as if it had called swtch from proc_start:
 *
 *      trapframe            what the process will have in its registers in ring 3
 *      proc_start           return address
 *      ebp, ebx, esi, edi   ebx: a kernel function to call first, or 0
 */
        .text
        .globl  swtch, proc_start
swtch:
        movl    4(%esp), %eax
        movl    8(%esp), %edx
        pushl   %ebp
        pushl   %ebx
        pushl   %esi
        pushl   %edi
        movl    %esp, (%eax)
        movl    %edx, %esp
        popl    %edi
        popl    %esi
        popl    %ebx
        popl    %ebp
        ret

proc_start:
        testl   %ebx, %ebx
        jz      1f
        call    *%ebx
1:      pushl   %esp                            /* the trapframe begins here */
        call    return_to_user
        addl    $4, %esp
        jmp     trap_return

/* Code that is copied into each rank's range (space.c), so that it is at the same address on every
 * host: what a program runs while a system call of its own waits. Offsets are asserted in wait.c.
 *
 * It waits by a call of the runtime, as a program does that waits for a message: there the rank can
 * be moved, and others can run. Each time it comes back, the trap looks whether the wait is over
 * (wait.h), and if not, it goes on here with a new deadline.
 *
 * rbx: the cell; r12: the deadline; r13: the bell, from before the trap has looked: what has rung
 * since ends the wait. */

#define CELL_CALLS 40
#define CALLS_WAIT 56
#define NUMBER_WAKE 0x77656601
#define NUMBER_BACK 0x77656602

        .section .rodata
        .globl  weft__wait_code
        .hidden weft__wait_code
        .globl  weft__wait_code_back
        .hidden weft__wait_code_back
        .globl  weft__wait_code_end
        .hidden weft__wait_code_end
        .p2align 4
weft__wait_code:
        mov     %r13d, %esi
        mov     %r12, %rdx
        mov     %rbx, %rdi
        mov     CELL_CALLS(%rbx), %rax
        call    *CALLS_WAIT(%rax)
        mov     $NUMBER_WAKE, %eax
        syscall
        jmp     weft__wait_code
/* A call of the runtime has returned to here, because a signal is to be delivered: rax is the
 * call's result. */
        .p2align 4
weft__wait_code_back:
        mov     %rax, %rdx
        mov     $NUMBER_BACK, %eax
        syscall
        ud2
weft__wait_code_end:

        .section .note.GNU-stack, "", @progbits

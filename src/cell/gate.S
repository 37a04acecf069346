/* See gate.h. Offsets are asserted in gate.c.
 *
 * What a call may change is not kept: registers that a callee saves, the modes of both floating
 * point units, and the stack pointer are all that there is of a program that has called. The modes
 * are kept when it is left: the runtime does not change them. */

#define GATE_HOST_SP 0
#define GATE_HOST_FS 8
#define GATE_FRAME 16
#define FRAME_SP 0
#define FRAME_FS 8
#define FRAME_MODES 24
#define CELL_HOST 48
#define TABLE_SEND 16
#define TABLE_RING 136
#define GATE_RING 1

        .macro push_all
        push    %rbp
        .cfi_adjust_cfa_offset 8
        push    %rbx
        .cfi_adjust_cfa_offset 8
        push    %r12
        .cfi_adjust_cfa_offset 8
        push    %r13
        .cfi_adjust_cfa_offset 8
        push    %r14
        .cfi_adjust_cfa_offset 8
        push    %r15
        .cfi_adjust_cfa_offset 8
        .endm

        .macro pop_all
        pop     %r15
        .cfi_adjust_cfa_offset -8
        pop     %r14
        .cfi_adjust_cfa_offset -8
        pop     %r13
        .cfi_adjust_cfa_offset -8
        pop     %r12
        .cfi_adjust_cfa_offset -8
        pop     %rbx
        .cfi_adjust_cfa_offset -8
        pop     %rbp
        .cfi_adjust_cfa_offset -8
        .endm

/* The worker's way in: its registers and modes, thread pointer and stack. Uses rax. */
        .macro leave_host
        push_all
        sub     $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        mov     %rsp, GATE_HOST_SP(%rdi)
        rdfsbase %rax
        mov     %rax, GATE_HOST_FS(%rdi)
        .endm

/* Loads the modes at offset(wanted), if they are not those at at(now): loading waits for all that
 * is under way. Uses eax. */
        .macro load_modes offset, wanted, at, now
        mov     \offset(\wanted), %eax
        cmp     %eax, \at(\now)
        je      8f
        ldmxcsr \offset(\wanted)
8:      mov     4+\offset(\wanted), %ax
        cmp     %ax, 4+\at(\now)
        je      9f
        fldcw   4+\offset(\wanted)
9:
        .endm

        .macro function name
        .globl  \name
        .hidden \name
        .type   \name, @function
        .p2align 4
\name:
        .cfi_startproc
        endbr64
        .endm

        .macro end name
        .cfi_endproc
        .size   \name, . - \name
        .endm

        .text

/* int64_t weft__gate_run(gate, sp, entry): the ABI wants 0 in rdx at a program's entry. */
        function weft__gate_run
        leave_host
        mov     %rdx, %r11
        mov     %rsi, %rsp
        xor     %eax, %eax
        wrfsbase %rax
        xor     %ebx, %ebx
        xor     %ecx, %ecx
        xor     %edx, %edx
        xor     %esi, %esi
        xor     %edi, %edi
        xor     %ebp, %ebp
        xor     %r8d, %r8d
        xor     %r9d, %r9d
        jmp     *%r11
        end weft__gate_run

/* int64_t weft__gate_resume(gate, result) */
        function weft__gate_resume
        leave_host
        mov     GATE_FRAME(%rdi), %rdx
        mov     FRAME_FS(%rdx), %rcx
        wrfsbase %rcx
        load_modes FRAME_MODES, %rdx, 0, %rsp
        mov     %rsi, %rax
        mov     FRAME_SP(%rdx), %rsp
        pop_all
        ret
        end weft__gate_resume

/* void weft__gate_switch(gate, result, modes) */
        function weft__gate_switch
        mov     GATE_FRAME(%rdi), %rcx
        load_modes FRAME_MODES, %rcx, 0, %rdx
        mov     FRAME_FS(%rcx), %rdx
        wrfsbase %rdx
        mov     %rsi, %rax
        mov     FRAME_SP(%rcx), %rsp
        .cfi_def_cfa_offset 56
        pop_all
        ret
        end weft__gate_switch

/* void weft__gate_out(gate, value): jumped to with the program's thread pointer. */
        function weft__gate_out
        mov     GATE_HOST_FS(%rdi), %rax
        wrfsbase %rax
        jmp     gate_leave
        end weft__gate_out

/* void weft__gate_leave(gate, value): what the runtime does between leaves the modes as they were.
 */
        function weft__gate_leave
gate_leave:
        mov     GATE_FRAME(%rdi), %rdx
        stmxcsr FRAME_MODES(%rdx)
        fnstcw  FRAME_MODES+4(%rdx)
        mov     GATE_HOST_SP(%rdi), %rsp
        .cfi_def_cfa_offset 64
        load_modes 0, %rsp, FRAME_MODES, %rdx
        mov     %rsi, %rax
        add     $8, %rsp
        .cfi_adjust_cfa_offset -8
        pop_all
        ret
        end weft__gate_leave

/* The calls: r11 is the offset of the function in weft__gate_table, the rest is as the program has
 * given it. Arguments stay in their registers, and all calls have at most six. */
        .type   gate_call, @function
        .p2align 4
gate_call:
        .cfi_startproc
        push_all
        mov     CELL_HOST(%rdi), %r12
        mov     (%r12), %r12
        mov     GATE_FRAME(%r12), %r13
        mov     %rsp, FRAME_SP(%r13)
        rdfsbase %r14
        mov     %r14, FRAME_FS(%r13)
        mov     GATE_HOST_FS(%r12), %r15
        wrfsbase %r15
        mov     GATE_HOST_SP(%r12), %rsp
        lea     weft__gate_table(%rip), %r15
        call    *(%r15, %r11)
        wrfsbase %r14
        mov     FRAME_SP(%r13), %rsp
        pop_all
        ret
        .cfi_endproc
        .size   gate_call, . - gate_call

        .macro stub name offset
        .globl  weft__gate_\name
        .hidden weft__gate_\name
        .type   weft__gate_\name, @function
        .p2align 4
weft__gate_\name:
        endbr64
        mov     $\offset, %r11d
        jmp     gate_call
        .size   weft__gate_\name, . - weft__gate_\name
        .endm

/* A send that need not go through the gate stays on the program's stack, with its thread pointer. */
        .globl  weft__gate_send
        .hidden weft__gate_send
        .type   weft__gate_send, @function
        .p2align 4
weft__gate_send:
        .cfi_startproc
        endbr64
        push    %rdi
        .cfi_adjust_cfa_offset 8
        push    %rsi
        .cfi_adjust_cfa_offset 8
        push    %rdx
        .cfi_adjust_cfa_offset 8
        push    %rcx
        .cfi_adjust_cfa_offset 8
        sub     $8, %rsp
        .cfi_adjust_cfa_offset 8
        testb   $0, -1024(%rsp) /* of a stack without room it faults here, not behind a door */
        call    weft__near_send
        add     $8, %rsp
        .cfi_adjust_cfa_offset -8
        pop     %rcx
        .cfi_adjust_cfa_offset -8
        pop     %rdx
        .cfi_adjust_cfa_offset -8
        pop     %rsi
        .cfi_adjust_cfa_offset -8
        pop     %rdi
        .cfi_adjust_cfa_offset -8
        test    %eax, %eax
        jnz     1f
        ret
1:      cmp     $GATE_RING, %eax
        mov     $TABLE_SEND, %r11d
        mov     $TABLE_RING, %eax
        cmove   %eax, %r11d
        jmp     gate_call
        .cfi_endproc
        .size   weft__gate_send, . - weft__gate_send

        stub    abort 8
        stub    expose 24
        stub    unexpose 32
        stub    ticket 40
        stub    get 48
        stub    wait 56
        stub    wake 64
        stub    migration_point 72
        stub    now 80
        stub    info 88
        stub    exit 96
        stub    log 104
        stub    call_next 112
        stub    call_answer 120
        stub    call_is_cancelled 128

        .section .note.GNU-stack, "", @progbits

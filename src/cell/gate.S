/* See gate.h. Offsets are asserted in gate.c.
 *
 * What a call may change is not kept: registers that a callee saves, the modes of both floating
 * point units, and the stack pointer are all that there is of a program that has called. */

#define GATE_HOST_SP 0
#define GATE_HOST_FS 8
#define GATE_FRAME 16
#define FRAME_SP 0
#define FRAME_FS 8
#define CELL_HOST 48

        .macro save
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
        sub     $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        .endm

        .macro restore
        ldmxcsr (%rsp)
        fldcw   4(%rsp)
        add     $8, %rsp
        .cfi_adjust_cfa_offset -8
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
        save
        mov     %rsp, GATE_HOST_SP(%rdi)
        rdfsbase %rax
        mov     %rax, GATE_HOST_FS(%rdi)
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
        save
        mov     %rsp, GATE_HOST_SP(%rdi)
        rdfsbase %rax
        mov     %rax, GATE_HOST_FS(%rdi)
        mov     GATE_FRAME(%rdi), %rdx
        mov     %rsi, %rax
        mov     FRAME_FS(%rdx), %rcx
        wrfsbase %rcx
        mov     FRAME_SP(%rdx), %rsp
        restore
        ret
        end weft__gate_resume

/* void weft__gate_out(gate, value) */
        function weft__gate_out
        mov     GATE_HOST_FS(%rdi), %rax
        wrfsbase %rax
        mov     GATE_HOST_SP(%rdi), %rsp
        mov     %rsi, %rax
        .cfi_def_cfa_offset 64
        restore
        ret
        end weft__gate_out

/* The calls: r11 is the offset of the function in weft__gate_table, the rest is as the program has
 * given it. Arguments stay in their registers, and all calls have at most six. */
        .type   gate_call, @function
        .p2align 4
gate_call:
        .cfi_startproc
        save
        mov     CELL_HOST(%rdi), %r12
        mov     (%r12), %r12
        mov     GATE_FRAME(%r12), %r13
        mov     %rsp, FRAME_SP(%r13)
        rdfsbase %r14
        mov     %r14, FRAME_FS(%r13)
        mov     GATE_HOST_FS(%r12), %r14
        wrfsbase %r14
        mov     GATE_HOST_SP(%r12), %rsp
        lea     weft__gate_table(%rip), %r14
        call    *(%r14, %r11)
        mov     FRAME_FS(%r13), %r14
        wrfsbase %r14
        mov     FRAME_SP(%r13), %rsp
        restore
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

        stub    send 8
        stub    expose 16
        stub    unexpose 24
        stub    get 32
        stub    wait 40
        stub    wake 48
        stub    migration_point 56
        stub    now 64
        stub    info 72
        stub    exit 80
        stub    log 88
        stub    abort 96
        stub    call_next 104
        stub    call_answer 112
        stub    call_is_cancelled 120

        .section .note.GNU-stack, "", @progbits

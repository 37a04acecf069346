/* The image that a program in a cell finds its clocks in: the shared object of AT_SYSINFO_EHDR, as
 * the kernel gives one to each process. It is copied into each rank's range (space.c), so it is at
 * the same address on every host, and what a C library has looked up in it stays right.
 *
 * Time is read by the host's own image, whose address is a word of struct weft__clock that the
 * runtime renews at each arrival; then what the rank's clock is ahead of the host's is added. So
 * nothing of this file depends on a host, and nothing is trapped. Rejected: reading the processor's
 * counter here, which would have to be steered as the kernel steers it; and mapping the kernel's
 * data into the range, whose layout is the kernel's own affair.
 *
 * A rank is never stopped in here: it makes no call of the runtime. Offsets are asserted in
 * clock.c. The layout is what dynamic linkers want of an object that is in place: one segment, the
 * dynamic section, old-style hashes, versions.
 * Source: System V ABI, chapters 4 and 5; Linux Standard Base, symbol versioning. */

#define CLOCK_HOST 0
#define CLOCK_SHIFTS 8
#define CLOCKS 12
#define NS_PER_S 1000000000
#define REALTIME 0
#define PROCESS 2
#define THREAD 3
#define REALTIME_COARSE 5
#define NUMBER_GETTIME 228
#define NUMBER_GETRES 229

#define HASH_VERSION 0x3ae75f6 /* of LINUX_2.6 */
#define HASH_NAME 0xdeebfa1    /* of linux-vdso.so.1 */

        .section .rodata
        .globl  weft__vdso
        .hidden weft__vdso
        .globl  weft__vdso_clock
        .hidden weft__vdso_clock
        .globl  weft__vdso_end
        .hidden weft__vdso_end

/* ---- headers ---- */

        .p2align 6
weft__vdso:
        .byte   0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0
        .short  3, 62                   /* shared object, x86-64 */
        .long   1
        .quad   0, segments - weft__vdso, 0
        .long   0
        .short  64, 56, 2, 64, 0, 0
segments:
        .long   1, 5                    /* all of it: read, execute */
        .quad   0, 0, 0, weft__vdso_end - weft__vdso, weft__vdso_end - weft__vdso, 4096
        .long   2, 4                    /* the dynamic section: read */
        .quad   dynamic - weft__vdso, dynamic - weft__vdso, dynamic - weft__vdso
        .quad   dynamic_end - dynamic, dynamic_end - dynamic, 8
dynamic:
        .quad   14, name_soname - strings
        .quad   4, hashes - weft__vdso
        .quad   5, strings - weft__vdso
        .quad   6, symbols - weft__vdso
        .quad   10, strings_end - strings
        .quad   11, 24
        .quad   0x6ffffff0, versions - weft__vdso
        .quad   0x6ffffffc, defined - weft__vdso
        .quad   0x6ffffffd, 2
        .quad   0, 0
dynamic_end:

/* ---- symbols ---- */

hashes:
        .long   1, 6, 1                 /* one bucket; each symbol leads to the next */
        .long   0, 2, 3, 4, 5, 0
        .p2align 3
        .macro  symbol name
        .long   name_\name - strings
        .byte   0x12, 0                 /* global function */
        .short  1
        .quad   \name - weft__vdso, \name\()_end - \name
        .endm
symbols:
        .quad   0, 0, 0
        symbol  clock_gettime
        symbol  gettimeofday
        symbol  time
        symbol  clock_getres
        symbol  getcpu
versions:
        .short  0, 2, 2, 2, 2, 2
        .p2align 3
defined:
        .short  1, 1, 1, 1              /* the name of the object itself */
        .long   HASH_NAME, 20, 28
        .long   name_soname - strings, 0
        .short  1, 0, 2, 1
        .long   HASH_VERSION, 20, 0
        .long   name_version - strings, 0
strings:
        .byte   0
name_soname:
        .asciz  "linux-vdso.so.1"
name_version:
        .asciz  "LINUX_2.6"
name_clock_gettime:
        .asciz  "__vdso_clock_gettime"
name_gettimeofday:
        .asciz  "__vdso_gettimeofday"
name_time:
        .asciz  "__vdso_time"
name_clock_getres:
        .asciz  "__vdso_clock_getres"
name_getcpu:
        .asciz  "__vdso_getcpu"
strings_end:

/* ---- functions ---- */

        .p2align 3
weft__vdso_clock:
        .quad   0                       /* address of the rank's struct weft__clock */

/* int clock_gettime(clockid_t, struct timespec *) */
        .p2align 4
clock_gettime:
        endbr64
        mov     weft__vdso_clock(%rip), %rdx
        cmp     $CLOCKS, %edi
        jae     .Lask
        mov     CLOCK_HOST(%rdx), %rax
        test    %rax, %rax
        jz      .Lask
        cmp     $THREAD, %edi
        jne     .Lread
        mov     $PROCESS, %edi          /* it has one thread, which is now here, now there */
.Lread:
        push    %rbx
        push    %r12
        sub     $8, %rsp
        mov     %edi, %ebx
        shl     $4, %rbx
        lea     CLOCK_SHIFTS(%rdx,%rbx), %rbx
        mov     %rsi, %r12
        call    *%rax
        test    %eax, %eax
        jnz     .Lout
        mov     (%rbx), %rdx
        mov     8(%rbx), %rcx
        add     (%r12), %rdx
        add     8(%r12), %rcx
        cmp     $NS_PER_S, %rcx
        jb      .Lput
        sub     $NS_PER_S, %rcx
        inc     %rdx
.Lput:
        mov     %rdx, (%r12)
        mov     %rcx, 8(%r12)
.Lout:
        add     $8, %rsp
        pop     %r12
        pop     %rbx
        ret
.Lask:
        mov     $NUMBER_GETTIME, %eax
        syscall
        ret
clock_gettime_end:

/* int gettimeofday(struct timeval *, struct timezone *) */
        .p2align 4
gettimeofday:
        endbr64
        push    %rbx
        push    %r12
        sub     $8, %rsp
        mov     %rdi, %rbx
        mov     %rsi, %r12
        xor     %eax, %eax
        test    %rbx, %rbx
        jz      .Lzone
        mov     %rbx, %rsi
        mov     $REALTIME, %edi
        call    clock_gettime
        test    %eax, %eax
        jnz     .Ldone
        mov     8(%rbx), %rax
        xor     %edx, %edx
        mov     $1000, %ecx
        div     %rcx
        mov     %rax, 8(%rbx)
        xor     %eax, %eax
.Lzone:
        test    %r12, %r12
        jz      .Ldone
        movq    $0, (%r12)
.Ldone:
        add     $8, %rsp
        pop     %r12
        pop     %rbx
        ret
gettimeofday_end:

/* time_t time(time_t *) */
        .p2align 4
time:
        endbr64
        push    %rbx
        sub     $16, %rsp
        mov     %rdi, %rbx
        mov     %rsp, %rsi
        mov     $REALTIME_COARSE, %edi
        call    clock_gettime
        mov     (%rsp), %rax
        test    %rbx, %rbx
        jz      .Ltold
        mov     %rax, (%rbx)
.Ltold:
        add     $16, %rsp
        pop     %rbx
        ret
time_end:

/* int clock_getres(clockid_t, struct timespec *): rarely asked. */
        .p2align 4
clock_getres:
        endbr64
        mov     $NUMBER_GETRES, %eax
        syscall
        ret
clock_getres_end:

/* int getcpu(unsigned *processor, unsigned *node, void *): a rank sees one of each. */
        .p2align 4
getcpu:
        endbr64
        xor     %eax, %eax
        test    %rdi, %rdi
        jz      .Lnode
        mov     %eax, (%rdi)
.Lnode:
        test    %rsi, %rsi
        jz      .Lseen
        mov     %eax, (%rsi)
.Lseen:
        ret
getcpu_end:
weft__vdso_end:

        .section .note.GNU-stack, "", @progbits

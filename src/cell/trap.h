/* System calls of programs in cells, caught: Syscall User Dispatch (Linux 5.11).
 *
 * A worker thread that has armed its trap gives every system call that is made from inside the
 * cells to a function, instead of the kernel. Calls of the runtime itself go through as ever, and
 * cost no more. The function runs on a stack of its own, with the worker's thread pointer, and may
 * use everything that a thread may: what it interrupts is a program in a cell, and no part of the
 * runtime. Faults of the program (SIGSEGV and its like) come to a second function. */
#ifndef WEFT_CELL_TRAP_H
#define WEFT_CELL_TRAP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#include "cell/gate.h"

struct weft__trap_call {
    int64_t number; /* SYS_* */
    uint64_t args[6];
    ucontext_t *context; /* its registers, behind the call; may be changed */
    uint64_t fs;         /* its thread pointer, which may be changed */
    int64_t result;      /* what it gets: negative errno, or a value */
    bool redirected;     /* it goes on with the registers as they are, without the result */
    bool leave;          /* the program ends instead: weft__gate_run() returns the result */
};

struct weft__trap_fault {
    int signal;
    int code;         /* si_code */
    uint64_t address; /* that it touched */
    uint64_t pc;
    const siginfo_t *info;
    ucontext_t *context; /* its registers; may be changed */
    bool redirected;     /* it goes on with them */
    int64_t result;      /* else weft__gate_run() returns this */
};

struct weft__trap;

struct weft__trap_desc {
    struct weft__gate *gate;
    uint64_t end; /* of the cells' addresses: below the runtime's code, libraries and all */
    void (*call)(void *ctx, struct weft__trap_call *call);
    /* The program cannot go on as it is. */
    void (*fault)(void *ctx, struct weft__trap_fault *fault);
    void *ctx;
};

/* Arms the calling thread, until disarm; both on the same thread.
 * Owns: trap_out.  Errors: WEFT_ENOTSUP the kernel cannot, or the runtime's code lies where the
 * cells do; WEFT_ENOMEM. */
int weft__trap_arm(const struct weft__trap_desc *desc, struct weft__trap **trap_out);
void weft__trap_disarm(struct weft__trap *trap);

#endif

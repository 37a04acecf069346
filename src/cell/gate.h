/* The way in and out of a cell: a change of stacks, and of the thread pointer.
 *
 * A program in a cell has a stack and thread-local storage of its own, in its range; the runtime
 * that it calls runs on the stack and with the thread pointer of the worker thread. So no frame of
 * the runtime ever lies in the cell, nor a pointer to it, and all of a rank that stands outside is
 * in its range: the frame below, and what it points to.
 *
 * x86-64 with FSGSBASE (Linux 5.9). */
#ifndef WEFT_CELL_GATE_H
#define WEFT_CELL_GATE_H

#include <stdint.h>

#include "weft/cell.h"

/* Where a program that has called the runtime goes on. Lies in its range. */
struct weft__gate_frame {
    uint64_t sp;       /* its registers are on its stack */
    uint64_t fs;       /* its thread pointer */
    int64_t result;    /* of the call, where it stopped there */
    uint32_t modes[2]; /* MXCSR and the control word of the x87, as it was left */
};

/* One per worker thread. gate.S knows the offsets. */
struct weft__gate {
    uint64_t host_sp; /* the worker's, from where it went in */
    uint64_t host_fs;
    struct weft__gate_frame *frame; /* of the rank that it runs */
};

/* Runs a program from its entry, with this stack; returns what weft__gate_out was given.
 * Thread: the worker's, which stays in there. */
int64_t weft__gate_run(struct weft__gate *gate, uint64_t sp, uint64_t entry);
/* Goes on where the frame says: its call of the runtime returns `result`. Returns as above. */
int64_t weft__gate_resume(struct weft__gate *gate, int64_t result);
/* As resume, from inside a call: the frames of that call are left for good. modes: as they are.
 * Thread: the worker's, with its own thread pointer, between run or resume and its return. */
void weft__gate_switch(struct weft__gate *gate, int64_t result, const uint32_t modes[2])
    __attribute__((noreturn));
/* The modes of a program that has called: the runtime does not change them. */
static inline void weft__gate_modes(uint32_t modes_out[2])
{
    modes_out[1] = 0;
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1"
                     : "=m"(modes_out[0]), "=m"(*(uint16_t *)(void *)&modes_out[1]));
}
/* Goes out, for good: never returns. Jumped to with the program's thread pointer. */
void weft__gate_out(struct weft__gate *gate, int64_t value) __attribute__((noreturn));
/* The same, from the runtime: with the worker's thread pointer. */
void weft__gate_leave(struct weft__gate *gate, int64_t value) __attribute__((noreturn));

/* The calls of the runtime as a program in a cell makes them: the functions of `table` behind the
 * gate. cell->host points to a pointer to the gate, in front of whatever else. */
extern const struct weft_cell_calls weft__gate_calls;
/* What they lead to: the executor's. */
struct weft__gate_table {
    struct weft_cell_calls calls;
    int (*ring)(struct weft_cell *cell, int32_t dest); /* who has got a packet waits for it */
};
extern const struct weft__gate_table weft__gate_table;

/* What a send of a program tries before it goes through the gate: near.c. */
enum {
    WEFT__GATE_SENT,  /* it is done */
    WEFT__GATE_RING,  /* it is, but the runtime has to ring */
    WEFT__GATE_ENTERS /* it has not begun */
};

/* Whether this processor and kernel can do it. */
int weft__gate_works(void); /* Errors: WEFT_ENOTSUP, saying what is missing */

#endif

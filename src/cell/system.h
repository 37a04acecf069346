/* The kernel as a program in a cell sees it: what each of its system calls does.
 *
 * Memory is the range's (space.h). A program has one thread and never another; signals are its own
 * affair: what it installs is kept and not carried out, as nobody sends it any. Calls on files,
 * time and such go through to the kernel. What would tie a rank to its host, or make something that
 * cannot move, is refused with an error that the program knows, and a line in the log that names
 * the call. */
#ifndef WEFT_CELL_SYSTEM_H
#define WEFT_CELL_SYSTEM_H

#include <stdbool.h>
#include <stdint.h>

#include "cell/space.h"
#include "cell/trap.h"

#define WEFT__SYSTEM_SIGNALS 65

/* Of the rank; lies in its range. */
struct weft__system_state {
    struct {
        uint64_t handler, flags, restorer, mask; /* as the kernel's struct */
    } actions[WEFT__SYSTEM_SIGNALS];
    uint64_t mask;             /* of blocked signals */
    uint64_t files[1024 / 64]; /* descriptors that it has open, beside the first three */
};

struct weft__system {
    struct weft__space_host space;
    struct weft__system_state *state;
    const struct weft_cell *cell; /* whose clock it has; NULL: the machine's */
    int32_t rank;
    bool told; /* of a refused call: once is enough */
    /* The program has ended by a signal of its own, such as abort().  NULL: nobody asks. */
    void (*killed)(void *ctx, int signal);
    void *ctx;
};

/* A function for struct weft__trap_desc.call; ctx is the system. */
void weft__system_call(void *ctx, struct weft__trap_call *call);
/* Descriptors above 2 that are open: they do not move. */
unsigned weft__system_open_files(const struct weft__system_state *state);

#endif

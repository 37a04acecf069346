/* How a rank's code runs, and how its state is moved: one table per way. `native` is the first;
 * cells are another.
 *
 * The moving primitives (move_*.c) do everything that is the same for all: fencing, images,
 * packets, routes; stay.c is the rank's thread, which is the same for all, too. What a table does
 * is between it and the program. No rank lock is held in these calls, but where it is said.
 */
#ifndef WEFT_EXEC_EXECUTOR_H
#define WEFT_EXEC_EXECUTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/cell.h"

struct weft_exec;
struct weft__rank;
struct weft__move;

/* Ranks without threads of their own: workers run them in turns. */
struct weft__executor_turns {
    /* Starts workers, and stops them when no rank has anything left to run. */
    int (*open)(struct weft_exec *exec);
    void (*close)(struct weft_exec *exec);
    /* How many workers there are. */
    unsigned (*count)(const struct weft_exec *exec);
    /* The rank has a new order, or its bell was rung.  Thread: any, also with the rank's lock.
     * Blocks: no. */
    void (*wake)(struct weft__rank *rank);
    /* Ends the rank from inside one of its calls, as weft__stay_quit(). */
    void (*quit)(struct weft__rank *rank) __attribute__((noreturn));
    /* Waits until no worker will touch the rank again: it has ended, or was told to leave. */
    void (*join)(struct weft__rank *rank);
};

struct weft__executor {
    const char *name;
    uint32_t number;                     /* in descriptors; never reused */
    uint64_t heap_share;                 /* bytes of the range for the rank's heap, of which the
                                            program has no use; 0: all that is left */
    const struct weft_cell_calls *calls; /* what ranks find in their cell */
    /* Loads what the rank needs beside its range, which is mapped already, and empty; nothing of
     * the program runs. */
    int (*load)(struct weft__rank *rank);
    /* NULL: each rank has a thread (stay.c), which calls run and ended. */
    const struct weft__executor_turns *turns;
    /* Runs the program, from its beginning or from where the range has been left; returns its exit
     * code. Thread: the rank's. */
    int (*run)(struct weft__rank *rank, bool resumed);
    /* run has returned, or was left by a jump.  Thread: the rank's.  NULL: nothing to do. */
    void (*ended)(struct weft__rank *rank);
    /* What ties a running rank to this host, as far as anybody can see who is not its thread, and
     * only what tends to last: it is not worth while to copy it. Returns false where there is
     * nothing such. NULL: there never is.  Thread: any; the rank's lock is held. */
    bool (*stays)(const struct weft__rank *rank, char reason_out[100]);
    /* Fills in how the rank goes on at the destination.  Thread: the rank's.  Errors: WEFT_EINVAL.
     */
    int (*describe)(struct weft__rank *rank, struct weft__move *move);
    /* While the rank stands, others read its range through its mapping (all: true); before it goes
     * on, protections are the program's again.  Also of a rank that has ended.  NULL: the program
     * sets none.  Errors: errno's; what could not be changed is as it was. */
    int (*reveal)(struct weft__rank *rank, bool all);
    /* Whether the executor knows, without asking anybody, that the rank can read and write all of
     * this.  NULL: it knows nothing.  Thread: the rank's. */
    bool (*holds)(const struct weft__rank *rank, const void *addr, size_t len_bytes);
    /* Checks that a rank of this description can go on here; its range has not arrived. */
    int (*prepare)(struct weft__rank *rank, const struct weft__move *move);
    /* Checks the program's part of a range that has arrived.  NULL: there is none. */
    int (*arrived)(const struct weft__rank *rank);
    /* Frees what load made; fine where it has failed.  The rank's thread has ended. */
    void (*unload)(struct weft__rank *rank);
};

extern const struct weft__executor weft__executor_native;

#endif

/* How a rank's code runs, and how its state is moved: one table per way. `native` is the first;
 * cells are another.
 *
 * The moving primitives (move_*.c) do everything that is the same for all: fencing, images,
 * packets, routes. What a table does with a rank is between it and its thread. No rank lock is held
 * in any of these calls.
 */
#ifndef WEFT_EXEC_EXECUTOR_H
#define WEFT_EXEC_EXECUTOR_H

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "exec/program.h"
#include "weft/cell.h"

struct weft__rank;
struct weft__move;

struct weft__executor {
    const char *name;
    uint32_t number; /* in descriptors; never reused */
    /* Loads what the rank needs beside its range, which is mapped already; nothing of the program
     * runs. */
    int (*create)(struct weft__rank *rank);
    /* Calls main. */
    void (*start)(struct weft__rank *rank);
    /* Fills in how the rank goes on at the destination.  Thread: the rank's.  Errors: WEFT_EINVAL.
     */
    int (*describe)(struct weft__rank *rank, struct weft__move *move);
    /* Stands still until thaw or leave.  Thread: the rank's.  Returns when thawed; otherwise never.
     */
    void (*stand)(struct weft__rank *rank);
    void (*thaw)(struct weft__rank *rank);
    /* Ends the thread of a rank that stands, or whose call leaves. */
    void (*leave)(struct weft__rank *rank);
    /* Checks that the rank can go on from this, in the range as it has arrived. */
    int (*prepare)(struct weft__rank *rank, const struct weft__move *move);
    void (*resume)(struct weft__rank *rank);
    /* Frees what create made; the thread has been told to leave, or never started, or has ended.
     * Waits for it. */
    void (*discard)(struct weft__rank *rank);
    /* Ends the rank with this code; when is_exit, as if main had returned it.  Thread: the rank's.
     */
    void (*quit)(struct weft__rank *rank, int code, bool is_exit) __attribute__((noreturn));
};

extern const struct weft__executor weft__executor_native;

/* What native keeps of a rank. */
struct weft__native {
    struct weft_program_copy copy;
    pthread_t thread;
    atomic_bool thread_runs;
    _Atomic uint32_t order; /* a futex word; enum in native.c */
    weft_entry *entry;      /* of the migration point, or where to go on */
    void *argument;
    char **argv, **envp;
    jmp_buf home;
    int code;
    bool is_exit;
};

#endif

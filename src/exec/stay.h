/* A rank's stay in this process: its thread, and the orders that it waits for. */
#ifndef WEFT_EXEC_STAY_H
#define WEFT_EXEC_STAY_H

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "exec/program.h"
#include "weft/cell.h"

struct weft__rank;

struct weft__stay {
    pthread_t thread;
    atomic_bool thread_runs;
    _Atomic uint32_t order; /* a futex word; enum in stay.c */
    char **argv, **envp;
    jmp_buf home;
    int code;
    bool is_exit;
    /* The executor's. */
    struct weft_program_copy copy; /* native */
    weft_entry *entry;             /* of the migration point, or where to go on */
    void *argument;
    void *own;
};

/* Lets the executor load what the rank needs, and makes the thread. */
int weft__stay_open(struct weft__rank *rank);
/* Runs the program from its beginning. */
void weft__stay_start(struct weft__rank *rank);
/* Stands still until thaw or leave.  Thread: the rank's.  Returns when thawed; otherwise never. */
void weft__stay_stand(struct weft__rank *rank);
void weft__stay_thaw(struct weft__rank *rank);
/* Ends the thread of a rank that stands, or whose call leaves. */
void weft__stay_leave(struct weft__rank *rank);
/* Runs the program from where its range has been left. */
void weft__stay_resume(struct weft__rank *rank);
/* Frees what open made; the thread has been told to leave, or never started, or has ended. Waits
 * for it. */
void weft__stay_close(struct weft__rank *rank);
/* Ends the rank with this code; when is_exit, as if main had returned it.  Thread: the rank's. */
void weft__stay_quit(struct weft__rank *rank, int code, bool is_exit) __attribute__((noreturn));

/* What a rank's stack has: RLIMIT_STACK, within bounds. */
size_t weft__stay_stack_bytes(void);

#endif

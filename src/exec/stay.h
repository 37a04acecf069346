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

enum weft__order {
    WEFT__ORDER_NONE,
    WEFT__ORDER_MAIN,
    WEFT__ORDER_RESUME,
    WEFT__ORDER_THAW,
    WEFT__ORDER_LEAVE
};

struct weft__stay {
    pthread_t thread;
    atomic_bool thread_runs;
    _Atomic uint32_t order; /* a futex word; enum weft__order */
    _Atomic uint32_t turn;  /* the workers': where the rank is with them */
    _Atomic(void *) worker; /* likewise: who runs it, or has last run it */
    _Atomic(void *) owner;  /* and who is to, while it can */
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
/* The last order, which is taken.  Blocks: no. */
enum weft__order weft__stay_order(struct weft__rank *rank);
/* A rank that workers run has begun (+1), or is left for good (-1). */
void weft__stay_count(struct weft__rank *rank, int n);
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

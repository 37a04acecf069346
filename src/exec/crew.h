/* The threads that ranks of other processes, or of this one, have forked and that run here: one
 * crew per fork. Private to src/exec/crew*.c. */
#ifndef WEFT_EXEC_CREW_H
#define WEFT_EXEC_CREW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "exec/program.h"
#include "snapshot/diff.h"
#include "snapshot/image.h"
#include "snapshot/pull.h"
#include "snapshot/region.h"
#include "snapshot/track.h"
#include "snapshot/view.h"
#include "weft/fork.h"
#include "wire/host.pb-c.h"

struct weft_call;
struct weft_exec;
struct weft__crew;

struct weft__crew_thread {
    struct weft_fork_thread seen; /* by the function; first */
    struct weft__crew *crew;
    int value;
};

struct weft__crew {
    struct weft__crew *prev, *next;
    struct weft_exec *exec;
    uint64_t fork;
    struct weft_program_copy program;

    /* The copy of the shared memory, where the rank is in another process. */
    bool remote;
    struct weft_region copy;
    uint64_t version;    /* 0: there is none, or what it holds is not known */
    uint64_t held_bytes; /* of exec->crews_held, at most what the copy takes */

    /* The run under way. exec->crews_lock covers busy, pull, ending. */
    bool busy;
    struct weft_pull *pull;
    struct weft_call *ending; /* the fork's end, which waits for the run's */
    atomic_bool cancelled;
    struct weft_call *call; /* is answered at its end; the request is its */
    const Weft__Host__ForkRunRequest *request;
    struct weft_image *image; /* that is pulled */
    struct weft_view view;
    struct weft_track *track;
    struct weft_merge merge;
    weft_fork_function *function;
    struct weft__crew_thread *threads;
    uint32_t threads_n;
    atomic_uint threads_left;
    _Atomic uint32_t gate; /* a futex word: enum in crew_run.c */

    /* Differences that were too many for the answer; until the next run. */
    struct weft_region results;
    struct weft_image *results_image;
};

/* crew.c: the run has ended, well or not: answers, and ends the crew if that is wanted. The crew
 * may be gone when this returns.  Thread: any. */
void weft__crew_answer(struct weft__crew *crew, const Weft__Host__ForkRunReply *reply);
void weft__crew_fail(struct weft__crew *crew, int err, const char *text);

/* crew_memory.c: the copy, what threads see of it, what they have changed. */
/* Brings the copy up to the request's version, then calls weft__crew_start() from this or another
 * thread.  Errors: WEFT_ESTALE it is not the version that the image changes; WEFT_ENOSPC; the
 * image's and pull's. */
int weft__crew_fetch(struct weft__crew *crew);
int weft__crew_map(struct weft__crew *crew);
void weft__crew_unmap(struct weft__crew *crew);
/* Fills in the reply's diffs, or image.  Owns: both are free()d by the caller. */
int weft__crew_diff(struct weft__crew *crew, Weft__Host__ForkRunReply *reply_out);
void weft__crew_forget_results(struct weft__crew *crew);
void weft__crew_forget_copy(struct weft__crew *crew);

/* crew_run.c: runs the function in all threads; answers when the last one has returned, or at once
 * where they cannot be made. */
void weft__crew_start(struct weft__crew *crew);

#endif

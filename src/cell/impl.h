/* Inside the executor of cells: what its files share.
 *
 * A rank belongs to one worker at a time: from when that takes it out of a queue until it has been
 * parked, or is over. stay.turn says which (park.h). Everything else of a rank's stay is its
 * worker's. */
#ifndef WEFT_CELL_IMPL_H
#define WEFT_CELL_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cell/gate.h"
#include "cell/park.h"
#include "cell/runqueue.h"
#include "cell/system.h"
#include "cell/timers.h"
#include "cell/trap.h"
#include "exec/impl.h"
#include "weft/cell.h"

enum weft__step {
    WEFT__STEP_WAIT,
    WEFT__STEP_YIELD, /* goes on after the others; then what again says */
    WEFT__STEP_DONE,  /* the call is done; it stops here if somebody wants that */
    WEFT__STEP_GO,    /* it goes on whatever anybody wants */
    WEFT__STEP_LEAVE  /* it is left where it stands */
};

struct weft__cell;
/* What the rank waits for, looked at whenever it has been woken. */
typedef enum weft__step weft__again(struct weft__cell *cell);

/* Of one stay. */
struct weft__cell {
    struct weft__rank *rank;
    struct weft__system system;
    uint64_t entry_sp; /* it has not begun yet: its first stack; 0: it has */

    /* While it waits. */
    weft__again *again;
    bool hears;           /* the bell wakes it, besides orders */
    uint32_t seen;        /* of the bell */
    uint64_t deadline_ns; /* of the machine's clock */
    int late;             /* the result when that has passed */
    unsigned waits;       /* that were over before they began */
    bool timed;           /* the timer runs, or has run */
    struct weft__timer timer;
    struct weft_executor_call *call_out;

    /* While another worker than its own runs it. */
    unsigned away;          /* times that it has become ready */
    uint32_t away_switches; /* of its own worker, at the last look */
    uint64_t away_ns;       /* when that was */

    char end[224]; /* why the program could not go on */
};

struct weft__workers;

/* How another worker looks to one that is idle. */
struct weft__look {
    uint32_t switches;
    uint64_t stuck_ns; /* since when it has not switched */
    uint64_t full_ns;  /* since when more than one rank has waited for it; 0: that is not so */
};

struct weft__worker {
    struct weft__gate gate;
    struct weft__gate_frame nowhere; /* of no rank */
    struct weft__workers *all;
    unsigned number;
    pthread_t thread;
    struct weft__trap *trap;
    struct weft__rank *now;  /* the rank whose program it runs; NULL: that waits, or has ended */
    struct weft__rank *next; /* to be entered from its beginning */
    bool parks, quits;       /* why the program has been left, if it has not ended */
    struct weft__spin spin;
    bool spun;                /* in place, in vain: the wait has begun */
    struct weft__look *looks; /* at each worker */
    uint64_t stole_ns;        /* when it has last looked at them */
    unsigned beats;           /* turns, to do some things every few of them */
    unsigned char gap[64];
    struct weft__runqueue queue;
    _Atomic uint32_t switches; /* ranks that it has begun to run */
    _Atomic uint32_t ranks;    /* that it runs, or has last run */
    atomic_bool spins;         /* it has nothing to run */
    unsigned char gap_between[64];
    _Atomic uint32_t word; /* counted up to wake it; a futex word */
    atomic_bool asleep;
    atomic_bool deep;  /* asleep, and would not look at what others have */
    atomic_bool spare; /* asleep until some worker has more than one rank */
    unsigned char gap_behind[64];
};

struct weft__workers {
    struct weft_exec *exec;
    unsigned n, running;
    struct weft__worker *each;
    atomic_bool stop;
    pthread_mutex_t timers_lock; /* after a rank's lock; nobody takes another one with it */
    struct weft__timers timers;
    _Atomic uint64_t first_ns; /* of the timers */
    atomic_uint deep, spares;  /* workers that are */
    struct weft__watch *watch; /* of descriptors that ranks wait for */
};

static inline struct weft__cell *weft__cell_of(const struct weft__rank *rank)
{
    return rank->stay.own;
}

static inline struct weft__gate_frame *weft__cell_frame(const struct weft__cell *cell)
{
    return &cell->system.space.space->frame;
}

/* workers.c */
extern const struct weft__executor_turns weft__workers_turns;
/* It looks around after at most a short sleep.  Thread: any. */
void weft__workers_undeep(struct weft__worker *worker);
/* Returns whether it was spare.  Thread: any. */
bool weft__workers_unspare(struct weft__worker *worker);
/* One worker that sleeps deep, if there is any, looks around: there may be more to do than whoever
 * is awake can.  Thread: any. */
void weft__workers_rouse(struct weft__workers *all);
/* A worker for a new stay: the one with the fewest. */
void weft__workers_assign(struct weft__rank *rank);
void weft__workers_release(struct weft__rank *rank); /* its stay is over, or has not begun */
/* The rank, which was another's, or this one's already, is this worker's. */
void weft__workers_take(struct weft__worker *worker, struct weft__rank *rank);
/* The rank is READY, and goes into its worker's queue. */
void weft__workers_enqueue(struct weft__rank *rank);
/* Wakes the worker that has the rank in its queue, if it sleeps.  Thread: any. */
void weft__workers_attend(const struct weft__rank *rank);
void weft__workers_time(struct weft__workers *all, struct weft__cell *cell);
void weft__workers_untime(struct weft__workers *all, struct weft__cell *cell);
/* Wakes the ranks whose time has come.  Thread: any. */
void weft__workers_expire(struct weft__workers *all);
/* The worker of the calling thread; NULL: it is none. */
struct weft__worker *weft__workers_self(void);

/* The next rank of the worker's queue, and what is due every few turns.  NULL: none is ready. */
struct weft__rank *weft__workers_next(struct weft__worker *worker);

/* idle.c */
/* Spins for a rank that waits, while its worker has nothing else to run.  Returns whether there is
 * something for it. */
bool weft__idle_beside(struct weft__worker *worker, const struct weft__cell *cell);
/* A rank to run, as soon as there is one; NULL: the workers are to stop. */
struct weft__rank *weft__idle(struct weft__worker *worker);

/* turn.c */
/* Leaves the program in the middle of a call: the rank waits for `again` from now on. */
void weft__turn_park(struct weft__cell *cell, weft__again *again) __attribute__((noreturn));
/* The rank waits for its bell, as its cell says. Goes straight on with another one where it can:
 * then it does not return.  Returns when the call is done; the result is in the frame. */
void weft__turn_sleep(struct weft__cell *cell);
/* Whether something has happened that a rank which waits has to look at. */
bool weft__turn_is_due(const struct weft__cell *cell);
/* Runs a rank that has been taken out of a queue, and those that follow it, until none is ready. */
void weft__turn_run(struct weft__worker *worker, struct weft__rank *rank);
void weft__turn_wake(struct weft__rank *rank);
void weft__turn_quit(struct weft__rank *rank) __attribute__((noreturn));
void weft__turn_join(struct weft__rank *rank);
/* It waits for its first order. */
void weft__turn_init(struct weft__cell *cell);
/* Waits for the bell, or for somebody who wants it to stop. */
enum weft__step weft__turn_wait(struct weft__cell *cell);
/* A call is done, and the rank stops if that is wanted. */
enum weft__step weft__turn_point(struct weft__cell *cell);
/* Goes on after the other ranks of its worker. */
enum weft__step weft__turn_yield(struct weft__cell *cell);
/* Takes a call from outside. */
enum weft__step weft__turn_next(struct weft__cell *cell);
/* Only the end of everything. */
enum weft__step weft__turn_never(struct weft__cell *cell);
/* Waits to be moved because it wants to: exec/torture.c. */
enum weft__step weft__turn_torture(struct weft__cell *cell);
/* Stops the rank if that is wanted. */
enum weft__step weft__turn_stop(struct weft__cell *cell);

/* near.c */
/* A packet straight into the mailbox of a rank of this process; enum in gate.h.  Thread: the
 * program's, with its thread pointer and stack. */
int weft__near_send(struct weft_cell *cell, int32_t dest, const struct iovec *parts, unsigned n);
/* The rank is about to wait, or (sleeps: false) only looks: its bell has rung for all packets
 * before this, and where it has not since it was seen, the next one rings it.  Thread: its worker.
 */
void weft__near_listen(struct weft__rank *rank, uint32_t seen, bool sleeps);
/* How often the rank, which goes on now, looks into its mailbox before it waits in the runtime: a
 * microsecond long, where nobody else is to run and nothing comes from elsewhere.  Thread: its
 * worker. */
void weft__near_glances(const struct weft__worker *worker, const struct weft__rank *rank);

/* executor.c */
/* See weft__move_stop(). */
enum weft__stop weft__cell_stop(struct weft__cell *cell);
/* Makes the program's first frame, or what it goes on with.  Errors: it cannot run. */
int weft__cell_begin(struct weft__cell *cell, bool resumed);
/* The program has ended; what the rank's exit code is. An end that it did not want ends the app. */
int weft__cell_end(struct weft__cell *cell, int code);
int weft__cell_fail(struct weft__cell *cell, int err);
extern const struct weft__trap_desc weft__cell_trap; /* of a worker, but gate, end and ctx */

#endif

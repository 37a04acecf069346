/* A rank's turns: it runs until it waits, and what it waits for is looked at when it is woken.
 *
 * A rank that waits is data: its registers lie on its own stack, what it waits for in struct
 * weft__cell. No frame of the runtime is kept for it, so any worker can go on with it, and a
 * thousand of them cost no more than their ranges. So no call blocks with frames on a worker's
 * stack; it leaves the program (turn_park), and the worker's loop looks at what it waits for.
 *
 * A rank can be woken for nothing; then it parks again (park.h: none is woken too little).
 *
 * A rank that is to leave is left by whoever says so, if nobody has it: no worker need have time
 * for that. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/wake.h"
#include "cell/impl.h"

static bool is_closing(const struct weft__rank *rank)
{
    return atomic_load_explicit(&rank->exec->closing, memory_order_acquire);
}

static bool is_wanted(const struct weft__rank *rank)
{
    return __builtin_expect(
        atomic_load_explicit(&rank->cell->move_pending, memory_order_relaxed) != 0, 0);
}

/* ---- what ranks wait for ---- */

/* Its first order. */
static enum weft__step begin(struct weft__cell *cell)
{
    enum weft__order order = weft__stay_order(cell->rank);
    if (order == WEFT__ORDER_NONE)
        return WEFT__STEP_WAIT;
    if (order == WEFT__ORDER_LEAVE)
        return WEFT__STEP_LEAVE;
    int err = weft__cell_begin(cell, order == WEFT__ORDER_RESUME);
    if (!err)
        return WEFT__STEP_GO;
    weft__rank_finish(cell->rank, weft__cell_fail(cell, err));
    return WEFT__STEP_LEAVE;
}

void weft__turn_init(struct weft__cell *cell)
{
    cell->again = begin;
    cell->hears = false;
    cell->deadline_ns = WEFT_NEVER;
    atomic_store(&cell->rank->stay.order, WEFT__ORDER_NONE); /* of the stay before */
    atomic_store(&cell->rank->stay.turn, WEFT__TURN_ASLEEP);
}

enum weft__step weft__turn_wait(struct weft__cell *cell)
{
    struct weft__rank *rank = cell->rank;
    if (is_closing(rank))
        return WEFT__STEP_LEAVE;
    weft__rank_tend(rank);
    struct weft__gate_frame *frame = weft__cell_frame(cell);
    frame->result = WEFT_OK;
    if (weft__rank_is_rung(rank, cell->seen) || is_wanted(rank))
        return WEFT__STEP_DONE;
    if (cell->deadline_ns == WEFT_NEVER || weft__now_ns() < cell->deadline_ns)
        return WEFT__STEP_WAIT;
    frame->result = cell->late;
    return WEFT__STEP_DONE;
}

enum weft__step weft__turn_next(struct weft__cell *cell)
{
    struct weft__rank *rank = cell->rank;
    struct weft__gate_frame *frame = weft__cell_frame(cell);
    if (is_closing(rank))
        return WEFT__STEP_LEAVE;
    cell->hears = true;
    cell->seen = atomic_load(&rank->cell->bell);
    weft__rank_tend(rank);
    frame->result = weft__called_try(rank, cell->call_out);
    if (frame->result != WEFT_ENOENT)
        return WEFT__STEP_DONE;
    frame->result = WEFT_ETIMEDOUT;
    if (cell->deadline_ns != WEFT_NEVER && weft__now_ns() >= cell->deadline_ns)
        return WEFT__STEP_DONE;
    return WEFT__STEP_WAIT;
}

enum weft__step weft__turn_never(struct weft__cell *cell)
{
    if (is_closing(cell->rank))
        return WEFT__STEP_LEAVE;
    cell->hears = true;
    cell->seen = atomic_load(&cell->rank->cell->bell);
    cell->deadline_ns = WEFT_NEVER;
    return WEFT__STEP_WAIT;
}

enum weft__step weft__turn_yield(struct weft__cell *cell)
{
    cell->again = weft__turn_point;
    return WEFT__STEP_YIELD;
}

/* An order, while it stands still. */
static enum weft__step stand(struct weft__cell *cell)
{
    enum weft__order order = weft__stay_order(cell->rank);
    if (order == WEFT__ORDER_NONE)
        return WEFT__STEP_WAIT;
    if (order == WEFT__ORDER_LEAVE)
        return WEFT__STEP_LEAVE;
    weft__move_free_image(cell->rank);
    return WEFT__STEP_GO;
}

/* Its own gets end first, as their ends are written into the range. */
enum weft__step weft__turn_stop(struct weft__cell *cell)
{
    struct weft__rank *rank = cell->rank;
    if (is_closing(rank))
        return WEFT__STEP_LEAVE;
    cell->hears = true;
    cell->seen = atomic_load(&rank->cell->bell);
    cell->deadline_ns = WEFT_NEVER;
    if (is_wanted(rank) && atomic_load_explicit(&rank->gets_n, memory_order_acquire)) {
        weft__rank_tend(rank);
        cell->deadline_ns = weft__now_ns() + WEFT__TICK_NS; /* who withdraws the wish rings not */
        return WEFT__STEP_WAIT;
    }
    enum weft__stop stop = is_wanted(rank) ? weft__cell_stop(cell) : WEFT__STOP_NOT;
    if (stop != WEFT__STOP_STANDS)
        return WEFT__STEP_GO;
    cell->hears = false;
    cell->again = stand;
    return stand(cell);
}

/* Its home moves it, or cannot. */
static enum weft__step tortured(struct weft__cell *cell)
{
    struct weft__rank *rank = cell->rank;
    if (is_closing(rank))
        return WEFT__STEP_LEAVE;
    cell->hears = true;
    cell->deadline_ns = WEFT_NEVER;
    cell->seen = atomic_load(&rank->cell->bell);
    if (atomic_load(&rank->tortured) && !is_wanted(rank))
        return WEFT__STEP_WAIT;
    atomic_store(&rank->credit_given, true); /* it may have come just now, and been taken here */
    cell->again = weft__turn_stop;
    return weft__turn_stop(cell);
}

enum weft__step weft__turn_torture(struct weft__cell *cell)
{
    cell->again = weft__torture_begin(cell->rank) ? tortured : weft__turn_stop;
    return cell->again(cell);
}

enum weft__step weft__turn_point(struct weft__cell *cell)
{
    cell->again = weft__torture_is_due(cell->rank) ? weft__turn_torture : weft__turn_stop;
    return cell->again(cell);
}

/* ---- turns ---- */

void weft__turn_park(struct weft__cell *cell, weft__again *again)
{
    struct weft__worker *worker = weft__workers_self();
    cell->again = again;
    worker->parks = true;
    weft__gate_leave(&worker->gate, 0);
}

void weft__turn_quit(struct weft__rank *rank)
{
    struct weft__worker *worker = weft__workers_self();
    (void)rank;
    worker->quits = true;
    weft__gate_leave(&worker->gate, 0);
}

/* Nobody runs it again in this stay. What is the cell's can go from now on. */
static void leave(struct weft__rank *rank)
{
    struct weft__worker *worker = rank->stay.worker;
    weft__workers_untime(worker->all, weft__cell_of(rank));
    weft__system_fini(&weft__cell_of(rank)->system);
    weft__workers_release(rank);
    atomic_store(&rank->stay.turn, WEFT__TURN_OVER);
    weft__futex_wake(&rank->stay.turn);
    weft__stay_count(rank, -1);
}

void weft__turn_join(struct weft__rank *rank)
{
    uint32_t turn;
    while ((turn = atomic_load(&rank->stay.turn)) != WEFT__TURN_OVER)
        weft__futex_wait(&rank->stay.turn, turn, WEFT_NEVER);
}

static void yield(struct weft__rank *rank)
{
    atomic_store(&rank->stay.turn, WEFT__TURN_READY);
    weft__workers_enqueue(rank);
}

/* A timer's may come late, and find the rank in its next stay: what it has to do is looked at when
 * the rank is the caller's. */
void weft__turn_wake(struct weft__rank *rank)
{
    if (!weft__park_wake(&rank->stay.turn, WEFT__TURN_RUNNING))
        return;
    if (atomic_load(&rank->stay.order) == WEFT__ORDER_LEAVE)
        leave(rank);
    else
        yield(rank);
}

bool weft__turn_is_due(const struct weft__cell *cell)
{
    const struct weft__rank *rank = cell->rank;
    if (atomic_load(&rank->stay.order) != WEFT__ORDER_NONE)
        return true;
    if (!cell->hears)
        return false;
    /* Credit is for a wait of the program: others would not take it, and be due for ever. */
    return atomic_load(&rank->cell->bell) != cell->seen || is_closing(rank) ||
           (cell->again == weft__turn_wait &&
            atomic_load_explicit(&rank->credit_given, memory_order_relaxed));
}

/* Returns whether the rank is left alone: it may be in other hands then, or gone. */
static bool park(struct weft__worker *worker, struct weft__cell *cell)
{
    struct weft__rank *rank = cell->rank;
    bool timed = cell->deadline_ns != WEFT_NEVER;
    weft__park_begin(&rank->stay.turn);
    cell->timed = timed;
    if (timed)
        weft__workers_time(worker->all, cell);
    if (weft__turn_is_due(cell))
        weft__park_stay(&rank->stay.turn);
    else if (weft__park_end(&rank->stay.turn))
        return true;
    weft__workers_untime(worker->all, cell);
    return false;
}

/* Returns whether the program goes on now; else the rank may be gone. */
static bool settle(struct weft__worker *worker, struct weft__cell *cell)
{
    for (;;) {
        switch (cell->again(cell)) {
        case WEFT__STEP_GO:
            return true;
        case WEFT__STEP_DONE:
            weft__system_returns(&cell->system, weft__cell_frame(cell)->sp);
            if (!cell->rank->exec->torture_move && !is_wanted(cell->rank))
                return true;
            cell->again = weft__turn_point;
            break;
        case WEFT__STEP_YIELD:
            yield(cell->rank);
            return false;
        case WEFT__STEP_LEAVE:
            leave(cell->rank);
            return false;
        case WEFT__STEP_WAIT:
            if (park(worker, cell))
                return false;
            break;
        }
    }
}

static void take(struct weft__worker *worker, struct weft__rank *rank)
{
    atomic_store_explicit(&rank->stay.turn, WEFT__TURN_RUNNING, memory_order_relaxed);
    weft__workers_untime(worker->all, weft__cell_of(rank));
    rank->gate = &worker->gate;
    weft__workers_take(worker, rank);
}

/* Another rank goes on in the middle of this one's call. */
static void switch_to(struct weft__worker *worker, struct weft__rank *rank, const uint32_t modes[2])
    __attribute__((noreturn));
static void switch_to(struct weft__worker *worker, struct weft__rank *rank, const uint32_t modes[2])
{
    struct weft__gate_frame *frame = weft__cell_frame(weft__cell_of(rank));
    worker->now = rank;
    worker->gate.frame = frame;
    weft__near_glances(worker, rank);
    weft__gate_switch(&worker->gate, frame->result, modes);
}

void weft__turn_sleep(struct weft__cell *cell)
{
    struct weft__worker *worker = weft__workers_self();
    uint32_t *modes = weft__cell_frame(cell)->modes, now[2];
    weft__gate_modes(now);
    memcpy(modes, now, sizeof(now)); /* whoever goes on with it */
    cell->again = weft__turn_wait;
    worker->now = NULL;
    if ((weft__idle_beside(worker, cell) || !park(worker, cell)) && settle(worker, cell)) {
        worker->now = cell->rank;
        weft__near_glances(worker, cell->rank);
        return;
    }
    for (struct weft__rank *rank; (rank = weft__workers_next(worker));) {
        take(worker, rank);
        if (!settle(worker, weft__cell_of(rank)))
            continue;
        if (!weft__cell_of(rank)->entry_sp)
            switch_to(worker, rank, now);
        worker->next = rank;
        break;
    }
    worker->gate.frame = &worker->nowhere; /* the rank may be in other hands, or gone */
    weft__gate_leave(&worker->gate, 0);
}

static int64_t enter(struct weft__worker *worker, struct weft__cell *cell)
{
    struct weft__gate_frame *frame = weft__cell_frame(cell);
    uint64_t sp = cell->entry_sp;
    worker->gate.frame = frame;
    cell->entry_sp = 0;
    if (sp)
        return weft__gate_run(&worker->gate, sp, cell->system.space.space->entry);
    return weft__gate_resume(&worker->gate, frame->result);
}

/* Goes on with a rank. Returns whether there is one that waits in the middle of a call, and which.
 */
static struct weft__rank *run(struct weft__worker *worker, struct weft__rank *rank)
{
    worker->now = rank;
    worker->next = NULL;
    worker->parks = worker->quits = false;
    weft__near_glances(worker, rank);
    int64_t code = enter(worker, weft__cell_of(rank));
    rank = worker->now; /* others have followed it */
    worker->now = NULL;
    if (!rank || worker->parks)
        return rank;
    if (!worker->quits)
        weft__rank_finish(rank, weft__cell_end(weft__cell_of(rank), (int)code));
    else if (rank->stay.is_exit)
        weft__rank_finish(rank, rank->stay.code);
    leave(rank);
    return NULL;
}

void weft__turn_run(struct weft__worker *worker, struct weft__rank *rank)
{
    take(worker, rank);
    while (rank && settle(worker, weft__cell_of(rank)))
        for (rank = run(worker, rank); !rank && worker->next;)
            rank = run(worker, worker->next);
}

/* Waiting: a rank's thread moves things forward itself for a few microseconds, then sleeps on the
 * lane, so that what arrives for it wakes it directly.
 *
 * One rank of a process sleeps on the lane, the others on their bells. The one on the lane drives
 * it for all; when it goes it rings one of the others, who takes its place. Whoever puts something
 * into the mailbox or completes a get counts the bell up, and wakes the thread if it says that it
 * sleeps: it says so before it looks at the bell for the last time, so no ring is lost.
 */
#include <sched.h>

#include "base/clock.h"
#include "base/wake.h"
#include "exec/impl.h"
#include "weft/error.h"

enum { SLEEPS_ON_LANE = 1, SLEEPS_ON_BELL };

static bool is_closing(const struct weft__rank *rank)
{
    return atomic_load_explicit(&rank->exec->closing, memory_order_acquire);
}

static void leave_if_closing(struct weft__rank *rank)
{
    if (is_closing(rank))
        weft__stay_quit(rank, 0, false);
}

void weft__rank_tend(struct weft__rank *rank)
{
    if (atomic_load_explicit(&rank->held, memory_order_relaxed))
        weft__inbox_drain(rank);
    if (atomic_load_explicit(&rank->gets_n, memory_order_relaxed))
        weft__gets_progress(rank, weft__now_ns());
    if (atomic_load_explicit(&rank->backlog, memory_order_relaxed)) {
        atomic_store_explicit(&rank->backlog, false, memory_order_relaxed);
        weft__outbox_flush(rank, -1, false);
    }
}

int weft__rank_progress(struct weft__rank *rank)
{
    int events = weft__exec_has_peers(rank->exec) ? weft__lanes_drive(&rank->exec->lanes) : 0;
    weft__rank_tend(rank);
    return events;
}

static bool spin(struct weft__rank *rank, uint32_t seen)
{
    uint64_t now_ns = weft__now_ns();
    weft__spin_begin(&rank->spin, now_ns);
    do {
        int events = weft__rank_progress(rank);
        if (weft__rank_is_rung(rank, seen))
            return true;
        now_ns = weft__now_ns();
        if (events)
            rank->spin.turned_ns = now_ns;
    } while (weft__spin_more(&rank->spin, now_ns) && !is_closing(rank));
    return false;
}

static bool may_sleep(const struct weft__rank *rank, uint32_t seen)
{
    return atomic_load(&rank->cell->bell) == seen && !is_closing(rank);
}

/* The lane that a rank sleeps on. */
static unsigned lane_of(const struct weft__rank *rank)
{
    return (uint32_t)rank->number % rank->exec->lanes.n;
}

/* Rings one rank that sleeps on its bell, so that it takes the caller's place on the lane. */
static void pass_on(struct weft__rank *rank)
{
    struct weft_exec *exec = rank->exec;
    for (int32_t i = 1; i < exec->size && atomic_load(&exec->on_bells); i++) {
        struct weft__rank *next = weft__rank_find(exec, (rank->number + i) % exec->size);
        if (!next || lane_of(next) != lane_of(rank) ||
            atomic_load(&next->sleeping) != SLEEPS_ON_BELL)
            continue;
        pthread_mutex_lock(&next->lock);
        bool rings = next->cell && atomic_load(&next->sleeping) == SLEEPS_ON_BELL;
        if (rings)
            weft__rank_ring(next);
        pthread_mutex_unlock(&next->lock);
        if (rings)
            return;
    }
}

static int sleep_on_bell(struct weft__rank *rank, uint32_t seen, uint64_t deadline_ns)
{
    int err = WEFT_OK;
    atomic_fetch_add(&rank->exec->on_bells, 1);
    atomic_store(&rank->sleeping, SLEEPS_ON_BELL);
    /* The rank on the lane may have gone meanwhile, and have seen nobody to pass it on to. */
    if (may_sleep(rank, seen) && (weft__lane_is_waited(rank->exec->lanes.lane[lane_of(rank)]) ||
                                  !weft__exec_has_peers(rank->exec)))
        err = weft__futex_wait(&rank->cell->bell, seen, deadline_ns);
    atomic_fetch_sub(&rank->exec->on_bells, 1);
    return err;
}

/* deadline_ns is of the machine's clock. on_lane: set when the rank has been on the lane. */
static int sleep_until(struct weft__rank *rank, uint32_t seen, uint64_t deadline_ns, bool *on_lane)
{
    int err = weft__exec_has_peers(rank->exec) ? WEFT_OK : WEFT_EBUSY;
    atomic_store(&rank->sleeping, SLEEPS_ON_LANE);
    if (!err && may_sleep(rank, seen))
        err = weft__lanes_wait(&rank->exec->lanes, lane_of(rank), &rank->cell->bell, seen,
                               deadline_ns);
    if (err == WEFT_EBUSY)
        err = sleep_on_bell(rank, seen, deadline_ns);
    else
        *on_lane = true;
    atomic_store(&rank->sleeping, 0);
    return err == WEFT_ETIMEDOUT ? WEFT_ETIMEDOUT : WEFT_OK;
}

static int wait_long(struct weft__rank *rank, uint32_t seen, uint64_t deadline_ns, bool *on_lane)
{
    weft__spin_wait(&rank->spin, weft__now_ns());
    while (!spin(rank, seen)) {
        int err = sleep_until(rank, seen, deadline_ns, on_lane);
        if (weft__rank_is_rung(rank, seen) || is_closing(rank))
            break;
        if (err)
            return err;
    }
    weft__spin_learn(&rank->spin, weft__now_ns());
    return WEFT_OK;
}

int weft__rank_wait(struct weft__rank *rank, uint32_t seen, uint64_t deadline_ns)
{
    leave_if_closing(rank);
    int events = weft__rank_progress(rank);
    if (weft__rank_is_rung(rank, seen))
        return WEFT_OK;
    if (deadline_ns == 0) {
        if (!events)
            sched_yield();
        return WEFT_ETIMEDOUT;
    }
    bool on_lane = false;
    int err = wait_long(rank, seen, deadline_ns, &on_lane);
    if (on_lane && atomic_load(&rank->exec->on_bells))
        pass_on(rank);
    leave_if_closing(rank);
    return err;
}

/* Waiting: a rank's thread moves things forward itself for a few microseconds, then sleeps on the
 * lane, so that what arrives for it wakes it directly.
 *
 * One rank of a process sleeps on the lane, the others on their bells. The one on the lane drives
 * it for all; when it goes it rings one of the others, who takes its place. Whoever puts something
 * into the mailbox or completes a get counts the bell up, and wakes the thread if it says that it
 * sleeps: it says so before it looks at the bell for the last time, so no ring is lost.
 *
 * How long a rank spins is learnt: as long as waits tend to end soon, it is worth it; where the
 * cores are shared with ranks that have work, waits are long and spinning only takes their time. */
#include <sched.h>

#include "base/clock.h"
#include "base/wake.h"
#include "exec/impl.h"
#include "weft/error.h"

#define SPIN_MIN_NS 2000ull
#define SPIN_MAX_NS 64000ull
#define WORTH_NS 100000ull /* a wait that both sides may have made long by sleeping */
#define STOLEN_NS 20000ull /* an empty turn that takes so long was interrupted */
#define WARY_WAITS 64u

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

/* Whether anything can come over the lane. */
static bool has_peers(const struct weft__rank *rank)
{
    return atomic_load_explicit(&rank->exec->peers, memory_order_relaxed) != 0;
}

int weft__rank_progress(struct weft__rank *rank)
{
    int events = has_peers(rank) ? weft__lanes_drive(&rank->exec->lanes) : 0;
    if (atomic_load_explicit(&rank->held, memory_order_relaxed))
        weft__inbox_drain(rank);
    if (atomic_load_explicit(&rank->gets_n, memory_order_relaxed))
        weft__gets_progress(rank, weft__now_ns());
    if (atomic_load_explicit(&rank->backlog, memory_order_relaxed)) {
        atomic_store_explicit(&rank->backlog, false, memory_order_relaxed);
        weft__outbox_flush(rank, -1, false);
    }
    return events;
}

/* Whether the caller has something to look at. */
static bool is_over(struct weft__rank *rank, uint32_t seen)
{
    return atomic_load(&rank->cell->bell) != seen ||
           (atomic_load_explicit(&rank->credit_given, memory_order_relaxed) &&
            atomic_exchange(&rank->credit_given, false));
}

static bool spin(struct weft__rank *rank, uint32_t seen)
{
    uint64_t now_ns = weft__now_ns(), until_ns = now_ns + rank->spin_ns;
    do {
        int events = weft__rank_progress(rank);
        if (is_over(rank, seen))
            return true;
        uint64_t before_ns = now_ns;
        now_ns = weft__now_ns();
        if (!events && now_ns - before_ns > STOLEN_NS)
            rank->spin_wary = WARY_WAITS;
    } while (now_ns < until_ns && !rank->spin_wary && !is_closing(rank));
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
    if (may_sleep(rank, seen) &&
        (weft__lane_is_waited(rank->exec->lanes.lane[lane_of(rank)]) || !has_peers(rank)))
        err = weft__futex_wait(&rank->cell->bell, seen, deadline_ns);
    atomic_fetch_sub(&rank->exec->on_bells, 1);
    return err;
}

/* deadline_ns is of the machine's clock. on_lane: set when the rank has been on the lane. */
static int sleep_until(struct weft__rank *rank, uint32_t seen, uint64_t deadline_ns, bool *on_lane)
{
    int err = has_peers(rank) ? WEFT_OK : WEFT_EBUSY;
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

/* Spins longer next time if waits are short, less if they are long, somebody needs the core, or the
 * longest spin has not helped. */
static void learn(struct weft__rank *rank, uint64_t waited_ns)
{
    if (rank->spin_wary) {
        rank->spin_wary--;
        rank->spin_ns = SPIN_MIN_NS;
    } else if (waited_ns > WORTH_NS) {
        rank->spin_ns = rank->spin_ns / 2 > SPIN_MIN_NS ? rank->spin_ns / 2 : SPIN_MIN_NS;
    } else if (waited_ns > rank->spin_ns && rank->spin_ns == SPIN_MAX_NS) {
        rank->spin_wary = WARY_WAITS;
    } else if (waited_ns > rank->spin_ns) {
        rank->spin_ns = rank->spin_ns * 2 < SPIN_MAX_NS ? rank->spin_ns * 2 : SPIN_MAX_NS;
    }
}

static int wait_long(struct weft__rank *rank, uint32_t seen, uint64_t deadline_ns, bool *on_lane)
{
    uint64_t start_ns = weft__now_ns();
    if (rank->spin_ns == 0)
        rank->spin_ns = SPIN_MAX_NS;
    while (!spin(rank, seen)) {
        int err = sleep_until(rank, seen, deadline_ns, on_lane);
        if (is_over(rank, seen) || is_closing(rank))
            break;
        if (err)
            return err;
    }
    learn(rank, weft__now_ns() - start_ns);
    return WEFT_OK;
}

int weft__rank_wait(struct weft__rank *rank, uint32_t seen, uint64_t deadline_ns)
{
    leave_if_closing(rank);
    int events = weft__rank_progress(rank);
    if (is_over(rank, seen))
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

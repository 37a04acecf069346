/* Waiting: a rank's thread moves things forward itself for a few microseconds, then sleeps on its
 * bell.
 *
 * Spinning is short because other processes share the cores; after a first quick look the lane's
 * progress thread rests while it lasts. Whoever puts something into the mailbox or completes a get
 * counts the bell up, and wakes the thread if it says that it sleeps: it says so before it looks at
 * the bell for the last time, so no ring is lost. A thread that is to leave does so at the start of
 * a wait or after sleeping, never between the two calls that tell the lane of its polling.
 */
#include <sched.h>

#include "base/clock.h"
#include "base/wake.h"
#include "exec/impl.h"
#include "weft/error.h"

#define LOOK_NS 1500ull /* an answer from a rank of this process takes less */
#define SPIN_NS 5000ull
#define NAP_NS 100000ull /* where nobody else drives the lane (WEFT_PROGRESS=worker) */

static bool is_closing(const struct weft__rank *rank)
{
    return atomic_load_explicit(&rank->exec->closing, memory_order_acquire);
}

static void leave_if_closing(struct weft__rank *rank)
{
    if (is_closing(rank))
        rank->exec->executor->quit(rank, 0, false);
}

int weft__rank_progress(struct weft__rank *rank)
{
    int events = weft__lane_drive(rank->exec->lane);
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

static bool spin(struct weft__rank *rank, uint32_t seen, uint64_t spin_ns)
{
    uint64_t until_ns = weft__now_ns() + spin_ns;
    do {
        weft__rank_progress(rank);
        if (is_over(rank, seen))
            return true;
    } while (weft__now_ns() < until_ns && !is_closing(rank));
    return false;
}

/* deadline_ns is of the machine's clock. */
static int sleep_until(struct weft__rank *rank, uint32_t seen, uint64_t deadline_ns)
{
    uint64_t until_ns = deadline_ns;
    if (!rank->exec->drives_itself && weft__now_ns() + NAP_NS < deadline_ns)
        until_ns = weft__now_ns() + NAP_NS;
    int err = WEFT_OK;
    atomic_store(&rank->sleeping, 1);
    if (atomic_load(&rank->cell->bell) == seen && !is_closing(rank))
        err = weft__futex_wait(&rank->cell->bell, seen, until_ns);
    atomic_store(&rank->sleeping, 0);
    return err == WEFT_ETIMEDOUT && until_ns == deadline_ns ? WEFT_ETIMEDOUT : WEFT_OK;
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
    if (spin(rank, seen, LOOK_NS))
        return WEFT_OK;
    for (;;) {
        weft__lane_polling(rank->exec->lane, true);
        bool over = spin(rank, seen, SPIN_NS);
        weft__lane_polling(rank->exec->lane, false);
        if (over)
            return WEFT_OK;
        int err = sleep_until(rank, seen, deadline_ns);
        leave_if_closing(rank);
        if (is_over(rank, seen))
            return WEFT_OK;
        if (err)
            return err;
    }
}

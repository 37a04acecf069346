/* A worker with nothing to run: it moves things forward itself for a few microseconds, then sleeps,
 * on the lane if nobody does yet, so that what arrives wakes it directly, else on its word.
 *
 * Whoever gives it a rank looks whether it sleeps, after that is in the queue; it says so before it
 * looks into the queue for the last time. So no rank is left lying.
 *
 * It takes a rank of another worker where one has waited for some time and that has not begun a new
 * one, because its rank computes, or has had more than one waiting for as long. The rank comes back
 * when it is woken and its own worker has nothing to run, or switches as often as the rank does
 * (workers.c): whoever was interrupted for a moment would otherwise never get its ranks again, and
 * 8 ranks that meet in barriers take 1.2 us where neighbours share a worker, 2 us where not. It
 * looks at others every few microseconds only: what it reads there, they have just written. Two
 * ranks that send to each other in turns are left together: where they are, a message costs a
 * switch; apart it costs two caches. While other workers are awake it does not sleep for long, so
 * that it sees what they have. Where none is, it sleeps deep, and is woken when one that is awake
 * gets a rank, or wakes up to more than one, or when a timer is set that ends before the ones that
 * it knows of.
 *
 * A worker without a rank, where no other has two, is spare: it could only take a rank from one
 * that comes to run it. It sleeps until some worker gets a second rank, and leaves the lane alone:
 * there it would be woken by every message, move the bytes on a core that another rank needs, and
 * have the rank's worker wait for the lane. */
#include "base/clock.h"
#include "base/wake.h"
#include "cell/impl.h"

#define STUCK_NS 30000ull
#define LOOK_NS 500000ull /* between two looks at others, asleep */
#define TEND_TURNS 64u    /* of spinning, between two looks at ranks that wait */
#define GLANCES 16u       /* at bell and queue, for each look at everything */
#define STEAL_NS 4000ull  /* between two looks at what others have: their caches pay for them */

/* ---- ranks of others ---- */

static void look(struct weft__look *look, const struct weft__worker *other, uint64_t now_ns)
{
    uint32_t switches = atomic_load_explicit(&other->switches, memory_order_relaxed);
    if (switches != look->switches || !look->stuck_ns || weft__runqueue_is_empty(&other->queue))
        look->stuck_ns = now_ns;
    look->switches = switches;
    if (weft__runqueue_len(&other->queue) < 2)
        look->full_ns = 0;
    else if (!look->full_ns)
        look->full_ns = now_ns;
}

static struct weft__rank *take_from(struct weft__worker *worker, struct weft__worker *other,
                                    uint64_t now_ns)
{
    struct weft__look *at = &worker->looks[other->number];
    look(at, other, now_ns);
    bool stuck = now_ns - at->stuck_ns > STUCK_NS;
    bool full = at->full_ns && now_ns - at->full_ns > STUCK_NS;
    if (atomic_load_explicit(&other->asleep, memory_order_relaxed) || (!stuck && !full))
        return NULL;
    at->full_ns = 0;
    return weft__runqueue_steal(&other->queue);
}

static struct weft__rank *steal(struct weft__worker *worker, uint64_t now_ns)
{
    struct weft__workers *all = worker->all;
    struct weft__rank *rank = NULL;
    if (now_ns - worker->stole_ns < STEAL_NS)
        return NULL;
    worker->stole_ns = now_ns;
    for (unsigned i = 1; !rank && i < all->n; i++)
        rank = take_from(worker, &all->each[(worker->number + i) % all->n], now_ns);
    return rank;
}

static bool others_are_awake(const struct weft__worker *worker)
{
    const struct weft__workers *all = worker->all;
    for (unsigned i = 0; i < all->n; i++)
        if (i != worker->number && !atomic_load(&all->each[i].asleep))
            return true;
    return false;
}

/* ---- what waits ---- */

static bool has_work_under_way(const struct weft__rank *rank)
{
    return atomic_load_explicit(&rank->held, memory_order_relaxed) ||
           atomic_load_explicit(&rank->gets_n, memory_order_relaxed) ||
           atomic_load_explicit(&rank->backlog, memory_order_relaxed);
}

/* Moves forward what ranks of this worker have under way. */
static void tend(const struct weft__worker *worker)
{
    struct weft_exec *exec = worker->all->exec;
    for (int32_t i = 0; i < exec->size; i++) {
        struct weft__rank *rank = weft__rank_find(exec, i);
        if (rank && has_work_under_way(rank) &&
            atomic_load_explicit(&rank->stay.worker, memory_order_relaxed) == worker)
            weft__rank_tend(rank);
    }
}

static bool is_over(const struct weft__worker *worker)
{
    return atomic_load_explicit(&worker->all->stop, memory_order_acquire);
}

static void say_spins(struct weft__worker *worker, bool spins)
{
    atomic_store_explicit(&worker->spins, spins, memory_order_relaxed);
}

/* What others have had is of no account: they may have run it meanwhile. */
static void forget(struct weft__worker *worker, uint64_t now_ns)
{
    worker->stole_ns = now_ns;
    for (unsigned i = 0; i < worker->all->n; i++)
        worker->looks[i].stuck_ns = worker->looks[i].full_ns = 0;
}

/* Returns whether there is something for the rank, or for the worker. */
static bool glance(struct weft__worker *worker, const struct weft__cell *cell)
{
    for (unsigned i = 0; i < GLANCES; i++) {
        if (weft__turn_is_due(cell) || !weft__runqueue_is_empty(&worker->queue))
            return true;
        __builtin_ia32_pause();
    }
    return false;
}

/* Where it has one rank at most, whatever moves may be what that waits for; where it has more, they
 * share the core with others, and what moves is of any of them. */
static void moved(struct weft__worker *worker, uint64_t now_ns)
{
    if (atomic_load_explicit(&worker->ranks, memory_order_relaxed) <= 1)
        weft__spin_moved(&worker->spin, now_ns);
    else
        worker->spin.turned_ns = now_ns;
}

/* A rank that it takes from another worker goes into its own queue. */
bool weft__idle_beside(struct weft__worker *worker, const struct weft__cell *cell)
{
    struct weft_exec *exec = worker->all->exec;
    worker->spun = false;
    if (worker->spin.wary || cell->deadline_ns != WEFT_NEVER ||
        !weft__runqueue_is_empty(&worker->queue))
        return false;
    uint64_t now_ns = weft__now_ns();
    weft__spin_wait(&worker->spin, now_ns);
    weft__spin_begin(&worker->spin, now_ns);
    forget(worker, now_ns);
    say_spins(worker, true);
    bool found;
    for (unsigned turn = 0; !(found = glance(worker, cell)); turn++) {
        int events = weft__exec_has_peers(exec) ? weft__lanes_drive(&exec->lanes) : 0;
        weft__workers_expire(worker->all);
        if (events && (found = weft__turn_is_due(cell)))
            break; /* the rest of the turn would take 0.1 us; it is not counted as waiting */
        if (turn % TEND_TURNS == 0)
            tend(worker);
        now_ns = weft__now_ns();
        struct weft__rank *rank = steal(worker, now_ns);
        if (rank)
            weft__runqueue_push(&worker->queue, rank);
        if (events)
            moved(worker, now_ns);
        if (!weft__spin_more(&worker->spin, now_ns))
            break;
    }
    say_spins(worker, false);
    if (found)
        weft__spin_learn(&worker->spin, now_ns);
    worker->spun = !found;
    return found && weft__turn_is_due(cell);
}

static struct weft__rank *spin(struct weft__worker *worker)
{
    struct weft_exec *exec = worker->all->exec;
    uint64_t now_ns = weft__now_ns();
    struct weft__rank *rank = NULL;
    weft__spin_begin(&worker->spin, now_ns);
    say_spins(worker, true);
    for (unsigned turn = 0; !rank; turn++) {
        int events = weft__exec_has_peers(exec) ? weft__lanes_drive(&exec->lanes) : 0;
        if (turn % TEND_TURNS == 0)
            tend(worker);
        weft__workers_expire(worker->all);
        rank = weft__runqueue_pop(&worker->queue);
        now_ns = weft__now_ns();
        if (!rank)
            rank = steal(worker, now_ns);
        if (events)
            moved(worker, now_ns);
        if (rank || !weft__spin_more(&worker->spin, now_ns) || is_over(worker))
            break;
    }
    say_spins(worker, false);
    return rank;
}

/* ---- sleeping ---- */

/* Where the lane has no thread of its own, somebody has to look after it. */
static bool is_spare(const struct weft__worker *worker)
{
    const struct weft__workers *all = worker->all;
    if (!all->exec->drives_itself || atomic_load(&worker->ranks) > 0 ||
        !weft__runqueue_is_empty(&worker->queue))
        return false;
    for (unsigned i = 0; i < all->n; i++)
        if (atomic_load(&all->each[i].ranks) > 1)
            return false;
    return true;
}

/* Says so before it looks for the last time: who gives a worker its second rank, or this one its
 * first, sees it. */
static void sleep_spare(struct weft__worker *worker)
{
    uint32_t seen = atomic_load(&worker->word);
    atomic_store(&worker->asleep, true);
    atomic_store(&worker->spare, true);
    atomic_fetch_add(&worker->all->spares, 1);
    if (is_spare(worker) && !is_over(worker))
        weft__futex_wait(&worker->word, seen, WEFT_NEVER);
    weft__workers_unspare(worker);
    atomic_store(&worker->asleep, false);
}

static void sleep_until(struct weft__worker *worker, uint32_t seen, uint64_t deadline_ns)
{
    struct weft_exec *exec = worker->all->exec;
    int err = WEFT_EBUSY;
    if (weft__exec_has_peers(exec))
        err = weft__lanes_wait(&exec->lanes, worker->number % exec->lanes.n, &worker->word, seen,
                               deadline_ns);
    if (err == WEFT_EBUSY)
        weft__futex_wait(&worker->word, seen, deadline_ns);
}

/* Says so before it looks whether others are awake: who is, and gives one of them a rank, sees it.
 */
static void go_deep(struct weft__worker *worker)
{
    atomic_store(&worker->deep, true);
    atomic_fetch_add(&worker->all->deep, 1);
}

static void sleep_some(struct weft__worker *worker)
{
    uint32_t seen = atomic_load(&worker->word);
    atomic_store(&worker->asleep, true);
    go_deep(worker);
    if (others_are_awake(worker))
        weft__workers_undeep(worker);
    uint64_t first_ns = atomic_load(&worker->all->first_ns), deadline_ns = WEFT_NEVER;
    if (!atomic_load(&worker->deep))
        deadline_ns = weft__now_ns() + LOOK_NS;
    if (weft__runqueue_is_empty(&worker->queue) && !is_over(worker))
        sleep_until(worker, seen, first_ns < deadline_ns ? first_ns : deadline_ns);
    weft__workers_undeep(worker);
    atomic_store(&worker->asleep, false);
}

struct weft__rank *weft__idle(struct weft__worker *worker)
{
    struct weft__rank *rank = NULL;
    if (!worker->spun) {
        uint64_t now_ns = weft__now_ns();
        weft__spin_wait(&worker->spin, now_ns);
        forget(worker, worker->spin.wary ? 0 : now_ns); /* it sleeps after the first turn */
    } else if (!(rank = weft__runqueue_pop(&worker->queue))) {
        sleep_some(worker);
    }
    worker->spun = false;
    while (!rank) {
        bool spare = is_spare(worker);
        if ((!spare && (rank = spin(worker))) || is_over(worker))
            break;
        if (spare)
            sleep_spare(worker);
        else
            sleep_some(worker);
    }
    weft__spin_learn(&worker->spin, weft__now_ns());
    if (!weft__runqueue_is_empty(&worker->queue))
        weft__workers_rouse(worker->all);
    return rank;
}

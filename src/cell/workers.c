/* The worker threads of an app process: started with it, armed against system calls of programs,
 * one queue each.
 *
 * A rank stays with its worker, whoever wakes it, because its memory is in that core's caches; only
 * an idle worker takes ranks of another, and only of one that does not come to run them (idle.c).
 * Timers are in one heap for all: most waits have none, and any worker that has nothing to do looks
 * after them. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/wake.h"
#include "cell/impl.h"
#include "cell/watch.h"
#include "weft/error.h"

#define BEATS 16u /* turns between two looks at lane and clock */
/* Times that a rank which is away becomes ready, between two looks at its home. */
#define AWAY 64u
#define AWAY_NS 512000ull

static _Thread_local struct weft__worker *self;

struct weft__worker *weft__workers_self(void)
{
    return self;
}

/* ---- waking ---- */

static void rouse(struct weft__worker *worker)
{
    atomic_fetch_add(&worker->word, 1);
    weft__futex_wake(&worker->word);
    weft__lanes_kick(&worker->all->exec->lanes, &worker->word);
}

void weft__workers_undeep(struct weft__worker *worker)
{
    if (atomic_exchange(&worker->deep, false))
        atomic_fetch_sub(&worker->all->deep, 1);
}

void weft__workers_rouse(struct weft__workers *all)
{
    for (unsigned i = 0; atomic_load(&all->deep) && i < all->n; i++) {
        if (!atomic_load(&all->each[i].deep))
            continue;
        weft__workers_undeep(&all->each[i]);
        rouse(&all->each[i]);
        return;
    }
}

bool weft__workers_unspare(struct weft__worker *worker)
{
    bool was = atomic_exchange(&worker->spare, false);
    if (was)
        atomic_fetch_sub(&worker->all->spares, 1);
    return was;
}

/* One rank more for the worker: where it is not the first one, a spare worker can be of use. */
static void add_rank(struct weft__worker *worker)
{
    struct weft__workers *all = worker->all;
    if (atomic_fetch_add(&worker->ranks, 1) == 0)
        return;
    for (unsigned i = 0; atomic_load(&all->spares) && i < all->n; i++) {
        if (!weft__workers_unspare(&all->each[i]))
            continue;
        rouse(&all->each[i]);
        return;
    }
}

/* ---- timers ---- */

void weft__workers_time(struct weft__workers *all, struct weft__cell *cell)
{
    cell->timer.deadline_ns = cell->deadline_ns;
    pthread_mutex_lock(&all->timers_lock);
    weft__timers_add(&all->timers, &cell->timer);
    bool first = weft__timers_first(&all->timers) == cell->deadline_ns;
    atomic_store(&all->first_ns, weft__timers_first(&all->timers));
    pthread_mutex_unlock(&all->timers_lock);
    if (first)
        weft__workers_rouse(all); /* who sleeps deep knows of a later one */
}

void weft__workers_untime(struct weft__workers *all, struct weft__cell *cell)
{
    if (!cell->timed)
        return;
    cell->timed = false;
    pthread_mutex_lock(&all->timers_lock);
    weft__timers_remove(&all->timers, &cell->timer);
    atomic_store(&all->first_ns, weft__timers_first(&all->timers));
    pthread_mutex_unlock(&all->timers_lock);
}

/* The rank of one whose time has come; its cell may be gone as soon as the lock is. */
static struct weft__rank *expired(struct weft__workers *all, uint64_t now_ns)
{
    struct weft__rank *rank = NULL;
    pthread_mutex_lock(&all->timers_lock);
    struct weft__timer *timer = weft__timers_expired(&all->timers, now_ns);
    if (timer) {
        const struct weft__cell *cell =
            (const void *)((const char *)timer - offsetof(struct weft__cell, timer));
        rank = cell->rank;
    }
    atomic_store(&all->first_ns, weft__timers_first(&all->timers));
    pthread_mutex_unlock(&all->timers_lock);
    return rank;
}

void weft__workers_expire(struct weft__workers *all)
{
    uint64_t first_ns = atomic_load_explicit(&all->first_ns, memory_order_relaxed);
    if (first_ns == WEFT_NEVER || first_ns > weft__now_ns())
        return;
    for (struct weft__rank *rank; (rank = expired(all, weft__now_ns()));)
        weft__turn_wake(rank);
}

/* ---- queues ---- */

static struct weft__worker *fewest(const struct weft__workers *all)
{
    struct weft__worker *best = &all->each[0];
    for (unsigned i = 1; i < all->n; i++)
        if (atomic_load(&all->each[i].ranks) < atomic_load(&best->ranks))
            best = &all->each[i];
    return best;
}

/* Neighbours talk to each other more than to others: they are put side by side, as long as no
 * worker gets more than its share. */
void weft__workers_assign(struct weft__rank *rank)
{
    struct weft_exec *exec = rank->exec;
    const struct weft__workers *all = exec->workers;
    uint32_t here = atomic_load(&exec->threads), begun = atomic_load(&exec->begun);
    uint32_t share = ((here < begun ? begun : here + 1) + all->n - 1) / all->n;
    struct weft__worker *best = NULL;
    if (rank->number > 0 && weft__rank_find(exec, rank->number - 1))
        best = atomic_load(&weft__rank_find(exec, rank->number - 1)->stay.owner);
    if (!best || atomic_load(&best->ranks) >= share)
        best = fewest(all);
    add_rank(best);
    atomic_store(&rank->stay.worker, best);
    atomic_store(&rank->stay.owner, best);
}

void weft__workers_release(struct weft__rank *rank)
{
    struct weft__worker *worker = atomic_load(&rank->stay.worker);
    atomic_fetch_sub(&worker->ranks, 1);
}

void weft__workers_take(struct weft__worker *worker, struct weft__rank *rank)
{
    struct weft__worker *before = atomic_load_explicit(&rank->stay.worker, memory_order_relaxed);
    if (before == worker)
        return;
    atomic_fetch_sub(&before->ranks, 1);
    add_rank(worker);
    atomic_store(&rank->stay.worker, worker);
}

/* Whether the rank's own worker, which had no time for it, has now: it has nothing to run, or
 * switches at least as often as the rank becomes ready, and that is often. */
static bool has_time(const struct weft__worker *home, struct weft__cell *cell)
{
    if (atomic_load_explicit(&home->spins, memory_order_relaxed))
        return true;
    if (++cell->away % AWAY != 0)
        return false;
    uint32_t switches = atomic_load_explicit(&home->switches, memory_order_relaxed);
    uint64_t now_ns = weft__now_ns();
    bool often = now_ns - cell->away_ns < AWAY_NS && switches - cell->away_switches >= AWAY;
    cell->away_switches = switches;
    cell->away_ns = now_ns;
    return often;
}

void weft__workers_enqueue(struct weft__rank *rank)
{
    struct weft__worker *worker = atomic_load_explicit(&rank->stay.worker, memory_order_relaxed);
    struct weft__worker *home = atomic_load_explicit(&rank->stay.owner, memory_order_relaxed);
    if (home != worker && has_time(home, weft__cell_of(rank)))
        worker = home;
    if (worker == self)
        weft__runqueue_push(&worker->queue, rank);
    else
        weft__runqueue_send(&worker->queue, rank);
    if (worker != self && atomic_load(&worker->asleep))
        rouse(worker);
    else if (worker != self || worker->now || weft__runqueue_len(&worker->queue) > 1)
        weft__workers_rouse(worker->all); /* the rank may have to wait for its worker */
}

void weft__workers_attend(const struct weft__rank *rank)
{
    struct weft__worker *worker = atomic_load_explicit(&rank->stay.worker, memory_order_relaxed);
    if (worker != self && atomic_load(&worker->asleep))
        rouse(worker);
}

/* ---- threads ---- */

struct weft__rank *weft__workers_next(struct weft__worker *worker)
{
    if (worker->beats++ % BEATS == 0) {
        struct weft_exec *exec = worker->all->exec;
        weft__workers_expire(worker->all);
        if (weft__exec_has_peers(exec))
            weft__lanes_drive(&exec->lanes);
    }
    struct weft__rank *rank = weft__runqueue_pop(&worker->queue);
    if (rank) {
        uint32_t switches = atomic_load_explicit(&worker->switches, memory_order_relaxed);
        atomic_store_explicit(&worker->switches, switches + 1, memory_order_relaxed);
    }
    return rank;
}

static struct weft__rank *next(struct weft__worker *worker)
{
    struct weft__rank *rank = weft__workers_next(worker);
    return rank ? rank : weft__idle(worker);
}

struct start {
    struct weft__worker *worker;
    int err;
    char text[200];
    _Atomic uint32_t done; /* a futex word */
};

static int arm(struct weft__worker *worker)
{
    const struct weft_exec *exec = worker->all->exec;
    struct weft__trap_desc desc = weft__cell_trap;
    desc.gate = &worker->gate;
    desc.end = exec->base + (uint64_t)exec->size * exec->stride;
    desc.ctx = worker;
    return weft__trap_arm(&desc, &worker->trap);
}

static void *work(void *arg)
{
    struct start *start = arg;
    struct weft__worker *worker = start->worker;
    int err = start->err = arm(worker);
    if (err)
        snprintf(start->text, sizeof(start->text), "%s", weft_fail_text(err));
    self = worker;
    atomic_store(&start->done, 1);
    weft__futex_wake(&start->done); /* start may be gone: only its address is used */
    for (struct weft__rank *rank; !err && (rank = next(worker));)
        weft__turn_run(worker, rank);
    if (worker->trap)
        weft__trap_disarm(worker->trap);
    worker->trap = NULL;
    return NULL;
}

static int start_one(struct weft__worker *worker)
{
    struct start start = {.worker = worker};
    int error = pthread_create(&worker->thread, NULL, work, &start);
    if (error)
        return weft_fail(-error, "cannot start a worker: %s", strerrordesc_np(error));
    worker->all->running++;
    char name[16];
    snprintf(name, sizeof(name), "worker %u", worker->number);
    pthread_setname_np(worker->thread, name);
    while (!atomic_load(&start.done))
        weft__futex_wait(&start.done, 0, WEFT_NEVER);
    return start.err ? weft_fail(start.err, "%s", start.text) : WEFT_OK;
}

/* A descriptor that the rank waits for, or has waited for. */
static void on_ready(void *ctx, int32_t number)
{
    struct weft_exec *exec = ctx;
    struct weft__rank *rank = weft__rank_find(exec, number);
    if (!rank)
        return;
    pthread_mutex_lock(&rank->lock);
    if (rank->cell)
        weft__rank_ring(rank);
    pthread_mutex_unlock(&rank->lock);
}

static unsigned usable_processors(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return n > 0 ? (unsigned)n : 1;
}

static void close_workers(struct weft_exec *exec)
{
    struct weft__workers *all = exec->workers;
    if (!all)
        return;
    atomic_store(&all->stop, true);
    for (unsigned i = 0; i < all->running; i++)
        rouse(&all->each[i]);
    for (unsigned i = 0; i < all->running; i++)
        pthread_join(all->each[i].thread, NULL);
    for (unsigned i = 0; all->each && i < all->n; i++) {
        weft__runqueue_fini(&all->each[i].queue);
        free(all->each[i].looks);
    }
    weft__watch_close(all->watch);
    weft__timers_fini(&all->timers);
    pthread_mutex_destroy(&all->timers_lock);
    free(all->each);
    free(all);
    exec->workers = NULL;
}

static int init_one(struct weft__workers *all, unsigned i)
{
    struct weft__worker *worker = &all->each[i];
    worker->all = all;
    worker->number = i;
    worker->looks = calloc(all->n, sizeof(*worker->looks));
    if (!worker->looks)
        return weft_fail(WEFT_ENOMEM, "no memory for a worker");
    return weft__runqueue_init(&worker->queue, (size_t)all->exec->size);
}

static int open_workers(struct weft_exec *exec)
{
    int err = weft__gate_works();
    if (err)
        return err;
    struct weft__workers *all = calloc(1, sizeof(*all));
    if (!all)
        return weft_fail(WEFT_ENOMEM, "no memory for workers");
    exec->workers = all;
    all->exec = exec;
    all->n = exec->workers_max ? exec->workers_max : usable_processors();
    if (all->n > (unsigned)exec->size)
        all->n = (unsigned)exec->size;
    pthread_mutex_init(&all->timers_lock, NULL);
    atomic_store(&all->first_ns, WEFT_NEVER);
    err = weft__timers_init(&all->timers, (size_t)exec->size);
    if (!err)
        err = weft__watch_open(on_ready, exec, &all->watch);
    all->each = calloc(all->n, sizeof(*all->each));
    if (!err && !all->each)
        err = weft_fail(WEFT_ENOMEM, "no memory for %u workers", all->n);
    for (unsigned i = 0; !err && i < all->n; i++)
        err = init_one(all, i);
    for (unsigned i = 0; !err && i < all->n; i++)
        err = start_one(&all->each[i]);
    if (err)
        close_workers(exec);
    return err;
}

static unsigned count_workers(const struct weft_exec *exec)
{
    const struct weft__workers *all = exec->workers;
    return all->n;
}

const struct weft__executor_turns weft__workers_turns = {
    .open = open_workers,
    .close = close_workers,
    .count = count_workers,
    .wake = weft__turn_wake,
    .quit = weft__turn_quit,
    .join = weft__turn_join,
};

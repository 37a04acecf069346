/* The keeper: one thread per process for what must happen while nobody calls: retransmission, late
 * acknowledgements, gets that wait for an answer, flushes, packets that could not be passed on, and
 * freeing what a departed rank has left.
 *
 * It ticks while anything is under way and sleeps without a limit otherwise. Whoever puts something
 * under way pokes it: one load, and a wake-up only when it really sleeps. It stays up for some idle
 * ticks, so that traffic with short gaps does not pay for wake-ups. Where the lane has no thread of
 * its own (WEFT_PROGRESS=worker) it drives the lane with every tick, so that nothing stands still
 * for ever while all ranks compute or are frozen.
 */
#include <string.h>

#include "base/clock.h"
#include "base/wake.h"
#include "exec/impl.h"
#include "weft/error.h"

#define IDLE_TICKS 10
#define RESEND_PAUSE_NS 100000000ull

static void wake(struct weft_exec *exec)
{
    if (!atomic_load_explicit(&exec->keeper_asleep, memory_order_relaxed) ||
        !atomic_exchange(&exec->keeper_asleep, false))
        return;
    atomic_fetch_add(&exec->keeper_word, 1);
    weft__futex_wake(&exec->keeper_word);
}

void weft__keeper_poke(struct weft_exec *exec)
{
    atomic_thread_fence(memory_order_seq_cst);
    wake(exec);
}

/* If the keeper had the lock before, it said before that it sleeps; else it sees what is new. */
void weft__keeper_poke_locked(const struct weft__rank *rank)
{
    wake(rank->exec);
}

/* Broken connections: everything unacknowledged goes again, at most every RESEND_PAUSE_NS. */
static bool resend_lost(struct weft_exec *exec, uint64_t now_ns)
{
    bool resend = false, busy = false;
    uint32_t end = atomic_load_explicit(&exec->processes_end, memory_order_acquire);
    for (uint32_t i = 0; i < end; i++) {
        struct weft__process *process = weft__process_find(exec, i);
        if (!process || !atomic_load_explicit(&process->lost, memory_order_relaxed))
            continue;
        busy = true;
        if (now_ns - process->resent_ns < RESEND_PAUSE_NS)
            continue;
        process->resent_ns = now_ns;
        atomic_store_explicit(&process->lost, false, memory_order_relaxed);
        resend = !atomic_load_explicit(&process->dead, memory_order_relaxed) || resend;
    }
    for (int32_t i = 0; resend && i < exec->size; i++) {
        struct weft__rank *rank = weft__rank_find(exec, i);
        if (rank)
            weft__outbox_flush(rank, -1, true);
    }
    return busy;
}

/* Looks after one slot. Returns whether it has anything under way. */
static bool tend(struct weft__rank *rank, uint64_t now_ns)
{
    pthread_mutex_lock(&rank->lock);
    bool here = weft__rank_is_here(rank), leaving = rank->leaving, forwards = rank->forwards;
    pthread_mutex_unlock(&rank->lock);
    if (leaving)
        weft__rank_clear(rank);
    bool busy = here && weft__outbox_tick(rank, now_ns);
    if (atomic_load_explicit(&rank->gets_n, memory_order_relaxed)) {
        busy = true;
        weft__gets_progress(rank, now_ns);
    }
    if (atomic_load_explicit(&rank->held, memory_order_relaxed)) {
        busy = true;
        if (!here)
            weft__arrive_held(rank);
    }
    if (forwards)
        weft__flush_check(rank, now_ns);
    return busy || leaving || forwards;
}

static bool tick(struct weft_exec *exec, bool *backlog_out)
{
    uint64_t now_ns = weft__now_ns();
    bool busy = resend_lost(exec, now_ns);
    *backlog_out = false;
    for (int32_t i = 0; i < exec->size; i++) {
        struct weft__rank *rank = weft__rank_find(exec, i);
        if (!rank)
            continue;
        busy = tend(rank, now_ns) || busy;
        *backlog_out = atomic_load_explicit(&rank->backlog, memory_order_relaxed) || *backlog_out;
    }
    return busy;
}

static void *keep(void *arg)
{
    struct weft_exec *exec = arg;
    unsigned idle = 0;
    while (!atomic_load_explicit(&exec->keeper_stop, memory_order_acquire)) {
        bool backlog, asleep = idle >= IDLE_TICKS;
        uint32_t seen = atomic_load(&exec->keeper_word);
        if (asleep)
            atomic_store(&exec->keeper_asleep, true); /* and then a last look */
        bool busy = tick(exec, &backlog);
        if (!exec->drives_itself) {
            weft__lanes_drive(&exec->lanes);
            backlog = true;
        }
        idle = busy || backlog ? 0 : idle + 1;
        uint64_t until_ns = WEFT_NEVER;
        if (!asleep || busy || backlog)
            until_ns = weft__now_ns() + (backlog ? WEFT__TICK_SHORT_NS : WEFT__TICK_NS);
        if (!atomic_load_explicit(&exec->keeper_stop, memory_order_acquire))
            weft__futex_wait(&exec->keeper_word, seen, until_ns);
        atomic_store(&exec->keeper_asleep, false);
    }
    return NULL;
}

int weft__keeper_start(struct weft_exec *exec)
{
    int error = pthread_create(&exec->keeper, NULL, keep, exec);
    if (error)
        return weft_fail(-error, "cannot start the keeper thread: %s", strerrordesc_np(error));
    exec->keeper_runs = true;
    pthread_setname_np(exec->keeper, "weft-keeper");
    return WEFT_OK;
}

void weft__keeper_stop(struct weft_exec *exec)
{
    if (!exec->keeper_runs)
        return;
    atomic_store_explicit(&exec->keeper_stop, true, memory_order_release);
    atomic_fetch_add(&exec->keeper_word, 1);
    weft__futex_wake(&exec->keeper_word);
    pthread_join(exec->keeper, NULL);
    exec->keeper_runs = false;
}

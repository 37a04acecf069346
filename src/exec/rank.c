/* Ranks: slots, states, making and ending.
 *
 * A slot is made when a rank is first heard of and stays until the app's process ends: packets may
 * wait in it, and it forwards after a departure. A stay of the rank in this process (range,
 * program, thread) comes and goes in the slot. What a past stay leaves is freed by the keeper, or
 * by whoever needs the range again.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/wake.h"
#include "exec/impl.h"
#include "weft/error.h"

static const char *const state_names[] = {"absent",   "ready",   "running", "freezing", "frozen",
                                          "reserved", "pulling", "pulled",  "departed", "exited"};

const char *weft__exec_state_name(enum weft_exec_state state)
{
    size_t i = (size_t)state;
    return i < sizeof(state_names) / sizeof(state_names[0]) ? state_names[i] : "?";
}

int weft__rank_slot(struct weft_exec *exec, int32_t number, struct weft__rank **rank_out)
{
    struct weft__rank *rank = weft__rank_find(exec, number);
    if (!rank) {
        pthread_mutex_lock(&exec->slots_lock);
        rank = weft__rank_find(exec, number);
        if (!rank && (rank = calloc(1, sizeof(*rank)))) {
            rank->exec = exec;
            rank->number = number;
            pthread_mutex_init(&rank->lock, NULL);
            weft__trace_open(rank);
            atomic_store_explicit(&exec->ranks[number], rank, memory_order_release);
        }
        pthread_mutex_unlock(&exec->slots_lock);
    }
    if (!rank)
        return weft_fail(WEFT_ENOMEM, "no memory for rank %d", (int)number);
    *rank_out = rank;
    return WEFT_OK;
}

void weft__rank_slot_free(struct weft__rank *rank)
{
    weft__called_end(rank);
    weft__hold_fini(&rank->hold);
    pthread_mutex_destroy(&rank->lock);
    free(rank->markers);
    free(rank->trace);
    free(rank);
}

bool weft__rank_is_here(const struct weft__rank *rank)
{
    switch (rank->state) {
    case WEFT_RANK_READY:
    case WEFT_RANK_RUNNING:
    case WEFT_RANK_FREEZING:
    case WEFT_RANK_EXITED:
        return true;
    default:
        return false;
    }
}

static void keep_writer(struct weft_mailbox_writer *to, const struct weft_mailbox_writer *from)
{
    atomic_store_explicit(&to->head, atomic_load_explicit(&from->head, memory_order_relaxed),
                          memory_order_relaxed);
    to->tail_seen = from->tail_seen;
}

void weft__rank_set_door(struct weft__rank *rank)
{
    struct weft__door *door = &rank->door;
    bool open = weft__rank_is_here(rank) && rank->state != WEFT_RANK_EXITED;
    weft__door_lock(door);
    if (door->cell)
        keep_writer(&door->cell->mailbox.writer, &door->writer);
    door->cell = open ? rank->cell : NULL;
    if (door->cell)
        keep_writer(&door->writer, &door->cell->mailbox.writer);
    door->hears = door->unheard = true; /* of what may have come before, nobody knows */
    weft__door_unlock(door);
}

void weft__rank_ring(struct weft__rank *rank)
{
    const struct weft__executor_turns *turns = rank->exec->executor->turns;
    atomic_fetch_add(&rank->cell->bell, 1);
    if (turns) {
        turns->wake(rank);
        return;
    }
    if (!atomic_load(&rank->sleeping))
        return;
    weft__futex_wake(&rank->cell->bell);
    weft__lanes_kick(&rank->exec->lanes, &rank->cell->bell);
}

static struct weft__range_desc range_desc(const struct weft__rank *rank)
{
    const struct weft_exec *exec = rank->exec;
    return (struct weft__range_desc){
        .base = (void *)(uintptr_t)(exec->base + (uint64_t)rank->number * exec->stride),
        .len_bytes = exec->stride,
        .app = exec->app,
        .rank = rank->number,
        .size = exec->size,
        .mailbox_bytes = exec->mailbox_bytes,
        .heap_share = exec->executor->heap_share,
    };
}

int weft__rank_open(struct weft__rank *rank)
{
    struct weft__range_desc desc = range_desc(rank);
    char name[48];
    snprintf(name, sizeof(name), "weft-rank-%d", (int)rank->number);
    int err = weft__region_init(&rank->region, name, desc.base, desc.len_bytes);
    if (err == WEFT_EEXIST)
        return weft_fail(WEFT_EADDRINUSE, "rank %d: %s", (int)rank->number,
                         weft_fail_text(WEFT_EEXIST));
    if (err)
        return err;
    err = weft__stay_open(rank);
    if (err)
        weft__region_fini(&rank->region);
    return err;
}

void weft__rank_attach(struct weft__rank *rank)
{
    rank->cell = rank->region.base;
    rank->range = rank->cell->runtime;
    rank->cell->calls = rank->exec->executor->calls;
    rank->cell->host = rank;
    rank->cell->others = NULL;
    atomic_store_explicit(&rank->cell->move_pending, 0, memory_order_relaxed);
}

int weft__rank_verify(const struct weft__rank *rank)
{
    struct weft__range_desc desc = range_desc(rank);
    const struct weft__executor *executor = rank->exec->executor;
    int err = weft__range_check(&desc);
    return !err && executor->arrived ? executor->arrived(rank) : err;
}

/* Waits until no rank of this process copies from this one's memory: microseconds to milliseconds.
 */
static bool begin_clearing(struct weft__rank *rank)
{
    pthread_mutex_lock(&rank->lock);
    bool leaving = rank->leaving;
    while (leaving && rank->readers) {
        pthread_mutex_unlock(&rank->lock);
        sched_yield();
        pthread_mutex_lock(&rank->lock);
    }
    rank->leaving = false;
    pthread_mutex_unlock(&rank->lock);
    return leaving;
}

void weft__rank_clear(struct weft__rank *rank)
{
    pthread_mutex_lock(&rank->exec->clear_lock);
    if (begin_clearing(rank)) {
        weft__precopy_stop(rank);
        weft__expose_unregister(rank);
        weft__stay_close(rank);
        weft__move_free_image(rank);
        weft__region_fini(&rank->region);
    }
    pthread_mutex_unlock(&rank->exec->clear_lock);
}

/* Of a rank that begins here. */
static uint32_t share_of(const struct weft_exec *exec)
{
    const struct weft__executor_turns *turns = exec->executor->turns;
    uint32_t size = (uint32_t)exec->size, workers = turns ? turns->count(exec) : 0;
    return workers && atomic_load(&exec->begun) == size ? (size + workers - 1) / workers : 0;
}

static int add_rank(struct weft_exec *exec, int32_t number, uint32_t incarnation)
{
    struct weft__rank *rank;
    if (number < 0 || number >= exec->size)
        return weft_fail(WEFT_EINVAL, "no rank %d in a world of %d", (int)number, (int)exec->size);
    int err = weft__rank_slot(exec, number, &rank);
    if (err)
        return err;
    if (rank->state != WEFT_RANK_ABSENT)
        return weft_fail(WEFT_EEXIST, "rank %d is here already (%s)", (int)number,
                         weft__exec_state_name(rank->state));
    err = weft__rank_open(rank);
    if (err)
        return err;
    struct weft__range_desc desc = range_desc(rank);
    err = weft__range_init(&desc);
    if (err) {
        weft__stay_close(rank);
        weft__region_fini(&rank->region);
        return err;
    }
    pthread_mutex_lock(&rank->lock);
    weft__rank_attach(rank);
    rank->cell->share = share_of(exec);
    rank->incarnation = incarnation;
    rank->state = WEFT_RANK_READY;
    weft__rank_set_door(rank);
    pthread_mutex_unlock(&rank->lock);
    return WEFT_OK;
}

/* Takes a rank back that has been added and not started. */
static void remove_rank(struct weft__rank *rank)
{
    pthread_mutex_lock(&rank->lock);
    rank->state = WEFT_RANK_ABSENT;
    weft__rank_set_door(rank);
    rank->cell = NULL;
    rank->range = NULL;
    rank->leaving = true;
    pthread_mutex_unlock(&rank->lock);
    weft__stay_leave(rank);
    weft__rank_clear(rank);
}

int weft__exec_add_ranks(struct weft_exec *exec, const int32_t *ranks, size_t n,
                         uint32_t incarnation)
{
    atomic_store(&exec->begun, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        int err = add_rank(exec, ranks[i], incarnation);
        if (!err)
            continue;
        while (i > 0)
            remove_rank(weft__rank_find(exec, ranks[--i]));
        return err;
    }
    for (size_t i = 0; i < n; i++)
        weft__route_learn(exec, &(struct weft_exec_route){ranks[i], exec->process, incarnation});
    return WEFT_OK;
}

int weft__exec_start(struct weft_exec *exec, const int32_t *ranks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct weft__rank *rank =
            ranks[i] >= 0 && ranks[i] < exec->size ? weft__rank_find(exec, ranks[i]) : NULL;
        if (!rank)
            return weft_fail(WEFT_ENOENT, "rank %d is not here", (int)ranks[i]);
        pthread_mutex_lock(&rank->lock);
        bool ready = rank->state == WEFT_RANK_READY;
        if (ready)
            rank->state = WEFT_RANK_RUNNING;
        pthread_mutex_unlock(&rank->lock);
        if (!ready)
            return weft_fail(WEFT_EBUSY, "rank %d cannot start: it is %s", (int)ranks[i],
                             weft__exec_state_name(rank->state));
        weft__stay_start(rank);
    }
    return WEFT_OK;
}

/* The others would wait for it for ever. Returns the rank's exit code. */
static int check_end_of_mpi(const struct weft__rank *rank, int code)
{
    const struct weft_exec *exec = rank->exec;
    char reason[100];
    if (code != 0 || !rank->cell->in_mpi || !exec->callbacks.app_abort)
        return code;
    snprintf(reason, sizeof(reason), "rank %d has ended without MPI_Finalize", (int)rank->number);
    exec->callbacks.app_abort(exec->callbacks.ctx, rank->number, 1, reason);
    return 1;
}

void weft__rank_finish(struct weft__rank *rank, int code)
{
    struct weft_exec *exec = rank->exec;
    code = check_end_of_mpi(rank, code);
    weft__forks_close(rank);
    weft__move_give_up(rank, WEFT_ENOENT, "the rank has ended");
    weft__gets_end(rank);
    pthread_mutex_lock(&rank->lock);
    rank->state = WEFT_RANK_EXITED;
    rank->code = code;
    weft__rank_set_door(rank);
    uint32_t incarnation = rank->incarnation;
    pthread_mutex_unlock(&rank->lock);
    weft__called_end(rank);
    weft__expose_end(rank);
    weft__inbox_drain(rank);
    weft__lanes_leave(&exec->lanes);
    if (!atomic_load_explicit(&exec->closing, memory_order_acquire) && exec->callbacks.rank_exited)
        exec->callbacks.rank_exited(exec->callbacks.ctx, rank->number, incarnation, code, NULL);
}

int weft__exec_rank(struct weft_exec *exec, int32_t number, struct weft_exec_rank *rank_out)
{
    struct weft__rank *rank =
        number >= 0 && number < exec->size ? weft__rank_find(exec, number) : NULL;
    if (!rank)
        return weft_fail(WEFT_ENOENT, "rank %d is not here", (int)number);
    struct weft_exec_rank out = {.rank = number};
    struct stat status;
    pthread_mutex_lock(&rank->lock);
    out.state = rank->state;
    out.incarnation = rank->incarnation;
    out.pins = rank->pins;
    out.calls_waiting = rank->box.waiting_n;
    out.calls_taken = rank->box.taken_n;
    out.code = rank->code;
    memcpy(out.pin_reason, rank->pin_reason, sizeof(out.pin_reason));
    if (rank->cell && fstat(rank->region.fd, &status) == 0)
        out.touched_bytes = (uint64_t)status.st_blocks * 512;
    pthread_mutex_unlock(&rank->lock);
    *rank_out = out;
    return WEFT_OK;
}

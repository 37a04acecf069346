/* Moving, at the source: stopping a rank at a migration point, describing it, and letting it go on
 * or leave.
 *
 * FREEZING is a wish: the rank's own thread decides at its next migration point. From FROZEN on
 * nothing is written into the range: packets wait in the hold, acknowledgements are dropped (their
 * packets are sent again and acknowledged again), and gets of others that read it do no harm. The
 * descriptor is made on the rank's thread, which then stands until it is thawed or leaves. As long
 * as it stands all of its range can be read, by sums and by whoever pulls, also what the program
 * has protected. A rank with gets of its own under way waits for them first: their ends would be
 * written into the range.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "exec/impl.h"
#include "exec/move.h"
#include "snapshot/image.h"
#include "weft/error.h"

static struct weft__rank *find(struct weft_exec *exec, int32_t number)
{
    return number >= 0 && number < exec->size ? weft__rank_find(exec, number) : NULL;
}

static int freeze(struct weft_exec *exec, int32_t number, const struct weft__wish *wish)
{
    struct weft__rank *rank = find(exec, number);
    if (!rank)
        return weft_fail(WEFT_ENOENT, "rank %d is not here", (int)number);
    pthread_mutex_lock(&rank->lock);
    enum weft_exec_state state = rank->state;
    if (state == WEFT_RANK_RUNNING) {
        rank->wish = *wish;
        rank->kept = wish->kept;
        rank->state = WEFT_RANK_FREEZING;
        rank->told_of_wish = false;
        atomic_store_explicit(&rank->cell->move_pending, 1, memory_order_relaxed);
        weft__rank_ring(rank); /* it may be waiting for calls */
    }
    pthread_mutex_unlock(&rank->lock);
    if (state == WEFT_RANK_RUNNING)
        return WEFT_OK;
    bool moving =
        state == WEFT_RANK_FREEZING || state == WEFT_RANK_FROZEN || state == WEFT_RANK_READY;
    return weft_fail(moving ? WEFT_EBUSY : WEFT_ENOENT, "rank %d cannot be stopped: it is %s",
                     (int)number, weft__exec_state_name(state));
}

int weft__exec_freeze(struct weft_exec *exec, int32_t number, weft_exec_frozen *done, void *ctx)
{
    return freeze(exec, number, &(struct weft__wish){.done = done, .ctx = ctx});
}

int weft__exec_freeze_kept(struct weft_exec *exec, int32_t number, weft_exec_frozen *done,
                           void *ctx)
{
    return freeze(exec, number, &(struct weft__wish){.done = done, .ctx = ctx, .kept = true});
}

int weft__exec_freeze_copied(struct weft_exec *exec, int32_t number, uint32_t round,
                             weft_exec_frozen *done, void *ctx)
{
    return freeze(exec, number, &(struct weft__wish){.done = done, .ctx = ctx, .round = round});
}

/* Whom to tell of the wish, once.  The caller holds the lock. */
static struct weft__wish take_wish(struct weft__rank *rank)
{
    struct weft__wish wish = rank->wish;
    rank->wish = (struct weft__wish){0};
    return wish;
}

static void answer(const struct weft__wish *wish, int err, const char *text)
{
    if (wish->done)
        wish->done(wish->ctx, err, text, NULL, 0);
}

/* Ends the wish to freeze: the rank runs.  The caller holds the lock. */
static struct weft__wish withdraw(struct weft__rank *rank)
{
    if (rank->state != WEFT_RANK_FREEZING)
        return (struct weft__wish){0};
    rank->state = WEFT_RANK_RUNNING;
    atomic_store_explicit(&rank->cell->move_pending, 0, memory_order_relaxed);
    return take_wish(rank);
}

void weft__move_give_up(struct weft__rank *rank, int err, const char *text)
{
    pthread_mutex_lock(&rank->lock);
    struct weft__wish wish = withdraw(rank);
    pthread_mutex_unlock(&rank->lock);
    answer(&wish, err, text);
}

int weft__exec_freeze_cancel(struct weft_exec *exec, int32_t number)
{
    struct weft__rank *rank = find(exec, number);
    if (!rank)
        return weft_fail(WEFT_ENOENT, "rank %d is not here", (int)number);
    pthread_mutex_lock(&rank->lock);
    bool stands = rank->state == WEFT_RANK_FROZEN;
    struct weft__wish wish = withdraw(rank);
    pthread_mutex_unlock(&rank->lock);
    if (stands)
        return weft_fail(WEFT_EBUSY, "rank %d stands still already", (int)number);
    if (!wish.done)
        return weft_fail(WEFT_ENOENT, "rank %d is not to be stopped", (int)number);
    answer(&wish, WEFT_ECANCELED, "the move was called off");
    return WEFT_OK;
}

/* Why the rank cannot move; NULL: it can.  The caller holds the lock. */
static const char *pinned(struct weft__rank *rank)
{
    const struct weft_cell *cell = rank->cell;
    rank->pins = cell->pins;
    memcpy(rank->pin_reason, cell->pin_reason, sizeof(rank->pin_reason));
    rank->pin_reason[sizeof(rank->pin_reason) - 1] = 0;
    if (!rank->pins && rank->box.taken_n) {
        rank->pins = rank->box.taken_n;
        snprintf(rank->pin_reason, sizeof(rank->pin_reason),
                 "it has not answered %u calls that it has taken", rank->box.taken_n);
    }
    if (!rank->pins && rank->range->exposures_foreign) {
        rank->pins = rank->range->exposures_foreign;
        snprintf(rank->pin_reason, sizeof(rank->pin_reason),
                 "others read memory outside its region");
    }
    if (!rank->pins)
        return NULL;
    return rank->pin_reason[0] ? rank->pin_reason : "it is pinned, no reason given";
}

/* Waits for the rank's own gets. Returns false where the wish was withdrawn meanwhile. */
static bool finish_gets(struct weft__rank *rank)
{
    while (atomic_load_explicit(&rank->gets_n, memory_order_acquire)) {
        uint32_t seen = atomic_load(&rank->cell->bell);
        if (!atomic_load_explicit(&rank->cell->move_pending, memory_order_relaxed))
            return false;
        if (atomic_load_explicit(&rank->gets_n, memory_order_acquire))
            weft__rank_wait(rank, seen, weft__now_ns() + WEFT__TICK_NS);
    }
    return true;
}

/* From here on nothing writes into the range, and no call from outside waits. Returns 0, or why
 * not.
 */
static int fence(struct weft__rank *rank, char text_out[100])
{
    int err = WEFT_OK;
    struct weft_exec_call *calls = NULL;
    pthread_mutex_lock(&rank->lock);
    const char *reason = pinned(rank);
    if (rank->state != WEFT_RANK_FREEZING) {
        err = WEFT_ECANCELED;
    } else if (reason) {
        err = WEFT_EPINNED;
        memcpy(text_out, reason, strlen(reason) + 1);
    } else {
        rank->state = WEFT_RANK_FROZEN;
        weft__rank_set_door(rank);
        rank->standing = false;
        rank->thaw_wanted = false;
        calls = weft__callbox_empty(&rank->box);
    }
    pthread_mutex_unlock(&rank->lock);
    weft__called_return(rank, calls, WEFT_ESTALE, "is moving to another host");
    return err;
}

/* What is encoded of a descriptor's memory. */
struct encoded {
    uint8_t *image, *touched;
    size_t image_len, touched_len;
    uint32_t round;
};

/* pages: NULL: all that exist. */
static int make_image(struct weft__rank *rank, const struct weft_extents *pages,
                      struct encoded *into)
{
    const struct weft_image_desc desc = {.region = &rank->region, .extents = pages};
    int err = weft__image_build(&desc, &rank->image);
    if (!err)
        err = weft__image_share(rank->image, rank->exec->lane);
    return err ? err : weft__image_encode(rank->image, &into->image, &into->image_len);
}

/* What the destination does not have yet; where that is not known, all of it. */
static int make_rest(struct weft__rank *rank, uint32_t round, struct encoded *into)
{
    struct weft_extents touched = {0}, rest = {0};
    int err = round ? weft__precopy_rest(rank, round, &touched, &rest) : WEFT_ENOENT;
    if (!err)
        err = weft__move_encode_pages(&touched, &into->touched, &into->touched_len);
    into->round = err ? 0 : round;
    err = make_image(rank, err ? NULL : &rest, into);
    weft__extents_fini(&touched);
    weft__extents_fini(&rest);
    return err;
}

static int reveal(struct weft__rank *rank, bool all)
{
    const struct weft__executor *executor = rank->exec->executor;
    return executor->reveal ? executor->reveal(rank, all) : WEFT_OK;
}

int weft__move_describe(struct weft__rank *rank, const struct weft__wish *wish, uint8_t **bytes_out,
                        size_t *len_out)
{
    struct encoded memory = {0};
    struct weft_exec *exec = rank->exec;
    struct weft__move move = {
        .app = exec->app,
        .rank = rank->number,
        .size = exec->size,
        .base = exec->base,
        .stride = exec->stride,
        .incarnation = rank->incarnation,
        .executor = exec->executor->number,
        .finished = rank->finished,
        .code = rank->code,
        .clock_ns = weft__rank_now(rank->cell),
        .wall_ms = weft__wall_ms(),
    };
    strncpy(move.lane, weft__lane_address(exec->lane), sizeof(move.lane) - 1);
    int err = reveal(rank, true);
    if (!err && !rank->finished)
        err = exec->executor->describe(rank, &move);
    if (err)
        return err;
    weft__range_trim(rank->cell, &rank->region);
    if (wish && !wish->kept)
        err = make_rest(rank, wish->round, &memory);
    move.round = memory.round;
    move.image = memory.image;
    move.image_len = memory.image_len;
    move.touched = memory.touched;
    move.touched_len = memory.round ? memory.touched_len : 0;
    if (!err)
        err = weft__move_encode(&move, bytes_out, len_out);
    free(memory.image);
    free(memory.touched);
    return err;
}

void weft__move_free_image(struct weft__rank *rank)
{
    weft__image_free(rank->image);
    rank->image = NULL;
}

/* The rank runs here again.  Thread: any; the caller is the only one who thaws it. */
static void unfreeze(struct weft__rank *rank, uint32_t incarnation)
{
    int err = reveal(rank, false);
    if (err)
        weft__warn("rank %d: %s", (int)rank->number, weft_fail_text(err));
    pthread_mutex_lock(&rank->lock);
    rank->state = rank->finished ? WEFT_RANK_EXITED : WEFT_RANK_RUNNING;
    weft__rank_set_door(rank);
    rank->standing = false;
    if (incarnation > rank->incarnation)
        rank->incarnation = incarnation;
    incarnation = rank->incarnation;
    atomic_store_explicit(&rank->cell->move_pending, 0, memory_order_relaxed);
    pthread_mutex_unlock(&rank->lock);
    weft__route_learn(rank->exec,
                      &(struct weft_exec_route){rank->number, rank->exec->process, incarnation});
    weft__outbox_flush(rank, -1, true);
    weft__arrive_held(rank);
}

/* Tells the coordinator of the descriptor. Returns whether it was thawed before it even stood. */
static bool announce(struct weft__rank *rank, const uint8_t *bytes, size_t len)
{
    pthread_mutex_lock(&rank->lock);
    struct weft__wish wish = take_wish(rank);
    bool thawed = rank->thaw_wanted;
    rank->standing = !thawed;
    uint32_t incarnation = rank->thaw_incarnation;
    pthread_mutex_unlock(&rank->lock);
    if (thawed) {
        unfreeze(rank, incarnation);
        answer(&wish, WEFT_ECANCELED, "the move was called off");
    } else if (wish.done) {
        wish.done(wish.ctx, WEFT_OK, NULL, bytes, len);
    }
    return thawed;
}

/* The rank cannot be described: it goes on. */
static void regret(struct weft__rank *rank, int err)
{
    char text[256];
    snprintf(text, sizeof(text), "%s", weft_fail_text(err));
    weft__move_free_image(rank);
    pthread_mutex_lock(&rank->lock);
    struct weft__wish wish = take_wish(rank);
    pthread_mutex_unlock(&rank->lock);
    unfreeze(rank, 0);
    answer(&wish, err, text);
}

enum weft__stop weft__move_stop(struct weft__rank *rank, weft_entry *entry, void *argument)
{
    char reason[100];
    int err = fence(rank, reason);
    if (err == WEFT_ECANCELED)
        return WEFT__STOP_NOT;
    if (err) {
        weft__move_give_up(rank, err, reason);
        return WEFT__STOP_OFF;
    }
    weft__lanes_leave(&rank->exec->lanes); /* it is to be pulled from */
    uint8_t *bytes = NULL;
    size_t len = 0;
    rank->stay.entry = entry;
    rank->stay.argument = argument;
    err = weft__move_describe(rank, &rank->wish, &bytes, &len);
    if (err) {
        regret(rank, err);
        return WEFT__STOP_OFF;
    }
    bool thawed = announce(rank, bytes, len);
    free(bytes);
    if (!thawed)
        return WEFT__STOP_STANDS;
    weft__move_free_image(rank);
    return WEFT__STOP_OFF;
}

int weft__move_point(struct weft__rank *rank, weft_entry *entry, void *argument)
{
    if (!finish_gets(rank))
        return 0;
    enum weft__stop stop = weft__move_stop(rank, entry, argument);
    if (stop == WEFT__STOP_STANDS) {
        weft__stay_stand(rank); /* does not come back when the rank leaves */
        weft__move_free_image(rank);
    }
    return stop != WEFT__STOP_NOT;
}

int weft__exec_thaw(struct weft_exec *exec, int32_t number, uint32_t incarnation)
{
    struct weft__rank *rank = find(exec, number);
    if (!rank)
        return weft_fail(WEFT_ENOENT, "rank %d is not here", (int)number);
    pthread_mutex_lock(&rank->lock);
    bool frozen = rank->state == WEFT_RANK_FROZEN && !rank->thaw_wanted;
    bool standing = rank->standing;
    if (frozen) {
        rank->thaw_wanted = true;
        rank->thaw_incarnation = incarnation;
    }
    pthread_mutex_unlock(&rank->lock);
    if (!frozen)
        return weft_fail(WEFT_EBUSY, "rank %d does not stand still", (int)number);
    if (standing) {
        weft__move_free_image(rank); /* nobody pulls any more before the rank writes again */
        bool has_thread = !rank->finished;
        unfreeze(rank, incarnation);
        if (has_thread)
            weft__stay_thaw(rank);
    }
    return WEFT_OK;
}

static void begin_forwarding(struct weft__rank *rank, uint32_t incarnation)
{
    rank->state = WEFT_RANK_DEPARTED;
    weft__rank_set_door(rank);
    rank->standing = false;
    rank->cell = NULL;
    rank->range = NULL;
    rank->leaving = true;
    rank->forwards = true;
    rank->forward_incarnation = incarnation;
    rank->forwarded = 0;
    rank->nudge_at_ns = weft__now_ns() + 5 * WEFT__TICK_NS;
}

int weft__exec_depart(struct weft_exec *exec, const struct weft_exec_route *to)
{
    struct weft__rank *rank = find(exec, to->rank);
    if (!rank)
        return weft_fail(WEFT_ENOENT, "rank %d is not here", (int)to->rank);
    if (to->process == exec->process || !weft__process_find(exec, to->process))
        return weft_fail(WEFT_EINVAL, "rank %d cannot go to process %u", (int)to->rank,
                         to->process);
    pthread_mutex_lock(&rank->lock);
    bool stands = rank->state == WEFT_RANK_FROZEN && rank->standing && !rank->thaw_wanted;
    if (stands)
        begin_forwarding(rank, to->incarnation);
    pthread_mutex_unlock(&rank->lock);
    if (!stands)
        return weft_fail(WEFT_EBUSY, "rank %d does not stand still", (int)to->rank);
    weft__stay_leave(rank);
    weft__route_learn(exec, to);
    weft__arrive_held(rank);
    weft__keeper_poke(exec);
    return WEFT_OK;
}

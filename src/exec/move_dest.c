/* Moving, at the destination: reserving the range, pulling the image into it, running the rank.
 *
 * Everything that can fail happens before the commit: the range is mapped, the program loaded, its
 * build compared, the thread made, the image pulled and checked. What is left for resume is a state
 * and a wake-up. A failed pull leaves the range reserved; the next one begins with an empty range
 * again.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "exec/impl.h"
#include "exec/move.h"
#include "snapshot/image.h"
#include "snapshot/pull.h"
#include "snapshot/region.h"
#include "weft/error.h"

#define ELAPSED_MAX_MS 60000u /* clocks of two hosts that differ by more are not believed */

/* A pull under way; it ends itself. */
struct weft__pulling {
    struct weft__rank *rank;
    weft_exec_pull_done *done;
    void *ctx;
    struct weft_pull *pull; /* NULL until started */
    struct weft_image *image;
    uint64_t serial;
    uint64_t begin_ns;
    uint64_t clock_ns, wall_ms;
    uint32_t running; /* a round of copying of a rank that runs elsewhere, of this number: */
    uint32_t round;
    uint64_t touched_bytes; /* that exist; 0: those of the image */
};

static struct weft__rank *find(struct weft_exec *exec, int32_t number)
{
    return number >= 0 && number < exec->size ? weft__rank_find(exec, number) : NULL;
}

static enum weft_exec_state absent(const struct weft__rank *rank)
{
    return rank->forwards ? WEFT_RANK_DEPARTED : WEFT_RANK_ABSENT;
}

int weft__exec_reserve(struct weft_exec *exec, int32_t number)
{
    struct weft__rank *rank;
    if (number < 0 || number >= exec->size)
        return weft_fail(WEFT_EINVAL, "no rank %d in a world of %d", (int)number, (int)exec->size);
    int err = weft__rank_slot(exec, number, &rank);
    if (err)
        return err;
    weft__rank_clear(rank);
    pthread_mutex_lock(&rank->lock);
    enum weft_exec_state state = rank->state;
    bool free_to_come = state == WEFT_RANK_ABSENT || state == WEFT_RANK_DEPARTED;
    if (free_to_come)
        rank->state = WEFT_RANK_RESERVED;
    rank->discard_wanted = false;
    rank->finished = false;
    rank->fetched = 0;
    pthread_mutex_unlock(&rank->lock);
    if (!free_to_come)
        return weft_fail(WEFT_EEXIST, "rank %d is here already (%s)", (int)number,
                         weft__exec_state_name(state));
    err = weft__rank_open(rank);
    if (err) {
        pthread_mutex_lock(&rank->lock);
        rank->state = absent(rank);
        pthread_mutex_unlock(&rank->lock);
        weft__arrive_held(rank);
    }
    return err;
}

/* Gives the range back.  The caller holds the lock. */
static void begin_discard(struct weft__rank *rank)
{
    rank->state = absent(rank);
    rank->discard_wanted = false;
    rank->leaving = true;
}

static void end_discard(struct weft__rank *rank)
{
    weft__stay_leave(rank);
    weft__arrive_held(rank);
    weft__keeper_poke(rank->exec);
}

static void free_pulling(struct weft__pulling *pulling)
{
    weft__image_free(pulling->image);
    free(pulling);
}

/* The pull is over: the rank's next state. Returns what the caller is told.  The caller holds the
 * lock. */
static int settle(struct weft__rank *rank, struct weft__pulling *pulling, int err)
{
    rank->pulling = NULL;
    if (rank->discard_wanted) {
        begin_discard(rank);
        return WEFT_ECANCELED;
    }
    rank->state = err || pulling->running ? WEFT_RANK_RESERVED : WEFT_RANK_PULLED;
    rank->fetched = !err && pulling->running ? pulling->round : 0;
    rank->clock_ns = pulling->clock_ns;
    rank->wall_ms = pulling->wall_ms;
    return err;
}

static void pulled(struct weft_pull *pull, int err, const char *text, void *user)
{
    struct weft__pulling *pulling = user;
    struct weft__rank *rank = pulling->rank;
    struct weft_exec *exec = rank->exec;
    struct weft_pull_progress progress;
    struct weft_lane_stats lane;
    char reason[256];
    weft__pull_progress(pull, &progress);
    weft__lane_stats(exec->lane, &lane);
    if (!err && !pulling->running && (err = weft__rank_verify(rank)))
        text = weft_fail_text(err);
    snprintf(reason, sizeof(reason), "%s", text ? text : weft_error_text(err));
    struct weft_exec_pulled result = {
        .bytes = progress.landed_bytes,
        .touched =
            pulling->touched_bytes ? pulling->touched_bytes : pulling->image->runs.total_bytes,
        .pull_ns = weft__now_ns() - pulling->begin_ns,
    };
    memcpy(result.transport, lane.transport, sizeof(result.transport));
    pthread_mutex_lock(&rank->lock);
    bool discarded = rank->discard_wanted;
    err = settle(rank, pulling, err);
    pthread_mutex_unlock(&rank->lock);
    if (discarded)
        snprintf(reason, sizeof(reason), "the move was called off");
    weft__pull_free(pull);
    weft_exec_pull_done *done = pulling->done;
    void *ctx = pulling->ctx;
    free_pulling(pulling);
    if (discarded)
        end_discard(rank);
    done(ctx, err, err ? reason : NULL, &result);
}

int weft__move_same_build(const struct weft__rank *rank, const struct weft__move *move)
{
    const struct weft_program *program = &rank->exec->program;
    if (move->build_id_len == program->elf.build_id_len &&
        memcmp(move->build_id, program->elf.build_id, move->build_id_len) == 0)
        return WEFT_OK;
    return weft_fail(WEFT_ENOEXEC, "%s on host %s is another build than where rank %d comes from",
                     program->path, rank->exec->host, (int)rank->number);
}

int weft__move_check(struct weft__rank *rank, const struct weft__move *move)
{
    const struct weft_exec *exec = rank->exec;
    if (move->app != exec->app || move->rank != rank->number || move->size != exec->size)
        return weft_fail(
            WEFT_EPROTO, "the descriptor is of rank %d of %d of app %llu, not of rank %d here",
            (int)move->rank, (int)move->size, (unsigned long long)move->app, (int)rank->number);
    if (move->base != exec->base || move->stride != exec->stride)
        return weft_fail(WEFT_EPROTO, "rank %d comes from another address", (int)rank->number);
    if (move->executor != exec->executor->number)
        return weft_fail(WEFT_ENOTSUP, "rank %d does not run by the %s executor", (int)rank->number,
                         exec->executor->name);
    if (move->running) /* before its memory comes, not only when it stands */
        return weft__move_same_build(rank, move);
    return move->finished ? WEFT_OK : exec->executor->prepare(rank, move);
}

/* Empties what must not show through the holes of a pull: all of the range; or, where rounds of
 * copying have come before, what of it does not exist any more. */
static int make_holes(const struct weft__rank *rank, const struct weft__move *move,
                      uint64_t *touched_bytes_out)
{
    const struct weft_region *region = &rank->region;
    struct weft_extents touched = {0};
    uint64_t end = 0;
    if (move->running ? move->round == 1 : move->round == 0)
        return weft__region_punch(region, 0, region->len_bytes);
    if (rank->fetched + (move->running ? 1 : 0) != move->round)
        return weft_fail(WEFT_EPROTO, "rank %d has come up to round %u of copying, not up to %u",
                         (int)rank->number, rank->fetched, move->round);
    if (move->running)
        return WEFT_OK;
    int err =
        weft__move_decode_pages(move->touched, move->touched_len, region->len_bytes, &touched);
    for (size_t i = 0; i < touched.n && !err; i++) {
        err = weft__region_punch(region, end, touched.at[i].offset - end);
        end = touched.at[i].offset + touched.at[i].len_bytes;
    }
    if (!err)
        err = weft__region_punch(region, end, region->len_bytes - end);
    *touched_bytes_out = touched.total_bytes;
    weft__extents_fini(&touched);
    return err;
}

static int start(struct weft__rank *rank, struct weft__pulling *pulling,
                 const struct weft__move *move)
{
    struct weft_exec *exec = rank->exec;
    struct weft_pull_desc desc = {
        .lane = exec->lane,
        .image = pulling->image,
        .into = &rank->region,
        .done = pulled,
        .user = pulling,
    };
    int err = weft__lane_peer(exec->lane, move->lane, &desc.peer);
    if (!err)
        err = make_holes(rank, move, &pulling->touched_bytes);
    if (err)
        return err;
    uint64_t serial = pulling->serial;
    struct weft_pull *pull;
    err = weft__pull_start(&desc, &pull);
    if (err)
        return err;
    /* It may be over already, and pulling gone. */
    pthread_mutex_lock(&rank->lock);
    if (rank->pulling && rank->pulling->serial == serial) {
        rank->pulling->pull = pull;
        if (rank->discard_wanted)
            weft__pull_cancel(pull);
    }
    pthread_mutex_unlock(&rank->lock);
    return WEFT_OK;
}

/* Makes the rank PULLING, if it may be. */
static int begin_pull(struct weft__rank *rank, struct weft__pulling *pulling)
{
    pthread_mutex_lock(&rank->lock);
    enum weft_exec_state state = rank->state;
    bool may = state == WEFT_RANK_RESERVED || state == WEFT_RANK_PULLED;
    if (may) {
        rank->state = WEFT_RANK_PULLING;
        rank->pulling = pulling;
        pulling->serial = ++rank->pulls;
    }
    pthread_mutex_unlock(&rank->lock);
    if (may)
        return WEFT_OK;
    return weft_fail(state == WEFT_RANK_PULLING ? WEFT_EBUSY : WEFT_ENOENT,
                     "rank %d cannot be pulled: it is %s", (int)rank->number,
                     weft__exec_state_name(state));
}

static void revert_pull(struct weft__rank *rank)
{
    pthread_mutex_lock(&rank->lock);
    bool discarded = rank->discard_wanted;
    rank->pulling = NULL;
    rank->state = WEFT_RANK_RESERVED;
    rank->fetched = 0;
    if (discarded)
        begin_discard(rank);
    pthread_mutex_unlock(&rank->lock);
    if (discarded)
        end_discard(rank);
}

int weft__exec_pull(struct weft_exec *exec, const struct weft_exec_pull *what)
{
    struct weft__rank *rank = find(exec, what->rank);
    struct weft__move move;
    int err = weft__move_decode(what->descriptor, what->len_bytes, &move);
    if (!rank || err)
        return err ? err : weft_fail(WEFT_ENOENT, "rank %d is not reserved", (int)what->rank);
    struct weft__pulling *pulling = calloc(1, sizeof(*pulling));
    if (!pulling)
        return weft_fail(WEFT_ENOMEM, "no memory to pull rank %d", (int)what->rank);
    *pulling = (struct weft__pulling){.rank = rank,
                                      .done = what->done,
                                      .ctx = what->ctx,
                                      .begin_ns = weft__now_ns(),
                                      .clock_ns = move.clock_ns,
                                      .wall_ms = move.wall_ms,
                                      .running = move.running,
                                      .round = move.round};
    err = begin_pull(rank, pulling);
    if (err) {
        free_pulling(pulling);
        return err;
    }
    err = move.finished
              ? weft_fail(WEFT_EPROTO, "rank %d has ended: it does not move", (int)what->rank)
              : weft__move_check(rank, &move);
    if (!err)
        err = weft__image_decode(move.image, move.image_len, &pulling->image);
    if (!err)
        err = start(rank, pulling, &move);
    if (err) {
        revert_pull(rank);
        free_pulling(pulling);
    }
    return err;
}

/* The rank's clock goes on from where it stood, plus the time that the world's clock says has
 * passed. */
static void set_clock(struct weft__rank *rank)
{
    uint64_t wall_ms = weft__wall_ms();
    uint64_t elapsed_ms = wall_ms > rank->wall_ms ? wall_ms - rank->wall_ms : 0;
    if (elapsed_ms > ELAPSED_MAX_MS)
        elapsed_ms = 0;
    uint64_t clock_ns = rank->clock_ns + elapsed_ms * WEFT_NS_PER_MS;
    rank->cell->clock_offset_ns = (int64_t)(clock_ns - weft__now_ns());
}

/* The rank runs here from now on.  The caller holds the lock. */
static void arrive(struct weft__rank *rank, uint32_t incarnation)
{
    weft__rank_attach(rank);
    set_clock(rank);
    rank->incarnation = incarnation;
    rank->wants_credit = false;
    atomic_store_explicit(&rank->credit_given, false, memory_order_relaxed);
    atomic_store_explicit(&rank->sleeping, 0, memory_order_relaxed);
    rank->pins = 0;
    rank->state = rank->finished ? WEFT_RANK_EXITED : WEFT_RANK_RUNNING;
    weft__rank_set_door(rank);
}

int weft__exec_resume(struct weft_exec *exec, int32_t number, uint32_t incarnation)
{
    struct weft__rank *rank = find(exec, number);
    if (!rank)
        return weft_fail(WEFT_ENOENT, "rank %d is not reserved", (int)number);
    pthread_mutex_lock(&rank->lock);
    enum weft_exec_state state = rank->state;
    bool flushed = false;
    uint32_t left = rank->forward_incarnation;
    uint64_t forwarded = rank->forwarded;
    if (state == WEFT_RANK_PULLED) {
        arrive(rank, incarnation);
        flushed = rank->forwards; /* it is back before everybody knew that it had left */
        rank->forwards = false;
    }
    pthread_mutex_unlock(&rank->lock);
    if (state != WEFT_RANK_PULLED)
        return weft_fail(
            state == WEFT_RANK_ABSENT || state == WEFT_RANK_DEPARTED ? WEFT_ENOENT : WEFT_EBUSY,
            "rank %d cannot be resumed: it is %s", (int)number, weft__exec_state_name(state));
    weft__route_learn(exec, &(struct weft_exec_route){number, exec->process, incarnation});
    if (!rank->finished)
        weft__stay_resume(rank);
    weft__arrive_held(rank);
    weft__outbox_flush(rank, -1, true);
    weft__keeper_poke(exec);
    if (flushed && exec->callbacks.flushed)
        exec->callbacks.flushed(exec->callbacks.ctx, number, left, forwarded);
    return WEFT_OK;
}

int weft__exec_discard(struct weft_exec *exec, int32_t number)
{
    struct weft__rank *rank = find(exec, number);
    if (!rank)
        return weft_fail(WEFT_ENOENT, "rank %d is not reserved", (int)number);
    pthread_mutex_lock(&rank->lock);
    enum weft_exec_state state = rank->state;
    bool now = state == WEFT_RANK_RESERVED || state == WEFT_RANK_PULLED;
    if (now)
        begin_discard(rank);
    else if (state == WEFT_RANK_PULLING) {
        rank->discard_wanted = true;
        if (rank->pulling->pull)
            weft__pull_cancel(rank->pulling->pull);
    }
    pthread_mutex_unlock(&rank->lock);
    if (now)
        end_discard(rank);
    if (now || state == WEFT_RANK_PULLING)
        return WEFT_OK;
    return weft_fail(
        state == WEFT_RANK_ABSENT || state == WEFT_RANK_DEPARTED ? WEFT_ENOENT : WEFT_EBUSY,
        "rank %d cannot be discarded: it is %s", (int)number, weft__exec_state_name(state));
}

void weft__move_cancel_pull(struct weft__rank *rank)
{
    bool under_way = true;
    while (under_way) {
        pthread_mutex_lock(&rank->lock);
        under_way = rank->state == WEFT_RANK_PULLING;
        if (under_way) {
            rank->discard_wanted = true;
            if (rank->pulling && rank->pulling->pull)
                weft__pull_cancel(rank->pulling->pull);
        }
        pthread_mutex_unlock(&rank->lock);
        if (under_way)
            sched_yield();
    }
}

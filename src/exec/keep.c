/* Ranks that leave their process for a store, and come back into another one.
 *
 * A rank's range holds all that has to outlive its process: program data, the mailbox, and per peer
 * the sequences and the packets that nobody has acknowledged yet. Packets that are held outside the
 * range are in their senders' windows still, so they may be lost with the process. A rank that has
 * ended is kept like the others: what it sent last may not have arrived, and who sends to it still
 * must get an acknowledgement.
 *
 * The memory is copied into the reserved range rather than mapped there: the copy belongs to
 * whoever has fetched it, and the range must be one that can move on.
 */
#include <stdio.h>

#include "exec/impl.h"
#include "exec/move.h"
#include "snapshot/region.h"
#include "weft/error.h"

static struct weft__rank *find(struct weft_exec *exec, int32_t number)
{
    return number >= 0 && number < exec->size ? weft__rank_find(exec, number) : NULL;
}

/* Lets an ended rank stand.  Errors: as weft__exec_freeze_ended. */
static int stand(struct weft__rank *rank)
{
    pthread_mutex_lock(&rank->lock);
    enum weft_exec_state state = rank->state;
    if (state == WEFT_RANK_EXITED) {
        rank->finished = rank->kept = true;
        rank->state = WEFT_RANK_FROZEN;
        rank->standing = true;
        rank->thaw_wanted = false;
    }
    pthread_mutex_unlock(&rank->lock);
    return state == WEFT_RANK_EXITED ? WEFT_OK
                                     : weft_fail(WEFT_EBUSY, "rank %d has not ended: it is %s",
                                                 (int)rank->number, weft__exec_state_name(state));
}

int weft__exec_freeze_ended(struct weft_exec *exec, int32_t number, uint8_t **bytes_out,
                            size_t *len_out)
{
    struct weft__rank *rank = find(exec, number);
    if (!rank)
        return weft_fail(WEFT_ENOENT, "rank %d is not here", (int)number);
    int err = stand(rank);
    if (err)
        return err;
    err = weft__move_describe(rank, NULL, bytes_out, len_out);
    if (err) {
        char text[256];
        snprintf(text, sizeof(text), "%s", weft_fail_text(err));
        (void)weft__exec_thaw(exec, number, 0); /* it has ended, as before */
        err = weft_fail(err, "%s", text);
    }
    return err;
}

int weft__exec_memory(struct weft_exec *exec, int32_t number, const struct weft_region **region_out,
                      uint64_t *points_out)
{
    struct weft__rank *rank = find(exec, number);
    if (!rank)
        return weft_fail(WEFT_ENOENT, "rank %d is not here", (int)number);
    pthread_mutex_lock(&rank->lock);
    bool stands = rank->state == WEFT_RANK_FROZEN && rank->standing && !rank->thaw_wanted;
    uint64_t points = stands ? rank->range->points : 0;
    pthread_mutex_unlock(&rank->lock);
    if (!stands)
        return weft_fail(WEFT_EBUSY, "rank %d does not stand still", (int)number);
    if (points_out)
        *points_out = points;
    *region_out = &rank->region;
    return WEFT_OK;
}

static int copy(const struct weft_region *to, const struct weft_region *from)
{
    struct weft_extents touched = {0};
    if (from->len_bytes > to->len_bytes)
        return weft_fail(WEFT_EPROTO, "%zu bytes do not fit into a rank's %zu", from->len_bytes,
                         to->len_bytes);
    int err = weft__region_punch(to, 0, to->len_bytes);
    if (!err)
        err = weft__region_touched(from, &touched);
    for (size_t i = 0; i < touched.n && !err; i++)
        err = weft__region_write(to, touched.at[i].offset,
                                 (const unsigned char *)from->base + touched.at[i].offset,
                                 touched.at[i].len_bytes);
    weft__extents_fini(&touched);
    return err;
}

/* What the descriptor says beside the memory. */
static void take_over(struct weft__rank *rank, const struct weft__move *move)
{
    pthread_mutex_lock(&rank->lock);
    rank->state = WEFT_RANK_PULLED;
    rank->finished = move->finished != 0;
    rank->code = move->code;
    rank->clock_ns = move->clock_ns;
    rank->wall_ms = UINT64_MAX; /* no time has passed */
    pthread_mutex_unlock(&rank->lock);
}

int weft__exec_load(struct weft_exec *exec, const struct weft_exec_load *what)
{
    struct weft__rank *rank = find(exec, what->rank);
    struct weft__move move;
    int err = weft__move_decode(what->descriptor, what->len_bytes, &move);
    if (!rank || err)
        return err ? err : weft_fail(WEFT_ENOENT, "rank %d is not reserved", (int)what->rank);
    pthread_mutex_lock(&rank->lock);
    enum weft_exec_state state = rank->state;
    pthread_mutex_unlock(&rank->lock);
    if (state != WEFT_RANK_RESERVED)
        return weft_fail(WEFT_EBUSY, "rank %d cannot be loaded: it is %s", (int)what->rank,
                         weft__exec_state_name(state));
    err = weft__move_check(rank, &move);
    if (!err)
        err = copy(&rank->region, what->from);
    if (!err)
        err = weft__rank_verify(rank);
    if (!err)
        take_over(rank, &move);
    return err;
}

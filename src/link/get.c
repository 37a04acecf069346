/* Gets of a lane.
 *
 * A get is cut into pieces; a bounded number of pieces is in flight for the whole lane, and gets
 * take turns piece by piece, so that a small one does not wait behind a large one. A get ends when
 * its last piece in flight has ended, with the first error met: until then the transport owns the
 * memory. done runs in a round, never where a piece was submitted.
 *
 * A get is in the list exactly while issued_bytes < len_bytes, or while it is empty and has not
 * ended.
 */
#include <stddef.h>

#include "base/check.h"
#include "base/log.h"
#include "link/impl.h"
#include "weft/error.h"

void weft__lane_gets_init(struct weft_lane *lane)
{
    lane->free_pieces = NULL;
    for (unsigned i = 0; i < LANE_PIECES; i++) {
        lane->pieces[i].lane = lane;
        lane->pieces[i].next = lane->free_pieces;
        lane->free_pieces = &lane->pieces[i];
    }
}

int weft__lane_get(struct weft_lane *lane, struct weft_lane_get *get)
{
    if (!weft__lane_to_get(lane, get->peer))
        return weft_fail(WEFT_EINVAL, "no peer %u on this lane", get->peer.id);
    int err = atomic_load_explicit(&lane->broken, memory_order_relaxed);
    if (err != 0)
        return weft_fail(err, "the lane at %s has failed", lane->address);
    get->issued_bytes = get->done_bytes = 0;
    get->in_flight = 0;
    get->err = WEFT_OK;
    get->next = NULL;
    bool pushed = weft__mpsc_push(&lane->gets, get);
    weft__lane_submit(lane);
    return pushed ? WEFT_OK : WEFT_EAGAIN;
}

static void append(struct weft_lane *lane, struct weft_lane_get *get)
{
    get->next = NULL;
    if (lane->gets_first)
        lane->gets_last->next = get;
    else
        lane->gets_first = get;
    lane->gets_last = get;
}

static void finish(struct weft_lane *lane, struct weft_lane_get *get)
{
    get->next = lane->finished;
    lane->finished = get;
}

void weft__lane_take_gets(struct weft_lane *lane)
{
    struct weft_lane_get *get;
    while ((get = weft__mpsc_pop(&lane->gets))) {
        if (get->len_bytes)
            append(lane, get);
        else
            finish(lane, get);
    }
}

/* Asks for no more of this get; it ends with err when nothing of it is in flight. */
static void give_up(struct weft_lane *lane, struct weft_lane_get *get, int err)
{
    if (get->err == WEFT_OK)
        get->err = err;
    get->issued_bytes = get->len_bytes;
    if (get->in_flight == 0)
        finish(lane, get);
}

static void arrived(struct weft_tp_op *op, int err)
{
    struct weft__lane_piece *piece = op->user;
    struct weft_lane *lane = piece->lane;
    struct weft_lane_get *get = piece->get;
    struct weft__lane_to *to = weft__lane_to_get(lane, get->peer);
    get->in_flight--;
    if (err == WEFT_OK) {
        get->done_bytes += piece->len_bytes;
        weft__counter_add(&lane->bytes_got, piece->len_bytes);
    } else {
        if (get->err == WEFT_OK)
            get->err = err;
        if (weft_error_damage(err) == WEFT_DAMAGE_PEER && to->attached && to->tp.id == piece->tp.id)
            weft__lane_lose(lane, to, err);
    }
    piece->get = NULL;
    piece->next = lane->free_pieces;
    lane->free_pieces = piece;
    /* A get that is still in the list is finished from there. */
    if (get->in_flight == 0 && get->issued_bytes == get->len_bytes)
        finish(lane, get);
}

/* Asks for the next piece. */
static int issue(struct weft_lane *lane, struct weft_lane_get *get)
{
    struct weft__lane_to *to = weft__lane_to_get(lane, get->peer);
    if (to->lost)
        return WEFT_EAGAIN; /* until the owner has been told */
    int err = weft__lane_attach(lane, to);
    if (err != WEFT_OK)
        return err;
    size_t len = get->len_bytes - get->issued_bytes;
    if (len > LANE_PIECE_BYTES)
        len = LANE_PIECE_BYTES;
    if (len > lane->limits.rma_max_bytes)
        len = lane->limits.rma_max_bytes;
    struct weft__lane_piece *piece = lane->free_pieces;
    struct weft_tp_rma_desc desc = {
        .local = (char *)get->into + get->issued_bytes,
        .len_bytes = len,
        .remote_key = get->key.tp,
        .remote_offset = get->remote_offset + get->issued_bytes,
    };
    piece->op.done = arrived;
    piece->op.user = piece;
    piece->get = get;
    piece->tp = to->tp;
    piece->len_bytes = len;
    err = lane->tp->rma->get(lane->ep, to->tp, &desc, &piece->op);
    if (err != WEFT_OK) {
        piece->get = NULL;
        if (weft_error_damage(err) == WEFT_DAMAGE_PEER)
            weft__lane_lose(lane, to, err);
        return err;
    }
    lane->free_pieces = piece->next;
    get->issued_bytes += len;
    get->in_flight++;
    return WEFT_OK;
}

void weft__lane_pump_gets(struct weft_lane *lane)
{
    weft__check(weft__lane_mine(lane));
    struct weft_lane_get *get, *refused = NULL;
    while ((get = lane->gets_first) && get != refused) {
        int err = get->err;
        if (err == WEFT_OK) {
            if (!lane->free_pieces)
                return;
            err = issue(lane, get);
        }
        lane->gets_first = get->next;
        if (err == WEFT_EAGAIN) {
            append(lane, get);
            if (!refused)
                refused = get;
        } else if (err != WEFT_OK) {
            give_up(lane, get, err);
        } else if (get->issued_bytes < get->len_bytes) {
            append(lane, get);
        }
    }
}

bool weft__lane_gets_from(const struct weft_lane *lane, const struct weft__lane_to *to)
{
    for (unsigned i = 0; i < LANE_PIECES; i++)
        if (lane->pieces[i].get && lane->pieces[i].get->peer.id == to->id)
            return true;
    return false;
}

void weft__lane_fail_gets(struct weft_lane *lane, const struct weft__lane_to *to, int err)
{
    struct weft_lane_get *get = lane->gets_first;
    lane->gets_first = lane->gets_last = NULL;
    while (get) {
        struct weft_lane_get *next = get->next;
        if (!to || get->peer.id == to->id)
            give_up(lane, get, err);
        else
            append(lane, get);
        get = next;
    }
}

int weft__lane_finish_gets(struct weft_lane *lane)
{
    int n = 0;
    struct weft_lane_get *get;
    while ((get = lane->finished)) {
        lane->finished = get->next;
        if (get->err != WEFT_OK)
            weft__counter_add(&lane->gets_failed, 1);
        n++;
        get->done(get, get->err);
    }
    return n;
}

/* The initiator's side: an operation is cut into pieces, at most WEFT_SHIM_WINDOW of them under way
 * per peer, so that a target never has more to queue than its initiators' windows.
 *
 * A get asks for each piece, and the pieces come back in order, because messages are in order per
 * peer. A put sends each piece from the caller's memory; it ends when every piece is acknowledged,
 * which the target does when the bytes are in place, and when the inner transport has let go of the
 * caller's memory. Answers that come after the end find no operation under their id and are
 * dropped: so nothing is written into memory that has been given back.
 */
#include <stdlib.h>
#include <string.h>

#include "transport/shim/endpoint.h"
#include "weft/error.h"

enum what { GET, PUT, FLUSH };

struct call {
    struct weft_op_node node;
    enum what what;
    uint32_t id;
    uint32_t peer_id;
    unsigned char *local;
    uint64_t key, offset;
    size_t len;
    size_t issued;    /* bytes asked for or sent */
    size_t back;      /* bytes arrived or acknowledged */
    uint32_t pieces;  /* under way */
    uint32_t parcels; /* that point into local */
    bool begun;       /* at least one piece: an operation of no bytes has one too */
    bool over;        /* id given back; waits for parcels only */
    int err;
};
_Static_assert(sizeof(struct call) <= WEFT_TP_OP_PRIVATE, "a call must fit into the operation");

static struct call *call_of(struct weft_tp_op *op)
{
    return (struct call *)(void *)op->priv;
}

static struct weft_tp_op *next_of(struct weft_tp_op *op)
{
    return weft__op_node(op)->next;
}

/* Ends the operation as far as the target is concerned. It finishes when no parcel points into its
 * memory. */
static void call_over(struct weft_shim_ep *ep, struct weft_tp_op *op, int err)
{
    struct call *call = call_of(op);
    if (call->over)
        return;
    struct weft_shim_peer *peer = weft__slots_find(&ep->peers, call->peer_id);
    if (peer)
        peer->pieces -= call->pieces;
    call->over = true;
    call->err = err;
    ep->runnable = true;
}

static void call_finish(struct weft_shim_ep *ep, struct weft_tp_op *op)
{
    struct call *call = call_of(op);
    weft__op_remove(&ep->active, op);
    if (call->id)
        weft__slots_take(&ep->calls, call->id);
    weft__shim_finish(ep, op, call->err);
}

static struct weft_shim_head head_of(const struct weft_shim_ep *ep, const struct call *call,
                                     uint32_t piece)
{
    return (struct weft_shim_head){
        .magic = WEFT_SHIM_MAGIC,
        .type = call->what == GET ? WEFT_SHIM_GET : WEFT_SHIM_PUT,
        .addr_len = ep->address.len,
        .id = (uint64_t)ep->nonce << 32 | call->id,
        .key = call->key,
        .offset = call->offset,
        .len = call->len,
        .at = call->issued,
        .piece = piece,
    };
}

static int piece_send(struct weft_shim_ep *ep, struct weft_shim_peer *peer, struct call *call)
{
    size_t left = call->len - call->issued;
    uint32_t piece = (uint32_t)(left < ep->piece_bytes ? left : ep->piece_bytes);
    struct weft_shim_head head = head_of(ep, call, piece);
    struct weft_shim_parcel *parcel = weft__shim_parcel_new(ep);
    if (!parcel)
        return WEFT_EAGAIN;
    memcpy(parcel->small, &head, sizeof(head));
    memcpy(parcel->small + sizeof(head), ep->address.bytes, ep->address.len);
    struct iovec iov[2] = {{parcel->small, sizeof(head) + ep->address.len},
                           {call->local + call->issued, piece}};
    bool put = call->what == PUT;
    parcel->call = put ? call->id : 0;
    int err = weft__shim_parcel_send(parcel, peer->inner, iov, put ? 2 : 1);
    if (err)
        return err;
    call->parcels += put;
    call->issued += piece;
    call->begun = true;
    call->pieces++;
    peer->pieces++;
    return WEFT_OK;
}

/* Whether more could be sent for later operations. */
static bool call_advance(struct weft_shim_ep *ep, struct weft_tp_op *op)
{
    struct call *call = call_of(op);
    struct weft_shim_peer *peer = weft__slots_find(&ep->peers, call->peer_id);
    if (peer && peer->lost)
        call_over(ep, op, peer->lost);
    while (!call->over && (!call->begun || call->issued < call->len) &&
           peer->pieces < WEFT_SHIM_WINDOW) {
        int err = piece_send(ep, peer, call);
        if (err == WEFT_EAGAIN)
            return false;
        if (err)
            call_over(ep, op, err);
    }
    return true;
}

/* Whether a put to the same peer was submitted before the flush and is not finished. */
static bool flush_waits(const struct weft_shim_ep *ep, struct weft_tp_op *flush)
{
    for (struct weft_tp_op *op = ep->active.first; op != flush; op = next_of(op)) {
        if (call_of(op)->what == PUT && call_of(op)->peer_id == call_of(flush)->peer_id)
            return true;
    }
    return false;
}

void weft__shim_advance(struct weft_shim_ep *ep)
{
    bool more = true;
    ep->runnable = false;
    for (struct weft_tp_op *op = ep->active.first, *next; op; op = next) {
        struct call *call = call_of(op);
        next = next_of(op);
        if (call->what == FLUSH) {
            if (!flush_waits(ep, op))
                call->over = true;
        } else if (more) {
            more = call_advance(ep, op);
        }
        if (call->over && call->parcels == 0)
            call_finish(ep, op);
    }
    /* What was finished on the way does not count as a reason to look again. */
    ep->runnable = false;
}

static struct weft_tp_op *find(const struct weft_shim_ep *ep, const struct weft_shim_head *head,
                               enum what what)
{
    struct weft_tp_op *op =
        head->id >> 32 == ep->nonce ? weft__slots_find(&ep->calls, (uint32_t)head->id) : NULL;
    return op && call_of(op)->what == what && !call_of(op)->over ? op : NULL;
}

/* A piece has come back whole. */
static void piece_back(struct weft_shim_ep *ep, struct weft_tp_op *op,
                       const struct weft_shim_head *head)
{
    struct call *call = call_of(op);
    struct weft_shim_peer *peer = weft__slots_find(&ep->peers, call->peer_id);
    if (peer)
        peer->pieces--;
    call->pieces--;
    call->back += head->piece;
    ep->runnable = true;
    if (call->back == call->len && call->pieces == 0)
        call_over(ep, op, WEFT_OK);
}

/* In order, within what was asked for. */
static bool piece_fits(const struct call *call, const struct weft_shim_head *head)
{
    return call->pieces > 0 && head->at == call->back && head->piece <= call->issued - call->back;
}

void weft__shim_data_take(struct weft_shim_ep *ep, const struct weft_shim_head *head,
                          const void *data, size_t len_bytes)
{
    struct weft_tp_op *op = find(ep, head, GET);
    if (!op)
        return;
    struct call *call = call_of(op);
    if (head->err) {
        call_over(ep, op, head->err < 0 ? head->err : WEFT_EPROTO);
    } else if (len_bytes != head->piece || !piece_fits(call, head)) {
        call_over(ep, op, WEFT_EPROTO);
    } else {
        if (len_bytes)
            memcpy(call->local + call->back, data, len_bytes);
        piece_back(ep, op, head);
    }
}

void weft__shim_ack_take(struct weft_shim_ep *ep, const struct weft_shim_head *head)
{
    struct weft_tp_op *op = find(ep, head, PUT);
    if (!op)
        return;
    if (head->err)
        call_over(ep, op, head->err < 0 ? head->err : WEFT_EPROTO);
    else if (!piece_fits(call_of(op), head))
        call_over(ep, op, WEFT_EPROTO);
    else
        piece_back(ep, op, head);
}

void weft__shim_put_sent(struct weft_shim_ep *ep, uint32_t id, int err)
{
    struct weft_tp_op *op = weft__slots_find(&ep->calls, id);
    if (!op)
        return;
    call_of(op)->parcels--;
    if (err)
        call_over(ep, op, err);
}

void weft__shim_calls_fail(struct weft_shim_ep *ep, struct weft_shim_peer *peer, int err)
{
    for (struct weft_tp_op *op = ep->active.first; op; op = next_of(op)) {
        if (!peer || call_of(op)->peer_id == peer->id)
            call_over(ep, op, err);
    }
}

static int submit(struct weft_tp_ep *base, struct weft_tp_peer id, struct call call,
                  struct weft_tp_op *op)
{
    struct weft_shim_ep *ep = weft__shim_ep(base);
    int err = weft__shim_may_submit(ep, weft__slots_find(&ep->peers, id.id));
    if (!err && call.what != FLUSH)
        err = weft__slots_put(&ep->calls, op, &call.id);
    if (err)
        return err;
    call.peer_id = id.id;
    *call_of(op) = call;
    ep->in_flight++;
    weft__op_append(&ep->active, op);
    weft__shim_advance(ep);
    return WEFT_OK;
}

static struct call describe(enum what what, const struct weft_tp_rma_desc *desc)
{
    return (struct call){
        .what = what,
        .local = desc->local,
        .key = desc->remote_key.key,
        .offset = desc->remote_offset,
        .len = desc->len_bytes,
    };
}

static int rma_get(struct weft_tp_ep *ep, struct weft_tp_peer peer,
                   const struct weft_tp_rma_desc *desc, struct weft_tp_op *op)
{
    return submit(ep, peer, describe(GET, desc), op);
}

static int rma_put(struct weft_tp_ep *ep, struct weft_tp_peer peer,
                   const struct weft_tp_rma_desc *desc, struct weft_tp_op *op)
{
    return submit(ep, peer, describe(PUT, desc), op);
}

static int rma_flush(struct weft_tp_ep *ep, struct weft_tp_peer peer, struct weft_tp_op *op)
{
    return submit(ep, peer, (struct call){.what = FLUSH}, op);
}

/* Registers a copy of what. */
static int enter(struct weft_tp_ep *ep, const struct weft_range *what,
                 int (*add)(struct weft_keys *keys, struct weft_range *range),
                 struct weft_tp_region **region_out)
{
    struct weft_range *range = calloc(1, sizeof(*range));
    if (!range)
        return weft_fail(WEFT_ENOMEM, "no memory for a registration");
    *range = *what;
    int err = add(&weft__shim_ep(ep)->keys, range);
    if (err)
        free(range);
    else
        *region_out = (struct weft_tp_region *)(void *)range;
    return err;
}

static int rma_reg(struct weft_tp_ep *ep, void *addr, size_t len_bytes, uint32_t access,
                   struct weft_tp_region **region_out)
{
    struct weft_range range = {.addr = addr, .len_bytes = len_bytes, .access = access};
    return enter(ep, &range, weft__keys_add, region_out);
}

int weft__shim_reg_as(struct weft_tp_ep *ep, const struct weft_range *range,
                      struct weft_tp_region **region_out)
{
    return enter(ep, range, weft__keys_add_as, region_out);
}

static void rma_unreg(struct weft_tp_ep *ep, struct weft_tp_region *region)
{
    struct weft_range *range = (struct weft_range *)(void *)region;
    weft__keys_remove(&weft__shim_ep(ep)->keys, range);
    free(range);
}

static void rma_key(struct weft_tp_region *region, struct weft_tp_key *key_out)
{
    const struct weft_range *range = (const struct weft_range *)(const void *)region;
    *key_out = (struct weft_tp_key){.key = range->key, .base = 0, .len_bytes = range->len_bytes};
}

const struct weft_tp_rma_ops weft__shim_rma_ops = {
    .reg = rma_reg,
    .unreg = rma_unreg,
    .key = rma_key,
    .get = rma_get,
    .put = rma_put,
    .flush = rma_flush,
};

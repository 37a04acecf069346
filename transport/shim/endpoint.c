/* The shim's endpoint: it opens the inner endpoint with its own handlers and stands between it and
 * the caller.
 *
 * Every message passes here, so that there is one place that tells the caller's messages from the
 * shim's own. `done` never runs from the inner transport's callbacks but from a list, at the
 * beginning and the end of progress(): so it may submit, drop and register as it likes, while
 * nothing walks over the lists.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "transport/shim/endpoint.h"
#include "weft/error.h"

static const struct weft_tp_core_ops core_ops;

void weft__shim_finish(struct weft_shim_ep *ep, struct weft_tp_op *op, int err)
{
    weft__op_node(op)->err = err;
    weft__op_append(&ep->finished, op);
}

int weft__shim_may_submit(const struct weft_shim_ep *ep, const struct weft_shim_peer *peer)
{
    if (ep->closing)
        return weft_fail(WEFT_ESHUTDOWN, "the endpoint is closing");
    if (!peer)
        return weft_fail(WEFT_EINVAL, "no such peer");
    return ep->in_flight < ep->sends_max ? WEFT_OK : WEFT_EAGAIN;
}

static void take_message(void *ctx, const void *data, size_t len_bytes)
{
    struct weft_shim_ep *ep = ctx;
    const unsigned char *bytes = data;
    struct weft_shim_head head = {.magic = 0};
    size_t len = len_bytes < sizeof(head) ? len_bytes : sizeof(head);
    if (len)
        memcpy(&head, bytes, len);
    bool whole = len == sizeof(head);
    if (head.magic != WEFT_SHIM_MAGIC || len < WEFT_SHIM_PREFIX ||
        (head.type != WEFT_SHIM_MESSAGE && !whole))
        ep->malformed++;
    else if (head.type == WEFT_SHIM_MESSAGE && ep->on.message)
        ep->on.message(ep->ctx, bytes + WEFT_SHIM_PREFIX, len_bytes - WEFT_SHIM_PREFIX);
    else if (head.type == WEFT_SHIM_GET || head.type == WEFT_SHIM_PUT)
        weft__shim_ask_take(ep, &head, bytes + sizeof(head), len_bytes - sizeof(head));
    else if (head.type == WEFT_SHIM_DATA)
        weft__shim_data_take(ep, &head, bytes + sizeof(head), len_bytes - sizeof(head));
    else if (head.type == WEFT_SHIM_ACK)
        weft__shim_ack_take(ep, &head);
    else
        ep->malformed++;
}

static void take_lost(void *ctx, struct weft_tp_peer inner)
{
    struct weft_shim_ep *ep = ctx;
    struct weft_shim_peer *peer;
    uint32_t cursor = 0, id;
    while ((peer = weft__slots_next(&ep->peers, &cursor, &id))) {
        if (peer->inner.id != inner.id)
            continue;
        peer->lost = WEFT_EPEERDEAD;
        weft__shim_calls_fail(ep, peer, WEFT_EPEERDEAD);
        ep->runnable = true;
        if (ep->on.peer_lost)
            ep->on.peer_lost(ep->ctx, (struct weft_tp_peer){id});
        return;
    }
    weft__shim_asker_lost(ep, inner);
}

static const struct weft_tp_handlers handlers = {.message = take_message, .peer_lost = take_lost};

static int open_inner(struct weft_shim_ep *ep, const struct weft_tp_open *desc)
{
    size_t overhead = sizeof(struct weft_shim_head) + WEFT_TP_ADDR_MAX;
    struct weft_tp_open inner = *desc;
    struct weft_tp_limits limits;
    inner.families = WEFT_TP_MSG;
    inner.sends_max = ep->sends_max + WEFT_SHIM_SENDS_OWN;
    inner.msg_max_bytes = overhead + WEFT_SHIM_PIECE;
    if (desc->msg_max_bytes + WEFT_SHIM_PREFIX > inner.msg_max_bytes)
        inner.msg_max_bytes = desc->msg_max_bytes + WEFT_SHIM_PREFIX;
    inner.handlers = &handlers;
    inner.ctx = ep;
    int err = ep->tp->core->open(&inner, &ep->inner);
    if (err)
        return err;
    ep->tp->core->limits(ep->inner, &limits);
    size_t room = limits.msg_max_bytes - overhead;
    ep->piece_bytes = room < WEFT_SHIM_PIECE ? room : WEFT_SHIM_PIECE;
    ep->msg_max_bytes =
        desc->msg_max_bytes ? desc->msg_max_bytes : limits.msg_max_bytes - WEFT_SHIM_PREFIX;
    return ep->tp->core->address(ep->inner, &ep->address);
}

static void ep_fini(struct weft_shim_ep *ep)
{
    struct weft_range *range;
    while ((range = weft__keys_any(&ep->keys))) {
        weft__keys_remove(&ep->keys, range);
        free(range);
    }
    weft__shim_askers_fini(ep);
    weft__shim_parcels_fini(ep);
    weft__slots_fini(&ep->peers);
    weft__slots_fini(&ep->calls);
    free(ep);
}

static void ep_usage(struct weft_tp_ep *base, struct weft_tp_usage *usage_out)
{
    struct weft_shim_ep *ep = weft__shim_ep(base);
    *usage_out = (struct weft_tp_usage){0};
    if (ep->tp->usage)
        ep->tp->usage(ep->inner, usage_out);
}

static void set_desc(struct weft_shim_ep *ep, const struct weft_transport *inner,
                     const struct weft_tp_open *desc)
{
    ep->tp = inner;
    ep->table = (struct weft_transport){
        .scheme = inner->scheme,
        .core = &core_ops,
        .usage = ep_usage,
        .msg = &weft__shim_msg_ops,
        .rma = &weft__shim_rma_ops,
    };
    ep->base.transport = &ep->table;
    if (desc->handlers)
        ep->on = *desc->handlers;
    ep->ctx = desc->ctx;
    ep->sends_max = desc->sends_max ? desc->sends_max : WEFT_SHIM_SENDS_DEFAULT;
    ep->answers_end = &ep->answers;
    weft__slots_init(&ep->peers, WEFT_SHIM_PEERS_MAX);
    weft__slots_init(&ep->calls, 32768);
}

int weft__shim_open(const struct weft_transport *inner, const struct weft_tp_open *desc,
                    struct weft_tp_ep **ep_out)
{
    if (!inner->msg)
        return weft_fail(WEFT_ENOTSUP, "%s has no msg for the shim to stand on", inner->scheme);
    if (desc->families & WEFT_TP_CTL)
        return weft_fail(WEFT_ENOTSUP, "the shim has no ctl: open %s itself for that",
                         inner->scheme);
    struct weft_shim_ep *ep = calloc(1, sizeof(*ep));
    if (!ep)
        return weft_fail(WEFT_ENOMEM, "no memory for an endpoint");
    set_desc(ep, inner, desc);
    int err = getrandom(&ep->nonce, sizeof(ep->nonce), 0) == (ssize_t)sizeof(ep->nonce)
                  ? WEFT_OK
                  : weft_fail(WEFT_EIO, "no random bytes from getrandom");
    if (!err)
        err = open_inner(ep, desc);
    if (!err) {
        *ep_out = &ep->base;
        return WEFT_OK;
    }
    if (ep->inner)
        inner->core->close(ep->inner);
    ep_fini(ep);
    return err;
}

/* The table's open has no inner transport to open. */
static int ep_open(const struct weft_tp_open *desc, struct weft_tp_ep **ep_out)
{
    (void)desc;
    (void)ep_out;
    return weft_fail(WEFT_ENOTSUP, "an endpoint behind the shim is opened by weft__shim_open");
}

static void ep_close(struct weft_tp_ep *base)
{
    struct weft_shim_ep *ep = weft__shim_ep(base);
    struct weft_shim_peer *peer;
    struct weft_tp_op *op;
    uint32_t cursor = 0, id;
    ep->closing = true;
    ep->tp->core->close(ep->inner); /* every parcel comes back */
    while ((op = weft__op_pop(&ep->active)))
        weft__shim_finish(ep, op, WEFT_ECANCELED);
    (void)weft__ops_finish(&ep->finished, &ep->in_flight, ep->closing);
    while ((peer = weft__slots_next(&ep->peers, &cursor, &id)))
        free(peer);
    ep_fini(ep);
}

static int ep_address(struct weft_tp_ep *ep, struct weft_tp_addr *addr_out)
{
    *addr_out = weft__shim_ep(ep)->address;
    return WEFT_OK;
}

static int ep_peer_add(struct weft_tp_ep *base, const struct weft_tp_addr *addr,
                       struct weft_tp_peer *peer_out)
{
    struct weft_shim_ep *ep = weft__shim_ep(base);
    struct weft_shim_peer *peer = calloc(1, sizeof(*peer));
    if (!peer)
        return weft_fail(WEFT_ENOMEM, "no memory for a peer");
    int err = ep->tp->core->peer_add(ep->inner, addr, &peer->inner);
    if (!err) {
        err = weft__slots_put(&ep->peers, peer, &peer->id);
        if (err)
            ep->tp->core->peer_drop(ep->inner, peer->inner);
    }
    if (err)
        free(peer);
    else
        peer_out->id = peer->id;
    return err;
}

static void ep_peer_drop(struct weft_tp_ep *base, struct weft_tp_peer id)
{
    struct weft_shim_ep *ep = weft__shim_ep(base);
    struct weft_shim_peer *peer = ep->closing ? NULL : weft__slots_find(&ep->peers, id.id);
    if (!peer)
        return;
    weft__shim_calls_fail(ep, peer, WEFT_ECANCELED);
    weft__slots_take(&ep->peers, id.id);
    ep->tp->core->peer_drop(ep->inner, peer->inner);
    ep->runnable = true;
    free(peer);
}

static int ep_progress(struct weft_tp_ep *base)
{
    struct weft_shim_ep *ep = weft__shim_ep(base);
    int n = weft__ops_finish(&ep->finished, &ep->in_flight, ep->closing);
    int moved = ep->tp->core->progress(ep->inner);
    if (moved < 0)
        return moved;
    n += moved;
    if (ep->answers)
        n += weft__shim_answers_send(ep);
    if (ep->runnable)
        weft__shim_advance(ep);
    return n + weft__ops_finish(&ep->finished, &ep->in_flight, ep->closing);
}

static int ep_wait_fd(struct weft_tp_ep *ep)
{
    return weft__shim_ep(ep)->tp->core->wait_fd(weft__shim_ep(ep)->inner);
}

static int ep_wait_arm(struct weft_tp_ep *base)
{
    struct weft_shim_ep *ep = weft__shim_ep(base);
    if (ep->runnable || ep->finished.first)
        return WEFT_EAGAIN;
    return ep->tp->core->wait_arm(ep->inner);
}

static int ep_cancel(struct weft_tp_ep *ep, struct weft_tp_op *op)
{
    (void)ep;
    (void)op;
    return WEFT_EBUSY;
}

static void ep_limits(struct weft_tp_ep *base, struct weft_tp_limits *limits_out)
{
    struct weft_shim_ep *ep = weft__shim_ep(base);
    struct weft_tp_limits inner;
    ep->tp->core->limits(ep->inner, &inner);
    *limits_out = (struct weft_tp_limits){
        .msg_max_bytes = ep->msg_max_bytes,
        .rma_max_bytes = SIZE_MAX,
        .sends_max = ep->sends_max,
        .peers_max = inner.peers_max < WEFT_SHIM_PEERS_MAX ? inner.peers_max : WEFT_SHIM_PEERS_MAX,
        .needs_target_poll = true,
    };
}

static const struct weft_tp_core_ops core_ops = {
    .open = ep_open,
    .close = ep_close,
    .address = ep_address,
    .peer_add = ep_peer_add,
    .peer_drop = ep_peer_drop,
    .progress = ep_progress,
    .wait_fd = ep_wait_fd,
    .wait_arm = ep_wait_arm,
    .cancel = ep_cancel,
    .limits = ep_limits,
};

/* Operations: sends, gets, puts and flushes.
 *
 * X gets an operation of ours, so that the caller's completes exactly once whatever becomes of it
 * here, and so that a cancellation by a cut can be told from one that the caller asked for. The
 * caller's private part points at it.
 */
#include <stdlib.h>
#include <string.h>

#include "transport/fault/endpoint.h"
#include "weft/error.h"

static void remember(struct weft_tp_op *op, struct weft_fault_item *item)
{
    memcpy(op->priv, &item, sizeof(item));
}

void weft__fault_op_finish(struct weft_fault_ep *ep, struct weft_fault_item *item, int err)
{
    struct weft_tp_op *op = item->user_op;
    free(item);
    if (!op)
        return;
    ep->in_flight--;
    op->done(op, ep->closing ? WEFT_ECANCELED : err);
}

static void inner_done(struct weft_tp_op *op, int err)
{
    struct weft_fault_item *item = op->user;
    struct weft_fault_ep *ep = item->ep;
    const struct weft_fault_peer *peer = weft__slots_find(&ep->peers, item->peer_id);
    if (err == WEFT_ECANCELED && peer && peer->dead)
        err = peer->dead;
    weft__fault_op_finish(ep, item, err);
}

int weft__fault_op_start(struct weft_fault_ep *ep, struct weft_fault_item *item)
{
    const struct weft_fault_peer *peer = weft__slots_find(&ep->peers, item->peer_id);
    item->op.done = inner_done;
    item->op.user = item;
    if (!peer)
        return weft_fail(WEFT_EINVAL, "no such peer");
    switch (item->what) {
    case WEFT_FAULT_DO_SEND:
        return ep->tp->msg->send(ep->inner, peer->inner, item->iov, item->iov_n, &item->op);
    case WEFT_FAULT_DO_GET:
        return ep->tp->rma->get(ep->inner, peer->inner, &item->rma, &item->op);
    case WEFT_FAULT_DO_PUT:
        return ep->tp->rma->put(ep->inner, peer->inner, &item->rma, &item->op);
    default:
        return ep->tp->rma->flush(ep->inner, peer->inner, &item->op);
    }
}

/* A second message with the same bytes, which nobody waits for. */
static void double_it(struct weft_fault_ep *ep, const struct weft_fault_item *item,
                      const struct weft_fault_fate *fate)
{
    struct weft_fault_fate same = {.hold = fate->hold, .overtaken = fate->overtaken};
    size_t len = 0;
    for (unsigned i = 0; i < item->iov_n; i++)
        len += item->iov[i].iov_len;
    struct weft_fault_item *copy = weft__fault_item_new(ep, item->what, NULL, len);
    if (!copy)
        return; /* a fault less */
    len = 0;
    for (unsigned i = 0; i < item->iov_n; i++) {
        if (item->iov[i].iov_len)
            memcpy(copy->data + len, item->iov[i].iov_base, item->iov[i].iov_len);
        len += item->iov[i].iov_len;
    }
    copy->channel = item->channel;
    copy->peer_id = item->peer_id;
    copy->iov[0] = (struct iovec){copy->data, len};
    copy->iov_n = 1;
    ep->counts.doubled++;
    weft__fault_hold(ep, copy, &same);
}

static void finish_soon(struct weft_fault_ep *ep, struct weft_fault_item *item, int err)
{
    item->what = WEFT_FAULT_FINISH;
    item->err = err;
    weft__fault_hold_next(ep, item);
}

static int check(const struct weft_fault_ep *ep, const struct weft_fault_item *item)
{
    size_t len = 0, max = ep->limits.msg_max_bytes;
    if (ep->closing)
        return weft_fail(WEFT_ESHUTDOWN, "the endpoint is closing");
    if (item->iov_n > WEFT_TP_IOV_MAX)
        return weft_fail(WEFT_EINVAL, "%u parts: at most %d", item->iov_n, WEFT_TP_IOV_MAX);
    for (unsigned i = 0; i < item->iov_n; i++) {
        if (item->iov[i].iov_len > max - len)
            return weft_fail(WEFT_EMSGSIZE, "a message of more than %zu bytes", max);
        len += item->iov[i].iov_len;
    }
    return ep->in_flight < ep->limits.sends_max ? WEFT_OK : WEFT_EAGAIN;
}

/* The fate of an operation whose item is filled in. Owns: the item, on success only. */
static int meet_fate(struct weft_fault_ep *ep, struct weft_fault_item *item,
                     struct weft_fault_peer *peer, const struct weft_fault_fate *fate)
{
    bool send = item->what == WEFT_FAULT_DO_SEND;
    if (fate->cut && !peer->dead)
        weft__fault_cut(ep, peer);
    if (fate->fail && !peer->dead)
        ep->counts.failed++;
    if (peer->dead || fate->fail) {
        finish_soon(ep, item, WEFT_EPEERDEAD);
    } else if (send && fate->drop) {
        ep->counts.dropped++;
        finish_soon(ep, item, WEFT_OK);
    } else {
        if (!weft__fault_must_hold(ep, item->channel, fate)) {
            int err = weft__fault_op_start(ep, item);
            if (err)
                return err;
        } else {
            weft__fault_hold(ep, item, fate);
        }
        if (send && fate->dup)
            double_it(ep, item, fate);
    }
    return WEFT_OK;
}

static int submit(struct weft_fault_ep *ep, struct weft_fault_item *item, struct weft_tp_op *op)
{
    enum weft_fault_kind kind =
        item->what == WEFT_FAULT_DO_SEND ? WEFT_FAULT_MESSAGE : WEFT_FAULT_RMA;
    struct weft_fault_peer *peer = weft__slots_find(&ep->peers, item->peer_id);
    struct weft_fault_dice dice = ep->dice[WEFT_FAULT_OUT];
    struct weft_fault_fate fate = {false};
    int err = check(ep, item);
    if (!err && (!peer || peer->url))
        err = weft_fail(WEFT_EINVAL, "no such peer");
    if (!err) {
        if (item->what != WEFT_FAULT_DO_FLUSH)
            fate = weft__fault_fate(ep, WEFT_FAULT_OUT, kind);
        fate.overtaken = fate.overtaken && kind == WEFT_FAULT_MESSAGE;
        item->channel = weft__fault_channel(kind, &item->peer_id, sizeof(item->peer_id));
        item->user_op = op;
        remember(op, item);
        err = meet_fate(ep, item, peer, &fate);
    }
    if (err) {
        ep->dice[WEFT_FAULT_OUT] = dice;
        free(item);
        return err;
    }
    ep->in_flight++;
    ep->counts.letters += item->what != WEFT_FAULT_DO_FLUSH;
    return WEFT_OK;
}

static int msg_send(struct weft_tp_ep *base, struct weft_tp_peer peer, const struct iovec *iov,
                    unsigned n, struct weft_tp_op *op)
{
    struct weft_fault_ep *ep = weft__fault_ep(base);
    struct weft_fault_item *item = weft__fault_item_new(ep, WEFT_FAULT_DO_SEND, NULL, 0);
    if (!item)
        return WEFT_ENOMEM;
    item->peer_id = peer.id;
    item->iov_n = n;
    if (n && n <= WEFT_TP_IOV_MAX)
        memcpy(item->iov, iov, n * sizeof(*iov));
    return submit(ep, item, op);
}

static int rma_submit(struct weft_tp_ep *base, enum weft_fault_what what, struct weft_tp_peer peer,
                      const struct weft_tp_rma_desc *desc, struct weft_tp_op *op)
{
    struct weft_fault_ep *ep = weft__fault_ep(base);
    struct weft_fault_item *item = weft__fault_item_new(ep, what, NULL, 0);
    if (!item)
        return WEFT_ENOMEM;
    item->peer_id = peer.id;
    if (desc)
        item->rma = *desc;
    return submit(ep, item, op);
}

static int rma_get(struct weft_tp_ep *ep, struct weft_tp_peer peer,
                   const struct weft_tp_rma_desc *desc, struct weft_tp_op *op)
{
    return rma_submit(ep, WEFT_FAULT_DO_GET, peer, desc, op);
}

static int rma_put(struct weft_tp_ep *ep, struct weft_tp_peer peer,
                   const struct weft_tp_rma_desc *desc, struct weft_tp_op *op)
{
    return rma_submit(ep, WEFT_FAULT_DO_PUT, peer, desc, op);
}

static int rma_flush(struct weft_tp_ep *ep, struct weft_tp_peer peer, struct weft_tp_op *op)
{
    return rma_submit(ep, WEFT_FAULT_DO_FLUSH, peer, NULL, op);
}

static int rma_reg(struct weft_tp_ep *base, void *addr, size_t len_bytes, uint32_t access,
                   struct weft_tp_region **region_out)
{
    const struct weft_fault_ep *ep = weft__fault_ep(base);
    return ep->tp->rma->reg(ep->inner, addr, len_bytes, access, region_out);
}

static void rma_unreg(struct weft_tp_ep *base, struct weft_tp_region *region)
{
    const struct weft_fault_ep *ep = weft__fault_ep(base);
    ep->tp->rma->unreg(ep->inner, region);
}

int weft__fault_cancel(struct weft_tp_ep *base, struct weft_tp_op *op)
{
    struct weft_fault_ep *ep = weft__fault_ep(base);
    struct weft_fault_item *item;
    memcpy(&item, op->priv, sizeof(item));
    if (!item->held)
        return ep->tp->core->cancel(ep->inner, &item->op);
    if (item->what == WEFT_FAULT_FINISH)
        return WEFT_EBUSY;
    weft__fault_item_end(ep, item, WEFT_ECANCELED);
    return WEFT_OK;
}

const struct weft_tp_msg_ops weft__fault_msg_ops = {.send = msg_send};

const struct weft_tp_rma_ops weft__fault_rma_ops = {
    .reg = rma_reg,
    .unreg = rma_unreg,
    .get = rma_get,
    .put = rma_put,
    .flush = rma_flush,
};

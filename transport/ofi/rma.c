/* One-sided operations.
 *
 * get completes when the bytes are here; put asks for FI_DELIVERY_COMPLETE, because tcp-class
 * providers report a plain put as done when it has left this process, and some even when the target
 * has refused it. What the key's own length forbids is refused here. A forged key is refused by the
 * target and touches nothing there. verbs says so, and the operation ends with WEFT_EACCES;
 * tcp-class providers close the connection. Either way everything else under way to that peer ends
 * with WEFT_ECONNRESET and the peer is reported lost; one that is added again works.
 *
 * libfabric cannot cancel a posted operation. Those under way are in a list; when their peer is
 * dropped before they end, the endpoint that they went out from is closed (after that libfabric
 * touches no buffer of theirs), theirs end with WEFT_ECANCELED, and all others are issued again on
 * a new endpoint: a get may be repeated, and so may a put that has not completed. The same is done
 * after a connection broke: rxm keeps a broken one for a while, and a peer that is added again at
 * once would meet it.
 */
#include <stdlib.h>
#include <string.h>

#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>

#include "base/log.h"
#include "transport/ofi/impl.h"
#include "weft/error.h"

static struct weft_tp_op *op_of_context(struct ofi_context *context)
{
    char *priv = (char *)context - offsetof(struct ofi_op, context);
    return (struct weft_tp_op *)(void *)(priv - offsetof(struct weft_tp_op, priv));
}

static void enter(struct ofi_ep *ep, struct weft_tp_op *op)
{
    struct ofi_op *own = ofi_op_of(op);
    own->before = ep->last;
    own->after = NULL;
    if (ep->last)
        ofi_op_of(ep->last)->after = op;
    else
        ep->first = op;
    ep->last = op;
    ep->rmas++;
    own->peer->rmas++;
}

/* Marks whether an operation waits to be issued again, or libfabric has it. */
static void set_waiting(struct ofi_ep *ep, struct ofi_op *own, bool waits)
{
    own->waits = waits;
    ep->waiting += waits ? 1u : -1u;
    own->peer->rmas += waits ? -1u : 1u;
}

static void give_local(struct ofi_ep *ep, struct ofi_op *own)
{
    if (own->local)
        weft__regcache_put(ep->domain->registrations, own->local);
    own->local = NULL;
}

/* Takes an operation out of the list and makes its done run in progress(). */
static void end(struct ofi_ep *ep, struct weft_tp_op *op, int err)
{
    struct ofi_op *own = ofi_op_of(op);
    if (own->before)
        ofi_op_of(own->before)->after = own->after;
    else
        ep->first = own->after;
    if (own->after)
        ofi_op_of(own->after)->before = own->before;
    else
        ep->last = own->before;
    if (own->waits)
        set_waiting(ep, own, false);
    ep->rmas--;
    own->peer->rmas--;
    give_local(ep, own);
    own->ended = true;
    own->node.err = err;
    weft__op_append(&ep->ready, op);
}

/* Ends the flushes of a peer that no put stands before any more. */
static void end_flushes(struct ofi_ep *ep, struct ofi_peer *peer)
{
    struct weft_tp_op *next;
    for (struct weft_tp_op *op = ep->first; op; op = next) {
        struct ofi_op *own = ofi_op_of(op);
        next = own->after;
        if (own->peer != peer)
            continue;
        if (own->context.kind == OFI_PUT)
            return;
        if (own->context.kind == OFI_FLUSH)
            end(ep, op, WEFT_OK);
    }
}

void weft__ofi_rma_ended(struct ofi_ep *ep, struct ofi_context *context, int err)
{
    struct weft_tp_op *op = op_of_context(context);
    struct ofi_op *own = ofi_op_of(op);
    struct ofi_peer *peer = own->peer;
    bool put = context->kind == OFI_PUT;
    peer->ended++;
    if (own->ended)
        return; /* reported twice: see fabric.c */
    if (err == WEFT_OK) {
        *(put ? &ep->stats.puts : &ep->stats.gets) += 1;
        *(put ? &ep->stats.put_bytes : &ep->stats.get_bytes) += own->desc.len_bytes;
    } else {
        /* On verbs any failed operation has ended its connection, and rxm does not notice. */
        ep->renew = true;
        if (weft_error_damage(err) == WEFT_DAMAGE_PEER)
            weft__ofi_peer_lost(ep, peer);
    }
    end(ep, op, err);
    if (put)
        end_flushes(ep, peer);
}

/* The peer's address in the vector of the present one-sided endpoint. */
static int address(struct ofi_ep *ep, struct ofi_peer *peer)
{
    if (peer->rma_generation == ep->rma_generation)
        return WEFT_OK;
    if (!ep->rma.ep)
        return weft_fail(WEFT_ESHUTDOWN, "the endpoint has failed");
    if (fi_av_insert(ep->rma.av, peer->name, 1, &peer->rma_addr, 0, NULL) != 1)
        return weft_fail(WEFT_EINVAL, "libfabric's %s refuses the peer's address", ep->provider);
    peer->rma_generation = ep->rma_generation;
    return WEFT_OK;
}

/* Hands a prepared operation to libfabric; its code. */
static ssize_t post(struct ofi_ep *ep, struct ofi_op *own)
{
    struct iovec iov = {own->desc.local, own->desc.len_bytes};
    struct fid_mr *mr = own->local ? own->local->handle : NULL;
    if (own->desc.local_region)
        mr = own->desc.local_region->mr;
    void *mr_desc = mr ? fi_mr_desc(mr) : NULL;
    struct fi_rma_iov remote = {.addr = own->desc.remote_key.base + own->desc.remote_offset,
                                .len = own->desc.len_bytes,
                                .key = own->desc.remote_key.key};
    struct fi_msg_rma msg = {.msg_iov = &iov,
                             .desc = mr_desc ? &mr_desc : NULL,
                             .iov_count = 1,
                             .addr = own->peer->rma_addr,
                             .rma_iov = &remote,
                             .rma_iov_count = 1,
                             .context = &own->context};
    ssize_t rc = own->context.kind == OFI_PUT
                     ? fi_writemsg(ep->rma.ep, &msg, FI_COMPLETION | FI_DELIVERY_COMPLETE)
                     : fi_readmsg(ep->rma.ep, &msg, FI_COMPLETION);
    if (rc == -FI_EAGAIN)
        ep->rma_rounds = OFI_CONNECT_ROUNDS;
    return rc;
}

static int take_local(struct ofi_ep *ep, struct ofi_op *own)
{
    if (!ep->mr_local || own->desc.local_region)
        return WEFT_OK;
    uint64_t access = own->context.kind == OFI_PUT ? FI_WRITE : FI_READ;
    return weft__ofi_local_get(ep, &own->desc, access, &own->local);
}

/* The provider would cut the key, and a wrong one might become a right one. */
static bool key_too_long(const struct ofi_ep *ep, uint64_t key)
{
    size_t size = ep->info->domain_attr->mr_key_size;
    return size < sizeof(key) && key >> 8 * size;
}

static bool is_refused(const struct ofi_ep *ep, const struct weft_tp_rma_desc *desc)
{
    uint64_t limit = desc->remote_key.len_bytes;
    return desc->remote_offset > limit || desc->len_bytes > limit - desc->remote_offset ||
           key_too_long(ep, desc->remote_key.key);
}

static int submit(struct weft_tp_ep *tp, struct weft_tp_peer peer_id,
                  const struct weft_tp_rma_desc *desc, struct weft_tp_op *op, enum ofi_kind kind)
{
    struct ofi_ep *ep = ofi_ep_of(tp);
    struct ofi_op *own = ofi_op_of(op);
    struct ofi_peer *peer;
    int err = weft__ofi_peer_find(ep, peer_id, &peer);
    if (err != WEFT_OK)
        return err;
    if (desc->len_bytes > ep->info->ep_attr->max_msg_size)
        return weft_fail(WEFT_EMSGSIZE,
                         "an operation of %zu bytes; libfabric's %s moves at most %zu",
                         desc->len_bytes, ep->provider, ep->info->ep_attr->max_msg_size);
    if (ep->rmas >= ep->sends_max || ep->renew || weft__ofi_peer_rests(peer))
        return WEFT_EAGAIN;
    *own = (struct ofi_op){.peer = peer, .context.kind = kind};
    own->desc = *desc;
    bool refused = is_refused(ep, &own->desc);
    if (refused || !own->desc.len_bytes) {
        enter(ep, op);
        end(ep, op, refused ? WEFT_EACCES : WEFT_OK);
        return WEFT_OK;
    }
    err = address(ep, peer);
    if (err == WEFT_OK)
        err = take_local(ep, own);
    if (err != WEFT_OK)
        return err;
    ssize_t rc = post(ep, own);
    if (rc != 0) {
        give_local(ep, own);
        return weft__ofi_peer_refused(ep, peer, rc);
    }
    peer->stalled_ns = 0;
    enter(ep, op);
    return WEFT_OK;
}

static int get(struct weft_tp_ep *tp, struct weft_tp_peer peer, const struct weft_tp_rma_desc *desc,
               struct weft_tp_op *op)
{
    return submit(tp, peer, desc, op, OFI_GET);
}

static int put(struct weft_tp_ep *tp, struct weft_tp_peer peer, const struct weft_tp_rma_desc *desc,
               struct weft_tp_op *op)
{
    return submit(tp, peer, desc, op, OFI_PUT);
}

static int flush(struct weft_tp_ep *tp, struct weft_tp_peer peer_id, struct weft_tp_op *op)
{
    struct ofi_ep *ep = ofi_ep_of(tp);
    struct ofi_peer *peer;
    int err = weft__ofi_peer_find(ep, peer_id, &peer);
    if (err != WEFT_OK)
        return err;
    *ofi_op_of(op) = (struct ofi_op){.peer = peer, .context.kind = OFI_FLUSH};
    enter(ep, op);
    end_flushes(ep, peer);
    return WEFT_OK;
}

/* Issues what waits, on the present endpoint. */
void weft__ofi_rma_again(struct ofi_ep *ep)
{
    struct weft_tp_op *next;
    for (struct weft_tp_op *op = ep->first; op && ep->waiting; op = next) {
        struct ofi_op *own = ofi_op_of(op);
        struct ofi_peer *peer = own->peer;
        next = own->after;
        if (!own->waits || (!peer->lost && weft__ofi_peer_rests(peer)))
            continue;
        int err = peer->lost ? WEFT_ECONNRESET : address(ep, peer);
        if (err == WEFT_OK) {
            ssize_t rc = post(ep, own);
            err = rc == 0 ? WEFT_OK : weft__ofi_peer_refused(ep, peer, rc);
        }
        if (err == WEFT_EAGAIN)
            continue;
        set_waiting(ep, own, false);
        if (err != WEFT_OK)
            weft__ofi_rma_ended(ep, &own->context, err);
    }
}

/* Ends operations: those of one peer, or all; all of them, or only those that libfabric does not
 * hold. */
static void cancel(struct ofi_ep *ep, const struct ofi_peer *peer, bool posted, int err)
{
    struct weft_tp_op *next;
    for (struct weft_tp_op *op = ep->first; op; op = next) {
        struct ofi_op *own = ofi_op_of(op);
        next = own->after;
        if (peer && own->peer != peer)
            continue;
        if (posted || own->waits || own->context.kind == OFI_FLUSH)
            end(ep, op, err);
    }
}

void weft__ofi_rma_cancel_all(struct ofi_ep *ep)
{
    cancel(ep, NULL, true, WEFT_ECANCELED);
}

void weft__ofi_rma_renew(struct ofi_ep *ep)
{
    weft__debug("ofi: a new one-sided endpoint; %u operations are issued again", ep->rmas);
    ep->renew = false;
    weft__ofi_half_close(ep, &ep->rma);
    ep->rma_generation++;
    ep->stats.resets++;
    for (struct weft_tp_op *op = ep->first; op; op = ofi_op_of(op)->after)
        if (ofi_op_of(op)->context.kind != OFI_FLUSH && !ofi_op_of(op)->waits)
            set_waiting(ep, ofi_op_of(op), true);
    int err = weft__ofi_rma_half_open(ep);
    if (err == WEFT_OK) {
        weft__ofi_rma_again(ep);
        return;
    }
    ep->broken = weft_fail(WEFT_ESHUTDOWN, "cannot open the one-sided endpoint again: %s",
                           weft_fail_text(err));
    cancel(ep, NULL, true, WEFT_ESHUTDOWN);
}

void weft__ofi_rma_abandon(struct ofi_ep *ep, struct ofi_peer *peer, int err)
{
    weft__ofi_reap(ep, &ep->rma); /* those that have ended with their connection are here already */
    cancel(ep, peer, false, err);
    if (peer->rmas == 0)
        return;
    weft__ofi_half_close(ep, &ep->rma);
    cancel(ep, peer, true, err);
    weft__ofi_rma_renew(ep);
}

const struct weft_tp_rma_ops weft__ofi_rma_ops = {.reg = weft__ofi_reg,
                                                  .unreg = weft__ofi_unreg,
                                                  .key = weft__ofi_key,
                                                  .get = get,
                                                  .put = put,
                                                  .flush = flush};

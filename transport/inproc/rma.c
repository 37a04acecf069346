/* One-sided access: the initiator's thread copies, slice by slice, in its progress(). Each slice
 * pins the target's range anew, with the whole operation checked against it, so a range that is
 * unregistered or an endpoint that closes ends the operation at the next slice. Operations run in
 * the order of submission, which makes flush a mere place in the queue.
 *
 * Letting the target's thread copy was rejected: it would need the target's progress(), and closing
 * the initiator would have to wait for a stranger who is writing into its buffer.
 */
#include <stdlib.h>
#include <string.h>

#include "transport/inproc/endpoint.h"
#include "transport/inproc/registry.h"
#include "weft/error.h"

enum what { GET, PUT, FLUSH };

struct copy {
    struct weft_op_node node;
    enum what what;
    uint32_t peer_id;
    unsigned char *local;
    size_t at; /* bytes done */
    struct weft_keys_ask ask;
};
_Static_assert(sizeof(struct copy) <= WEFT_TP_OP_PRIVATE, "a copy must fit into the operation");

static struct copy *copy_of(struct weft_tp_op *op)
{
    return (struct copy *)(void *)op->priv;
}

static int rma_reg(struct weft_tp_ep *ep, void *addr, size_t len_bytes, uint32_t access,
                   struct weft_tp_region **region_out)
{
    struct weft_tp_region *region = calloc(1, sizeof(*region));
    if (!region)
        return weft_fail(WEFT_ENOMEM, "no memory for a registration");
    region->range.addr = addr;
    region->range.len_bytes = len_bytes;
    region->range.access = access;
    region->box = weft__inproc_ep(ep)->box;
    int err = weft__inproc_range_add(region);
    if (err)
        free(region);
    else
        *region_out = region;
    return err;
}

static void rma_unreg(struct weft_tp_ep *ep, struct weft_tp_region *region)
{
    (void)ep;
    weft__inproc_range_remove(region);
    free(region);
}

static void rma_key(struct weft_tp_region *region, struct weft_tp_key *key_out)
{
    *key_out = (struct weft_tp_key){
        .key = region->range.key, .base = 0, .len_bytes = region->range.len_bytes};
}

static int submit(struct weft_tp_ep *base, struct weft_tp_peer id, struct copy copy,
                  struct weft_tp_op *op)
{
    struct weft_inproc_ep *ep = weft__inproc_ep(base);
    const struct weft_inproc_peer *peer = weft__slots_find(&ep->peers, id.id);
    if (!peer || peer->ctl)
        return weft_fail(WEFT_EINVAL, "no such peer");
    int err = weft__inproc_may_submit(ep);
    if (err)
        return err;
    copy.peer_id = id.id;
    *copy_of(op) = copy;
    ep->in_flight++;
    weft__op_append(&ep->copies, op);
    return WEFT_OK;
}

static struct copy describe(enum what what, const struct weft_tp_rma_desc *desc)
{
    return (struct copy){
        .what = what,
        .local = desc->local,
        .ask = {.key = desc->remote_key.key,
                .offset = desc->remote_offset,
                .len_bytes = desc->len_bytes,
                .access = what == GET ? WEFT_TP_READ : WEFT_TP_WRITE},
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
    return submit(ep, peer, (struct copy){.what = FLUSH}, op);
}

/* Copies one slice; whether the operation is over is told by done_out. */
static int copy_slice(struct weft_inproc_box *box, struct copy *copy, bool *done_out)
{
    struct weft_tp_region *region;
    int err = weft__inproc_pin(box, &copy->ask, &region);
    if (err)
        return err;
    size_t left = copy->ask.len_bytes - copy->at;
    size_t len = left < WEFT_INPROC_SLICE ? left : WEFT_INPROC_SLICE;
    unsigned char *far = region->range.addr + copy->ask.offset + copy->at;
    if (len && copy->what == GET)
        memcpy(copy->local + copy->at, far, len);
    else if (len)
        memcpy(far, copy->local + copy->at, len);
    weft__inproc_unpin(region);
    copy->at += len;
    *done_out = copy->at == copy->ask.len_bytes;
    return WEFT_OK;
}

int weft__inproc_copies_run(struct weft_inproc_ep *ep)
{
    int n = 0;
    for (unsigned slice = 0; ep->copies.first && slice < WEFT_INPROC_SLICES; slice++) {
        struct copy *copy = copy_of(ep->copies.first);
        const struct weft_inproc_peer *peer = weft__slots_find(&ep->peers, copy->peer_id);
        struct weft_inproc_box *box = weft__inproc_peer_box(peer);
        bool done = copy->what == FLUSH;
        int err = WEFT_OK;
        if (!box)
            err = WEFT_EHOSTUNREACH;
        else if (!done)
            err = copy_slice(box, copy, &done);
        if (err || done)
            weft__inproc_finish(ep, weft__op_pop(&ep->copies), err);
        n++;
    }
    return n;
}

void weft__inproc_copies_fail(struct weft_inproc_ep *ep, uint32_t peer_id, int err)
{
    struct weft_op_list keep = {NULL, NULL};
    struct weft_tp_op *op;
    while ((op = weft__op_pop(&ep->copies))) {
        if (peer_id && copy_of(op)->peer_id != peer_id)
            weft__op_append(&keep, op);
        else
            weft__inproc_finish(ep, op, err);
    }
    ep->copies = keep;
}

const struct weft_tp_rma_ops weft__inproc_rma_ops = {
    .reg = rma_reg,
    .unreg = rma_unreg,
    .key = rma_key,
    .get = rma_get,
    .put = rma_put,
    .flush = rma_flush,
};

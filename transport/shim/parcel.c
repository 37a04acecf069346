/* Parcels: messages on their way through the inner transport, with an inner operation each. The
 * caller's operation cannot hold the inner one (both have the same size), so parcels are kept in a
 * free list; their number is bounded by the caller's sends_max and by WEFT_SHIM_SENDS_OWN.
 *
 * A message of the caller may have as many parts as the inner send takes, and the prefix makes one
 * more: with the most parts the first is copied next to the prefix where it is short, else
 * everything is gathered.
 */
#include <stdlib.h>
#include <string.h>

#include "transport/shim/endpoint.h"
#include "weft/error.h"

static void parcel_done(struct weft_tp_op *op, int err);

static struct weft_shim_parcel *take(struct weft_shim_ep *ep)
{
    struct weft_shim_parcel *parcel = ep->parcels;
    if (parcel)
        ep->parcels = parcel->next;
    else if (!(parcel = malloc(sizeof(*parcel))))
        return NULL;
    parcel->op.done = parcel_done;
    parcel->op.user = parcel;
    parcel->ep = ep;
    parcel->outer = NULL;
    parcel->call = 0;
    parcel->big = NULL;
    return parcel;
}

struct weft_shim_parcel *weft__shim_parcel_new(struct weft_shim_ep *ep)
{
    struct weft_shim_parcel *parcel = ep->parcels_n < WEFT_SHIM_SENDS_OWN ? take(ep) : NULL;
    if (parcel)
        ep->parcels_n++;
    return parcel;
}

static void give_back(struct weft_shim_parcel *parcel)
{
    free(parcel->big);
    parcel->next = parcel->ep->parcels;
    parcel->ep->parcels = parcel;
}

void weft__shim_parcel_free(struct weft_shim_parcel *parcel)
{
    parcel->ep->parcels_n--;
    give_back(parcel);
}

static void parcel_done(struct weft_tp_op *op, int err)
{
    struct weft_shim_parcel *parcel = op->user;
    struct weft_shim_ep *ep = parcel->ep;
    ep->runnable = true;
    if (parcel->outer) {
        weft__shim_finish(ep, parcel->outer, err);
        give_back(parcel);
        return;
    }
    if (parcel->call)
        weft__shim_put_sent(ep, parcel->call, err);
    weft__shim_parcel_free(parcel);
}

int weft__shim_parcel_send(struct weft_shim_parcel *parcel, struct weft_tp_peer inner,
                           const struct iovec *iov, unsigned n)
{
    struct weft_shim_ep *ep = parcel->ep;
    int err = ep->tp->msg->send(ep->inner, inner, iov, n, &parcel->op);
    if (err)
        weft__shim_parcel_free(parcel);
    return err;
}

void weft__shim_parcels_fini(struct weft_shim_ep *ep)
{
    while (ep->parcels) {
        struct weft_shim_parcel *parcel = ep->parcels;
        ep->parcels = parcel->next;
        free(parcel);
    }
}

static int total_len(const struct weft_shim_ep *ep, const struct iovec *iov, unsigned n,
                     size_t *len_out)
{
    size_t len = 0;
    if (n > WEFT_TP_IOV_MAX)
        return weft_fail(WEFT_EINVAL, "%u parts: at most %d", n, WEFT_TP_IOV_MAX);
    for (unsigned i = 0; i < n; i++) {
        if (iov[i].iov_len > ep->msg_max_bytes - len)
            return weft_fail(WEFT_EMSGSIZE, "a message of more than %zu bytes", ep->msg_max_bytes);
        len += iov[i].iov_len;
    }
    *len_out = len;
    return WEFT_OK;
}

static unsigned char *gather(unsigned char *at, const struct iovec *iov, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (iov[i].iov_len)
            memcpy(at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    return at;
}

/* Puts the prefix before the parts; the number of parts in out, 0: no memory. */
static unsigned prefix(struct weft_shim_parcel *parcel, const struct iovec *iov, unsigned n,
                       size_t len, struct iovec out[WEFT_TP_IOV_MAX])
{
    const struct weft_shim_head head = {.magic = WEFT_SHIM_MAGIC, .type = WEFT_SHIM_MESSAGE};
    unsigned char *at = parcel->small;
    memcpy(at, &head, WEFT_SHIM_PREFIX);
    unsigned copied = 0; /* parts that lie beside the prefix */
    if (WEFT_SHIM_PREFIX + len <= sizeof(parcel->small))
        copied = n;
    else if (n == WEFT_TP_IOV_MAX && WEFT_SHIM_PREFIX + iov[0].iov_len <= sizeof(parcel->small))
        copied = 1;
    if (n - copied == WEFT_TP_IOV_MAX) {
        at = parcel->big = malloc(WEFT_SHIM_PREFIX + len);
        if (!at)
            return 0;
        memcpy(at, &head, WEFT_SHIM_PREFIX);
        copied = n;
    }
    unsigned char *end = gather(at + WEFT_SHIM_PREFIX, iov, copied);
    out[0] = (struct iovec){at, (size_t)(end - at)};
    for (unsigned i = copied; i < n; i++)
        out[1 + i - copied] = iov[i];
    return 1 + n - copied;
}

static int msg_send(struct weft_tp_ep *base, struct weft_tp_peer id, const struct iovec *iov,
                    unsigned n, struct weft_tp_op *op)
{
    struct weft_shim_ep *ep = weft__shim_ep(base);
    const struct weft_shim_peer *peer = weft__slots_find(&ep->peers, id.id);
    struct iovec out[WEFT_TP_IOV_MAX];
    size_t len = 0;
    int err = total_len(ep, iov, n, &len);
    if (!err)
        err = weft__shim_may_submit(ep, peer);
    if (err)
        return err;
    struct weft_shim_parcel *parcel = take(ep);
    if (!parcel)
        return weft_fail(WEFT_ENOMEM, "no memory for a message");
    parcel->outer = op;
    unsigned parts = prefix(parcel, iov, n, len, out);
    err = parts ? ep->tp->msg->send(ep->inner, peer->inner, out, parts, &parcel->op)
                : weft_fail(WEFT_ENOMEM, "no memory for a message of %zu bytes", len);
    if (err)
        give_back(parcel);
    else
        ep->in_flight++;
    return err;
}

const struct weft_tp_msg_ops weft__shim_msg_ops = {.send = msg_send};

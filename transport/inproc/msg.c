/* Messages: a copy of the parts goes into the peer's box. Where the box is full the copy waits in
 * the peer's list, in order, and is offered again by progress(); WEFT_EAGAIN says that sends_max
 * operations are under way.
 */
#include <stdlib.h>

#include "transport/inproc/endpoint.h"
#include "weft/error.h"

struct send {
    struct weft_op_node node;
    struct weft_inproc_letter *letter; /* while it waits */
};
_Static_assert(sizeof(struct send) <= WEFT_TP_OP_PRIVATE, "a send must fit into the operation");

static struct send *send_of(struct weft_tp_op *op)
{
    return (struct send *)(void *)op->priv;
}

static int check(const struct weft_inproc_ep *ep, const struct weft_inproc_peer *peer,
                 const struct iovec *iov, unsigned n, size_t *len_out)
{
    if (!peer || peer->ctl)
        return weft_fail(WEFT_EINVAL, "no such peer");
    if (n > WEFT_TP_IOV_MAX)
        return weft_fail(WEFT_EINVAL, "%u parts: at most %d", n, WEFT_TP_IOV_MAX);
    size_t len = 0;
    for (unsigned i = 0; i < n; i++) {
        if (iov[i].iov_len > ep->msg_max_bytes - len)
            return weft_fail(WEFT_EMSGSIZE, "a message of more than %zu bytes", ep->msg_max_bytes);
        len += iov[i].iov_len;
    }
    *len_out = len;
    return weft__inproc_may_submit(ep);
}

/* Into the box where there is room and nothing waits before it (letter_out NULL), else into a
 * letter that has to wait. */
static int post(const struct weft_inproc_peer *peer, const struct iovec *iov, unsigned n,
                size_t len_bytes, struct weft_inproc_letter **letter_out)
{
    bool may = !peer->waiting.first;
    *letter_out = NULL;
    if (may && len_bytes <= WEFT_INPROC_SHORT_MAX) {
        if (weft__inproc_box_write(peer->box, peer->ring, iov, n))
            return WEFT_OK;
        may = false;
    }
    struct weft_inproc_letter *letter = weft__inproc_letter_new(WEFT_INPROC_MESSAGE, iov, n);
    if (!letter)
        return weft_fail(WEFT_ENOMEM, "no memory for a message");
    if (!may || !weft__inproc_box_push(peer->box, peer->ring, letter))
        *letter_out = letter;
    return WEFT_OK;
}

static int msg_send(struct weft_tp_ep *base, struct weft_tp_peer id, const struct iovec *iov,
                    unsigned n, struct weft_tp_op *op)
{
    struct weft_inproc_ep *ep = weft__inproc_ep(base);
    struct weft_inproc_peer *peer = weft__slots_find(&ep->peers, id.id);
    size_t len = 0;
    int err = check(ep, peer, iov, n, &len);
    if (err)
        return err;
    struct weft_inproc_letter *letter = NULL;
    bool there = weft__inproc_peer_box(peer) != NULL;
    if (there)
        err = post(peer, iov, n, len, &letter);
    if (err)
        return err;
    ep->in_flight++;
    if (letter) {
        send_of(op)->letter = letter;
        weft__op_append(&peer->waiting, op);
        ep->waiting++;
    } else {
        weft__inproc_finish(ep, op, there ? WEFT_OK : WEFT_EHOSTUNREACH);
    }
    return WEFT_OK;
}

static int retry(struct weft_inproc_ep *ep, struct weft_inproc_peer *peer)
{
    int n = 0;
    while (peer->waiting.first &&
           weft__inproc_box_push(peer->box, peer->ring, send_of(peer->waiting.first)->letter)) {
        weft__inproc_finish(ep, weft__op_pop(&peer->waiting), WEFT_OK);
        ep->waiting--;
        n++;
    }
    return n;
}

int weft__inproc_sends_retry(struct weft_inproc_ep *ep)
{
    uint32_t cursor = 0, id;
    struct weft_inproc_peer *peer;
    int n = 0;
    while (ep->waiting && (peer = weft__slots_next(&ep->peers, &cursor, &id)))
        n += retry(ep, peer);
    return n;
}

bool weft__inproc_sends_arm(struct weft_inproc_ep *ep)
{
    uint32_t cursor = 0, id;
    struct weft_inproc_peer *peer;
    while (ep->waiting && (peer = weft__slots_next(&ep->peers, &cursor, &id))) {
        if (!peer->waiting.first)
            continue;
        if (!peer->waiter && !(peer->waiter = weft__inproc_waiter_new(ep->box)))
            return false;
        if (!weft__inproc_box_wait(peer->box, peer->waiter))
            return false;
    }
    return weft__inproc_sends_retry(ep) == 0;
}

void weft__inproc_sends_fail(struct weft_inproc_ep *ep, struct weft_inproc_peer *peer, int err)
{
    struct weft_tp_op *op;
    while ((op = weft__op_pop(&peer->waiting))) {
        free(send_of(op)->letter);
        ep->waiting--;
        weft__inproc_finish(ep, op, err);
    }
}

bool weft__inproc_send_cancel(struct weft_inproc_ep *ep, struct weft_tp_op *op)
{
    uint32_t cursor = 0, id;
    struct weft_inproc_peer *peer;
    while ((peer = weft__slots_next(&ep->peers, &cursor, &id))) {
        if (!weft__op_remove(&peer->waiting, op))
            continue;
        free(send_of(op)->letter);
        ep->waiting--;
        weft__inproc_finish(ep, op, WEFT_ECANCELED);
        return true;
    }
    return false;
}

const struct weft_tp_msg_ops weft__inproc_msg_ops = {.send = msg_send};

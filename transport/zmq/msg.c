/* Messages: one bound DEALER takes them in, the ROUTER `out` sends them, in order per peer.
 *
 * A send is copied into libzmq's queue for the peer; where that is full the operation waits in the
 * link's list, in order, and is offered again by progress(), so that WEFT_EAGAIN only says that
 * sends_max operations are under way. Either way `done` runs in the next progress() at the
 * earliest.
 */
#include "transport/zmq/endpoint.h"
#include "weft/error.h"

struct send {
    struct weft_op_node node;
    uint32_t peer_id;
    unsigned n;
    struct iovec iov[WEFT_TP_IOV_MAX];
};
_Static_assert(sizeof(struct send) <= WEFT_TP_OP_PRIVATE, "a send must fit into the operation");

static struct send *send_of(struct weft_tp_op *op)
{
    return (struct send *)(void *)op->priv;
}

void weft__zmq_finish(struct weft_zmq_ep *ep, struct weft_tp_op *op, int err)
{
    weft__op_node(op)->err = err;
    weft__op_append(&ep->finished, op);
}

static int check(const struct weft_zmq_ep *ep, const struct weft_zmq_link *link,
                 const struct iovec *iov, unsigned n)
{
    if (ep->closing)
        return weft_fail(WEFT_ESHUTDOWN, "the endpoint is closing");
    if (!link || link->kind != WEFT_ZMQ_MESSAGE)
        return weft_fail(WEFT_EINVAL, "no such peer");
    if (n > WEFT_TP_IOV_MAX)
        return weft_fail(WEFT_EINVAL, "%u parts: at most %d", n, WEFT_TP_IOV_MAX);
    size_t len = 0;
    for (unsigned i = 0; i < n; i++) {
        if (iov[i].iov_len > ep->msg_max_bytes - len)
            return weft_fail(WEFT_EMSGSIZE, "a message of more than %zu bytes", ep->msg_max_bytes);
        len += iov[i].iov_len;
    }
    return WEFT_OK;
}

static int msg_send(struct weft_tp_ep *base, struct weft_tp_peer peer, const struct iovec *iov,
                    unsigned n, struct weft_tp_op *op)
{
    struct weft_zmq_ep *ep = weft__zmq_ep(base);
    struct weft_zmq_link *link = weft__slots_find(&ep->peers, peer.id);
    int err = check(ep, link, iov, n);
    if (err)
        return err;
    if (ep->in_flight == ep->sends_max)
        return WEFT_EAGAIN;
    ep->in_flight++;
    struct send *send = send_of(op);
    send->peer_id = peer.id;
    send->n = n;
    for (unsigned i = 0; i < n; i++)
        send->iov[i] = iov[i];
    if (link->state == WEFT_ZMQ_LOST)
        err = WEFT_EHOSTUNREACH;
    else
        err = link->waiting.first ? WEFT_EAGAIN : weft__zmq_link_send(ep, link, iov, n);
    if (err == WEFT_EAGAIN) {
        weft__op_append(&link->waiting, op);
        ep->waiting++;
    } else {
        weft__zmq_finish(ep, op, err);
    }
    return WEFT_OK;
}

static int retry(struct weft_zmq_ep *ep, struct weft_zmq_link *link)
{
    int n = 0;
    while (link->waiting.first) {
        struct send *send = send_of(link->waiting.first);
        int err = weft__zmq_link_send(ep, link, send->iov, send->n);
        if (err == WEFT_EAGAIN)
            break;
        weft__zmq_finish(ep, weft__op_pop(&link->waiting), err);
        ep->waiting--;
        n++;
    }
    return n;
}

int weft__zmq_sends_retry(struct weft_zmq_ep *ep)
{
    int n = 0;
    for (struct weft_zmq_link *link = ep->links; link && ep->waiting; link = link->next)
        n += retry(ep, link);
    return n;
}

void weft__zmq_sends_fail(struct weft_zmq_ep *ep, struct weft_zmq_link *link, uint32_t peer_id,
                          int err)
{
    struct weft_op_list keep = {NULL, NULL};
    struct weft_tp_op *op;
    while ((op = weft__op_pop(&link->waiting))) {
        if (peer_id && send_of(op)->peer_id != peer_id) {
            weft__op_append(&keep, op);
            continue;
        }
        ep->waiting--;
        weft__zmq_finish(ep, op, err);
    }
    link->waiting = keep;
}

int weft__zmq_messages_take(struct weft_zmq_ep *ep)
{
    struct weft_zmq_parts parts;
    int n = 0;
    while (ep->in.look && n < WEFT_ZMQ_BUDGET && weft__zmq_take(&ep->in, &parts)) {
        if (parts.n != 1)
            ep->stats.malformed++;
        else if (ep->on.message)
            ep->on.message(ep->ctx, zmq_msg_data(&parts.part[0]), zmq_msg_size(&parts.part[0]));
        weft__zmq_parts_close(&parts);
        n++;
    }
    return n;
}

const struct weft_tp_msg_ops weft__zmq_msg_ops = {.send = msg_send};

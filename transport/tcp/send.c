/* Sending: operations wait in their link's queue and leave in order, as many per system call as its
 * vector holds (vector.c). A message completes when the kernel has taken its last byte; what
 * becomes of a one-sided operation is ask.c's.
 *
 * The first send after a turn of progress() leaves at once. Those that follow before the next turn
 * wait for it, unless there is already enough to fill a system call: a burst costs one call per 64
 * messages, and a single message costs no delay. wait_arm() sends what waits, too: so nothing stays
 * longer than its owner goes without a turn and without arming, which lanes do for milliseconds.
 *
 * A peer that is dropped while its message has left in part: the rest is copied and sent, because
 * others may share the connection.
 */
#include "transport/tcp/endpoint.h"
#include "weft/error.h"

#define ENOUGH_BYTES ((size_t)16 << 10)
#define ENOUGH_MESSAGES 64
#define CALLS_MAX 16 /* per connection and turn */

/* ---- the queue ---- */

void weft__tcp_send_queue(struct weft_tcp_link *link, struct weft_tp_op *op)
{
    struct weft_tcp_out *out = weft__tcp_out(op);
    out->sent = 0;
    weft__op_append(&link->queue, op);
    link->queued++;
    link->queued_bytes += out->total;
}

/* It is not in the queue any more. */
static void leave(struct weft_tcp_link *link, const struct weft_tcp_out *out)
{
    link->queued--;
    link->queued_bytes -= out->total;
}

/* Ends what has left the queue. */
static void end(struct weft_tcp_ep *ep, struct weft_tp_op *op, int err)
{
    struct weft_tcp_out *out = weft__tcp_out(op);
    if (out->what != WEFT_TCP_OUT_SEND) {
        weft__tcp_ask_end(ep, op, err);
        return;
    }
    out->link = NULL;
    ep->stats.sent += err == WEFT_OK;
    weft__tcp_finish(ep, op, err);
}

void weft__tcp_send_left(struct weft_tcp_ep *ep, struct weft_tcp_link *link)
{
    struct weft_tp_op *op = weft__op_pop(&link->queue);
    leave(link, weft__tcp_out(op));
    if (weft__tcp_out(op)->what == WEFT_TCP_OUT_SEND)
        end(ep, op, WEFT_OK);
    else
        weft__tcp_ask_left(link, op);
}

void weft__tcp_send_remove(struct weft_tp_op *op)
{
    struct weft_tcp_out *out = weft__tcp_out(op);
    if (weft__op_remove(&out->link->queue, op))
        leave(out->link, out);
}

/* ---- writing ---- */

void weft__tcp_send_flush(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    int err = WEFT_OK;
    for (unsigned i = 0; i < CALLS_MAX && err == WEFT_OK && conn->state == WEFT_TCP_UP; i++)
        err = weft__tcp_vector_write(ep, conn);
    if (err == WEFT_ENOENT) {
        /* What both sides have said BYE to ends with the last byte. */
        if (conn->heard_bye && !(conn->link->conn == conn && conn->link->refs))
            weft__tcp_link_break(ep, conn, WEFT_EPEERDEAD);
        else if (conn->link->conn == conn)
            weft__tcp_link_sent(ep, conn->link);
    } else if (err == WEFT_EAGAIN) {
        weft__tcp_conn_block(ep, conn, true);
    } else if (err != WEFT_OK) {
        weft__tcp_link_break(ep, conn, err);
    } else {
        weft__tcp_conn_dirty(ep, conn);
    }
}

void weft__tcp_send_all(struct weft_tcp_ep *ep)
{
    struct weft_tcp_conn *conn = ep->dirty_first, *last = ep->dirty_last;
    while (conn) {
        ep->dirty_first = conn->next_dirty;
        if (!ep->dirty_first)
            ep->dirty_last = NULL;
        conn->dirty = false;
        bool was_last = conn == last; /* what has got dirty again comes in the next turn */
        weft__tcp_send_flush(ep, conn);
        conn = was_last ? NULL : ep->dirty_first;
    }
}

/* ---- the family ---- */

static int check(const struct weft_tcp_ep *ep, const struct weft_tcp_link *link,
                 const struct iovec *iov, unsigned n, size_t *len_out)
{
    if (ep->closing)
        return weft_fail(WEFT_ESHUTDOWN, "the endpoint is closing");
    if (!link)
        return weft_fail(WEFT_EINVAL, "no such peer");
    if (n > WEFT_TP_IOV_MAX)
        return weft_fail(WEFT_EINVAL, "%u parts: at most %d", n, WEFT_TP_IOV_MAX);
    size_t len = 0;
    for (unsigned i = 0; i < n; i++) {
        if (iov[i].iov_len > ep->msg_max_bytes - len)
            return weft_fail(WEFT_EMSGSIZE, "a message of more than %zu bytes", ep->msg_max_bytes);
        len += iov[i].iov_len;
    }
    /* One peer may have three quarters of the sends: one that does not read leaves room for others.
     */
    if (ep->in_flight == ep->sends_max || link->queued >= ep->sends_max - ep->sends_max / 4)
        return WEFT_EAGAIN;
    *len_out = len;
    return WEFT_OK;
}

void weft__tcp_send_push(struct weft_tcp_ep *ep, struct weft_tcp_link *link)
{
    struct weft_tcp_conn *conn = link->conn;
    if (!conn && !link->retry_until_ns)
        weft__tcp_link_connect(ep, link);
    if (!conn || conn->state != WEFT_TCP_UP || conn->blocked || link->moving)
        return;
    bool enough = link->queued_bytes >= ENOUGH_BYTES || link->queued >= ENOUGH_MESSAGES;
    if (!enough && (ep->inside || conn->turn == ep->turn)) {
        weft__tcp_conn_dirty(ep, conn);
        return;
    }
    conn->turn = ep->turn;
    weft__tcp_send_flush(ep, conn);
}

static void set_head(struct weft_tcp_out *out, size_t len)
{
    if (len < WEFT_TCP_BIG) {
        out->frame.head =
            (struct weft_tcp_head){(uint32_t)len, WEFT_TCP_MESSAGE, WEFT_TCP_HEAD_MAGIC};
        out->total = sizeof(out->frame.head) + len;
        return;
    }
    out->frame = (struct weft_tcp_frame){
        {(uint32_t)(sizeof(out->frame.ask) + len), WEFT_TCP_LONG, WEFT_TCP_HEAD_MAGIC}, {0}};
    out->total = sizeof(out->frame) + len;
}

static int msg_send(struct weft_tp_ep *base, struct weft_tp_peer peer, const struct iovec *iov,
                    unsigned n, struct weft_tp_op *op)
{
    struct weft_tcp_ep *ep = weft__tcp_ep(base);
    struct weft_tcp_link *link = weft__slots_find(&ep->peers, peer.id);
    struct weft_tcp_out *out = weft__tcp_out(op);
    size_t len = 0;
    int err = check(ep, link, iov, n, &len);
    if (err)
        return err;
    ep->in_flight++;
    out->link = NULL;
    if (link->lost) {
        weft__tcp_finish(ep, op, link->lost);
        return WEFT_OK;
    }
    out->link = link;
    out->peer_id = peer.id;
    out->what = WEFT_TCP_OUT_SEND;
    set_head(out, len);
    out->send.n = n;
    for (unsigned i = 0; i < n; i++)
        out->send.iov[i] = iov[i];
    weft__tcp_send_queue(link, op);
    weft__tcp_send_push(ep, link);
    return WEFT_OK;
}

void weft__tcp_send_fail(struct weft_tcp_ep *ep, struct weft_tcp_link *link, uint32_t peer_id,
                         int err)
{
    struct weft_op_list keep = {NULL, NULL};
    struct weft_tp_op *op;
    bool broken = false;
    while ((op = weft__op_pop(&link->queue))) {
        const struct weft_tcp_out *out = weft__tcp_out(op);
        if (peer_id && out->peer_id != peer_id) {
            weft__op_append(&keep, op);
            continue;
        }
        if (out->sent && link->conn)
            broken |= weft__tcp_vector_keep(link->conn, op) != WEFT_OK;
        leave(link, out);
        end(ep, op, err);
    }
    link->queue = keep;
    weft__tcp_ask_fail(ep, link, peer_id, err);
    if (broken)
        weft__tcp_link_break(ep, link->conn, WEFT_EPEERDEAD);
}

int weft__tcp_send_cancel(struct weft_tcp_ep *ep, struct weft_tp_op *op)
{
    const struct weft_tcp_out *out = weft__tcp_out(op);
    bool begun = out->sent || (out->what == WEFT_TCP_OUT_PUT && out->frame.ask.at);
    if (!out->link || begun || !weft__op_remove(&out->link->queue, op))
        return WEFT_EBUSY;
    leave(out->link, out);
    if (out->what == WEFT_TCP_OUT_SEND)
        end(ep, op, WEFT_ECANCELED);
    else
        weft__tcp_ask_cancel(ep, op);
    return WEFT_OK;
}

const struct weft_tp_msg_ops weft__tcp_msg_ops = {.send = msg_send};

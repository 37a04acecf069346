/* Sending: operations wait in their link's queue and leave in order, as many per system call as its
 * vector holds, straight from the callers' memory. Nothing is copied: an operation completes when
 * the kernel has taken its last byte.
 *
 * The first send after a turn of progress() leaves at once. Those that follow before the next turn
 * wait for it, unless there is already enough to fill a system call: a burst costs one call per 64
 * messages, and a single message costs no delay. wait_arm() sends what waits, too: so nothing stays
 * longer than its owner goes without a turn and without arming, which lanes do for milliseconds.
 *
 * A peer that is dropped while its message has left in part: the rest is copied and sent, because
 * others may share the connection.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "transport/tcp/endpoint.h"
#include "weft/error.h"

#define VECTOR 256
#define ENOUGH_BYTES ((size_t)16 << 10)
#define ENOUGH_MESSAGES 64
#define CALLS_MAX 16 /* per connection and turn */

struct send {
    struct weft_op_node node;
    struct weft_tcp_link *link; /* NULL: not in a queue */
    uint32_t peer_id;
    unsigned n;
    size_t total; /* with the head */
    size_t sent;
    struct weft_tcp_head head;
    struct iovec iov[WEFT_TP_IOV_MAX];
};
_Static_assert(sizeof(struct send) <= WEFT_TP_OP_PRIVATE, "a send must fit into the operation");

static struct send *send_of(struct weft_tp_op *op)
{
    return (struct send *)(void *)op->priv;
}

static struct weft_tp_op *next_of(struct weft_tp_op *op)
{
    return weft__op_node(op)->next;
}

/* Ends a send that is not in the queue any more. */
static void end(struct weft_tcp_ep *ep, struct weft_tp_op *op, int err)
{
    struct send *send = send_of(op);
    send->link->queued--;
    send->link->queued_bytes -= send->total;
    send->link = NULL;
    ep->stats.sent += err == WEFT_OK;
    weft__tcp_finish(ep, op, err);
}

/* ---- writing ---- */

struct vector {
    struct iovec iov[VECTOR];
    unsigned n;
    size_t len;
};

/* Adds bytes without the first *skip of them. */
static void add(struct vector *vector, const void *bytes, size_t len, size_t *skip)
{
    if (*skip >= len) {
        *skip -= len;
        return;
    }
    vector->iov[vector->n++] =
        (struct iovec){(unsigned char *)(uintptr_t)bytes + *skip, len - *skip};
    vector->len += len - *skip;
    *skip = 0;
}

static bool sends_here(const struct weft_tcp_conn *conn)
{
    return conn->link->conn == conn;
}

static void gather(const struct weft_tcp_conn *conn, struct vector *vector)
{
    size_t skip = conn->raw_sent;
    vector->n = 0;
    vector->len = 0;
    if (conn->raw)
        add(vector, conn->raw, conn->raw_len, &skip);
    if (!sends_here(conn))
        return;
    for (struct weft_tp_op *op = conn->link->queue.first;
         op && vector->n + 1 + WEFT_TP_IOV_MAX <= VECTOR; op = next_of(op)) {
        const struct send *send = send_of(op);
        skip = send->sent;
        add(vector, &send->head, sizeof(send->head), &skip);
        for (unsigned i = 0; i < send->n; i++)
            add(vector, send->iov[i].iov_base, send->iov[i].iov_len, &skip);
    }
}

/* The kernel has taken so many bytes of what gather() found. */
static void advance(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn, size_t len)
{
    size_t step = conn->raw_len - conn->raw_sent;
    if (conn->raw) {
        step = step < len ? step : len;
        conn->raw_sent += step;
        len -= step;
        if (conn->raw_sent == conn->raw_len) {
            free(conn->raw);
            conn->raw = NULL;
            conn->raw_len = conn->raw_sent = 0;
        }
    }
    while (len) {
        struct send *send = send_of(conn->link->queue.first);
        step = send->total - send->sent;
        step = step < len ? step : len;
        send->sent += step;
        len -= step;
        if (send->sent == send->total)
            end(ep, weft__op_pop(&conn->link->queue), WEFT_OK);
    }
}

/* One system call.  Errors: WEFT_EAGAIN the kernel takes no more; WEFT_EPEERDEAD. */
static int write_some(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn, struct vector *vector)
{
    const struct msghdr message = {.msg_iov = vector->iov, .msg_iovlen = vector->n};
    ssize_t n = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR)
        return WEFT_OK;
    if (n < 0)
        return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ? WEFT_EAGAIN
                                                                      : WEFT_EPEERDEAD;
    ep->stats.writes++;
    advance(ep, conn, (size_t)n);
    if (!conn->watched) {
        conn->watched = true;
        weft__tcp_tick_on(ep);
    }
    return (size_t)n < vector->len ? WEFT_EAGAIN : WEFT_OK;
}

void weft__tcp_send_flush(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    struct vector vector;
    int err = WEFT_OK;
    for (unsigned i = 0; i < CALLS_MAX && err == WEFT_OK && conn->state == WEFT_TCP_UP; i++) {
        gather(conn, &vector);
        if (!vector.n) {
            /* What both sides have said BYE to ends with the last byte. */
            if (conn->heard_bye && !(sends_here(conn) && conn->link->refs))
                weft__tcp_link_break(ep, conn, WEFT_EPEERDEAD);
            return;
        }
        err = write_some(ep, conn, &vector);
    }
    if (err == WEFT_EAGAIN)
        weft__tcp_conn_block(ep, conn, true);
    else if (err != WEFT_OK)
        weft__tcp_link_break(ep, conn, err);
    else
        weft__tcp_conn_dirty(ep, conn);
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

/* The link has something to send. */
static void push(struct weft_tcp_ep *ep, struct weft_tcp_link *link)
{
    struct weft_tcp_conn *conn = link->conn;
    if (!conn && !link->retry_until_ns)
        weft__tcp_link_connect(ep, link);
    if (!conn || conn->state != WEFT_TCP_UP || conn->blocked)
        return;
    bool enough = link->queued_bytes >= ENOUGH_BYTES || link->queued >= ENOUGH_MESSAGES;
    if (!enough && (ep->inside || conn->turn == ep->turn)) {
        weft__tcp_conn_dirty(ep, conn);
        return;
    }
    conn->turn = ep->turn;
    weft__tcp_send_flush(ep, conn);
}

static int msg_send(struct weft_tp_ep *base, struct weft_tp_peer peer, const struct iovec *iov,
                    unsigned n, struct weft_tp_op *op)
{
    struct weft_tcp_ep *ep = weft__tcp_ep(base);
    struct weft_tcp_link *link = weft__slots_find(&ep->peers, peer.id);
    struct send *send = send_of(op);
    size_t len = 0;
    int err = check(ep, link, iov, n, &len);
    if (err)
        return err;
    ep->in_flight++;
    send->link = NULL;
    if (link->lost) {
        weft__tcp_finish(ep, op, link->lost);
        return WEFT_OK;
    }
    send->link = link;
    send->peer_id = peer.id;
    send->n = n;
    send->total = sizeof(send->head) + len;
    send->sent = 0;
    send->head = (struct weft_tcp_head){(uint32_t)len, WEFT_TCP_MESSAGE, WEFT_TCP_HEAD_MAGIC};
    for (unsigned i = 0; i < n; i++)
        send->iov[i] = iov[i];
    weft__op_append(&link->queue, op);
    link->queued++;
    link->queued_bytes += send->total;
    push(ep, link);
    return WEFT_OK;
}

/* Has the rest of a message that has left in part copied, so that its operation can end. */
static int keep_rest(struct weft_tcp_conn *conn, const struct send *send)
{
    struct vector rest = {.n = 0};
    size_t skip = send->sent;
    int err = WEFT_OK;
    add(&rest, &send->head, sizeof(send->head), &skip);
    for (unsigned i = 0; i < send->n; i++)
        add(&rest, send->iov[i].iov_base, send->iov[i].iov_len, &skip);
    for (unsigned i = 0; i < rest.n && err == WEFT_OK; i++)
        err = weft__tcp_conn_append(conn, rest.iov[i].iov_base, rest.iov[i].iov_len);
    return err;
}

void weft__tcp_send_fail(struct weft_tcp_ep *ep, struct weft_tcp_link *link, uint32_t peer_id,
                         int err)
{
    struct weft_op_list keep = {NULL, NULL};
    struct weft_tp_op *op;
    bool broken = false;
    while ((op = weft__op_pop(&link->queue))) {
        const struct send *send = send_of(op);
        if (peer_id && send->peer_id != peer_id) {
            weft__op_append(&keep, op);
            continue;
        }
        if (send->sent && link->conn)
            broken |= keep_rest(link->conn, send) != WEFT_OK;
        end(ep, op, err);
    }
    link->queue = keep;
    if (broken)
        weft__tcp_link_break(ep, link->conn, WEFT_EPEERDEAD);
}

int weft__tcp_send_cancel(struct weft_tcp_ep *ep, struct weft_tp_op *op)
{
    const struct send *send = send_of(op);
    if (!send->link || send->sent || !weft__op_remove(&send->link->queue, op))
        return WEFT_EBUSY;
    end(ep, op, WEFT_ECANCELED);
    return WEFT_OK;
}

const struct weft_tp_msg_ops weft__tcp_msg_ops = {.send = msg_send};

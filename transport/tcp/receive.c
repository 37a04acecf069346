/* Receiving: one buffer of the endpoint takes what has come on any connection, many messages per
 * system call, and they are handed on from there. The bytes of a message that is not whole yet go
 * into a buffer of its own, those of a one-sided operation to where they belong; the next call
 * reads the rest in place, followed by the shared buffer. After something big, and where much is
 * awaited, only a head is read into the shared buffer, so that what comes next, which is mostly as
 * big, is read in place from its first byte.
 *
 * A connection that is between messages holds no memory. A length is believed only up to the
 * largest message or piece, and only of who knew this endpoint's name.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/log.h"
#include "transport/tcp/endpoint.h"
#include "weft/error.h"

#define CALLS_MAX 8 /* per connection and turn */

static void malformed(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    weft__debug("tcp endpoint at %s: ends a connection over which no frames come", ep->bind);
    ep->stats.malformed++;
    weft__tcp_link_break(ep, conn, WEFT_EPEERDEAD);
}

/* What a frame has led to. */
static void judge(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn, int err)
{
    if (err == WEFT_EPROTO)
        malformed(ep, conn);
    else if (err != WEFT_OK)
        weft__tcp_link_break(ep, conn, WEFT_EPEERDEAD);
}

void weft__tcp_receive_fini(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    if (conn->into == WEFT_TCP_INTO_BLOCK)
        weft__tcp_block_give(ep, conn->block);
    weft__tcp_serve_fini(conn);
    conn->into = WEFT_TCP_INTO_NONE;
    conn->op = NULL;
}

/* ---- what has come ---- */

static void deliver(struct weft_tcp_ep *ep, const void *data, size_t len)
{
    ep->stats.received++;
    if (ep->on.message)
        ep->on.message(ep->ctx, data, len);
}

/* All bytes behind the head are here. */
static void body_over(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    struct weft_tcp_block *block = conn->block;
    enum weft_tcp_into into = conn->into;
    int err = WEFT_OK;
    conn->big = conn->body_len >= WEFT_TCP_BIG;
    if (into == WEFT_TCP_INTO_LOCAL)
        weft__tcp_ask_landed(conn->op, conn->body_len);
    else if (conn->putting)
        err = weft__tcp_serve_landed(ep, conn);
    conn->into = WEFT_TCP_INTO_NONE;
    conn->op = NULL;
    if (into == WEFT_TCP_INTO_BLOCK) {
        deliver(ep, block->bytes, conn->body_len);
        weft__tcp_block_give(ep, block);
    }
    judge(ep, conn, err);
}

/* Takes what is there of a body whose place is known; how much that was. */
static size_t body_begin(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn, size_t body_len,
                         const unsigned char *rest, size_t len)
{
    size_t have = body_len < len ? body_len : len;
    conn->body_len = body_len;
    conn->body_have = have;
    if (have && conn->into != WEFT_TCP_INTO_NOWHERE)
        memcpy(conn->body_at, rest, have);
    if (have == body_len)
        body_over(ep, conn);
    return have;
}

static size_t take_message(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn, size_t body_len,
                           const unsigned char *rest, size_t len)
{
    if (body_len <= len) {
        conn->big = false;
        deliver(ep, rest, body_len);
        return body_len;
    }
    conn->block = weft__tcp_block_take(ep, body_len);
    if (!conn->block) {
        weft__warn("tcp endpoint at %s: no memory for a message of %zu bytes", ep->bind, body_len);
        weft__tcp_link_break(ep, conn, WEFT_EPEERDEAD);
        return 0;
    }
    conn->into = WEFT_TCP_INTO_BLOCK;
    conn->body_at = conn->block->bytes;
    return body_begin(ep, conn, body_len, rest, len);
}

/* The bytes of a one-sided operation. */
static size_t take_bytes(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn,
                         const struct weft_tcp_frame *frame, const unsigned char *rest, size_t len)
{
    size_t body_len = frame->head.len - sizeof(frame->ask);
    int err;
    if (frame->head.kind == WEFT_TCP_PUT) {
        err = weft__tcp_serve_put(ep, conn, &frame->ask, body_len);
    } else {
        err = weft__tcp_ask_data(conn, &frame->ask, body_len, &conn->op);
        conn->into = !err && conn->op ? WEFT_TCP_INTO_LOCAL : WEFT_TCP_INTO_NOWHERE;
        if (conn->into == WEFT_TCP_INTO_LOCAL)
            conn->body_at = weft__tcp_out(conn->op)->rma.local + frame->ask.at;
    }
    if (!err)
        return body_begin(ep, conn, body_len, rest, len);
    conn->into = WEFT_TCP_INTO_NONE;
    conn->op = NULL;
    malformed(ep, conn);
    return 0;
}

/* Whether a frame may have such a head. */
static bool head_ok(const struct weft_tcp_ep *ep, const struct weft_tcp_conn *conn,
                    const struct weft_tcp_head *head)
{
    const size_t ask = sizeof(struct weft_tcp_ask);
    if (head->magic != WEFT_TCP_HEAD_MAGIC)
        return false;
    if (head->kind == WEFT_TCP_DONE)
        return head->len == ask;
    if (head->kind == WEFT_TCP_DATA)
        return head->len >= ask && head->len - ask <= WEFT_TCP_PIECE;
    if (conn->heard_bye) /* then only answers may come */
        return false;
    if (head->kind == WEFT_TCP_MESSAGE)
        return head->len <= ep->msg_max_bytes;
    if (head->kind == WEFT_TCP_LONG)
        return head->len >= ask && head->len - ask <= ep->msg_max_bytes;
    if (head->kind == WEFT_TCP_PUT)
        return head->len >= ask && head->len - ask <= WEFT_TCP_PIECE;
    return head->len == (head->kind == WEFT_TCP_GET ? ask : 0) &&
           (head->kind == WEFT_TCP_GET || head->kind == WEFT_TCP_BYE);
}

static bool has_ask(const struct weft_tcp_head *head)
{
    return head->kind >= WEFT_TCP_GET && head->kind <= WEFT_TCP_LONG;
}

/* A whole head, with its ask, is in part.  Returns the bytes used of those behind it. */
static size_t take_frame(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn,
                         const unsigned char *rest, size_t len)
{
    struct weft_tcp_frame frame;
    memcpy(&frame, conn->part, sizeof(frame));
    if (!head_ok(ep, conn, &frame.head)) {
        malformed(ep, conn);
        return 0;
    }
    switch ((enum weft_tcp_kind)frame.head.kind) {
    case WEFT_TCP_MESSAGE:
        return take_message(ep, conn, frame.head.len, rest, len);
    case WEFT_TCP_LONG:
        return take_message(ep, conn, frame.head.len - sizeof(frame.ask), rest, len);
    case WEFT_TCP_PUT:
    case WEFT_TCP_DATA:
        return take_bytes(ep, conn, &frame, rest, len);
    case WEFT_TCP_GET:
        judge(ep, conn, weft__tcp_serve_get(ep, conn, &frame.ask));
        return 0;
    case WEFT_TCP_DONE:
        judge(ep, conn, weft__tcp_ask_done(ep, conn, &frame.ask));
        return 0;
    case WEFT_TCP_BYE:
        weft__tcp_link_heard_bye(ep, conn);
        return 0;
    }
    return 0;
}

/* How long a hello, or a head with its ask, is as far as it is known. */
static size_t part_wanted(const struct weft_tcp_ep *ep, const struct weft_tcp_conn *conn)
{
    struct weft_tcp_head head;
    if (conn->state == WEFT_TCP_HELLO)
        return sizeof(struct weft_tcp_hello);
    if (conn->part_len < sizeof(head))
        return sizeof(head);
    memcpy(&head, conn->part, sizeof(head));
    /* One that is wrong is seen at once. */
    return has_ask(&head) && head_ok(ep, conn, &head) ? sizeof(struct weft_tcp_frame)
                                                      : sizeof(head);
}

/* Hands on the short messages that are here whole; the bytes used. */
static size_t feed_messages(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn,
                            const unsigned char *bytes, size_t len)
{
    struct weft_tcp_head head;
    size_t used = 0;
    while (conn->state == WEFT_TCP_UP && len - used >= sizeof(head)) {
        memcpy(&head, bytes + used, sizeof(head));
        if (head.kind != WEFT_TCP_MESSAGE || !head_ok(ep, conn, &head) ||
            head.len > len - used - sizeof(head))
            break;
        conn->big = false;
        deliver(ep, bytes + used + sizeof(head), head.len);
        used += sizeof(head) + head.len;
    }
    return used;
}

/* Takes bytes that do not belong to a body. */
static void feed(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn, const unsigned char *bytes,
                 size_t len)
{
    while (len && conn->state != WEFT_TCP_DEAD) {
        size_t step = conn->part_len ? 0 : feed_messages(ep, conn, bytes, len);
        bytes += step;
        len -= step;
        if (!len || conn->state == WEFT_TCP_DEAD)
            return;
        step = part_wanted(ep, conn) - conn->part_len;
        step = step < len ? step : len;
        memcpy(conn->part + conn->part_len, bytes, step);
        conn->part_len += step;
        bytes += step;
        len -= step;
        if (conn->part_len < part_wanted(ep, conn))
            continue;
        conn->part_len = 0;
        step = 0;
        if (conn->state == WEFT_TCP_HELLO)
            weft__tcp_port_hello(ep, conn);
        else
            step = take_frame(ep, conn, bytes, len);
        bytes += step;
        len -= step;
    }
}

/* The body first, then what is behind it. */
static void take(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn, size_t len)
{
    if (conn->into != WEFT_TCP_INTO_NONE) {
        size_t step = conn->body_len - conn->body_have;
        step = step < len ? step : len;
        conn->body_have += step;
        len -= step;
        if (conn->body_have == conn->body_len)
            body_over(ep, conn);
    }
    feed(ep, conn, ep->shared, len);
}

/* ---- reading ---- */

/* Whether something big is next, as far as can be told. */
static bool big_next(const struct weft_tcp_conn *conn)
{
    if (conn->into != WEFT_TCP_INTO_NONE)
        return conn->body_len >= WEFT_TCP_BIG;
    return conn->big ||
           (conn->link && conn->link->conn == conn && conn->link->awaited >= WEFT_TCP_BIG);
}

/* Says where the next bytes go; the sum of their lengths. */
static size_t vector(const struct weft_tcp_ep *ep, const struct weft_tcp_conn *conn,
                     struct iovec iov[2], int *n_out)
{
    size_t body = conn->into == WEFT_TCP_INTO_NONE ? 0 : conn->body_len - conn->body_have;
    size_t behind =
        big_next(conn) ? sizeof(struct weft_tcp_frame) - conn->part_len : WEFT_TCP_SHARED;
    int n = 0;
    if (conn->into == WEFT_TCP_INTO_NOWHERE) {
        behind = body < WEFT_TCP_SHARED ? body : WEFT_TCP_SHARED;
        body = 0;
    }
    if (body)
        iov[n++] = (struct iovec){conn->body_at + conn->body_have, body};
    iov[n++] = (struct iovec){ep->shared, behind};
    *n_out = n;
    return body + behind;
}

/* The place of what comes cannot be written.  Errors: WEFT_EPEERDEAD it is no place of others. */
static int unwritable(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    weft__warn("tcp endpoint at %s: memory at %p cannot be written: end what uses it before it is "
               "unmapped",
               ep->bind, (void *)(conn->body_at + conn->body_have));
    if (conn->into == WEFT_TCP_INTO_LOCAL)
        weft__tcp_ask_lose(ep, conn->op, WEFT_EACCES);
    else if (conn->into == WEFT_TCP_INTO_RANGE)
        weft__tcp_serve_lose(conn);
    else
        return WEFT_EPEERDEAD;
    return WEFT_OK;
}

int weft__tcp_receive(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    uint64_t before = ep->stats.received, reads = ep->stats.reads;
    struct iovec iov[2];
    int n_iov;
    for (unsigned i = 0; i < CALLS_MAX && conn->state != WEFT_TCP_DEAD; i++) {
        size_t asked = vector(ep, conn, iov, &n_iov);
        ssize_t n = n_iov == 1 ? recv(conn->fd, iov->iov_base, iov->iov_len, 0)
                               : readv(conn->fd, iov, n_iov);
        if (n < 0 && (errno == EINTR || (errno == EFAULT && unwritable(ep, conn) == WEFT_OK)))
            continue;
        if (n < 0 && errno == EAGAIN) {
            conn->misses++;
            break;
        }
        if (n <= 0) {
            weft__tcp_link_ended(ep, conn);
            break;
        }
        ep->stats.reads++;
        conn->misses = 0;
        conn->hits++;
        take(ep, conn, (size_t)n);
        if ((size_t)n < asked)
            break;
    }
    int n = (int)(ep->stats.received - before);
    return n ? n : ep->stats.reads > reads; /* a part of a message is an event, too */
}

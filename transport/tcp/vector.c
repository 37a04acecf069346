/* What leaves with one system call: as much as its vector holds. Heads and short messages are laid
 * side by side, so that a burst of them is one part, which the kernel takes in half the time of
 * many; everything longer goes straight from where it lies.
 *
 * A connection sends from three places: raw bytes of its own (the hello, a BYE, the rest of a
 * message whose peer was dropped), the link's queue, and answers to what the other side has asked
 * for. What has left in part goes on first, whatever it is; then come raw bytes, then the queue and
 * the answers, which take turns at being the first, so that neither waits for ever behind the
 * other. The segments remember the order for advance().
 *
 * A call takes at most four of the packets that the kernel makes, of 64 KiB with their headers.
 * More held the connection until all was copied, and what the other side had acknowledged meanwhile
 * was looked at only then: congestion control that measures how fast bytes arrive (bbr) took the
 * path for a slow one and paced what followed. 64 MPI messages of 1 MiB under way: 4.9 GB/s with
 * 512 KiB a call, 9.4 with 252, 7.8 with 256, whose end is a packet of its own.
 *
 * Memory that somebody has unmapped is met by the kernel, which says EFAULT and not where: one part
 * by itself tells. A range of ours that was asked for yields zeros from there on and an error
 * behind them, so the connection goes on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "transport/tcp/endpoint.h"
#include "weft/error.h"

#define VECTOR 256
#define SHORT 256                       /* parts up to here are copied */
#define CALL_BYTES ((size_t)252 << 10)  /* from here on nothing is added */
#define ANSWER_BYTES ((size_t)64 << 10) /* nor answers from here on */

enum part { RAW, QUEUE, ANSWERS };

struct vector {
    struct iovec iov[VECTOR];
    unsigned n;
    size_t len;
    struct {
        enum part part;
        unsigned n;
    } segments[4];
    unsigned segments_n;
    bool full; /* nothing may follow */
    unsigned char *stage;
    size_t staged;
};

static const unsigned char zeros[16384];

/* Adds bytes as they lie, without the first *skip of them. */
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

/* Adds bytes that are ours or the caller's; short ones follow each other. */
static void lay(struct vector *vector, const void *bytes, size_t len, size_t *skip)
{
    if (len > SHORT || *skip >= len || vector->staged + len > WEFT_TCP_STAGE) {
        add(vector, bytes, len, skip);
        return;
    }
    unsigned char *at = vector->stage + vector->staged;
    struct iovec *last = vector->n ? &vector->iov[vector->n - 1] : NULL;
    len -= *skip;
    memcpy(at, (const unsigned char *)bytes + *skip, len);
    *skip = 0;
    vector->staged += len;
    vector->len += len;
    if (last && (unsigned char *)last->iov_base + last->iov_len == at)
        last->iov_len += len;
    else
        vector->iov[vector->n++] = (struct iovec){at, len};
}

static void add_segment(struct vector *vector, enum part part, unsigned n)
{
    if (!n)
        return;
    vector->segments[vector->segments_n].part = part;
    vector->segments[vector->segments_n++].n = n;
}

static void add_raw(struct vector *vector, const struct weft_tcp_conn *conn)
{
    size_t skip = conn->raw_sent;
    if (!conn->raw || vector->full)
        return;
    add(vector, conn->raw, conn->raw_len, &skip);
    add_segment(vector, RAW, 1);
}

static void add_out(struct vector *vector, const struct weft_tcp_out *out)
{
    bool brief = out->frame.head.kind == WEFT_TCP_MESSAGE;
    size_t skip = out->sent;
    lay(vector, &out->frame, brief ? sizeof(out->frame.head) : sizeof(out->frame), &skip);
    for (unsigned i = 0; out->what == WEFT_TCP_OUT_SEND && i < out->send.n; i++)
        lay(vector, out->send.iov[i].iov_base, out->send.iov[i].iov_len, &skip);
    if (out->what == WEFT_TCP_OUT_PUT)
        add(vector, out->rma.local + out->frame.ask.at, out->total - sizeof(out->frame), &skip);
}

static bool sends_here(const struct weft_tcp_conn *conn)
{
    return conn->link->conn == conn && !conn->link->moving;
}

static void add_queue(struct vector *vector, const struct weft_tcp_conn *conn)
{
    unsigned n = 0;
    if (!sends_here(conn) || vector->full)
        return;
    for (struct weft_tp_op *op = conn->link->queue.first;
         op && vector->n + 1 + WEFT_TP_IOV_MAX <= VECTOR && vector->len < CALL_BYTES;
         op = weft__op_node(op)->next, n++)
        add_out(vector, weft__tcp_out(op));
    add_segment(vector, QUEUE, n);
}

static void add_zeros(struct vector *vector, const struct weft_tcp_answer *answer, size_t *skip)
{
    size_t left = *skip < answer->piece ? answer->piece - *skip : 0, none = 0;
    *skip -= answer->piece - left;
    vector->full = left > sizeof(zeros);
    add(vector, zeros, vector->full ? sizeof(zeros) : left, &none);
}

static void add_answer(struct vector *vector, const struct weft_tcp_answer *answer)
{
    size_t skip = answer->sent;
    if (answer->data) {
        lay(vector, &answer->frame, sizeof(answer->frame), &skip);
        if (answer->from)
            add(vector, answer->from, answer->piece, &skip);
        else
            add_zeros(vector, answer, &skip);
    }
    if (answer->ends && !vector->full)
        lay(vector, &answer->done, sizeof(answer->done), &skip);
}

static void add_answers(struct vector *vector, struct weft_tcp_ep *ep,
                        const struct weft_tcp_conn *conn, unsigned max)
{
    struct weft_tcp_answer *answer;
    size_t before = vector->len;
    unsigned n = 0;
    STAILQ_FOREACH(answer, &conn->answers, at)
    {
        if (n == max || vector->full || vector->n + 3 > VECTOR || vector->len >= CALL_BYTES ||
            vector->len - before >= ANSWER_BYTES)
            break;
        if (!answer->total)
            weft__tcp_serve_begin(ep, answer);
        add_answer(vector, answer);
        n++;
    }
    add_segment(vector, ANSWERS, n);
}

static void gather(struct weft_tcp_ep *ep, const struct weft_tcp_conn *conn, struct vector *vector)
{
    const struct weft_tcp_answer *answer = STAILQ_FIRST(&conn->answers);
    struct weft_tp_op *op = sends_here(conn) ? conn->link->queue.first : NULL;
    bool begun = answer && answer->sent;
    bool answers_last = conn->answered || (op && weft__tcp_out(op)->sent);
    vector->n = vector->segments_n = 0;
    vector->len = vector->staged = 0;
    vector->full = false;
    vector->stage = ep->stage;
    if (begun)
        add_answers(vector, ep, conn, 1);
    add_raw(vector, conn);
    if (!begun && !answers_last)
        add_answers(vector, ep, conn, VECTOR);
    add_queue(vector, conn);
    if (!begun && answers_last)
        add_answers(vector, ep, conn, VECTOR);
}

/* ---- what has left ---- */

/* Of what was sent in all; the bytes of this step. */
static size_t step_of(size_t total, size_t *sent, size_t *len)
{
    size_t step = total - *sent < *len ? total - *sent : *len;
    *sent += step;
    *len -= step;
    return step;
}

static void advance_raw(struct weft_tcp_conn *conn, size_t *len)
{
    (void)step_of(conn->raw_len, &conn->raw_sent, len);
    if (conn->raw_sent < conn->raw_len)
        return;
    free(conn->raw);
    conn->raw = NULL;
    conn->raw_len = conn->raw_sent = 0;
}

static void advance_queue(struct weft_tcp_ep *ep, const struct weft_tcp_conn *conn, unsigned n,
                          size_t *len)
{
    for (; n && *len; n--) {
        struct weft_tcp_out *out = weft__tcp_out(conn->link->queue.first);
        (void)step_of(out->total, &out->sent, len);
        if (out->sent == out->total)
            weft__tcp_send_left(ep, conn->link);
    }
}

static void advance_answers(struct weft_tcp_conn *conn, unsigned n, size_t *len)
{
    for (; n && *len; n--) {
        struct weft_tcp_answer *answer = STAILQ_FIRST(&conn->answers);
        (void)step_of(answer->total, &answer->sent, len);
        if (answer->sent == answer->total)
            weft__tcp_serve_left(conn);
    }
}

/* The kernel has taken so many bytes of what gather() found. */
static void advance(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn, const struct vector *vector,
                    size_t len)
{
    for (unsigned i = 0; i < vector->segments_n && len; i++) {
        unsigned n = vector->segments[i].n;
        if (vector->segments[i].part == RAW)
            advance_raw(conn, &len);
        else if (vector->segments[i].part == QUEUE)
            advance_queue(ep, conn, n, &len);
        else
            advance_answers(conn, n, &len);
    }
    conn->answered = !conn->answered;
}

/* The first part of the vector cannot be read. */
static int unreadable(const struct weft_tcp_ep *ep, struct weft_tcp_conn *conn,
                      const struct vector *vector)
{
    weft__warn("tcp endpoint at %s: memory at %p cannot be read: end what uses it before it is "
               "unmapped",
               ep->bind, vector->iov[0].iov_base);
    if (vector->segments[0].part != ANSWERS)
        return WEFT_EPEERDEAD;
    weft__tcp_serve_spoil(STAILQ_FIRST(&conn->answers));
    return WEFT_OK;
}

/* Leaves what is too much for one call to the next. */
static void shorten(struct vector *vector)
{
    size_t len = 0;
    for (unsigned i = 0; i < vector->n; i++) {
        struct iovec *part = &vector->iov[i];
        if (part->iov_len >= CALL_BYTES - len) {
            part->iov_len = CALL_BYTES - len;
            vector->n = i + 1;
        }
        len += part->iov_len;
    }
    vector->len = len;
}

int weft__tcp_vector_write(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    struct vector vector;
    struct msghdr message = {.msg_iov = vector.iov};
    gather(ep, conn, &vector);
    if (!vector.n)
        return WEFT_ENOENT;
    if (vector.len > CALL_BYTES)
        shorten(&vector);
    message.msg_iovlen = vector.n;
    ssize_t n = vector.n == 1
                    ? send(conn->fd, vector.iov->iov_base, vector.iov->iov_len, MSG_NOSIGNAL)
                    : sendmsg(conn->fd, &message, MSG_NOSIGNAL);
    if (n < 0 && errno == EFAULT) {
        message.msg_iovlen = 1;
        n = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
    }
    if (n < 0 && errno == EINTR)
        return WEFT_OK;
    if (n < 0 && errno == EFAULT)
        return unreadable(ep, conn, &vector);
    if (n < 0)
        return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ? WEFT_EAGAIN
                                                                      : WEFT_EPEERDEAD;
    ep->stats.writes++;
    advance(ep, conn, &vector, (size_t)n);
    if (!conn->watched) {
        conn->watched = true;
        weft__tcp_tick_on(ep);
    }
    return (size_t)n < vector.len ? WEFT_EAGAIN : WEFT_OK;
}

int weft__tcp_vector_keep(struct weft_tcp_conn *conn, struct weft_tp_op *op)
{
    struct vector rest = {.n = 0, .staged = WEFT_TCP_STAGE};
    int err = WEFT_OK;
    add_out(&rest, weft__tcp_out(op));
    for (unsigned i = 0; i < rest.n && err == WEFT_OK; i++)
        err = weft__tcp_conn_append(conn, rest.iov[i].iov_base, rest.iov[i].iov_len);
    return err;
}

/* Receiving: one buffer of the endpoint takes what has come on any connection, many messages per
 * system call, and they are handed on from there. What belongs to a message that is not whole yet
 * is moved into a buffer of its own, and the next call reads the rest of it in place, followed by
 * the shared buffer. After a big message only the next head is read behind it, so that the next
 * message, which is mostly as big, is read in place from its first byte.
 *
 * A connection that is between messages holds no memory. A length is believed only up to the
 * largest message, and only of who knew this endpoint's name.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/log.h"
#include "transport/tcp/endpoint.h"
#include "weft/error.h"

#define CALLS_MAX 8 /* per connection and turn */

/* ---- buffers ---- */

static struct weft_tcp_block *block_take(struct weft_tcp_ep *ep, size_t len)
{
    size_t capacity = 4096;
    for (unsigned i = ep->blocks_n; i-- > 0;) {
        struct weft_tcp_block *block = ep->blocks[i];
        if (block->capacity < len)
            continue;
        ep->blocks[i] = ep->blocks[--ep->blocks_n];
        return block;
    }
    while (capacity < len)
        capacity *= 2;
    struct weft_tcp_block *block = malloc(sizeof(*block) + capacity);
    if (block)
        block->capacity = capacity;
    return block;
}

/* The kept ones are the largest that there were, up to WEFT_TCP_BLOCK_MAX. */
static void block_give(struct weft_tcp_ep *ep, struct weft_tcp_block *block)
{
    if (block->capacity > WEFT_TCP_BLOCK_MAX) {
        free(block);
        return;
    }
    if (ep->blocks_n < WEFT_TCP_BLOCKS) {
        ep->blocks[ep->blocks_n++] = block;
        return;
    }
    unsigned least = 0;
    for (unsigned i = 1; i < ep->blocks_n; i++)
        if (ep->blocks[i]->capacity < ep->blocks[least]->capacity)
            least = i;
    if (ep->blocks[least]->capacity < block->capacity) {
        struct weft_tcp_block *smaller = ep->blocks[least];
        ep->blocks[least] = block;
        block = smaller;
    }
    free(block);
}

void weft__tcp_receive_fini(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    if (conn->body)
        block_give(ep, conn->body);
    conn->body = NULL;
}

void weft__tcp_receive_free(struct weft_tcp_ep *ep)
{
    while (ep->blocks_n)
        free(ep->blocks[--ep->blocks_n]);
}

/* ---- what has come ---- */

static void deliver(struct weft_tcp_ep *ep, const void *data, size_t len)
{
    ep->stats.received++;
    if (ep->on.message)
        ep->on.message(ep->ctx, data, len);
}

static void deliver_body(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    struct weft_tcp_block *body = conn->body;
    conn->body = NULL;
    conn->big = conn->body_len >= WEFT_TCP_BIG;
    deliver(ep, body->bytes, conn->body_len);
    block_give(ep, body);
}

static void malformed(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    weft__debug("tcp endpoint at %s: ends a connection over which no frames come", ep->bind);
    ep->stats.malformed++;
    weft__tcp_link_break(ep, conn, WEFT_EPEERDEAD);
}

/* The whole head of a frame is in part.  Returns the bytes used of those behind it. */
static size_t take_head(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn,
                        const unsigned char *rest, size_t len)
{
    struct weft_tcp_head head;
    memcpy(&head, conn->part, sizeof(head));
    bool message = head.kind == WEFT_TCP_MESSAGE && head.len <= ep->msg_max_bytes;
    bool bye = head.kind == WEFT_TCP_BYE && head.len == 0;
    if (head.magic != WEFT_TCP_HEAD_MAGIC || conn->heard_bye || (!message && !bye)) {
        malformed(ep, conn);
        return 0;
    }
    if (bye) {
        weft__tcp_link_heard_bye(ep, conn);
        return 0;
    }
    if (head.len <= len) {
        conn->big = false;
        deliver(ep, rest, head.len);
        return head.len;
    }
    conn->body = block_take(ep, head.len);
    if (!conn->body) {
        weft__warn("tcp endpoint at %s: no memory for a message of %u bytes", ep->bind, head.len);
        weft__tcp_link_break(ep, conn, WEFT_EPEERDEAD);
        return 0;
    }
    if (len)
        memcpy(conn->body->bytes, rest, len);
    conn->body_len = head.len;
    conn->body_have = len;
    return len;
}

/* Takes bytes that do not belong to the body. */
static void feed(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn, const unsigned char *bytes,
                 size_t len)
{
    while (len && conn->state != WEFT_TCP_DEAD) {
        bool hello = conn->state == WEFT_TCP_HELLO;
        size_t want = hello ? sizeof(struct weft_tcp_hello) : sizeof(struct weft_tcp_head);
        size_t step = want - conn->part_len;
        step = step < len ? step : len;
        memcpy(conn->part + conn->part_len, bytes, step);
        conn->part_len += step;
        bytes += step;
        len -= step;
        if (conn->part_len < want)
            return;
        conn->part_len = 0;
        step = 0;
        if (hello)
            weft__tcp_port_hello(ep, conn);
        else
            step = take_head(ep, conn, bytes, len);
        bytes += step;
        len -= step;
    }
}

/* The body first, then what is behind it. */
static void take(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn, size_t len)
{
    if (conn->body) {
        size_t step = conn->body_len - conn->body_have;
        step = step < len ? step : len;
        conn->body_have += step;
        len -= step;
        if (conn->body_have == conn->body_len)
            deliver_body(ep, conn);
    }
    feed(ep, conn, ep->shared, len);
}

/* Says where the next bytes go; the sum of their lengths. */
static size_t vector(const struct weft_tcp_ep *ep, const struct weft_tcp_conn *conn,
                     struct iovec iov[2], int *n_out)
{
    size_t body = conn->body ? conn->body_len - conn->body_have : 0;
    bool big = conn->body ? conn->body_len >= WEFT_TCP_BIG : conn->big;
    size_t behind = big ? sizeof(struct weft_tcp_head) - conn->part_len : WEFT_TCP_SHARED;
    int n = 0;
    if (body)
        iov[n++] = (struct iovec){conn->body->bytes + conn->body_have, body};
    iov[n++] = (struct iovec){ep->shared, behind};
    *n_out = n;
    return body + behind;
}

int weft__tcp_receive(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    uint64_t before = ep->stats.received, reads = ep->stats.reads;
    struct iovec iov[2];
    int n_iov;
    for (unsigned i = 0; i < CALLS_MAX && conn->state != WEFT_TCP_DEAD; i++) {
        size_t asked = vector(ep, conn, iov, &n_iov);
        ssize_t n = readv(conn->fd, iov, n_iov);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            conn->misses++;
            break;
        }
        if (n <= 0) {
            weft__tcp_link_break(ep, conn, WEFT_EPEERDEAD);
            break;
        }
        ep->stats.reads++;
        conn->misses = 0;
        take(ep, conn, (size_t)n);
        if ((size_t)n < asked)
            break;
    }
    int n = (int)(ep->stats.received - before);
    return n ? n : ep->stats.reads > reads; /* a part of a message is an event, too */
}

/* One-sided operations of others: registered ranges, and what others read and write there.
 *
 * A get becomes an answer that its connection owes: pieces straight from the range, each checked
 * against the keys when its turn comes, then a DONE. Answers of one connection take turns piece by
 * piece, so a small one does not wait behind a large one. The bytes of a put are read straight into
 * the range (receive.c); after the last piece a DONE is owed. Each PUT is checked as a part of its
 * whole operation: an operation that may not be done does nothing.
 *
 * A range that is unregistered under our hands is not touched from then on: what is left of a piece
 * that goes out is zeros, with an error behind it, and what comes in is thrown away.
 *
 * What is owed is bounded: one who asks for more than anybody's operations under way is no weft.
 */
#include <stdlib.h>

#include "transport/tcp/endpoint.h"
#include "weft/error.h"

/* ---- ranges ---- */

int weft__tcp_serve_reg(struct weft_tp_ep *ep, void *addr, size_t len_bytes, uint32_t access,
                        struct weft_tp_region **region_out)
{
    struct weft_tcp_region *region = calloc(1, sizeof(*region));
    if (!region)
        return weft_fail(WEFT_ENOMEM, "no memory for a registration");
    region->range.addr = addr;
    region->range.len_bytes = len_bytes;
    region->range.access = access;
    int err = weft__keys_add(&weft__tcp_ep(ep)->keys, &region->range);
    if (err)
        free(region);
    else
        *region_out = (struct weft_tp_region *)(void *)region;
    return err;
}

void weft__tcp_serve_key(struct weft_tp_region *base, struct weft_tp_key *key_out)
{
    const struct weft_tcp_region *region = (const struct weft_tcp_region *)(const void *)base;
    *key_out = (struct weft_tp_key){.key = region->range.key, .len_bytes = region->range.len_bytes};
}

static struct weft_tcp_region *region_of(struct weft_range *range)
{
    return (struct weft_tcp_region *)(void *)range; /* its first member */
}

/* Lets go of the range while pieces of it are on their way. */
static void forget(struct weft_tcp_conn *conn, const struct weft_tcp_region *region)
{
    struct weft_tcp_answer *answer;
    if (conn->into == WEFT_TCP_INTO_RANGE && conn->region == region)
        weft__tcp_serve_lose(conn);
    STAILQ_FOREACH(answer, &conn->answers, at)
    if (answer->region == region)
        weft__tcp_serve_spoil(answer);
}

void weft__tcp_serve_unreg(struct weft_tp_ep *base, struct weft_tp_region *tp_region)
{
    struct weft_tcp_ep *ep = weft__tcp_ep(base);
    struct weft_tcp_region *region = (struct weft_tcp_region *)(void *)tp_region;
    struct weft_tcp_conn *conn;
    weft__keys_remove(&ep->keys, &region->range);
    if (region->busy)
        TAILQ_FOREACH(conn, &ep->conns, at)
    forget(conn, region);
    free(region);
}

void weft__tcp_serve_free(struct weft_tcp_ep *ep)
{
    struct weft_range *range;
    while ((range = weft__keys_any(&ep->keys))) {
        weft__keys_remove(&ep->keys, range);
        free(region_of(range));
    }
}

static int find(struct weft_tcp_ep *ep, const struct weft_tcp_ask *ask, uint32_t access,
                struct weft_tcp_region **region_out)
{
    const struct weft_keys_ask wanted = {
        .key = ask->key, .offset = ask->offset, .len_bytes = ask->len, .access = access};
    struct weft_range *range;
    int err = weft__keys_lookup(&ep->keys, &wanted, &range);
    if (!err)
        *region_out = region_of(range);
    return err;
}

/* ---- answers ---- */

static int owe(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn, const struct weft_tcp_ask *ask,
               bool get)
{
    if (conn->answers_n == WEFT_TCP_ANSWERS_MAX)
        return WEFT_EPROTO;
    struct weft_tcp_answer *answer = calloc(1, sizeof(*answer));
    if (!answer)
        return weft_fail(WEFT_ENOMEM, "no memory for an answer");
    answer->ask = *ask;
    answer->get = get;
    STAILQ_INSERT_TAIL(&conn->answers, answer, at);
    conn->answers_n++;
    weft__tcp_conn_dirty(ep, conn);
    return WEFT_OK;
}

int weft__tcp_serve_get(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn,
                        const struct weft_tcp_ask *ask)
{
    struct weft_tcp_ask wanted = *ask;
    wanted.at = 0;
    wanted.err = WEFT_OK;
    return owe(ep, conn, &wanted, true);
}

/* The next piece of a get; false: there is none, the get is over. */
static bool piece_begin(struct weft_tcp_ep *ep, struct weft_tcp_answer *answer)
{
    struct weft_tcp_ask *ask = &answer->ask;
    struct weft_tcp_region *region;
    ask->err = find(ep, ask, WEFT_TP_READ, &region);
    if (ask->err || ask->at == ask->len)
        return false;
    uint64_t left = ask->len - ask->at;
    answer->piece = left < WEFT_TCP_PIECE ? (size_t)left : WEFT_TCP_PIECE;
    answer->ends = answer->piece == left;
    answer->region = region;
    answer->from = region->range.addr + ask->offset + ask->at;
    region->busy++;
    answer->frame = (struct weft_tcp_frame){
        {(uint32_t)(sizeof(*ask) + answer->piece), WEFT_TCP_DATA, WEFT_TCP_HEAD_MAGIC},
        {.id = ask->id, .at = ask->at}};
    answer->total = sizeof(answer->frame) + answer->piece;
    return true;
}

void weft__tcp_serve_begin(struct weft_tcp_ep *ep, struct weft_tcp_answer *answer)
{
    answer->total = answer->piece = 0;
    answer->ends = true;
    answer->data = answer->get && piece_begin(ep, answer);
    answer->done =
        (struct weft_tcp_frame){{sizeof(struct weft_tcp_ask), WEFT_TCP_DONE, WEFT_TCP_HEAD_MAGIC},
                                {.id = answer->ask.id, .err = answer->ask.err}};
    answer->total += answer->ends ? sizeof(answer->done) : 0;
}

static void let_go(struct weft_tcp_answer *answer)
{
    if (answer->region)
        answer->region->busy--;
    answer->region = NULL;
}

void weft__tcp_serve_spoil(struct weft_tcp_answer *answer)
{
    let_go(answer);
    if (!answer->sent) {
        answer->total = 0; /* it begins anew */
        return;
    }
    answer->from = NULL;
    answer->done.ask.err = WEFT_EACCES;
    if (answer->ends)
        return;
    answer->ends = true;
    answer->total += sizeof(answer->done);
}

void weft__tcp_serve_left(struct weft_tcp_conn *conn)
{
    struct weft_tcp_answer *answer = STAILQ_FIRST(&conn->answers);
    let_go(answer);
    STAILQ_REMOVE_HEAD(&conn->answers, at);
    if (answer->ends) {
        conn->answers_n--;
        free(answer);
        return;
    }
    answer->ask.at += answer->piece;
    answer->total = answer->sent = 0;
    STAILQ_INSERT_TAIL(&conn->answers, answer, at);
}

void weft__tcp_serve_fini(struct weft_tcp_conn *conn)
{
    struct weft_tcp_answer *answer;
    weft__tcp_serve_lose(conn);
    while ((answer = STAILQ_FIRST(&conn->answers))) {
        let_go(answer);
        STAILQ_REMOVE_HEAD(&conn->answers, at);
        free(answer);
    }
    conn->answers_n = 0;
}

/* ---- puts ---- */

int weft__tcp_serve_put(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn,
                        const struct weft_tcp_ask *ask, size_t len)
{
    struct weft_tcp_region *region;
    if (len > WEFT_TCP_PIECE || ask->at > ask->len || len > ask->len - ask->at)
        return WEFT_EPROTO;
    conn->put = *ask;
    conn->putting = true;
    conn->put.err = find(ep, ask, WEFT_TP_WRITE, &region);
    conn->into = WEFT_TCP_INTO_NOWHERE;
    if (conn->put.err)
        return WEFT_OK;
    region->busy++;
    conn->region = region;
    conn->body_at = region->range.addr + ask->offset + ask->at;
    conn->into = WEFT_TCP_INTO_RANGE;
    return WEFT_OK;
}

void weft__tcp_serve_lose(struct weft_tcp_conn *conn)
{
    if (conn->into != WEFT_TCP_INTO_RANGE)
        return;
    conn->region->busy--;
    conn->region = NULL;
    conn->into = WEFT_TCP_INTO_NOWHERE;
    conn->put.err = WEFT_EACCES;
}

int weft__tcp_serve_landed(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    const struct weft_tcp_ask put = conn->put;
    conn->putting = false;
    if (conn->into == WEFT_TCP_INTO_RANGE) {
        conn->region->busy--;
        conn->region = NULL;
    }
    bool last = conn->body_len == put.len - put.at;
    return last || put.err ? owe(ep, conn, &put, false) : WEFT_OK;
}

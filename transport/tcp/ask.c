/* One-sided operations of ours. A get leaves as one small frame and waits in link->asked for its
 * bytes, which are read straight into the caller's memory (receive.c); a put leaves piece by piece
 * straight from the caller's memory, in turn with whatever else the link sends, and waits for the
 * other side's word that the last byte is in place. So delivered means delivered.
 *
 * Both end with a DONE. A get whose bytes are all here waits for it, too: memory that goes away
 * under the other side's hands is known only then, after zeros in its place.
 *
 * Answers come over the connection that the question left by, and are looked for among the
 * operations of that link only: nobody else can answer. What comes for an operation that is over
 * is thrown away. The names of operations are counted, never used again, and found from the front
 * of the list, where those that were asked first are.
 */
#include "transport/tcp/endpoint.h"
#include "weft/error.h"

static struct weft_tp_op *next_of(struct weft_tp_op *op)
{
    return weft__op_node(op)->next;
}

/* ---- submitting ---- */

static int check(const struct weft_tcp_ep *ep, const struct weft_tcp_link *link)
{
    if (ep->closing)
        return weft_fail(WEFT_ESHUTDOWN, "the endpoint is closing");
    if (!link)
        return weft_fail(WEFT_EINVAL, "no such peer");
    return ep->in_flight == ep->sends_max || link->asks == WEFT_TCP_ASKS_MAX ? WEFT_EAGAIN
                                                                             : WEFT_OK;
}

/* Makes the next frame of a put. */
static void put_frame(struct weft_tcp_out *out)
{
    uint64_t left = out->frame.ask.len - out->frame.ask.at;
    size_t piece = left < WEFT_TCP_PIECE ? (size_t)left : WEFT_TCP_PIECE;
    out->frame.head = (struct weft_tcp_head){(uint32_t)(sizeof(out->frame.ask) + piece),
                                             WEFT_TCP_PUT, WEFT_TCP_HEAD_MAGIC};
    out->total = sizeof(out->frame) + piece;
}

static int submit(struct weft_tcp_ep *ep, struct weft_tp_peer peer, enum weft_tcp_what what,
                  const struct weft_tp_rma_desc *desc, struct weft_tp_op *op)
{
    struct weft_tcp_link *link = weft__slots_find(&ep->peers, peer.id);
    struct weft_tcp_out *out = weft__tcp_out(op);
    int err = check(ep, link);
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
    out->what = what;
    out->rma.local = desc->local;
    out->rma.turn = ++ep->asks;
    out->rma.back = 0;
    out->rma.asked = false;
    out->frame.ask = (struct weft_tcp_ask){.id = ep->asks,
                                           .key = desc->remote_key.key,
                                           .offset = desc->remote_offset,
                                           .len = desc->len_bytes};
    out->frame.head =
        (struct weft_tcp_head){sizeof(out->frame.ask), WEFT_TCP_GET, WEFT_TCP_HEAD_MAGIC};
    out->total = sizeof(out->frame);
    if (what == WEFT_TCP_OUT_PUT)
        put_frame(out);
    link->asks++;
    weft__tcp_send_queue(link, op);
    weft__tcp_send_push(ep, link);
    return WEFT_OK;
}

static int rma_get(struct weft_tp_ep *ep, struct weft_tp_peer peer,
                   const struct weft_tp_rma_desc *desc, struct weft_tp_op *op)
{
    return submit(weft__tcp_ep(ep), peer, WEFT_TCP_OUT_GET, desc, op);
}

static int rma_put(struct weft_tp_ep *ep, struct weft_tp_peer peer,
                   const struct weft_tp_rma_desc *desc, struct weft_tp_op *op)
{
    return submit(weft__tcp_ep(ep), peer, WEFT_TCP_OUT_PUT, desc, op);
}

/* ---- flush ---- */

static bool earlier_put(const struct weft_op_list *list, const struct weft_tcp_out *flush)
{
    for (struct weft_tp_op *op = list->first; op; op = next_of(op)) {
        const struct weft_tcp_out *out = weft__tcp_out(op);
        if (out->what == WEFT_TCP_OUT_PUT && out->peer_id == flush->peer_id &&
            out->rma.turn < flush->rma.turn)
            return true;
    }
    return false;
}

/* Ends the flushes that wait for nothing more. */
static void flushes_end(struct weft_tcp_ep *ep, struct weft_tcp_link *link)
{
    struct weft_op_list wait = link->flushes;
    struct weft_tp_op *op;
    link->flushes = (struct weft_op_list){NULL, NULL};
    while ((op = weft__op_pop(&wait))) {
        const struct weft_tcp_out *out = weft__tcp_out(op);
        if (earlier_put(&link->queue, out) || earlier_put(&link->asked, out))
            weft__op_append(&link->flushes, op);
        else
            weft__tcp_ask_end(ep, op, WEFT_OK);
    }
}

static int rma_flush(struct weft_tp_ep *base, struct weft_tp_peer peer, struct weft_tp_op *op)
{
    struct weft_tcp_ep *ep = weft__tcp_ep(base);
    struct weft_tcp_link *link = weft__slots_find(&ep->peers, peer.id);
    struct weft_tcp_out *out = weft__tcp_out(op);
    int err = check(ep, link);
    if (err)
        return err;
    ep->in_flight++;
    link->asks++;
    out->link = link;
    out->peer_id = peer.id;
    out->what = WEFT_TCP_OUT_FLUSH;
    out->sent = 0;
    out->rma.turn = ++ep->asks;
    if (link->lost) {
        weft__tcp_ask_end(ep, op, link->lost);
        return WEFT_OK;
    }
    weft__op_append(&link->flushes, op);
    flushes_end(ep, link);
    return WEFT_OK;
}

/* ---- what becomes of them ---- */

void weft__tcp_ask_left(struct weft_tcp_link *link, struct weft_tp_op *op)
{
    struct weft_tcp_out *out = weft__tcp_out(op);
    if (out->what == WEFT_TCP_OUT_PUT) {
        out->frame.ask.at += out->total - sizeof(out->frame);
        if (out->frame.ask.at < out->frame.ask.len) {
            put_frame(out);
            weft__tcp_send_queue(link, op);
            return;
        }
    } else {
        link->awaited += out->frame.ask.len;
    }
    out->rma.asked = true;
    weft__op_append(&link->asked, op);
}

void weft__tcp_ask_end(struct weft_tcp_ep *ep, struct weft_tp_op *op, int err)
{
    struct weft_tcp_out *out = weft__tcp_out(op);
    struct weft_tcp_link *link = out->link;
    struct weft_tcp_conn *conn = link->conn;
    link->asks--;
    if (out->what == WEFT_TCP_OUT_GET && out->rma.asked)
        link->awaited -= out->frame.ask.len - out->rma.back;
    if (conn && conn->into == WEFT_TCP_INTO_LOCAL && conn->op == op) {
        conn->into = WEFT_TCP_INTO_NOWHERE;
        conn->op = NULL;
    }
    out->link = NULL;
    weft__tcp_finish(ep, op, err);
}

void weft__tcp_ask_cancel(struct weft_tcp_ep *ep, struct weft_tp_op *op)
{
    struct weft_tcp_link *link = weft__tcp_out(op)->link;
    weft__tcp_ask_end(ep, op, WEFT_ECANCELED);
    flushes_end(ep, link);
}

void weft__tcp_ask_lose(struct weft_tcp_ep *ep, struct weft_tp_op *op, int err)
{
    weft__op_remove(&weft__tcp_out(op)->link->asked, op);
    weft__tcp_ask_end(ep, op, err);
}

static void fail_list(struct weft_tcp_ep *ep, struct weft_op_list *list, uint32_t peer_id, int err)
{
    struct weft_op_list all = *list;
    struct weft_tp_op *op;
    *list = (struct weft_op_list){NULL, NULL};
    while ((op = weft__op_pop(&all))) {
        if (peer_id && weft__tcp_out(op)->peer_id != peer_id)
            weft__op_append(list, op);
        else
            weft__tcp_ask_end(ep, op, err);
    }
}

void weft__tcp_ask_fail(struct weft_tcp_ep *ep, struct weft_tcp_link *link, uint32_t peer_id,
                        int err)
{
    fail_list(ep, &link->asked, peer_id, err);
    fail_list(ep, &link->flushes, peer_id, err);
}

/* ---- answers ---- */

static struct weft_tp_op *find_in(const struct weft_op_list *list, uint64_t id)
{
    struct weft_tp_op *op = list->first;
    while (op &&
           (weft__tcp_out(op)->what == WEFT_TCP_OUT_SEND || weft__tcp_out(op)->frame.ask.id != id))
        op = next_of(op);
    return op;
}

static struct weft_tp_op *find(const struct weft_tcp_conn *conn, uint64_t id)
{
    const struct weft_tcp_link *link = conn->link;
    if (link->conn != conn)
        return NULL;
    struct weft_tp_op *op = find_in(&link->asked, id);
    return op ? op : find_in(&link->queue, id);
}

int weft__tcp_ask_data(const struct weft_tcp_conn *conn, const struct weft_tcp_ask *ask, size_t len,
                       struct weft_tp_op **op_out)
{
    struct weft_tp_op *op = find(conn, ask->id);
    if (op) {
        const struct weft_tcp_out *out = weft__tcp_out(op);
        if (out->what != WEFT_TCP_OUT_GET || !out->rma.asked || ask->at != out->rma.back ||
            len > out->frame.ask.len - out->rma.back)
            return WEFT_EPROTO;
    }
    *op_out = op;
    return WEFT_OK;
}

void weft__tcp_ask_landed(struct weft_tp_op *op, size_t len)
{
    weft__tcp_out(op)->rma.back += len;
    weft__tcp_out(op)->link->awaited -= len;
}

/* Takes a put out of the queue that the other side has refused. */
static int put_refused(struct weft_tcp_conn *conn, struct weft_tp_op *op)
{
    const struct weft_tcp_out *out = weft__tcp_out(op);
    if (out->what != WEFT_TCP_OUT_PUT || (!out->sent && !out->frame.ask.at))
        return WEFT_EPROTO; /* it cannot know of it */
    int err = out->sent ? weft__tcp_vector_keep(conn, op) : WEFT_OK;
    weft__tcp_send_remove(op);
    return err;
}

int weft__tcp_ask_done(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn,
                       const struct weft_tcp_ask *ask)
{
    struct weft_tp_op *op = find(conn, ask->id);
    if (!op)
        return WEFT_OK;
    struct weft_tcp_link *link = conn->link;
    const struct weft_tcp_out *out = weft__tcp_out(op);
    bool put = out->what == WEFT_TCP_OUT_PUT;
    bool whole = out->rma.asked && (put || out->rma.back == out->frame.ask.len);
    int err = WEFT_OK;
    if (!ask->err && !whole)
        return WEFT_EPROTO;
    if (out->rma.asked)
        weft__op_remove(&link->asked, op);
    else if ((err = put_refused(conn, op)) == WEFT_EPROTO)
        return err;
    weft__tcp_ask_end(ep, op, ask->err ? WEFT_EACCES : WEFT_OK);
    if (put)
        flushes_end(ep, link);
    return err;
}

const struct weft_tp_rma_ops weft__tcp_rma_ops = {
    .reg = weft__tcp_serve_reg,
    .unreg = weft__tcp_serve_unreg,
    .key = weft__tcp_serve_key,
    .get = rma_get,
    .put = rma_put,
    .flush = rma_flush,
};

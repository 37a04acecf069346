/* The endpoint: opening, closing, peers, progress, sleep.
 *
 * An endpoint belongs to one thread; whatever another thread may touch lies in its box, which is
 * counted and outlives it. That an endpoint has closed is told to the others by a count of leavers
 * and a wake-up: they look through their peers when the count has changed. A notice per connection
 * was rejected: it would need a list of who refers to whom, and a lock.
 */
#include <stdlib.h>
#include <string.h>

#include "transport/inproc/endpoint.h"
#include "transport/inproc/registry.h"
#include "weft/error.h"

#define MSG_DEFAULT_BYTES ((8u << 20) + (64u << 10))
#define SENDS_DEFAULT 1024

static const unsigned char address_magic[4] = {'i', 'n', 'p', '1'};

static int set_desc(struct weft_inproc_ep *ep, const struct weft_tp_open *desc)
{
    const char *name = desc->bind ? desc->bind : "inproc";
    if (strlen(name) == 0 || strlen(name) >= sizeof(ep->name))
        return weft_fail(WEFT_EINVAL, "'%s': a name has 1 to %zu characters", name,
                         sizeof(ep->name) - 1);
    if (desc->port_first > desc->port_last)
        return weft_fail(WEFT_EINVAL, "ports %u-%u: the first is above the last", desc->port_first,
                         desc->port_last);
    strcpy(ep->name, name);
    ep->base.transport = &weft__tp_inproc;
    if (desc->handlers)
        ep->on = *desc->handlers;
    ep->ctx = desc->ctx;
    ep->families = desc->families;
    ep->msg_max_bytes = desc->msg_max_bytes ? desc->msg_max_bytes : MSG_DEFAULT_BYTES;
    ep->sends_max = desc->sends_max ? desc->sends_max : SENDS_DEFAULT;
    ep->port_first = desc->port_first;
    ep->port_last = desc->port_last;
    weft__slots_init(&ep->peers, WEFT_INPROC_PEERS_MAX);
    return WEFT_OK;
}

static int ep_open(const struct weft_tp_open *desc, struct weft_tp_ep **ep_out)
{
    struct weft_inproc_ep *ep = calloc(1, sizeof(*ep));
    if (!ep)
        return weft_fail(WEFT_ENOMEM, "no memory for an inproc endpoint");
    int err = set_desc(ep, desc);
    if (!err)
        err = weft__inproc_box_new(&ep->box);
    if (err) {
        free(ep);
        return err;
    }
    weft__inproc_enter(ep->box);
    ep->leaves_seen = weft__inproc_leaves();
    *ep_out = &ep->base;
    return WEFT_OK;
}

void weft__inproc_finish(struct weft_inproc_ep *ep, struct weft_tp_op *op, int err)
{
    weft__op_node(op)->err = err;
    weft__op_append(&ep->finished, op);
}

int weft__inproc_may_submit(const struct weft_inproc_ep *ep)
{
    if (ep->closing)
        return weft_fail(WEFT_ESHUTDOWN, "the endpoint is closing");
    return ep->in_flight < ep->sends_max ? WEFT_OK : WEFT_EAGAIN;
}

struct weft_inproc_box *weft__inproc_peer_box(const struct weft_inproc_peer *peer)
{
    if (!peer->box || peer->told || atomic_load_explicit(&peer->box->closed, memory_order_acquire))
        return NULL;
    return peer->box;
}

static void peer_free(struct weft_inproc_peer *peer)
{
    weft__inproc_waiter_put(peer->waiter);
    if (peer->ring)
        weft__inproc_box_give_back(peer->box, peer->ring);
    weft__inproc_box_put(peer->box);
    free(peer);
}

static void ep_close(struct weft_tp_ep *base)
{
    struct weft_inproc_ep *ep = weft__inproc_ep(base);
    struct weft_inproc_peer *peer;
    uint32_t cursor = 0, id;
    ep->closing = true;
    while ((peer = weft__slots_next(&ep->peers, &cursor, &id)))
        weft__inproc_sends_fail(ep, peer, WEFT_ECANCELED);
    weft__inproc_copies_fail(ep, 0, WEFT_ECANCELED);
    (void)weft__ops_finish(&ep->finished, &ep->in_flight, ep->closing);
    weft__inproc_leave(ep->box);
    cursor = 0;
    while ((peer = weft__slots_next(&ep->peers, &cursor, &id)))
        peer_free(peer);
    weft__slots_fini(&ep->peers);
    weft__inproc_box_put(ep->box);
    free(ep);
}

static int ep_address(struct weft_tp_ep *base, struct weft_tp_addr *addr_out)
{
    const struct weft_inproc_ep *ep = weft__inproc_ep(base);
    addr_out->len = sizeof(address_magic) + sizeof(ep->box->serial);
    memcpy(addr_out->bytes, address_magic, sizeof(address_magic));
    memcpy(addr_out->bytes + sizeof(address_magic), &ep->box->serial, sizeof(ep->box->serial));
    return WEFT_OK;
}

static int ep_peer_add(struct weft_tp_ep *base, const struct weft_tp_addr *addr,
                       struct weft_tp_peer *peer_out)
{
    struct weft_inproc_ep *ep = weft__inproc_ep(base);
    uint64_t serial;
    if (addr->len != sizeof(address_magic) + sizeof(serial) ||
        memcmp(addr->bytes, address_magic, sizeof(address_magic)) != 0)
        return weft_fail(WEFT_EINVAL, "not an address of an inproc endpoint");
    memcpy(&serial, addr->bytes + sizeof(address_magic), sizeof(serial));
    struct weft_inproc_peer *peer = calloc(1, sizeof(*peer));
    if (!peer)
        return weft_fail(WEFT_ENOMEM, "no memory for a peer");
    int err = weft__slots_put(&ep->peers, peer, &peer->id);
    if (err) {
        free(peer);
        return err;
    }
    peer->box = weft__inproc_find(serial);
    if (peer->box)
        peer->ring = weft__inproc_box_borrow(peer->box);
    else
        ep->look = true;
    peer_out->id = peer->id;
    return WEFT_OK;
}

static void ep_peer_drop(struct weft_tp_ep *base, struct weft_tp_peer id)
{
    struct weft_inproc_ep *ep = weft__inproc_ep(base);
    struct weft_inproc_peer *peer = weft__slots_take(&ep->peers, id.id);
    if (!peer)
        return;
    weft__inproc_sends_fail(ep, peer, WEFT_ECANCELED);
    weft__inproc_copies_fail(ep, id.id, WEFT_ECANCELED);
    peer_free(peer);
}

static void letter_take(struct weft_inproc_ep *ep, const struct weft_inproc_letter *letter)
{
    switch (letter->kind) {
    case WEFT_INPROC_MESSAGE:
        if (ep->on.message)
            ep->on.message(ep->ctx, letter->data, letter->len_bytes);
        break;
    case WEFT_INPROC_REQUEST:
    case WEFT_INPROC_PUSH:
        weft__inproc_request_take(ep, letter);
        break;
    case WEFT_INPROC_REPLY:
        weft__inproc_reply_take(ep, letter);
        break;
    }
}

static int ring_take(struct weft_inproc_ep *ep, unsigned ring)
{
    struct weft_inproc_cell *cell;
    int n = 0;
    while (n < WEFT_INPROC_BUDGET && (cell = weft__inproc_box_peek(ep->box, ring))) {
        if (cell->len_bytes == WEFT_INPROC_IN_LETTER) {
            letter_take(ep, cell->letter);
            free(cell->letter);
        } else if (ep->on.message) {
            ep->on.message(ep->ctx, cell->data, cell->len_bytes);
        }
        weft__inproc_box_take(ep->box, ring);
        n++;
    }
    return n;
}

static int letters_take(struct weft_inproc_ep *ep)
{
    int n = 0;
    for (unsigned ring = 0; ring < WEFT_INPROC_RINGS; ring++)
        n += ring_take(ep, ring);
    return n;
}

/* A ctl peer stays usable: it looks for its port again. */
static void peer_gone(struct weft_inproc_ep *ep, struct weft_inproc_peer *peer)
{
    uint32_t id = peer->id;
    if (peer->ctl) {
        weft__inproc_box_put(peer->box);
        peer->box = NULL;
    } else {
        peer->told = true;
        weft__inproc_sends_fail(ep, peer, WEFT_EPEERDEAD);
        weft__inproc_copies_fail(ep, id, WEFT_EPEERDEAD);
    }
    if (ep->on.peer_lost)
        ep->on.peer_lost(ep->ctx, (struct weft_tp_peer){id});
}

static int leavers_look(struct weft_inproc_ep *ep)
{
    struct weft_inproc_peer *peer;
    uint32_t cursor = 0, id;
    uint64_t leaves = weft__inproc_leaves();
    int n = 0;
    if (leaves == ep->leaves_seen && !ep->look)
        return 0;
    ep->leaves_seen = leaves;
    ep->look = false;
    while ((peer = weft__slots_next(&ep->peers, &cursor, &id))) {
        if (peer->told || weft__inproc_peer_box(peer) || (peer->ctl && !peer->box))
            continue;
        peer_gone(ep, peer);
        n++;
    }
    return n;
}

static int ep_progress(struct weft_tp_ep *base)
{
    struct weft_inproc_ep *ep = weft__inproc_ep(base);
    int n = ep->finished.first ? weft__ops_finish(&ep->finished, &ep->in_flight, ep->closing) : 0;
    n += letters_take(ep);
    n += leavers_look(ep);
    if (ep->copies.first)
        n += weft__inproc_copies_run(ep);
    if (ep->waiting)
        n += weft__inproc_sends_retry(ep);
    return n;
}

static int ep_wait_fd(struct weft_tp_ep *ep)
{
    return weft__inproc_ep(ep)->box->wake.fd;
}

/* The wake-up is drained here and not in progress(): who never sleeps costs nobody a system call.
 */
static int ep_wait_arm(struct weft_tp_ep *base)
{
    struct weft_inproc_ep *ep = weft__inproc_ep(base);
    bool armed = weft__inproc_box_arm(ep->box);
    bool ready = ep->waiting && !weft__inproc_sends_arm(ep);
    ready |= ep->finished.first || ep->copies.first || ep->look;
    ready |= weft__inproc_leaves() != ep->leaves_seen;
    return ready || !armed ? WEFT_EAGAIN : WEFT_OK;
}

static int ep_cancel(struct weft_tp_ep *base, struct weft_tp_op *op)
{
    struct weft_inproc_ep *ep = weft__inproc_ep(base);
    if (weft__op_remove(&ep->copies, op)) {
        weft__inproc_finish(ep, op, WEFT_ECANCELED);
        return WEFT_OK;
    }
    return weft__inproc_send_cancel(ep, op) ? WEFT_OK : WEFT_EBUSY;
}

static void ep_limits(struct weft_tp_ep *base, struct weft_tp_limits *limits_out)
{
    const struct weft_inproc_ep *ep = weft__inproc_ep(base);
    *limits_out = (struct weft_tp_limits){
        .msg_max_bytes = ep->msg_max_bytes,
        .rma_max_bytes = SIZE_MAX,
        .sends_max = ep->sends_max,
        .peers_max = WEFT_INPROC_PEERS_MAX,
        .needs_target_poll = false,
    };
}

static const struct weft_tp_core_ops core_ops = {
    .open = ep_open,
    .close = ep_close,
    .address = ep_address,
    .peer_add = ep_peer_add,
    .peer_drop = ep_peer_drop,
    .progress = ep_progress,
    .wait_fd = ep_wait_fd,
    .wait_arm = ep_wait_arm,
    .cancel = ep_cancel,
    .limits = ep_limits,
};

const struct weft_transport weft__tp_inproc = {
    .scheme = "inproc",
    .core = &core_ops,
    .ctl = &weft__inproc_ctl_ops,
    .msg = &weft__inproc_msg_ops,
    .rma = &weft__inproc_rma_ops,
};

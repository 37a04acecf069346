/* The endpoint: it opens X with its own handlers and stands between it and the caller.
 *
 * Peers have numbers of their own, because a control connection that is cut gets a new peer of X's
 * behind the old number: what was under way on the old one is gone, as with a connection that a
 * network broke. Where a spec asks for delays of the clock, the endpoint waits on an epoll
 * descriptor over X's and a timer; with delays in calls to progress() it never sleeps while it
 * holds something; where the caller keeps the time, the caller knows when to drive it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "transport/fault/endpoint.h"
#include "weft/error.h"

#define PEERS_MAX 32768
#define HELD_IN_MAX 4096 /* letters from X; beyond, X keeps them */

static const struct weft_tp_core_ops core_ops;

struct weft_fault_fate weft__fault_fate(struct weft_fault_ep *ep, enum weft_fault_way way,
                                        enum weft_fault_kind kind)
{
    return weft__fault_throw(&ep->dice[way], &ep->plan, way, kind);
}

struct weft_fault_peer *weft__fault_peer_of(const struct weft_fault_ep *ep,
                                            struct weft_tp_peer inner)
{
    struct weft_fault_peer *peer;
    uint32_t cursor = 0, id;
    while ((peer = weft__slots_next(&ep->peers, &cursor, &id)))
        if (peer->inner.id == inner.id && peer->dead == WEFT_OK)
            return peer;
    return NULL;
}

static void peer_free(struct weft_fault_peer *peer)
{
    free(peer->url);
    free(peer);
}

static int peer_new(struct weft_fault_ep *ep, const char *url, struct weft_fault_peer **peer_out)
{
    struct weft_fault_peer *peer = calloc(1, sizeof(*peer));
    if (peer && url)
        peer->url = strdup(url);
    if (!peer || (url && !peer->url)) {
        free(peer);
        return weft_fail(WEFT_ENOMEM, "no memory for a peer");
    }
    int err = weft__slots_put(&ep->peers, peer, &peer->id);
    if (err)
        peer_free(peer);
    else
        *peer_out = peer;
    return err;
}

int weft__fault_peer_enter(struct weft_fault_ep *ep, struct weft_tp_peer inner, const char *url,
                           struct weft_fault_peer **peer_out)
{
    struct weft_fault_peer *peer = weft__fault_peer_of(ep, inner);
    int err = peer ? WEFT_OK : peer_new(ep, url, &peer);
    if (err) {
        ep->tp->core->peer_drop(ep->inner, inner);
        return err;
    }
    peer->inner = inner;
    peer->refs++;
    *peer_out = peer;
    return WEFT_OK;
}

/* A control peer connects anew, as often as the caller has connected. */
static int connect_anew(struct weft_fault_ep *ep, struct weft_fault_peer *peer)
{
    int err = WEFT_OK;
    for (uint32_t i = 0; i < peer->refs && err == WEFT_OK; i++)
        err = ep->tp->ctl->connect(ep->inner, peer->url, peer->mode, &peer->inner);
    return err;
}

void weft__fault_cut(struct weft_fault_ep *ep, struct weft_fault_peer *peer)
{
    if (peer->dead)
        return;
    struct weft_fault_item *lost = weft__fault_item_new(ep, WEFT_FAULT_LOST, NULL, 0);
    if (!lost)
        return; /* a fault less */
    ep->counts.cut++;
    weft__fault_peer_end(ep, peer, WEFT_EPEERDEAD);
    peer->dead = WEFT_EPEERDEAD;
    for (uint32_t i = 0; i < peer->refs; i++)
        ep->tp->core->peer_drop(ep->inner, peer->inner);
    if (peer->url)
        peer->dead = connect_anew(ep, peer);
    lost->peer_id = peer->id;
    weft__fault_hold_next(ep, lost);
}

static void take_lost(void *ctx, struct weft_tp_peer inner)
{
    struct weft_fault_ep *ep = ctx;
    const struct weft_fault_peer *peer = weft__fault_peer_of(ep, inner);
    if (peer && ep->on.peer_lost)
        ep->on.peer_lost(ep->ctx, (struct weft_tp_peer){peer->id});
}

/* X has noted why: the caller that does not ask is told the usual way. */
static void take_refused(void *ctx, struct weft_tp_peer inner)
{
    struct weft_fault_ep *ep = ctx;
    const struct weft_fault_peer *peer = weft__fault_peer_of(ep, inner);
    if (peer && ep->on.peer_refused)
        ep->on.peer_refused(ep->ctx, (struct weft_tp_peer){peer->id});
    else
        take_lost(ctx, inner);
}

static void take_unreached(void *ctx, struct weft_tp_peer inner)
{
    struct weft_fault_ep *ep = ctx;
    const struct weft_fault_peer *peer = weft__fault_peer_of(ep, inner);
    if (peer && ep->on.peer_unreached)
        ep->on.peer_unreached(ep->ctx, (struct weft_tp_peer){peer->id});
    else
        take_lost(ctx, inner);
}

static void take_gone(void *ctx, const struct weft_tp_from *from)
{
    struct weft_fault_ep *ep = ctx;
    if (ep->on.client_gone)
        ep->on.client_gone(ep->ctx, from);
}

static const struct weft_tp_handlers handlers = {
    .message = weft__fault_message_take,
    .request = weft__fault_request_take,
    .reply = weft__fault_reply_take,
    .peer_lost = take_lost,
    .peer_refused = take_refused,
    .peer_unreached = take_unreached,
    .client_gone = take_gone,
};

static int watch(int epoll_fd, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int open_timer(struct weft_fault_ep *ep)
{
    int inner_fd = ep->tp->core->wait_fd(ep->inner);
    if (!ep->clock || ep->caller_keeps_time || inner_fd < 0)
        return WEFT_OK;
    ep->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    ep->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (ep->epoll_fd < 0 || ep->timer_fd < 0 || watch(ep->epoll_fd, inner_fd) != 0 ||
        watch(ep->epoll_fd, ep->timer_fd) != 0)
        return weft_fail(WEFT_EMFILE, "no timer for a faulty endpoint: %s", strerror(errno));
    return WEFT_OK;
}

static void ep_usage(struct weft_tp_ep *base, struct weft_tp_usage *usage_out)
{
    struct weft_fault_ep *ep = weft__fault_ep(base);
    *usage_out = (struct weft_tp_usage){0};
    if (ep->tp->usage)
        ep->tp->usage(ep->inner, usage_out);
}

static int open_inner(struct weft_fault_ep *ep, const struct weft_fault_desc *fault,
                      const struct weft_tp_open *desc)
{
    struct weft_tp_open inner = *desc;
    inner.handlers = &handlers;
    inner.ctx = ep;
    int err = fault->open ? fault->open(fault->inner, &inner, &ep->inner)
                          : fault->inner->core->open(&inner, &ep->inner);
    if (err)
        return err;
    ep->tp = ep->inner->transport;
    ep->tp->core->limits(ep->inner, &ep->limits);
    ep->table = (struct weft_transport){
        .scheme = ep->tp->scheme,
        .core = &core_ops,
        .usage = ep_usage,
        .ctl = ep->tp->ctl ? &weft__fault_ctl_ops : NULL,
        .msg = ep->tp->msg ? &weft__fault_msg_ops : NULL,
        .rma = ep->tp->rma ? &ep->rma : NULL,
    };
    ep->rma = weft__fault_rma_ops;
    ep->rma.key = ep->tp->rma ? ep->tp->rma->key : NULL;
    return open_timer(ep);
}

static void ep_fini(struct weft_fault_ep *ep)
{
    struct weft_fault_peer *peer;
    uint32_t cursor = 0, id;
    while ((peer = weft__slots_next(&ep->peers, &cursor, &id)))
        peer_free(peer);
    weft__slots_fini(&ep->peers);
    if (ep->epoll_fd >= 0)
        close(ep->epoll_fd);
    if (ep->timer_fd >= 0)
        close(ep->timer_fd);
    free(ep);
}

/* Delays in the one unit that everything here is held by. */
static int check_delay(const struct weft_fault_plan *plan, bool clock)
{
    if (!plan->delay || plan->clock == clock)
        return WEFT_OK;
    return weft_fail(WEFT_EINVAL, "fault spec: 'delay': this endpoint holds letters by %s",
                     clock ? "a clock: expected a time such as 5ms or 200us"
                           : "calls to progress(): expected a number of them");
}

int weft__fault_open(const struct weft_fault_desc *fault, const struct weft_tp_open *desc,
                     struct weft_tp_ep **ep_out)
{
    struct weft_fault_plan plan;
    int err = weft__fault_plan(fault->spec, &plan);
    if (!err && fault->clock)
        err = check_delay(&plan, true);
    if (err)
        return err;
    struct weft_fault_ep *ep = calloc(1, sizeof(*ep));
    if (!ep)
        return weft_fail(WEFT_ENOMEM, "no memory for an endpoint");
    ep->base.transport = &ep->table;
    ep->plan = plan;
    ep->caller_keeps_time = fault->clock != NULL;
    ep->clock = fault->clock ? fault->clock : plan.clock ? weft__clock_real() : NULL;
    ep->epoll_fd = ep->timer_fd = -1;
    ep->end = &ep->first;
    for (unsigned way = 0; way < WEFT_FAULT_WAYS; way++)
        weft__fault_dice_init(&ep->dice[way], &plan, way);
    weft__slots_init(&ep->peers, PEERS_MAX);
    if (desc->handlers)
        ep->on = *desc->handlers;
    ep->ctx = desc->ctx;
    err = open_inner(ep, fault, desc);
    if (!err) {
        *ep_out = &ep->base;
        return WEFT_OK;
    }
    if (ep->inner)
        ep->tp->core->close(ep->inner);
    ep_fini(ep);
    return err;
}

int weft__fault_change(struct weft_tp_ep *base, const char *spec)
{
    struct weft_fault_ep *ep = weft__fault_ep(base);
    struct weft_fault_plan plan;
    int err = weft__fault_plan(spec, &plan);
    if (!err)
        err = check_delay(&plan, ep->clock != NULL);
    if (!err)
        ep->plan = plan;
    return err;
}

uint64_t weft__fault_due_ns(const struct weft_tp_ep *ep)
{
    uint64_t due;
    (void)weft__fault_due(weft__fault_ep(ep), &due);
    return due;
}

void weft__fault_counts(const struct weft_tp_ep *ep, struct weft_fault_counts *counts_out)
{
    *counts_out = weft__fault_ep(ep)->counts;
}

/* The table's open has no X to open. */
static int ep_open(const struct weft_tp_open *desc, struct weft_tp_ep **ep_out)
{
    (void)desc;
    (void)ep_out;
    return weft_fail(WEFT_ENOTSUP, "a faulty endpoint is opened by weft__fault_open");
}

static void ep_close(struct weft_tp_ep *base)
{
    struct weft_fault_ep *ep = weft__fault_ep(base);
    ep->closing = true;
    ep->tp->core->close(ep->inner);
    weft__fault_items_fini(ep);
    ep_fini(ep);
}

static int ep_address(struct weft_tp_ep *base, struct weft_tp_addr *addr_out)
{
    const struct weft_fault_ep *ep = weft__fault_ep(base);
    return ep->tp->core->address(ep->inner, addr_out);
}

static int ep_peer_add(struct weft_tp_ep *base, const struct weft_tp_addr *addr,
                       struct weft_tp_peer *peer_out)
{
    struct weft_fault_ep *ep = weft__fault_ep(base);
    struct weft_fault_peer *peer;
    struct weft_tp_peer inner;
    int err = ep->tp->core->peer_add(ep->inner, addr, &inner);
    if (!err)
        err = weft__fault_peer_enter(ep, inner, NULL, &peer);
    if (!err)
        peer_out->id = peer->id;
    return err;
}

static void ep_peer_drop(struct weft_tp_ep *base, struct weft_tp_peer id)
{
    struct weft_fault_ep *ep = weft__fault_ep(base);
    struct weft_fault_peer *peer = ep->closing ? NULL : weft__slots_find(&ep->peers, id.id);
    if (!peer)
        return;
    bool last = --peer->refs == 0;
    bool dead = peer->dead != WEFT_OK;
    struct weft_tp_peer inner = peer->inner;
    if (last) {
        weft__fault_peer_end(ep, peer, WEFT_ECANCELED);
        weft__slots_take(&ep->peers, id.id);
        peer_free(peer);
    }
    if (!dead)
        ep->tp->core->peer_drop(ep->inner, inner);
}

static int ep_progress(struct weft_tp_ep *base)
{
    struct weft_fault_ep *ep = weft__fault_ep(base);
    ep->calls++;
    int n = weft__fault_run(ep);
    if (ep->held_in >= HELD_IN_MAX)
        return n;
    int moved = ep->tp->core->progress(ep->inner);
    if (moved < 0)
        return moved;
    return n + moved + weft__fault_run(ep);
}

static int ep_wait_fd(struct weft_tp_ep *base)
{
    const struct weft_fault_ep *ep = weft__fault_ep(base);
    if (ep->caller_keeps_time)
        return -1;
    return ep->epoll_fd >= 0 ? ep->epoll_fd : ep->tp->core->wait_fd(ep->inner);
}

static void set_timer(const struct weft_fault_ep *ep, uint64_t due_ns)
{
    struct itimerspec at = {
        .it_value = {(time_t)(due_ns / WEFT_NS_PER_S), (long)(due_ns % WEFT_NS_PER_S)}};
    if (ep->timer_fd >= 0)
        timerfd_settime(ep->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static int ep_wait_arm(struct weft_tp_ep *base)
{
    const struct weft_fault_ep *ep = weft__fault_ep(base);
    uint64_t due;
    if (weft__fault_due(ep, &due))
        return WEFT_EAGAIN;
    set_timer(ep, due == WEFT_NEVER ? 0 : due); /* 0: none */
    return ep->tp->core->wait_arm(ep->inner);
}

static void ep_limits(struct weft_tp_ep *base, struct weft_tp_limits *limits_out)
{
    *limits_out = weft__fault_ep(base)->limits;
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
    .cancel = weft__fault_cancel,
    .limits = ep_limits,
};

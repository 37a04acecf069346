/* The endpoint: opening, closing, moving things, sleeping.
 *
 * One libzmq context per endpoint: its I/O thread, sockets and memory end with it, close() is
 * bounded by the linger time, and no endpoint can use up another's sockets. A context per process
 * would save a thread per endpoint and was rejected: closing one endpoint could not be told from
 * closing all, and nobody would own it.
 *
 * wait_fd is an epoll descriptor over the sockets' own descriptors. progress() asks it first, so
 * that an idle poll costs one system call however many sockets there are.
 */
#include <arpa/inet.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "transport/zmq/endpoint.h"
#include "weft/error.h"

#define MSG_DEFAULT_BYTES (256u << 10)
#define CTL_DEFAULT_BYTES ((8u << 20) + (64u << 10))
#define SENDS_DEFAULT 1024
#define QUEUE_BYTES (32u << 20) /* per msg peer and end: depth is what fits */
#define SOCKETS_MAX 4096        /* one per url that is pushed to, and a few */

static int set_bind(struct weft_zmq_ep *ep, const char *bind)
{
    unsigned char raw[sizeof(struct in6_addr)];
    if (!bind)
        bind = "127.0.0.1";
    ep->ipv6 = strchr(bind, ':') != NULL;
    if (strlen(bind) >= sizeof(ep->bind) ||
        inet_pton(ep->ipv6 ? AF_INET6 : AF_INET, bind, raw) != 1)
        return weft_fail(WEFT_EINVAL, "%s is not a numeric address", bind);
    strcpy(ep->bind, bind);
    return WEFT_OK;
}

static int clamp_depth(size_t msg_max_bytes)
{
    size_t depth = QUEUE_BYTES / (msg_max_bytes ? msg_max_bytes : 1);
    return depth < 16 ? 16 : depth > 1024 ? 1024 : (int)depth;
}

static int set_desc(struct weft_zmq_ep *ep, const struct weft_tp_open *desc)
{
    if (desc->families & ~(uint32_t)(WEFT_TP_CTL | WEFT_TP_MSG))
        return weft_fail(WEFT_ENOTSUP, "zmq has ctl and msg; put the shim over it for rma");
    if (desc->port_first > desc->port_last)
        return weft_fail(WEFT_EINVAL, "ports %u-%u: the first is above the last", desc->port_first,
                         desc->port_last);
    bool msg = desc->families & WEFT_TP_MSG;
    ep->base.transport = &weft__tp_zmq;
    if (desc->handlers)
        ep->on = *desc->handlers;
    ep->ctx = desc->ctx;
    ep->port_first = desc->port_first;
    ep->port_last = desc->port_last;
    ep->families = desc->families;
    ep->sends_max = desc->sends_max ? desc->sends_max : SENDS_DEFAULT;
    ep->msg_max_bytes = desc->msg_max_bytes ? desc->msg_max_bytes
                        : msg               ? MSG_DEFAULT_BYTES
                                            : CTL_DEFAULT_BYTES;
    ep->depth = clamp_depth(ep->msg_max_bytes);
    ep->security = desc->security;
    ep->connections_max = desc->connections_max;
    weft__slots_init(&ep->peers, WEFT_ZMQ_PEERS_MAX);
    weft__slots_init(&ep->routes, 2 * WEFT_ZMQ_PEERS_MAX);
    return set_bind(ep, desc->bind);
}

static int open_waits(struct weft_zmq_ep *ep)
{
    ep->epfd = epoll_create1(EPOLL_CLOEXEC);
    ep->timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN};
    if (ep->epfd < 0 || ep->timerfd < 0 ||
        epoll_ctl(ep->epfd, EPOLL_CTL_ADD, ep->timerfd, &event) != 0)
        return weft_fail(
            -errno, "cannot open a zmq endpoint: %s; raise the limit of open files (ulimit -n)",
            strerrordesc_np(errno));
    ep->zctx = zmq_ctx_new();
    if (!ep->zctx)
        return weft__zmq_fail("cannot open a zmq context");
    zmq_ctx_set(ep->zctx, ZMQ_MAX_SOCKETS, SOCKETS_MAX);
    return WEFT_OK;
}

static int open_msg(struct weft_zmq_ep *ep)
{
    uint16_t port;
    int err = weft__zmq_sock_open(ep, ZMQ_DEALER, ep->depth, &ep->in);
    if (!err)
        err = weft__zmq_set_liveness(ep->in.handle, WEFT_ZMQ_MESSAGE);
    if (!err)
        err = weft__zmq_curve_server(ep, ep->in.handle);
    if (!err)
        err = weft__zmq_gate_open(ep, &ep->in_gate, ep->in.handle);
    if (!err)
        err = weft__zmq_bind(ep, ep->in.handle, 0, &port);
    if (!err)
        ep->in_gate.port = port;
    if (!err)
        snprintf(ep->address, sizeof(ep->address), ep->ipv6 ? "tcp://[%s]:%u" : "tcp://%s:%u",
                 ep->bind, (unsigned)port);
    return err;
}

/* Waits at most WEFT_ZMQ_LINGER_MS, for peers that have not taken what was sent to them. */
static void ep_free(struct weft_zmq_ep *ep)
{
    weft__zmq_sock_close(&ep->monitor);
    weft__zmq_sock_close(&ep->out);
    weft__zmq_gate_close(&ep->in_gate);
    weft__zmq_sock_close(&ep->in);
    for (unsigned i = 0; i < ep->ports_n; i++) {
        weft__zmq_gate_close(&ep->ports[i].gate);
        weft__zmq_sock_close(&ep->ports[i].sock);
    }
    weft__zmq_sock_close(&ep->zap);
    while (ep->zctx && zmq_ctx_term(ep->zctx) != 0 && zmq_errno() == EINTR) {
    }
    weft__zmq_debts_fini(&ep->debts);
    weft__zmq_origins_fini(&ep->origins);
    if (ep->epfd >= 0)
        close(ep->epfd);
    if (ep->timerfd >= 0)
        close(ep->timerfd);
    if (ep->spare_fd >= 0)
        close(ep->spare_fd);
    weft__slots_fini(&ep->peers);
    weft__slots_fini(&ep->routes);
    free(ep);
}

static int ep_open(const struct weft_tp_open *desc, struct weft_tp_ep **ep_out)
{
    struct weft_zmq_ep *ep = calloc(1, sizeof(*ep));
    if (!ep)
        return weft_fail(WEFT_ENOMEM, "no memory for a zmq endpoint");
    ep->epfd = ep->timerfd = ep->spare_fd = -1;
    int err = set_desc(ep, desc);
    if (!err)
        err = open_waits(ep);
    if (!err && ep->families & WEFT_TP_MSG)
        err = open_msg(ep);
    if (err)
        ep_free(ep);
    else
        *ep_out = &ep->base;
    return err;
}

static void ep_close(struct weft_tp_ep *base)
{
    struct weft_zmq_ep *ep = weft__zmq_ep(base);
    ep->closing = true;
    for (struct weft_zmq_link *link = ep->links; link; link = link->next)
        weft__zmq_sends_fail(ep, link, 0, WEFT_ECANCELED);
    (void)weft__ops_finish(&ep->finished, &ep->in_flight, ep->closing);
    weft__zmq_links_free(ep);
    ep_free(ep);
}

static int ep_address(struct weft_tp_ep *base, struct weft_tp_addr *addr_out)
{
    const struct weft_zmq_ep *ep = weft__zmq_ep(base);
    if (!ep->in.handle)
        return weft_fail(WEFT_EINVAL, "this endpoint was opened without msg");
    addr_out->len = (uint16_t)strlen(ep->address);
    memcpy(addr_out->bytes, ep->address, addr_out->len);
    return WEFT_OK;
}

static int ep_peer_add(struct weft_tp_ep *base, const struct weft_tp_addr *addr,
                       struct weft_tp_peer *peer_out)
{
    char url[WEFT_TP_ADDR_MAX] = "";
    struct weft_zmq_ep *ep = weft__zmq_ep(base);
    if (!ep->in.handle)
        return weft_fail(WEFT_EINVAL, "this endpoint was opened without msg");
    if (addr->len >= sizeof(url) || memchr(addr->bytes, 0, addr->len))
        return weft_fail(WEFT_EINVAL, "not an address of a zmq endpoint");
    memcpy(url, addr->bytes, addr->len);
    if (!weft__zmq_url_ok(url))
        return weft_fail(WEFT_EINVAL, "not an address of a zmq endpoint");
    return weft__zmq_link_get(ep, url, WEFT_ZMQ_MESSAGE, peer_out);
}

static void ep_peer_drop(struct weft_tp_ep *ep, struct weft_tp_peer peer)
{
    weft__zmq_peer_drop(weft__zmq_ep(ep), peer.id);
}

/* Marks the sockets whose descriptors say that something has happened, waiting for one at most so
 * long. */
static void mark_ready(struct weft_zmq_ep *ep, int timeout_ms)
{
    struct epoll_event events[16];
    int n = epoll_wait(ep->epfd, events, 16, timeout_ms);
    for (int i = 0; i < n; i++) {
        uint64_t fired;
        struct weft_zmq_sock *sock = events[i].data.ptr;
        if (sock == NULL) /* disarmed meanwhile: then there is nothing to read */
            (void)!read(ep->timerfd, &fired, sizeof(fired));
        else if (sock != &ep->watched)
            sock->look = true;
    }
}

/* The sockets that come alive only when connections come and go. */
static int gates_watch(struct weft_zmq_ep *ep)
{
    int n = ep->zap.look ? weft__zmq_curve_answer(ep) : 0;
    if (ep->in_gate.monitor.look)
        n += weft__zmq_gate_watch(ep, &ep->in_gate);
    for (unsigned i = 0; i < ep->ports_n; i++) {
        if (ep->ports[i].gate.monitor.look)
            n += weft__zmq_gate_watch(ep, &ep->ports[i].gate);
    }
    return n;
}

/* Nobody but gates_watch() touches them, so their descriptors tell of everything new: only what it
 * has left counts. */
static bool gates_left(const struct weft_zmq_ep *ep)
{
    bool left = ep->zap.look || ep->in_gate.monitor.look;
    for (unsigned i = 0; i < ep->ports_n; i++)
        left |= ep->ports[i].gate.monitor.look;
    return left;
}

static int ep_progress(struct weft_tp_ep *base)
{
    struct weft_zmq_ep *ep = weft__zmq_ep(base);
    int n = weft__ops_finish(&ep->finished, &ep->in_flight, ep->closing);
    if (!ep->looked)
        mark_ready(ep, 0);
    ep->looked = false;
    n += weft__zmq_messages_take(ep);
    n += weft__zmq_replies_take(ep);
    for (unsigned i = 0; i < ep->ports_n; i++)
        n += weft__zmq_requests_take(ep, i);
    n += gates_watch(ep);
    n += weft__zmq_links_watch(ep);
    n += weft__zmq_sends_retry(ep);
    return n;
}

static int ep_wait_fd(struct weft_tp_ep *ep)
{
    return weft__zmq_ep(ep)->epfd;
}

/* A full queue's "there is room again" may be swallowed by any other call on the ROUTER, and libzmq
 * cannot be asked about one peer's queue without sending. So a sleep with sends waiting lasts 1 ms
 * at most. */
static void links_wait(const struct weft_zmq_ep *ep)
{
    struct itimerspec after = {.it_value.tv_nsec = WEFT_ZMQ_RETRY_NS};
    if (ep->waiting)
        timerfd_settime(ep->timerfd, 0, &after, NULL);
}

static bool has_work(struct weft_zmq_ep *ep)
{
    bool ready = ep->waiting && weft__zmq_sends_retry(ep) > 0;
    ready |= ep->finished.first != NULL;
    ready |= gates_left(ep);
    ready |= weft__zmq_sock_ready(&ep->in);
    ready |= weft__zmq_sock_ready(&ep->out);
    ready |= weft__zmq_sock_ready(&ep->monitor);
    for (unsigned i = 0; i < ep->ports_n; i++)
        ready |= weft__zmq_sock_ready(&ep->ports[i].sock);
    return ready;
}

static int ep_wait_arm(struct weft_tp_ep *base)
{
    struct weft_zmq_ep *ep = weft__zmq_ep(base);
    if (has_work(ep))
        return WEFT_EAGAIN;
    links_wait(ep);
    return WEFT_OK;
}

static int ep_watch(struct weft_tp_ep *base, int fd)
{
    struct weft_zmq_ep *ep = weft__zmq_ep(base);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &ep->watched};
    if (epoll_ctl(ep->epfd, EPOLL_CTL_ADD, fd, &event) != 0)
        return weft_fail(-errno, "cannot watch a descriptor: %s", strerrordesc_np(errno));
    return WEFT_OK;
}

/* Milliseconds, rounded up; -1: for ever. */
static int left_ms(uint64_t deadline_ns)
{
    if (deadline_ns == 0)
        return 0;
    if (deadline_ns == WEFT_NEVER)
        return -1;
    uint64_t now_ns = weft__now_ns();
    uint64_t ms =
        deadline_ns > now_ns ? (deadline_ns - now_ns + WEFT_NS_PER_MS - 1) / WEFT_NS_PER_MS : 0;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

static void ep_wait(struct weft_tp_ep *base, uint64_t deadline_ns)
{
    struct weft_zmq_ep *ep = weft__zmq_ep(base);
    int timeout_ms = has_work(ep) ? 0 : left_ms(deadline_ns);
    if (ep->waiting && timeout_ms != 0)
        timeout_ms = WEFT_ZMQ_RETRY_NS / WEFT_NS_PER_MS; /* as in links_wait() */
    mark_ready(ep, timeout_ms);
    ep->looked = true;
}

static int ep_cancel(struct weft_tp_ep *base, struct weft_tp_op *op)
{
    struct weft_zmq_ep *ep = weft__zmq_ep(base);
    for (struct weft_zmq_link *link = ep->links; link; link = link->next) {
        if (!weft__op_remove(&link->waiting, op))
            continue;
        ep->waiting--;
        weft__zmq_finish(ep, op, WEFT_ECANCELED);
        return WEFT_OK;
    }
    return WEFT_EBUSY;
}

static void ep_limits(struct weft_tp_ep *base, struct weft_tp_limits *limits_out)
{
    const struct weft_zmq_ep *ep = weft__zmq_ep(base);
    *limits_out = (struct weft_tp_limits){
        .msg_max_bytes = ep->msg_max_bytes,
        .rma_max_bytes = 0,
        .sends_max = ep->sends_max,
        .peers_max = WEFT_ZMQ_PEERS_MAX,
    };
}

void weft__zmq_stats(const struct weft_tp_ep *ep, struct weft_zmq_stats *stats_out)
{
    *stats_out = ((const struct weft_zmq_ep *)(const void *)ep)->stats;
}

void weft__zmq_gate_stats(const struct weft_tp_ep *base, struct weft_zmq_gate_stats *stats_out)
{
    const struct weft_zmq_ep *ep = (const struct weft_zmq_ep *)(const void *)base;
    *stats_out = (struct weft_zmq_gate_stats){
        .connections = weft__counter_get(&ep->gates.connections),
        .connections_max = ep->connections_max,
        .accepted = weft__counter_get(&ep->gates.accepted),
        .refused = weft__counter_get(&ep->gates.refused),
        .denied = weft__counter_get(&ep->gates.denied),
        .handshakes_failed = weft__counter_get(&ep->gates.handshakes_failed),
        .accept_failed = weft__counter_get(&ep->gates.accept_failed),
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

static const struct weft_tp_sleep_ops sleep_ops = {.watch = ep_watch, .wait = ep_wait};

const struct weft_transport weft__tp_zmq = {
    .scheme = "zmq",
    .core = &core_ops,
    .ctl = &weft__zmq_ctl_ops,
    .msg = &weft__zmq_msg_ops,
    .rma = NULL,
    .sleep = &sleep_ops,
};

/* The endpoint: opening, closing, turns, sleeping.
 *
 * All endpoints that talk to each other share one connection per pair, used both ways, so that
 * acknowledgements ride on answers (link.c). What is sent within a turn of progress() leaves at its
 * end, as many messages per system call as there are; outside of progress() the first one leaves
 * at once and what follows is gathered until the next turn, until there is enough for a system
 * call, or until somebody is about to sleep (send.c). There are no timers in this: an idle
 * connection never waits.
 *
 * A spinning owner reads the few connections that were busy lately without asking epoll first: a
 * message then costs one system call here. Epoll is asked the more seldom the longer it tells of no
 * others, and in every turn while it does. Before a sleep, and after it, epoll is asked. It is
 * level-triggered: nothing that is left unread is forgotten. Of a connection that was read often
 * without a sleep epoll does not even hear (it is muted): who sends does not pay for telling it.
 *
 * epoll, and not io_uring: both moved the same pattern between two processes with a core each, the
 * ring with one submitter, deferred work, and the better of single receives and of lasting ones
 * with a ring of buffers. Lowest of 15 rounds, us. By medians the ring is 2 to 18 % behind where
 * both spin; asleep it is 48 % behind at 1 MiB, and 17 % ahead with many peers. A burst takes 0.04
 * system calls per message as it is.
 *                              spinning   ring   asleep   ring
 *   8 B and back                  7.2      8.2    15.0    14.5
 *   64 of 8 B, 8 B back           7.7      8.9    14.4    14.9
 *   8 B, 64 KiB back             12.2     13.1    20.9    21.4
 *   8 B, 1 MiB back               105      151     126     121
 *   64 peers, 8 B and back        303      291     357     317
 *
 * Lanes over it and, in brackets, over libfabric's net, in one run of bench-data tcp with two CPUs:
 * half a round trip of 8 B 3.8 us (4.4), asleep 24 (27), of 64 KiB 11 us (15); 5.1 M messages of
 * 8 B a second (0.21), asleep 3.5 M (0.19); gets of 64 KiB 5.7 GB/s (5.0), of 1 MiB 9.3 GB/s (7.8).
 * Endpoints there had 3.7 us where a bare socket had 3.4 and the best of UCX, MPICH and Open MPI
 * 4.1; 5.9 M messages, 0.23 for the best; 1 MiB at 9.8 GB/s, 7.8 for the best. Gets over the shim
 * had 1.6 GB/s. A message to each of 16 peers and back: 102 us (124), of 64 peers 400 us (500).
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/tcp/endpoint.h"
#include "weft/error.h"

#define MSG_DEFAULT_BYTES ((8u << 20) + (64u << 10))
#define SENDS_DEFAULT 1024
#define MSG_LIMIT_BYTES ((size_t)1 << 31) /* a head's length is trusted up to here */

static int set_bind(struct weft_tcp_ep *ep, const char *bind)
{
    if (!bind)
        bind = "127.0.0.1";
    int family = strchr(bind, ':') ? AF_INET6 : AF_INET;
    if (strlen(bind) >= sizeof(ep->bind) || inet_pton(family, bind, ep->name.ip) != 1)
        return weft_fail(WEFT_EINVAL, "%s is not a numeric address", bind);
    memcpy(ep->bind, bind, strlen(bind));
    memcpy(ep->name.magic, WEFT_TCP_NAME_MAGIC, sizeof(ep->name.magic));
    ep->name.family = family == AF_INET6 ? 6 : 4;
    if (getrandom(ep->name.id, sizeof(ep->name.id), 0) != (ssize_t)sizeof(ep->name.id))
        return weft_fail(WEFT_EIO, "no random bytes from getrandom");
    return WEFT_OK;
}

static int set_desc(struct weft_tcp_ep *ep, const struct weft_tp_open *desc)
{
    if (desc->families & WEFT_TP_CTL)
        return weft_fail(WEFT_ENOTSUP, "tcp has no ctl: open zmq for that");
    if (desc->port_first > desc->port_last)
        return weft_fail(WEFT_EINVAL, "ports %u-%u: the first is above the last", desc->port_first,
                         desc->port_last);
    if (desc->msg_max_bytes > MSG_LIMIT_BYTES)
        return weft_fail(WEFT_EINVAL, "messages of %zu bytes: tcp sends at most %zu",
                         desc->msg_max_bytes, MSG_LIMIT_BYTES);
    ep->base.transport = &weft__tp_tcp;
    if (desc->handlers)
        ep->on = *desc->handlers;
    ep->ctx = desc->ctx;
    ep->port_first = desc->port_first;
    ep->port_last = desc->port_last;
    ep->msg_max_bytes = desc->msg_max_bytes ? desc->msg_max_bytes : MSG_DEFAULT_BYTES;
    ep->sends_max = desc->sends_max ? desc->sends_max : SENDS_DEFAULT;
    ep->connections_max = desc->connections_max;
    ep->look = true;
    ep->look_every = 1;
    ep->turn = 1;
    ep->epfd = ep->port_fd = ep->timer_fd = -1;
    TAILQ_INIT(&ep->young);
    TAILQ_INIT(&ep->conns);
    TAILQ_INIT(&ep->dead);
    weft__slots_init(&ep->peers, WEFT_TCP_PEERS_MAX);
    return set_bind(ep, desc->bind);
}

static int open_waits(struct weft_tcp_ep *ep)
{
    ep->shared = malloc(WEFT_TCP_SHARED + WEFT_TCP_STAGE);
    if (!ep->shared)
        return weft_fail(WEFT_ENOMEM, "no memory for a tcp endpoint");
    ep->stage = ep->shared + WEFT_TCP_SHARED;
    ep->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (ep->epfd < 0)
        return weft_fail(-errno,
                         "cannot open an epoll set: %s; raise the limit of open files "
                         "(ulimit -n)",
                         strerrordesc_np(errno));
    int err = weft__tcp_tick_open(ep);
    return err ? err : weft__tcp_port_open(ep);
}

static void ep_free(struct weft_tcp_ep *ep)
{
    if (ep->port_fd >= 0)
        close(ep->port_fd);
    if (ep->timer_fd >= 0)
        close(ep->timer_fd);
    if (ep->epfd >= 0)
        close(ep->epfd);
    weft__tcp_blocks_free(ep);
    weft__tcp_serve_free(ep);
    weft__slots_fini(&ep->peers);
    free(ep->shared);
    free(ep);
}

static int ep_open(const struct weft_tp_open *desc, struct weft_tp_ep **ep_out)
{
    struct weft_tcp_ep *ep = calloc(1, sizeof(*ep));
    if (!ep)
        return weft_fail(WEFT_ENOMEM, "no memory for a tcp endpoint");
    int err = set_desc(ep, desc);
    if (!err)
        err = weft__tcp_port_congestion(ep, desc->congestion);
    if (!err)
        err = open_waits(ep);
    if (err)
        ep_free(ep);
    else
        *ep_out = &ep->base;
    return err;
}

void weft__tcp_finish(struct weft_tcp_ep *ep, struct weft_tp_op *op, int err)
{
    weft__op_node(op)->err = err;
    weft__op_append(&ep->finished, op);
}

/* Reads what has come, as a socket that is closed with bytes unread resets its connection: then the
 * other side may lose what it has not read yet. */
static void end(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    if (conn->state == WEFT_TCP_UP && shutdown(conn->fd, SHUT_WR) == 0)
        for (unsigned i = 0; i < 64 && read(conn->fd, ep->shared, WEFT_TCP_SHARED) > 0; i++) {
        }
    weft__tcp_conn_close(ep, conn);
}

static void ep_close(struct weft_tp_ep *base)
{
    struct weft_tcp_ep *ep = weft__tcp_ep(base);
    struct weft_tcp_link *link, *next;
    struct weft_tcp_conn *conn;
    ep->closing = true;
    uint32_t cursor = 0, id;
    while ((link = weft__slots_next(&ep->peers, &cursor, &id)))
        weft__tcp_send_fail(ep, link, id, WEFT_ECANCELED);
    (void)weft__ops_finish(&ep->finished, &ep->in_flight, ep->closing);
    cursor = 0;
    while ((link = weft__slots_next(&ep->peers, &cursor, &id))) {
        weft__slots_take(&ep->peers, id);
        weft__tcp_link_put(ep, link);
    }
    weft__tcp_link_tell(ep);
    while ((conn = TAILQ_FIRST(&ep->young)) || (conn = TAILQ_FIRST(&ep->conns))) {
        link = conn->link;
        end(ep, conn);
        if (link)
            weft__tcp_link_tidy(ep, link);
    }
    HASH_ITER(hh, ep->links, link, next) /* none: each had a peer or a connection */
    weft__tcp_link_tidy(ep, link);
    weft__tcp_conn_reap(ep);
    ep_free(ep);
}

static int ep_address(struct weft_tp_ep *base, struct weft_tp_addr *addr_out)
{
    const struct weft_tcp_ep *ep = weft__tcp_ep(base);
    addr_out->len = sizeof(ep->name);
    memcpy(addr_out->bytes, &ep->name, sizeof(ep->name));
    return WEFT_OK;
}

static int ep_peer_add(struct weft_tp_ep *base, const struct weft_tp_addr *addr,
                       struct weft_tp_peer *peer_out)
{
    struct weft_tcp_ep *ep = weft__tcp_ep(base);
    struct weft_tcp_name name;
    if (addr->len != sizeof(name))
        return weft_fail(WEFT_EINVAL, "not an address of a tcp endpoint");
    memcpy(&name, addr->bytes, sizeof(name));
    if (!weft__tcp_name_ok(&name))
        return weft_fail(WEFT_EINVAL, "not an address of a tcp endpoint");
    struct weft_tcp_link *link = weft__tcp_link_of(ep, &name);
    if (!link)
        return weft_fail(WEFT_ENOMEM, "no memory for a peer");
    int err = weft__slots_put(&ep->peers, link, &peer_out->id);
    if (err)
        weft__tcp_link_tidy(ep, link);
    else
        link->refs++;
    return err;
}

static void ep_peer_drop(struct weft_tp_ep *base, struct weft_tp_peer peer)
{
    struct weft_tcp_ep *ep = weft__tcp_ep(base);
    struct weft_tcp_link *link = weft__slots_take(&ep->peers, peer.id);
    if (!link)
        return;
    weft__tcp_send_fail(ep, link, peer.id, WEFT_ECANCELED);
    weft__tcp_link_put(ep, link);
}

/* What has come of a non-blocking connect. */
static int connected(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error != 0)
        weft__tcp_link_break(ep, conn,
                             error == ECONNREFUSED ? WEFT_ECONNREFUSED : WEFT_EHOSTUNREACH);
    else
        weft__tcp_conn_up(ep, conn);
    return 1;
}

static int event(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn, uint32_t events)
{
    if (conn->state == WEFT_TCP_CONNECTING)
        return connected(ep, conn);
    if (conn->state == WEFT_TCP_UP && events & EPOLLOUT) {
        weft__tcp_conn_block(ep, conn, false);
        weft__tcp_conn_dirty(ep, conn);
    }
    if (conn->state == WEFT_TCP_DEAD || !(events & ~(uint32_t)EPOLLOUT))
        return 0;
    if (weft__tcp_conn_heat(ep, conn))
        ep->look_every = 1;
    return weft__tcp_receive(ep, conn);
}

static int look(struct weft_tcp_ep *ep)
{
    struct epoll_event events[WEFT_TCP_LIST_MAX];
    int n = epoll_wait(ep->epfd, events, WEFT_TCP_LIST_MAX, 0), moved = 0;
    ep->look = n == WEFT_TCP_LIST_MAX;
    if (ep->look_every < WEFT_TCP_LOOK_EVERY)
        ep->look_every *= 2;
    for (int i = 0; i < n; i++) {
        void *what = events[i].data.ptr;
        if (what == &ep->port_fd)
            moved += weft__tcp_port_accept(ep);
        else if (what == &ep->timer_fd)
            weft__tcp_tick(ep);
        else
            moved += event(ep, what, events[i].events);
    }
    ep->look_at = ep->turn + ep->look_every;
    return moved;
}

/* Of all, or of those only that epoll does not tell of. */
static int read_hot(struct weft_tcp_ep *ep, bool muted)
{
    struct weft_tcp_conn *hot[WEFT_TCP_HOT];
    unsigned hot_n = ep->hot_n;
    int n = 0;
    memcpy(hot, ep->hot, sizeof(hot));
    for (unsigned i = 0; i < hot_n; i++) {
        if (hot[i]->state == WEFT_TCP_DEAD || (muted && !hot[i]->muted))
            continue;
        n += weft__tcp_receive(ep, hot[i]);
        if (hot[i]->misses > WEFT_TCP_HOT_MISSES)
            weft__tcp_conn_cool(ep, hot[i]);
        else if (hot[i]->hits > WEFT_TCP_MUTE_HITS && hot[i]->state == WEFT_TCP_UP)
            weft__tcp_conn_mute(ep, hot[i], true);
    }
    return n;
}

static int ep_progress(struct weft_tp_ep *base)
{
    struct weft_tcp_ep *ep = weft__tcp_ep(base);
    uint64_t writes = ep->stats.writes;
    ep->inside = true;
    int n = weft__ops_finish(&ep->finished, &ep->in_flight, ep->closing);
    weft__tcp_send_all(ep);
    if (ep->look || ep->pending || !ep->hot_n || ep->turn >= ep->look_at)
        n += look(ep) + (ep->muted_n ? read_hot(ep, true) : 0);
    else
        n += read_hot(ep, false);
    weft__tcp_send_all(ep);
    n += weft__tcp_link_tell(ep);
    n += weft__ops_finish(&ep->finished, &ep->in_flight, ep->closing);
    weft__tcp_conn_reap(ep);
    ep->inside = false;
    ep->turn++;
    return n ? n : ep->stats.writes > writes; /* who moves big messages is not idle */
}

static int ep_wait_fd(struct weft_tp_ep *ep)
{
    return weft__tcp_ep(ep)->epfd;
}

static int ep_wait_arm(struct weft_tp_ep *base)
{
    struct weft_tcp_ep *ep = weft__tcp_ep(base);
    for (unsigned i = 0; i < ep->hot_n; i++) {
        ep->hot[i]->hits = 0;
        if (!weft__tcp_conn_mute(ep, ep->hot[i], false))
            return WEFT_EAGAIN;
    }
    weft__tcp_send_all(ep);
    if (ep->finished.first || ep->lost_first || ep->dirty_first)
        return WEFT_EAGAIN;
    ep->look = true;
    return WEFT_OK;
}

static int ep_cancel(struct weft_tp_ep *ep, struct weft_tp_op *op)
{
    return weft__tcp_send_cancel(weft__tcp_ep(ep), op);
}

static void ep_limits(struct weft_tp_ep *base, struct weft_tp_limits *limits_out)
{
    const struct weft_tcp_ep *ep = weft__tcp_ep(base);
    *limits_out = (struct weft_tp_limits){
        .msg_max_bytes = ep->msg_max_bytes,
        .rma_max_bytes = SIZE_MAX,
        .sends_max = ep->sends_max,
        .peers_max = WEFT_TCP_PEERS_MAX,
        .needs_target_poll = true,
    };
}

void weft__tcp_stats(const struct weft_tp_ep *base, struct weft_tcp_stats *stats_out)
{
    const struct weft_tcp_ep *ep = (const struct weft_tcp_ep *)(const void *)base;
    *stats_out = ep->stats;
    stats_out->connections = ep->connections;
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

const struct weft_transport weft__tp_tcp = {
    .scheme = "tcp",
    .core = &core_ops,
    .msg = &weft__tcp_msg_ops,
    .rma = &weft__tcp_rma_ops,
};

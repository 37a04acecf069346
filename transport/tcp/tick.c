/* What happens after a while: a timer that runs only while something has a deadline.
 *
 * - Connections that are not made, and strangers that stay silent, end.
 * - Accepting and connecting that failed for want of descriptors are tried again.
 * - A host that died with bytes on their way to it is noticed: keepalive asks only idle
 *   connections, and the kernel repeats unacknowledged bytes for a quarter of an hour.
 *   TCP_USER_TIMEOUT was rejected for this: it also ends connections to a live process that does
 *   not read for so long, and a rank that computes is such a one. TCP_INFO tells the two apart: a
 *   live host acknowledges, if only that its window is shut.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "transport/tcp/endpoint.h"
#include "weft/error.h"

#define TICK_MS 200
#define DEAD_MS 10000 /* without any acknowledgement of what was sent */

int weft__tcp_tick_open(struct weft_tcp_ep *ep)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &ep->timer_fd};
    ep->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (ep->timer_fd < 0 || epoll_ctl(ep->epfd, EPOLL_CTL_ADD, ep->timer_fd, &event) != 0)
        return weft_fail(-errno,
                         "cannot open a timer: %s; raise the limit of open files (ulimit "
                         "-n)",
                         strerrordesc_np(errno));
    return WEFT_OK;
}

void weft__tcp_tick_on(struct weft_tcp_ep *ep)
{
    const struct itimerspec after = {.it_value.tv_nsec = TICK_MS * (long)WEFT_NS_PER_MS};
    if (ep->timer_on)
        return;
    ep->timer_on = true;
    (void)timerfd_settime(ep->timer_fd, 0, &after, NULL);
}

static void end_young(struct weft_tcp_ep *ep)
{
    struct weft_tcp_conn *conn;
    uint64_t now_ns = weft__now_ns();
    while ((conn = TAILQ_FIRST(&ep->young)) && conn->deadline_ns <= now_ns)
        weft__tcp_link_break(ep, conn, WEFT_EHOSTUNREACH);
}

static void retry(struct weft_tcp_ep *ep)
{
    struct weft_tcp_link *link, *next;
    HASH_ITER(hh, ep->links, link, next)
    if (link->retry_until_ns && !link->conn)
        weft__tcp_link_connect(ep, link);
}

/* Looks whether what was sent is being acknowledged. */
static void watch(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    memset(&info, 0, sizeof(info));
    if (getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return;
    bool unanswered = info.tcpi_retransmits > 0 || info.tcpi_probes > 1;
    if (unanswered && info.tcpi_last_ack_recv > DEAD_MS) {
        weft__info("tcp endpoint at %s: a peer has acknowledged nothing for %u s", ep->bind,
                   info.tcpi_last_ack_recv / 1000);
        weft__tcp_link_break(ep, conn, WEFT_EPEERDEAD);
    } else if (!info.tcpi_unacked && !conn->blocked) {
        conn->watched = false;
    }
}

void weft__tcp_tick(struct weft_tcp_ep *ep)
{
    struct weft_tcp_conn *conn, *next;
    uint64_t fired;
    (void)!read(ep->timer_fd, &fired, sizeof(fired));
    ep->timer_on = false;
    end_young(ep);
    weft__tcp_port_again(ep);
    if (ep->retries)
        retry(ep);
    bool again = TAILQ_FIRST(&ep->young) || ep->retries;
    for (conn = TAILQ_FIRST(&ep->conns); conn; conn = next) {
        next = TAILQ_NEXT(conn, at);
        if (!conn->watched)
            continue;
        again = true;
        watch(ep, conn);
    }
    if (again)
        weft__tcp_tick_on(ep);
}

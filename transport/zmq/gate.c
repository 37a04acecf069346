/* Counting and limiting connections.
 *
 * libzmq has no limit on accepted connections. What it has is a monitor per socket, which tells the
 * descriptor of each connection that comes and goes; a connection beyond the limit is shut down as
 * soon as its arrival is read, and libzmq then drops it like any other broken one. Shutting instead
 * of closing keeps the descriptor libzmq's. Between reading an event and the shutdown the number
 * could be closed and taken again: so all events are read first, the descriptor must still be a
 * connection to our port, and at worst one connection of the same port is cut and made anew.
 *
 * Descriptors that run out are worse than many connections: accept() fails, the listening socket
 * stays readable, and libzmq's I/O thread spins. So connections are refused while some descriptors
 * are still free (RESERVE), and one more is held in reserve: it is given up when accept() fails all
 * the same, which lets the connection in, only to be refused.
 *
 * The monitor's queue is bounded: were it full, libzmq's I/O thread would wait for us, which a
 * flood of failing accepts deserves. Nobody but weft__zmq_take() touches the monitor, and always
 * until it is empty: so its descriptor alone says when there is something, and it costs no look at
 * ZMQ_EVENTS before each sleep.
 *
 * Rejected: unbinding at the limit (libzmq ends the accepted connections with their listener), and
 * answering in the ZAP handler (it knows an address, not a connection, and a silent client never
 * gets there).
 */
#include "transport/zmq/gate.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "transport/zmq/endpoint.h"
#include "weft/error.h"

#define EVENTS_MAX 16384 /* waiting in a monitor's queue */
#define EVENTS_BUDGET 1024
#define RESERVE_MAX 64u /* descriptors that connections leave to the process, */
#define RESERVE_PART 8u /* and not more than this part of all */
#define DESCRIPTORS_MAX (1 << 22)
#define WARN_NS (60 * WEFT_NS_PER_S) /* at most so often */

enum { GONE, WITHIN, TURNED, LEFT };

int weft__zmq_gate_open(struct weft_zmq_ep *ep, struct weft_zmq_gate *gate, void *handle)
{
    char url[40];
    int events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_ACCEPT_FAILED | ZMQ_EVENT_DISCONNECTED |
                 ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL;
    snprintf(url, sizeof(url), "inproc://weft-gate-%u", ep->gates_made++);
    if (zmq_socket_monitor(handle, url, events) != 0)
        return weft__zmq_fail("cannot monitor a zmq socket");
    int err = weft__zmq_sock_open(ep, ZMQ_PAIR, EVENTS_MAX, &gate->monitor);
    if (!err && zmq_connect(gate->monitor.handle, url) != 0)
        err = weft__zmq_fail("cannot connect to a zmq monitor");
    if (err)
        weft__zmq_gate_close(gate);
    else if (ep->spare_fd < 0)
        ep->spare_fd = fcntl(ep->epfd, F_DUPFD_CLOEXEC, 0);
    return err;
}

void weft__zmq_gate_close(struct weft_zmq_gate *gate)
{
    weft__zmq_sock_close(&gate->monitor);
    free(gate->open);
    *gate = (struct weft_zmq_gate){.open = NULL};
}

static bool mark(struct weft_zmq_gate *gate, int fd)
{
    size_t at = (size_t)fd;
    if (at >= gate->open_len) {
        size_t len = (at + 64) * 2;
        uint8_t *grown = realloc(gate->open, len);
        if (!grown)
            return false;
        memset(grown + gate->open_len, 0, len - gate->open_len);
        gate->open = grown;
        gate->open_len = len;
    }
    gate->connections += gate->open[at] != WITHIN;
    gate->open[at] = WITHIN;
    return true;
}

static void unmark(struct weft_zmq_gate *gate, int fd)
{
    if ((size_t)fd >= gate->open_len)
        return;
    gate->connections -= gate->open[fd] == WITHIN;
    gate->open[fd] = LEFT;
    gate->left = true;
    for (unsigned i = 0; i < gate->turned_n; i++) {
        if (gate->turned[i] == fd)
            gate->turned[i--] = gate->turned[--gate->turned_n];
    }
}

/* Whether the process has hardly a descriptor left. */
static bool is_scarce(struct weft_zmq_ep *ep, int fd)
{
    struct rlimit limit;
    if (ep->spare_fd < 0)
        ep->spare_fd = fcntl(ep->epfd, F_DUPFD_CLOEXEC, 0);
    if (ep->spare_fd < 0)
        return true;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return false;
    rlim_t part = limit.rlim_cur / RESERVE_PART;
    return (rlim_t)fd >= limit.rlim_cur - (part < RESERVE_MAX ? part : RESERVE_MAX);
}

static bool is_ours(const struct weft_zmq_gate *gate, int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at = {.any.sa_family = AF_UNSPEC};
    socklen_t len = sizeof(at);
    if (getsockname(fd, &at.any, &len) != 0)
        return false;
    if (at.any.sa_family == AF_INET)
        return ntohs(at.v4.sin_port) == gate->port;
    return at.any.sa_family == AF_INET6 && ntohs(at.v6.sin6_port) == gate->port;
}

static void turn_away(struct weft_zmq_gate *gate)
{
    for (unsigned i = 0; i < gate->turned_n; i++) {
        if (is_ours(gate, gate->turned[i]))
            (void)shutdown(gate->turned[i], SHUT_RDWR);
    }
    gate->turned_n = 0;
}

static void accepted(struct weft_zmq_ep *ep, struct weft_zmq_gate *gate, int fd)
{
    if (fd < 0 || fd >= DESCRIPTORS_MAX)
        return;
    weft__counter_add(&ep->gates.accepted, 1);
    bool full = !mark(gate, fd) || is_scarce(ep, fd) ||
                (ep->connections_max && gate->connections > ep->connections_max);
    if (!full)
        return;
    weft__counter_add(&ep->gates.refused, 1);
    if ((size_t)fd < gate->open_len && gate->open[fd] == WITHIN) {
        gate->open[fd] = TURNED;
        gate->connections--;
    }
    if (gate->turned_n == WEFT_ZMQ_TURNED_MAX)
        turn_away(gate);
    gate->turned[gate->turned_n++] = fd;
}

static void accept_failed(struct weft_zmq_ep *ep, int error)
{
    weft__counter_add(&ep->gates.accept_failed, 1);
    if ((error != EMFILE && error != ENFILE) || ep->spare_fd < 0)
        return;
    if (weft__now_ns() >= ep->warn_again_ns) {
        ep->warn_again_ns = weft__now_ns() + WARN_NS;
        weft__warn("no file descriptor is left for new connections: they are refused; raise the "
                   "limit (ulimit -n)");
    }
    close(ep->spare_fd);
    ep->spare_fd = -1;
}

static void gate_event(struct weft_zmq_ep *ep, struct weft_zmq_gate *gate,
                       const struct weft_zmq_event *event)
{
    switch (event->kind) {
    case ZMQ_EVENT_ACCEPTED:
        accepted(ep, gate, event->value);
        break;
    case ZMQ_EVENT_DISCONNECTED:
        if (event->value >= 0)
            unmark(gate, event->value);
        break;
    case ZMQ_EVENT_ACCEPT_FAILED:
        accept_failed(ep, event->value);
        break;
    default:
        weft__counter_add(&ep->gates.handshakes_failed, 1);
    }
}

/* Which port's gate it is; ports_n: that of no port. */
static unsigned port_index(const struct weft_zmq_ep *ep, const struct weft_zmq_gate *gate)
{
    unsigned i = 0;
    while (i < ep->ports_n && &ep->ports[i].gate != gate)
        i++;
    return i;
}

/* Tells of connections that have ended, once all events are read: a descriptor that the same port
 * uses again by then is not told, because a request may have come over the new connection already.
 * Whoever had it before is told with it. */
static void tell_left(struct weft_zmq_ep *ep, struct weft_zmq_gate *gate)
{
    uint8_t *at = gate->open;
    if (!gate->left)
        return;
    gate->left = false;
    while ((at = memchr(at, LEFT, gate->open_len - (size_t)(at - gate->open)))) {
        *at = GONE;
        weft__zmq_origin_gone(ep, port_index(ep, gate), (int)(at - gate->open));
    }
}

int weft__zmq_gate_watch(struct weft_zmq_ep *ep, struct weft_zmq_gate *gate)
{
    struct weft_zmq_parts parts;
    struct weft_zmq_event event;
    uint32_t before = gate->connections;
    int n = 0;
    while (gate->monitor.look && n < EVENTS_BUDGET && weft__zmq_take(&gate->monitor, &parts)) {
        if (weft__zmq_event_read(&parts, &event))
            gate_event(ep, gate, &event);
        weft__zmq_parts_close(&parts);
        n++;
    }
    if (!gate->monitor.look) {
        turn_away(gate);
        tell_left(ep, gate);
    }
    if (gate->connections != before)
        weft__counter_add(&ep->gates.connections, (uint64_t)gate->connections - before);
    return n;
}

/* One libzmq socket: creation with explicit limits, binding, receiving, waking.
 *
 * ZMQ_FD is edge-triggered: it tells of commands for the socket, not of messages, and any call on
 * the socket may swallow the tell-tale. So a socket carries `look`: set whenever messages may be
 * there in silence, cleared only by a receive or a look at ZMQ_EVENTS that found nothing. Every
 * queue and message size is set here, none is left at libzmq's default.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/parse.h"
#include "transport/zmq/endpoint.h"
#include "weft/error.h"

/* libzmq's errors that errno does not have, and what both have under other names. */
static int translate(int error)
{
    switch (error) {
    case EAGAIN:
    case EINVAL:
    case ENOMEM:
    case EACCES:
    case EADDRINUSE:
    case EADDRNOTAVAIL:
    case EMFILE:
    case EMSGSIZE:
    case ECONNREFUSED:
    case EHOSTUNREACH:
        return -error;
    case ENODEV:
        return WEFT_EADDRNOTAVAIL;
    case ETERM:
    case ENOTSOCK:
        return WEFT_ESHUTDOWN;
    default:
        return WEFT_EIO;
    }
}

int weft__zmq_fail(const char *what)
{
    int error = zmq_errno();
    if (error == EMFILE)
        return weft_fail(WEFT_EMFILE, "%s: too many open files; raise the limit (ulimit -n)", what);
    return weft_fail(translate(error), "%s: %s", what, zmq_strerror(error));
}

int weft__zmq_set(void *handle, int option, int value)
{
    if (zmq_setsockopt(handle, option, &value, sizeof(value)) == 0)
        return WEFT_OK;
    char what[48];
    snprintf(what, sizeof(what), "cannot set zmq option %d to %d", option, value);
    return weft__zmq_fail(what);
}

int weft__zmq_limit(const struct weft_zmq_ep *ep, void *handle)
{
    /* Encrypted messages are longer, and libzmq measures those. */
    int64_t size_max = (int64_t)(ep->msg_max_bytes + (ep->security ? WEFT_ZMQ_CURVE_BYTES : 0));
    if (zmq_setsockopt(handle, ZMQ_MAXMSGSIZE, &size_max, sizeof(size_max)) != 0)
        return weft__zmq_fail("cannot limit the message size");
    return WEFT_OK;
}

static int set_common(const struct weft_zmq_ep *ep, void *handle, int depth)
{
    int err = weft__zmq_limit(ep, handle);
    if (!err)
        err = weft__zmq_set(handle, ZMQ_LINGER, WEFT_ZMQ_LINGER_MS);
    if (!err)
        err = weft__zmq_set(handle, ZMQ_SNDHWM, depth);
    if (!err)
        err = weft__zmq_set(handle, ZMQ_RCVHWM, depth);
    if (!err)
        err = weft__zmq_set(handle, ZMQ_CONNECT_TIMEOUT, WEFT_ZMQ_CONNECT_MS);
    if (!err)
        err = weft__zmq_set(handle, ZMQ_HANDSHAKE_IVL, WEFT_ZMQ_HANDSHAKE_MS);
    if (!err)
        err = weft__zmq_set(handle, ZMQ_IPV6, ep->ipv6);
    return err;
}

static int watch(const struct weft_zmq_ep *ep, struct weft_zmq_sock *sock)
{
    int fd;
    size_t len = sizeof(fd);
    if (zmq_getsockopt(sock->handle, ZMQ_FD, &fd, &len) != 0)
        return weft__zmq_fail("a zmq socket has no descriptor");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = sock};
    if (epoll_ctl(ep->epfd, EPOLL_CTL_ADD, fd, &event) != 0)
        return weft_fail(-errno, "cannot watch a zmq socket: %s", strerrordesc_np(errno));
    return WEFT_OK;
}

int weft__zmq_sock_open(struct weft_zmq_ep *ep, int type, int depth, struct weft_zmq_sock *sock)
{
    sock->handle = zmq_socket(ep->zctx, type);
    if (!sock->handle)
        return weft__zmq_fail("cannot open a zmq socket");
    sock->look = true;
    int err = set_common(ep, sock->handle, depth);
    if (!err)
        err = watch(ep, sock);
    if (err)
        weft__zmq_sock_close(sock);
    return err;
}

/* libzmq closes the descriptor, which takes it out of the epoll set. */
void weft__zmq_sock_close(struct weft_zmq_sock *sock)
{
    if (sock->handle)
        zmq_close(sock->handle);
    sock->handle = NULL;
    sock->look = false;
}

static uint16_t bound_port(void *handle)
{
    char url[256];
    size_t len = sizeof(url);
    if (zmq_getsockopt(handle, ZMQ_LAST_ENDPOINT, url, &len) != 0)
        return 0;
    const char *colon = strrchr(url, ':');
    return colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
}

static int bind_one(const struct weft_zmq_ep *ep, void *handle, uint16_t port, uint16_t *port_out)
{
    char url[128], where[8];
    snprintf(where, sizeof(where), port ? "%u" : "*", (unsigned)port);
    snprintf(url, sizeof(url), ep->ipv6 ? "tcp://[%s]:%s" : "tcp://%s:%s", ep->bind, where);
    if (zmq_bind(handle, url) != 0)
        return translate(zmq_errno());
    *port_out = bound_port(handle);
    return WEFT_OK;
}

static int bind_fail(const struct weft_zmq_ep *ep, int err, unsigned first, unsigned last)
{
    if (err == WEFT_EADDRINUSE && first != last)
        return weft_fail(err, "every port of %u-%u on %s is in use; give a wider range", first,
                         last, ep->bind);
    if (err == WEFT_EADDRINUSE)
        return weft_fail(err,
                         "port %u on %s is in use; end what listens there or choose another port",
                         first, ep->bind);
    if (err == WEFT_EADDRNOTAVAIL)
        return weft_fail(err, "%s is no address of this machine; ip -brief address lists them",
                         ep->bind);
    return weft_fail(err, "cannot listen on port %u of %s: %s", first, ep->bind,
                     weft_error_text(err));
}

int weft__zmq_bind(struct weft_zmq_ep *ep, void *handle, uint16_t port, uint16_t *port_out)
{
    unsigned first = port ? port : ep->port_first;
    unsigned last = port || !ep->port_first ? first : ep->port_last;
    int err = WEFT_EADDRINUSE;
    for (unsigned at = first; at <= last && err == WEFT_EADDRINUSE; at++)
        err = bind_one(ep, handle, (uint16_t)at, port_out);
    return err ? bind_fail(ep, err, first, last) : WEFT_OK;
}

bool weft__zmq_take(struct weft_zmq_sock *sock, struct weft_zmq_parts *parts_out)
{
    bool more = true;
    for (parts_out->n = 0; more; parts_out->n++) {
        zmq_msg_t excess;
        bool keep = parts_out->n < WEFT_ZMQ_PARTS_MAX;
        zmq_msg_t *into = keep ? &parts_out->part[parts_out->n] : &excess;
        zmq_msg_init(into);
        if (zmq_msg_recv(into, sock->handle, ZMQ_DONTWAIT) < 0) {
            sock->look = false;
            zmq_msg_close(into);
            break;
        }
        more = zmq_msg_more(into);
        if (!keep)
            zmq_msg_close(into);
    }
    return parts_out->n > 0;
}

void weft__zmq_parts_close(struct weft_zmq_parts *parts)
{
    for (unsigned i = 0; i < parts->n && i < WEFT_ZMQ_PARTS_MAX; i++)
        zmq_msg_close(&parts->part[i]);
}

bool weft__zmq_event_read(struct weft_zmq_parts *parts, struct weft_zmq_event *event_out)
{
    if (parts->n != 2 ||
        zmq_msg_size(&parts->part[0]) < sizeof(event_out->kind) + sizeof(event_out->value) ||
        zmq_msg_size(&parts->part[1]) >= sizeof(event_out->url))
        return false;
    const unsigned char *data = zmq_msg_data(&parts->part[0]);
    size_t len = zmq_msg_size(&parts->part[1]);
    memcpy(&event_out->kind, data, sizeof(event_out->kind));
    memcpy(&event_out->value, data + sizeof(event_out->kind), sizeof(event_out->value));
    memcpy(event_out->url, zmq_msg_data(&parts->part[1]), len);
    event_out->url[len] = '\0';
    return true;
}

bool weft__zmq_sock_ready(struct weft_zmq_sock *sock)
{
    int events = 0;
    size_t len = sizeof(events);
    if (!sock->look || zmq_getsockopt(sock->handle, ZMQ_EVENTS, &events, &len) != 0)
        return false;
    sock->look = events & ZMQ_POLLIN;
    return sock->look;
}

bool weft__zmq_url_ok(const char *url)
{
    char host[WEFT_TP_ADDR_MAX];
    unsigned char raw[sizeof(struct in6_addr)];
    if (strncmp(url, "tcp://", 6) != 0 || strlen(url) >= sizeof(host))
        return false;
    strcpy(host, url + 6);
    char *colon = strrchr(host, ':');
    uint64_t port;
    if (!colon || weft__parse_u64(colon + 1, 1, UINT16_MAX, &port) != WEFT_OK)
        return false;
    *colon = '\0';
    size_t len = strlen(host);
    if (host[0] != '[')
        return inet_pton(AF_INET, host, raw) == 1;
    if (len < 2 || host[len - 1] != ']')
        return false;
    host[len - 1] = '\0';
    return inet_pton(AF_INET6, host + 1, raw) == 1;
}

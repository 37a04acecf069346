/* Links: the connections to other endpoints.
 *
 * All request and msg peers hang on one ROUTER, each connection under a routing id of our choice,
 * so that an endpoint has the same few sockets to look at whether it has one peer or a thousand. A
 * DEALER or PUSH per peer was rejected: every one brings two descriptors, a place in the epoll set
 * and a system call before each sleep. To the other side such a ROUTER looks like a DEALER. Pushes
 * go by a PUSH socket per url: only PUSH may talk to PULL, and nothing ever arrives there.
 *
 * What becomes of a connection is read from the ROUTER's monitor. Its events name the url, not the
 * connection, so per url there must never be two stories at once: a link that is no longer wanted
 * while it is CONNECTING is kept until libzmq has said CONNECTED or CLOSED, and revived when
 * somebody asks for its url again; DISCONNECTED counts only for the descriptor that CONNECTED
 * named. libzmq's own reconnecting is put off for ever (RECONNECT_IVL): it would send what nobody
 * waits for any more to a successor that has never heard of the sender. "Never" (-1) is no choice:
 * libzmq 4.3.4 then disconnects the url by itself, at a time when it may already be in use again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "transport/zmq/endpoint.h"
#include "weft/error.h"

#define MONITOR_URL "inproc://weft-monitor"
#define RECONNECT_NEVER_MS 2000000000
#define HEARTBEAT_MS 1000
#define HEARTBEAT_DEAD_MS 4000
#define ROUTE_BYTES 5
#define HANDSHAKE_FAILED                                                                           \
    (ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |                  \
     ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

static int monitor_open(struct weft_zmq_ep *ep)
{
    int events = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED |
                 ZMQ_EVENT_HANDSHAKE_SUCCEEDED | HANDSHAKE_FAILED;
    if (zmq_socket_monitor(ep->out.handle, MONITOR_URL, events) != 0)
        return weft__zmq_fail("cannot monitor a zmq socket");
    /* No limit on this queue: libzmq's I/O thread would block on it. A link makes a handful of
     * events. */
    int err = weft__zmq_sock_open(ep, ZMQ_PAIR, 0, &ep->monitor);
    if (!err && zmq_connect(ep->monitor.handle, MONITOR_URL) != 0)
        err = weft__zmq_fail("cannot connect to a zmq monitor");
    return err;
}

static int out_open(struct weft_zmq_ep *ep)
{
    if (ep->out.handle)
        return WEFT_OK;
    int err = weft__zmq_sock_open(ep, ZMQ_ROUTER, WEFT_ZMQ_CALL_DEPTH, &ep->out);
    if (!err)
        err = weft__zmq_set(ep->out.handle, ZMQ_ROUTER_MANDATORY, 1);
    if (!err)
        err = weft__zmq_set(ep->out.handle, ZMQ_RECONNECT_IVL, RECONNECT_NEVER_MS);
    if (!err)
        err = monitor_open(ep);
    if (err) {
        weft__zmq_sock_close(&ep->monitor);
        weft__zmq_sock_close(&ep->out);
    }
    return err;
}

/* Beats tell a control client that its server's machine is dead. A msg peer has none: one that does
 * not read for a while, because its program computes or is stopped in a debugger, would be declared
 * dead by an answer stuck behind the messages that it has not read. TCP's keepalive serves there,
 * and who knows from elsewhere that a host is dead drops the peer. */
int weft__zmq_set_liveness(void *handle, enum weft_zmq_kind kind)
{
    bool beats = kind != WEFT_ZMQ_MESSAGE;
    int err = weft__zmq_set(handle, ZMQ_HEARTBEAT_IVL, beats ? HEARTBEAT_MS : 0);
    if (!err)
        err = weft__zmq_set(handle, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_DEAD_MS);
    if (!err)
        err = weft__zmq_set(handle, ZMQ_TCP_KEEPALIVE, 1);
    if (!err)
        err = weft__zmq_set(handle, ZMQ_TCP_KEEPALIVE_IDLE, 2);
    if (!err)
        err = weft__zmq_set(handle, ZMQ_TCP_KEEPALIVE_INTVL, 1);
    if (!err)
        err = weft__zmq_set(handle, ZMQ_TCP_KEEPALIVE_CNT, 3);
    return err;
}

static void route_bytes(uint32_t route, unsigned char id_out[ROUTE_BYTES])
{
    id_out[0] = 'p'; /* libzmq's own ids begin with 0 */
    memcpy(id_out + 1, &route, sizeof(route));
}

static int connect_out(struct weft_zmq_ep *ep, struct weft_zmq_link *link)
{
    unsigned char id[ROUTE_BYTES];
    int err = out_open(ep);
    if (!err)
        err = weft__zmq_set_liveness(ep->out.handle, link->kind);
    if (!err)
        err = weft__zmq_set(ep->out.handle, ZMQ_IPV6, strchr(link->url, '[') != NULL);
    if (!err)
        err = weft__zmq_set(ep->out.handle, ZMQ_SNDHWM,
                            link->kind == WEFT_ZMQ_MESSAGE ? ep->depth : WEFT_ZMQ_CALL_DEPTH);
    if (!err)
        err = weft__zmq_curve_client(ep, ep->out.handle, link->url);
    if (err)
        return err;
    link->verdict = WEFT_ZMQ_FINE;
    if (link->route)
        weft__slots_take(&ep->routes, link->route);
    link->route = 0;
    err = weft__slots_put(&ep->routes, link, &link->route);
    if (err)
        return err;
    route_bytes(link->route, id);
    if (zmq_setsockopt(ep->out.handle, ZMQ_CONNECT_ROUTING_ID, id, sizeof(id)) != 0 ||
        zmq_connect(ep->out.handle, link->url) != 0)
        return weft__zmq_fail(link->url);
    ep->out.look = true;
    link->state = WEFT_ZMQ_CONNECTING;
    link->met = false;
    return WEFT_OK;
}

/* The PUSH socket is not in the epoll set: nothing arrives by it. It reconnects by itself. */
static int connect_push(struct weft_zmq_ep *ep, struct weft_zmq_link *link)
{
    link->push = zmq_socket(ep->zctx, ZMQ_PUSH);
    if (!link->push)
        return weft__zmq_fail("cannot open a zmq socket");
    int err = weft__zmq_set(link->push, ZMQ_SNDHWM, WEFT_ZMQ_CALL_DEPTH);
    if (!err)
        err = weft__zmq_set(link->push, ZMQ_LINGER, WEFT_ZMQ_LINGER_MS);
    if (!err)
        err = weft__zmq_set(link->push, ZMQ_RECONNECT_IVL_MAX, 2000);
    if (!err)
        err = weft__zmq_set(link->push, ZMQ_CONNECT_TIMEOUT, WEFT_ZMQ_CONNECT_MS);
    if (!err)
        err = weft__zmq_set(link->push, ZMQ_IPV6, strchr(link->url, '[') != NULL);
    if (!err)
        err = weft__zmq_set_liveness(link->push, link->kind);
    if (!err)
        err = weft__zmq_limit(ep, link->push);
    if (!err)
        err = weft__zmq_set(link->push, ZMQ_HANDSHAKE_IVL, WEFT_ZMQ_HANDSHAKE_MS);
    if (!err)
        err = weft__zmq_curve_client(ep, link->push, link->url);
    if (!err && zmq_connect(link->push, link->url) != 0)
        err = weft__zmq_fail(link->url);
    link->state = WEFT_ZMQ_UP;
    return err;
}

static int link_connect(struct weft_zmq_ep *ep, struct weft_zmq_link *link)
{
    return link->kind == WEFT_ZMQ_PUSH ? connect_push(ep, link) : connect_out(ep, link);
}

static void disconnect_out(struct weft_zmq_ep *ep, const struct weft_zmq_link *link)
{
    ep->out.look = true;
    zmq_disconnect(ep->out.handle, link->url);
}

static void link_free(struct weft_zmq_ep *ep, struct weft_zmq_link *link)
{
    struct weft_zmq_link **at = &ep->links;
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    if (link->route)
        weft__slots_take(&ep->routes, link->route);
    if (link->state == WEFT_ZMQ_ASKING)
        ep->asking--;
    weft__zmq_greeting_free(ep, link->greeting);
    if (link->push)
        zmq_close(link->push);
    else if (link->state == WEFT_ZMQ_UP)
        disconnect_out(ep, link);
    free(link);
}

void weft__zmq_link_put(struct weft_zmq_ep *ep, struct weft_zmq_link *link)
{
    if (--link->refs == 0 && link->state != WEFT_ZMQ_CONNECTING)
        link_free(ep, link);
}

static struct weft_zmq_link *link_find(const struct weft_zmq_ep *ep, const char *url,
                                       enum weft_zmq_kind kind)
{
    struct weft_zmq_link *link = ep->links;
    while (link &&
           (link->kind != kind || link->state == WEFT_ZMQ_LOST || strcmp(link->url, url) != 0))
        link = link->next;
    return link;
}

static int link_new(struct weft_zmq_ep *ep, const char *url, enum weft_zmq_kind kind,
                    struct weft_zmq_link **link_out)
{
    struct weft_zmq_link *link = calloc(1, sizeof(*link));
    if (!link)
        return weft_fail(WEFT_ENOMEM, "no memory for the connection to %s", url);
    strncpy(link->url, url, sizeof(link->url) - 1);
    link->kind = kind;
    link->next = ep->links;
    ep->links = link;
    *link_out = link;
    return WEFT_OK;
}

int weft__zmq_link_get(struct weft_zmq_ep *ep, const char *url, enum weft_zmq_kind kind,
                       struct weft_tp_peer *peer_out)
{
    struct weft_zmq_link *link = link_find(ep, url, kind);
    int err = link ? WEFT_OK : link_new(ep, url, kind, &link);
    if (err)
        return err;
    link->refs++;
    if (link->state == WEFT_ZMQ_IDLE)
        err = link_connect(ep, link);
    if (!err)
        err = weft__slots_put(&ep->peers, link, &peer_out->id);
    if (err)
        weft__zmq_link_put(ep, link);
    else
        link->peer_id = peer_out->id;
    return err;
}

struct weft_zmq_link *weft__zmq_link_of_route(const struct weft_zmq_ep *ep, uint32_t route)
{
    return weft__slots_find(&ep->routes, route);
}

void weft__zmq_peer_drop(struct weft_zmq_ep *ep, uint32_t peer_id)
{
    struct weft_zmq_link *link = weft__slots_take(&ep->peers, peer_id);
    if (!link)
        return;
    weft__zmq_sends_fail(ep, link, peer_id, WEFT_ECANCELED);
    uint32_t cursor = 0, id;
    const void *item;
    while (link->peer_id == peer_id && (item = weft__slots_next(&ep->peers, &cursor, &id))) {
        if (item == link)
            link->peer_id = id;
    }
    weft__zmq_link_put(ep, link);
}

static void gather(unsigned char *at, const struct iovec *iov, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (iov[i].iov_len)
            memcpy(at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
}

/* Only EAGAIN is expected, and cheap; the rest comes with a text. */
static int send_fail(const struct weft_zmq_link *link)
{
    int error = zmq_errno();
    if (error == EAGAIN)
        return WEFT_EAGAIN;
    if (error == EHOSTUNREACH)
        return weft_fail(WEFT_EHOSTUNREACH, "%s: the connection is gone", link->url);
    return weft__zmq_fail(link->url);
}

/* The route goes first; once it is taken, the rest of the message cannot be refused for want of
 * room. */
static int send_route(struct weft_zmq_ep *ep, const struct weft_zmq_link *link)
{
    unsigned char id[ROUTE_BYTES];
    if (link->push)
        return WEFT_OK;
    route_bytes(link->route, id);
    if (ep->families & WEFT_TP_CTL)
        ep->out.look = true; /* the call may swallow the tell-tale of a reply */
    return zmq_send(ep->out.handle, id, sizeof(id), ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0
               ? send_fail(link)
               : WEFT_OK;
}

int weft__zmq_link_send(struct weft_zmq_ep *ep, struct weft_zmq_link *link, const struct iovec *iov,
                        unsigned n)
{
    size_t len = 0;
    zmq_msg_t msg;
    int err = link->state == WEFT_ZMQ_IDLE     ? link_connect(ep, link)
              : link->state == WEFT_ZMQ_ASKING ? WEFT_EAGAIN
                                               : WEFT_OK;
    if (err)
        return err;
    for (unsigned i = 0; i < n; i++)
        len += iov[i].iov_len;
    if (zmq_msg_init_size(&msg, len) != 0)
        return weft_fail(WEFT_ENOMEM, "no memory for a message of %zu bytes", len);
    err = send_route(ep, link);
    if (!err) {
        gather(zmq_msg_data(&msg), iov, n);
        if (zmq_msg_send(&msg, link->push ? link->push : ep->out.handle, ZMQ_DONTWAIT) >= 0)
            return WEFT_OK;
        err = send_fail(link);
    }
    zmq_msg_close(&msg);
    return err;
}

/* Tells the owner; its handler may drop peers, this one included. */
static void tell_lost(struct weft_zmq_ep *ep, struct weft_zmq_link *link, bool refused)
{
    uint32_t cursor = 0, id;
    void *item;
    void (*tell)(void *ctx, struct weft_tp_peer peer) = ep->on.peer_lost;
    if (refused && ep->on.peer_refused)
        tell = ep->on.peer_refused;
    else if (!refused && !link->met && ep->on.peer_unreached)
        tell = ep->on.peer_unreached;
    while (tell && (item = weft__slots_next(&ep->peers, &cursor, &id))) {
        if (item == link)
            tell(ep->ctx, (struct weft_tp_peer){id});
    }
}

/* The connection is gone for libzmq too. */
static void link_end(struct weft_zmq_ep *ep, struct weft_zmq_link *link, int err)
{
    bool refused = link->verdict != WEFT_ZMQ_FINE && link->verdict != WEFT_ZMQ_CLOSED;
    if (refused)
        err = weft__zmq_curve_fail(ep, link->url, link->verdict);
    weft__debug("zmq: the connection to %s is lost: %s", link->url, weft_error_text(err));
    link->state = link->kind == WEFT_ZMQ_CALL ? WEFT_ZMQ_IDLE : WEFT_ZMQ_LOST;
    ep->stats.links_lost++;
    weft__zmq_sends_fail(ep, link, 0, err);
    tell_lost(ep, link, refused);
}

static void link_lost(struct weft_zmq_ep *ep, struct weft_zmq_link *link)
{
    weft__zmq_replies_take(ep); /* what came before the end still counts */
    disconnect_out(ep, link);
    if (link->verdict == WEFT_ZMQ_CLOSED &&
        (link->greeting = weft__zmq_greeting_ask(ep, link->url))) {
        link->state = WEFT_ZMQ_ASKING;
        ep->asking++;
        return;
    }
    link_end(ep, link, link->state == WEFT_ZMQ_UP ? WEFT_ECONNRESET : WEFT_EHOSTUNREACH);
}

static enum weft_zmq_verdict verdict_of(const struct weft_zmq_event *event)
{
    if (event->kind == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        return WEFT_ZMQ_DENIED;
    if (event->kind == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL &&
        event->value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
        return WEFT_ZMQ_OTHER_MODE;
    return WEFT_ZMQ_CLOSED;
}

static void link_event(struct weft_zmq_ep *ep, struct weft_zmq_link *link,
                       const struct weft_zmq_event *event)
{
    link->refs++;
    if (event->kind == ZMQ_EVENT_CONNECTED && link->state == WEFT_ZMQ_CONNECTING) {
        link->state = WEFT_ZMQ_UP;
        link->fd = event->value;
    } else if (event->kind == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
        link->met |= link->state == WEFT_ZMQ_UP && link->fd == event->value;
    } else if (event->kind & HANDSHAKE_FAILED) {
        if (link->state == WEFT_ZMQ_UP)
            link->verdict = verdict_of(event);
    } else if ((event->kind == ZMQ_EVENT_CLOSED && link->state == WEFT_ZMQ_CONNECTING) ||
               (event->kind == ZMQ_EVENT_DISCONNECTED && link->state == WEFT_ZMQ_UP &&
                link->fd == event->value)) {
        link_lost(ep, link);
    }
    weft__zmq_link_put(ep, link);
}

static void monitor_event(struct weft_zmq_ep *ep, const struct weft_zmq_event *event)
{
    for (enum weft_zmq_kind kind = WEFT_ZMQ_CALL; kind <= WEFT_ZMQ_MESSAGE; kind++) {
        struct weft_zmq_link *link = link_find(ep, event->url, kind);
        if (link)
            link_event(ep, link, event);
    }
}

/* Who was asked why the handshake failed has answered, or will not. */
static int greetings_take(struct weft_zmq_ep *ep)
{
    int n = 0;
    struct weft_zmq_link *link = ep->links;
    while (link && ep->asking) {
        struct weft_zmq_link *next;
        link->refs++;
        if (link->state == WEFT_ZMQ_ASKING) {
            link->verdict = weft__zmq_greeting_heard(ep, link->greeting);
            if (link->verdict != WEFT_ZMQ_CLOSED) {
                weft__zmq_greeting_free(ep, link->greeting);
                link->greeting = NULL;
                ep->asking--;
                link_end(ep, link, WEFT_ECONNRESET);
                n++;
            }
        }
        next = link->next;
        weft__zmq_link_put(ep, link);
        link = next;
    }
    return n;
}

int weft__zmq_links_watch(struct weft_zmq_ep *ep)
{
    struct weft_zmq_parts parts;
    struct weft_zmq_event event;
    int n = ep->asking ? greetings_take(ep) : 0;
    while (ep->monitor.look && weft__zmq_take(&ep->monitor, &parts)) {
        if (weft__zmq_event_read(&parts, &event))
            monitor_event(ep, &event);
        weft__zmq_parts_close(&parts);
        n++;
    }
    return n;
}

void weft__zmq_links_free(struct weft_zmq_ep *ep)
{
    while (ep->links) {
        struct weft_zmq_link *link = ep->links;
        ep->links = link->next;
        weft__zmq_greeting_free(ep, link->greeting);
        if (link->push)
            zmq_close(link->push);
        free(link);
    }
}

/* Control: requests and pushes in, replies out, and the client's side of both.
 *
 * The envelope of a request is kept in weft_tp_from: one byte that says whether an empty delimiter
 * stood between the identity and the frame (a REQ client's way), then the identity, up to 255
 * bytes. A reply goes back in the same form. ROUTER_MANDATORY is on for the ports: with it libzmq
 * tells a full queue and a client that has gone apart, and both can be counted; without it both are
 * dropped in silence. The send never blocks either way.
 */
#include <string.h>

#include "transport/zmq/endpoint.h"
#include "weft/error.h"

#define SERVER_BEAT_MS 1000
#define SERVER_BEAT_DEAD_MS 5000

static int port_open(struct weft_zmq_ep *ep, struct weft_zmq_port *port)
{
    bool sync = port->mode == WEFT_TP_SYNC;
    int err =
        weft__zmq_sock_open(ep, sync ? ZMQ_ROUTER : ZMQ_PULL, WEFT_ZMQ_CALL_DEPTH, &port->sock);
    if (err)
        return err;
    err = weft__zmq_set(port->sock.handle, ZMQ_HEARTBEAT_IVL, SERVER_BEAT_MS);
    if (!err)
        err = weft__zmq_set(port->sock.handle, ZMQ_HEARTBEAT_TIMEOUT, SERVER_BEAT_DEAD_MS);
    if (!err && sync)
        err = weft__zmq_set(port->sock.handle, ZMQ_ROUTER_MANDATORY, 1);
    if (!err && sync)
        err = weft__zmq_set(port->sock.handle, ZMQ_ROUTER_HANDOVER, 1);
    if (!err)
        err = weft__zmq_curve_server(ep, port->sock.handle);
    if (!err)
        err = weft__zmq_gate_open(ep, &port->gate, port->sock.handle);
    return err;
}

static int ctl_listen(struct weft_tp_ep *base, enum weft_tp_port_mode mode, uint16_t port,
                      uint16_t *port_out)
{
    struct weft_zmq_ep *ep = weft__zmq_ep(base);
    if (!(ep->families & WEFT_TP_CTL))
        return weft_fail(WEFT_EINVAL, "this endpoint was opened without ctl");
    if (ep->ports_n == WEFT_ZMQ_PORTS_MAX)
        return weft_fail(WEFT_ENOSPC, "an endpoint has at most %d ports", WEFT_ZMQ_PORTS_MAX);
    struct weft_zmq_port *slot = &ep->ports[ep->ports_n];
    slot->mode = mode;
    int err = port_open(ep, slot);
    if (!err)
        err = weft__zmq_bind(ep, slot->sock.handle, port, port_out);
    if (err) {
        weft__zmq_gate_close(&slot->gate);
        weft__zmq_sock_close(&slot->sock);
        return err;
    }
    slot->gate.port = *port_out;
    ep->ports_n++;
    return WEFT_OK;
}

static int ctl_connect(struct weft_tp_ep *base, const char *url, enum weft_tp_port_mode mode,
                       struct weft_tp_peer *peer_out)
{
    struct weft_zmq_ep *ep = weft__zmq_ep(base);
    if (!(ep->families & WEFT_TP_CTL))
        return weft_fail(WEFT_EINVAL, "this endpoint was opened without ctl");
    if (!weft__zmq_url_ok(url))
        return weft_fail(WEFT_EINVAL, "%s: expected tcp://ADDRESS:PORT with a numeric address",
                         url);
    return weft__zmq_link_get(ep, url, mode == WEFT_TP_SYNC ? WEFT_ZMQ_CALL : WEFT_ZMQ_PUSH,
                              peer_out);
}

static int send_to(struct weft_tp_ep *base, struct weft_tp_peer peer, enum weft_zmq_kind kind,
                   struct iovec frame)
{
    struct weft_zmq_ep *ep = weft__zmq_ep(base);
    struct weft_zmq_link *link = weft__slots_find(&ep->peers, peer.id);
    if (!link || link->kind != kind)
        return weft_fail(WEFT_EINVAL, "peer %u takes no %s", peer.id,
                         kind == WEFT_ZMQ_PUSH ? "pushes" : "requests");
    if (frame.iov_len > ep->msg_max_bytes)
        return weft_fail(WEFT_EMSGSIZE, "%zu bytes for %s: the limit is %zu", frame.iov_len,
                         link->url, ep->msg_max_bytes);
    return weft__zmq_link_send(ep, link, &frame, 1);
}

static int ctl_request(struct weft_tp_ep *ep, struct weft_tp_peer peer, const void *data,
                       size_t len_bytes)
{
    return send_to(ep, peer, WEFT_ZMQ_CALL, (struct iovec){(void *)(uintptr_t)data, len_bytes});
}

static int ctl_push(struct weft_tp_ep *ep, struct weft_tp_peer peer, const void *data,
                    size_t len_bytes)
{
    return send_to(ep, peer, WEFT_ZMQ_PUSH, (struct iovec){(void *)(uintptr_t)data, len_bytes});
}

static int reply_failed(struct weft_zmq_ep *ep)
{
    switch (zmq_errno()) {
    case EHOSTUNREACH:
        ep->stats.replies_gone++;
        return WEFT_OK;
    case EAGAIN:
        ep->stats.replies_full++;
        return WEFT_EAGAIN;
    default:
        return weft__zmq_fail("cannot reply");
    }
}

static int reply_message(struct weft_zmq_ep *ep, const struct weft_tp_from *to, const void *data,
                         size_t len_bytes, zmq_msg_t *message_out)
{
    if (len_bytes >= WEFT_ZMQ_DEBT_FROM_BYTES)
        return weft__zmq_debt_message(&ep->debts, to, data, len_bytes, message_out);
    if (zmq_msg_init_size(message_out, len_bytes) != 0)
        return weft__zmq_fail("cannot reply");
    memcpy(zmq_msg_data(message_out), data, len_bytes);
    return WEFT_OK;
}

static int ctl_reply(struct weft_tp_ep *base, const struct weft_tp_from *to, const void *data,
                     size_t len_bytes)
{
    struct weft_zmq_ep *ep = weft__zmq_ep(base);
    if (to->port_index >= ep->ports_n || ep->ports[to->port_index].mode != WEFT_TP_SYNC ||
        to->len < 2 || to->len > sizeof(to->bytes))
        return weft_fail(WEFT_EINVAL, "not the origin of a request");
    if (len_bytes > ep->msg_max_bytes)
        return weft_fail(WEFT_EMSGSIZE, "a reply of %zu bytes: the limit is %zu", len_bytes,
                         ep->msg_max_bytes);
    struct weft_zmq_sock *sock = &ep->ports[to->port_index].sock;
    zmq_msg_t message;
    int err = reply_message(ep, to, data, len_bytes, &message);
    if (err) {
        ep->stats.replies_full += err == WEFT_EAGAIN;
        return err;
    }
    sock->look = true; /* the sends may swallow the tell-tale of a request */
    if (zmq_send(sock->handle, to->bytes + 1, to->len - 1u, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        (to->bytes[0] && zmq_send(sock->handle, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) ||
        zmq_msg_send(&message, sock->handle, ZMQ_DONTWAIT) < 0) {
        err = reply_failed(ep);
        zmq_msg_close(&message);
    }
    return err;
}

/* [identity][frame] or [identity][][frame]; the frame's part, or 0: some other number of parts; or
 * -1: no identity that could be answered. */
static int request_frame(struct weft_zmq_parts *parts, unsigned port_index,
                         struct weft_tp_from *from_out)
{
    bool delimited = parts->n > 2 && zmq_msg_size(&parts->part[1]) == 0;
    size_t len = zmq_msg_size(&parts->part[0]);
    if (len == 0 || len >= sizeof(from_out->bytes))
        return -1;
    from_out->port_index = (uint16_t)port_index;
    from_out->len = (uint16_t)(len + 1);
    from_out->bytes[0] = delimited;
    memcpy(from_out->bytes + 1, zmq_msg_data(&parts->part[0]), len);
    return parts->n == 2u + delimited ? (int)parts->n - 1 : 0;
}

static void request_take(struct weft_zmq_ep *ep, unsigned port_index, struct weft_zmq_parts *parts)
{
    struct weft_tp_from from;
    bool sync = ep->ports[port_index].mode == WEFT_TP_SYNC;
    int frame = sync ? request_frame(parts, port_index, &from) : 0;
    bool whole = sync ? frame > 0 : parts->n == 1;
    zmq_msg_t *msg = &parts->part[frame < 0 ? 0 : frame];
    ep->stats.malformed += !whole;
    if (frame < 0)
        return;
    if (sync && whole && ep->on.client_gone)
        weft__zmq_origin_note(&ep->origins, &from, msg);
    if (ep->on.request)
        ep->on.request(ep->ctx, port_index, sync ? &from : NULL, whole ? zmq_msg_data(msg) : "",
                       whole ? zmq_msg_size(msg) : 0);
}

int weft__zmq_requests_take(struct weft_zmq_ep *ep, unsigned port_index)
{
    struct weft_zmq_sock *sock = &ep->ports[port_index].sock;
    struct weft_zmq_parts parts;
    int n = 0;
    while (sock->look && n < WEFT_ZMQ_BUDGET && weft__zmq_take(sock, &parts)) {
        request_take(ep, port_index, &parts);
        weft__zmq_parts_close(&parts);
        n++;
    }
    return n;
}

static void reply_take(struct weft_zmq_ep *ep, struct weft_zmq_parts *parts)
{
    uint32_t route;
    if (parts->n != 2 || zmq_msg_size(&parts->part[0]) != 1 + sizeof(route)) {
        ep->stats.malformed++;
        return;
    }
    memcpy(&route, (const char *)zmq_msg_data(&parts->part[0]) + 1, sizeof(route));
    const struct weft_zmq_link *link = weft__zmq_link_of_route(ep, route);
    if (link && link->kind == WEFT_ZMQ_CALL && link->refs > 0 && ep->on.reply)
        ep->on.reply(ep->ctx, (struct weft_tp_peer){link->peer_id}, zmq_msg_data(&parts->part[1]),
                     zmq_msg_size(&parts->part[1]));
}

int weft__zmq_replies_take(struct weft_zmq_ep *ep)
{
    struct weft_zmq_parts parts;
    int n = 0;
    while (ep->out.look && n < WEFT_ZMQ_BUDGET && weft__zmq_take(&ep->out, &parts)) {
        reply_take(ep, &parts);
        weft__zmq_parts_close(&parts);
        n++;
    }
    return n;
}

const struct weft_tp_ctl_ops weft__zmq_ctl_ops = {
    .listen = ctl_listen,
    .connect = ctl_connect,
    .request = ctl_request,
    .push = ctl_push,
    .reply = ctl_reply,
};

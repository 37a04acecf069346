/* Control: requests, pushes and replies are letters like messages. A ctl peer finds its port when
 * it is used, so a server that came back on its port is found again. A request's origin is the
 * client's serial and peer id: a client that has gone is simply not found.
 */
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "transport/inproc/endpoint.h"
#include "transport/inproc/registry.h"
#include "weft/error.h"

#define EPHEMERAL_FIRST 49152
#define EPHEMERAL_LAST 65535

static int ctl_listen(struct weft_tp_ep *base, enum weft_tp_port_mode mode, uint16_t port,
                      uint16_t *port_out)
{
    struct weft_inproc_ep *ep = weft__inproc_ep(base);
    if (!(ep->families & WEFT_TP_CTL))
        return weft_fail(WEFT_EINVAL, "this endpoint was opened without ctl");
    if (ep->ports_n == WEFT_INPROC_PORTS_MAX)
        return weft_fail(WEFT_ENOSPC, "an endpoint has at most %d ports", WEFT_INPROC_PORTS_MAX);
    struct weft_inproc_port what = {
        .name = ep->name, .first = port, .last = port, .mode = mode, .index = ep->ports_n};
    if (!port) {
        what.first = ep->port_first ? ep->port_first : EPHEMERAL_FIRST;
        what.last = ep->port_first ? ep->port_last : EPHEMERAL_LAST;
    }
    int err = weft__inproc_port_add(ep->box, &what, port_out);
    if (!err)
        ep->ports_n++;
    return err;
}

static int parse_url(const char *url, struct weft_inproc_peer *peer)
{
    const char *colon = strrchr(url, ':');
    size_t len = colon ? (size_t)(colon - url) : 0;
    uint64_t port;
    if (len == 0 || len >= sizeof(peer->name) ||
        weft__parse_u64(colon + 1, 1, UINT16_MAX, &port) != WEFT_OK)
        return weft_fail(WEFT_EINVAL, "%s: expected NAME:PORT", url);
    memcpy(peer->name, url, len);
    peer->port = (uint16_t)port;
    return WEFT_OK;
}

static int ctl_connect(struct weft_tp_ep *base, const char *url, enum weft_tp_port_mode mode,
                       struct weft_tp_peer *peer_out)
{
    struct weft_inproc_ep *ep = weft__inproc_ep(base);
    if (!(ep->families & WEFT_TP_CTL))
        return weft_fail(WEFT_EINVAL, "this endpoint was opened without ctl");
    struct weft_inproc_peer *peer = calloc(1, sizeof(*peer));
    if (!peer)
        return weft_fail(WEFT_ENOMEM, "no memory for a peer");
    peer->ctl = true;
    peer->mode = mode;
    int err = parse_url(url, peer);
    if (!err)
        err = weft__slots_put(&ep->peers, peer, &peer->id);
    if (err)
        free(peer);
    else
        peer_out->id = peer->id;
    return err;
}

static int find_port(struct weft_inproc_peer *peer)
{
    struct weft_inproc_port what = {
        .name = peer->name, .first = peer->port, .last = peer->port, .mode = peer->mode};
    if (peer->box && !weft__inproc_peer_box(peer)) {
        weft__inproc_box_put(peer->box);
        peer->box = NULL;
    }
    if (!peer->box)
        peer->box = weft__inproc_port_find(&what, &peer->port_index);
    if (!peer->box)
        return weft_fail(WEFT_EHOSTUNREACH, "nobody has opened %s:%u", peer->name, peer->port);
    return WEFT_OK;
}

static int post(const struct weft_inproc_ep *ep, struct weft_inproc_box *box,
                const struct weft_inproc_letter *head, struct iovec data)
{
    if (data.iov_len > ep->msg_max_bytes)
        return weft_fail(WEFT_EMSGSIZE, "%zu bytes: the limit is %zu", data.iov_len,
                         ep->msg_max_bytes);
    struct weft_inproc_letter *letter = weft__inproc_letter_new(head->kind, &data, 1);
    if (!letter)
        return weft_fail(WEFT_ENOMEM, "no memory for a message");
    letter->port_index = head->port_index;
    letter->peer_id = head->peer_id;
    letter->from = head->from;
    if (weft__inproc_box_push(box, 0, letter))
        return WEFT_OK;
    free(letter);
    return WEFT_EAGAIN;
}

static int call(struct weft_tp_ep *base, struct weft_tp_peer id, enum weft_tp_port_mode mode,
                struct iovec data)
{
    struct weft_inproc_ep *ep = weft__inproc_ep(base);
    struct weft_inproc_peer *peer = weft__slots_find(&ep->peers, id.id);
    if (!peer || !peer->ctl || peer->mode != mode)
        return weft_fail(WEFT_EINVAL, "peer %u takes no %s", id.id,
                         mode == WEFT_TP_SYNC ? "requests" : "pushes");
    int err = find_port(peer);
    if (err)
        return err;
    struct weft_inproc_letter head = {
        .kind = mode == WEFT_TP_SYNC ? WEFT_INPROC_REQUEST : WEFT_INPROC_PUSH,
        .port_index = (uint16_t)peer->port_index,
        .peer_id = peer->id,
        .from = ep->box->serial,
    };
    return post(ep, peer->box, &head, data);
}

static int ctl_request(struct weft_tp_ep *ep, struct weft_tp_peer peer, const void *data,
                       size_t len_bytes)
{
    return call(ep, peer, WEFT_TP_SYNC, (struct iovec){(void *)(uintptr_t)data, len_bytes});
}

static int ctl_push(struct weft_tp_ep *ep, struct weft_tp_peer peer, const void *data,
                    size_t len_bytes)
{
    return call(ep, peer, WEFT_TP_ASYNC, (struct iovec){(void *)(uintptr_t)data, len_bytes});
}

struct origin {
    uint64_t serial;
    uint32_t peer_id;
};

static int ctl_reply(struct weft_tp_ep *base, const struct weft_tp_from *to, const void *data,
                     size_t len_bytes)
{
    struct weft_inproc_ep *ep = weft__inproc_ep(base);
    struct origin origin;
    if (to->port_index >= ep->ports_n || to->len != sizeof(origin))
        return weft_fail(WEFT_EINVAL, "not the origin of a request");
    memcpy(&origin, to->bytes, sizeof(origin));
    struct weft_inproc_box *box = weft__inproc_find(origin.serial);
    struct weft_inproc_letter head = {.kind = WEFT_INPROC_REPLY, .peer_id = origin.peer_id};
    struct iovec iov = {(void *)(uintptr_t)data, len_bytes};
    int err = box ? post(ep, box, &head, iov) : WEFT_OK;
    weft__inproc_box_put(box);
    return err;
}

void weft__inproc_request_take(struct weft_inproc_ep *ep, const struct weft_inproc_letter *letter)
{
    struct origin origin;
    struct weft_tp_from from = {.port_index = letter->port_index, .len = sizeof(origin)};
    memset(&origin, 0, sizeof(origin));
    origin.serial = letter->from;
    origin.peer_id = letter->peer_id;
    memcpy(from.bytes, &origin, sizeof(origin));
    if (ep->on.request)
        ep->on.request(ep->ctx, letter->port_index,
                       letter->kind == WEFT_INPROC_REQUEST ? &from : NULL, letter->data,
                       letter->len_bytes);
}

void weft__inproc_reply_take(struct weft_inproc_ep *ep, const struct weft_inproc_letter *letter)
{
    const struct weft_inproc_peer *peer = weft__slots_find(&ep->peers, letter->peer_id);
    if (peer && peer->ctl && ep->on.reply)
        ep->on.reply(ep->ctx, (struct weft_tp_peer){letter->peer_id}, letter->data,
                     letter->len_bytes);
}

const struct weft_tp_ctl_ops weft__inproc_ctl_ops = {
    .listen = ctl_listen,
    .connect = ctl_connect,
    .request = ctl_request,
    .push = ctl_push,
    .reply = ctl_reply,
};

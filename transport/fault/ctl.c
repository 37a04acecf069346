/* Letters: control messages both ways, and messages that come in. What is held is copied; what is
 * not goes through without a copy. */
#include <stdlib.h>
#include <string.h>

#include "transport/fault/endpoint.h"
#include "weft/error.h"

/* A letter in hand: head says what it is, data is still its owner's. */
struct letter {
    struct weft_fault_item *head; /* on the stack, without data */
    enum weft_fault_kind kind;
    const void *data;
    size_t len_bytes;
};

static int ctl_listen(struct weft_tp_ep *base, enum weft_tp_port_mode mode, uint16_t port,
                      uint16_t *port_out)
{
    const struct weft_fault_ep *ep = weft__fault_ep(base);
    return ep->tp->ctl->listen(ep->inner, mode, port, port_out);
}

static int ctl_connect(struct weft_tp_ep *base, const char *url, enum weft_tp_port_mode mode,
                       struct weft_tp_peer *peer_out)
{
    struct weft_fault_ep *ep = weft__fault_ep(base);
    struct weft_fault_peer *peer;
    struct weft_tp_peer inner;
    int err = ep->tp->ctl->connect(ep->inner, url, mode, &inner);
    if (!err)
        err = weft__fault_peer_enter(ep, inner, url, &peer);
    if (err)
        return err;
    peer->mode = mode;
    peer_out->id = peer->id;
    return WEFT_OK;
}

static int send_now(struct weft_fault_ep *ep, const struct weft_fault_item *head, const void *data,
                    size_t len_bytes)
{
    const struct weft_tp_ctl_ops *ctl = ep->tp->ctl;
    if (head->what == WEFT_FAULT_DO_REPLY)
        return ctl->reply(ep->inner, &head->from, data, len_bytes);
    const struct weft_fault_peer *peer = weft__slots_find(&ep->peers, head->peer_id);
    if (!peer)
        return weft_fail(WEFT_EINVAL, "no such peer");
    if (peer->dead)
        return weft_fail(peer->dead, "the connection to %s was cut", peer->url ? peer->url : "it");
    return head->what == WEFT_FAULT_DO_REQUEST
               ? ctl->request(ep->inner, peer->inner, data, len_bytes)
               : ctl->push(ep->inner, peer->inner, data, len_bytes);
}

int weft__fault_letter_send(struct weft_fault_ep *ep, const struct weft_fault_item *item)
{
    return send_now(ep, item, item->data, item->len_bytes);
}

static void deliver(struct weft_fault_ep *ep, const struct weft_fault_item *head, const void *data,
                    size_t len_bytes)
{
    if (head->what == WEFT_FAULT_TAKE_REQUEST && ep->on.request)
        ep->on.request(ep->ctx, head->port_index, head->has_from ? &head->from : NULL, data,
                       len_bytes);
    else if (head->what == WEFT_FAULT_TAKE_REPLY && ep->on.reply)
        ep->on.reply(ep->ctx, (struct weft_tp_peer){head->peer_id}, data, len_bytes);
    else if (head->what == WEFT_FAULT_TAKE_MESSAGE && ep->on.message)
        ep->on.message(ep->ctx, data, len_bytes);
}

void weft__fault_letter_deliver(struct weft_fault_ep *ep, const struct weft_fault_item *item)
{
    deliver(ep, item, item->data, item->len_bytes);
}

static struct weft_fault_item *copy_of(struct weft_fault_ep *ep, const struct letter *letter)
{
    struct weft_fault_item *item =
        weft__fault_item_new(ep, letter->head->what, letter->data, letter->len_bytes);
    if (!item)
        return NULL;
    item->channel = letter->head->channel;
    item->peer_id = letter->head->peer_id;
    item->port_index = letter->head->port_index;
    item->has_from = letter->head->has_from;
    item->from = letter->head->from;
    return item;
}

/* The second one of a doubled letter: behind the first. */
static void double_it(struct weft_fault_ep *ep, const struct letter *letter,
                      const struct weft_fault_fate *fate)
{
    struct weft_fault_fate same = {.hold = fate->hold, .overtaken = fate->overtaken};
    struct weft_fault_item *item = copy_of(ep, letter);
    if (!item)
        return; /* a fault less */
    ep->counts.doubled++;
    weft__fault_hold(ep, item, &same);
}

static int hold(struct weft_fault_ep *ep, const struct letter *letter,
                const struct weft_fault_fate *fate)
{
    struct weft_fault_item *item = copy_of(ep, letter);
    if (!item)
        return WEFT_ENOMEM;
    weft__fault_hold(ep, item, fate);
    return WEFT_OK;
}

static bool takes(const struct weft_fault_peer *peer, const struct weft_fault_item *head)
{
    bool request = head->what == WEFT_FAULT_DO_REQUEST;
    return peer && peer->url && (peer->mode == WEFT_TP_SYNC) == request;
}

/* What is submitted: its fate, then the way to X. */
static int submit(struct weft_fault_ep *ep, const struct letter *letter)
{
    struct weft_fault_dice dice = ep->dice[WEFT_FAULT_OUT];
    struct weft_fault_fate fate = weft__fault_fate(ep, WEFT_FAULT_OUT, letter->kind);
    struct weft_fault_peer *peer = weft__slots_find(&ep->peers, letter->head->peer_id);
    bool reply = letter->head->what == WEFT_FAULT_DO_REPLY;
    int err = WEFT_OK;
    if (letter->len_bytes > ep->limits.msg_max_bytes || (!reply && !takes(peer, letter->head))) {
        ep->dice[WEFT_FAULT_OUT] = dice;
        return send_now(ep, letter->head, letter->data, letter->len_bytes); /* X's own error */
    }
    if (fate.fail && !reply) {
        ep->counts.letters++;
        ep->counts.failed++;
        return weft_fail(WEFT_ECONNRESET, "an injected fault: the connection to %s broke",
                         peer->url);
    }
    if (fate.cut && !reply)
        weft__fault_cut(ep, peer);
    else if (fate.drop)
        ep->counts.dropped++;
    else if (weft__fault_must_hold(ep, letter->head->channel, &fate))
        err = hold(ep, letter, &fate);
    else
        err = send_now(ep, letter->head, letter->data, letter->len_bytes);
    if (err)
        ep->dice[WEFT_FAULT_OUT] = dice;
    else
        ep->counts.letters++;
    if (!err && fate.dup && !fate.drop && !(fate.cut && !reply))
        double_it(ep, letter, &fate);
    return err;
}

static int ctl_request(struct weft_tp_ep *ep, struct weft_tp_peer peer, const void *data,
                       size_t len_bytes)
{
    struct weft_fault_item head = {.what = WEFT_FAULT_DO_REQUEST, .peer_id = peer.id};
    head.channel = weft__fault_channel(WEFT_FAULT_REQUEST, &peer.id, sizeof(peer.id));
    struct letter letter = {&head, WEFT_FAULT_REQUEST, data, len_bytes};
    return submit(weft__fault_ep(ep), &letter);
}

static int ctl_push(struct weft_tp_ep *ep, struct weft_tp_peer peer, const void *data,
                    size_t len_bytes)
{
    struct weft_fault_item head = {.what = WEFT_FAULT_DO_PUSH, .peer_id = peer.id};
    head.channel = weft__fault_channel(WEFT_FAULT_PUSH, &peer.id, sizeof(peer.id));
    struct letter letter = {&head, WEFT_FAULT_PUSH, data, len_bytes};
    return submit(weft__fault_ep(ep), &letter);
}

static int ctl_reply(struct weft_tp_ep *base, const struct weft_tp_from *to, const void *data,
                     size_t len_bytes)
{
    struct weft_fault_ep *ep = weft__fault_ep(base);
    if (to->len > sizeof(to->bytes))
        return ep->tp->ctl->reply(ep->inner, to, data, len_bytes);
    struct weft_fault_item head = {.what = WEFT_FAULT_DO_REPLY, .from = *to};
    head.channel = weft__fault_channel(WEFT_FAULT_REPLY, to->bytes, to->len);
    struct letter letter = {&head, WEFT_FAULT_REPLY, data, len_bytes};
    return submit(ep, &letter);
}

/* What comes in: its fate, then the way to the caller. A cut is for replies: the caller knows their
 * peer. */
static void take(struct weft_fault_ep *ep, const struct letter *letter)
{
    struct weft_fault_fate fate = weft__fault_fate(ep, WEFT_FAULT_IN, letter->kind);
    ep->counts.letters++;
    if (fate.cut && letter->head->what == WEFT_FAULT_TAKE_REPLY) {
        weft__fault_cut(ep, weft__slots_find(&ep->peers, letter->head->peer_id));
        return;
    }
    if (fate.drop) {
        ep->counts.dropped++;
        return;
    }
    if (!weft__fault_must_hold(ep, letter->head->channel, &fate))
        deliver(ep, letter->head, letter->data, letter->len_bytes);
    else if (hold(ep, letter, &fate) != WEFT_OK)
        ep->counts.dropped++;
    if (fate.dup)
        double_it(ep, letter, &fate);
}

void weft__fault_request_take(void *ctx, unsigned port_index, const struct weft_tp_from *from,
                              const void *data, size_t len_bytes)
{
    struct weft_fault_item head = {
        .what = WEFT_FAULT_TAKE_REQUEST, .port_index = port_index, .has_from = from != NULL};
    enum weft_fault_kind kind = from ? WEFT_FAULT_REQUEST : WEFT_FAULT_PUSH;
    if (from)
        head.from = *from;
    head.channel = from ? weft__fault_channel(kind, from->bytes, from->len)
                        : weft__fault_channel(kind, &port_index, sizeof(port_index));
    struct letter letter = {&head, kind, data, len_bytes};
    take(ctx, &letter);
}

void weft__fault_reply_take(void *ctx, struct weft_tp_peer inner, const void *data,
                            size_t len_bytes)
{
    const struct weft_fault_peer *peer = weft__fault_peer_of(ctx, inner);
    if (!peer)
        return;
    struct weft_fault_item head = {.what = WEFT_FAULT_TAKE_REPLY, .peer_id = peer->id};
    head.channel = weft__fault_channel(WEFT_FAULT_REPLY, &peer->id, sizeof(peer->id));
    struct letter letter = {&head, WEFT_FAULT_REPLY, data, len_bytes};
    take(ctx, &letter);
}

void weft__fault_message_take(void *ctx, const void *data, size_t len_bytes)
{
    struct weft_fault_item head = {.what = WEFT_FAULT_TAKE_MESSAGE};
    head.channel = weft__fault_channel(WEFT_FAULT_MESSAGE, NULL, 0);
    struct letter letter = {&head, WEFT_FAULT_MESSAGE, data, len_bytes};
    take(ctx, &letter);
}

const struct weft_tp_ctl_ops weft__fault_ctl_ops = {
    .listen = ctl_listen,
    .connect = ctl_connect,
    .request = ctl_request,
    .push = ctl_push,
    .reply = ctl_reply,
};

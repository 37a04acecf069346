/* What is held: one list, in the order in which it came.
 *
 * A channel is what keeps an order: a peer's requests, a client's replies, the messages to a peer.
 * Channels are told apart by a small hash; two that share one wait for each other, which costs time
 * and breaks no promise. A turn walks the list once: what is due goes, unless something before it
 * in its channel stays; what comes into the list during the walk waits for the next turn. Items are
 * unlinked by the walk alone: who ends one meanwhile only changes what will be done with it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "transport/fault/endpoint.h"
#include "weft/error.h"

#define NO_CHANNEL WEFT_FAULT_CHANNELS

unsigned weft__fault_channel(enum weft_fault_kind kind, const void *key, size_t len_bytes)
{
    const unsigned char *bytes = key;
    uint32_t hash = 2166136261u ^ (uint32_t)kind;
    for (size_t i = 0; i < len_bytes; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return (hash ^ hash >> 16) % WEFT_FAULT_CHANNELS;
}

struct weft_fault_item *weft__fault_item_new(struct weft_fault_ep *ep, enum weft_fault_what what,
                                             const void *data, size_t len_bytes)
{
    struct weft_fault_item *item = malloc(sizeof(*item) + len_bytes);
    if (!item) {
        (void)weft_fail(WEFT_ENOMEM, "no memory to hold a letter");
        return NULL;
    }
    memset(item, 0, sizeof(*item));
    item->what = what;
    item->ep = ep;
    item->channel = NO_CHANNEL;
    item->len_bytes = len_bytes;
    if (len_bytes && data)
        memcpy(item->data, data, len_bytes);
    return item;
}

static uint64_t now(const struct weft_fault_ep *ep)
{
    return ep->clock ? weft__clock_now(ep->clock) : ep->calls;
}

static bool from_inner(const struct weft_fault_item *item)
{
    return item->what == WEFT_FAULT_TAKE_REQUEST || item->what == WEFT_FAULT_TAKE_REPLY ||
           item->what == WEFT_FAULT_TAKE_MESSAGE;
}

bool weft__fault_must_hold(const struct weft_fault_ep *ep, unsigned channel,
                           const struct weft_fault_fate *fate)
{
    return fate->hold || ep->channels[channel].waiting;
}

static void append(struct weft_fault_ep *ep, struct weft_fault_item *item)
{
    item->next = NULL;
    item->held = true;
    *ep->end = item;
    ep->end = &item->next;
    ep->held_in += from_inner(item);
}

void weft__fault_hold(struct weft_fault_ep *ep, struct weft_fault_item *item,
                      const struct weft_fault_fate *fate)
{
    struct weft_fault_channel *channel = &ep->channels[item->channel];
    item->due = now(ep) + fate->hold;
    item->overtaken = fate->overtaken;
    if (fate->hold) {
        ep->counts.held++;
        ep->counts.overtaken += fate->overtaken;
    }
    if (!item->overtaken) {
        if (channel->waiting && channel->due > item->due)
            item->due = channel->due;
        channel->waiting++;
        channel->due = item->due;
        item->counted = true;
    }
    append(ep, item);
}

void weft__fault_hold_next(struct weft_fault_ep *ep, struct weft_fault_item *item)
{
    item->channel = NO_CHANNEL;
    item->due = 0;
    append(ep, item);
}

/* What follows on its channel does not wait for it any more. */
static void uncount(struct weft_fault_ep *ep, struct weft_fault_item *item)
{
    if (item->counted)
        ep->channels[item->channel].waiting--;
    item->counted = false;
}

void weft__fault_item_end(struct weft_fault_ep *ep, struct weft_fault_item *item, int err)
{
    uncount(ep, item);
    ep->held_in -= from_inner(item);
    item->channel = NO_CHANNEL;
    item->what = item->user_op ? WEFT_FAULT_FINISH : WEFT_FAULT_NOTHING;
    item->err = err;
    item->due = 0;
}

void weft__fault_peer_end(struct weft_fault_ep *ep, const struct weft_fault_peer *peer, int err)
{
    for (struct weft_fault_item *item = ep->first; item; item = item->next)
        if (item->peer_id == peer->id && item->what != WEFT_FAULT_FINISH)
            weft__fault_item_end(ep, item, err);
}

/* Does what the item stands for, and frees it or hands it to X. WEFT_EAGAIN: X is full. */
static int item_run(struct weft_fault_ep *ep, struct weft_fault_item *item)
{
    int err = WEFT_OK;
    switch (item->what) {
    case WEFT_FAULT_DO_REQUEST:
    case WEFT_FAULT_DO_PUSH:
    case WEFT_FAULT_DO_REPLY:
        err = weft__fault_letter_send(ep, item);
        break;
    case WEFT_FAULT_DO_SEND:
    case WEFT_FAULT_DO_GET:
    case WEFT_FAULT_DO_PUT:
    case WEFT_FAULT_DO_FLUSH:
        err = weft__fault_op_start(ep, item);
        if (err && err != WEFT_EAGAIN)
            weft__fault_op_finish(ep, item, err);
        return err == WEFT_EAGAIN ? err : WEFT_OK;
    case WEFT_FAULT_FINISH:
        weft__fault_op_finish(ep, item, item->err);
        return WEFT_OK;
    case WEFT_FAULT_LOST:
        if (ep->on.peer_lost)
            ep->on.peer_lost(ep->ctx, (struct weft_tp_peer){item->peer_id});
        break;
    case WEFT_FAULT_TAKE_REQUEST:
    case WEFT_FAULT_TAKE_REPLY:
    case WEFT_FAULT_TAKE_MESSAGE:
        weft__fault_letter_deliver(ep, item);
        break;
    case WEFT_FAULT_NOTHING:
        break;
    }
    if (err == WEFT_EAGAIN)
        return err;
    free(item); /* a letter that X refuses otherwise has nobody to be told */
    return WEFT_OK;
}

/* Takes the item out for the time that it runs. */
static void unlink_item(struct weft_fault_ep *ep, struct weft_fault_item **at)
{
    struct weft_fault_item *item = *at;
    *at = item->next;
    if (ep->end == &item->next)
        ep->end = at;
    item->held = false;
    ep->held_in -= from_inner(item);
}

static void link_item(struct weft_fault_ep *ep, struct weft_fault_item **at,
                      struct weft_fault_item *item)
{
    item->next = *at;
    *at = item;
    if (ep->end == at)
        ep->end = &item->next;
    item->held = true;
    ep->held_in += from_inner(item);
}

int weft__fault_run(struct weft_fault_ep *ep)
{
    bool stays[WEFT_FAULT_CHANNELS + 1] = {false};
    struct weft_fault_item **at = &ep->first;
    uint32_t left = 0;
    int n = 0;
    if (!ep->first)
        return 0;
    uint64_t time = now(ep);
    for (const struct weft_fault_item *item = ep->first; item; item = item->next)
        left++;
    for (; left; left--) {
        struct weft_fault_item *item = *at;
        unsigned channel = item->channel;
        bool counted = item->counted;
        if ((counted && stays[channel]) || item->due > time) {
            stays[channel] |= counted;
            at = &item->next;
            continue;
        }
        unlink_item(ep, at);
        if (item_run(ep, item) == WEFT_EAGAIN) {
            link_item(ep, at, item);
            stays[channel] = true;
            at = &item->next;
        } else {
            ep->channels[channel % WEFT_FAULT_CHANNELS].waiting -= counted;
            n++;
        }
    }
    return n;
}

bool weft__fault_due(const struct weft_fault_ep *ep, uint64_t *due_out)
{
    uint64_t due = WEFT_NEVER;
    for (const struct weft_fault_item *item = ep->first; item; item = item->next)
        if (item->due < due)
            due = item->due;
    *due_out = due;
    return ep->first && (!ep->clock || due <= weft__clock_now(ep->clock));
}

void weft__fault_items_fini(struct weft_fault_ep *ep)
{
    struct weft_fault_item *item;
    while ((item = ep->first)) {
        ep->first = item->next;
        if (!ep->first)
            ep->end = &ep->first;
        if (item->user_op)
            weft__fault_op_finish(ep, item, WEFT_ECANCELED);
        else
            free(item);
    }
}

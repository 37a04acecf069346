/* Numbers, cumulative acknowledgements, go-back-n.
 *
 * Frames travel over one TCP connection, so they arrive in order but for reconnects and faults: the
 * receiver keeps nothing out of order, it says that there is a gap and the sender begins again
 * behind the acknowledgement. Acknowledgements ride on frames of the other direction; a lone one
 * goes out only when none did for ack_ns, or after ACK_EVERY items. So a barrier costs one frame
 * each way. A selective scheme was rejected: loss is rare here.
 */
#include "group/coord_link.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"

enum { WINDOW = 1024, FRAME_ITEMS = 256, FRAME_BYTES = 256 << 10, ACK_EVERY = 256 };
#define GAP_PAUSE_NS (20 * WEFT_NS_PER_MS)

void weft__coord_link_init(struct weft_coord_link *link, const struct weft_coord_peer *peer)
{
    *link = (struct weft_coord_link){
        .peer = *peer, .resend_at_ns = WEFT_NEVER, .ack_at_ns = WEFT_NEVER};
    memcpy(link->traffic.name, peer->name, sizeof(link->traffic.name));
}

void weft__coord_link_fini(struct weft_coord_link *link)
{
    for (size_t i = 0; i < link->items_n; i++)
        weft__coord_item_fini(&link->items[link->items_from + i]);
    free(link->items);
    *link = (struct weft_coord_link){0};
}

void weft__coord_link_push(struct weft_coord_link *link, struct weft_coord_item item)
{
    if (link->items_from + link->items_n == link->items_max) {
        if (link->items_from > 0 && link->items_from >= link->items_max / 2) {
            memmove(link->items, link->items + link->items_from,
                    link->items_n * sizeof(*link->items));
        } else {
            size_t max = link->items_max > 0 ? 2 * link->items_max : 16;
            struct weft_coord_item *items = weft__must_alloc(max, sizeof(*items));
            if (link->items_n > 0)
                memcpy(items, link->items + link->items_from, link->items_n * sizeof(*items));
            free(link->items);
            link->items = items;
            link->items_max = max;
        }
        link->items_from = 0;
    }
    link->items[link->items_from + link->items_n++] = item;
    link->traffic.items++;
}

/* What an item comes to in a frame, at most: hosts of a roster have a name and a url. */
static size_t item_bytes(const struct weft_coord_item *item)
{
    size_t bytes = 64 + item->len_bytes;
    if (item->roster != NULL)
        bytes += item->roster->n * sizeof(uint32_t) +
                 item->roster->hosts_n * sizeof(struct weft_coord_peer);
    return bytes;
}

/* The items from number `first` on that go into one frame; the last one may be a large one. */
static size_t frame_items(const struct weft_coord_link *link, uint64_t first)
{
    size_t at = (size_t)(first - link->acked - 1), n = 0, bytes = 0;
    while (at + n < link->items_n && at + n < WINDOW && n < FRAME_ITEMS && bytes < FRAME_BYTES)
        bytes += item_bytes(&link->items[link->items_from + at + n++]);
    return n;
}

bool weft__coord_link_next(struct weft_coord_link *link, const struct weft_coord_pace *pace,
                           uint64_t now_ns, struct weft_coord_frame *frame_out)
{
    if (now_ns >= link->resend_at_ns) { /* begin again behind the acknowledgement */
        uint64_t most = 8 * pace->resend_ns;
        link->resend_after_ns = 2 * link->resend_after_ns < most ? 2 * link->resend_after_ns : most;
        link->resend_at_ns = now_ns + link->resend_after_ns;
        link->resent_ns = now_ns;
        link->sent = link->acked;
    }
    size_t n = frame_items(link, link->sent + 1);
    if (n == 0 && !link->ack_now && now_ns < link->ack_at_ns)
        return false;
    *frame_out = (struct weft_coord_frame){
        .ack = link->received, .first = link->sent + 1, .gap = link->gap, .items_n = n};
    if (n > 0)
        frame_out->items = link->items + link->items_from + (link->sent - link->acked);
    if (n > 0 && link->resend_at_ns == WEFT_NEVER) {
        link->resend_after_ns = pace->resend_ns;
        link->resend_at_ns = now_ns + pace->resend_ns;
    }
    if (n == 0)
        link->traffic.acks++;
    else if (link->sent < link->ever_sent)
        link->traffic.resent++;
    else
        link->traffic.frames++;
    link->sent += n;
    if (link->sent > link->ever_sent)
        link->ever_sent = link->sent;
    link->told = link->received;
    link->ack_at_ns = WEFT_NEVER;
    link->ack_now = link->gap = false;
    return true;
}

static void take_ack(struct weft_coord_link *link, const struct weft_coord_frame *frame,
                     const struct weft_coord_pace *pace, uint64_t now_ns)
{
    if (frame->ack > link->acked && frame->ack <= link->acked + link->items_n) {
        for (; link->acked < frame->ack; link->acked++, link->items_from++, link->items_n--)
            weft__coord_item_fini(&link->items[link->items_from]);
        if (link->sent < link->acked)
            link->sent = link->acked;
        link->resend_after_ns = pace->resend_ns;
        link->resend_at_ns = link->sent > link->acked ? now_ns + pace->resend_ns : WEFT_NEVER;
    }
    if (frame->gap && link->sent > link->acked && now_ns - link->resent_ns >= GAP_PAUSE_NS)
        link->resend_at_ns = now_ns;
}

size_t weft__coord_link_take(struct weft_coord_link *link, const struct weft_coord_frame *frame,
                             const struct weft_coord_pace *pace, uint64_t now_ns)
{
    take_ack(link, frame, pace, now_ns);
    if (frame->items_n == 0)
        return 0;
    if (frame->first > link->received + 1) {
        link->ack_now = link->gap = true;
        return frame->items_n;
    }
    uint64_t end = frame->first + frame->items_n - 1;
    if (end <= link->received) { /* our acknowledgement was lost */
        link->ack_now = true;
        return frame->items_n;
    }
    size_t fresh = (size_t)(link->received + 1 - frame->first);
    link->received = end;
    if (link->received - link->told >= ACK_EVERY)
        link->ack_now = true;
    if (link->ack_at_ns == WEFT_NEVER)
        link->ack_at_ns = now_ns + pace->ack_ns;
    return fresh;
}

uint64_t weft__coord_link_deadline(const struct weft_coord_link *link)
{
    return link->resend_at_ns < link->ack_at_ns ? link->resend_at_ns : link->ack_at_ns;
}

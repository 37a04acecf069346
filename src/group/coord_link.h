/* The stream to one other host: items arrive there once and in order, whatever the frames meet. */
#ifndef WEFT_GROUP_COORD_LINK_H
#define WEFT_GROUP_COORD_LINK_H

#include "group/coord.h"

struct weft_coord_link {
    struct weft_coord_peer peer;
    /* out */
    struct weft_coord_item *items; /* not acknowledged or not sent yet; the first is acked + 1 */
    size_t items_from, items_n, items_max;
    uint64_t acked, sent, ever_sent;
    uint64_t resend_at_ns, resend_after_ns, resent_ns;
    /* in */
    uint64_t received, told; /* told: the newest acknowledgement that went out */
    uint64_t ack_at_ns;      /* WEFT_NEVER: nothing to acknowledge */
    bool ack_now, gap;
    struct weft_coord_traffic traffic;
};

struct weft_coord_pace {
    uint64_t resend_ns, ack_ns; /* as in weft_coord_desc */
};

void weft__coord_link_init(struct weft_coord_link *link, const struct weft_coord_peer *peer);
void weft__coord_link_fini(struct weft_coord_link *link);
/* Takes the item over. */
void weft__coord_link_push(struct weft_coord_link *link, struct weft_coord_item item);
/* The next frame to send now; false: none. Its items stay the link's. Without `from` and
 * `to_incarnation`. */
bool weft__coord_link_next(struct weft_coord_link *link, const struct weft_coord_pace *pace,
                           uint64_t now_ns, struct weft_coord_frame *frame_out);
/* Takes note of a frame that came; returns the index of the first item of it that is new and next
 * in order, frame->items_n: none is. */
size_t weft__coord_link_take(struct weft_coord_link *link, const struct weft_coord_frame *frame,
                             const struct weft_coord_pace *pace, uint64_t now_ns);
/* When next() has something to do. */
uint64_t weft__coord_link_deadline(const struct weft_coord_link *link);

#endif

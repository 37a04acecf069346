/* Packets that wait for one rank outside its range: ahead of their turn, for a full mailbox, for a
 * frozen or an arriving rank. Nothing here has been accepted, so losing it is harmless: the
 * senders' windows have copies. Bounded in packets and bytes; sorted by sequence per source,
 * without doubles. Packets of other types wait in arrival order. Pure memory; one thread at a time.
 */
#ifndef WEFT_GROUP_HOLD_H
#define WEFT_GROUP_HOLD_H

#include <stddef.h>
#include <stdint.h>

#include "group/packet.h"

struct weft_held {
    struct weft_held *next;
    struct weft_packet_header header;
    unsigned char payload[];
};

struct weft_hold {
    int32_t size;
    struct weft_held **by_source; /* DATA */
    struct weft_held *others;
    uint32_t packets, packets_max;
    size_t bytes, bytes_max;
    int32_t scan; /* where pop() goes on */
};

/* Errors: WEFT_ENOMEM. fini frees all packets and is fine on a zeroed one. */
int weft__hold_init(struct weft_hold *hold, int32_t size, uint32_t packets_max, size_t bytes_max);
void weft__hold_fini(struct weft_hold *hold);
/* Copies a packet in.  Errors: WEFT_EAGAIN full; WEFT_EEXIST the same packet waits already;
 * WEFT_ENOMEM. */
int weft__hold_put(struct weft_hold *hold, const struct weft_packet_header *header,
                   const void *payload);
/* Takes the source's packet out if it is exactly this sequence; older ones of the source are freed.
 * NULL: not here. Owns: the caller's; free(). */
struct weft_held *weft__hold_take(struct weft_hold *hold, int32_t source, uint64_t sequence);
/* Looks at the same packet without taking it. */
const struct weft_held *weft__hold_peek(const struct weft_hold *hold, int32_t source,
                                        uint64_t sequence);
/* Takes any packet, in order per source; NULL: empty.  Owns: the caller's; free(). */
struct weft_held *weft__hold_pop(struct weft_hold *hold);
/* Takes the oldest packet that is not DATA. */
struct weft_held *weft__hold_pop_other(struct weft_hold *hold);
/* Puts a packet that pop() gave back in its place. */
void weft__hold_return(struct weft_hold *hold, struct weft_held *held);

#endif

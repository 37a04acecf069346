/* Events on the wire (wire/events.proto). */
#ifndef WEFT_HOST_EVENTS_WIRE_H
#define WEFT_HOST_EVENTS_WIRE_H

#include <stddef.h>

#include "base/events.h"
#include "wire/events.pb-c.h"

/* Events that one message carries, at most. */
#define WEFT_EVENTS_PER_MESSAGE 512

/* Messages of n events, with the list that a field wants: it points into them. They point into the
 * events. Owns: weft__events_packed_free(). */
struct weft_events_packed {
    Weft__Events__Event *messages, **list;
    size_t n;
};
void weft__events_pack(const struct weft_event *events, size_t n,
                       struct weft_events_packed *packed_out);
void weft__events_packed_free(struct weft_events_packed *packed);

/* Never fails: numbers and texts that are too many are left out; a kind that we do not know is
 * WEFT_EVENT_NOTHING. */
void weft__events_unpack(const Weft__Events__Event *message, struct weft_event *event_out);

#endif

/* Frames and rosters as bytes on the wire. */
#ifndef WEFT_GROUP_COORD_WIRE_H
#define WEFT_GROUP_COORD_WIRE_H

#include "group/coord.h"
#include "wire/group.pb-c.h"

/* A message that points into what it was made from; fini frees only its own arrays. */
struct weft_coord_wire {
    Weft__Group__Frame frame;
    Weft__Group__Peer from;
    Weft__Group__Item **items; /* pointers, then the items behind them */
};
void weft__coord_wire_frame(struct weft_coord_wire *wire, const struct weft_coord_frame *frame);
void weft__coord_wire_fini(struct weft_coord_wire *wire);

/* One allocation with everything: free(). */
Weft__Group__Roster *weft__coord_wire_roster(const struct weft_coord_roster *roster);

/* Owns: the items and what they hold, weft__coord_items_free.  Errors: WEFT_EPROTO; WEFT_ENOMEM. */
int weft__coord_unwire_frame(const Weft__Group__Frame *message, struct weft_coord_frame *frame_out);
void weft__coord_items_free(struct weft_coord_frame *frame);

#endif

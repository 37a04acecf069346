/* What a process does with a packet that arrives for a rank: the routing rule, as a pure function.
 */
#ifndef WEFT_GROUP_ROUTE_H
#define WEFT_GROUP_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "group/world.h"

/* What the rank is to this process. */
enum weft_route_place {
    WEFT_PLACE_ELSEWHERE, /* not here */
    WEFT_PLACE_HERE,      /* it runs (or has ended) here: its channels accept */
    WEFT_PLACE_FROZEN,    /* it stands here and may leave */
    WEFT_PLACE_ARRIVING   /* it may come: its range is reserved */
};

enum weft_route_action {
    WEFT_ROUTE_DELIVER,  /* to the rank's channel */
    WEFT_ROUTE_HOLD,     /* keep it, bounded: deliver or forward when the rank's fate is known */
    WEFT_ROUTE_HOLD_ASK, /* the same, and ask the home for the route */
    WEFT_ROUTE_FORWARD,  /* to the process of `known`, hops + 1 */
    WEFT_ROUTE_NACK,     /* answer the sender with `known` */
    WEFT_ROUTE_DROP      /* nobody can use it; the sender's window has it still */
};

struct weft_route_question {
    enum weft_route_place place;
    bool forwards;                 /* it was here and has left; somebody may still send here */
    uint32_t self;                 /* this process */
    struct weft_world_entry known; /* of the destination rank */
    uint32_t packet_incarnation;   /* of the destination rank, as the sender knew it */
    uint8_t hops;
};

enum weft_route_action weft__route_decide(const struct weft_route_question *question);

#endif

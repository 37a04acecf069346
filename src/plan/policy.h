/* What the policies of detection share: each sets the number of ranks wanted on each host
 * (`target`), from the number that is there (`ours`). Private to plan/detect*.c. */
#ifndef WEFT_PLAN_POLICY_H
#define WEFT_PLAN_POLICY_H

#include "plan/detect.h"

#define WEFT_NO_HOST SIZE_MAX

/* Used slots that are not this app's. */
static inline uint32_t weft__policy_others(const struct weft_plan_host *host)
{
    return host->used > host->ours ? host->used - host->ours : 0;
}

/* How many of the app's ranks the host could hold: those that are there, at least, unless it is
 * about to go. */
uint32_t weft__policy_room(const struct weft_plan_host *host);

/* The targets. Every rank has room somewhere: the sum of the rooms is at least ask->ranks. */
void weft__policy_pack(const struct weft_detect *ask);
void weft__policy_empty(const struct weft_detect *ask);
void weft__policy_stay(const struct weft_detect *ask);  /* spot: everybody where he is, */
void weft__policy_leave(const struct weft_detect *ask); /* but for those who must leave */

/* Adds n ranks to the targets of the open hosts. Those with most of the app's ranks come first,
 * then the roomiest. */
void weft__policy_fill(const struct weft_detect *ask, size_t n);

#endif

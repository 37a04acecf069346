/* What the policies of detection share: each sets the number of ranks wanted on each host
 * (`target`), from the number that is there (`ours`). Private to plan/detect*.c.
 *
 * Only touched hosts have numbers: those that have ranks of the app, and those that a policy picks
 * from the roster. The rooms of all hosts add up to at least the number of ranks. */
#ifndef WEFT_PLAN_POLICY_H
#define WEFT_PLAN_POLICY_H

#include "plan/detect.h"

struct weft_detection {
    struct weft_roster *roster;
    size_t ranks;
    size_t own; /* of the touched hosts the first ones: they have ranks of the app */
};

/* Used slots that are not this app's. */
static inline uint32_t weft__policy_others(const struct weft_plan_host *host)
{
    return host->used > host->ours ? host->used - host->ours : 0;
}

/* How many of the app's ranks the host could hold: those that are there, at least, unless it is
 * about to go. */
uint32_t weft__policy_room(const struct weft_plan_host *host);

static inline struct weft_plan_host *weft__policy_touched(const struct weft_detection *detection,
                                                          size_t i)
{
    return &detection->roster->hosts[detection->roster->touched[i]];
}

/* Touches the host of the order with most room and opens it. */
struct weft_plan_host *weft__policy_open(const struct weft_detection *detection,
                                         enum weft_roster_order order);

void weft__policy_pack(const struct weft_detection *detection);
void weft__policy_empty(const struct weft_detection *detection);
void weft__policy_stay(const struct weft_detection *detection);  /* spot: everybody where he is, */
void weft__policy_leave(const struct weft_detection *detection); /* but for those who must leave */

/* Adds n ranks to the targets: of open hosts, those with most of the app's ranks first, then the
 * roomiest; where these are full, of the hosts of the orders, roomiest first. */
void weft__policy_fill(const struct weft_detection *detection, size_t n, bool unused_too);

/* Who goes where when it is known what the ranks exchange: sets moves and targets, and the traffic
 * of both scores. has_reason: the policy's targets are better in its own sense. No moves: there is
 * nothing better.  Errors: WEFT_ENOMEM; WEFT_ERANGE too many ranks and hosts to weigh them. */
int weft__policy_traffic(const struct weft_detect *ask, const struct weft_detection *detection,
                         bool has_reason, struct weft_plan *plan);

/* The traffic of both scores, of moves that are there already.  Errors: WEFT_ENOMEM. */
int weft__policy_traffic_score(const struct weft_detect *ask, struct weft_plan *plan);

#endif

/* The hosts of a round of planning, found by their free slots without looking at all of them.
 *
 * Two orders are kept up: of the hosts that somebody uses, and of those that nobody uses. The first
 * of an order is the host with most free slots; of equals the one with more slots, then the first
 * of the array, so that every planner picks alike. Hosts without a free slot are in neither. More
 * than 65,535 slots count as so many in this.
 *
 * Thread: one at a time. */
#ifndef WEFT_PLAN_ROSTER_H
#define WEFT_PLAN_ROSTER_H

#include <stddef.h>
#include <stdint.h>

#include "plan/decide.h"

#define WEFT_NO_HOST SIZE_MAX
#define WEFT_PLAN_HOSTS_MAX (1ull << 31)

enum weft_roster_order { WEFT_ROSTER_SHARED, WEFT_ROSTER_UNUSED, WEFT_ROSTER_ORDERS };

#define WEFT_ROSTER_LEVELS 12 /* 8^11 are more than all hosts */

struct weft_roster {
    struct weft_plan_host *hosts; /* the caller's */
    size_t n;
    unsigned levels;                     /* of the tournament trees; the last one is the root */
    size_t level_at[WEFT_ROSTER_LEVELS]; /* where each begins */
    uint64_t *winner[WEFT_ROSTER_ORDERS];
    uint32_t *touched; /* hosts that the detection at work has taken out */
    size_t touched_n;
    uint64_t free_slots[WEFT_ROSTER_ORDERS]; /* in all, of the hosts of each order */
    uint64_t unused; /* hosts that nobody uses, those about to go left out */
};

/* The array stays where it is, and what its hosts use changes by weft__roster_used().
 * Owns: weft__roster_fini().  Errors: WEFT_ENOMEM; WEFT_EINVAL more than 2^31 hosts. */
int weft__roster_init(struct weft_roster *roster, struct weft_plan_host *hosts, size_t n);
void weft__roster_fini(struct weft_roster *roster);
/* Says how many slots of a host are used now.  Costs the logarithm of the number of hosts. */
void weft__roster_used(struct weft_roster *roster, size_t host, uint32_t used);

/* The first of an order, WEFT_NO_HOST: it is empty. */
size_t weft__roster_first(const struct weft_roster *roster, enum weft_roster_order order);
/* The host is about to be touched: has the memory that it takes fetched. */
void weft__roster_fetch(const struct weft_roster *roster, size_t host);
/* Takes a host out of its order, and notes it as touched; all touched ones come back at once, with
 * nothing of the detection left in them. */
void weft__roster_touch(struct weft_roster *roster, size_t host);
void weft__roster_untouch_all(struct weft_roster *roster);

#endif

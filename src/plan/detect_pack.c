/* bin-pack: the fewest hosts, then the fewest pairs of ranks across hosts, then the fewest moves.
 *
 * Filling the roomiest hosts to the brim gives the fewest hosts, and among those the fewest pairs
 * across hosts (any other way to use as few hosts spreads the same ranks more evenly, and even
 * spreading maximises the pairs). So the *sizes* of the best placement are fixed: c1 >= c2 >= ...
 * >= c(k-1) full hosts and a remainder; free is only who among hosts of equal room is full, and who
 * takes the remainder. That choice is made for the fewest moves. Taking the remainder's host by
 * room alone, as bin-pack by sorted order does, moves ranks for nothing. */
#include "plan/policy.h"

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Whether a is to be filled before b; of equals the first in the array. */
static bool fuller_first(const struct weft_plan_host *a, const struct weft_plan_host *b)
{
    if (weft__policy_room(a) != weft__policy_room(b))
        return weft__policy_room(a) > weft__policy_room(b);
    if (a->ours != b->ours)
        return a->ours > b->ours;
    return a->slots != b->slots ? a->slots > b->slots : a < b;
}

/* Of the hosts that have ranks and no target yet; NULL: there is none. */
static struct weft_plan_host *roomiest_own(const struct weft_detection *detection)
{
    struct weft_plan_host *best = NULL;
    for (size_t i = 0; i < detection->own; i++) {
        struct weft_plan_host *host = weft__policy_touched(detection, i);
        if (host->target == 0 && weft__policy_room(host) > 0 &&
            (best == NULL || fuller_first(host, best)))
            best = host;
    }
    return best;
}

/* Of the hosts that have none; NULL: there is none with a free slot. */
static struct weft_plan_host *roomiest_other(const struct weft_detection *detection,
                                             enum weft_roster_order *order_out)
{
    struct weft_plan_host *best = NULL;
    for (int order = 0; order < WEFT_ROSTER_ORDERS; order++) {
        size_t i = weft__roster_first(detection->roster, (enum weft_roster_order)order);
        if (i == WEFT_NO_HOST)
            continue;
        struct weft_plan_host *host = &detection->roster->hosts[i];
        if (best == NULL || fuller_first(host, best)) {
            best = host;
            *order_out = (enum weft_roster_order)order;
        }
    }
    return best;
}

static struct weft_plan_host *roomiest(const struct weft_detection *detection)
{
    enum weft_roster_order order = WEFT_ROSTER_SHARED;
    struct weft_plan_host *own = roomiest_own(detection);
    struct weft_plan_host *other = roomiest_other(detection, &order);
    if (other == NULL || (own != NULL && fuller_first(own, other)))
        return own;
    return weft__policy_open(detection, order);
}

/* The host for the remainder: of those where it fits the one where most of it is already. NULL:
 * none of them has any of it. */
static struct weft_plan_host *for_the_rest(const struct weft_detection *detection, uint32_t ranks)
{
    struct weft_plan_host *best = NULL;
    for (size_t i = 0; i < detection->own; i++) {
        struct weft_plan_host *host = weft__policy_touched(detection, i);
        if (host->target > 0 || weft__policy_room(host) < ranks)
            continue;
        uint32_t stay = min_u32(host->ours, ranks);
        uint32_t best_stay = best == NULL ? 0 : min_u32(best->ours, ranks);
        if (stay > best_stay || (stay == best_stay && best != NULL && fuller_first(host, best)))
            best = host;
    }
    return best;
}

void weft__policy_pack(const struct weft_detection *detection)
{
    size_t left = detection->ranks;
    while (left > 0) {
        struct weft_plan_host *host = for_the_rest(detection, (uint32_t)left);
        if (host == NULL)
            host = roomiest(detection);
        uint32_t fits = weft__policy_room(host);
        host->target = fits < left ? fits : (uint32_t)left;
        left -= host->target;
    }
}

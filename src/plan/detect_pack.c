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
    return a->slots > b->slots;
}

static size_t roomiest(const struct weft_detect *ask)
{
    size_t best = WEFT_NO_HOST;
    for (size_t i = 0; i < ask->hosts_n; i++) {
        const struct weft_plan_host *host = &ask->hosts[i];
        if (host->target > 0 || weft__policy_room(host) == 0)
            continue;
        if (best == WEFT_NO_HOST || fuller_first(host, &ask->hosts[best]))
            best = i;
    }
    return best;
}

/* The host for the remainder: of those where it fits the one where most of it is already. */
static size_t for_the_rest(const struct weft_detect *ask, uint32_t ranks)
{
    size_t best = WEFT_NO_HOST;
    for (size_t i = 0; i < ask->hosts_n; i++) {
        const struct weft_plan_host *host = &ask->hosts[i];
        if (host->target > 0 || weft__policy_room(host) < ranks)
            continue;
        uint32_t stay = min_u32(host->ours, ranks);
        uint32_t best_stay = best == WEFT_NO_HOST ? 0 : min_u32(ask->hosts[best].ours, ranks);
        if (best == WEFT_NO_HOST || stay > best_stay ||
            (stay == best_stay && fuller_first(host, &ask->hosts[best])))
            best = i;
    }
    return best;
}

void weft__policy_pack(const struct weft_detect *ask)
{
    size_t left = ask->ranks;
    while (left > 0) {
        size_t h = roomiest(ask);
        uint32_t fits = weft__policy_room(&ask->hosts[h]);
        if (fits >= left) {
            ask->hosts[for_the_rest(ask, (uint32_t)left)].target = (uint32_t)left;
            return;
        }
        ask->hosts[h].target = fits;
        left -= fits;
    }
}

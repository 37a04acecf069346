/* empty-hosts: as many hosts as possible that nobody uses.
 *
 * A host on which others run stays in use whatever this app does, so its free slots cost nothing.
 * What does not fit there needs hosts of the app's own: at least as many as the roomiest of them
 * take to hold the rest. That number fixes how many hosts become free; which hosts are kept is
 * free. Kept are those that hold most of the app now, because exactly the ranks on the hosts that
 * are not kept move.
 *
 * Keeping the best set is a knapsack; this starts with the roomiest hosts and exchanges one host at
 * a time as long as that keeps more ranks in place, which a test compares with all placements: the
 * number of free hosts is always the most that can be, the number of moves rarely one more than
 * needed. */
#include "plan/policy.h"

static bool shared(const struct weft_plan_host *host)
{
    return weft__policy_others(host) > 0;
}

static bool may_be_kept(const struct weft_plan_host *host)
{
    return !host->open && weft__policy_room(host) > 0;
}

static size_t roomiest(const struct weft_detect *ask)
{
    size_t best = WEFT_NO_HOST;
    for (size_t i = 0; i < ask->hosts_n; i++) {
        const struct weft_plan_host *host = &ask->hosts[i];
        const struct weft_plan_host *other = best == WEFT_NO_HOST ? NULL : &ask->hosts[best];
        if (!may_be_kept(host))
            continue;
        if (other == NULL || weft__policy_room(host) > weft__policy_room(other) ||
            (weft__policy_room(host) == weft__policy_room(other) && host->ours > other->ours))
            best = i;
    }
    return best;
}

/* Keeps the fewest hosts that hold `left` ranks; how many they could hold beyond. */
static size_t keep_roomiest(const struct weft_detect *ask, size_t left)
{
    size_t holds = 0;
    while (holds < left) {
        size_t h = roomiest(ask);
        holds += weft__policy_room(&ask->hosts[h]);
        ask->hosts[h].open = true;
    }
    return holds - left;
}

/* The host that would keep most ranks in the place of `kept`, with at least `room` of its own. */
static size_t better_than(const struct weft_detect *ask, size_t kept, uint32_t room)
{
    size_t best = kept;
    for (size_t i = 0; i < ask->hosts_n; i++)
        if (may_be_kept(&ask->hosts[i]) && weft__policy_room(&ask->hosts[i]) >= room &&
            ask->hosts[i].ours > ask->hosts[best].ours)
            best = i;
    return best;
}

/* One exchange for each kept host that has a better one; false: there was none. Ends, because each
 * exchange keeps at least one rank more. */
static bool exchange(const struct weft_detect *ask, size_t *spare)
{
    bool any = false;
    for (size_t i = 0; i < ask->hosts_n; i++) {
        if (shared(&ask->hosts[i]) || !ask->hosts[i].open)
            continue;
        uint32_t room = weft__policy_room(&ask->hosts[i]);
        size_t to = better_than(ask, i, room > *spare ? room - (uint32_t)*spare : 0);
        if (to == i)
            continue;
        *spare = *spare + weft__policy_room(&ask->hosts[to]) - room;
        ask->hosts[i].open = false;
        ask->hosts[to].open = true;
        any = true;
    }
    return any;
}

void weft__policy_empty(const struct weft_detect *ask)
{
    size_t for_nothing = 0, stay = 0;
    for (size_t i = 0; i < ask->hosts_n; i++) {
        struct weft_plan_host *host = &ask->hosts[i];
        host->open = shared(host) && weft__policy_room(host) > 0;
        for_nothing += host->open ? weft__policy_room(host) : 0;
    }
    if (for_nothing < ask->ranks) {
        size_t spare = keep_roomiest(ask, ask->ranks - for_nothing);
        while (exchange(ask, &spare))
            ;
    }
    for (size_t i = 0; i < ask->hosts_n; i++) {
        ask->hosts[i].target = ask->hosts[i].open ? ask->hosts[i].ours : 0;
        stay += ask->hosts[i].target;
    }
    weft__policy_fill(ask, ask->ranks - stay);
}

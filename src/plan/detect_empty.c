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
 * number of free hosts is always the most that can be, the number of moves at most a few percent
 * above the fewest. */
#include "plan/policy.h"

static bool shared(const struct weft_plan_host *host)
{
    return weft__policy_others(host) > 0;
}

/* Hosts that only this app uses, or nobody, are kept or not: open says which. */
static bool may_be_kept(const struct weft_plan_host *host)
{
    return !shared(host) && !host->open && weft__policy_room(host) > 0;
}

/* Of the hosts that have ranks; NULL: none is left. */
static struct weft_plan_host *roomiest_own(const struct weft_detection *detection)
{
    struct weft_plan_host *best = NULL;
    for (size_t i = 0; i < detection->own; i++) {
        struct weft_plan_host *host = weft__policy_touched(detection, i);
        if (!may_be_kept(host))
            continue;
        if (best == NULL || weft__policy_room(host) > weft__policy_room(best) ||
            (weft__policy_room(host) == weft__policy_room(best) &&
             (host->ours > best->ours || (host->ours == best->ours && host < best))))
            best = host;
    }
    return best;
}

/* Keeps the fewest hosts that hold `left` ranks; how many they could hold beyond. */
static size_t keep_roomiest(const struct weft_detection *detection, size_t left)
{
    size_t holds = 0;
    while (holds < left) {
        struct weft_plan_host *own = roomiest_own(detection);
        size_t first = weft__roster_first(detection->roster, WEFT_ROSTER_UNUSED);
        const struct weft_plan_host *other =
            first != WEFT_NO_HOST ? &detection->roster->hosts[first] : NULL;
        if (other != NULL && (own == NULL || weft__policy_room(other) > weft__policy_room(own)))
            own = weft__policy_open(detection, WEFT_ROSTER_UNUSED);
        own->open = true;
        holds += weft__policy_room(own);
    }
    return holds - left;
}

/* The host that would keep most ranks in the place of `kept`, with at least `room` of its own. */
static struct weft_plan_host *better_than(const struct weft_detection *detection,
                                          struct weft_plan_host *kept, uint32_t room)
{
    struct weft_plan_host *best = kept;
    for (size_t i = 0; i < detection->own; i++) {
        struct weft_plan_host *host = weft__policy_touched(detection, i);
        if (may_be_kept(host) && weft__policy_room(host) >= room && host->ours > best->ours)
            best = host;
    }
    return best;
}

/* One exchange for each kept host that has a better one; false: there was none. Ends, because each
 * exchange keeps at least one rank more. */
static bool exchange(const struct weft_detection *detection, size_t *spare)
{
    bool any = false;
    for (size_t i = 0; i < detection->roster->touched_n; i++) {
        struct weft_plan_host *host = weft__policy_touched(detection, i);
        if (shared(host) || !host->open)
            continue;
        uint32_t room = weft__policy_room(host);
        struct weft_plan_host *to =
            better_than(detection, host, room > *spare ? room - (uint32_t)*spare : 0);
        if (to == host)
            continue;
        *spare = *spare + weft__policy_room(to) - room;
        host->open = false;
        to->open = true;
        any = true;
    }
    return any;
}

/* How many ranks fit on hosts that others use all the same; opens those that have some. */
static uint64_t room_for_nothing(const struct weft_detection *detection)
{
    uint64_t room = detection->roster->free_slots[WEFT_ROSTER_SHARED];
    for (size_t i = 0; i < detection->own; i++) {
        struct weft_plan_host *host = weft__policy_touched(detection, i);
        host->open = shared(host) && weft__policy_room(host) > 0;
        room += host->open ? weft__policy_room(host) : 0;
    }
    return room;
}

void weft__policy_empty(const struct weft_detection *detection)
{
    uint64_t for_nothing = room_for_nothing(detection);
    size_t stay = 0;
    if (for_nothing < detection->ranks) {
        size_t spare = keep_roomiest(detection, detection->ranks - for_nothing);
        while (exchange(detection, &spare))
            ;
    }
    for (size_t i = 0; i < detection->own; i++) {
        struct weft_plan_host *host = weft__policy_touched(detection, i);
        host->target = host->open ? host->ours : 0;
        stay += host->target;
    }
    weft__policy_fill(detection, detection->ranks - stay, false);
}

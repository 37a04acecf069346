/* Tournament trees: a leaf is a host or nobody, an inner node the better of its two children.
 *
 * A change of one host replays the matches on its way to the root. Nodes hold the number that
 * decides matches, so that a replay touches one line of the cache per round, and no host. Rejected:
 * a heap (no removal from the middle without a second array), lists by number of free slots (equals
 * come out in the order of their changes, and two planners must not differ). */
#include "plan/roster.h"

#include <stdlib.h>

#include "weft/error.h"

#define NOBODY 0ull
#define INDEX_BITS 31
#define SLOTS_BITS 16

/* What orders hosts, in one number: free slots, all slots, place in the array. */
static uint64_t rank_of(const struct weft_plan_host *host, size_t i)
{
    const uint32_t most = (1u << SLOTS_BITS) - 1;
    uint64_t free_slots = weft__plan_host_free(host);
    uint64_t slots = host->slots < most ? host->slots : most;
    if (free_slots == 0)
        return NOBODY;
    if (free_slots > most)
        free_slots = most;
    return (free_slots << SLOTS_BITS | slots) << INDEX_BITS | (WEFT_PLAN_HOSTS_MAX - 1 - i);
}

static uint64_t better(const uint64_t *winner, size_t node)
{
    uint64_t a = winner[2 * node], b = winner[2 * node + 1];
    return a > b ? a : b;
}

static void replay(struct weft_roster *roster, enum weft_roster_order order, size_t host)
{
    uint64_t *winner = roster->winner[order];
    for (size_t node = (roster->leaves + host) / 2; node > 0; node /= 2)
        winner[node] = better(winner, node);
}

static enum weft_roster_order order_of(const struct weft_plan_host *host)
{
    return host->used > 0 ? WEFT_ROSTER_SHARED : WEFT_ROSTER_UNUSED;
}

static bool counts_as_unused(const struct weft_plan_host *host)
{
    return host->used == 0 && !host->leaving;
}

static void put_in(struct weft_roster *roster, size_t i)
{
    const struct weft_plan_host *host = &roster->hosts[i];
    enum weft_roster_order order = order_of(host);
    roster->free_slots[order] += weft__plan_host_free(host);
    roster->winner[order][roster->leaves + i] = rank_of(host, i);
}

static void take_out(struct weft_roster *roster, size_t i)
{
    const struct weft_plan_host *host = &roster->hosts[i];
    enum weft_roster_order order = order_of(host);
    roster->free_slots[order] -= weft__plan_host_free(host);
    roster->winner[order][roster->leaves + i] = NOBODY;
    replay(roster, order, i);
}

int weft__roster_init(struct weft_roster *roster, struct weft_plan_host *hosts, size_t n)
{
    if (n > WEFT_PLAN_HOSTS_MAX)
        return weft_fail(WEFT_EINVAL, "%zu hosts are too many for one plan", n);
    *roster = (struct weft_roster){.hosts = hosts, .n = n, .leaves = 1};
    while (roster->leaves < n)
        roster->leaves *= 2;
    roster->touched = malloc((n + 1) * sizeof(*roster->touched));
    for (int order = 0; order < WEFT_ROSTER_ORDERS; order++)
        roster->winner[order] = calloc(2 * roster->leaves, sizeof(*roster->winner[order]));
    if (roster->touched == NULL || roster->winner[0] == NULL || roster->winner[1] == NULL) {
        weft__roster_fini(roster);
        return weft_fail(WEFT_ENOMEM, "no memory to plan with %zu hosts", n);
    }
    for (size_t i = 0; i < n; i++) {
        hosts[i].ours = hosts[i].target = 0;
        hosts[i].open = false;
        roster->unused += counts_as_unused(&hosts[i]);
        put_in(roster, i);
    }
    for (int order = 0; order < WEFT_ROSTER_ORDERS; order++)
        for (size_t node = roster->leaves; node-- > 1;)
            roster->winner[order][node] = better(roster->winner[order], node);
    return WEFT_OK;
}

void weft__roster_fini(struct weft_roster *roster)
{
    for (int order = 0; order < WEFT_ROSTER_ORDERS; order++)
        free(roster->winner[order]);
    free(roster->touched);
    *roster = (struct weft_roster){0};
}

void weft__roster_used(struct weft_roster *roster, size_t i, uint32_t used)
{
    struct weft_plan_host *host = &roster->hosts[i];
    roster->unused -= counts_as_unused(host);
    take_out(roster, i);
    host->used = used;
    roster->unused += counts_as_unused(host);
    put_in(roster, i);
    replay(roster, order_of(host), i);
}

size_t weft__roster_first(const struct weft_roster *roster, enum weft_roster_order order)
{
    uint64_t first = roster->winner[order][1];
    uint64_t place = first & (WEFT_PLAN_HOSTS_MAX - 1);
    return first == NOBODY ? WEFT_NO_HOST : (size_t)(WEFT_PLAN_HOSTS_MAX - 1 - place);
}

void weft__roster_touch(struct weft_roster *roster, size_t host)
{
    take_out(roster, host);
    roster->touched[roster->touched_n++] = (uint32_t)host;
}

void weft__roster_untouch_all(struct weft_roster *roster)
{
    while (roster->touched_n > 0) {
        size_t i = roster->touched[--roster->touched_n];
        struct weft_plan_host *host = &roster->hosts[i];
        host->ours = host->target = 0;
        host->open = false;
        put_in(roster, i);
        replay(roster, order_of(host), i);
    }
}

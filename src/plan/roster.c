/* Tournament trees: a leaf is a host or nobody, an inner node the best of its eight children, which
 * are one line of the cache.
 *
 * A change of one host replays the matches on its way to the root, up to the first that ends as
 * before: what is above knows no more than who won there. Nodes hold the number that decides
 * matches, so that a replay touches one line per level, and no host. Of 100,000 hosts the leaves
 * alone do not fit into the cache next to a core: most replays wait for memory once.
 *
 * Rejected: two children (three levels for one, and three waits), a heap (no removal from the
 * middle without a second array), lists by number of free slots (equals come out in the order of
 * their changes, and two planners must not differ). */
#include "plan/roster.h"

#include <stdlib.h>
#include <string.h>

#include "weft/error.h"

#define NOBODY 0ull
#define CHILDREN 8u /* of a node; all numbers of one line */
#define LINE_BYTES (CHILDREN * sizeof(uint64_t))
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

/* Of the children that begin there. */
static uint64_t best_of(const uint64_t *child)
{
    uint64_t best = NOBODY;
    for (unsigned i = 0; i < CHILDREN; i++)
        best = child[i] > best ? child[i] : best;
    return best;
}

static void replay(struct weft_roster *roster, enum weft_roster_order order, size_t host)
{
    uint64_t *winner = roster->winner[order];
    for (unsigned level = 1; level < roster->levels; level++) {
        size_t node = host / CHILDREN;
        uint64_t best = best_of(winner + roster->level_at[level - 1] + node * CHILDREN);
        uint64_t *was = winner + roster->level_at[level] + node;
        if (*was == best)
            return;
        *was = best;
        host = node;
    }
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
    roster->winner[order][i] = rank_of(host, i);
}

static void take_out(struct weft_roster *roster, size_t i)
{
    const struct weft_plan_host *host = &roster->hosts[i];
    enum weft_roster_order order = order_of(host);
    roster->free_slots[order] -= weft__plan_host_free(host);
    roster->winner[order][i] = NOBODY;
    replay(roster, order, i);
}

/* Says where the levels lie. Returns how many numbers they are in all, whole lines of them. */
static size_t lay_out(struct weft_roster *roster)
{
    size_t nodes = roster->n, at = 0;
    for (roster->levels = 0;; nodes = (nodes + CHILDREN - 1) / CHILDREN) {
        roster->level_at[roster->levels++] = at;
        at += (nodes + CHILDREN - 1) / CHILDREN * CHILDREN;
        if (nodes <= 1)
            return at > 0 ? at : CHILDREN; /* nobody, of no hosts */
    }
}

static void play_all(struct weft_roster *roster, enum weft_roster_order order)
{
    uint64_t *winner = roster->winner[order];
    for (unsigned level = 1; level < roster->levels; level++) {
        size_t first = roster->level_at[level - 1], end = roster->level_at[level];
        for (size_t child = first; child < end; child += CHILDREN)
            winner[end + (child - first) / CHILDREN] = best_of(winner + child);
    }
}

static int make_trees(struct weft_roster *roster)
{
    size_t bytes = lay_out(roster) * sizeof(uint64_t);
    roster->touched = malloc((roster->n + 1) * sizeof(*roster->touched));
    for (int order = 0; order < WEFT_ROSTER_ORDERS; order++) {
        roster->winner[order] = aligned_alloc(LINE_BYTES, bytes);
        if (roster->winner[order] != NULL)
            memset(roster->winner[order], 0, bytes);
    }
    if (roster->touched != NULL && roster->winner[0] != NULL && roster->winner[1] != NULL)
        return WEFT_OK;
    int err = weft_fail(WEFT_ENOMEM, "no memory to plan with %zu hosts", roster->n);
    weft__roster_fini(roster);
    return err;
}

int weft__roster_init(struct weft_roster *roster, struct weft_plan_host *hosts, size_t n)
{
    if (n > WEFT_PLAN_HOSTS_MAX)
        return weft_fail(WEFT_EINVAL, "%zu hosts are too many for one plan", n);
    *roster = (struct weft_roster){.hosts = hosts, .n = n};
    int err = make_trees(roster);
    if (err != WEFT_OK)
        return err;
    for (size_t i = 0; i < n; i++) {
        hosts[i].ours = hosts[i].target = 0;
        hosts[i].open = false;
        roster->unused += counts_as_unused(&hosts[i]);
        put_in(roster, i);
    }
    for (int order = 0; order < WEFT_ROSTER_ORDERS; order++)
        play_all(roster, (enum weft_roster_order)order);
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
    uint64_t first = roster->winner[order][roster->level_at[roster->levels - 1]];
    uint64_t place = first & (WEFT_PLAN_HOSTS_MAX - 1);
    return first == NOBODY ? WEFT_NO_HOST : (size_t)(WEFT_PLAN_HOSTS_MAX - 1 - place);
}

void weft__roster_fetch(const struct weft_roster *roster, size_t host)
{
    __builtin_prefetch(&roster->hosts[host].slots, 1);
    __builtin_prefetch(&roster->hosts[host].number, 1); /* it may lie across two lines */
    for (int order = 0; order < WEFT_ROSTER_ORDERS; order++)
        __builtin_prefetch(&roster->winner[order][host], 1);
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

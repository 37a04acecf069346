/* bin-pack detection in three steps: what each host could hold of the app, how many ranks each
 * should hold, which move.
 *
 * room(h) = max(ranks there now, slots left by everybody else). Filling the roomiest hosts to the
 * brim gives the fewest hosts, and among those the fewest pairs across hosts (any other way to use
 * as few hosts spreads the same ranks more evenly, and even spreading maximises the pairs). So the
 * *sizes* of the best placement are fixed: c1 >= c2 >= ... >= c(k-1) full hosts and a remainder;
 * free is only who among hosts of equal room is full, and who takes the remainder. That choice is
 * made for the fewest moves. Taking the remainder's host by room alone, as bin-pack by sorted order
 * does, moves ranks for nothing.
 *
 * Invariants: a plan uses only slots that are free now (a host that gains ranks loses none), and
 * each rank moves once. */
#include "plan/detect.h"

#include <string.h>

#include "base/nearest.h"
#include "weft/error.h"

#define NO_HOST SIZE_MAX

static uint32_t room(const struct weft_plan_host *host)
{
    uint32_t others = host->used > host->ours ? host->used - host->ours : 0;
    uint32_t left = host->slots > others ? host->slots - others : 0;
    return left > host->ours ? left : host->ours;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static int count_ours(const struct weft_detect *ask)
{
    for (size_t i = 0; i < ask->hosts_n; i++)
        ask->hosts[i].ours = ask->hosts[i].target = 0;
    for (size_t rank = 0; rank < ask->ranks; rank++) {
        if (ask->host_of[rank] >= ask->hosts_n)
            return weft_fail(WEFT_EINVAL, "rank %zu is on host %u, there are %zu hosts", rank,
                             ask->host_of[rank], ask->hosts_n);
        ask->hosts[ask->host_of[rank]].ours++;
    }
    return WEFT_OK;
}

/* Whether a is to be filled before b; of equals the first in the array. */
static bool fuller_first(const struct weft_plan_host *a, const struct weft_plan_host *b)
{
    if (room(a) != room(b))
        return room(a) > room(b);
    if (a->ours != b->ours)
        return a->ours > b->ours;
    return a->slots > b->slots;
}

static size_t roomiest(const struct weft_detect *ask)
{
    size_t best = NO_HOST;
    for (size_t i = 0; i < ask->hosts_n; i++) {
        const struct weft_plan_host *host = &ask->hosts[i];
        if (host->target > 0 || room(host) == 0)
            continue;
        if (best == NO_HOST || fuller_first(host, &ask->hosts[best]))
            best = i;
    }
    return best;
}

/* The host for the remainder: of those where it fits the one where most of it is already. */
static size_t for_the_rest(const struct weft_detect *ask, uint32_t ranks)
{
    size_t best = NO_HOST;
    for (size_t i = 0; i < ask->hosts_n; i++) {
        const struct weft_plan_host *host = &ask->hosts[i];
        if (host->target > 0 || room(host) < ranks)
            continue;
        uint32_t stay = min_u32(host->ours, ranks);
        uint32_t best_stay = best == NO_HOST ? 0 : min_u32(ask->hosts[best].ours, ranks);
        if (best == NO_HOST || stay > best_stay ||
            (stay == best_stay && fuller_first(host, &ask->hosts[best])))
            best = i;
    }
    return best;
}

/* Sets the targets.  Every rank has room where it is, so there is room for all. */
static void set_targets(const struct weft_detect *ask)
{
    size_t left = ask->ranks;
    while (left > 0) {
        size_t h = roomiest(ask);
        uint32_t fits = room(&ask->hosts[h]);
        if (fits >= left) {
            ask->hosts[for_the_rest(ask, (uint32_t)left)].target = (uint32_t)left;
            return;
        }
        ask->hosts[h].target = fits;
        left -= fits;
    }
}

static void score(const struct weft_detect *ask, struct weft_plan *plan)
{
    uint64_t all = ask->ranks, now_same = 0, then_same = 0;
    plan->now.hosts = plan->then.hosts = 0;
    for (size_t i = 0; i < ask->hosts_n; i++) {
        uint64_t ours = ask->hosts[i].ours, target = ask->hosts[i].target;
        plan->now.hosts += ours > 0;
        plan->then.hosts += target > 0;
        now_same += ours * ours;
        then_same += target * target;
    }
    /* Pairs on different hosts: all pairs but those on the same one. */
    plan->now.cross_pairs = (all * all - now_same) / 2;
    plan->then.cross_pairs = (all * all - then_same) / 2;
}

static bool better(const struct weft_plan_score *then, const struct weft_plan_score *now)
{
    if (then->hosts != now->hosts)
        return then->hosts < now->hosts;
    return then->cross_pairs < now->cross_pairs;
}

/* Uses ours as the number of ranks that are on a host by then. */
static void list_moves(const struct weft_detect *ask, struct weft_plan *plan)
{
    size_t to = 0;
    for (size_t rank = ask->ranks; rank-- > 0;) {
        struct weft_plan_host *from = &ask->hosts[ask->host_of[rank]];
        if (from->ours <= from->target)
            continue;
        while (ask->hosts[to].ours >= ask->hosts[to].target)
            to++;
        from->ours--;
        ask->hosts[to].ours++;
        plan->moves[plan->moves_n++] = (struct weft_plan_move){
            .rank = (uint32_t)rank, .from = ask->host_of[rank], .to = (uint32_t)to};
    }
}

int weft__detect(const struct weft_detect *ask, struct weft_plan *plan)
{
    if (ask->policy != WEFT_POLICY_BIN_PACK)
        return weft_fail(WEFT_ENOTSUP, "policy %s is not there yet; use bin-pack",
                         weft__policy_name(ask->policy));
    int err = count_ours(ask);
    if (err != WEFT_OK)
        return err;
    plan->moves_n = 0;
    set_targets(ask);
    score(ask, plan);
    if (better(&plan->then, &plan->now))
        list_moves(ask, plan);
    return WEFT_OK;
}

void weft__detect_take(struct weft_plan_host *hosts, const struct weft_plan *plan)
{
    for (size_t i = 0; i < plan->moves_n; i++)
        hosts[plan->moves[i].to].used++;
}

static const char *const policy_names[] = {
    [WEFT_POLICY_BIN_PACK] = "bin-pack",
    [WEFT_POLICY_EMPTY_HOSTS] = "empty-hosts",
    [WEFT_POLICY_COMPACT] = "compact",
    [WEFT_POLICY_SPOT] = "spot",
};
#define POLICIES (sizeof(policy_names) / sizeof(policy_names[0]))

const char *weft__policy_name(enum weft_policy policy)
{
    return (size_t)policy < POLICIES ? policy_names[policy] : "?";
}

int weft__policy_parse(const char *text, enum weft_policy *policy_out)
{
    if (text[0] == '\0') {
        *policy_out = WEFT_POLICY_BIN_PACK;
        return WEFT_OK;
    }
    for (size_t i = 0; i < POLICIES; i++) {
        if (strcmp(text, policy_names[i]) == 0) {
            *policy_out = (enum weft_policy)i;
            return WEFT_OK;
        }
    }
    const char *near = weft__nearest(text, policy_names, POLICIES);
    return weft_fail(
        WEFT_EINVAL,
        "no policy is called '%s'%s%s; there are bin-pack, empty-hosts, compact and spot", text,
        near != NULL ? ", did you mean " : "", near != NULL ? near : "");
}

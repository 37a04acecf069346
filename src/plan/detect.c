/* Detection in three steps: what each host could hold of the app, how many ranks each should hold
 * (the policy decides, in a file of its own), which move.
 *
 * Invariants: a plan uses only slots that are free now (a host that gains ranks loses none), and
 * each rank moves once. */
#include "plan/policy.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/nearest.h"
#include "weft/error.h"

uint32_t weft__policy_room(const struct weft_plan_host *host)
{
    uint32_t others = weft__policy_others(host);
    uint32_t left = host->slots > others && !host->closed ? host->slots - others : 0;
    if (host->leaving)
        return 0;
    return left > host->ours ? left : host->ours;
}

static uint32_t more(const struct weft_plan_host *host)
{
    uint32_t room = weft__policy_room(host);
    return host->open && room > host->target ? room - host->target : 0;
}

struct weft_plan_host *weft__policy_open(const struct weft_detection *detection,
                                         enum weft_roster_order order)
{
    size_t i = weft__roster_first(detection->roster, order);
    weft__roster_touch(detection->roster, i);
    detection->roster->hosts[i].open = true;
    return &detection->roster->hosts[i];
}

/* The open host to fill next; NULL: all are full. */
static struct weft_plan_host *next_to_fill(const struct weft_detection *detection)
{
    struct weft_plan_host *best = NULL;
    for (size_t i = 0; i < detection->roster->touched_n; i++) {
        struct weft_plan_host *host = weft__policy_touched(detection, i);
        if (more(host) == 0)
            continue;
        if (best == NULL || host->ours > best->ours ||
            (host->ours == best->ours && more(host) > more(best)))
            best = host;
    }
    return best;
}

void weft__policy_fill(const struct weft_detection *detection, size_t n, bool unused_too)
{
    while (n > 0) {
        struct weft_plan_host *host = next_to_fill(detection);
        size_t shared = weft__roster_first(detection->roster, WEFT_ROSTER_SHARED);
        if (host == NULL && shared != WEFT_NO_HOST)
            host = weft__policy_open(detection, WEFT_ROSTER_SHARED);
        else if (host == NULL && unused_too)
            host = weft__policy_open(detection, WEFT_ROSTER_UNUSED);
        weft__check(host != NULL); /* the rooms add up to enough */
        uint32_t gets = more(host) < n ? more(host) : (uint32_t)n;
        host->target += gets;
        n -= gets;
    }
}

/* What is looked at next lies anywhere in memory: all of it is fetched at once. */
static void fetch(const struct weft_detect *ask)
{
    for (int order = 0; order < WEFT_ROSTER_ORDERS; order++) {
        size_t first = weft__roster_first(ask->roster, (enum weft_roster_order)order);
        if (first != WEFT_NO_HOST)
            weft__roster_fetch(ask->roster, first);
    }
    for (size_t rank = 0; rank < ask->ranks; rank++)
        if (rank == 0 || ask->host_of[rank] != ask->host_of[rank - 1])
            weft__roster_fetch(ask->roster, ask->host_of[rank]);
}

static int count_ours(const struct weft_detect *ask, struct weft_detection *detection)
{
    struct weft_roster *roster = ask->roster;
    for (size_t rank = 0; rank < ask->ranks; rank++)
        if (ask->host_of[rank] >= roster->n)
            return weft_fail(WEFT_EINVAL, "rank %zu is on host %u, there are %zu hosts", rank,
                             ask->host_of[rank], roster->n);
    fetch(ask);
    for (size_t rank = 0; rank < ask->ranks; rank++) {
        size_t i = ask->host_of[rank];
        if (roster->hosts[i].ours++ == 0)
            weft__roster_touch(roster, i);
    }
    detection->own = roster->touched_n;
    return WEFT_OK;
}

static void score(const struct weft_detection *detection, struct weft_plan *plan)
{
    uint64_t all = detection->ranks, now_same = 0, then_same = 0;
    plan->now = (struct weft_plan_score){.unused = detection->roster->unused};
    plan->then = plan->now;
    for (size_t i = 0; i < detection->roster->touched_n; i++) {
        const struct weft_plan_host *host = weft__policy_touched(detection, i);
        uint64_t ours = host->ours, target = host->target;
        bool alone = weft__policy_others(host) == 0 && !host->leaving;
        plan->then.unused += alone && ours > 0 && target == 0;
        plan->then.unused -= alone && ours == 0 && target > 0;
        plan->now.hosts += ours > 0;
        plan->then.hosts += target > 0;
        now_same += ours * ours;
        then_same += target * target;
    }
    /* Pairs on different hosts: all pairs but those on the same one. */
    plan->now.cross_pairs = (all * all - now_same) / 2;
    plan->then.cross_pairs = (all * all - then_same) / 2;
}

/* In the policy's own sense, whatever the ranks exchange. */
static bool has_reason(const struct weft_plan *plan, enum weft_policy policy)
{
    if (plan->must)
        return true;
    return policy == WEFT_POLICY_BIN_PACK ? plan->then.hosts < plan->now.hosts
                                          : plan->then.unused > plan->now.unused;
}

static bool better(const struct weft_plan *plan, enum weft_policy policy)
{
    if (has_reason(plan, policy))
        return true;
    return policy == WEFT_POLICY_BIN_PACK && plan->then.hosts == plan->now.hosts &&
           plan->then.cross_pairs < plan->now.cross_pairs;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Uses ours as the number of ranks that are on a host by then. */
static void list_moves(const struct weft_detect *ask, struct weft_plan *plan)
{
    struct weft_roster *roster = ask->roster;
    size_t to = 0;
    qsort(roster->touched, roster->touched_n, sizeof(*roster->touched), by_number);
    for (size_t rank = ask->ranks; rank-- > 0;) {
        struct weft_plan_host *from = &roster->hosts[ask->host_of[rank]];
        if (from->ours <= from->target)
            continue;
        while (roster->hosts[roster->touched[to]].ours >= roster->hosts[roster->touched[to]].target)
            to++;
        from->ours--;
        roster->hosts[roster->touched[to]].ours++;
        plan->moves[plan->moves_n++] = (struct weft_plan_move){
            .rank = (uint32_t)rank, .from = ask->host_of[rank], .to = roster->touched[to]};
    }
}

/* Whether ranks are on a host that is about to go, and whether there is room for them elsewhere. */
static void look_for_leaving(const struct weft_detection *detection, struct weft_plan *plan)
{
    const uint64_t *free_slots = detection->roster->free_slots;
    uint64_t rooms = free_slots[WEFT_ROSTER_SHARED] + free_slots[WEFT_ROSTER_UNUSED];
    plan->must = false;
    for (size_t i = 0; i < detection->own; i++) {
        const struct weft_plan_host *host = weft__policy_touched(detection, i);
        plan->must |= host->leaving;
        rooms += weft__policy_room(host);
    }
    plan->freeze = plan->must && rooms < detection->ranks;
}

static void (*const set_targets[])(const struct weft_detection *detection) = {
    [WEFT_POLICY_BIN_PACK] = weft__policy_pack,
    [WEFT_POLICY_EMPTY_HOSTS] = weft__policy_empty,
    [WEFT_POLICY_COMPACT] = weft__policy_empty,
    [WEFT_POLICY_SPOT] = weft__policy_stay,
};

/* The moves to the targets, or to something better that comes of what the ranks exchange. */
static int find_moves(const struct weft_detect *ask, const struct weft_detection *detection,
                      struct weft_plan *plan)
{
    bool reason = has_reason(plan, ask->policy);
    if (ask->traffic == NULL || (ask->policy == WEFT_POLICY_SPOT && !plan->must)) {
        if (better(plan, ask->policy))
            list_moves(ask, plan);
        return WEFT_OK;
    }
    int err = weft__policy_traffic(ask, detection, reason, plan);
    if (err == WEFT_ERANGE && reason) {
        list_moves(ask, plan);
        return WEFT_OK;
    }
    if (err != WEFT_OK)
        return err == WEFT_ERANGE ? WEFT_OK : err;
    struct weft_plan scored = {0};
    score(detection, &scored); /* the targets may be others now */
    scored.then.traffic = plan->then.traffic;
    plan->then = scored.then;
    plan->by_traffic = !reason && plan->moves_n > 0;
    return WEFT_OK;
}

int weft__detect(const struct weft_detect *ask, struct weft_plan *plan)
{
    if ((size_t)ask->policy >= sizeof(set_targets) / sizeof(set_targets[0]))
        return weft_fail(WEFT_EINVAL, "there is no policy %d", (int)ask->policy);
    if (ask->traffic != NULL && ask->traffic->n != ask->ranks)
        return weft_fail(WEFT_EINVAL, "the traffic is of %u ranks, the placement of %zu",
                         ask->traffic->n, ask->ranks);
    struct weft_detection detection = {.roster = ask->roster, .ranks = ask->ranks};
    int err = count_ours(ask, &detection);
    if (err != WEFT_OK)
        return err;
    plan->moves_n = 0;
    plan->by_traffic = false;
    plan->traffic_known = ask->traffic != NULL;
    plan->message_share = ask->traffic != NULL ? ask->traffic->message_share : 0;
    look_for_leaving(&detection, plan);
    if (plan->freeze)
        weft__policy_stay(&detection);
    else if (plan->must)
        weft__policy_leave(&detection);
    else
        set_targets[ask->policy](&detection);
    score(&detection, plan);
    if (!plan->freeze)
        err = find_moves(ask, &detection, plan);
    if (plan->moves_n == 0)
        plan->then = plan->now;
    weft__roster_untouch_all(ask->roster);
    return err;
}

int weft__detect_score(const struct weft_detect *ask, struct weft_plan *plan)
{
    struct weft_detection detection = {.roster = ask->roster, .ranks = ask->ranks};
    struct weft_plan_host *hosts = ask->roster->hosts;
    for (size_t i = 0; i < plan->moves_n; i++)
        if (plan->moves[i].to >= ask->roster->n || plan->moves[i].rank >= ask->ranks)
            return weft_fail(WEFT_EINVAL, "a move of rank %u to host %u: no such thing",
                             plan->moves[i].rank, plan->moves[i].to);
    int err = count_ours(ask, &detection);
    if (err != WEFT_OK)
        return err;
    for (size_t i = 0; i < ask->roster->touched_n; i++)
        weft__policy_touched(&detection, i)->target = weft__policy_touched(&detection, i)->ours;
    for (size_t i = 0; i < plan->moves_n; i++) {
        struct weft_plan_host *to = &hosts[plan->moves[i].to];
        if (to->ours == 0 && !to->open)
            weft__roster_touch(ask->roster, plan->moves[i].to);
        to->open = true;
        to->target++;
        hosts[ask->host_of[plan->moves[i].rank]].target--;
    }
    plan->must = plan->freeze = plan->by_traffic = false;
    score(&detection, plan);
    if (ask->traffic != NULL)
        err = weft__policy_traffic_score(ask, plan);
    weft__roster_untouch_all(ask->roster);
    return err;
}

void weft__detect_take(struct weft_roster *roster, const struct weft_plan *plan)
{
    for (size_t i = 0; i < plan->moves_n; i++) {
        size_t to = plan->moves[i].to;
        weft__roster_used(roster, to, roster->hosts[to].used + 1);
    }
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

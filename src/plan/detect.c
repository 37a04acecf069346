/* Detection in three steps: what each host could hold of the app, how many ranks each should hold
 * (the policy decides, in a file of its own), which move.
 *
 * Invariants: a plan uses only slots that are free now (a host that gains ranks loses none), and
 * each rank moves once. */
#include "plan/policy.h"

#include <string.h>

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

static size_t next_to_fill(const struct weft_detect *ask)
{
    size_t best = WEFT_NO_HOST;
    for (size_t i = 0; i < ask->hosts_n; i++) {
        const struct weft_plan_host *host = &ask->hosts[i];
        const struct weft_plan_host *other = best == WEFT_NO_HOST ? NULL : &ask->hosts[best];
        if (more(host) == 0)
            continue;
        if (other == NULL || host->ours > other->ours ||
            (host->ours == other->ours && more(host) > more(other)))
            best = i;
    }
    return best;
}

void weft__policy_fill(const struct weft_detect *ask, size_t n)
{
    while (n > 0) {
        struct weft_plan_host *host = &ask->hosts[next_to_fill(ask)];
        uint32_t gets = more(host) < n ? more(host) : (uint32_t)n;
        host->target += gets;
        n -= gets;
    }
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

static void score(const struct weft_detect *ask, struct weft_plan *plan)
{
    uint64_t all = ask->ranks, now_same = 0, then_same = 0;
    plan->now = plan->then = (struct weft_plan_score){0};
    for (size_t i = 0; i < ask->hosts_n; i++) {
        const struct weft_plan_host *host = &ask->hosts[i];
        uint64_t ours = host->ours, target = host->target;
        bool alone = weft__policy_others(host) == 0 && !host->leaving;
        plan->now.unused += alone && ours == 0;
        plan->then.unused += alone && target == 0;
        plan->now.hosts += ours > 0;
        plan->then.hosts += target > 0;
        now_same += ours * ours;
        then_same += target * target;
    }
    /* Pairs on different hosts: all pairs but those on the same one. */
    plan->now.cross_pairs = (all * all - now_same) / 2;
    plan->then.cross_pairs = (all * all - then_same) / 2;
}

static bool better(const struct weft_plan *plan, enum weft_policy policy)
{
    const struct weft_plan_score *now = &plan->now, *then = &plan->then;
    if (plan->must)
        return true;
    if (policy != WEFT_POLICY_BIN_PACK)
        return then->unused > now->unused;
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

/* Whether ranks are on a host that is about to go, and whether there is room for them elsewhere. */
static void look_for_leaving(const struct weft_detect *ask, struct weft_plan *plan)
{
    size_t rooms = 0;
    for (size_t i = 0; i < ask->hosts_n; i++) {
        plan->must |= ask->hosts[i].leaving && ask->hosts[i].ours > 0;
        rooms += weft__policy_room(&ask->hosts[i]);
    }
    plan->freeze = plan->must && rooms < ask->ranks;
}

static void (*const set_targets[])(const struct weft_detect *ask) = {
    [WEFT_POLICY_BIN_PACK] = weft__policy_pack,
    [WEFT_POLICY_EMPTY_HOSTS] = weft__policy_empty,
    [WEFT_POLICY_COMPACT] = weft__policy_empty,
    [WEFT_POLICY_SPOT] = weft__policy_stay,
};

int weft__detect(const struct weft_detect *ask, struct weft_plan *plan)
{
    if ((size_t)ask->policy >= sizeof(set_targets) / sizeof(set_targets[0]))
        return weft_fail(WEFT_EINVAL, "there is no policy %d", (int)ask->policy);
    int err = count_ours(ask);
    if (err != WEFT_OK)
        return err;
    plan->moves_n = 0;
    plan->must = false;
    look_for_leaving(ask, plan);
    if (plan->must && !plan->freeze)
        weft__policy_leave(ask);
    else if (!plan->must)
        set_targets[ask->policy](ask);
    score(ask, plan);
    if (!plan->freeze && better(plan, ask->policy))
        list_moves(ask, plan);
    else
        plan->then = plan->now;
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

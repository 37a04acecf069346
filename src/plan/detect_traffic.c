/* Detection where it is known what the ranks exchange: the policy has said which hosts the app is
 * to have and how many ranks on each; who goes where, and how the ranks are spread over just these
 * hosts, comes from plan/assign.h.
 *
 * A policy that has its own reason (fewer hosts, more hosts that nobody uses, hosts that go) gets
 * its hosts. Without one the hosts of the policy, if they are as many, and those that the app has
 * now are both tried, and the better placement counts if less traffic crosses hosts than now.
 * Where two placements are equally good the policy's numbers stand, because they are where the
 * search begins. */
#include "plan/policy.h"

#include <stdlib.h>
#include <string.h>

#include "plan/assign.h"
#include "weft/error.h"

enum { CHOICE_HOSTS = 8, CHOICE_RANKS = 64, CHOICES_MAX = 32 };

/* The touched hosts by number, and two placements: the best so far, and one that is tried. */
struct placing {
    const struct weft_detect *ask;
    const struct weft_detection *detection;
    uint32_t hosts_n;
    uint32_t *host_of, *left, *best, *tried; /* by rank */
    uint32_t *target, *most, *free_slots;    /* by host */
    uint64_t best_cost;                      /* traffic and moves; UINT64_MAX: none yet */
    struct weft_plan *plan;
};

static uint32_t number_of(const struct placing *p, uint32_t host)
{
    for (uint32_t i = 0; i < p->hosts_n; i++)
        if (p->detection->roster->touched[i] == host)
            return i;
    return WEFT_ASSIGN_NO_HOST;
}

static void placing_fini(struct placing *p)
{
    free(p->host_of);
    free(p->target);
}

/* One block for the ranks, one for the hosts. */
static int placing_init(struct placing *p)
{
    size_t ranks = p->ask->ranks, hosts = p->hosts_n;
    p->host_of = malloc(4 * ranks * sizeof(*p->host_of) + 1);
    p->target = malloc(3 * hosts * sizeof(*p->target) + 1);
    if (p->host_of == NULL || p->target == NULL) {
        placing_fini(p);
        return weft_fail(WEFT_ENOMEM, "no memory to place %zu ranks", ranks);
    }
    p->left = p->host_of + ranks;
    p->best = p->left + ranks;
    p->tried = p->best + ranks;
    p->most = p->target + hosts;
    p->free_slots = p->most + hosts;
    for (uint32_t i = 0; i < hosts; i++)
        weft__policy_touched(p->detection, i)->number = i;
    for (size_t rank = 0; rank < ranks; rank++) {
        p->host_of[rank] = p->detection->roster->hosts[p->ask->host_of[rank]].number;
        p->left[rank] = p->ask->left == NULL || p->plan->must ? WEFT_ASSIGN_NO_HOST
                                                              : number_of(p, p->ask->left[rank]);
    }
    return WEFT_OK;
}

static uint64_t moves_between(const struct placing *p, const uint32_t *host_of)
{
    uint64_t moves = 0;
    for (size_t rank = 0; rank < p->ask->ranks; rank++)
        moves += host_of[rank] != p->host_of[rank];
    return moves;
}

/* The hosts that the policy has chosen, or those of now. */
static void set_bounds(struct placing *p, bool of_policy)
{
    for (uint32_t i = 0; i < p->hosts_n; i++) {
        const struct weft_plan_host *host = weft__policy_touched(p->detection, i);
        p->target[i] = of_policy ? host->target : host->ours;
        p->most[i] = p->target[i] > 0 ? weft__policy_room(host) : 0;
        p->free_slots[i] = weft__plan_host_free(host);
    }
}

static bool somebody_returns(const struct placing *p)
{
    for (size_t rank = 0; rank < p->ask->ranks; rank++)
        if (p->tried[rank] != p->host_of[rank] && p->tried[rank] == p->left[rank])
            return true;
    return false;
}

/* Asks for the best placement within the bounds that are set, and keeps it if it is the best so
 * far. */
static int try_bounds(struct placing *p, bool has_reason)
{
    uint64_t cross;
    int err = weft__assign(&(struct weft_assign){.graph = p->ask->traffic,
                                                 .host_of = p->host_of,
                                                 .hosts_n = p->hosts_n,
                                                 .target = p->target,
                                                 .most = p->most,
                                                 .free = p->free_slots,
                                                 .only_excess = p->plan->must,
                                                 .left = p->left,
                                                 .move_cost = p->ask->move_cost},
                           p->tried);
    if (err == WEFT_OK)
        err = weft__graph_cross(p->ask->traffic, p->tried, p->hosts_n, &cross);
    if (err != WEFT_OK)
        return err;
    uint64_t cost = cross + p->ask->move_cost * moves_between(p, p->tried);
    if (cost >= p->best_cost || (!has_reason && somebody_returns(p)))
        return WEFT_OK;
    p->best_cost = cost;
    p->plan->then.traffic = cross;
    memcpy(p->best, p->tried, p->ask->ranks * sizeof(*p->best));
    return WEFT_OK;
}

static int try_hosts(struct placing *p, bool of_policy, bool has_reason)
{
    set_bounds(p, of_policy);
    return try_bounds(p, has_reason);
}

/* These hosts, where they have room for all: who is there stays, the others fill them up. */
static bool set_chosen(struct placing *p, uint32_t chosen)
{
    size_t left = p->ask->ranks;
    for (uint32_t i = 0; i < p->hosts_n; i++) {
        const struct weft_plan_host *host = weft__policy_touched(p->detection, i);
        bool in = (chosen & 1u << i) != 0;
        p->most[i] = in ? weft__policy_room(host) : 0;
        p->target[i] = in ? host->ours : 0;
        left -= p->target[i];
    }
    for (uint32_t i = 0; i < p->hosts_n; i++) {
        size_t room = p->most[i] - p->target[i], gets = left < room ? left : room;
        p->target[i] += (uint32_t)gets;
        left -= gets;
    }
    return left == 0;
}

/* A policy that wants few hosts may be content with others, as few: which, shows in the traffic. */
static int try_choices(struct placing *p)
{
    unsigned chosen_n = 0, tries = 0;
    uint32_t end = 1u << (p->hosts_n < CHOICE_HOSTS ? p->hosts_n : CHOICE_HOSTS);
    int err = WEFT_OK;
    for (uint32_t i = 0; i < p->hosts_n; i++)
        chosen_n += weft__policy_touched(p->detection, i)->target > 0;
    if (p->hosts_n > CHOICE_HOSTS || p->ask->ranks > CHOICE_RANKS)
        return WEFT_OK;
    for (uint32_t chosen = 1; chosen < end && tries < CHOICES_MAX && err == WEFT_OK; chosen++) {
        if ((unsigned)__builtin_popcount(chosen) != chosen_n || !set_chosen(p, chosen))
            continue;
        err = try_bounds(p, true);
        tries++;
    }
    return err;
}

/* The best placement becomes the targets, and the moves that lead to it. */
static void take_best(struct placing *p)
{
    for (uint32_t i = 0; i < p->hosts_n; i++)
        weft__policy_touched(p->detection, i)->target = 0;
    for (size_t rank = p->ask->ranks; rank-- > 0;) {
        weft__policy_touched(p->detection, p->best[rank])->target++;
        if (p->best[rank] != p->host_of[rank])
            p->plan->moves[p->plan->moves_n++] =
                (struct weft_plan_move){.rank = (uint32_t)rank,
                                        .from = p->ask->host_of[rank],
                                        .to = p->detection->roster->touched[p->best[rank]]};
    }
}

static int place(struct placing *p, bool has_reason, bool may_try_policy)
{
    struct weft_plan *plan = p->plan;
    int err = weft__graph_cross(p->ask->traffic, p->host_of, p->hosts_n, &plan->now.traffic);
    plan->then.traffic = plan->now.traffic;
    if (err != WEFT_OK || (!has_reason && plan->now.traffic <= p->ask->move_cost))
        return err; /* even all of it would not pay for a move */
    if (!has_reason)
        err = try_hosts(p, false, has_reason);
    if (err == WEFT_OK && (has_reason || may_try_policy))
        err = try_hosts(p, true, has_reason);
    if (err == WEFT_OK && has_reason && may_try_policy && !plan->must)
        err = try_choices(p);
    if (err == WEFT_OK && (has_reason || plan->then.traffic < plan->now.traffic))
        take_best(p);
    return err;
}

int weft__policy_traffic(const struct weft_detect *ask, const struct weft_detection *detection,
                         bool has_reason, struct weft_plan *plan)
{
    struct placing p = {.ask = ask,
                        .detection = detection,
                        .hosts_n = (uint32_t)detection->roster->touched_n,
                        .best_cost = UINT64_MAX,
                        .plan = plan};
    int err = placing_init(&p);
    if (err != WEFT_OK)
        return err;
    err = place(&p, has_reason,
                ask->policy == WEFT_POLICY_BIN_PACK && plan->then.hosts <= plan->now.hosts);
    placing_fini(&p);
    return err;
}

int weft__policy_traffic_score(const struct weft_detect *ask, struct weft_plan *plan)
{
    size_t n = ask->roster->n;
    uint32_t *then = malloc(ask->ranks * sizeof(*then) + 1);
    if (then == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory to score a placement of %zu ranks", ask->ranks);
    memcpy(then, ask->host_of, ask->ranks * sizeof(*then));
    for (size_t i = 0; i < plan->moves_n; i++)
        then[plan->moves[i].rank] = plan->moves[i].to;
    int err = weft__graph_cross(ask->traffic, ask->host_of, n, &plan->now.traffic);
    if (err == WEFT_OK)
        err = weft__graph_cross(ask->traffic, then, n, &plan->then.traffic);
    plan->traffic_known = true;
    plan->message_share = ask->traffic->message_share;
    free(then);
    return err;
}

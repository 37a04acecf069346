/* How good plans are: on small random cases, against the best of all placements that fit.
 *
 * The cost of a placement is the number of pairs of ranks on different hosts. A placement fits when
 * every rank that moves finds a slot that is free now. What two cursors come to, the reference
 * system's scan, is measured on the same cases; it knows the hosts of the app only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"

enum { CASES = 1000, QUICK_CASES = 20, HOSTS_MAX = 5, RANKS_MAX = 8 };
enum { NOW, TWO_CURSORS, WEFT, OPTIMUM, WAYS };

struct small {
    struct weft_plan_host hosts[HOSTS_MAX];
    size_t hosts_n;
    uint32_t host_of[RANKS_MAX];
    size_t ranks;
    uint32_t ours[HOSTS_MAX], count[HOSTS_MAX];
    uint64_t best;
};

static void make(struct small *c, unsigned *seed)
{
    memset(c, 0, sizeof(*c));
    c->hosts_n = 2 + (size_t)rand_r(seed) % (HOSTS_MAX - 1);
    c->ranks = 2 + (size_t)rand_r(seed) % (RANKS_MAX - 1);
    for (size_t h = 0; h < c->hosts_n; h++) {
        c->hosts[h].slots = 2 + (uint32_t)rand_r(seed) % 7;
        c->hosts[h].used = (uint32_t)rand_r(seed) % 3;
    }
    for (size_t rank = 0; rank < c->ranks; rank++) {
        c->host_of[rank] = (uint32_t)rand_r(seed) % (uint32_t)c->hosts_n;
        c->hosts[c->host_of[rank]].used++;
        c->ours[c->host_of[rank]]++;
    }
}

static uint64_t cost(const uint32_t *count, size_t hosts_n)
{
    uint64_t pairs = 0;
    for (size_t h = 0; h < hosts_n; h++)
        for (size_t g = 0; g < h; g++)
            pairs += (uint64_t)count[h] * count[g];
    return pairs;
}

static void try_all(struct small *c, size_t h, uint32_t left)
{
    uint32_t most = c->ours[h] + weft__plan_host_free(&c->hosts[h]);
    if (h + 1 == c->hosts_n) {
        c->count[h] = left;
        if (left <= most && cost(c->count, c->hosts_n) < c->best)
            c->best = cost(c->count, c->hosts_n);
        return;
    }
    for (c->count[h] = 0; c->count[h] <= left && c->count[h] <= most; c->count[h]++)
        try_all(c, h + 1, left - c->count[h]);
}

static uint64_t cost_after(const struct small *c, const struct weft_plan_move *moves, size_t n)
{
    uint32_t count[HOSTS_MAX];
    memcpy(count, c->ours, sizeof(count));
    for (size_t i = 0; i < n; i++) {
        count[moves[i].from]--;
        count[moves[i].to]++;
    }
    return cost(count, c->hosts_n);
}

static uint64_t cost_of_plan(struct small *c)
{
    struct weft_plan_move moves[RANKS_MAX];
    struct weft_plan plan = {.moves = moves};
    struct weft_roster roster;
    bench_check("a roster", weft__roster_init(&roster, c->hosts, c->hosts_n));
    bench_check("a plan", weft__detect(&(struct weft_detect){.roster = &roster,
                                                             .host_of = c->host_of,
                                                             .ranks = c->ranks},
                                       &plan));
    weft__roster_fini(&roster);
    return cost_after(c, moves, plan.moves_n);
}

static uint64_t cost_of_scan(const struct small *c)
{
    struct weft_plan_move moves[RANKS_MAX];
    struct weft_plan_host hosts[HOSTS_MAX];
    memcpy(hosts, c->hosts, sizeof(hosts));
    return cost_after(c, moves, plan_scan(hosts, c->host_of, c->ranks, moves));
}

static void measure(unsigned seed, unsigned cases, struct bench_series series[WAYS])
{
    uint64_t sums[WAYS] = {0};
    for (unsigned i = 0; i < cases; i++) {
        struct small c;
        make(&c, &seed);
        c.best = UINT64_MAX;
        try_all(&c, 0, (uint32_t)c.ranks);
        sums[NOW] += cost(c.ours, c.hosts_n);
        sums[TWO_CURSORS] += cost_of_scan(&c);
        sums[WEFT] += cost_of_plan(&c);
        sums[OPTIMUM] += c.best;
    }
    for (int way = 0; way < WAYS; way++)
        bench_add(&series[way], (double)sums[way] / cases);
}

int plan_optimality(const struct bench *bench)
{
    static struct bench_series series[WAYS];
    static const char *const names[] = {"before", "two-cursors", "weft", "optimum"};
    unsigned cases = bench->quick ? QUICK_CASES : CASES;
    for (int way = 0; way < WAYS; way++) {
        snprintf(series[way].id, sizeof(series[way].id), "plan.cost.%s", names[way]);
        snprintf(series[way].what, sizeof(series[way].what), "pairs of ranks on different hosts");
        snprintf(series[way].subject, sizeof(series[way].subject), "%s", names[way]);
        snprintf(series[way].unit, sizeof(series[way].unit), "pairs");
        snprintf(series[way].config, sizeof(series[way].config),
                 "mean of %u random cases, up to %d hosts and %d ranks", cases, HOSTS_MAX,
                 RANKS_MAX);
    }
    for (unsigned round = 0; round < bench->rounds; round++)
        measure(round + 1, cases, series);
    bench_print_goal(bench,
                     &(struct bench_goal){.id = "plan.optimality",
                                          .measured = bench_ratio(&series[WEFT], &series[OPTIMUM]),
                                          .wanted = 1.05,
                                          .unit = "ratio",
                                          .from = {series[WEFT].id, series[OPTIMUM].id},
                                          .reason = ""});
    for (int way = 0; way < WAYS; way++)
        bench_print(bench, &series[way]);
    return 0;
}

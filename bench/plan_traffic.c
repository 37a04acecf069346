/* How good plans are where it is known what the ranks exchange: on small random cases, against the
 * best of all placements that fit, as bench/plan_optimality.c does it for pairs of ranks.
 *
 * The cost is the traffic between hosts. The policy is bin-pack, to which as few hosts as possible
 * come first: the optimum is the best of all placements on so few hosts. What could be had if any
 * number of hosts were good is shown beside it. Half of the cases have a structure (groups, a ring,
 * pairs), dealt out to the hosts at random; half are random graphs. The reference system's two
 * cursors and detection without knowledge of the traffic are measured on the same cases. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "plan.h"

enum { CASES = 1000, QUICK_CASES = 10, HOSTS_MAX = 4, RANKS_MAX = 7, PAIRS_MAX = 64 };
enum { NOW, TWO_CURSORS, BLIND, WEFT, OPTIMUM, ANY_HOSTS, WAYS };

struct small {
    struct weft_plan_host hosts[HOSTS_MAX];
    size_t hosts_n;
    uint32_t host_of[RANKS_MAX];
    uint32_t ranks;
    struct weft_graph graph;
};

static unsigned below(unsigned *seed, unsigned n)
{
    return (unsigned)rand_r(seed) % n;
}

static size_t random_pairs(const struct small *c, struct weft_graph_pair *pairs, unsigned *seed)
{
    size_t n = below(seed, 3 * c->ranks);
    for (size_t i = 0; i < n; i++) {
        uint32_t a = below(seed, c->ranks);
        pairs[i] = (struct weft_graph_pair){a, (a + 1 + below(seed, c->ranks - 1)) % c->ranks,
                                            1 + below(seed, 100)};
    }
    return n;
}

/* Every rank exchanges with some others by a rule, and a little with everybody. */
static size_t structured_pairs(const struct small *c, struct weft_graph_pair *pairs, unsigned *seed)
{
    unsigned rule = below(seed, 3), group = 2 + below(seed, 2);
    size_t n = 0;
    for (uint32_t a = 0; a < c->ranks; a++)
        for (uint32_t b = 0; b < a; b++) {
            bool heavy = rule == 0   ? a / group == b / group
                         : rule == 1 ? a - b == 1 || a - b == c->ranks - 1
                                     : a - b == c->ranks / 2;
            pairs[n++] = (struct weft_graph_pair){a, b, heavy ? 100 : below(seed, 3)};
        }
    return n;
}

static void make(struct small *c, unsigned *seed)
{
    struct weft_graph_pair pairs[PAIRS_MAX];
    memset(c, 0, sizeof(*c));
    c->hosts_n = 2 + below(seed, HOSTS_MAX - 1);
    c->ranks = 2 + below(seed, RANKS_MAX - 1);
    for (size_t h = 0; h < c->hosts_n; h++) {
        c->hosts[h].slots = 2 + below(seed, 7);
        c->hosts[h].used = below(seed, 3);
    }
    for (uint32_t rank = 0; rank < c->ranks; rank++) {
        c->host_of[rank] = below(seed, (unsigned)c->hosts_n);
        c->hosts[c->host_of[rank]].used++;
    }
    size_t n = below(seed, 2) ? random_pairs(c, pairs, seed) : structured_pairs(c, pairs, seed);
    bench_check("a graph", weft__graph_init(&c->graph, c->ranks, pairs, n));
}

static uint64_t cost(const struct small *c, const uint32_t *host_of)
{
    uint64_t sum = 0;
    for (uint32_t a = 0; a < c->ranks; a++)
        for (uint32_t i = c->graph.first[a]; i < c->graph.first[a + 1]; i++)
            sum += host_of[c->graph.edges[i].to] != host_of[a] ? c->graph.edges[i].weight : 0;
    return sum / 2;
}

/* Every rank that moves finds a slot that is free now. */
static bool fits(const struct small *c, const uint32_t *host_of)
{
    uint32_t came[HOSTS_MAX] = {0};
    for (uint32_t rank = 0; rank < c->ranks; rank++)
        if (host_of[rank] != c->host_of[rank] &&
            ++came[host_of[rank]] > weft__plan_host_free(&c->hosts[host_of[rank]]))
            return false;
    return true;
}

static unsigned hosts_used(const struct small *c, const uint32_t *host_of)
{
    unsigned used = 0;
    for (uint32_t rank = 0; rank < c->ranks; rank++)
        used |= 1u << host_of[rank];
    return (unsigned)__builtin_popcount(used);
}

/* best_out: of all placements on so many hosts or fewer, by number of hosts - 1. */
static void optima(const struct small *c, uint64_t best_out[HOSTS_MAX])
{
    uint32_t host_of[RANKS_MAX] = {0};
    for (int i = 0; i < HOSTS_MAX; i++)
        best_out[i] = UINT64_MAX;
    for (;;) {
        uint64_t one = fits(c, host_of) ? cost(c, host_of) : UINT64_MAX;
        for (unsigned i = hosts_used(c, host_of) - 1; i < HOSTS_MAX; i++)
            best_out[i] = one < best_out[i] ? one : best_out[i];
        uint32_t i = 0;
        while (i < c->ranks && ++host_of[i] == c->hosts_n)
            host_of[i++] = 0;
        if (i == c->ranks)
            return;
    }
}

static uint64_t cost_after(const struct small *c, const struct weft_plan_move *moves, size_t n)
{
    uint32_t host_of[RANKS_MAX];
    memcpy(host_of, c->host_of, sizeof(host_of));
    for (size_t i = 0; i < n; i++)
        host_of[moves[i].rank] = moves[i].to;
    return cost(c, host_of);
}

static uint64_t cost_of_plan(struct small *c, bool knows)
{
    struct weft_plan_move moves[RANKS_MAX];
    struct weft_plan plan = {.moves = moves};
    struct weft_roster roster;
    bench_check("a roster", weft__roster_init(&roster, c->hosts, c->hosts_n));
    bench_check("a plan", weft__detect(&(struct weft_detect){.roster = &roster,
                                                             .host_of = c->host_of,
                                                             .ranks = c->ranks,
                                                             .traffic = knows ? &c->graph : NULL},
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

/* ---- what a check costs ---- */

enum { SIZES = 3, SIZE_MAX_RANKS = 256, CHECK_HOSTS = 8 };
static const uint32_t sizes[SIZES] = {8, 64, SIZE_MAX_RANKS};

/* A ring, dealt out to the hosts like cards: as much to be found as there can be. */
static double check_us(uint32_t ranks, uint32_t hosts_n)
{
    static struct weft_plan_move moves[SIZE_MAX_RANKS];
    static uint32_t host_of[SIZE_MAX_RANKS];
    static struct weft_graph_pair pairs[SIZE_MAX_RANKS];
    struct weft_plan_host hosts[CHECK_HOSTS] = {{0}};
    struct weft_plan plan = {.moves = moves};
    struct weft_graph graph;
    struct weft_roster roster;
    for (uint32_t rank = 0; rank < ranks; rank++) {
        host_of[rank] = rank % hosts_n;
        hosts[host_of[rank]].used++;
        hosts[host_of[rank]].slots = 2 * ranks / hosts_n;
        pairs[rank] = (struct weft_graph_pair){rank, (rank + 1) % ranks, 100};
    }
    for (uint32_t h = 0; h < hosts_n; h++) /* others leave no room for fewer hosts */
        hosts[h].used += ranks / hosts_n - 1;
    bench_check("a graph", weft__graph_init(&graph, ranks, pairs, ranks));
    bench_check("a roster", weft__roster_init(&roster, hosts, hosts_n));
    uint64_t began = weft__now_ns();
    bench_check("a plan", weft__detect(&(struct weft_detect){.roster = &roster,
                                                             .host_of = host_of,
                                                             .ranks = ranks,
                                                             .traffic = &graph},
                                       &plan));
    double took = (double)(weft__now_ns() - began) / 1e3;
    weft__roster_fini(&roster);
    weft__graph_fini(&graph);
    return took;
}

static void measure_checks(const struct bench *bench)
{
    static struct bench_series series[SIZES];
    for (int i = 0; i < SIZES; i++) {
        uint32_t hosts_n = sizes[i] > 8 ? CHECK_HOSTS : 2;
        snprintf(series[i].id, sizeof(series[i].id), "plan.traffic.check.%u", sizes[i]);
        snprintf(series[i].what, sizeof(series[i].what), "check of a ring of %u ranks", sizes[i]);
        snprintf(series[i].subject, sizeof(series[i].subject), "weft");
        snprintf(series[i].unit, sizeof(series[i].unit), "us");
        snprintf(series[i].config, sizeof(series[i].config), "dealt out to %u hosts, one thread",
                 hosts_n);
        for (unsigned round = 0; round < bench->rounds; round++)
            bench_add(&series[i], check_us(sizes[i], hosts_n));
        bench_print(bench, &series[i]);
    }
}

static void measure(unsigned seed, unsigned cases, struct bench_series series[WAYS])
{
    uint64_t sums[WAYS] = {0};
    for (unsigned i = 0; i < cases; i++) {
        struct small c;
        make(&c, &seed);
        sums[NOW] += cost(&c, c.host_of);
        sums[TWO_CURSORS] += cost_of_scan(&c);
        sums[BLIND] += cost_of_plan(&c, false);
        sums[WEFT] += cost_of_plan(&c, true);
        uint64_t best[HOSTS_MAX];
        unsigned hosts = 0;
        optima(&c, best);
        while (best[hosts] == UINT64_MAX)
            hosts++;
        sums[OPTIMUM] += best[hosts];
        sums[ANY_HOSTS] += best[HOSTS_MAX - 1];
        weft__graph_fini(&c.graph);
    }
    for (int way = 0; way < WAYS; way++)
        bench_add(&series[way], (double)sums[way] / cases);
}

int plan_traffic(const struct bench *bench)
{
    static struct bench_series series[WAYS];
    static const char *const names[] = {"before", "two-cursors", "pairs-only",
                                        "weft",   "optimum",     "any-hosts"};
    unsigned cases = bench->quick ? QUICK_CASES : CASES;
    for (int way = 0; way < WAYS; way++) {
        snprintf(series[way].id, sizeof(series[way].id), "plan.traffic.%s", names[way]);
        snprintf(series[way].what, sizeof(series[way].what), "traffic between hosts");
        snprintf(series[way].subject, sizeof(series[way].subject), "%s", names[way]);
        snprintf(series[way].unit, sizeof(series[way].unit), "weight");
        snprintf(series[way].config, sizeof(series[way].config),
                 "mean of %u random cases, up to %d hosts and %d ranks", cases, HOSTS_MAX,
                 RANKS_MAX);
    }
    for (unsigned round = 0; round < bench->rounds; round++)
        measure(round + 1, cases, series);
    bench_print_goal(bench,
                     &(struct bench_goal){.id = "plan.optimality_traffic",
                                          .measured = bench_ratio(&series[WEFT], &series[OPTIMUM]),
                                          .wanted = 1.05,
                                          .unit = "ratio",
                                          .from = {series[WEFT].id, series[OPTIMUM].id},
                                          .reason = ""});
    for (int way = 0; way < WAYS; way++)
        bench_print(bench, &series[way]);
    measure_checks(bench);
    return 0;
}
